//! Ports at which a cluster's nodes speak with each other, and nobody else is listened to.

use crate::common::world::World;

/// A port of host1's node answers another node, and nobody else who speaks TLS; without TLS nobody at all. A node shows `certificate` and has
/// `key`, both paths on a host.
#[track_caller]
pub fn expect_nodes_alone(world: &World, port: u16, [certificate, key]: [&str; 2]) {
    let address = world.address("host1");
    // Whoever is refused learns it after the handshake, by an alert.
    let refused = |shown: &str| {
        let script = format!("sleep 2 | timeout 10 openssl s_client -connect {address}:{port} {shown} 2>&1; true");
        let said = world.on("host1", &["sh", "-c", &script]);
        assert!(said.contains("CONNECTED"), "{said}");
        said.contains(" alert ")
    };
    assert!(!refused(&format!("-cert {certificate} -key {key}")), "another node is refused at port {port}");
    assert!(refused(""), "somebody without a certificate is listened to at port {port}");
    let stranger = "-cert /etc/etcd/clients/node.pem -key /etc/etcd/clients/node.key";
    assert!(refused(stranger), "another cluster's certificate is taken at port {port}");
    // A TLS server says nothing but an alert (21) to one who does not speak TLS.
    let script = format!(
        "exec 3<>/dev/tcp/{address}/{port}; printf 'hello, node of a cluster\\n' >&3; timeout 3 head -c 1 <&3 | od -An -tu1"
    );
    let said = world.on("host1", &["bash", "-c", &script]);
    assert!(matches!(said.trim(), "" | "21"), "port {port} speaks without TLS: {said}");
}
