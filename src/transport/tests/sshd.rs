//! Throw-away sshds and other peers.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::transport::ssh::{Liveness, Login, Policy};

/// An sshd of its own, with host keys of two or three types and one user key that it lets in.
pub(super) struct Sshd {
    pub(super) folder: TempDir,
    pub(super) port: u16,
    child: Child,
}

/// Makes a key pair.
pub(super) fn keygen(path: &Path, kind: &str) {
    let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Sshd {
    /// Starts one that has an RSA key too, which takes its time to make.
    pub(super) fn start_with_rsa() -> Self {
        Self::start_with(&["ed25519", "ecdsa", "rsa"], "")
    }

    /// Starts one; `extra` are further lines of its configuration, where FOLDER is its own folder.
    pub(super) fn start(extra: &str) -> Self {
        Self::start_with(&["ed25519", "ecdsa"], extra)
    }

    fn start_with(kinds: &[&str], extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for kind in kinds {
            keygen(&path(&format!("host_{kind}")), kind);
        }
        keygen(&path("user"), "ed25519");
        std::fs::copy(path("user.pub"), path("authorized")).unwrap();
        // sshd insists on this folder; it belongs to the package.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let port = free_port();
        let at = folder.path().display().to_string();
        let extra = extra.replace("FOLDER", &at);
        let keys: Vec<String> = kinds.iter().map(|kind| format!("HostKey {at}/host_{kind}")).collect();
        let keys = keys.join("\n");
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nPidFile none\nAuthorizedKeysFile {at}/authorized\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n{keys}\nMaxSessions 200\nMaxStartups 200\n{extra}\n"
        );
        std::fs::write(path("config"), config).unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .arg("-f")
            .arg(path("config"))
            .args(["-D", "-e"])
            .stderr(Stdio::from(log))
            .spawn()
            .expect("sshd (package openssh-server)");
        let mut sshd = Self { folder, port, child };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline && sshd.child.try_wait().unwrap().is_none(), "{}", sshd.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        sshd
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The text of one of its public host keys: type and base64.
    pub(super) fn host_key(&self, kind: &str) -> String {
        let line = std::fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// The fingerprint of one of its host keys as ssh-keygen has it.
    pub(super) fn fingerprint(&self, kind: &str) -> String {
        let key = self.path(&format!("host_{kind}.pub"));
        let shown = Command::new("ssh-keygen").arg("-lf").arg(key).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    /// Writes the known hosts file.
    pub(super) fn know(&self, text: &str) {
        std::fs::write(self.path("known_hosts"), text).unwrap();
    }

    /// How to log in; the host is known by its Ed25519 key unless `know` said otherwise.
    pub(super) fn login(&self) -> Login {
        if !self.path("known_hosts").exists() {
            self.know(&format!("[127.0.0.1]:{} {}\n", self.port, self.host_key("ed25519")));
        }
        Login {
            user: "root".to_owned(),
            key: Some(self.path("user")),
            agent: false,
            agent_socket: None,
            policy: Policy {
                address: "127.0.0.1".to_owned(),
                port: self.port,
                fingerprint: None,
                file: self.path("known_hosts"),
                accept_new: false,
            },
            timeout: Duration::from_secs(20),
            liveness: Liveness::default(),
        }
    }

    /// Ends all its connections and what runs over them; new ones are let in.
    ///
    /// All are stopped first: a command that dies before its sshd would have its end reported, as on a host that lives.
    pub(super) fn drop_connections(&self) {
        self.signal(Signal::STOP);
        self.signal(Signal::KILL);
    }

    /// Its connections stay and fall silent, as when a host freezes or a cable is cut.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    fn signal(&self, signal: Signal) {
        for child in descendants(self.child.id()) {
            let _ = Pid::from_raw(child).map(|process| kill_process(process, signal));
        }
    }

    /// Ends it and everything it started.
    pub(super) fn kill(&mut self) {
        self.drop_connections();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn descendants(process: u32) -> Vec<i32> {
    let listed = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children: Vec<u32> = listed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let of = |child: &u32| descendants(*child).into_iter().chain(i32::try_from(*child).ok());
    children.iter().flat_map(of).collect()
}

/// A server that does one thing with every connection. Its threads end with the connections.
pub(super) fn server(serve: impl Fn(TcpStream) + Send + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (serve.clone(), stream.unwrap());
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

/// A way to `port` through a socket with the smallest buffers there are.
pub(super) fn narrow(port: u16) -> OwnedFd {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
    let (near, far) = UnixStream::pair().unwrap();
    for socket in [&near, &far] {
        set_socket_recv_buffer_size(socket, 1).unwrap();
        set_socket_send_buffer_size(socket, 1).unwrap();
    }
    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut from, mut to) = (far.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (server, far);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    near.into()
}
