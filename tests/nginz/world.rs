//! nginx with the rendered configuration, the process beside it that checks tokens, DNS, and services: each test its own, on
//! addresses of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use wire_api::domain::{ClientId, Time, UserId};
use wire_api::secret::{ConfiguredSecret, Secret};
use wire_api::token::{Signer, Token, TokenKind};
use wire_deploy::templates::Templates;
use wire_deploy::workloads::nginz::{Gateway, Listen};

use crate::common::wire_api;
use crate::http::{self, Reply};
use crate::names::Names;
use crate::service::{PORT, Service};

/// Debian's nginx, whatever the PATH of who tests.
const NGINX: &str = "/usr/sbin/nginx";

/// How long a process may take to be there, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where nginx listens, at an address of its own: ports that nobody listens at on all addresses.
const REST: u16 = 28080;
const WEBSOCKET: u16 = 28081;
const METRICS: u16 = 28082;
const INNER: u16 = 28083;

/// A process that ends with what holds it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct World {
    pub names: Names,
    network: [u8; 3],
    seed: String,
    signer: Signer,
    secrets: Mutex<Vec<String>>,
    auth: Mutex<Option<Process>>,
    nginx: Option<Process>,
    backend: Mutex<Option<Process>>,
    folder: tempfile::TempDir,
}

impl World {
    /// Everything but services, which [`World::service`] adds.
    pub fn start() -> Self {
        Self::with_patience(60)
    }

    /// Likewise, with a gateway that waits so many seconds for a service.
    pub fn with_patience(seconds: u32) -> Self {
        let network = network();
        let folder = tempfile::tempdir().unwrap();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        let public = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let seed = STANDARD.encode(seed);
        let configured = ConfiguredSecret(Secret::new(seed.clone()));
        let (signer, _) = Signer::from_seeds(&[configured]).unwrap().unwrap();
        let address = |last| Ipv4Addr::new(network[0], network[1], network[2], last);
        let names = Names::serve(&address(2).to_string());
        let mut world = Self {
            names,
            network,
            seed,
            signer,
            secrets: Mutex::default(),
            auth: Mutex::default(),
            nginx: None,
            backend: Mutex::default(),
            folder,
        };
        let keys = json!({"tokens": {"public_keys": [STANDARD.encode(public.public_key())]}});
        fs::write(world.path("auth.yaml"), keys.to_string()).unwrap();
        world.start_auth();
        fs::write(world.path("nginx.conf"), world.configuration(seconds)).unwrap();
        // The packaged nginx changes to a user who may not come here.
        let mut nginx = Command::new(NGINX);
        nginx.args(["-e", "/dev/stderr", "-g", "daemon off; user root;", "-c"]).arg(world.path("nginx.conf"));
        world.nginx = Some(world.run(nginx, "nginx"));
        wait_for("nginx", || TcpStream::connect(world.rest()).is_ok());
        world
    }

    fn configuration(&self, patience_seconds: u32) -> String {
        let at = |port: u16| format!("{}:{port}", self.address(1));
        let gateway = Gateway {
            origins: ["webapp", "account", "teams"].map(|host| format!("https://{host}.wire.example")).to_vec(),
            front_ends: vec!["127.0.0.0/8".to_owned()],
            resolver: self.names.address.clone(),
            service_domain: "wire.svc.cluster.local".to_owned(),
            service_port: PORT,
            listen: Listen { rest: at(REST), websocket: at(WEBSOCKET), metrics: at(METRICS), inner: at(INNER) },
            auth_socket: self.path("auth.sock").display().to_string(),
            folder: self.folder.path().display().to_string(),
            workers: 2,
            patience_seconds,
        };
        gateway.configuration(&Templates::new(&BTreeMap::new()).unwrap()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a process that writes to files of its name; what they hold is kept from the one before.
    fn run(&self, mut command: Command, name: &str) -> Process {
        let file =
            |end: &str| File::options().create(true).append(true).open(self.path(&format!("{name}.{end}"))).unwrap();
        let command = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Process(command.spawn().unwrap())
    }

    /// Starts the process that checks tokens.
    pub fn start_auth(&self) {
        let mut command = Command::new(wire_api());
        let socket = format!("unix:{}", self.path("auth.sock").display());
        command.args(["--services", "auth", "--store", "memory", "--listen", &socket, "--config"]);
        command.arg(self.path("auth.yaml"));
        *self.auth.lock().unwrap() = Some(self.run(command, "auth"));
        wait_for("the check of tokens", || UnixStream::connect(self.path("auth.sock")).is_ok());
    }

    /// Kills it; its socket stays.
    pub fn kill_auth(&self) {
        self.auth.lock().unwrap().take().unwrap();
        assert!(self.path("auth.sock").exists());
    }

    /// Starts a whole backend in one process, as it is behind the gateway, and lets every service's name lead there.
    pub fn start_backend(&self) {
        let configuration = json!({
            "authentication": "headers",
            "behind_proxy": true,
            "limits": {"user_rate": null, "address_rate": null},
            "cookies": {"secure": false},
            "tokens": {"private_keys": [self.seed]},
            "assets_folder": self.path("assets"),
        });
        fs::write(self.path("backend.yaml"), configuration.to_string()).unwrap();
        let address = self.address(99);
        let mut command = Command::new(wire_api());
        command.args(["--store", "memory", "--listen", &format!("{address}:{PORT}"), "--config"]);
        command.arg(self.path("backend.yaml"));
        *self.backend.lock().unwrap() = Some(self.run(command, "backend"));
        wait_for("the backend", || TcpStream::connect((address, PORT)).is_ok());
        for service in ["brig", "cannon", "cargohold", "galley", "gundeck", "spar"] {
            self.names.set(service, &[address]);
        }
    }

    /// Starts pods of a service under its name.
    pub fn service(&self, name: &'static str, pods: &[u8]) -> Vec<Service> {
        let pods: Vec<_> = pods.iter().map(|last| Service::start(name, self.address(*last))).collect();
        self.names.set(name, &pods.iter().map(|pod| pod.address).collect::<Vec<_>>());
        pods
    }

    /// An address of this test's own.
    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.network[0], self.network[1], self.network[2], last)
    }

    pub fn rest(&self) -> String {
        format!("{}:{REST}", self.address(1))
    }

    pub fn websocket(&self) -> String {
        format!("{}:{WEBSOCKET}", self.address(1))
    }

    pub fn metrics(&self) -> String {
        format!("{}:{METRICS}", self.address(1))
    }

    /// A request that anybody may send.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        http::request(&self.rest(), method, path, headers, b"")
    }

    /// A user's access token, which must not come into any log.
    pub fn token(&self, user: UserId, client: Option<ClientId>) -> String {
        self.sign(user, client, TokenKind::Access { connection: "17".to_owned() }, 900)
    }

    /// A token of any kind that ends in some seconds.
    pub fn sign(&self, user: UserId, client: Option<ClientId>, kind: TokenKind, seconds: i64) -> String {
        let token =
            self.signer.sign(&Token { expires: Time::now().plus_seconds(seconds).seconds(), user, kind, client });
        self.keeps_secret(&token);
        token
    }

    /// Remembers what must not come into any log.
    pub fn keeps_secret(&self, token: &str) {
        // The signature's beginning, which no encoding changes.
        self.secrets.lock().unwrap().push(token.chars().take(40).collect());
    }

    /// Has nginx read its configuration again.
    pub fn reload(&self) {
        let mut nginx = Command::new(NGINX);
        nginx.args(["-e", "/dev/stderr", "-g", "user root;", "-s", "reload", "-c"]).arg(self.path("nginx.conf"));
        assert!(nginx.status().unwrap().success());
    }

    /// Whether former processes are there only for what they still have to do.
    pub fn is_reloaded(&self) -> bool {
        let master = self.nginx.as_ref().unwrap().0.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
        let titles =
            children.split_whitespace().map(|child| fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default());
        let titles: Vec<String> = titles.map(|title| String::from_utf8_lossy(&title).into_owned()).collect();
        let (leaving, serving): (Vec<_>, Vec<_>) = titles.iter().partition(|title| title.contains("is shutting down"));
        !leaving.is_empty() && serving.len() == 2
    }

    /// The lines that nginx has logged of requests so far.
    pub fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("nginx.out")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The first logged line that fits, as soon as it is there: nginx logs after it has answered.
    pub fn logged(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_for("a line in the log", || {
            found = self.log().into_iter().find(&fits);
            found.is_some()
        });
        found.unwrap()
    }

    /// What nginx said besides, such as that it cannot start.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.path("nginx.err")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for World {
    /// Whatever a test does: no token is in any log.
    fn drop(&mut self) {
        self.nginx.take();
        if std::thread::panicking() {
            eprintln!("nginx said: {}", self.errors());
            return;
        }
        let secrets = self.secrets.lock().unwrap();
        for name in ["nginx.out", "nginx.err", "auth.out", "auth.err"] {
            let text = fs::read_to_string(self.path(name)).unwrap();
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "a token is in {name}");
        }
    }
}

/// A network of loopback addresses that no other test has, in this process or another.
fn network() -> [u8; 3] {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = u8::try_from(std::process::id() % 100).unwrap();
    let mut candidates = (0..100).map(|_| [127, 100 + process, NEXT.fetch_add(1, Ordering::SeqCst)]);
    let is_free = |&[a, b, c]: &[u8; 3]| TcpListener::bind((Ipv4Addr::new(a, b, c, 1), REST)).is_ok();
    candidates.find(is_free).unwrap()
}

/// Waits until something is so.
pub fn wait_for(what: &str, is_so: impl FnMut() -> bool) {
    let mut is_so = is_so;
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}: not there after {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}
