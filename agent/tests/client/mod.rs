//! The command line's end of the protocol in its simplest form, for tests: one exchange at a time.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::protocol::{Decoder, Event, Frame, FrameKind, Request, Response, SendWindow};

/// An agent as a process of its own.
pub struct Agent {
    pub child: Child,
    pub input: Option<ChildStdin>,
    pub output: ChildStdout,
    decoder: Decoder,
}

impl Agent {
    /// Starts it and waits for its marker.
    pub fn start(command: &mut Command) -> Self {
        let command = command.args(["--marker", "the marker"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (input, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut marker = [0; 11];
        output.read_exact(&mut marker).unwrap();
        assert_eq!(&marker, b"the marker\n");
        Self { child, input, output, decoder: Decoder::new() }
    }

    pub fn send(&mut self, frame: &Frame) {
        send(self.input.as_mut().unwrap(), frame);
    }

    pub fn request(&mut self, id: u32, request: &Request) {
        self.send(&Frame::request(id, request).unwrap());
    }

    /// The next frame; `None` when the agent has closed its output.
    pub fn next(&mut self) -> Option<Frame> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match self.output.read(&mut buffer).unwrap() {
                0 => return None,
                length => self.decoder.push(&buffer[..length]),
            }
        }
    }

    /// The response to an exchange, and the events before it. Nothing else must come.
    pub fn response(&mut self, id: u32) -> (Response, Vec<Event>) {
        let mut events = Vec::new();
        loop {
            let frame = self.next().expect("the agent ended");
            assert_eq!(frame.id, id);
            match frame.kind {
                FrameKind::Event => events.push(frame.message().unwrap()),
                FrameKind::Response => return (frame.message().unwrap(), events),
                FrameKind::Credit => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn ask(&mut self, id: u32, request: &Request) -> Response {
        self.request(id, request);
        self.response(id).0
    }

    pub fn put_blob(&mut self, id: u32, content: &[u8]) -> Digest {
        let blob = Digest::of(content);
        self.request(id, &Request::PutBlob { blob: blob.clone(), size: content.len() as u64 });
        let mut window = SendWindow::default();
        let mut rest = content;
        while !rest.is_empty() {
            let length = window.available().min(rest.len());
            if length == 0 {
                let frame = self.next().unwrap();
                window.grant(frame.credit_granted().unwrap()).unwrap();
                continue;
            }
            self.send(&Frame::data(id, rest[..length].to_vec()));
            window.sent(length);
            rest = &rest[length..];
        }
        self.send(&Frame::end(id));
        let response = self.response(id).0;
        assert!(matches!(response, Response::Ok), "{response:?}");
        blob
    }

    /// Closes the input and waits for the end: whether the agent ended well, and what it said on standard error.
    pub fn end(mut self) -> (bool, String) {
        drop(self.input.take());
        while self.next().is_some() {}
        let output = self.child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    }
}

pub fn send(input: &mut ChildStdin, frame: &Frame) {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes).unwrap();
    input.write_all(&bytes).unwrap();
}
