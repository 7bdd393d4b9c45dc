#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
use wire_deploy_agent::protocol::{INITIAL_CREDIT, ReceiveWindow, SendWindow};

use super::*;

/// The other end, by hand.
struct Peer {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    decoder: Decoder,
}

impl Peer {
    /// The next frame; `None` when the connection was ended.
    async fn next(&mut self) -> Option<Frame> {
        let mut buffer = vec![0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match self.reader.read(&mut buffer).await.unwrap() {
                0 => return None,
                read => self.decoder.push(&buffer[..read]),
            }
        }
    }

    /// The next frame, which has to be of this kind: its id and payload.
    async fn expect(&mut self, kind: FrameKind) -> (u32, Vec<u8>) {
        let frame = tokio::time::timeout(Duration::from_secs(20), self.next()).await.expect("a frame").expect("open");
        assert_eq!(frame.kind, kind, "{frame:?}");
        (frame.id, frame.payload)
    }

    async fn say(&mut self, frame: Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        self.raw(&bytes).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }

    async fn ok(&mut self, id: u32) {
        self.say(Frame::response(id, &Response::Ok).unwrap()).await;
    }
}

fn pair() -> (Mux, Peer) {
    let (ours, theirs) = tokio::io::duplex(1000);
    let (reader, writer) = tokio::io::split(ours);
    let mux = Mux::start("db1".into(), reader, writer, Box::pin(async { "the cable was cut".to_owned() }));
    let (reader, writer) = tokio::io::split(theirs);
    (mux, Peer { reader, writer, decoder: Decoder::new() })
}

fn release(run: &str) -> Request {
    Request::Release { run: run.to_owned() }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

fn address() -> core::net::SocketAddr {
    "127.0.0.1:6379".parse().unwrap()
}

async fn lines_of(mux: &Mux, request: Request) -> (Result<Response, AgentError>, Vec<String>) {
    let mut lines = Vec::new();
    let response = mux
        .request(&request, &mut |event| {
            if let Event::Log { line } = event {
                lines.push(line);
            }
        })
        .await;
    (response, lines)
}

#[tokio::test]
async fn requests_run_side_by_side() {
    let (mux, mut peer) = pair();
    let agent = async {
        let mut ids = BTreeMap::new();
        for _ in 0..3 {
            let (id, payload) = peer.expect(FrameKind::Request).await;
            let message = Frame { kind: FrameKind::Request, id, payload }.message().unwrap();
            let Request::Release { run } = message else { panic!("{message:?}") };
            ids.insert(run, id);
        }
        // Answered in reverse order, with events of all between.
        for run in ["c", "b", "a"] {
            for (name, id) in &ids {
                let line = format!("{name} while {run}");
                peer.say(Frame::event(*id, &Event::Log { line }).unwrap()).await;
            }
            let id = ids.remove(run).unwrap();
            if run == "b" {
                let failure = Failure { resource: None, message: "no".to_owned(), hint: None, log: Vec::new() };
                peer.say(Frame::response(id, &Response::Error(failure)).unwrap()).await;
            } else {
                peer.ok(id).await;
            }
        }
    };
    let ask = |run| lines_of(&mux, release(run));
    let (a, b, c, ()) = tokio::join!(ask("a"), ask("b"), ask("c"), agent);
    assert!(matches!(a.0, Ok(Response::Ok)));
    assert_eq!(a.1, ["a while c", "a while b", "a while a"]);
    assert_eq!(b.0.unwrap_err().to_string(), "no");
    assert_eq!(b.1, ["b while c", "b while b"]);
    assert!(matches!(c.0, Ok(Response::Ok)));
    assert_eq!(c.1, ["c while c"]);
}

#[tokio::test]
async fn a_blob_is_sent_as_the_host_grants_it() {
    let (mux, mut peer) = pair();
    let blob = pattern(3 * INITIAL_CREDIT as usize + 17);
    let agent = async {
        let (id, _) = peer.expect(FrameKind::Request).await;
        let mut received = Vec::new();
        // All that may be sent unasked, and then nothing before more is granted.
        while received.len() < INITIAL_CREDIT as usize {
            received.extend(peer.expect(FrameKind::Data).await.1);
        }
        assert_eq!(received.len(), INITIAL_CREDIT as usize);
        assert!(tokio::time::timeout(Duration::from_millis(50), peer.next()).await.is_err());
        loop {
            peer.say(Frame::credit(id, 10_000)).await;
            let mut more = 10_000.min(blob.len() - received.len());
            while more > 0 {
                let data = peer.expect(FrameKind::Data).await.1;
                more = more.checked_sub(data.len()).expect("no more than granted");
                received.extend(data);
            }
            if received.len() == blob.len() {
                break;
            }
        }
        peer.expect(FrameKind::End).await;
        peer.ok(id).await;
        received
    };
    let mut progress = Vec::new();
    let mut content = blob.as_slice();
    let mut note = |sent| progress.push(sent);
    let digest = Digest::of(&blob);
    let (sent, received) = tokio::join!(mux.put_blob(&digest, blob.len() as u64, &mut content, &mut note), agent);
    sent.unwrap();
    assert!(received == blob);
    assert!(progress.is_sorted());
    assert_eq!(progress.last(), Some(&(blob.len() as u64)));
}

#[tokio::test]
async fn a_host_without_room_stops_a_blob() {
    let (mux, mut peer) = pair();
    let blob = pattern(2 * INITIAL_CREDIT as usize);
    let agent = async {
        let (id, _) = peer.expect(FrameKind::Request).await;
        peer.expect(FrameKind::Data).await;
        let failure = Failure { resource: None, message: "disk full".to_owned(), hint: None, log: Vec::new() };
        peer.say(Frame::response(id, &Response::Error(failure)).unwrap()).await;
        // The connection is as good as before; data that was on its way comes first.
        loop {
            let frame = peer.next().await.unwrap();
            if frame.kind == FrameKind::Request {
                return peer.ok(frame.id).await;
            }
        }
    };
    let mut content = blob.as_slice();
    let mut ignore = |_| {};
    let digest = Digest::of(&blob);
    let user = async {
        let sent = mux.put_blob(&digest, blob.len() as u64, &mut content, &mut ignore).await;
        (sent, lines_of(&mux, release("a")).await)
    };
    let ((sent, answer), ()) = tokio::join!(user, agent);
    assert_eq!(sent.unwrap_err().to_string(), "disk full");
    assert!(answer.0.is_ok());
}

#[tokio::test]
async fn a_blob_that_is_shorter_than_said_is_taken_back() {
    let (mux, mut peer) = pair();
    let digest = Digest::of(b"");
    let mut content = &b"short"[..];
    let mut ignore = |_| {};
    let agent = async {
        peer.expect(FrameKind::Request).await;
        peer.expect(FrameKind::Data).await;
        peer.expect(FrameKind::Reset).await;
    };
    let (sent, ()) = tokio::join!(mux.put_blob(&digest, 10, &mut content, &mut ignore), agent);
    assert!(sent.unwrap_err().to_string().contains("after 5 of 10 bytes"));
}

fn connect() -> Request {
    Request::Connect { address: address() }
}

/// Opens a tunnel.
async fn tunnel(mux: &Mux, peer: &mut Peer) -> (Box<dyn Stream>, u32) {
    let agent = async {
        let (id, _) = peer.expect(FrameKind::Request).await;
        peer.ok(id).await;
        id
    };
    let (stream, id) = tokio::join!(mux.stream(connect()), agent);
    (stream.unwrap(), id)
}

#[tokio::test]
async fn a_tunnel_carries_both_ways_and_ends_each_alone() {
    let (mux, mut peer) = pair();
    let (stream, id) = tunnel(&mux, &mut peer).await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let bytes = pattern(5 * INITIAL_CREDIT as usize + 1);
    let sending = async {
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let receiving = async {
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        received
    };
    // Echoes by the rules; the windows of both ends are counted by the shared types, which refuse a breach.
    let agent = async {
        let (mut send, mut receive) = (SendWindow::default(), ReceiveWindow::default());
        let mut waiting = std::collections::VecDeque::new();
        let mut ended = false;
        while !(ended && waiting.is_empty()) {
            let room = send.available().min(waiting.len());
            if room > 0 {
                let data: Vec<u8> = waiting.drain(..room).collect();
                send.sent(room);
                peer.say(Frame::data(id, data)).await;
                if let Some(credit) = receive.consumed(room) {
                    peer.say(Frame::credit(id, credit)).await;
                }
                continue;
            }
            let frame = peer.next().await.unwrap();
            match frame.kind {
                FrameKind::Data => {
                    receive.received(frame.payload.len()).unwrap();
                    waiting.extend(frame.payload);
                }
                FrameKind::Credit => send.grant(frame.credit_granted().unwrap()).unwrap(),
                FrameKind::End => ended = true,
                kind => panic!("{kind:?}"),
            }
        }
        peer.say(Frame::end(id)).await;
    };
    let ((), received, ()) = tokio::join!(sending, receiving, agent);
    assert!(received == bytes);
}

#[tokio::test]
async fn a_dropped_tunnel_sends_what_was_written_and_resets() {
    let (mux, mut peer) = pair();
    let (mut stream, id) = tunnel(&mux, &mut peer).await;
    stream.write_all(b"last words").await.unwrap();
    drop(stream);
    assert_eq!(peer.expect(FrameKind::Data).await, (id, b"last words".to_vec()));
    assert_eq!(peer.expect(FrameKind::End).await.0, id);
    assert_eq!(peer.expect(FrameKind::Reset).await.0, id);
}

#[tokio::test]
async fn a_reset_tunnel_is_an_error_not_an_end() {
    let (mux, mut peer) = pair();
    let (mut stream, id) = tunnel(&mux, &mut peer).await;
    peer.say(Frame::reset(id)).await;
    let error = stream.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_tunnel_that_nobody_reads_holds_nothing_up() {
    let (mux, mut peer) = pair();
    let (stream, id) = tunnel(&mux, &mut peer).await;
    for _ in 0..INITIAL_CREDIT as usize / MAX_DATA {
        peer.say(Frame::data(id, vec![0; MAX_DATA])).await;
    }
    let agent = async {
        loop {
            let frame = peer.next().await.unwrap();
            if frame.kind == FrameKind::Request {
                return peer.ok(frame.id).await;
            }
        }
    };
    let (answer, ()) = tokio::join!(lines_of(&mux, release("a")), agent);
    assert!(answer.0.is_ok());
    drop(stream);
}

#[tokio::test]
async fn a_hostile_host_is_hung_up_on() {
    let event = |id| Frame::event(id, &Event::Log { line: String::new() }).unwrap();
    let mut flood = vec![Frame::data(1, vec![0; MAX_DATA]); INITIAL_CREDIT as usize / MAX_DATA];
    flood.push(Frame::data(1, vec![0; 1]));
    for (name, frames, expected) in [
        ("another id", vec![event(7)], "exchange 7"),
        ("no id", vec![event(0)], "exchange 0"),
        ("a request", vec![Frame::request(1, &release("a")).unwrap()], "Request"),
        ("not JSON", vec![Frame { kind: FrameKind::Response, id: 1, payload: b"{".to_vec() }], "error at column"),
        ("credit beyond count", vec![Frame::credit(1, u32::MAX)], "more credit"),
        ("data beyond credit", flood, "more data"),
    ] {
        let (mux, mut peer) = pair();
        let asking = mux.stream(connect());
        let agent = async {
            peer.expect(FrameKind::Request).await;
            for frame in frames {
                peer.say(frame).await;
            }
            assert_eq!(peer.next().await, None, "{name}: the connection is closed");
        };
        let (answer, ()) = tokio::join!(asking, agent);
        let Err(AgentError::Protocol { reason, .. }) = answer else { panic!("{name}: no protocol error") };
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(mux.is_over());
        assert!(matches!(mux.request(&release("a"), &mut |_| {}).await, Err(AgentError::Protocol { .. })));
    }
}

#[tokio::test]
async fn garbage_is_no_frame_and_data_belongs_to_no_request() {
    for (bytes, expected) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "frame kind"),
        (vec![0, 0, 0, 6, 4, 0, 0, 0, 1, 42], "kind Data"),
    ] {
        let (mux, mut peer) = pair();
        let agent = async {
            peer.expect(FrameKind::Request).await;
            peer.raw(&bytes).await;
        };
        let (answer, ()) = tokio::join!(lines_of(&mux, release("a")), agent);
        let Err(AgentError::Protocol { reason, .. }) = answer.0 else { panic!("no protocol error") };
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_broken_connection_says_why() {
    let (mux, mut peer) = pair();
    let agent = async {
        peer.expect(FrameKind::Request).await;
        drop(peer);
    };
    let (answer, ()) = tokio::join!(lines_of(&mux, release("a")), agent);
    assert_eq!(answer.0.unwrap_err().to_string(), "the connection to db1 broke: the cable was cut");
    assert!(mux.stream(connect()).await.is_err());
}

#[tokio::test]
async fn an_abandoned_request_is_forgotten() {
    let (mux, mut peer) = pair();
    let id = {
        let mut ignore = |_| {};
        let request = release("a");
        let asking = mux.request(&request, &mut ignore);
        tokio::select! {
            _ = asking => panic!("nobody answered"),
            (id, _) = peer.expect(FrameKind::Request) => id,
        }
    };
    peer.ok(id).await;
    let agent = async {
        let (id, _) = peer.expect(FrameKind::Request).await;
        peer.ok(id).await;
    };
    let (answer, ()) = tokio::join!(lines_of(&mux, release("b")), agent);
    assert!(answer.0.is_ok());
    assert!(mux.exchanges.lock().open.is_empty());
}

#[tokio::test]
async fn the_last_user_ends_the_connection() {
    let (mux, mut peer) = pair();
    let other = mux.clone();
    drop(mux);
    let closing = other.closed();
    let agent = async {
        assert_eq!(peer.next().await, None);
        drop(peer);
    };
    tokio::join!(closing, agent);
}
