//! Cassandra: who is refused, and rows that stay while nodes come and go.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use wire_deploy::services::cql::{Connection, Consistency, Row};
use wire_deploy::services::{Stream, tls};
use wire_deploy::site::certificates::Issued;
use wire_deploy::site::secrets::SecretText;

use crate::common::phases::Phases;
use crate::common::world::{HOSTS, World, await_that};
use crate::strangers;
use crate::traffic::{Work, at_any};

pub const UNIT: &str = "cassandra.service";
/// A client that a node leaves alone asks another one, for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// No node is waited for longer.
const ANSWER: Duration = Duration::from_secs(4);

pub fn phases(phases: &mut Phases, world: &World) {
    phases.run("cassandra: strangers are refused, and a role outside its keyspace", || refusals(world));
    phases.run("cassandra: another password, a right too many, and a role back that everyone knows", || roles(world));
    phases.run("cassandra: wire-deploy's own password, changed on one side and on both", || own_password(world));
    phases.run("cassandra: another cluster's data are left alone, and the node goes on", || anothers_data(world));
    phases.run("cassandra: renewed certificates are shown at once", || certificates(world));
    phases.run("cassandra: a list of seeds is taken in without a restart", || seeds(world));
}

/// The backend's own client, which writes and reads at whichever node answers.
pub fn client<'a>(world: &'a World, occasion: &'static str) -> Work<'a> {
    let brig = tables(world);
    Box::new(move |number| brig.work(occasion, number))
}

/// Writes a row that [`expect_kept`] looks for.
pub fn keep(world: &World) {
    tables(world).expect("host1", "INSERT INTO brig.traffic (name, number) VALUES ('kept', 1)");
}

/// A host's own files hold rows.
pub fn expect_kept(world: &World, host: &str) {
    nodetool(world, host, &["flush", "brig"]);
    let rows = "ls /var/lib/cassandra/data/brig/traffic-*/*-Data.db";
    assert!(world.succeeds(host, &["sh", "-c", rows]), "the node on {host} has no rows");
}

/// Ends a node's first attempt to take its place again, when the others have heard of it.
pub fn cut_short(world: &World, host: &str) {
    let says = |text: &str| world.on(host, &["journalctl", "--no-pager", "-u", UNIT]).contains(text);
    await_that("the node takes its place again", 300, || says("ready to bootstrap"));
    world.on(host, &["systemctl", "kill", "--signal=KILL", UNIT]);
}

fn seeds(world: &World) {
    let before = world.invocations();
    let [other, lost] = ["host2", "host3"].map(|host| world.address(host));
    let known = || nodetool(world, "host1", &["getseeds"]);
    world.on("host1", &["sed", "-i", &format!("s/,{lost}:7000//"), "/etc/cassandra/cassandra.yaml"]);
    let reload = || world.on("host1", &["systemctl", "reload", UNIT]);
    reload();
    assert!(known().contains(&other) && !known().contains(&lost), "{}", known());
    world.run(&["apply", "--yes"]).expect_code(0);
    reload();
    assert!(known().contains(&other) && known().contains(&lost), "{}", known());
    assert_eq!(world.invocations(), before, "a unit was restarted");
}

/// A site of another name has another cluster, whose data these are not.
fn anothers_data(world: &World) {
    let brig = tables(world);
    brig.expect("host1", "INSERT INTO brig.traffic (name, number) VALUES ('left alone', 1)");
    world.variant("renamed.yaml", |text| text.replacen("site: sandbox\n", "site: another\n", 1));
    let renamed = ["-c", "renamed.yaml", "apply", "--yes", "--only", "cassandra"];
    world.run(&renamed).expect_code(6).expect_said("Saved cluster name sandbox != configured name another");
    world.run(&["verify"]).expect_code(0);
    let rows = brig.expect("host1", "SELECT number FROM brig.traffic WHERE name = 'left alone'");
    assert_eq!(rows.len(), 1, "{rows:?}");
    world.expect_settled();
}

fn certificates(world: &World) {
    let address = format!("{}:9042", world.address("host2"));
    let script =
        format!("openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint");
    let shown = || world.on("host3", &["sh", "-c", &script]);
    let (before, former) = (world.invocations(), shown());
    world.variant("renewed.yaml", |text| format!("{text}generations:\n  cassandra/key/clients: 2\n"));
    world.run(&["-c", "renewed.yaml", "apply", "--yes", "--only", "cassandra"]).expect_code(0);
    assert_ne!(shown(), former);
    world.run(&["apply", "--yes", "--only", "cassandra"]).expect_code(0);
    assert_eq!(world.invocations(), before, "a node was restarted for a certificate");
    world.expect_settled();
}

fn nodetool(world: &World, host: &str, arguments: &[&str]) -> String {
    world.on(host, &[&["runuser", "-u", "cassandra", "--", "/opt/cassandra/bin/nodetool"][..], arguments].concat())
}

/// A client inside the sandbox's network.
struct Client<'a> {
    world: &'a World,
    role: String,
    password: String,
    /// The authority that it trusts, and the certificate with its key that it shows, PEM.
    authority: String,
    identity: Option<String>,
}

impl<'a> Client<'a> {
    fn named(world: &'a World, role: &str, password: &str) -> Self {
        let read = |name: &str| world.on("host1", &["cat", &format!("/etc/cassandra/clients/{name}")]);
        Self {
            world,
            role: role.to_owned(),
            password: password.to_owned(),
            authority: read("ca.pem"),
            identity: Some(read("keystore.pem")),
        }
    }

    fn backend(world: &'a World, role: &str) -> Self {
        Self::named(world, role, &world.secret(&format!("cassandra/user/{role}")))
    }

    /// What a statement gives at one node.
    fn ask(&self, host: &str, statement: &str, consistency: Consistency) -> Result<Vec<Row>, String> {
        let address: IpAddr = self.world.address(host).parse().unwrap();
        self.world.inside(async {
            let answer = async {
                let mut connection = self.connect(address).await?;
                connection.query_at(statement, consistency).await
            };
            let answer = tokio::time::timeout(ANSWER, answer).await.map_err(|_| "no answer".to_owned())?;
            answer.map_err(|error| format!("{error:#}"))
        })
    }

    async fn connect(&self, address: IpAddr) -> anyhow::Result<Connection> {
        let identity = self.identity.as_ref().map(|pem| {
            let (key, certificate) = pem.split_once("-----BEGIN CERTIFICATE-----").unwrap();
            let certificate = format!("-----BEGIN CERTIFICATE-----{certificate}");
            Issued { certificate, key: SecretText::new(key.to_owned()) }
        });
        let address = SocketAddr::new(address, 9042);
        let stream: Box<dyn Stream> = Box::new(TcpStream::connect(address).await?);
        let stream = tls::Client::new(&self.authority, identity.as_ref())?.connect(stream, address.ip()).await?;
        Connection::log_in(stream, address, &self.role, &self.password).await
    }

    #[track_caller]
    fn expect(&self, host: &str, statement: &str) -> Vec<Row> {
        self.ask(host, statement, Consistency::Quorum).unwrap()
    }

    #[track_caller]
    fn expect_refused(&self, host: &str, statement: &str, why: &str) {
        let error = self.ask(host, statement, Consistency::Quorum).unwrap_err();
        assert!(error.contains(why), "{statement}: expected {why:?}: {error}");
    }

    /// At whichever node answers.
    fn any(&self, statement: &str, consistency: Consistency) -> Result<Vec<Row>, String> {
        at_any(&HOSTS, PATIENCE, |host| self.ask(host, statement, consistency))
    }

    /// Writes a row and another one by the vote of most, and reads both and those before, from most.
    fn work(&self, name: &str, number: u64) -> Result<(), String> {
        self.any(&format!("INSERT INTO brig.traffic (name, number) VALUES ('{name}', {number})"), Consistency::Quorum)?;
        let voted = format!("INSERT INTO brig.voted (name, number) VALUES ('{name}', {number}) IF NOT EXISTS");
        self.any(&voted, Consistency::Quorum)?;
        for (table, consistency) in [("traffic", Consistency::Quorum), ("voted", Consistency::Serial)] {
            for number in number.saturating_sub(1)..=number {
                let statement = format!("SELECT number FROM brig.{table} WHERE name = '{name}' AND number = {number}");
                let rows = self.any(&statement, consistency)?;
                if rows.len() != 1 {
                    return Err(format!("{table}: {number} was written and is not there"));
                }
            }
        }
        Ok(())
    }
}

/// Removes keyspaces that the site does not know.
pub fn forget_keyspaces(world: &World, names: &[&str]) {
    let superuser = Client::backend(world, "wire-deploy");
    for name in names {
        // Nodes take their time for it.
        superuser.any(&format!("DROP KEYSPACE IF EXISTS {name}"), Consistency::Quorum).unwrap();
    }
}

fn tables(world: &World) -> Client<'_> {
    let brig = Client::backend(world, "brig");
    for table in ["traffic", "voted"] {
        let columns = "(name text, number int, PRIMARY KEY (name, number))";
        brig.expect("host1", &format!("CREATE TABLE IF NOT EXISTS brig.{table} {columns}"));
    }
    brig
}

fn refusals(world: &World) {
    let (brig, galley) = (tables(world), Client::backend(world, "galley"));
    brig.expect("host2", "INSERT INTO brig.traffic (name, number) VALUES ('kept', 1)");
    for statement in [
        "SELECT * FROM brig.traffic",
        "INSERT INTO brig.traffic (name, number) VALUES ('kept', 2)",
        "DROP TABLE brig.traffic",
        "CREATE KEYSPACE mine WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}",
        "CREATE ROLE mine",
        "GRANT SELECT ON KEYSPACE brig TO galley",
    ] {
        galley.expect_refused("host3", statement, "User galley ");
    }
    let look = "SELECT release_version FROM system.local";
    for (role, password) in
        [("cassandra", "cassandra"), ("brig", "not-the-password"), ("wire-deploy", "wire-deploy"), ("", "")]
    {
        for host in HOSTS {
            Client::named(world, role, password).expect_refused(host, look, "cannot log in");
        }
    }
    let nobody = Client { identity: None, ..Client::backend(world, "brig") };
    assert!(nobody.ask("host1", look, Consistency::One).is_err(), "served without a client's certificate");
    let etcd = |name: &str| world.on("host1", &["cat", &format!("/etc/etcd/clients/{name}")]);
    let identity = format!("{}{}", etcd("node.key"), etcd("node.pem"));
    let stranger = Client { identity: Some(identity), ..Client::backend(world, "brig") };
    assert!(stranger.ask("host1", look, Consistency::One).is_err(), "served with another cluster's certificate");
    let fooled = Client { authority: etcd("ca.pem"), ..Client::backend(world, "brig") };
    fooled.expect_refused("host1", look, "certificate");
    for port in ["9042", "7000"] {
        // A node that speaks CQL without TLS would answer the request for its options.
        let script = format!(
            "exec 3<>/dev/tcp/{}/{port}; printf '\\x04\\0\\0\\0\\x05\\0\\0\\0\\0' >&3; timeout 3 head -c 9 <&3 | od -An -tx1",
            world.address("host1")
        );
        let answer = world.on("host1", &["bash", "-c", &script]);
        assert!(!answer.trim_start().starts_with("84"), "port {port} speaks without TLS: {answer}");
    }
    strangers::expect_nodes_alone(world, 7000, ["/etc/cassandra/nodes/keystore.pem"; 2]);
    let listening = world.on("host1", &["ss", "-Hltn"]);
    let elsewhere = listening.lines().find(|line| line.contains(":7199") && !line.contains("127.0.0.1"));
    assert_eq!(elsewhere, None, "Java's management is open");
    for host in HOSTS {
        let status = nodetool(world, host, &["status"]);
        assert_eq!(status.lines().filter(|line| line.starts_with("UN ")).count(), HOSTS.len(), "{status}");
    }
}

fn roles(world: &World) {
    let superuser = Client::backend(world, "wire-deploy");
    let before = world.invocations();
    superuser
        .expect("host1", "CREATE ROLE cassandra WITH PASSWORD = 'cassandra' AND SUPERUSER = true AND LOGIN = true");
    superuser.expect("host1", "GRANT SELECT ON KEYSPACE brig TO galley");
    world.run(&["drift"]).expect_code(2).expect_said("role/cassandra").expect_said("grants/galley");
    world.run(&["apply", "--yes"]).expect_code(0);
    let permissions =
        superuser.expect("host1", "SELECT resource FROM system_auth.role_permissions WHERE role = 'galley'");
    let resources: Vec<_> = permissions.iter().filter_map(|row| row.get("resource").and_then(Value::as_str)).collect();
    assert_eq!(resources, ["data/galley"]);
    let known = superuser.expect("host1", "SELECT role FROM system_auth.roles WHERE role = 'cassandra'");
    assert!(known.is_empty(), "{known:?}");
    world.variant("rotated.yaml", |text| format!("{text}generations:\n  cassandra/user/brig: 2\n"));
    let former = Client::backend(world, "brig");
    world.run(&["-c", "rotated.yaml", "apply", "--yes"]).expect_code(0).expect_said("role/brig");
    let look = "SELECT release_version FROM system.local";
    await_that("the former password is refused", 10, || former.ask("host1", look, Consistency::One).is_err());
    world.run(&["apply", "--yes"]).expect_code(0);
    await_that("it is taken again", 10, || former.ask("host1", look, Consistency::One).is_ok());
    assert_eq!(world.invocations(), before, "a node was restarted for a role");
    world.expect_settled();
}

fn own_password(world: &World) {
    let own = Client::backend(world, "wire-deploy");
    let brig = tables(world);
    let set = |client: &Client<'_>, password: &str| {
        client.expect("host1", &format!("ALTER ROLE \"wire-deploy\" WITH PASSWORD = '{password}'"));
    };
    let (before, look) = (world.invocations(), "SELECT release_version FROM system.local");
    let await_taken = |client: &Client<'_>| {
        await_that("the password is taken", 10, || {
            HOSTS.iter().all(|host| client.ask(host, look, Consistency::One).is_ok())
        });
    };
    // Somebody changes it by hand.
    set(&own, "by-hand");
    let by_hand = Client::named(world, "wire-deploy", "by-hand");
    await_taken(&by_hand);
    await_that("the former one is refused", 10, || own.ask("host1", look, Consistency::One).is_err());
    world
        .run(&["apply", "--yes", "--only", "cassandra"])
        .expect_code(7)
        .expect_said("as wire-deploy: Provided username wire-deploy");
    brig.expect("host1", "INSERT INTO brig.traffic (name, number) VALUES ('served', 1)");
    set(&by_hand, &own.password);
    await_taken(&own);
    // Cassandra has hashed it in its own way.
    world.run(&["apply", "--yes"]).expect_code(0).expect_said("role/wire-deploy");
    world.expect_settled();
    // The site gives it a new one.
    world.variant("rotated.yaml", |text| format!("{text}generations:\n  cassandra/user/wire-deploy: 2\n"));
    let rotated = ["-c", "rotated.yaml"];
    world.run(&[&rotated[..], &["apply", "--yes"]].concat()).expect_code(0).expect_said("role/wire-deploy");
    world.run(&[&rotated[..], &["drift"]].concat()).expect_code(0);
    let present = world.run(&[&rotated[..], &["secrets", "show", "cassandra/user/wire-deploy", "--yes"]].concat());
    let present = Client::named(world, "wire-deploy", present.expect_code(0).stdout.trim_end());
    await_taken(&present);
    set(&present, &own.password);
    await_taken(&own);
    world.run(&["apply", "--yes"]).expect_code(0);
    assert_eq!(world.invocations(), before, "a node was restarted for a password");
    world.expect_settled();
}
