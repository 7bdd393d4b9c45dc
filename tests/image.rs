//! Container images for real: the same digest wherever they are assembled, programs that start in them, names that glibc looks up
//! as in a cluster; containerd takes them and so does a registry. Needs root and package registries.
#![allow(clippy::unwrap_used)]

#[path = "image/pages.rs"]
mod pages;
#[path = "image/taken.rs"]
mod taken;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use wire_deploy::artifacts::image::layout::Layout;
use wire_deploy::artifacts::{Store, Wanted, prepare};
use wire_deploy::lock::Lock;
use wire_deploy::report;

/// How long a server may take to listen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// `wire-deploy image …` in a folder, which has the lock.
fn image(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wire-deploy"));
    command.current_dir(folder).arg("image").args(arguments).env_remove("NO_COLOR").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// nginx's image as a file, assembled once for all tests.
fn nginx() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let output = image(folder.path(), &["build", "nginx", "--out", "images"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let file = folder.path().join("images/nginx.oci.tar");
        (folder, file)
    });
    file
}

/// wire-api's image as a file, assembled once for all tests.
fn wire_api() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = BUILT.get_or_init(|| {
        // Below the workspace, whose sources it is built of.
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        fs::create_dir_all(&target).unwrap();
        let folder = tempfile::tempdir_in(target).unwrap();
        let output = image(folder.path(), &["build", "wire-api", "--out", "."]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let file = folder.path().join("wire-api.oci.tar");
        (folder, file)
    });
    file
}

/// A process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks until there is an answer.
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_image_is_the_same_wherever_it_is_assembled() {
    let first = Layout::read(nginx()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The packages that the first was made of: another day's would be another image.
    fs::copy(nginx().parent().unwrap().with_file_name("artifacts.lock"), folder.path().join("artifacts.lock")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wire-deploy"));
    command.current_dir(folder.path()).env("XDG_CACHE_HOME", folder.path().join("cache")).env("TMPDIR", folder.path());
    let output = command.args(["image", "build", "nginx", "--out", "."]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let second = folder.path().join("nginx.oci.tar");
    assert_eq!(Layout::read(&second).unwrap().digest, first.digest);
    assert!(fs::read(second).unwrap() == fs::read(nginx()).unwrap(), "the files differ");
}

#[test]
fn inspect_shows_what_is_in_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let file = nginx().to_str().unwrap();
    let output = image(folder.path(), &["inspect", file, "--output", "json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["config"]["User"], "10001:10001");
    assert_eq!(shown["config"]["Labels"]["org.opencontainers.image.title"], "nginx");
    assert_eq!(shown["digest"], format!("sha256:{}", Layout::read(nginx()).unwrap().digest));
    assert_eq!(shown["layers"].as_array().unwrap().len(), 2);
    let components = shown["components"].as_array().unwrap();
    let names: Vec<&str> = components.iter().map(|component| component["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"nginx") && names.contains(&"libssl3") && !names.contains(&"dpkg"), "{names:?}");
    let output = image(folder.path(), &["inspect", file]);
    let people = text(&output.stdout);
    assert!(
        people.contains("9 Debian packages, 0 crates, 0 Go modules") && people.contains("packages of bookworm"),
        "{people}"
    );
    let output = image(folder.path(), &["inspect", "nginx"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("run `wire-deploy image build nginx`"), "{}", text(&output.stderr));
}

/// The image's files in a folder, as a runtime lays them out.
fn unpacked(file: &Path) -> TempDir {
    let layout = Layout::read(file).unwrap();
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for layer in &layout.manifest.layers {
        let layer = layout.blob(&layer.digest.0).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(true);
        archive.unpack(root.path()).unwrap();
    }
    root
}

/// Has nginx in an unpacked image check its configuration, as the user that the image names.
fn check_configuration(root: &Path) -> Output {
    in_image(root).args(["/usr/sbin/nginx", "-e", "stderr", "-t"]).output().unwrap()
}

/// Begins a command in an unpacked image, as the user that the image names.
fn in_image(root: &Path) -> Command {
    let mut command = Command::new("chroot");
    command.args(["--userspec", "10001:10001"]).arg(root);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// Has names looked up in an unpacked image as the kubelet writes it for a pod.
fn resolve_through(root: &Path, name_server: &str) {
    let resolver = format!(
        "nameserver {name_server}\nsearch wire.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    );
    fs::write(root.join("etc/resolv.conf"), resolver).unwrap();
}

#[test]
fn nginx_starts_in_its_image_and_looks_up_names_as_in_a_cluster() {
    let root = unpacked(nginx());
    let configuration = root.path().join("etc/nginx/nginx.conf");
    // A container has these from its runtime.
    fs::create_dir_all(root.path().join("dev")).unwrap();
    for (name, target) in [("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")] {
        std::os::unix::fs::symlink(target, root.path().join("dev").join(name)).unwrap();
    }
    let logs = |text: String| text.replace("/dev/stdout", "/tmp/access.log").replace("/dev/stderr", "/tmp/error.log");
    let own = logs(fs::read_to_string(&configuration).unwrap());
    fs::write(&configuration, &own).unwrap();
    let output = check_configuration(root.path());
    assert!(output.status.success(), "{}", text(&output.stderr));

    // A Service's name in a pod's own namespace, found by way of the search list.
    name_server("127.0.0.53", "brig.wire.svc.cluster.local", [127, 0, 0, 3]);
    resolve_through(root.path(), "127.0.0.53");
    let proxy = |name: &str| {
        own.replace("root /usr/share/nginx/html;", &format!("location / {{ proxy_pass http://{name}:8080; }}"))
    };
    fs::write(&configuration, proxy("brig")).unwrap();
    let output = check_configuration(root.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::write(&configuration, proxy("galley")).unwrap();
    let output = check_configuration(root.path());
    assert!(text(&output.stderr).contains("host not found in upstream \"galley\""), "{}", text(&output.stderr));
}

/// A name server that knows one address and says of all other names that there are none (RFC 1035).
fn name_server(address: &str, name: &'static str, known: [u8; 4]) {
    let socket = UdpSocket::bind((address, 53)).unwrap();
    let question: Vec<u8> =
        name.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut packet).unwrap();
            let asked = &packet[12..length];
            let end = asked.iter().position(|byte| *byte == 0).unwrap();
            let is_address = asked[end + 1..end + 3] == [0, 1];
            let exists = asked[..end].eq_ignore_ascii_case(&question);
            let answers = u8::from(exists && is_address);
            // An answer with authority; the name is unknown or known; one question, perhaps one answer.
            let mut answer =
                vec![packet[0], packet[1], 0x85, if exists { 0x80 } else { 0x83 }, 0, 1, 0, answers, 0, 0, 0, 0];
            answer.extend(&asked[..end + 5]);
            if answers == 1 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
                answer.extend(known);
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
}

/// A folder with the files of Debian packages of this machine's release.
fn programs_of(packages: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("apt-get");
    command.args(["download", "-q"]).args(packages).current_dir(folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for entry in fs::read_dir(folder.path()).unwrap() {
        let deb = entry.unwrap().path();
        let output = Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder.path().join("root")).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    folder
}

/// A server's whole answer.
fn http(address: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_api_server_runs_in_its_image_and_looks_up_names_as_in_a_cluster() {
    let size = fs::metadata(wire_api()).unwrap().len();
    assert!(size < 30_000_000, "{size} bytes");

    let root = unpacked(wire_api());
    // A mail server by a Service's name.
    name_server("127.0.0.54", "post.wire.svc.cluster.local", [127, 0, 0, 4]);
    resolve_through(root.path(), "127.0.0.54");
    let post = TcpListener::bind("127.0.0.4:0").unwrap();
    let port = post.local_addr().unwrap().port();
    let mail = format!("mail: {{host: post, port: {port}, security: none, sender: wire@wire.example}}");
    fs::write(root.path().join("etc/wire-api.yaml"), format!("activation: mail\n{mail}\n")).unwrap();
    let mut command = in_image(root.path());
    command.args([
        "/usr/bin/wire-api",
        "--store",
        "memory",
        "--listen",
        "127.0.0.1:0",
        "--config",
        "/etc/wire-api.yaml",
    ]);
    let mut server = Server(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(server.0.stdout.take().unwrap());
    let mut first = String::new();
    log.read_line(&mut first).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    let address = first["address"].as_str().unwrap_or_else(|| panic!("{first}"));
    let answer = http(address, "GET", "/api-version", "", "");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"supported\""), "{answer}");
    let asking = {
        let address = address.to_owned();
        std::thread::spawn(move || {
            let json = "Content-Type: application/json\r\n";
            http(&address, "POST", "/activate/send", json, "{\"email\": \"ann@example.com\"}")
        })
    };
    post.set_nonblocking(true).unwrap();
    let (mut caller, _) = until("the mail server is called", || post.accept().ok());
    caller.write_all(b"554 not today\r\n").unwrap();
    drop(caller);
    let answer = asking.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

#[test]
fn containerd_imports_images() {
    let folder = programs_of(&["containerd"]);
    let program = |name: &str| folder.path().join("root/usr/bin").join(name);
    let place = |name: &str| folder.path().join(name).display().to_string();
    let configuration = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
        place("data"),
        place("state"),
        place("socket")
    );
    fs::write(folder.path().join("config.toml"), configuration).unwrap();
    let mut containerd = Command::new(program("containerd"));
    containerd.arg("--config").arg(folder.path().join("config.toml")).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Server(containerd.spawn().unwrap());
    let ctr = |arguments: &[&str]| {
        Command::new(program("ctr")).arg("--address").arg(place("socket")).args(arguments).output().unwrap()
    };
    until("containerd answers", || ctr(&["version"]).status.success().then_some(()));
    for file in [nginx(), wire_api()] {
        let output = ctr(&["images", "import", "--snapshotter", "native", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let layout = Layout::read(file).unwrap();
        let listed = text(&ctr(&["images", "list"]).stdout);
        let line = listed.lines().find(|line| line.starts_with(&format!("{} ", layout.name))).unwrap_or(&listed);
        assert!(line.contains(&format!("sha256:{}", layout.digest)) && line.contains("linux/amd64"), "{listed}");
    }
    let checked = text(&ctr(&["images", "check"]).stdout);
    assert_eq!(checked.matches(" complete (").count(), 2, "{checked}");
}

/// The registry that the distribution project makes, built by its recipe, behind a log-in; its address.
fn registry(folder: &Path) -> (Server, String) {
    let store = Store::of_user().unwrap();
    let wanted = [Wanted { recipe: "registry".to_owned(), releases: [].into(), brought: None }];
    let (reporter, _writer) = report::start(report::Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lock = runtime.block_on(prepare(&wanted, &Lock::default(), &store, &reporter)).unwrap();
    let program = folder.join("registry");
    fs::copy(store.path(&lock.file("registry", "registry").unwrap().blob), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    // bcrypt of "password".
    fs::write(folder.join("users"), "tester:$2b$05$YL3ah6H.EnxoaJ1Ply0fPemZPwnGA.dqw6vEqW59PuMlsSw/0Z8mO\n").unwrap();
    let configuration = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\nhttp: {{addr: {address:?}}}\nauth: {{htpasswd: {{realm: test, path: {:?}}}}}\n",
        folder.join("data"),
        folder.join("users"),
    );
    fs::write(folder.join("registry.yaml"), configuration).unwrap();
    let mut command = Command::new(program);
    command.arg("serve").arg(folder.join("registry.yaml")).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn().unwrap());
    until("the registry listens", || TcpStream::connect(&address).ok());
    (server, address)
}

#[test]
fn a_registry_takes_images_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, address) = registry(folder.path());
    let name = format!("{address}/wire/nginx");
    let file = nginx().to_str().unwrap();
    let push =
        |credentials: &str| image(folder.path(), &["push", file, &name, "--plain-http", "--credentials", credentials]);
    fs::write(folder.path().join("none.json"), "{}").unwrap();
    let output = push("none.json");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("401") && error.contains("hint: log in to the registry"), "{error}");

    fs::write(
        folder.path().join("login.json"),
        format!(r#"{{"auths": {{"{address}": {{"auth": "dGVzdGVyOnBhc3N3b3Jk"}}}}}}"#),
    )
    .unwrap();
    let output = push("login.json");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let layout = Layout::read(nginx()).unwrap();
    assert_eq!(text(&output.stdout), format!("{name}@sha256:{}\n", layout.digest));
    assert!(text(&output.stderr).contains("3 sent, 0 were there"), "{}", text(&output.stderr));
    let output = push("login.json");
    assert!(text(&output.stderr).contains("0 sent, 3 were there"), "{}", text(&output.stderr));

    let layout_of_program = Layout::read(wire_api()).unwrap();
    let name_of_program = format!("{address}/wire/wire-api");
    let file = wire_api().to_str().unwrap();
    let output = image(folder.path(), &["push", file, &name_of_program, "--plain-http", "--credentials", "login.json"]);
    assert_eq!(text(&output.stdout), format!("{name_of_program}@sha256:{}\n", layout_of_program.digest));

    // What the registry has by a tag is the image.
    for (repository, layout) in [("nginx", layout), ("wire-api", layout_of_program)] {
        let tag = layout.name.rsplit(':').next().unwrap();
        let headers =
            "Authorization: Basic dGVzdGVyOnBhc3N3b3Jk\r\nAccept: application/vnd.oci.image.manifest.v1+json\r\n";
        let answer = http(&address, "HEAD", &format!("/v2/wire/{repository}/manifests/{tag}"), headers, "");
        let digest = format!("docker-content-digest: sha256:{}", layout.digest);
        assert!(answer.to_lowercase().contains(&digest), "{answer}");
    }
}
