//! The agent as a process of its own, on a temporary folder, spoken to in frames.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;

use std::collections::VecDeque;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;

use client::{Agent, send};
use wire_deploy_agent::diff::diff;
use wire_deploy_agent::digest::{Digest, FingerprintKey};
use wire_deploy_agent::protocol::{
    Event, Frame, FrameKind, INITIAL_CREDIT, ReceiveWindow, Request, Response, SendWindow,
};
use wire_deploy_agent::resource::{Content, Directory, Exec, File, Mode, Owner, Ownership, Resource};
use wire_deploy_agent::state::Lease;

/// Who asks.
const RUN: &str = "run";

fn start() -> (Agent, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    fs::write(folder.path().join("etc/passwd"), format!("me:x:{user}:{group}::/:\n")).unwrap();
    fs::write(folder.path().join("etc/group"), format!("us:x:{group}:\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wire-deploy-agent"));
    (Agent::start(command.arg("--root").arg(folder.path())), folder)
}

fn key() -> FingerprintKey {
    FingerprintKey(b"key".to_vec())
}

fn owner() -> Owner {
    Owner { user: "me".to_owned(), group: "us".to_owned() }
}

fn file(path: &str, content: Content) -> Resource {
    Resource::File(File {
        path: path.to_owned(),
        owner: owner(),
        mode: Mode(0o600),
        content,
        sensitive: false,
        ownership: Ownership::Ours,
    })
}

#[test]
fn the_clock_is_read_when_the_request_arrives_and_when_the_answer_is_ready() {
    let (mut agent, _folder) = start();
    let Resource::Exec(exec) = sleep("slow", "0", "/nowhere") else { panic!("no command") };
    let slow = Exec { check: vec!["sleep".to_owned(), "0.4".to_owned()], ..exec };
    let observe = Request::Observe { resources: vec![Resource::Exec(slow)], key: key() };
    let response = agent.ask(1, &observe);
    let Response::Observed { facts, .. } = response else { panic!("{response:?}") };
    assert!(facts.answered - facts.clock >= 400, "{} to {}", facts.clock, facts.answered);
}

fn sleep(name: &str, seconds: &str, marker: &str) -> Resource {
    Resource::Exec(Exec {
        name: name.to_owned(),
        check: vec!["test".to_owned(), "-e".to_owned(), marker.to_owned()],
        command: vec!["sh".to_owned(), "-c".to_owned(), format!("sleep {seconds}; touch {marker}")],
        environment: Default::default(),
        once: false,
        undo: Vec::new(),
        timeout_seconds: 60,
    })
}

fn apply(resources: Vec<Resource>, transaction: Option<&str>) -> Request {
    Request::Apply { run: RUN.to_owned(), resources, key: key(), transaction: transaction.map(str::to_owned) }
}

#[test]
fn only_the_run_that_holds_the_host_may_change_it() {
    let (mut agent, _folder) = start();
    let run = |run: &str| run.to_owned();
    let lease = |holder: &str| Lease {
        holder: "root@there".to_owned(),
        run: run(holder),
        machine: "m".to_owned(),
        process: 1,
        since: 0,
        expires: 0,
    };
    let take = |holder: &str, seconds, force| Request::Lease { lease: lease(holder), seconds, force };
    let resources = vec![file("/etc/conf", Content::Text("text".to_owned()))];
    let changes = [
        apply(resources.clone(), None),
        Request::ForgetStarts { run: run(RUN), units: vec!["a.service".to_owned()] },
        Request::PutBack { run: run(RUN), transaction: "run-1".to_owned() },
        Request::Remove { run: run(RUN), resources },
    ];
    assert!(matches!(agent.ask(1, &take(RUN, 60, false)), Response::Ok));
    assert!(matches!(agent.ask(2, &changes[0]), Response::Ok));
    // As if this run had slept for too long.
    assert!(matches!(agent.ask(3, &take("other", 60, true)), Response::Ok));
    for (id, change) in (4..).zip(&changes) {
        let answer = agent.ask(id, change);
        assert!(matches!(&answer, Response::LeaseHeld { lease } if lease.run == "other"), "{answer:?}");
    }
    assert!(matches!(agent.ask(8, &Request::Release { run: run("other") }), Response::Ok));
    for (id, change) in (9..).zip(&changes) {
        let answer = agent.ask(id, change);
        assert!(!matches!(answer, Response::LeaseHeld { .. }), "nobody holds it: {answer:?}");
    }
}

#[test]
fn what_is_applied_is_found() {
    let (mut agent, folder) = start();
    let content = b"a binary".repeat(100_000);
    let blob = Digest::of(&content);
    let directory = Directory { path: "/etc/thing".to_owned(), owner: owner(), mode: Mode(0o700), data: false };
    let resources = vec![
        Resource::Directory(directory),
        file("/etc/thing/conf", Content::Text("text".to_owned())),
        file("/etc/thing/binary", Content::Blob(blob.clone())),
    ];
    let observe = Request::Observe { resources: resources.clone(), key: key() };
    let changes = |response: Response| {
        let Response::Observed { states, facts, lease } = response else { panic!("{response:?}") };
        assert!(facts.clock > 0 && lease.is_none());
        resources.iter().zip(states).filter(|(resource, state)| diff(resource, state, &key()).is_some()).count()
    };
    assert_eq!(changes(agent.ask(1, &observe)), 3);

    let missing = Request::MissingBlobs { blobs: vec![blob.clone()] };
    assert!(matches!(agent.ask(2, &missing), Response::Missing { blobs } if blobs == [blob.clone()]));
    assert_eq!(agent.put_blob(3, &content), blob);
    assert!(matches!(agent.ask(4, &missing), Response::Missing { blobs } if blobs.is_empty()));

    let apply = apply(resources.clone(), Some("run-1"));
    let applied = |events: &[Event], changed| {
        events.iter().filter(|event| matches!(event, Event::Applied { changed: did, .. } if *did == changed)).count()
    };
    agent.request(5, &apply);
    let (response, events) = agent.response(5);
    assert!(matches!(response, Response::Ok), "{response:?}");
    assert_eq!(applied(&events, true), 3);
    assert_eq!(changes(agent.ask(6, &observe)), 0);
    agent.request(7, &apply);
    assert_eq!(applied(&agent.response(7).1, false), 3, "the second time nothing is to be done");
    assert!(matches!(
        agent.ask(8, &Request::PutBack { run: RUN.to_owned(), transaction: "run-1".to_owned() }),
        Response::Ok
    ));
    assert_eq!(changes(agent.ask(9, &observe)), 2, "the folder stays");

    assert!(matches!(agent.ask(10, &Request::Uninstall), Response::Ok));
    assert!(agent.next().is_none(), "the agent has ended");
    assert!(!folder.path().join("var/lib/wire-deploy").exists());
}

#[test]
fn former_agents_are_removed_and_what_is_on_its_way_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let agents = folder.path().join("var/lib/wire-deploy/agent");
    fs::create_dir_all(&agents).unwrap();
    let (own, former) = (Digest::of(b"this agent").to_string(), Digest::of(b"a former agent").to_string());
    fs::copy(env!("CARGO_BIN_EXE_wire-deploy-agent"), agents.join(&own)).unwrap();
    for name in [&former, "new-1", "new-2"] {
        fs::write(agents.join(name), "").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    fs::File::options().write(true).open(agents.join("new-1")).unwrap().set_modified(long_ago).unwrap();
    let agent = Agent::start(Command::new(agents.join(&own)).arg("--root").arg(folder.path()));
    assert_eq!(agent.end(), (true, String::new()));
    let mut left: Vec<_> = fs::read_dir(&agents).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let mut expected = [own.as_str(), "new-2"];
    expected.sort_unstable();
    assert_eq!(left, expected);
}

#[test]
fn a_blob_that_is_not_what_it_should_be_is_refused() {
    let (mut agent, _folder) = start();
    let blob = Digest::of(b"content");
    for (id, sent) in [(1, &b"contenu"[..]), (2, b"conten"), (3, b"contents")] {
        agent.request(id, &Request::PutBlob { blob: blob.clone(), size: 7 });
        agent.send(&Frame::data(id, sent.to_vec()));
        agent.send(&Frame::end(id));
        assert!(matches!(agent.response(id).0, Response::Error(_)));
    }
    let missing = Request::MissingBlobs { blobs: vec![blob.clone()] };
    assert!(matches!(agent.ask(4, &missing), Response::Missing { blobs } if blobs == [blob]));
}

#[test]
fn a_lease_is_seen_and_respected_by_another_agent() {
    let (mut agent, _folder) = start();
    let lease = |run: &str| Lease {
        holder: "me@here".to_owned(),
        run: run.to_owned(),
        machine: "m".to_owned(),
        process: 1,
        since: 0,
        expires: 0,
    };
    let take = |run: &str, force| Request::Lease { lease: lease(run), seconds: 60, force };
    assert!(matches!(agent.ask(1, &take("a", false)), Response::Ok));
    assert!(matches!(agent.ask(2, &take("b", false)), Response::LeaseHeld { lease } if lease.run == "a"));
    let observe = Request::Observe { resources: Vec::new(), key: key() };
    assert!(matches!(agent.ask(3, &observe), Response::Observed { lease: Some(lease), .. } if lease.run == "a"));
    assert!(matches!(agent.ask(4, &take("b", true)), Response::Ok));
    assert!(matches!(agent.ask(5, &Request::Release { run: "b".to_owned() }), Response::Ok));
    assert!(matches!(agent.ask(6, &observe), Response::Observed { lease: None, .. }));
}

/// A server that sends back what it gets until the client has no more.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut buffer = vec![0; 10_000];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..length]).unwrap();
                }
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

#[test]
fn tunnels_carry_much_both_ways_at_once_beside_other_requests() {
    const TOTAL: usize = 8 * 1024 * 1024;
    const TUNNELS: u32 = 3;
    let (mut agent, _folder) = start();
    let address = echo_server();
    for id in 1..=TUNNELS {
        assert!(matches!(agent.ask(id, &Request::Connect { address }), Response::Ok));
    }
    let byte =
        |id: u32, position: usize| (position as u32).wrapping_mul(id + 1).wrapping_add(position as u32 >> 8) as u8;
    // One thread does what the command line does: it sends what the credit allows and reads what comes.
    let mut sending: Vec<(SendWindow, usize)> = vec![Default::default(); TUNNELS as usize];
    let mut receiving: Vec<(ReceiveWindow, usize, bool)> = vec![Default::default(); TUNNELS as usize];
    let mut queue = VecDeque::new();
    let mut input = agent.input.take().unwrap();
    let (frames, queued) = std::sync::mpsc::channel::<Frame>();
    let writer = thread::spawn(move || {
        for frame in queued {
            send(&mut input, &frame);
        }
        input
    });
    let mut observed = 0;
    frames.send(Frame::request(100, &Request::Observe { resources: Vec::new(), key: key() }).unwrap()).unwrap();
    while receiving.iter().any(|(_, _, ended)| !ended) {
        for id in 1..=TUNNELS {
            let (window, sent) = &mut sending[id as usize - 1];
            while *sent < TOTAL && window.available() > 0 {
                let length = window.available().min(TOTAL - *sent).min(7001);
                let bytes = (*sent..*sent + length).map(|position| byte(id, position)).collect();
                queue.push_back(Frame::data(id, bytes));
                window.sent(length);
                *sent += length;
                if *sent == TOTAL {
                    queue.push_back(Frame::end(id));
                }
            }
        }
        for frame in queue.drain(..) {
            frames.send(frame).unwrap();
        }
        let frame = agent.next().expect("the agent ended");
        if frame.id == 100 + observed {
            assert_eq!(frame.kind, FrameKind::Response);
            observed += 1;
            let request = Request::Observe { resources: Vec::new(), key: key() };
            frames.send(Frame::request(100 + observed, &request).unwrap()).unwrap();
            continue;
        }
        let (window, received, ended) = &mut receiving[frame.id as usize - 1];
        match frame.kind {
            FrameKind::Credit => {
                sending[frame.id as usize - 1].0.grant(frame.credit_granted().unwrap()).unwrap();
            }
            FrameKind::Data => {
                window.received(frame.payload.len()).expect("the agent sends more than it was granted");
                let right =
                    frame.payload.iter().enumerate().all(|(at, found)| *found == byte(frame.id, *received + at));
                assert!(right, "tunnel {} after {received} bytes", frame.id);
                *received += frame.payload.len();
                if let Some(credit) = window.consumed(frame.payload.len()) {
                    frames.send(Frame::credit(frame.id, credit)).unwrap();
                }
            }
            FrameKind::End => {
                assert_eq!(*received, TOTAL);
                *ended = true;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(observed > 0, "requests were answered meanwhile");
    drop(frames);
    agent.input = Some(writer.join().unwrap());
    let status = fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u32 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 16 * 1024, "{peak} kB resident, in a build that is not optimised for size");
    assert_eq!(agent.end(), (true, String::new()));
}

#[test]
fn a_reader_that_grants_nothing_holds_up_only_its_own_tunnel() {
    let (mut agent, _folder) = start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let flood = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut sent = 0;
        while let Ok(length) = stream.write(&[7; 64 * 1024]) {
            sent += length;
        }
        sent
    });
    assert!(matches!(agent.ask(1, &Request::Connect { address }), Response::Ok));
    let mut received = 0;
    while received < INITIAL_CREDIT as usize {
        let frame = agent.next().unwrap();
        assert_eq!(frame.kind, FrameKind::Data);
        received += frame.payload.len();
    }
    assert_eq!(received, INITIAL_CREDIT as usize);
    let observe = Request::Observe { resources: Vec::new(), key: key() };
    assert!(matches!(agent.ask(2, &observe), Response::Observed { .. }), "and no data in between");
    agent.send(&Frame::reset(1));
    assert!(flood.join().unwrap() > received, "the server is told that nobody listens");
    assert!(matches!(agent.ask(3, &observe), Response::Observed { .. }));
}

#[test]
fn datagrams_stay_whole_both_ways() {
    let (mut agent, _folder) = start();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    assert!(matches!(agent.ask(1, &Request::Datagrams { address }), Response::Ok));
    // Two at once, the second one in pieces.
    agent.send(&Frame::data(1, b"\0\x05hello\0\x03b".to_vec()));
    agent.send(&Frame::data(1, b"ye".to_vec()));
    let mut buffer = [0; 100];
    let mut from = None;
    for expected in [&b"hello"[..], b"bye"] {
        let (length, sender) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], expected);
        from = Some(sender);
    }
    for said in [&b"one"[..], b"", b"three"] {
        server.send_to(said, from.unwrap()).unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < 14 {
        heard.extend(agent.next().unwrap().payload);
    }
    assert_eq!(heard, b"\0\x03one\0\0\0\x05three");
    agent.send(&Frame::end(1));
    assert_eq!(agent.next().unwrap(), Frame::end(1));
    assert_eq!(agent.end(), (true, String::new()));
}

#[test]
fn connections_end_as_they_should() {
    let (mut agent, _folder) = start();
    // Nobody listens.
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Response::Error(failure) = agent.ask(1, &Request::Connect { address: unused }) else { panic!("connected") };
    assert!(failure.message.contains("refused"), "{failure}");
    // The server ends first, and still gets what is sent afterwards.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        rest
    });
    assert!(matches!(agent.ask(2, &Request::Connect { address }), Response::Ok));
    assert_eq!(agent.next().unwrap(), Frame::data(2, b"hello".to_vec()));
    assert_eq!(agent.next().unwrap(), Frame::end(2));
    agent.send(&Frame::data(2, b"bye".to_vec()));
    agent.send(&Frame::end(2));
    assert_eq!(server.join().unwrap(), "bye");
    // The server breaks off.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert!(matches!(agent.ask(3, &Request::Connect { address }), Response::Ok));
    agent.send(&Frame::data(3, b"unread".to_vec()));
    let (stream, _) = listener.accept().unwrap();
    let mut first = [0; 1];
    (&stream).read_exact(&mut first).unwrap();
    drop::<TcpStream>(stream);
    assert_eq!(agent.next().unwrap(), Frame::reset(3));
    // What crosses the end of an exchange is no offence.
    agent.send(&Frame::data(3, b"late".to_vec()));
    agent.send(&Frame::end(3));
    agent.send(&Frame::credit(3, 1));
    assert_eq!(agent.end(), (true, String::new()));
}

#[test]
fn whoever_breaks_the_protocol_is_hung_up_on() {
    let observe = Frame::request(1, &Request::Observe { resources: Vec::new(), key: key() }).unwrap();
    let mut too_much_credit = Vec::new();
    Frame::request(1, &Request::Connect { address: echo_server() }).unwrap().encode(&mut too_much_credit).unwrap();
    Frame::credit(1, u32::MAX).encode(&mut too_much_credit).unwrap();
    let mut no_request = Vec::new();
    Frame { payload: b"{\"request\":\"observe\",\"key\":\"hunter2\"}".to_vec(), ..observe }
        .encode(&mut no_request)
        .unwrap();
    let garbage = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec();
    for bytes in [garbage, vec![0xff; 4096], no_request, vec![0, 0, 0, 1, 1], too_much_credit] {
        let (mut agent, _folder) = start();
        // The agent may hang up before everything is written.
        let _ = agent.input.as_mut().unwrap().write_all(&bytes);
        while agent.next().is_some() {}
        let (well, said) = agent.end();
        assert!(!well && said.contains("breaks the protocol") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_resource_in_hand_is_finished_when_the_operator_is_gone() {
    let (mut agent, folder) = start();
    let markers = ["first", "second"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let resources = vec![sleep("first", "0.5", &markers[0]), sleep("second", "0.5", &markers[1])];
    agent.request(1, &apply(resources, None));
    assert_eq!(agent.next().unwrap().kind, FrameKind::Event);
    let (well, _) = agent.end();
    assert!(well);
    assert!(folder.path().join("first").exists() && !folder.path().join("second").exists());
}

#[test]
fn an_agent_without_a_reader_still_finishes() {
    let (mut agent, folder) = start();
    let marker = folder.path().join("marker").to_str().unwrap().to_owned();
    agent.request(1, &apply(vec![sleep("a", "0.5", &marker)], None));
    assert_eq!(agent.next().unwrap().kind, FrameKind::Event);
    let Agent { mut child, input, output, .. } = agent;
    drop((input, output));
    assert!(child.wait().unwrap().success());
    assert!(folder.path().join("marker").exists());
}
