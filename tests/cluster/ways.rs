//! The ways to the API, good and bad.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::Method;
use serde_json::{Value, json};
use wire_deploy::cluster::{Api, ApiError};
use wire_deploy::desired::{Bootstrap, Cluster, Node};
use wire_deploy::services::{Driver, Network, Stream};
use wire_deploy::site::names::HostName;
use wire_deploy_agent::resource::{Content, File, Mode, Owner, Ownership, Resource};

use crate::server::{Server, now};
use crate::site::{Site, expect_same};

const DAY: i64 = 86_400_000;

pub async fn bad_kubeconfigs(server: &Server, _: &Api<'_>) {
    let error_at = async |path: &std::path::Path, context: &str, time: i64| {
        let Err(error) = Api::by_kubeconfig(path, context, time).await else {
            panic!("{} is taken", path.display());
        };
        (error.to_string(), error.hint())
    };
    let error = async |path: &std::path::Path, context: &str| error_at(path, context, now()).await;
    let nowhere = server.path("nowhere.conf");
    let (said, _) = error(&nowhere, "test").await;
    assert!(said.contains("nowhere.conf: ") && said.contains("No such file"), "{said}");
    let (said, hint) = error(&server.kubeconfig("admin"), "tests").await;
    assert!(said.ends_with("admin.conf has no context tests"), "{said}");
    assert_eq!(hint, "did you mean test? it has test");
    let broken = server.path("broken.conf");
    std::fs::write(&broken, "apiVersion: v1\nusers: [{name: a, user: {token: hunter22\n").unwrap();
    let (said, _) = error(&broken, "test").await;
    assert!(said.contains("not a kubeconfig in YAML") && !said.contains("hunter22"), "{said}");
    let (said, _) = error_at(&server.kubeconfig("admin"), "test", now() + 30 * DAY).await;
    assert!(said.contains("the client certificate of context test expired on 20"), "{said}");
    // A token that the API does not know.
    let text = std::fs::read_to_string(server.kubeconfig("admin")).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": "stranger"});
    let stranger = server.path("stranger.conf");
    std::fs::write(&stranger, kubeconfig.to_string()).unwrap();
    let api = Api::by_kubeconfig(&stranger, "test", now()).await.unwrap();
    assert!(matches!(api.version().await, Err(ApiError::Stranger { .. })));
    // An API whose certificate another authority has issued: no waiting helps.
    kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] = Value::Null;
    std::fs::write(&stranger, kubeconfig.to_string()).unwrap();
    let api = Api::by_kubeconfig(&stranger, "test", now()).await.unwrap();
    let since = Instant::now();
    let error = api.version().await.unwrap_err();
    assert!(error.to_string().contains("certificate") && since.elapsed() < Duration::from_secs(5), "{error}");
}

/// Asked again and again, and then given up.
pub async fn nobody_listens(server: Arc<Server>) {
    let text = std::fs::read_to_string(server.kubeconfig("admin")).unwrap();
    let away = server.path("away.conf");
    std::fs::write(&away, text.replace(":6443", ":1")).unwrap();
    let api = Api::by_kubeconfig(&away, "test", now()).await.unwrap();
    let since = Instant::now();
    let error = api.version().await.unwrap_err();
    assert!(matches!(error, ApiError::Away { .. }), "{error}");
    assert!(error.to_string().contains(":1 does not answer: ") && error.to_string().contains("refused"), "{error}");
    assert!((20..40).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

pub async fn slow(server: &Server, api: &Api<'_>) {
    let site = Site::new(api, "slow");
    let wanted = [site.namespace(), site.config_map("brig", json!({"a": "1"}))];
    server.signal_api_server("-STOP");
    let resume = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.signal_api_server("-CONT");
    };
    let (done, ()) = tokio::join!(site.apply(&wanted), resume);
    assert_eq!(done.applied.len(), 2);
}

/// Opens connections from this machine, where all "hosts" are.
pub struct Loopback;

impl Network for Loopback {
    fn open<'a>(&'a self, _: &'a HostName, address: SocketAddr) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>> {
        async move { Ok(Box::new(tokio::net::TcpStream::connect(address).await?) as Box<dyn Stream>) }.boxed()
    }
}

pub fn control_plane(host: &str, address: IpAddr) -> Node {
    let key = File {
        path: "/etc/kubernetes/pki/ca.key".to_owned(),
        owner: Owner { user: "root".to_owned(), group: "root".to_owned() },
        mode: Mode(0o600),
        content: Content::Text(String::new()),
        sensitive: true,
        ownership: Ownership::default(),
    };
    Node { host: host.into(), address, resources: vec![Resource::File(key)], before: Vec::new() }
}

/// A cluster of these nodes.
pub fn cluster(nodes: Vec<Node>) -> Cluster {
    Cluster {
        service: "kubernetes".into(),
        version: "1.36.3".to_owned(),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
        bootstrap: Bootstrap::FirstThenRest,
        after: Vec::new(),
        tolerance: 0,
        gate_timeout_seconds: 1,
        objects: Vec::new(),
    }
}

/// By the second control plane, since the first one does not answer.
pub async fn over_hosts(server: &Server, _: &Api<'_>) {
    let dead = IpAddr::from([127, 191, 255, 254]);
    let cluster = cluster(vec![control_plane("host1", dead), control_plane("host2", server.address)]);
    let driver = Driver { network: &Loopback, secrets: &server.secrets, time: now() };
    let api = Api::over_hosts(&cluster, &driver).unwrap();
    assert_eq!(api.version().await.unwrap(), "v1.36.3");
    let site = Site::new(&api, "hosts");
    let wanted = [site.namespace(), site.config_map("brig", json!({"a": "1"}))];
    site.apply(&wanted).await;
    expect_same(&site.examine(&wanted).await);
    let map = server.ask(Method::GET, &site.path("configmaps", "brig"), Value::Null).await;
    assert_eq!(map["metadata"]["labels"]["wire-deploy/site"], "hosts");
}
