//! The ingress' configuration in a real nginx, run by the script that its pods run, between a client behind a load balancer and small
//! backends that say what they were asked.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::{DAY, World};
use crate::site::certificates::{Authority, Request};
use crate::site::secrets::Secrets;

pub(super) const SITE: &str = "format: 1\nsite: test\ndomain: example.com\nprofile: ci\ninventory: hosts.yaml\nworkloads:\n  nginz: {}\n  webapp: {}\n  \
                    account-pages: {}\n  team-settings: {}\n";
/// The addresses are put in the place of this machine's own, which an inventory may not name.
pub(super) const HOSTS: &str = "hosts:\n  host1: {address: 10.0.0.1}\n  db1: {address: 10.0.0.2}\n  db2: {address: 10.0.0.3}\n  db3: {address: 10.0.0.4}\ngroups:\n  \
                     load-balancer: {hosts: [host1, db1]}\n  etcd: {hosts: [db1, db2, db3]}\n  kubernetes: {hosts: [host1]}\n  \
                     kubernetes-control-plane: {hosts: [host1]}\n  minio: {hosts: [db1, db2, db3]}\n";
/// Where the client is, as the load balancer tells.
const CLIENT: &str = "192.0.2.7";

/// A stream to a server or from a client.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Ports of this machine that nobody listens at now.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    ports.try_into().unwrap()
}

/// Answers every request with its own name and what it was asked; what asks for a websocket gets all back that it sends.
fn answer(name: &str, stream: &mut dyn Stream) {
    while let Some(head) = head_of(stream) {
        if head.to_lowercase().contains("upgrade: websocket") {
            let _ = stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
            let mut buffer = [0; 256];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(&buffer[..length]).and_then(|()| stream.flush());
            }
            return;
        }
        let body = format!("{name}\n{head}");
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let _ = stream.flush();
    }
}

/// The head of a request or an answer; nothing when the stream ends.
fn head_of(stream: &mut dyn Stream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

/// A backend of a name until the test ends, with TLS if it has a certificate. Returns its port.
fn backend(name: &'static str, certificate: Option<(String, String)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = certificate.map(|(chain, key)| {
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tls) = (stream.unwrap(), tls.clone());
            std::thread::spawn(move || match tls {
                None => answer(name, &mut stream),
                Some(tls) => answer(name, &mut StreamOwned::new(ServerConnection::new(tls).unwrap(), stream)),
            });
        }
    });
    port
}

/// A folder as the pod sees it, and nginx running in it.
struct Edge {
    world: World,
    folder: tempfile::TempDir,
    supervisor: Child,
    proxy: u16,
    health: u16,
    direct: u16,
}

impl Edge {
    fn start() -> Self {
        Self::before(["webapp", "account-pages", "team-settings"].map(|name| backend(name, None)))
    }

    /// Before pages of these ports: the web client's, the account's, the teams'.
    fn before(pages: [u16; 3]) -> Self {
        let [proxy, health, direct] = free_ports();
        let settings =
            format!("{{proxy_port: {proxy}, health_port: {health}, direct_port: {direct}, body_megabytes: 1}}");
        let mut world = World::of(&format!("{SITE}  ingress: {settings}\n"), HOSTS);
        // The load balancers are 127.0.0.1 and 127.0.0.2; whoever comes from another address is a stranger.
        for (host, last) in world.site.hosts.iter_mut().zip(1_u8..) {
            host.address = [127, 0, 0, last].into();
        }
        // The certificate is one that is soon replaced, and good by the clock of this machine.
        world.time = jiff::Timestamp::now().as_millisecond() - 560 * DAY;
        world.secrets = Secrets::new([7; 32], world.time, BTreeMap::new(), BTreeMap::new());
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["ingress", "certificate", "state"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::set_permissions(folder.path().join("state"), fs::Permissions::from_mode(0o777)).unwrap();
        let place = folder.path().to_str().unwrap().to_owned();
        let store = node_certificate(&world, "db1");
        let stores = [2, 3, 4].map(|last| (format!("127.0.0.{last}:9000"), backend("minio", Some(store.clone()))));
        let names = ["webapp", "account-pages", "team-settings"].map(|name| format!("{name}.wire.svc:8080"));
        let pages = names.into_iter().zip(pages).collect::<Vec<_>>();
        let nginz = [("nginz.wire.svc:8080", "nginz"), ("nginz.wire.svc:8081", "nginz for websockets")];
        let nginz = nginz.map(|(address, name)| (address.to_owned(), backend(name, None)));
        for (name, text) in world.object("ingress", "ConfigMap", "ingress")["data"].as_object().unwrap() {
            // The folder of what changes first: both are below /tmp here.
            let text = text.as_str().unwrap().replace("/tmp/", &format!("{place}/state/"));
            let mut text = text.replace("/etc/nginx", &place);
            for (address, port) in stores.iter().chain(&pages).chain(&nginz) {
                text = text.replace(address, &format!("127.0.0.1:{port}"));
            }
            fs::write(folder.path().join("ingress").join(name), text).unwrap();
        }
        put_certificate(folder.path(), &world);
        let log = fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let mut command = Command::new("/bin/busybox");
        command.arg("sh").arg(folder.path().join("ingress/supervise.sh")).process_group(0).stdin(Stdio::null());
        command.env("FOLDER", &place).env("STATE", folder.path().join("state")).env("INTERVAL", "0.2");
        let supervisor = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let edge = Self { world, folder, supervisor, proxy, health, direct };
        edge.until("it listens", || TcpStream::connect(("127.0.0.1", health)).is_ok());
        edge
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < end, "waited in vain until {what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A connection from a source address through the load balancer, or a stranger that says it were one.
    fn proxied(&self, source: &str, name: &str) -> std::io::Result<Box<dyn Tls>> {
        let mut stream = connect_from(source, self.proxy)?;
        // In one piece: nginx does not wait for the rest.
        stream.write_all(format!("PROXY TCP4 {CLIENT} 203.0.113.1 4711 443\r\n").as_bytes())?;
        shake_hands(&self.world, stream, name)
    }

    /// The status and the body of a request for a path of a host, behind the load balancer.
    fn get(&self, host: &str, path: &str) -> (u16, String) {
        let mut stream = self.proxied("127.0.0.1", host).unwrap();
        request(&mut *stream, "GET", host, path, "")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.supervisor.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // All may have ended already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.supervisor.wait();
    }
}

/// A TLS stream of ours.
trait Tls: Read + Write {
    fn shown(&self) -> CertificateDer<'static>;
    fn protocol(&self) -> Option<Vec<u8>>;
}

impl Tls for StreamOwned<ClientConnection, TcpStream> {
    fn shown(&self) -> CertificateDer<'static> {
        self.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    fn protocol(&self) -> Option<Vec<u8>> {
        self.conn.alpn_protocol().map(<[u8]>::to_vec)
    }
}

fn connect_from(source: &str, port: u16) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0))?;
        let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    })
}

/// As a client that believes the site's own authority, which speaks HTTP/1.1.
fn shake_hands(world: &World, stream: TcpStream, name: &str) -> std::io::Result<Box<dyn Tls>> {
    shake_hands_for(world, stream, name, b"http/1.1")
}

fn shake_hands_for(world: &World, mut stream: TcpStream, name: &str, protocol: &[u8]) -> std::io::Result<Box<dyn Tls>> {
    let authority = Authority::new(&world.secrets, &"ingress".into(), "edge").certificate().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let mut connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    connection.complete_io(&mut stream)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn request(stream: &mut dyn Tls, method: &str, host: &str, path: &str, headers: &str) -> (u16, String) {
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n").unwrap();
    stream.flush().unwrap();
    let mut text = Vec::new();
    // nginx may end the connection without the farewell of TLS.
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, text)
}

/// The status of a GET by HTTP/2 (RFC 9113), as its answer's first byte tells.
fn status_by_http2(stream: &mut dyn Tls, host: &str) -> u8 {
    // GET, https, /, and a literal authority.
    let head = [&[0x82, 0x87, 0x84, 0x41, u8::try_from(host.len()).unwrap()], host.as_bytes()].concat();
    let length = u8::try_from(head.len()).unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let frame = [0, 0, length, 1, 5, 0, 0, 0, 1];
    stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &frame, &head].concat()).unwrap();
    stream.flush().unwrap();
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).unwrap();
        let mut payload = vec![0; usize::from(u16::from_be_bytes([frame[1], frame[2]]))];
        stream.read_exact(&mut payload).unwrap();
        if frame[3] == 1 {
            return payload[0];
        }
    }
}

/// What nginx answers to a client that knows TLS 1.1 at most.
fn hello_of_tls_1_1(stream: &mut TcpStream) -> Vec<u8> {
    let body = [&[3, 2][..], &[7; 32], &[0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]].concat();
    let length = u8::try_from(body.len()).unwrap();
    stream.write_all(&[&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// A MinIO host's own certificate and key.
fn node_certificate(world: &World, host: &str) -> (String, String) {
    let host = world.site.host(&host.into()).unwrap();
    let request = Request {
        common_name: host.name.to_string(),
        organization: None,
        names: vec![host.name.to_string(), "localhost".to_owned()],
        addresses: vec![host.address],
        server: true,
        client: true,
        days: 825,
    };
    let authority = Authority::new(&world.secrets, &"minio".into(), "nodes");
    // It is believed by the clock of this machine.
    let issued = authority.issue(Some(&host.name), &request, jiff::Timestamp::now().as_millisecond()).unwrap();
    (issued.certificate, issued.key.expose().to_owned())
}

/// Puts the certificate there as the kubelet does: all of it at once, in the place of the former one.
fn put_certificate(folder: &Path, world: &World) {
    let data: Value = world.object("ingress", "Secret", "ingress-certificate")["data"].clone();
    for (name, text) in data.as_object().unwrap() {
        let path = folder.join("certificate").join(name);
        fs::write(path.with_extension("new"), STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }
}

#[test]
fn a_real_nginx_leads_where_it_should() {
    let edge = Edge::start();
    for (host, backend) in [
        ("nginz-https", "nginz"),
        ("nginz-ssl", "nginz for websockets"),
        ("webapp", "webapp"),
        ("account", "account-pages"),
        ("teams", "team-settings"),
        ("assets", "minio"),
    ] {
        let (status, text) = edge.get(&format!("{host}.example.com"), "/a/b?c=d");
        assert_eq!(status, 200, "{host}: {text} {}", edge.log());
        assert!(text.contains(&format!("\r\n\r\n{backend}\nGET /a/b?c=d HTTP/1.1")), "{text}");
        let lower = text.to_lowercase();
        assert!(lower.contains(&format!("host: {host}.example.com")), "the name stays: {text}");
        assert!(lower.contains(&format!("x-forwarded-for: {CLIENT}\r\n")), "the client's address stays: {text}");
        assert!(lower.contains("strict-transport-security:"), "{text}");
    }
    // What a client says of itself is not passed on.
    let mut stream = edge.proxied("127.0.0.1", "webapp.example.com").unwrap();
    let (_, text) =
        request(&mut *stream, "GET", "webapp.example.com", "/", "X-Forwarded-For: 10.1.1.1\r\nX-Real-IP: 10.1.1.1\r\n");
    assert!(!text.contains("10.1.1.1"), "{text}");
    // Without a load balancer the client is whoever connects.
    let stream = connect_from("127.0.0.9", edge.direct).unwrap();
    let mut stream = shake_hands(&edge.world, stream, "webapp.example.com").unwrap();
    let (status, text) = request(&mut *stream, "GET", "webapp.example.com", "/", "");
    assert!(status == 200 && text.to_lowercase().contains("x-forwarded-for: 127.0.0.9\r\n"), "{text}");
    let stream = connect_from("127.0.0.9", edge.direct).unwrap();
    let mut stream = shake_hands_for(&edge.world, stream, "webapp.example.com", b"h2").unwrap();
    assert_eq!(stream.protocol().as_deref(), Some(&b"h2"[..]));
    assert_eq!(status_by_http2(&mut *stream, "webapp.example.com"), 0x88, "200 in HPACK's table (RFC 7541)");
    assert!(!edge.log().contains("c=d"), "queries hold tokens: {}", edge.log());
}

#[test]
fn a_real_nginx_refuses_what_it_should() {
    let edge = Edge::start();
    for path in [
        "/minio/",
        "/minio",
        "/minio/health/live",
        "//minio/x",
        "/%6dinio/x",
        "/a/../minio/x",
        "/./minio/v2/metrics/cluster",
    ] {
        let (status, text) = edge.get("assets.example.com", path);
        assert!(status == 403 && !text.contains("\nGET"), "{path}: {text}");
    }
    for (method, headers) in [("PUT", "Content-Length: 0\r\n"), ("DELETE", ""), ("POST", "Content-Length: 0\r\n")] {
        let mut stream = edge.proxied("127.0.0.1", "assets.example.com").unwrap();
        let (status, text) = request(&mut *stream, method, "assets.example.com", "/assets/x", headers);
        assert!(status == 403, "{method}: {text}");
    }
    // A name that is not the site's, in TLS and in the request.
    assert!(edge.proxied("127.0.0.1", "example.org").is_err());
    assert!(edge.proxied("127.0.0.1", "nginz.example.com").is_err());
    let mut stream = edge.proxied("127.0.0.1", "webapp.example.com").unwrap();
    assert_eq!(request(&mut *stream, "GET", "example.org", "/", "").0, 421);
    // An alert: no such version.
    assert_eq!(hello_of_tls_1_1(&mut connect_from("127.0.0.9", edge.direct).unwrap())[5..], [2, 70]);
    // A stranger who says it were a load balancer, and one that does not even say so.
    let mut stream = edge.proxied("127.0.0.9", "webapp.example.com").unwrap();
    assert_eq!(request(&mut *stream, "GET", "webapp.example.com", "/", ""), (0, String::new()));
    assert!(shake_hands(&edge.world, connect_from("127.0.0.1", edge.proxy).unwrap(), "webapp.example.com").is_err());
    let mut stream = edge.proxied("127.0.0.1", "webapp.example.com").unwrap();
    let (status, _) = request(&mut *stream, "POST", "webapp.example.com", "/", "Content-Length: 1048577\r\n");
    assert_eq!(status, 413, "a body that is too large");
}

/// Takes every other connection and a request on it, and then ends it without a word, as a pod that dies. Returns its port, and how often
/// that was.
fn dying_backend() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, deaths) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = deaths.clone();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            if number % 2 == 0 {
                let _ = head_of(&mut stream);
                counted.fetch_add(1, Ordering::SeqCst);
            } else {
                std::thread::spawn(move || answer("alive", &mut stream));
            }
        }
    });
    (port, deaths)
}

#[test]
fn a_pod_that_dies_costs_nothing_that_may_be_repeated() {
    let (port, deaths) = dying_backend();
    let [account, teams] = ["account-pages", "team-settings"].map(|name| backend(name, None));
    let edge = Edge::before([port, account, teams]);
    let (status, text) = edge.get("webapp.example.com", "/");
    assert!(status == 200 && text.contains("\r\n\r\nalive\n"), "{text}");
    assert_eq!(deaths.load(Ordering::SeqCst), 1, "it was repeated once");

    let (port, deaths) = dying_backend();
    let edge = Edge::before([port, account, teams]);
    let mut stream = edge.proxied("127.0.0.1", "webapp.example.com").unwrap();
    let (status, text) = request(&mut *stream, "POST", "webapp.example.com", "/", "Content-Length: 0\r\n");
    assert!(status == 502 && deaths.load(Ordering::SeqCst) == 1, "what may have been done is not done again: {text}");
}

#[test]
fn it_tells_load_balancers_before_it_goes() {
    let mut edge = Edge::start();
    let healthy = |edge: &Edge| {
        let mut stream = TcpStream::connect(("127.0.0.1", edge.health)).unwrap();
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(healthy(&edge), "200");
    fs::write(edge.folder.path().join("state/leaving"), "").unwrap();
    assert_eq!(healthy(&edge), "404");
    assert_eq!(edge.get("webapp.example.com", "/").0, 200, "it serves on");
    let supervisor = rustix::process::Pid::from_child(&edge.supervisor);
    rustix::process::kill_process(supervisor, rustix::process::Signal::TERM).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while edge.supervisor.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it does not end: {}", edge.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(TcpStream::connect(("127.0.0.1", edge.health)).is_err(), "nginx ended with it");
}

#[test]
fn another_certificate_is_taken_in_and_no_websocket_ends() {
    let mut edge = Edge::start();
    let mut socket = edge.proxied("127.0.0.1", "nginz-ssl.example.com").unwrap();
    let before = socket.shown();
    write!(
        socket,
        "GET /await HTTP/1.1\r\nHost: nginz-ssl.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    .unwrap();
    assert!(head_of(&mut socket).unwrap().starts_with("HTTP/1.1 101 "));
    echoes(&mut *socket, "before");
    edge.world.time = jiff::Timestamp::now().as_millisecond();
    put_certificate(edge.folder.path(), &edge.world);
    edge.until("new connections are shown the new one", || {
        edge.proxied("127.0.0.1", "nginz-ssl.example.com").is_ok_and(|stream| stream.shown() != before)
    });
    assert!(edge.log().contains("nginx takes it in"));
    echoes(&mut *socket, "after");

    // One that nginx cannot use is refused, and all goes on with the former one.
    let taken = edge.proxied("127.0.0.1", "nginz-ssl.example.com").unwrap().shown();
    fs::write(edge.folder.path().join("certificate/tls.crt"), "no certificate").unwrap();
    edge.until("nginx says what it cannot use", || edge.log().contains("[emerg]"));
    assert!(edge.proxied("127.0.0.1", "nginz-ssl.example.com").unwrap().shown() == taken);
    echoes(&mut *socket, "at the end");
}

fn echoes(socket: &mut dyn Tls, text: &str) {
    socket.write_all(text.as_bytes()).unwrap();
    socket.flush().unwrap();
    let mut heard = vec![0; text.len()];
    socket.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), text);
}
