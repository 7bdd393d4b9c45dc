//! What clients see: the public names, behind the address that moves between the load balancers.

use wire_deploy::site::init::INVENTORY_FILE;

use crate::common::world::World;

/// The site's domain.
pub const DOMAIN: &str = "sandbox.example.com";

/// The address that moves, from the inventory.
pub fn address(world: &World) -> String {
    let inventory = std::fs::read_to_string(world.folder.join(INVENTORY_FILE)).unwrap();
    let line = inventory.lines().find_map(|line| line.trim().strip_prefix("vip: "));
    line.unwrap().to_owned()
}

/// Two users whose message arrives, by the names that the site's clients use.
pub fn smoke(world: &World) {
    world.run(&["smoke", "--address", &address(world)]).expect_code(0);
}

/// What is answered to a GET of a path at one of the public hosts: the status, and the body.
pub fn get(world: &World, host: &str, path: &str) -> (String, String) {
    ask(world, host, path, &[])
}

/// Likewise of any request that curl is told to send; of several, the body is all bodies and the status the last one's.
fn ask(world: &World, host: &str, path: &str, arguments: &[&str]) -> (String, String) {
    let to = format!("{host}.{DOMAIN}:443:{}", address(world));
    let url = format!("https://{host}.{DOMAIN}{path}");
    let mut curl = world.sandbox().command("curl");
    // Who signed the certificate is looked at by the smoke test.
    curl.args(["-sk", "--max-time", "10", "-w", "\n%{http_code}", "--resolve", &to, &url]).args(arguments);
    let output = String::from_utf8(curl.output().unwrap().stdout).unwrap();
    let (body, status) = output.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

pub fn names(world: &World) {
    for (host, path, status, said) in [
        ("nginz-https", "/api-version", "200", "\"supported\""),
        ("nginz-https", "/self", "401", "\"unauthorized\""),
        ("nginz-https", "/i/status", "404", ""),
        ("nginz-ssl", "/await", "401", ""),
        ("webapp", "/", "200", "<html"),
        ("account", "/", "200", "<html"),
        ("teams", "/", "200", "<html"),
        ("assets", "/minio/health/live", "403", ""),
        ("assets", "/assets/nothing", "403", ""),
    ] {
        let (found, body) = get(world, host, path);
        assert_eq!(found, status, "{host}{path}: {body}");
        assert!(body.contains(said), "{host}{path}: {body}");
    }
    // A body that is too large.
    let large = world.folder.join("large");
    std::fs::write(&large, vec![b'a'; 600_000]).unwrap();
    let (status, body) = ask(world, "nginz-https", "/login", &["--data-binary", &format!("@{}", large.display())]);
    assert!(status == "413" && body.contains("\"request-entity-too-large\""), "{status}: {body}");
    // Too often, whichever pod counts: of a row that no other test needs.
    let (status, body) = ask(world, "nginz-https", "/sso/get-by-email?[1-80]", &["-X", "POST"]);
    assert!(status == "420" && body.contains("\"too-many-requests\""), "{status}: {body}");

    // The client's own address, behind load balancer and ingress.
    let own = world.sandbox().command("ip").args(["-4", "-o", "route", "get", &address(world)]).output().unwrap();
    let own = String::from_utf8(own.stdout).unwrap();
    let own = own.split_whitespace().skip_while(|word| *word != "src").nth(1).unwrap().to_owned();
    for (workload, container, words) in [("ingress", "nginx", "nginz-https"), ("nginz", "nginx", "\"status\":420")] {
        let pods = format!("wire-deploy/workload={workload}");
        let log = super::kubectl(world, &["logs", "-l", &pods, "-c", container, "--tail=200", "--prefix=false"]);
        let asked = log.lines().find(|line| line.contains("/sso/get-by-email") && line.contains(words));
        let asked = asked.unwrap_or_else(|| panic!("no request in the log of {workload}: {log}"));
        assert!(asked.contains(&own), "not from {own}: {asked}");
    }
}
