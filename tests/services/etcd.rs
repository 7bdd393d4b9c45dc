//! etcd, as its recipe makes it.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire_deploy::artifacts::Store;
use wire_deploy::desired::{Cluster, Node, Operation};
use wire_deploy::services::etcd::{CLIENT_PORT, CLIENTS, SERVICE};
use wire_deploy::services::{Network as _, http, tls};
use wire_deploy::site::certificates::{Authority, Request};
use wire_deploy::site::names::{HostName, ServiceName};

use crate::place::{Loopback, Place, locked, now};

const UNIT: &str = "etcd.service";

fn start(place: &Place, store: &Store, node: &Node) {
    place.write(node, &|blob| store.path(blob));
    place.start(&node.host, UNIT, &format!("/etc/systemd/system/{UNIT}"));
}

fn task(name: &str) -> Operation {
    Operation { name: name.to_owned(), description: String::new(), arguments: Value::Null }
}

fn tls(place: &Place, with_certificate: bool) -> tls::Client {
    let authority = Authority::new(&place.secrets, &ServiceName::from("etcd"), CLIENTS);
    let request = Request {
        common_name: "test".to_owned(),
        organization: None,
        names: Vec::new(),
        addresses: Vec::new(),
        server: false,
        client: true,
        days: 1,
    };
    let identity = authority.issue(None, &request, now()).unwrap();
    tls::Client::new(&authority.certificate().unwrap(), with_certificate.then_some(&identity)).unwrap()
}

async fn post(place: &Place, tls: &tls::Client, host: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    let address = SocketAddr::new(place.site.host(&HostName::from(host)).unwrap().address, CLIENT_PORT);
    let stream = Loopback.open(&HostName::from(host), address).await?;
    let stream = tls.connect(stream, address.ip()).await?;
    http::Connection::new(stream, address.to_string()).await?.post(path, body).await
}

async fn put(place: &Place, host: &str, key: &str, value: &[u8]) -> anyhow::Result<Value> {
    let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) });
    post(place, &tls(place, true), host, "/v3/kv/put", &body).await
}

async fn get(place: &Place, host: &str, key: &str) -> Option<Vec<u8>> {
    let body = json!({ "key": STANDARD.encode(key) });
    let answer = post(place, &tls(place, true), host, "/v3/kv/range", &body).await.unwrap();
    STANDARD.decode(answer["kvs"][0]["value"].as_str()?).ok()
}

fn node<'a>(cluster: &'a Cluster, host: &str) -> &'a Node {
    cluster.nodes.iter().find(|node| node.host.as_str() == host).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_forms_moves_its_leader_replaces_a_member_and_grows() {
    let store = Store::of_user().unwrap();
    let settings = "quota_megabytes: 16";
    let mut place = Place::new(
        &SERVICE,
        3,
        5,
        settings,
        locked("etcd", &[], &store).await,
        &["/etc/etcd", "/var/lib/etcd", "/opt/etcd"],
    );
    let cluster = place.cluster();
    for node in &cluster.nodes {
        assert!(node.before.is_empty(), "a new cluster needs no operations");
        start(&place, &store, node);
    }
    place.gate(&cluster).await;
    assert!(post(&place, &tls(&place, false), "db1", "/v3/kv/range", &json!({ "key": "YQ==" })).await.is_err());
    put(&place, "db1", "kept", b"yes").await.unwrap();

    let leader = place.fact("leader");
    let from = Operation { arguments: json!({ "from": leader }), ..task("move-leader") };
    place.operate(&cluster, &from).await;
    place.gate(&cluster).await;
    assert_ne!(place.fact("leader"), leader);

    // A member loses its disk.
    let lost = HostName::from("db3");
    place.kill(&lost, UNIT);
    std::fs::remove_dir_all(place.path(&lost, "/var/lib/etcd")).unwrap();
    place.until(&cluster, "a leader among the rest", |live| live.facts.contains_key("leader")).await;
    let cluster = place.cluster();
    let replaced = cluster.nodes.last().unwrap();
    assert_eq!((&replaced.host, replaced.before[0].name.as_str()), (&lost, "replace-member"));
    place.operate(&cluster, &replaced.before[0]).await;
    start(&place, &store, replaced);
    place.gate(&cluster).await;
    assert_eq!(get(&place, "db3", "kept").await.as_deref(), Some(b"yes".as_slice()));
    // A member that runs is never taken out: done twice is done once.
    place.operate(&cluster, &replaced.before[0]).await;
    place.gate(&cluster).await;

    // Two hosts more, one after the other.
    place.grow(5, 5, settings);
    let cluster = place.cluster();
    for host in ["db4", "db5"] {
        let node = node(&cluster, host);
        assert_eq!(node.before[0].name, "add-member");
        place.operate(&cluster, &node.before[0]).await;
        start(&place, &store, node);
        let answers = |live: &wire_deploy::observed::LiveState| live.members[&HostName::from(host)].answers;
        place.until(&cluster, "the new member", answers).await;
    }
    place.gate(&cluster).await;
    assert_eq!(get(&place, "db5", "kept").await.as_deref(), Some(b"yes".as_slice()));

    // And back: the members that are left over are taken out.
    place.grow(3, 5, settings);
    let cluster = place.cluster();
    place.operate(&cluster, &task("forget-members")).await;
    place.gate(&cluster).await;

    // The database is filled, and emptied again. Not before members join: those would write the whole log anew, and be full.
    let megabyte = vec![b'x'; 1_000_000];
    let mut full = false;
    for _ in 0..40 {
        full |= put(&place, "db1", "large", &megabyte).await.is_err();
    }
    assert!(full, "the quota holds");
    place.until(&cluster, "an alarm", |live| live.facts.contains_key("alarms")).await;
    let revision = post(&place, &tls(&place, true), "db1", "/v3/kv/range", &json!({ "key": "YQ==" })).await.unwrap();
    let revision = json!({ "revision": revision["header"]["revision"], "physical": true });
    post(&place, &tls(&place, true), "db1", "/v3/kv/compaction", &revision).await.unwrap();
    place.operate(&cluster, &task("defragment")).await;
    place.operate(&cluster, &task("disarm-alarms")).await;
    place.gate(&cluster).await;
    put(&place, "db1", "small", b"again").await.unwrap();
}
