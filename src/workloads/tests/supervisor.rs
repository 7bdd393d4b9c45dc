//! The script by which the ingress' pods run nginx, and names that lead elsewhere from one moment on.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::World;
use super::ingress::{HOSTS, SITE};

/// A server of names that knows those below `svc.cluster.local`, all at one address, until that is empty. What is another address from one
/// moment on is so when the first of the names is asked for again: nobody who asks for all in a row hears of both. Returns its port.
fn name_server(address: Arc<Mutex<Vec<u8>>>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (mut first, mut now) = (Vec::new(), Vec::new());
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[12..length];
            let is_v4 = question[question.len() - 3] == 1;
            let name = &question[..question.len() - 4];
            if first.is_empty() {
                first = name.to_vec();
            }
            if first == name {
                now.clone_from(&address.lock().unwrap());
            }
            let is_known = name.ends_with(b"\x03svc\x07cluster\x05local\0") && !now.is_empty();
            let answers = is_known && is_v4;
            let code = if is_known { 0 } else { 3 };
            let mut answer =
                [&buffer[..2], &[0x81, 0x80 | code, 0, 1, 0, u8::from(answers), 0, 0, 0, 0], question].concat();
            if answers {
                answer.extend([&b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04"[..], &now].concat());
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    port
}

/// The script and all that it has started, until the test ends.
struct Supervisor(Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // All may have ended already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

#[test]
fn a_service_that_was_made_anew_is_looked_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    for name in ["ingress", "certificate"] {
        fs::create_dir(place.join(name)).unwrap();
    }
    let address = Arc::new(Mutex::new(vec![10, 96, 0, 1]));
    let port = name_server(address.clone());
    let resolver = format!(
        "search wire.svc.cluster.local svc.cluster.local cluster.local example.org\nnameserver 127.0.0.1:{port}\n"
    );
    // In the place of nginx something that says when it is to look again.
    let nginx = "#!/bin/busybox sh\ntrap 'echo again' HUP\nwhile :; do /bin/busybox sleep 0.05; done\n";
    let world = World::of(&format!("{SITE}  ingress: {{}}\n"), HOSTS);
    let data = world.object("ingress", "ConfigMap", "ingress")["data"].clone();
    let script =
        data["supervise.sh"].as_str().unwrap().replace("/usr/sbin/nginx", &format!("{}/nginx", place.display()));
    let texts = [
        ("resolv.conf", resolver.as_str()),
        ("nginx", nginx),
        ("supervise.sh", &script),
        ("ingress/nginx.conf", data["nginx.conf"].as_str().unwrap()),
        ("certificate/tls.crt", ""),
        ("certificate/tls.key", ""),
    ];
    for (name, text) in texts {
        fs::write(place.join(name), text).unwrap();
        fs::set_permissions(place.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let log = fs::File::create(place.join("log")).unwrap();
    let mut command = Command::new("/bin/busybox");
    command.arg("sh").arg(place.join("supervise.sh")).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.env("FOLDER", place).env("STATE", place).env("RESOLVER", place.join("resolv.conf")).env("INTERVAL", "0.1");
    let _supervisor = Supervisor(command.process_group(0).spawn().unwrap());
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < end, "{what}: {:?}", fs::read_to_string(place.join("log")));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let led = || fs::read_to_string(place.join("led")).unwrap_or_default();
    let again = || fs::read_to_string(place.join("log")).unwrap().lines().filter(|line| *line == "again").count();
    until("every name is looked up", &|| {
        led().contains("webapp.wire.svc 10.96.0.1") && led().contains("nginz.wire.svc 10.96.0.1")
    });
    // Nobody answers for a while: that is no other address.
    address.lock().unwrap().clear();
    until("no name has an address", &|| led() == "\n" || led().is_empty());
    address.lock().unwrap().extend([10, 96, 0, 1]);
    until("the names are back", &|| led().contains("10.96.0.1"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(again(), 0);
    *address.lock().unwrap() = vec![10, 96, 0, 2];
    until("nginx looks again", &|| again() == 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(again(), 1, "once is enough");
}
