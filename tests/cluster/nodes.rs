//! A node that pretends: pods come to what their image's name says, and their logs are read from it as from a kubelet.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::Server;

const NAME: &str = "hollow";
const LOG_PORT: u16 = 10250;
/// What every container says last.
pub const LAST_LINES: &str = "starting\nno keyspace brig\n";

/// Registers the node and serves its pods until it is dropped.
pub async fn run(server: Arc<Server>) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}});
    server.create("/api/v1/nodes", node).await;
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": server.address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": LOG_PORT}},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Pretends", "message": ""}],
    }});
    server.ask(Method::PATCH, &format!("/api/v1/nodes/{NAME}/status"), status).await;
    // A new node counts as not ready until a controller has seen it, and there is none here.
    server.ask(Method::PATCH, &format!("/api/v1/nodes/{NAME}"), json!({"spec": {"taints": null}})).await;
    tokio::join!(serve_logs(&server), keep_pods(&server));
}

async fn keep_pods(server: &Server) {
    loop {
        let pods = server.get("/api/v1/pods").await.unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            keep(server, pod).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Others delete pods meanwhile, so what fails is tried again the next time round.
async fn keep(server: &Server, pod: &Value) {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        server.try_ask(Method::DELETE, &path, &options).await;
        return;
    }
    if text("/spec/nodeName").is_empty() {
        if !text("/spec/containers/0/image").contains("unplaced") {
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NAME}});
            server.try_ask(Method::POST, &format!("{path}/binding"), &binding).await;
        }
        return;
    }
    let status = status(pod);
    let same = pod["status"]["containerStatuses"][0]["state"] == status["containerStatuses"][0]["state"];
    if !same || pod["status"]["containerStatuses"].is_null() {
        server.try_ask(Method::PATCH, &format!("{path}/status"), &json!({ "status": status })).await;
    }
}

fn status(pod: &Value) -> Value {
    let container = &pod["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap();
    let ended =
        |code: u8| json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }}});
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let (phase, ready, state) = match image {
        image if image.contains("crashes") => {
            ("Running", false, waiting("CrashLoopBackOff", "back-off 10s restarting failed container"))
        }
        image if image.contains("missing") => ("Pending", false, waiting("ImagePullBackOff", "Back-off pulling image")),
        image if image.contains("stuck") => ("Pending", false, waiting("ContainerCreating", "")),
        image if image.contains("fails") => ("Failed", false, ended(1)),
        image if image.contains("completes") => ("Succeeded", false, ended(0)),
        _ => ("Running", true, json!({"running": {}})),
    };
    let mut status = json!({
        "name": container["name"], "image": image, "imageID": "", "ready": ready, "restartCount": 0, "state": state,
    });
    if image.contains("crashes") {
        status["restartCount"] = 2.into();
        status["lastState"] = ended(3);
    }
    let ready = if ready { "True" } else { "False" };
    json!({"phase": phase, "containerStatuses": [status], "conditions": [
        {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": ready},
    ]})
}

async fn serve_logs(server: &Server) {
    let identity = server.server_identity();
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((server.address, LOG_PORT)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut request = Vec::new();
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            match stream.read(&mut piece).await {
                Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
                _ => break,
            }
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n{LAST_LINES}");
        // Whoever asked may have left.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}
