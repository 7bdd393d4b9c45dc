//! TURN, used through coturn's own client, `turnutils_uclient`: allocations that send packets to each other.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use wire_deploy::site::init::SITE_FILE;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};

const UNIT: &str = "coturn.service";

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("turn: relays over UDP, TCP and DTLS", || relays_over_every_transport(world));
    phases.run("turn: refuses strangers and private addresses", || {
        refuses_strangers_and_private_addresses(world);
    });
    phases.run("turn: shows the certificate that was brought", || shows_the_certificate_that_was_brought(world));
    phases.run("turn: drains before it restarts", || drains_before_it_restarts(world));
    phases.run("turn: a drain that was broken off is undone", || a_drain_that_was_broken_off_is_undone(world));
    phases.run("turn: takes a certificate in while it works", || takes_a_certificate_in_while_it_works(world));
    phases.run("turn: a new secret rolls", || a_new_secret_rolls_and_the_former_one_is_still_taken(world));
    phases.run("turn: restarted on demand, one host after the other", || restarts_on_demand(world));
    phases.run("turn: a node that is deaf on UDP is noticed", || deafness_is_noticed(world));
    phases.run("turn: comes back by itself", || comes_back_by_itself(world));
}

/// coturn's client on host3, of the server on another host.
struct Client<'a> {
    world: &'a World,
    secret: String,
}

impl Client<'_> {
    fn new(world: &World) -> Client<'_> {
        Client { world, secret: world.secret("turn/shared-secret") }
    }

    fn start(&self, server: &str, transport: &[&str], messages: u32) -> Child {
        let address = self.world.address(server);
        let messages = messages.to_string();
        let mut command = self.world.sandbox().host_command("host3", "timeout").unwrap();
        command.args(["60", "turnutils_uclient", "-W", &self.secret, "-u", "test", "-y", "-m", "1", "-n", &messages]);
        command.args(transport).arg(address).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn run(&self, server: &str, transport: &[&str]) -> String {
        said(&self.start(server, transport, 5).wait_with_output().unwrap())
    }

    #[track_caller]
    fn expect_served(&self, server: &str, transport: &[&str]) {
        self.expect_all_served(&[(server, transport)]);
    }

    /// Clients side by side, since each takes some seconds.
    #[track_caller]
    fn expect_all_served(&self, clients: &[(&str, &[&str])]) {
        let running: Vec<_> = clients.iter().map(|(server, transport)| self.start(server, transport, 5)).collect();
        for (client, running) in clients.iter().zip(running) {
            let said = said(&running.wait_with_output().unwrap());
            assert!(lost_nothing(&said), "{client:?}: {said}");
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn lost_nothing(said: &str) -> bool {
    said.contains("Total lost packets 0 (0.000000%)")
}

fn relays_over_every_transport(world: &World) {
    let client = Client::new(world);
    // TLS is the gate's affair: coturn's client loses its way in most of its own connections over TLS and TCP.
    client.expect_all_served(&[("host1", &[]), ("host1", &["-t"]), ("host1", &["-S"]), ("host2", &[])]);
}

/// What the backend makes the password of a name from: base64(HMAC-SHA1(secret, name)).
fn password(secret: &str, name: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(name.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn refuses_strangers_and_private_addresses(world: &World) {
    let client = Client::new(world);
    let address = world.address("host1");
    let stranger = |credentials: &[&str]| {
        let mut command = world.sandbox().host_command("host3", "timeout").unwrap();
        command.args(["20", "turnutils_uclient", "-t", "-y"]).args(credentials).arg(&address);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let strangers = [
        ("with a wrong secret", stranger(&["-W", "guess", "-u", "test"])),
        (
            "with credentials that have ended",
            stranger(&["-u", "1000000000:test", "-w", &password(&client.secret, "1000000000:test")]),
        ),
        ("without credentials", stranger(&[])),
    ];
    // The same with a name that ends in 2033 is taken.
    let name = "2000000000:test";
    let known = stranger(&["-u", name, "-w", &password(&client.secret, name)]);
    for (who, running) in strangers {
        let refused = said(&running.wait_with_output().unwrap());
        assert!(refused.contains("Cannot complete Allocation"), "{who}: {refused}");
    }
    let taken = said(&known.wait_with_output().unwrap());
    assert!(!taken.contains("Cannot complete Allocation"), "{taken}");

    world.set_services(&["turn: {allow_private_peers: false}"]);
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    let refused = client.run("host1", &["-t"]);
    assert!(!lost_nothing(&refused) && refused.contains("403"), "to a private address: {refused}");
    world.run(&["verify"]).expect_code(0);
    world.set_services(&[]);
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
}

fn drains_before_it_restarts(world: &World) {
    let client = Client::new(world);
    let before = world.invocations();
    // Some six seconds, of the twenty that the sandbox's profile gives.
    let call = client.start("host1", &["-t"], 250);
    world.set_services(&["turn: {relay_port_first: 50000}"]);
    let begun = Instant::now();
    let rolling = world.start(&["apply", "--yes", "--only", "turn"]);
    assert!(rolling.saw(|event| event["event"] == "step_started" && event["step"] == "turn/host1/drain"));
    await_that("new clients are sent elsewhere", 5, || client.run("host1", &["-t"]).contains("300 (Try Alternate)"));
    let call = said(&call.wait_with_output().unwrap());
    assert!(lost_nothing(&call), "a client that was there before lost packets: {call}");
    rolling.wait().expect_code(0);
    let took = begun.elapsed().as_secs();
    assert!(took > 3, "nobody waited for the client: the whole roll took {took} s");
    let after = world.invocations();
    assert!(HOSTS.iter().all(|host| before[&(*host, UNIT)] != after[&(*host, UNIT)]));
    client.expect_all_served(&HOSTS.map(|host| (host, &["-t"][..])));
    world.expect_settled();
}

fn a_drain_that_was_broken_off_is_undone(world: &World) {
    let client = Client::new(world);
    let call = client.start("host1", &["-t"], 350);
    let former = fs::read_to_string(world.file(SITE_FILE)).unwrap();
    world.set_services(&["turn: {relay_port_first: 51000}"]);
    let rolling = world.start(&["apply", "--yes", "--only", "turn"]);
    assert!(rolling.saw(|event| event["event"] == "step_started" && event["step"] == "turn/host1/drain"));
    await_that("new clients are sent elsewhere", 5, || client.run("host1", &["-t"]).contains("300 (Try Alternate)"));
    rolling.kill();
    drop(call.wait_with_output().unwrap());
    // The operator thinks better of it.
    fs::write(world.file(SITE_FILE), former).unwrap();
    world.run(&["status"]).expect_code(7).expect_said("sends its clients to");
    let before = world.invocations();
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    assert_eq!(world.invocations(), before, "nothing had to restart");
    client.expect_served("host1", &["-t"]);
    world.expect_settled();
}

/// Raises the generation of a secret in the site file, applies, and gives the site file's former text.
fn raise(world: &World, secret: &str) -> String {
    let file = world.file(SITE_FILE);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}generations:\n  {secret}: 2\n")).unwrap();
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    text
}

/// What a node shows of its certificate on its TLS port, in openssl's words.
fn shown(world: &World, host: &str, what: &str) -> String {
    let address = format!("{}:5349", world.address(host));
    let script = format!("openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout {what}");
    world.on("host3", &["sh", "-c", &script])
}

fn takes_a_certificate_in_while_it_works(world: &World) {
    let (before, former) = (world.invocations(), shown(world, "host2", "-fingerprint"));
    let text = raise(world, "turn/key/nodes");
    assert_ne!(shown(world, "host2", "-fingerprint"), former);
    fs::write(world.file(SITE_FILE), text).unwrap();
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    assert_eq!(world.invocations(), before, "nothing had to restart");
    Client::new(world).expect_served("host2", &["-S"]);
    world.expect_settled();
}

/// A certificate for any name of a domain, its chain and key below a folder, from an authority that nobody knows.
const BRING: &str = "set -e; new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'; \
    openssl req -x509 $new -keyout ca.key -out ca.crt -subj /CN=brought-authority; \
    openssl req $new -keyout brought.key -out brought.csr -subj /CN=brought -addext subjectAltName=DNS:*.calls.example; \
    openssl x509 -req -in brought.csr -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2 -out brought.crt; \
    cat ca.crt >> brought.crt";

fn shows_the_certificate_that_was_brought(world: &World) {
    let folder = world.file("brought");
    fs::create_dir_all(&folder).unwrap();
    let made = Command::new("bash").args(["-c", BRING]).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let keep = |name: &str, file: &str| {
        let text = fs::File::open(folder.join(file)).unwrap();
        let mut set = Command::new(env!("CARGO_BIN_EXE_wire-deploy"));
        assert!(set.args(["secrets", "set", name]).current_dir(&world.folder).stdin(text).status().unwrap().success());
    };
    keep("calls-chain", "brought.crt");
    keep("calls-key", "brought.key");
    let former = fs::read_to_string(world.file(SITE_FILE)).unwrap();
    let before = world.invocations();
    world.set_services(&["turn: {certificate: {chain: calls-chain, key: calls-key}}"]);
    // The others still show their former one at the first node's gate.
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    assert!(HOSTS.iter().all(|host| shown(world, host, "-issuer").contains("brought-authority")));
    world.run(&["verify"]).expect_code(0);

    keep("calls-key", "ca.key");
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(64).expect_said("the key is not the certificate's");
    fs::write(world.file(SITE_FILE), former).unwrap();
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    assert!(!shown(world, "host1", "-issuer").contains("brought-authority"));
    assert_eq!(world.invocations(), before, "nothing had to restart");
    world.expect_settled();
}

fn a_new_secret_rolls_and_the_former_one_is_still_taken(world: &World) {
    let former = Client::new(world);
    let text = raise(world, "turn/shared-secret");
    let present = Client::new(world);
    assert_ne!(former.secret, present.secret);
    present.expect_served("host1", &["-t"]);
    former.expect_served("host1", &["-t"]);
    fs::write(world.file(SITE_FILE), text).unwrap();
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    let refused = present.run("host1", &["-t"]);
    assert!(refused.contains("Cannot complete Allocation"), "a secret that is no more: {refused}");
}

fn deafness_is_noticed(world: &World) {
    let change = |script: &str| {
        world.on("host2", &["sh", "-c", &format!("{script} /etc/turn/turnserver.conf && systemctl restart {UNIT}")]);
    };
    change("sed -i '$ano-udp'");
    world.run(&["status"]).expect_code(7).expect_said("does not serve a client over UDP");
    change("sed -i '/^no-udp$/d'");
    world.run(&["verify"]).expect_code(0);
    world.expect_settled();
}

fn comes_back_by_itself(world: &World) {
    world.on("host1", &["systemctl", "kill", "--signal=KILL", UNIT]);
    Client::new(world).expect_served("host2", &["-t"]);
    world.run(&["verify"]).expect_code(0);
    Client::new(world).expect_served("host1", &["-t"]);
}

fn restarts_on_demand(world: &World) {
    let before = world.invocations();
    let restart = ["restart", "--service", "turn", "--yes"];
    world.on("host3", &["systemctl", "stop", UNIT]);
    world.run(&restart).expect_code(1).expect_said("its node on host3 is down");
    let limited = world.run(&[&restart[..], &["--limit", "host1"]].concat());
    limited.expect_code(1).expect_said("its node on host3 is down");
    world.run(&["apply", "--yes", "--only", "turn"]).expect_code(0);
    assert_eq!(world.invocations()[&("host1", UNIT)], before[&("host1", UNIT)]);

    let settled = world.invocations();
    let limited = world.run(&[&restart[..], &["--limit", "host1"]].concat()).expect_code(0);
    limited.expect_said("send new clients of host1 elsewhere");
    let first = world.invocations();
    assert_ne!(first[&("host1", UNIT)], settled[&("host1", UNIT)]);
    assert_eq!(first[&("host2", UNIT)], settled[&("host2", UNIT)]);
    world.run(&restart).expect_code(0);
    let all = world.invocations();
    assert!(HOSTS.iter().all(|host| all[&(*host, UNIT)] != first[&(*host, UNIT)]));
    world.expect_settled();

    let former = fs::read_to_string(world.file(SITE_FILE)).unwrap();
    world.set_services(&["turn: {relay_port_first: 52000}"]);
    world.run(&restart).expect_code(1).expect_said("the hosts differ from the site");
    fs::write(world.file(SITE_FILE), former).unwrap();
}
