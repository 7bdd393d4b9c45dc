//! Who may talk to the databases: nobody without TLS and credentials.

use crate::clients::{etcd, redis, redis_cli};
use crate::common::world::World;

const REDIS_AUTHORITY: &str = "/etc/redis/wire-deploy/tls/ca.pem";

pub fn only_with_credentials(world: &World) {
    for port in [6379, 26379] {
        assert_eq!(redis(world, "host1", port, &["ping"]), "PONG");
        let says = |arguments: &[&str]| {
            let output = redis_cli(world, "host2", "host1", port, arguments);
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
        };
        let tls = ["--tls", "--cacert", REDIS_AUTHORITY];
        let plain = says(&["ping"]);
        assert!(!plain.contains("PONG"), "without TLS on {port}: {plain}");
        let nobody = says(&[&tls[..], &["ping"]].concat());
        assert!(nobody.contains("NOAUTH"), "without a user on {port}: {nobody}");
        let wrong = says(&[&tls[..], &["--user", "wire", "--pass", "guess", "ping"]].concat());
        assert!(wrong.contains("WRONGPASS") && !wrong.contains("PONG"), "with a wrong password on {port}: {wrong}");
        let default = says(&[&tls[..], &["--user", "default", "--pass", "", "ping"]].concat());
        assert!(!default.contains("PONG"), "as the default user on {port}: {default}");
    }

    assert!(etcd(world, "host1", &["put", "/test/key", "value"]).status.success());
    let refused = |arguments: &[&str]| {
        let command = [&["/opt/etcd/etcdctl", "--command-timeout=3s"][..], arguments, &["get", "/test/key"]].concat();
        let output = world.sandbox().exec("host1", &command).unwrap();
        assert!(
            !output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("value"),
            "{arguments:?}"
        );
    };
    let address = world.address("host1");
    let endpoint = format!("--endpoints=https://{address}:2379");
    refused(&[&format!("--endpoints=http://{address}:2379")]);
    refused(&[&endpoint, "--cacert=/etc/etcd/clients/ca.pem"]);
    let redis_folder = "/etc/redis/wire-deploy/tls";
    refused(&[
        &endpoint,
        "--cacert=/etc/etcd/clients/ca.pem",
        &format!("--cert={redis_folder}/node.pem"),
        &format!("--key={redis_folder}/node.key"),
    ]);
    for port in ["2379", "2380"] {
        let peers = world.on("host1", &["ss", "--numeric", "--listening", "--tcp", "sport", "=", port]);
        assert!(peers.contains(port), "nothing listens on {port}");
    }
    // The other trust domain of the same service opens nothing either.
    refused(&[
        &endpoint,
        "--cacert=/etc/etcd/clients/ca.pem",
        "--cert=/etc/etcd/peers/node.pem",
        "--key=/etc/etcd/peers/node.key",
    ]);
}
