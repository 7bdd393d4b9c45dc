//! A stream cut into pieces of one size. No more than one piece is held.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use crate::store::assets::ByteStream;

/// Files are small or large, seldom between.
const SMALL: usize = 256 * 1024;

/// A piece of a stream.
#[derive(PartialEq, Debug)]
pub(super) enum Piece {
    /// Of the full size; at least one byte follows.
    More(Bytes),
    /// What is left.
    Last(Bytes),
}

/// A stream that is cut.
pub(super) struct Pieces {
    stream: ByteStream,
    size: usize,
    held: BytesMut,
}

impl Pieces {
    pub fn new(stream: ByteStream, size: usize) -> Self {
        Self { stream, size, held: BytesMut::new() }
    }

    /// The next piece. After the last one there is none.
    ///
    /// # Errors
    /// The stream's.
    pub async fn next(&mut self) -> std::io::Result<Piece> {
        while self.held.len() <= self.size {
            match self.stream.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    if self.held.len() > SMALL && self.held.capacity() < self.size {
                        // Room for the whole piece at once, not doubled again and again beyond it.
                        self.held.reserve(self.size + SMALL - self.held.len());
                    }
                    self.held.extend_from_slice(&chunk);
                }
                None => return Ok(Piece::Last(std::mem::take(&mut self.held).freeze())),
            }
        }
        // What was read beyond the piece is little, and copied, so that the piece's memory is free once it is sent.
        let rest = BytesMut::from(&self.held[self.size..]);
        self.held.truncate(self.size);
        Ok(Piece::More(std::mem::replace(&mut self.held, rest).freeze()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::stream;

    use super::*;

    async fn cut(chunks: &'static [&'static str]) -> Vec<Piece> {
        let stream = stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))).boxed();
        let mut pieces = Pieces::new(stream, 3);
        let mut cut = Vec::new();
        loop {
            cut.push(pieces.next().await.unwrap());
            if matches!(cut.last(), Some(Piece::Last(_))) {
                return cut;
            }
        }
    }

    #[tokio::test]
    async fn pieces_have_one_size_and_the_last_one_what_is_left() {
        let more = |text: &'static str| Piece::More(Bytes::from_static(text.as_bytes()));
        let last = |text: &'static str| Piece::Last(Bytes::from_static(text.as_bytes()));
        assert_eq!(cut(&[]).await, [last("")]);
        assert_eq!(cut(&["a", "bc"]).await, [last("abc")]);
        assert_eq!(cut(&["a", "bcdefgh", "i"]).await, [more("abc"), more("def"), last("ghi")]);
        assert_eq!(cut(&["abcdefg"]).await, [more("abc"), more("def"), last("g")]);
    }

    #[tokio::test]
    async fn a_broken_stream_is_told() {
        let stream = stream::iter([Ok(Bytes::from_static(b"ab")), Err(std::io::Error::other("gone"))]).boxed();
        assert!(Pieces::new(stream, 3).next().await.is_err());
    }
}
