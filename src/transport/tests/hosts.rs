//! A site's hosts with the agent that was built along, through real sshds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire_deploy_agent::digest::{Digest, FingerprintKey};
use wire_deploy_agent::protocol::{Request, Response};

use super::sshd::{Sshd, server};
use crate::services::Network as _;
use crate::site::model::{BecomeRoot, Connection, Host, Kubernetes, Limits, Profile, SecretsLocation, Site, Ssh};
use crate::site::names::HostName;
use crate::site::secrets::Secrets;
use crate::transport::{AgentBinary, Hosts, Options};

#[allow(dead_code, reason = "its size is of no interest here")]
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/agent.rs"));
}

/// An sshd whose commands see a /var/lib of their own.
fn host() -> Sshd {
    Sshd::start(
        "ForceCommand exec unshare --mount sh -c 'mount --bind FOLDER /var/lib && exec sh -c \"$SSH_ORIGINAL_COMMAND\"'",
    )
}

fn entry(name: &str, sshd: &Sshd, jump: &[&str]) -> Host {
    let login = sshd.login();
    Host {
        name: name.into(),
        address: "127.0.0.1".parse().unwrap(),
        public_address: None,
        zone: "a".to_owned(),
        release: "bookworm".to_owned(),
        connection: Connection::Ssh(Ssh {
            address: login.policy.address,
            port: login.policy.port,
            user: login.user,
            key: login.key.map(|path| path.display().to_string()),
            agent: false,
            jump: jump.iter().map(|name| HostName::from(*name)).collect(),
            fingerprint: None,
            known_hosts: login.policy.file.display().to_string(),
            connect_timeout_seconds: 20,
        }),
        become_root: BecomeRoot::No,
    }
}

fn hosts(entries: Vec<Host>) -> (Hosts, Arc<Mutex<Vec<String>>>) {
    let site = Site {
        name: "test".to_owned(),
        domain: "test.example".to_owned(),
        profile: Profile {
            name: "ci".to_owned(),
            shared_kernel: true,
            shared_disks: true,
            gate_timeout_seconds: 1,
            clock_skew_seconds: 1,
        },
        hosts: entries,
        groups: BTreeMap::new(),
        settings: BTreeMap::new(),
        kubernetes: Kubernetes::default(),
        workloads: BTreeMap::new(),
        limits: Limits { hosts: 32, uploads: 4 },
        secrets: SecretsLocation { file: String::new(), identity: String::new() },
        templates: None,
        generations: BTreeMap::new(),
        artifacts: BTreeMap::new(),
    };
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&notices);
    let options = Options {
        accept_new_host_keys: true,
        agent: AgentBinary {
            digest: Digest::try_from(embedded::AGENT_SHA256.to_owned()).unwrap(),
            gzip: embedded::AGENT_GZ.into(),
        },
        notice: Arc::new(move |host, notice| told.lock().unwrap().push(format!("{host}: {notice}"))),
    };
    (Hosts::new(&site, options, &Secrets::new([7; 32], 0, BTreeMap::new(), BTreeMap::new())), notices)
}

async fn kernel(hosts: &Hosts, host: &str) -> String {
    let request = Request::Observe { resources: Vec::new(), key: FingerprintKey(vec![1]) };
    let agent = hosts.agent(&host.into()).await.unwrap();
    match agent.request(&request, &mut |_| {}).await.unwrap() {
        Response::Observed { facts, .. } => facts.kernel,
        response => panic!("{response:?}"),
    }
}

/// An echo server's address.
fn echo_server() -> core::net::SocketAddr {
    let port = server(|stream| {
        let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut &stream);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    });
    core::net::SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_observed_given_blobs_and_tunnelled_through() {
    let sshd = host();
    let (hosts, _) = hosts(vec![entry("db1", &sshd, &[])]);
    assert_eq!(kernel(&hosts, "db1").await, rustix::system::uname().release().to_str().unwrap());

    let blob: Vec<u8> = (0..3_000_000_u32).flat_map(|index| (index / 3).to_le_bytes()).collect();
    let (digest, size) = (Digest::of(&blob), blob.len() as u64);
    let agent = hosts.agent(&"db1".into()).await.unwrap();
    let mut last = 0;
    agent.put_blob(&digest, size, &mut blob.as_slice(), &mut |sent| last = sent).await.unwrap();
    assert_eq!(last, size);
    let absent = Digest::of(b"absent");
    let request = Request::MissingBlobs { blobs: vec![digest, absent.clone()] };
    let Ok(Response::Missing { blobs }) = agent.request(&request, &mut |_| {}).await else { panic!("no answer") };
    assert_eq!(blobs, [absent]);

    let host = HostName::from("db1");
    let (mut reader, mut writer) = tokio::io::split(hosts.open(&host, echo_server()).await.unwrap());
    let sending = async {
        writer.write_all(&blob).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (read, ()) = tokio::join!(reader.read_to_end(&mut received), sending);
    assert_eq!((read.unwrap(), received == blob), (blob.len(), true));
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut datagrams = hosts.datagrams(&host, server.local_addr().unwrap()).await.unwrap();
    datagrams.write_all(b"\0\x02hi").await.unwrap();
    let mut said = [0; 8];
    let (length, from) = server.recv_from(&mut said).unwrap();
    server.send_to(&said[..length], from).unwrap();
    let mut heard = [0; 4];
    datagrams.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"\0\x02hi");
    drop(datagrams);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(hosts.open(&host, closed).await.is_err());

    // One login served all of it, and ends in good order.
    hosts.close().await;
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "{}", sshd.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_drops_is_made_again() {
    let sshd = host();
    let (hosts, _) = hosts(vec![entry("db1", &sshd, &[])]);
    for _ in 0..2 {
        kernel(&hosts, "db1").await;
        let mut stream = hosts.open(&"db1".into(), echo_server()).await.unwrap();
        sshd.drop_connections();
        // Right away, before anything noticed: a request is repeated, a stream cannot be.
        kernel(&hosts, "db1").await;
        assert!(stream.read(&mut [0; 1]).await.is_err());
    }
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 3, "{}", sshd.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_behind_hosts_share_the_way() {
    let (gate, inner, db) = (host(), host(), host());
    let mut entries = vec![
        entry("gate", &gate, &[]),
        entry("inner", &inner, &["gate"]),
        entry("db0", &db, &["gate", "inner"]),
        entry("lost", &db, &["inner", "nowhere"]),
    ];
    // Many hosts that are one sshd.
    for index in 1..12 {
        let mut host = entries[2].clone();
        host.name = format!("db{index}").as_str().into();
        entries.push(host);
    }
    let (hosts, _) = hosts(entries);
    let names = (0..12).map(|index| format!("db{index}")).chain(["gate".to_owned(), "inner".to_owned()]);
    let hosts = &hosts;
    futures_util::future::join_all(names.map(|name| async move { kernel(hosts, &name).await })).await;
    for (sshd, logins) in [(&gate, 1), (&inner, 1), (&db, 12)] {
        assert_eq!(sshd.log().matches("Accepted publickey").count(), logins, "{}", sshd.log());
    }
    let error = hosts.agent(&"lost".into()).await.err().unwrap();
    assert!(error.reason.contains("nowhere"), "{error:?}");
    hosts.close().await;
}

#[tokio::test]
async fn a_new_host_key_is_told_of_and_an_unknown_host_is_refused() {
    let sshd = host();
    sshd.know("");
    let (hosts, notices) = hosts(vec![entry("db1", &sshd, &[])]);
    kernel(&hosts, "db1").await;
    let notices = notices.lock().unwrap().clone();
    assert!(notices.len() == 1 && notices[0].contains("db1: accepted the new host key SHA256:"), "{notices:?}");
    let error = hosts.agent(&"db2".into()).await.err().unwrap();
    assert_eq!(error.to_string(), "db2: it is not in the inventory");
}

/// The test runs itself once more where `/var/lib` is a folder of its own.
#[tokio::test]
async fn this_machine_is_a_host_without_ssh() {
    const INSIDE: &str = "WIRE_DEPLOY_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_none() {
        let folder = tempfile::tempdir().unwrap();
        let again = "mount --bind \"$1\" /var/lib && \
                     exec \"$2\" --exact transport::tests::hosts::this_machine_is_a_host_without_ssh";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", again, "sh"]).arg(folder.path()).arg(std::env::current_exe().unwrap());
        let output = command.env(INSIDE, "").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(folder.path().join("wire-deploy/agent").join(embedded::AGENT_SHA256).exists(), "it ran elsewhere");
        return;
    }
    let sshd = host();
    let here = Host { connection: Connection::Local, ..entry("here", &sshd, &[]) };
    let (hosts, _) = hosts(vec![here, entry("beyond", &sshd, &["here"])]);
    assert_eq!(kernel(&hosts, "here").await, rustix::system::uname().release().to_str().unwrap());
    let error = hosts.agent(&"beyond".into()).await.err().unwrap();
    assert!(error.reason.contains("on the way, here: it is this machine"), "{error:?}");
    hosts.close().await;
}
