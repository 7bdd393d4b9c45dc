//! Load balancers: the address moves, connections go on, servers come and go.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("load-balancer: an address, and servers behind it", || passes_connections_on(world));
    phases.run("load-balancer: a reload ends no connection", || reloads(world));
    phases.run("load-balancer: a server that is about to leave keeps its connections", || server_leaves(world));
    phases.run("load-balancer: the address moves when its host dies", || the_address_moves(world));
    phases.run("load-balancer: a stranger has the address", || a_stranger_has_the_address(world));
    phases.run("load-balancer: haproxy dies", || haproxy_dies(world));
    phases.run("load-balancer: without an address", || without_an_address(world));
}

/// An HTTP server that says where it is, and with 404 that it is about to leave; Perl is there on every Debian host.
const SERVER: &str = r#"use IO::Socket::INET; my $server = IO::Socket::INET->new(LocalPort => 8081, Listen => 50, ReuseAddr => 1) or die;
$SIG{CHLD} = 'IGNORE';
while (my $client = $server->accept) {
  next if fork; close $server;
  while (1) {
    my $lines = 0; while (defined(my $line = <$client>)) { $lines++; last if $line =~ /^\r?\n$/ } exit unless $lines;
    my $status = -e '/run/web-leaves' ? '404 Not Found' : '200 OK';
    my $text = "served by $ARGV[0]\n"; print $client "HTTP/1.1 $status\r\nContent-Length: " . length($text) . "\r\n\r\n$text"; $client->flush;
  }
}"#;

fn vip(world: &World, last: u8) -> String {
    let address = world.address("host1");
    let (network, _) = address.rsplit_once('.').unwrap();
    format!("{network}.{last}")
}

/// The site's settings, with this many seconds that streams go on.
fn set(world: &World, vip: &str, stream_seconds: u32) {
    let servers = format!("[{}, {}]", world.address("host1"), world.address("host2"));
    world.set_services(&[&format!(
        "load-balancer: {{vip: {vip}, stream_seconds: {stream_seconds}, listeners: {{web: {{port: 8000, servers: {servers}, server_port: 8081, health: {{path: /}}}}}}}}"
    )]);
}

fn apply(world: &World) {
    world.run(&["apply", "--yes", "--only", "load-balancer"]).expect_code(0);
}

fn serve(world: &World, host: &str) {
    world.on(host, &["systemd-run", "--quiet", "--unit=web", "perl", "-e", SERVER, host]);
}

/// One request through the address, from a machine that is none of the hosts.
fn ask(world: &World) -> Option<String> {
    let script = format!(
        "exec 3<>/dev/tcp/{}/8000 && printf 'GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n' >&3 && timeout 1 grep -m 1 served <&3",
        vip(world, 100)
    );
    let output =
        world.sandbox().command("timeout").args(["2", "bash", "-c", &script]).stderr(Stdio::null()).output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|said| !said.is_empty())
}

/// The host that holds the address, by its own word.
fn holder(world: &World) -> Option<&'static str> {
    let vip = vip(world, 100);
    let held: Vec<_> = HOSTS
        .into_iter()
        .filter(|host| {
            world.sandbox().is_on(host).unwrap()
                && world.on(host, &["ip", "-brief", "address"]).contains(&format!(" {vip}/"))
        })
        .collect();
    assert!(held.len() <= 1, "more than one holds it: {held:?}");
    held.first().copied()
}

fn passes_connections_on(world: &World) {
    set(world, &vip(world, 100), 3600);
    // Only a site with such an address needs keepalived.
    world.prepare_artifacts();
    apply(world);
    world.run(&["verify"]).expect_code(0).expect_said("holder");
    assert!(holder(world).is_some());
    assert_eq!(ask(world), None, "nothing serves yet");
    serve(world, "host1");
    serve(world, "host2");
    let said = |wanted: &str| ask(world).as_deref() == Some(wanted);
    await_that("host1 serves", 10, || said("served by host1"));
    await_that("host2 serves", 10, || said("served by host2"));
    world.expect_settled();
    world.expect_nothing_to_do();
    world.on("host1", &["systemctl", "stop", "web"]);
    await_that("host1 is left out", 10, || (0..6).all(|_| said("served by host2")));
    serve(world, "host1");
    await_that("host1 is back", 10, || said("served by host1"));
}

/// Asks once a second through one connection, whose end, or two seconds without an answer, ends the program; and the host that answers.
fn stream(world: &World) -> (Child, String) {
    let script = format!(
        "exec 3<>/dev/tcp/{}/8000; for i in $(seq 60); do printf 'GET / HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n' >&3; \
         while IFS= read -r -t 2 line <&3; do case $line in served*) echo ${{line##* }}; sleep 1; continue 2;; esac; done; exit 1; done",
        vip(world, 100)
    );
    let mut stream = world.sandbox().command("bash").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut host = String::new();
    BufReader::new(stream.stdout.as_mut().unwrap()).read_line(&mut host).unwrap();
    (stream, host.trim().to_owned())
}

fn server_leaves(world: &World) {
    let (mut stream, host) = stream(world);
    world.on(&host, &["touch", "/run/web-leaves"]);
    let other = if host == "host1" { "served by host2" } else { "served by host1" };
    await_that("it is left out", 10, || (0..6).all(|_| ask(world).as_deref() == Some(other)));
    std::thread::sleep(Duration::from_secs(3));
    assert!(stream.try_wait().unwrap().is_none(), "the stream was ended");
    stream.kill().unwrap();
    stream.wait().unwrap();
    world.on(&host, &["rm", "/run/web-leaves"]);
    let own = format!("served by {host}");
    await_that("it is back", 10, || ask(world).as_ref() == Some(&own));
}

fn reloads(world: &World) {
    let process = |host| world.unit_property(host, "haproxy.service", "MainPID");
    let before: Vec<_> = HOSTS.map(process).into();
    let (mut stream, _) = stream(world);
    set(world, &vip(world, 100), 1800);
    let plan = world.run(&["plan", "--only", "load-balancer"]).expect_code(0);
    plan.expect_said("reload").expect_not_said("restart  unit");
    let applying = world.start(&["apply", "--yes", "--only", "load-balancer"]);
    let (mut asked, mut failed) = (0, 0);
    while !applying.is_over() {
        asked += 1;
        failed += u32::from(ask(world).is_none());
    }
    applying.wait().expect_code(0);
    assert!(asked > 3 && failed == 0, "{failed} of {asked} new connections failed");
    std::thread::sleep(Duration::from_secs(2));
    assert!(stream.try_wait().unwrap().is_none(), "the stream was ended");
    stream.kill().unwrap();
    stream.wait().unwrap();
    assert_eq!(before, Vec::from(HOSTS.map(process)));
    world.expect_settled();
}

fn the_address_moves(world: &World) {
    let first = holder(world).unwrap();
    world.sandbox().power_off(first).unwrap();
    let since = Instant::now();
    await_that("someone serves", 10, || ask(world).is_some());
    let took = since.elapsed();
    assert!(took < Duration::from_secs(6), "it took {took:?}");
    let second = holder(world).unwrap();
    assert_ne!(first, second);
    world.sandbox().power_on(first).unwrap();
    if first != "host3" {
        serve(world, first);
    }
    await_that("all is well", 60, || world.run(&["status", "--only", "load-balancer"]).code == Some(0));
    assert_eq!(holder(world), Some(second), "whoever comes back disturbs nobody");
    world.run(&["drift", "--only", "load-balancer"]).expect_code(0);
}

fn a_stranger_has_the_address(world: &World) {
    let (stranger, own) = (vip(world, 200), holder(world).unwrap());
    let bridge = |verb: &str| {
        let script =
            format!("ip address {verb} {stranger}/32 dev $(ip -brief link show type bridge | cut -d ' ' -f 1)");
        assert!(world.sandbox().command("sh").args(["-c", &script]).status().unwrap().success());
    };
    bridge("add");
    set(world, &stranger, 1800);
    let refused = world.run(&["apply", "--yes", "--only", "load-balancer"]);
    bridge("del");
    refused.expect_code(1).expect_said("is held by a host that is none of these");
    set(world, "192.0.2.1", 1800);
    world.run(&["check", "--only", "load-balancer"]).expect_said("192.0.2.1 is on none of its networks");
    set(world, &vip(world, 100), 1800);
    world.run(&["drift", "--only", "load-balancer"]).expect_code(0);
    assert_eq!(holder(world), Some(own));
}

fn haproxy_dies(world: &World) {
    let first = holder(world).unwrap();
    world.on(first, &["systemctl", "kill", "--signal=KILL", "haproxy.service"]);
    await_that("someone serves", 10, || ask(world).is_some());
    world.run(&["verify"]).expect_code(0);
    // For good: another host takes the address.
    let first = holder(world).unwrap();
    world.on(first, &["systemctl", "stop", "haproxy.service"]);
    await_that("someone serves", 10, || ask(world).is_some());
    assert_ne!(holder(world), Some(first));
    apply(world);
    world.expect_settled();
}

fn without_an_address(world: &World) {
    world.set_services(&[]);
    apply(world);
    assert_eq!(holder(world), None);
    for host in HOSTS {
        assert!(!world.succeeds(host, &["systemctl", "is-active", "keepalived.service"]));
    }
    for host in ["host1", "host2"] {
        world.on(host, &["systemctl", "stop", "web"]);
    }
    world.expect_settled();
}
