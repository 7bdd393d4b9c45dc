//! The databases' own clients, on the hosts.

use std::process::Output;

use crate::common::world::World;

const REDIS_AUTHORITY: &str = "/etc/redis/wire-deploy/tls/ca.pem";
const ETCD_FOLDER: &str = "/etc/etcd/clients";

/// `redis-cli` on a host to a node, with these flags and words.
pub fn redis_cli(world: &World, on: &str, to: &str, port: u16, arguments: &[&str]) -> Output {
    let (address, port) = (world.address(to), port.to_string());
    let mut words = vec!["timeout", "5", "redis-cli", "-h", &address, "-p", &port];
    words.extend(arguments);
    world.sandbox().exec(on, &words).unwrap()
}

/// What a Redis node or Sentinel answers to the backend's user.
pub fn redis(world: &World, to: &str, port: u16, words: &[&str]) -> String {
    let password = world.secret("redis/user/wire");
    let flags = ["--tls", "--cacert", REDIS_AUTHORITY, "--user", "wire", "--pass", &password, "--no-auth-warning"];
    let output = redis_cli(world, to, to, port, &[&flags[..], words].concat());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Name of the host that Redis's Sentinel on a host takes for the primary.
pub fn primary(world: &World, asked: &str) -> Option<String> {
    let answer = redis(world, asked, 26379, &["sentinel", "get-master-addr-by-name", "wire"]);
    let address = answer.lines().next()?;
    world.sandbox().hosts().iter().find(|host| host.address.to_string() == address).map(|host| host.name().to_owned())
}

/// `etcdctl` on a host to that host's member, with that host's certificate.
pub fn etcd(world: &World, on: &str, words: &[&str]) -> Output {
    let flags = [
        format!("--endpoints=https://{}:2379", world.address(on)),
        format!("--cacert={ETCD_FOLDER}/ca.pem"),
        format!("--cert={ETCD_FOLDER}/node.pem"),
        format!("--key={ETCD_FOLDER}/node.key"),
        "--command-timeout=5s".to_owned(),
    ];
    let mut command = vec!["/opt/etcd/etcdctl"];
    command.extend(flags.iter().map(String::as_str));
    command.extend(words);
    world.sandbox().exec(on, &command).unwrap()
}
