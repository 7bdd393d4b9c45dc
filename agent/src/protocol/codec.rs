//! Frames to bytes and back, without any input or output of its own: both ends push what they read and pull frames.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Event, Frame, FrameKind, MAX_DATA, MAX_MESSAGE, Request, Response};

/// Bytes before the payload: the length, the kind and the id.
pub const HEADER: usize = 4 + 1 + 4;
/// Of these, the bytes that the length counts along with the payload.
const COUNTED: usize = 1 + 4;

/// How a peer, or what was to be sent to it, breaks the protocol. The connection is of no use afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The kind's number means nothing.
    #[error("expected a frame kind from 1 to 7, found {0}")]
    UnknownKind(u8),
    /// The length is none that a frame of this kind may have.
    #[error("a payload of {length} bytes is not one that a frame of kind {kind:?} may have")]
    Length {
        /// The frame's kind.
        kind: FrameKind,
        /// The payload's length as the header has it.
        length: usize,
    },
    /// The length is shorter than the header.
    #[error("a frame of {0} bytes has no room for its header")]
    NoHeader(usize),
    /// A payload that should be JSON of a certain form is not.
    #[error("a frame of kind {kind:?} does not hold what it should: {reason}")]
    Message {
        /// The frame's kind.
        kind: FrameKind,
        /// What does not fit. Positions and names of fields, no content.
        reason: String,
    },
    /// More data than was granted, or more credit than can be counted.
    #[error("more {0} than was granted")]
    Credit(&'static str),
}

impl FrameKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Request, Self::Response, Self::Event, Self::Data, Self::Credit, Self::End, Self::Reset];

    /// The kind with this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_number(number: u8) -> Result<Self, FrameError> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number).ok_or(FrameError::UnknownKind(number))
    }

    /// Whether a payload of this kind may have this length in bytes.
    #[must_use]
    pub fn allows(self, length: usize) -> bool {
        match self {
            Self::Request | Self::Response | Self::Event => length <= MAX_MESSAGE,
            Self::Data => length <= MAX_DATA,
            Self::Credit => length == 4,
            Self::End | Self::Reset => length == 0,
        }
    }

    fn check(self, length: usize) -> Result<(), FrameError> {
        if self.allows(length) { Ok(()) } else { Err(FrameError::Length { kind: self, length }) }
    }
}

impl Frame {
    /// A request.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE`].
    pub fn request(id: u32, request: &Request) -> Result<Self, FrameError> {
        Self::json(FrameKind::Request, id, request)
    }

    /// A response.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE`].
    pub fn response(id: u32, response: &Response) -> Result<Self, FrameError> {
        Self::json(FrameKind::Response, id, response)
    }

    /// An event.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE`].
    pub fn event(id: u32, event: &Event) -> Result<Self, FrameError> {
        Self::json(FrameKind::Event, id, event)
    }

    /// Bytes of a blob or a stream, at most [`MAX_DATA`].
    #[must_use]
    pub fn data(id: u32, bytes: Vec<u8>) -> Self {
        Self { kind: FrameKind::Data, id, payload: bytes }
    }

    /// So many more bytes may be sent.
    #[must_use]
    pub fn credit(id: u32, bytes: u32) -> Self {
        Self { kind: FrameKind::Credit, id, payload: bytes.to_be_bytes().to_vec() }
    }

    /// No more data from this end.
    #[must_use]
    pub fn end(id: u32) -> Self {
        Self { kind: FrameKind::End, id, payload: Vec::new() }
    }

    /// The stream is over.
    #[must_use]
    pub fn reset(id: u32) -> Self {
        Self { kind: FrameKind::Reset, id, payload: Vec::new() }
    }

    /// The JSON that a request, response or event holds.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        serde_json::from_slice(&self.payload).map_err(|error| FrameError::Message {
            kind: self.kind,
            // serde's text may quote values, and a request may hold secrets: the position is enough to find it.
            reason: format!("{:?} error at column {}", error.classify(), error.column()),
        })
    }

    /// How much a credit frame grants.
    ///
    /// # Errors
    /// When the payload is not four bytes.
    pub fn credit_granted(&self) -> Result<u32, FrameError> {
        let bytes = <[u8; 4]>::try_from(self.payload.as_slice());
        bytes.map(u32::from_be_bytes).map_err(|_| FrameError::Length { kind: self.kind, length: self.payload.len() })
    }

    /// Appends the frame's bytes.
    ///
    /// # Errors
    /// When the payload is one that the frame's kind does not allow.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        self.kind.check(self.payload.len())?;
        let Ok(length) = u32::try_from(COUNTED + self.payload.len()) else {
            return Err(FrameError::Length { kind: self.kind, length: self.payload.len() });
        };
        out.reserve(HEADER + self.payload.len());
        out.extend_from_slice(&length.to_be_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.payload);
        Ok(())
    }

    fn json(kind: FrameKind, id: u32, message: &impl Serialize) -> Result<Self, FrameError> {
        let payload = serde_json::to_vec(message)
            .map_err(|error| FrameError::Message { kind, reason: format!("{:?} error", error.classify()) })?;
        kind.check(payload.len())?;
        Ok(Self { kind, id, payload })
    }
}

/// Bytes in, frames out. Whoever pulls until there is none never holds more than one frame and what was pushed last.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes at the buffer's beginning that were already given out.
    taken: usize,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read, in pieces of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more is pushed.
    ///
    /// # Errors
    /// When what was pushed is no frame; so is then everything after it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some((&[a, b, c, d, number], _)) = rest.split_first_chunk::<COUNTED>() else { return Ok(None) };
        let counted = u32::from_be_bytes([a, b, c, d]) as usize;
        let kind = FrameKind::from_number(number)?;
        let length = counted.checked_sub(COUNTED).ok_or(FrameError::NoHeader(counted))?;
        kind.check(length)?;
        let (Some(&id), Some(payload)) = (rest[COUNTED..].first_chunk::<4>(), rest.get(HEADER..HEADER + length)) else {
            return Ok(None);
        };
        let frame = Frame { kind, id: u32::from_be_bytes(id), payload: payload.to_vec() };
        self.taken += HEADER + length;
        Ok(Some(frame))
    }

    /// Whether everything pushed was given out: a stream that ends otherwise ends amid a frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::digest::{Digest, FingerprintKey};

    fn frames() -> impl Strategy<Value = Frame> {
        let bytes = |most| proptest::collection::vec(any::<u8>(), 0..=most);
        let json = prop_oneof![Just(FrameKind::Request), Just(FrameKind::Response), Just(FrameKind::Event)];
        prop_oneof![
            (any::<u32>(), bytes(300)).prop_map(|(id, bytes)| Frame::data(id, bytes)),
            (any::<u32>(), any::<u32>()).prop_map(|(id, credit)| Frame::credit(id, credit)),
            any::<u32>().prop_map(Frame::end),
            any::<u32>().prop_map(Frame::reset),
            (json, any::<u32>(), bytes(300)).prop_map(|(kind, id, payload)| Frame { kind, id, payload }),
        ]
    }

    fn bytes_of(frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn frames_survive_any_chunking(sent in proptest::collection::vec(frames(), 0..20), cuts in proptest::collection::vec(1..40usize, 1..40)) {
            let bytes: Vec<u8> = sent.iter().flat_map(bytes_of).collect();
            let (mut decoder, mut received, mut rest) = (Decoder::new(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                decoder.push(now);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    received.push(frame);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(sent, received);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut decoder = Decoder::new();
            for chunk in chunks {
                decoder.push(&chunk);
                while let Ok(Some(frame)) = decoder.next_frame() {
                    prop_assert!(frame.kind.allows(frame.payload.len()));
                }
            }
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_before_its_payload_comes() {
        let header = |length: usize, kind: u8| [&u32::try_from(length).unwrap().to_be_bytes()[..], &[kind]].concat();
        for (bytes, error) in [
            (header(5, 0), FrameError::UnknownKind(0)),
            (header(5, 8), FrameError::UnknownKind(8)),
            (header(4, 4), FrameError::NoHeader(4)),
            (header(5 + MAX_DATA + 1, 4), FrameError::Length { kind: FrameKind::Data, length: MAX_DATA + 1 }),
            (header(5 + MAX_MESSAGE + 1, 1), FrameError::Length { kind: FrameKind::Request, length: MAX_MESSAGE + 1 }),
            (header(5 + 3, 5), FrameError::Length { kind: FrameKind::Credit, length: 3 }),
            (header(5 + 1, 6), FrameError::Length { kind: FrameKind::End, length: 1 }),
        ] {
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            assert_eq!(decoder.next_frame(), Err(error.clone()));
            decoder.push(&[0; 64]);
            assert_eq!(decoder.next_frame(), Err(error), "an error is final");
        }
    }

    #[test]
    fn too_much_is_not_sent() {
        let frame = Frame::data(1, vec![0; MAX_DATA + 1]);
        assert!(frame.encode(&mut Vec::new()).is_err());
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let request = Request::Observe { resources: Vec::new(), key: FingerprintKey(vec![1, 2, 3]) };
        let mut decoder = Decoder::new();
        decoder.push(&bytes_of(&Frame::request(7, &request).unwrap()));
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!((frame.kind, frame.id), (FrameKind::Request, 7));
        let Request::Observe { key, .. } = frame.message().unwrap() else { panic!("another request") };
        assert_eq!(key.0, [1, 2, 3]);

        let missing = Response::Missing { blobs: vec![Digest::of(b"")] };
        let frame = Frame::response(7, &missing).unwrap();
        assert!(matches!(frame.message().unwrap(), Response::Missing { blobs } if blobs == [Digest::of(b"")]));
    }

    #[test]
    fn a_message_that_does_not_fit_is_not_quoted() {
        let payload = br#"{"request":"observe","key":"hunter2"}"#.to_vec();
        let frame = Frame { kind: FrameKind::Request, id: 1, payload };
        let error = frame.message::<Request>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
