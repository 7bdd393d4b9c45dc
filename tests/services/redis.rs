//! Redis and Sentinel, from the packages that hosts get.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire_deploy::artifacts::Store;
use wire_deploy::desired::{Cluster, Object, Operation};
use wire_deploy::services::redis::{CLUSTER, PORT, SENTINEL_PORT, SERVICE, SERVICE_USER, TRUST_DOMAIN};
use wire_deploy::services::{DynService as _, Network as _, tls};
use wire_deploy::site::certificates::Authority;
use wire_deploy::site::names::{HostName, ServiceName};
use wire_deploy::site::secrets::Purpose;
use wire_deploy_agent::resource::{Ownership, Resource};

use crate::place::{Loopback, Place, locked};

const SERVER: &str = "redis-server.service";
const SENTINEL: &str = "redis-sentinel.service";

async fn place(number: u8) -> Place {
    let store = Store::of_user().unwrap();
    let lock = locked("redis", &["bookworm"], &store).await;
    let packages: Vec<_> =
        lock.packages("redis", "bookworm").unwrap().packages.iter().map(|package| store.path(&package.blob)).collect();
    let settings = "max_memory_megabytes: 64, down_after_milliseconds: 1500";
    let mut place = Place::new(&SERVICE, 3, number, settings, lock, &["/etc/redis", "/var/lib/redis"]);
    place.unpack(&packages);
    place
}

fn start(place: &Place, cluster: &Cluster) {
    for node in &cluster.nodes {
        place.write(node, &|_| PathBuf::new());
        for unit in [SERVER, SENTINEL] {
            place.start(&node.host, unit, &format!("/etc/systemd/system/{unit}.d/wire-deploy.conf"));
        }
    }
}

fn hand_over(from: &str) -> Operation {
    Operation { name: "hand-over".to_owned(), description: String::new(), arguments: json!({ "from": from }) }
}

/// Logs in as the backend does, or as another user.
struct Client {
    tls: tls::Client,
    user: &'static str,
    password: String,
    addresses: Vec<IpAddr>,
}

impl Client {
    fn new(place: &Place) -> Self {
        Self::logging_in_as(place, SERVICE_USER)
    }

    fn logging_in_as(place: &Place, user: &'static str) -> Self {
        let service = ServiceName::from("redis");
        let authority = Authority::new(&place.secrets, &service, TRUST_DOMAIN).certificate().unwrap();
        let purpose = Purpose { service: &service, host: None, name: &format!("user/{user}") };
        let password = place.secrets.password(&purpose).expose().to_owned();
        let addresses = place.site.hosts.iter().map(|host| host.address).collect();
        Self { tls: tls::Client::new(&authority, None).unwrap(), user, password, addresses }
    }

    async fn connect(&self, address: IpAddr, port: u16) -> anyhow::Result<MultiplexedConnection> {
        let stream = Loopback.open(&HostName::from(""), SocketAddr::new(address, port)).await?;
        let stream = self.tls.connect(stream, address).await?;
        let login = redis::RedisConnectionInfo::default().set_username(self.user).set_password(&self.password);
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
        let (connection, conversation) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        tokio::spawn(conversation);
        Ok(connection)
    }

    /// The primary, as any Sentinel that answers says.
    async fn primary(&self) -> anyhow::Result<MultiplexedConnection> {
        for address in &self.addresses {
            let Ok(mut sentinel) = self.connect(*address, SENTINEL_PORT).await else { continue };
            let mut ask = redis::cmd("SENTINEL");
            let (address, _): (String, String) =
                ask.arg("GET-MASTER-ADDR-BY-NAME").arg(CLUSTER).query_async(&mut sentinel).await?;
            return self.connect(address.parse()?, PORT).await;
        }
        anyhow::bail!("no Sentinel answers")
    }

    /// Writes numbers until told to stop, asking for the primary again after each error; the numbers that were acknowledged.
    async fn write_until(&self, stop: &AtomicBool) -> Vec<u32> {
        let mut acknowledged = Vec::new();
        let mut connection = None;
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if connection.is_none() {
                connection = self.primary().await.ok();
            }
            let Some(primary) = &mut connection else { continue };
            match redis::cmd("SADD").arg("numbers").arg(number).query_async::<u32>(primary).await {
                Ok(_) => acknowledged.push(number),
                Err(_) => connection = None,
            }
        }
        acknowledged
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_forms_hands_over_without_losing_a_write_and_survives_its_primary() {
    let mut place = place(0).await;
    let cluster = place.cluster();
    assert_eq!(cluster.nodes[2].host.as_str(), "db1", "the primary comes last");
    start(&place, &cluster);
    place.gate(&cluster).await;
    assert_eq!(place.fact("primary"), "db1");
    let client = Arc::new(Client::new(&place));
    only_with_credentials(&client).await;

    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { client.write_until(&stop).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    place.operate(&cluster, &hand_over("db1")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    place.gate(&cluster).await;
    let second = place.fact("primary");
    assert_ne!(second, "db1");
    let mut primary = client.primary().await.unwrap();
    let kept: std::collections::BTreeSet<u32> =
        redis::cmd("SMEMBERS").arg("numbers").query_async(&mut primary).await.unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|number| !kept.contains(number)).collect();
    assert!(acknowledged.len() > 100 && lost.is_empty(), "{} acknowledged, lost: {lost:?}", acknowledged.len());
    // Whoever is no longer primary has nothing to hand over.
    place.operate(&cluster, &hand_over("db1")).await;
    assert_eq!(place.fact("primary"), second);

    let object = Object { id: "sentinel/down-after-milliseconds".to_owned(), wanted: json!(1600) };
    SERVICE.put_object(&cluster, &object, &place.driver()).await.unwrap();
    place.until(&cluster, "the setting", |live| live.objects[&object.id] == json!(1600)).await;
    assert_eq!(place.live.as_ref().unwrap().objects["sentinel/quorum"], json!(2));

    let dead = HostName(second.clone());
    place.kill(&dead, SERVER);
    place
        .until(&cluster, "a failover", |live| live.facts.get("primary").is_some_and(|primary| *primary != second))
        .await;
    let third = place.site.host(&HostName(place.fact("primary"))).unwrap().address;
    let cluster = place.cluster();
    let node = cluster.nodes.iter().find(|node| node.host == dead).unwrap();
    let state = node.resources.iter().find_map(|resource| match resource {
        Resource::File(file) if file.path == "/var/lib/redis/redis.conf" => Some(file),
        _ => None,
    });
    assert_eq!(state.unwrap().ownership, Ownership::Ours, "a primary of old is told whom to follow");
    start(&place, &cluster);
    place.gate(&cluster).await;
    let own = std::fs::read_to_string(place.path(&dead, "/var/lib/redis/redis.conf")).unwrap();
    assert!(own.lines().any(|line| line == format!("replicaof {third} {PORT}")), "{own}");
}

async fn only_with_credentials(client: &Client) {
    let address = client.addresses[0];
    for port in [PORT, SENTINEL_PORT] {
        let mut plain = tokio::net::TcpStream::connect((address, port)).await.unwrap();
        plain.write_all(b"PING\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"+"), "{port} answers without TLS");

        let stream = Loopback.open(&HostName::from(""), SocketAddr::new(address, port)).await.unwrap();
        let mut stream = client.tls.connect(stream, address).await.unwrap();
        stream.write_all(b"PING\r\n").await.unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"-NOAUTH", "{port} answers without credentials");
    }
    let mut primary = client.primary().await.unwrap();
    for forbidden in ["FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "SHUTDOWN"] {
        let mut command = redis::Cmd::new();
        for word in forbidden.split(' ') {
            command.arg(word);
        }
        let error = command.query_async::<redis::Value>(&mut primary).await.unwrap_err();
        assert_eq!(error.code(), Some("NOPERM"), "{forbidden}: {error}");
    }
}

/// Rolls through the nodes as a plan does.
async fn roll(place: &mut Place, cluster: &Cluster) {
    for node in &cluster.nodes {
        for operation in &node.before {
            place.operate(cluster, operation).await;
        }
        place.write(node, &|_| PathBuf::new());
        for unit in [SERVER, SENTINEL] {
            place.kill(&node.host, unit);
            place.start(&node.host, unit, &format!("/etc/systemd/system/{unit}.d/wire-deploy.conf"));
        }
        place.gate(cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_passwords_roll_through_and_former_ones_are_taken_away_afterwards() {
    let mut place = place(2).await;
    let cluster = place.cluster();
    start(&place, &cluster);
    place.gate(&cluster).await;
    let former = Client::logging_in_as(&place, "sentinel");
    assert!(former.connect(former.addresses[0], PORT).await.is_ok());

    place.raise(&["redis/user/replication", "redis/user/sentinel", "redis/user/wire-deploy"], 2);
    let operations = |cluster: &Cluster| -> Vec<Vec<String>> {
        let names = |operations: &[Operation]| operations.iter().map(|operation| operation.name.clone()).collect();
        cluster.nodes.iter().map(|node| names(&node.before)).collect()
    };
    let cluster = place.cluster();
    assert_eq!(
        operations(&cluster),
        [vec!["admit-passwords"], vec!["admit-passwords"], vec!["admit-passwords", "hand-over"]]
    );
    roll(&mut place, &cluster).await;
    assert!(former.connect(former.addresses[0], PORT).await.is_ok(), "both passwords are taken meanwhile");

    let cluster = place.cluster();
    assert_eq!(operations(&cluster), [vec![], vec![], vec!["hand-over"]]);
    roll(&mut place, &cluster).await;
    let present = Client::logging_in_as(&place, "sentinel");
    for address in &former.addresses {
        for port in [PORT, SENTINEL_PORT] {
            assert!(former.connect(*address, port).await.is_err(), "{address}:{port} takes the former password");
            assert!(present.connect(*address, port).await.is_ok(), "{address}:{port} refuses the present password");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_lost_its_disk_comes_back_with_the_data() {
    let mut place = place(1).await;
    let cluster = place.cluster();
    start(&place, &cluster);
    place.gate(&cluster).await;
    let client = Client::new(&place);
    let mut primary = client.primary().await.unwrap();
    let () = redis::cmd("SET").arg("kept").arg("yes").query_async(&mut primary).await.unwrap();

    let lost = HostName::from("db1");
    for unit in [SERVER, SENTINEL] {
        place.kill(&lost, unit);
    }
    std::fs::remove_dir_all(place.path(&lost, "/var/lib/redis")).unwrap();
    // Before the others have noticed: db1 is primary for them still.
    let cluster = place.cluster();
    let node = cluster.nodes.last().unwrap();
    assert_eq!((&node.host, node.before[0].name.as_str()), (&lost, "hand-over"));
    place.operate(&cluster, &node.before[0]).await;
    start(&place, &cluster);
    place.gate(&cluster).await;
    assert_ne!(place.fact("primary"), "db1");
    let mut primary = client.primary().await.unwrap();
    let kept: String = redis::cmd("GET").arg("kept").query_async(&mut primary).await.unwrap();
    assert_eq!(kept, "yes");
}
