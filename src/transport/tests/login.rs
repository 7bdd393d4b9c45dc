//! Who is let in, and who is not.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::sshd::{Sshd, keygen, server};
use crate::transport::Problem;
use crate::transport::ssh::{Login, Session};

/// What a command says, through a session of its own.
async fn output(login: Login, command: &str) -> Result<String, Problem> {
    let (session, _) = Session::connect(login, None).await?;
    let mut link = Arc::new(session).run(command.to_owned()).await.unwrap();
    let mut text = String::new();
    link.reader.read_to_string(&mut text).await.unwrap();
    Ok(text)
}

async fn problem(login: Login) -> Problem {
    output(login, "true").await.expect_err("this should have been refused")
}

#[tokio::test]
async fn a_command_has_its_streams_and_its_end() {
    let sshd = Sshd::start("");
    assert_eq!(output(sshd.login(), "echo hello").await.unwrap(), "hello\n");
    let (session, notice) = Session::connect(sshd.login(), None).await.unwrap();
    assert_eq!(notice, None);
    let session = Arc::new(session);
    for (command, code, reason) in [
        ("echo out; echo err >&2; exit 3", Some(3), "it ended with exit code 3"),
        ("echo out; echo err >&2; kill -9 $$", None, "it was ended by signal KILL"),
    ] {
        let mut link = session.run(command.to_owned()).await.unwrap();
        let mut text = String::new();
        link.reader.read_to_string(&mut text).await.unwrap();
        let ended = link.ended.await;
        assert_eq!((text.as_str(), link.diagnostics.text().as_str()), ("out\n", "err\n"));
        assert_eq!((ended.code, ended.reason.as_str()), (code, reason));
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_the_methods_that_would_do() {
    let sshd = Sshd::start("");
    keygen(&sshd.path("other"), "ed25519");
    let refused = problem(Login { key: Some(sshd.path("other")), ..sshd.login() }).await;
    assert!(refused.reason.contains("refuses to let root in with"), "{refused:?}");
    assert!(refused.reason.contains("it takes publickey"), "{refused:?}");
    let refused = problem(Login { key: None, ..sshd.login() }).await;
    assert!(refused.reason.contains("nothing to log in"), "{refused:?}");
}

#[tokio::test]
async fn keys_of_all_types_log_in() {
    let sshd = Sshd::start("");
    for kind in ["rsa", "ecdsa"] {
        let key = sshd.path(kind);
        keygen(&key, kind);
        std::fs::copy(sshd.path(&format!("{kind}.pub")), sshd.path("authorized")).unwrap();
        assert_eq!(output(Login { key: Some(key), ..sshd.login() }, "echo in").await.unwrap(), "in\n", "{kind}");
    }
}

#[tokio::test]
async fn each_type_of_host_key_may_be_the_known_one() {
    let sshd = Sshd::start_with_rsa();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        sshd.know(&format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key(kind)));
        assert_eq!(output(sshd.login(), "echo known").await.unwrap(), "known\n", "{kind}");
    }
}

#[tokio::test]
async fn a_pinned_fingerprint_of_any_type_is_found() {
    let sshd = Sshd::start_with_rsa();
    sshd.know("");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let mut login = sshd.login();
        login.policy.fingerprint = Some(sshd.fingerprint(kind));
        assert_eq!(output(login, "echo pinned").await.unwrap(), "pinned\n", "{kind}");
    }
    let mut login = sshd.login();
    let other = Sshd::start("");
    login.policy.fingerprint = Some(other.fingerprint("ed25519"));
    let refused = problem(login).await;
    assert!(refused.reason.contains("is not the pinned one"), "{refused:?}");
    assert!(refused.reason.contains(&sshd.fingerprint("ed25519")), "{refused:?}");
}

#[tokio::test]
async fn a_changed_revoked_or_unknown_host_is_refused() {
    let (sshd, other) = (Sshd::start(""), Sshd::start(""));
    let name = format!("[127.0.0.1]:{}", sshd.port);
    let own = sshd.host_key("ed25519");
    for (known, expected) in [
        (String::new(), "is not known"),
        (format!("# first\n{name} {}\n", other.host_key("ed25519")), "known_hosts:2 has"),
        (format!("{name} {own}\n@revoked * {own}\n"), "is revoked by"),
        (format!("@cert-authority {name} {own}\n"), "trusts an authority"),
    ] {
        sshd.know(&known);
        let refused = problem(sshd.login()).await;
        assert!(refused.reason.contains(expected), "{refused:?}");
        assert!(refused.reason.contains(&sshd.fingerprint("ed25519")), "{refused:?}");
        // Nothing was said to the host about who wanted in.
        assert!(!sshd.log().contains("for root"), "{}", sshd.log());
    }
}

#[tokio::test]
async fn a_new_host_is_accepted_once_when_that_is_said() {
    let sshd = Sshd::start("");
    sshd.know("");
    let mut login = sshd.login();
    login.policy.accept_new = true;
    let (_, notice) = Session::connect(login, None).await.unwrap();
    assert!(notice.unwrap().contains(&sshd.fingerprint("ed25519")));
    let (_, notice) = Session::connect(sshd.login(), None).await.unwrap();
    assert_eq!(notice, None);
}

#[tokio::test]
async fn what_is_no_sshd_is_said_clearly() {
    let sshd = Sshd::start("");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let web = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let flood = server(|mut stream| while stream.write_all(&b"spam and eggs\n".repeat(100)).is_ok() {});
    let silent = server(|stream| {
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    });
    let rude = server(drop);
    for (port, expected) in [
        (closed, "refuses the connection"),
        (web, "does not speak SSH: it says \"HTTP/1.1 400 Bad Request\""),
        (flood, "has not let us in within 2 seconds"),
        (silent, "has not let us in within 2 seconds"),
        (rude, "the host closed the connection"),
    ] {
        let mut login = Login { timeout: Duration::from_secs(2), ..sshd.login() };
        login.policy.port = port;
        let refused = problem(login).await;
        assert!(refused.reason.contains(expected), "{refused:?}");
    }
    let mut login = sshd.login();
    login.policy.address = "no-such-host.invalid".to_owned();
    let refused = problem(login).await;
    assert!(refused.reason.contains("no-such-host.invalid cannot be looked up"), "{refused:?}");
}

#[tokio::test]
async fn the_ssh_agents_keys_log_in() {
    let sshd = Sshd::start("");
    let socket = sshd.path("agent");
    let with_agent = || Login { key: None, agent: true, agent_socket: Some(socket.clone()), ..sshd.login() };
    let refused = problem(Login { agent_socket: None, ..with_agent() }).await;
    assert!(refused.reason.contains("SSH_AUTH_SOCK is not set"), "{refused:?}");
    let refused = problem(with_agent()).await;
    assert!(refused.reason.contains("the SSH agent cannot be used"), "{refused:?}");

    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let add = |key: &str| {
        let added = Command::new("ssh-add").arg("-q").arg(sshd.path(key)).env("SSH_AUTH_SOCK", &socket).output();
        added.unwrap().status.success()
    };
    let empty = output(with_agent(), "true").await;
    keygen(&sshd.path("other"), "ed25519");
    let wrong = (add("other"), output(with_agent(), "true").await);
    let right = (add("user"), output(with_agent(), "echo in").await);
    let _ = (agent.kill(), agent.wait());
    assert!(empty.unwrap_err().reason.contains("it has no key"));
    assert!(wrong.0 && wrong.1.unwrap_err().reason.contains("with 1 keys of the SSH agent"));
    assert_eq!((right.0, right.1.unwrap().as_str()), (true, "in\n"));
}
