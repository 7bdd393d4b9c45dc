//! What users have in their hands: the published client, and a connection that stays while the ingress gets another certificate.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::edge::{DOMAIN, address};
use super::{installed, kubectl, set_workload};
use crate::common::world::{World, await_that};

/// The newest version of the API.
const VERSION: &str = "15";
/// The kubelet brings a Secret's new content to its pods within two minutes.
const ARRIVAL_SECONDS: u64 = 180;

/// A Node program that finds the public names where an operator's DNS would have them, and trusts the site's authority.
fn node(world: &World) -> Command {
    world.run(&["authority", "-o", "authority.pem"]).expect_code(0);
    let names = NAMES.map(|name| format!("{name}.{DOMAIN}")).join(" ");
    fs::write(world.file("hosts"), format!("127.0.0.1 localhost\n{} {names}\n", address(world))).unwrap();
    let mut command = world.sandbox().command("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec node --no-warnings \"$@\""]);
    command.arg(world.file("hosts")).env("NODE_EXTRA_CA_CERTS", world.file("authority.pem"));
    command
}

/// The public names below the domain.
const NAMES: [&str; 6] = ["nginz-https", "nginz-ssl", "assets", "webapp", "account", "teams"];

pub fn published(world: &World) {
    let client = installed::client(&Path::new(env!("CARGO_MANIFEST_DIR")).join("api-server/tests/client"));
    let (rest, websocket) = (format!("https://nginz-https.{DOMAIN}"), format!("wss://nginz-ssl.{DOMAIN}"));
    installed::run(node(world).args(["main.js", &rest, VERSION, &websocket]).current_dir(client));
}

/// The serial number of the certificate that is shown.
fn shown(world: &World) -> String {
    let script = format!(
        "openssl s_client -connect {}:443 -servername webapp.{DOMAIN} </dev/null 2>/dev/null | openssl x509 -noout -serial",
        address(world)
    );
    String::from_utf8(world.sandbox().command("sh").args(["-c", &script]).output().unwrap().stdout).unwrap()
}

fn pods(world: &World) -> String {
    kubectl(world, &["get", "pods", "-o", "name"])
}

pub fn certificate_replaced(world: &World) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whole/stream.js");
    let mut stream = node(world).arg(script).arg(DOMAIN).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(stream.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "open\n");
    let (before, former) = (pods(world), shown(world));

    let names: Vec<_> = NAMES.map(|name| format!("DNS:{name}.{DOMAIN}")).into();
    let names = format!("subjectAltName={}", names.join(","));
    let mut request = Command::new("openssl");
    request.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    request.args(["-subj", "/CN=brought", "-addext", &names, "-keyout", "own.key", "-out", "own.pem"]);
    installed::run(request.current_dir(&world.folder).stderr(Stdio::null()));
    for (name, file) in [("own-chain", "own.pem"), ("own-key", "own.key")] {
        let mut set = Command::new(env!("CARGO_BIN_EXE_wire-deploy"));
        set.args(["secrets", "set", name]).current_dir(&world.folder).stdin(File::open(world.file(file)).unwrap());
        installed::run(&mut set);
    }
    set_workload(world, "ingress", Some("{certificate: {chain: own-chain, key: own-key}}"));
    world.run(&["apply", "--yes"]).expect_code(0);
    world.run(&["authority"]).expect_code(64);
    // Often enough to meet every pod.
    await_that("another certificate is shown", ARRIVAL_SECONDS, || (0..9).all(|_| shown(world) != former));
    std::thread::sleep(Duration::from_secs(3));
    assert!(stream.try_wait().unwrap().is_none(), "the websocket was closed");
    stream.kill().unwrap();
    stream.wait().unwrap();
    assert_eq!(pods(world), before, "pods were replaced");
    set_workload(world, "ingress", Some("{}"));
    world.run(&["apply", "--yes"]).expect_code(0);
    await_that("the former certificate is shown", ARRIVAL_SECONDS, || (0..9).all(|_| shown(world) == former));
}
