//! A whole backend in memory with the three pages beside it, behind one nginx that has TLS and all host names: what a site is
//! to a browser.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::browser::{Browser, World};
use crate::common;

pub const DOMAIN: &str = "example.test";

/// Hosts of pages, and the page that each shows.
const PAGES: [(&str, &str); 3] = [("webapp", "webapp"), ("account", "account"), ("teams", "teams")];

/// How long a server on a busy machine may take to listen, and a mail to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Place {
    backend: Server,
    _servers: Vec<Server>,
    address: String,
    key: String,
    mails: Mails,
    folder: TempDir,
}

/// A process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Texts of mails by receiver, the newest last.
type Mails = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

impl Place {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // nginx's workers may be somebody else.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mails = Mails::default();
        let (backend, api) = start_backend(folder.path(), receive_mails(mails.clone()));
        let mut servers: Vec<Server> = PAGES.iter().map(|(_, page)| start_page(folder.path(), page)).collect();
        let certificate = rcgen::generate_simple_self_signed(vec![format!("*.{DOMAIN}")]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), certificate.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), certificate.signing_key.serialize_pem()).unwrap();
        let key = STANDARD.encode(Sha256::digest(certificate.signing_key.subject_public_key_info()));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        servers.push(start_front(folder.path(), port, &api));
        Self { backend, _servers: servers, address: format!("127.0.0.1:{port}"), key, mails, folder }
    }

    pub fn browser(&self) -> Browser {
        Browser::start(&World { domain: DOMAIN, address: self.address.clone(), key: self.key.clone() })
    }

    /// What follows `before` in the newest mail to an address that has it, up to white space.
    pub fn mailed(&self, address: &str, before: &str) -> String {
        let begun = Instant::now();
        loop {
            let mails = self.mails.lock().unwrap().get(address).cloned().unwrap_or_default();
            let found = mails.iter().rev().find_map(|mail| mail.split_once(before)).map(|(_, rest)| rest.to_owned());
            if let Some(word) = found.as_deref().and_then(|rest| rest.split_whitespace().next()) {
                return word.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no mail to {address} has {before:?}: {mails:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lets the backend die.
    pub fn kill_backend(&mut self) {
        self.backend.0.kill().unwrap();
        self.backend.0.wait().unwrap();
    }

    /// All that the pages' servers have logged.
    pub fn logs(&self) -> String {
        let logs = PAGES.iter().flat_map(|(_, page)| ["access", "error"].map(|kind| format!("{page}/{kind}.log")));
        logs.map(|log| std::fs::read_to_string(self.folder.path().join(log)).unwrap_or_default()).collect()
    }
}

pub fn address(host: &str, path: &str) -> String {
    format!("https://{host}.{DOMAIN}{path}")
}

/// The API server, and where it listens.
fn start_backend(folder: &Path, mail_port: u16) -> (Server, String) {
    let origins: Vec<String> = PAGES.iter().map(|(host, _)| address(host, "")).collect();
    let configuration = json!({
        "domain": DOMAIN,
        "activation": "mail",
        "mail": {"host": "127.0.0.1", "port": mail_port, "security": "none", "sender": format!("Wire <wire@{DOMAIN}>")},
        "links": {"accounts": address("account", "")},
        // Here it is the one that browsers ask across hosts.
        "browser_origins": origins,
        // Everybody in this test comes from one address.
        "limits": {"address_rate": null},
    });
    let file = folder.join("wire-api.yaml");
    std::fs::write(&file, configuration.to_string()).unwrap();
    let mut command = Command::new(common::wire_api());
    command.args(["--store", "memory", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let listening = lines.find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        (line["message"] == "listening").then(|| line["address"].as_str().unwrap().to_owned())
    });
    // What it says further must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (Server(process), listening.unwrap())
}

/// nginx with the configuration of the pages' image, but for places.
fn start_page(folder: &Path, page: &str) -> Server {
    let own = folder.join(page);
    std::fs::create_dir(&own).unwrap();
    let backend = format!("{} wss://nginz-ssl.{DOMAIN}", address("nginz-https", ""));
    std::fs::write(own.join("page.conf"), format!("set $page {page};\nset $backend \"{backend}\";\n")).unwrap();
    let hosts: BTreeMap<&str, String> = PAGES.iter().map(|(host, page)| (*page, address(host, ""))).collect();
    let configuration = json!({
        "domain": DOMAIN,
        "backend": {"rest": address("nginz-https", ""), "websocket": format!("wss://nginz-ssl.{DOMAIN}")},
        "hosts": hosts,
    });
    std::fs::write(own.join("config.json"), configuration.to_string()).unwrap();
    let at = |path: &str| own.join(path).display().to_string();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(source.join("artifacts/pages/etc/nginx/nginx.conf")).unwrap();
    // What is written first: the other places may be below /tmp, too.
    let text = text
        .replace("/tmp/", &at(""))
        .replace("listen 8080;", &format!("listen unix:{};", at("socket")))
        .replace("/usr/share/pages", &source.join("pages").display().to_string())
        .replace("/etc/pages", &own.display().to_string())
        .replace("/dev/stdout", &at("access.log"))
        .replace("/dev/stderr", &at("error.log"));
    let server = start_nginx(&own, &text);
    until_there("the page's socket", || own.join("socket").exists());
    server
}

/// nginx for all host names: TLS, and who is behind which.
fn start_front(folder: &Path, port: u16, api: &str) -> Server {
    let behind = |host: &str, to: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; server_name {host}.{DOMAIN}; location / {{ proxy_pass http://{to}; }} }}\n"
        )
    };
    let mut servers = behind("nginz-https", api) + &behind("nginz-ssl", api);
    for (host, page) in PAGES {
        servers += &behind(host, &format!("unix:{}", folder.join(page).join("socket").display()));
    }
    let at = folder.display();
    let text = format!(
        "error_log {at}/front.log;\npid {at}/front.pid;\nevents {{}}\nhttp {{\n\
         access_log off;\nssl_certificate {at}/certificate.pem;\nssl_certificate_key {at}/key.pem;\n\
         client_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/fastcgi;\n\
         uwsgi_temp_path {at}/uwsgi;\nscgi_temp_path {at}/scgi;\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         proxy_http_version 1.1;\nproxy_set_header Host $host;\nproxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade;\n{servers}}}\n"
    );
    let server = start_nginx(folder, &text);
    until_there("nginx in front", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    server
}

fn start_nginx(folder: &Path, configuration: &str) -> Server {
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new("nginx");
    // In the foreground, and with one process whoever runs the test: killing it ends it.
    command.args(["-g", "daemon off; master_process off;", "-e"]).arg(folder.join("start.log")).arg("-c").arg(&file);
    Server(command.stderr(Stdio::inherit()).spawn().unwrap())
}

fn until_there(what: &str, is_there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < PATIENCE, "{what} is not there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A mail server that keeps everything (RFC 5321, as little of it as a client needs); its port.
fn receive_mails(mails: Mails) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mails = mails.clone();
            std::thread::spawn(move || receive(&stream.unwrap(), &mails));
        }
    });
    port
}

/// A mail's text as people read it (RFC 2045, as much of it as plain English needs).
fn plain(mail: &str) -> String {
    if mail.contains("Content-Transfer-Encoding: quoted-printable") {
        mail.replace("=\n", "").replace("=3D", "=")
    } else {
        mail.to_owned()
    }
}

fn receive(mut stream: &TcpStream, mails: &Mails) {
    let (mut receiver, mut content) = (String::new(), None::<String>);
    let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let answer = match (&mut content, line.as_str()) {
            (Some(text), ".") => {
                mails.lock().unwrap().entry(receiver.clone()).or_default().push(plain(text));
                content = None;
                "250 taken"
            }
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
                continue;
            }
            (None, "DATA") => {
                content = Some(String::new());
                "354 go on"
            }
            (None, "QUIT") => "221 bye",
            (None, line) => {
                if let Some(address) = line.strip_prefix("RCPT TO:<").and_then(|rest| rest.split('>').next()) {
                    address.clone_into(&mut receiver);
                }
                "250 mail.example"
            }
        };
        let _ = stream.write_all(format!("{answer}\r\n").as_bytes());
    }
}
