//! Nodes as the service that makes the cluster changes them: labelled, closed and emptied, removed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wire_deploy::cluster::Api;
use wire_deploy::desired::{Cluster, Node, Object, Operation};
use wire_deploy::services::kubernetes::SERVICE;
use wire_deploy::services::{Driver, Network, Service as _, Stream};
use wire_deploy::site::names::HostName;

use crate::server::{Server, now};
use crate::ways::{self, Loopback, control_plane};

const MANAGED: &str = "wire-deploy.internal/managed";
const ZONE: &str = "topology.kubernetes.io/zone";

fn driver(server: &Server) -> Driver<'_> {
    Driver { network: &Loopback, secrets: &server.secrets, time: now() }
}

/// A cluster with one host that is no control plane.
fn cluster(server: &Server, host: &str) -> Cluster {
    let worker = Node { host: host.into(), address: server.address, resources: Vec::new(), before: Vec::new() };
    ways::cluster(vec![control_plane("host1", server.address), worker])
}

/// A node that says it is ready.
async fn register(server: &Server, name: &str, labels: Value) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
    server.create("/api/v1/nodes", node).await;
    let status =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Pretends", "message": ""}]}});
    server.ask(Method::PATCH, &format!("/api/v1/nodes/{name}/status"), status).await;
}

async fn node(server: &Server, name: &str) -> Option<Value> {
    server.get(&format!("/api/v1/nodes/{name}")).await
}

async fn is_closed(server: &Server, name: &str) -> bool {
    node(server, name).await.unwrap()["spec"]["unschedulable"] == true
}

fn wanted(name: &str, labels: Value) -> Object {
    Object { id: format!("Node {name}"), wanted: json!({"labels": labels, "taints": [], "drained": false}) }
}

pub async fn labels(server: &Server, _: &Api<'_>) {
    register(server, "labelled", json!({MANAGED: "true"})).await;
    register(server, "stranger", json!({ZONE: "a"})).await;
    let driver = driver(server);
    let mut cluster = cluster(server, "labelled");
    let put = async |object: &Object| SERVICE.put_object(&cluster, object, &driver).await;
    put(&wanted("labelled", json!({MANAGED: "true", ZONE: "a", "disk": "fast"}))).await.unwrap();
    assert!(server.kubectl(&["label", "node", "labelled", "mine=1"]).status.success());
    let fewer = wanted("labelled", json!({MANAGED: "true", ZONE: "b"}));
    put(&fewer).await.unwrap();
    let labels = node(server, "labelled").await.unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels, json!({MANAGED: "true", ZONE: "b", "mine": "1"}));

    let error = put(&wanted("nobody", json!({ZONE: "a"}))).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "there is no node nobody");
    assert_eq!(node(server, "nobody").await, None);

    cluster.objects = vec![fewer.clone()];
    let live = SERVICE.observe(&cluster, &driver).await.unwrap();
    assert_eq!(live.objects["Node labelled"], fewer.wanted);
    let listed: Vec<Value> = serde_json::from_str(&live.facts["nodes"]).unwrap();
    let ours = |name: &str| listed.iter().find(|node| node["name"] == name).unwrap()["ours"].clone();
    assert_eq!((ours("labelled"), ours("stranger")), (json!(true), json!(false)));
    for name in ["labelled", "stranger"] {
        server.ask(Method::DELETE, &format!("/api/v1/nodes/{name}"), Value::Null).await;
    }
}

pub async fn emptied(server: &Server, _: &Api<'_>) {
    register(server, "emptied", json!({MANAGED: "true"})).await;
    let (driver, cluster) = (driver(server), cluster(server, "emptied"));
    let drain = async |seconds: u32| {
        let arguments = json!({"host": "emptied", "seconds": seconds});
        let operation = Operation { name: "drain".to_owned(), description: String::new(), arguments };
        SERVICE.operate(&cluster, &operation, &driver).await
    };
    let kubectl = |arguments: &[&str]| assert!(server.kubectl(arguments).status.success(), "{arguments:?}");
    drain(5).await.unwrap();
    assert!(is_closed(server, "emptied").await);
    SERVICE.settle(&cluster, &driver).await.unwrap();
    assert!(!is_closed(server, "emptied").await);
    // What the operator has closed stays so.
    kubectl(&["cordon", "emptied"]);
    drain(5).await.unwrap();
    SERVICE.settle(&cluster, &driver).await.unwrap();
    assert!(is_closed(server, "emptied").await);

    hold_a_pod(server).await;
    let given_up = async || format!("{:#}", drain(1).await.unwrap_err());
    let error = given_up().await;
    assert!(error.starts_with("pods did not leave emptied within 1 s: emptied/held: "), "{error}");
    assert!(is_closed(server, "emptied").await);
    kubectl(&["uncordon", "emptied"]);
    let error = given_up().await;
    assert!(error.starts_with("pods did not leave emptied within 1 s, so it takes pods again: "), "{error}");
    assert!(!is_closed(server, "emptied").await);

    let removed = Object { id: "Node emptied".to_owned(), wanted: json!({"removed_after_seconds": 1}) };
    let error = SERVICE.put_object(&cluster, &removed, &driver).await.unwrap_err();
    assert!(error.to_string().starts_with("pods did not leave emptied within 1 s"), "{error:#}");
    kubectl(&["delete", "poddisruptionbudget", "held", "-n", "emptied"]);
    let removed = Object { wanted: json!({"removed_after_seconds": 60}), ..removed };
    SERVICE.put_object(&cluster, &removed, &driver).await.unwrap();
    assert_eq!(node(server, "emptied").await, None);
}

/// Runs a pod on the node that no budget lets go: nobody here ever works out what it allows.
async fn hold_a_pod(server: &Server) {
    let metadata = json!({"name": "emptied"});
    server.create("/api/v1/namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
    let account = "/api/v1/namespaces/emptied/serviceaccounts/default";
    server.until("the namespace has its account", async || server.get(account).await.is_some()).await;
    let metadata = json!({"name": "held", "labels": {"app": "held"}});
    let spec = json!({"nodeName": "emptied", "containers": [{"name": "a", "image": "a"}]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    server.create("/api/v1/namespaces/emptied/pods", pod).await;
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}});
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec});
    server.create("/apis/policy/v1/namespaces/emptied/poddisruptionbudgets", budget).await;
    let runs = async || {
        let pod = server.get("/api/v1/namespaces/emptied/pods/held").await;
        pod.is_some_and(|pod| pod["status"]["phase"] == "Running")
    };
    server.until("the pod runs", runs).await;
}

/// Opens connections from this machine, of which one breaks when something is written for the so many-th time.
struct Breaking(Arc<AtomicI64>);

struct BreakingStream(TcpStream, Arc<AtomicI64>);

impl Network for Breaking {
    fn open<'a>(&'a self, _: &'a HostName, address: SocketAddr) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        let left = Arc::clone(&self.0);
        async move { Ok(Box::new(BreakingStream(TcpStream::connect(address).await?, left)) as Box<dyn Stream>) }.boxed()
    }
}

impl AsyncRead for BreakingStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for BreakingStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if self.1.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.0).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

pub async fn broken_off(server: &Server, _: &Api<'_>) {
    register(server, "broken", json!({})).await;
    let cluster = cluster(server, "broken");
    let mut breaks = 0;
    for at in 1..=12 {
        let left = Arc::new(AtomicI64::new(at));
        let network = Breaking(Arc::clone(&left));
        let driver = Driver { network: &network, secrets: &server.secrets, time: now() };
        SERVICE.put_object(&cluster, &wanted("broken", json!({"at": at.to_string()})), &driver).await.unwrap();
        assert_eq!(node(server, "broken").await.unwrap()["metadata"]["labels"]["at"], at.to_string());
        breaks += u32::from(left.load(Ordering::Relaxed) <= 0);
    }
    assert!(breaks > 4, "it was broken off {breaks} times only");
    server.ask(Method::DELETE, "/api/v1/nodes/broken", Value::Null).await;
}
