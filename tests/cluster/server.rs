//! A bare API server: etcd, kube-apiserver and controllers as processes of this machine, and nodes that only pretend.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tempfile::TempDir;
use wire_deploy::artifacts::{self, Store, Wanted};
use wire_deploy::cluster::Api;
use wire_deploy::lock::Lock;
use wire_deploy::report;
use wire_deploy::services::kubernetes::{API_PORT, AUTHORITY};
use wire_deploy::site::certificates::{Authority, Issued, Request as Certificate};
use wire_deploy::site::secrets::Secrets;

/// How long the programs may take to start on a busy machine.
const STARTED: Duration = Duration::from_secs(120);
const SEED: [u8; 32] = [9; 32];
const CONTEXT: &str = "test";
/// All that the cases need, and nothing that takes nodes for dead which only pretend.
const CONTROLLERS: &str = "daemonset-controller,deployment-controller,garbage-collector-controller,job-controller,\
    namespace-controller,replicaset-controller,resourcequota-controller,serviceaccount-controller,statefulset-controller";
const AUDIT: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";

pub struct Server {
    folder: TempDir,
    programs: Vec<Child>,
    pub address: IpAddr,
    pub secrets: Secrets,
    client: Option<kube::Client>,
}

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Server {
    /// Starts one on a loopback address of this process's own.
    pub async fn start() -> Self {
        let process = std::process::id();
        let own = [127, 128 + (process >> 8) % 64, process % 256, 1].map(|part| u8::try_from(part).unwrap());
        let secrets = Secrets::new(SEED, now(), BTreeMap::new(), BTreeMap::new());
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { folder, programs: Vec::new(), address: IpAddr::from(own), secrets, client: None };
        let store = Store::of_user().unwrap();
        let etcd = server.program(&store, "etcd", "etcd").await;
        let kube = server.program(&store, "kubernetes-1.36", "kube").await;
        // What it is called by tells the API who changes a field.
        std::os::unix::fs::symlink(&kube, server.path("kubectl")).unwrap();
        server.write_credentials();
        server.run("etcd", &etcd, &server.etcd());
        server.run("kube-apiserver", &kube, &server.api_server());
        let kubeconfig = kube::config::Kubeconfig::read_from(server.kubeconfig("admin")).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
        let _ = rustls::crypto::ring::default_provider().install_default();
        server.client = Some(kube::Client::try_from(config.await.unwrap()).unwrap());
        server
            .until("the API is ready", async || server.try_ask(Method::GET, "/readyz", &Value::Null).await.is_some())
            .await;
        server.run("kube-controller-manager", &kube, &server.controllers());
        server
    }

    /// A copy of a locked program that can be run; made if the operator's store lacks it.
    async fn program(&self, store: &Store, recipe: &str, file: &str) -> PathBuf {
        let (reporter, _writer) = report::start(report::Options::default());
        let wanted = Wanted { recipe: recipe.to_owned(), releases: BTreeSet::new(), brought: None };
        let lock = artifacts::prepare(&[wanted], &Lock::default(), store, &reporter).await.unwrap();
        let path = self.folder.path().join(file);
        fs::copy(store.path(&lock.file(recipe, file).unwrap().blob), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn issue(&self, name: &str, group: Option<&str>, server: bool) -> Issued {
        let request = Certificate {
            common_name: name.to_owned(),
            organization: group.map(str::to_owned),
            names: Vec::new(),
            addresses: if server { vec![self.address] } else { Vec::new() },
            server,
            client: !server,
            days: 2,
        };
        self.authority().issue(None, &request, now()).unwrap()
    }

    fn authority(&self) -> Authority<'_> {
        Authority::new(&self.secrets, &"kubernetes".into(), AUTHORITY)
    }

    /// A certificate for a server at our address, as TLS takes it.
    pub fn server_identity(&self) -> Issued {
        self.issue("kubelet", None, true)
    }

    fn write_credentials(&self) {
        self.write("ca.crt", &self.authority().certificate().unwrap());
        for (name, server) in [("server", true), ("accounts", false)] {
            let issued = self.issue(name, None, server);
            self.write(&format!("{name}.crt"), &issued.certificate);
            self.write(&format!("{name}.key"), issued.key.expose());
        }
        self.write("audit.yaml", AUDIT);
        for user in ["admin", "controllers"] {
            self.write_kubeconfig(user, Some("system:masters"));
        }
    }

    /// Writes a kubeconfig for a user, whose certificate counts for two days.
    pub fn write_kubeconfig(&self, user: &str, group: Option<&str>) {
        let issued = self.issue(user, group, false);
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
            "clusters": [{ "name": "test", "cluster": {
                "server": format!("https://{}", SocketAddr::new(self.address, API_PORT)),
                "certificate-authority-data": BASE64.encode(self.authority().certificate().unwrap()),
            } }],
            "users": [{ "name": user, "user": {
                "client-certificate-data": BASE64.encode(&issued.certificate),
                "client-key-data": BASE64.encode(issued.key.expose()),
            } }],
            "contexts": [{ "name": CONTEXT, "context": { "cluster": "test", "user": user } }],
        });
        self.write(&format!("{user}.conf"), &text.to_string());
    }

    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path(&format!("{user}.conf"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn etcd(&self) -> Vec<String> {
        let (clients, peers) = (format!("http://{}:2379", self.address), format!("http://{}:2380", self.address));
        flags(&[
            ("data-dir", self.path("data").to_str().unwrap()),
            ("listen-client-urls", &clients),
            ("advertise-client-urls", &clients),
            ("listen-peer-urls", &peers),
            ("initial-advertise-peer-urls", &peers),
            ("initial-cluster", &format!("default={peers}")),
            ("unsafe-no-fsync", "true"),
        ])
    }

    fn api_server(&self) -> Vec<String> {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let address = self.address.to_string();
        let mut arguments = vec!["kube-apiserver".to_owned()];
        arguments.extend(flags(&[
            ("etcd-servers", &format!("http://{address}:2379")),
            ("bind-address", &address),
            ("advertise-address", &address),
            ("secure-port", &API_PORT.to_string()),
            ("service-cluster-ip-range", "10.96.0.0/16"),
            ("authorization-mode", "RBAC"),
            ("endpoint-reconciler-type", "none"),
            ("client-ca-file", &path("ca.crt")),
            ("tls-cert-file", &path("server.crt")),
            ("tls-private-key-file", &path("server.key")),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("service-account-key-file", &path("accounts.crt")),
            ("service-account-signing-key-file", &path("accounts.key")),
            ("kubelet-preferred-address-types", "InternalIP"),
            ("audit-policy-file", &path("audit.yaml")),
            ("audit-log-path", &path("audit.log")),
        ]));
        arguments
    }

    fn controllers(&self) -> Vec<String> {
        let mut arguments = vec!["kube-controller-manager".to_owned()];
        arguments.extend(flags(&[
            ("kubeconfig", self.kubeconfig("controllers").to_str().unwrap()),
            ("bind-address", &self.address.to_string()),
            ("leader-elect", "false"),
            ("controllers", CONTROLLERS),
        ]));
        arguments
    }

    fn run(&mut self, name: &str, program: &Path, arguments: &[String]) {
        let log = File::create(self.path(&format!("{name}.log"))).unwrap();
        // Gone with the test, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments).stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.programs.push(child);
    }

    pub async fn until(&self, what: &str, mut satisfied: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + STARTED;
        while !satisfied().await {
            assert!(Instant::now() < end, "{what}: it is not so\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("== {name}\n{}\n", lines[lines.len().saturating_sub(12)..].join("\n"))
        };
        ["etcd", "kube-apiserver", "kube-controller-manager"].map(tail).concat()
    }

    /// The way into the API that is tested, as a user.
    pub async fn api(&self, user: &str) -> Api<'static> {
        Api::by_kubeconfig(&self.kubeconfig(user), CONTEXT, now()).await.unwrap()
    }

    /// kubectl, as an operator runs it.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.path("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig("admin")).args(arguments);
        command.env("HOME", self.folder.path()).output().unwrap()
    }

    /// What others do to the cluster. Nothing where the API refuses or knows nothing.
    pub async fn try_ask(&self, method: Method, path: &str, body: &Value) -> Option<Value> {
        let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", content_type).body(body);
        let text = self.client.as_ref().unwrap().request_text(request.unwrap()).await.ok()?;
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    #[track_caller]
    pub fn ask<'a>(&'a self, method: Method, path: &'a str, body: Value) -> impl Future<Output = Value> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.try_ask(method.clone(), path, &body).await;
            answer.unwrap_or_else(|| panic!("{method} {path} failed at {place}\n{}", self.logs()))
        }
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        self.try_ask(Method::GET, path, &Value::Null).await
    }

    pub async fn create(&self, collection: &str, object: Value) -> Value {
        self.ask(Method::POST, collection, object).await
    }

    /// What a user asked for since the audit log had so many lines: verb and path of each.
    pub fn asked(&self, user: &str, since: usize) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path("audit.log")).unwrap();
        let entries = text.lines().skip(since).map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let own = entries.filter(|entry| entry["user"]["username"] == user);
        own.map(|entry| (text(&entry["verb"]), text(&entry["requestURI"]))).collect()
    }

    /// How many lines the audit log has.
    pub fn audited(&self) -> usize {
        fs::read_to_string(self.path("audit.log")).unwrap().lines().count()
    }

    /// Stops the API server for a while, as a busy machine does.
    pub fn signal_api_server(&self, signal: &str) {
        let pid = self.programs[1].id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        // The API server outlives its etcd for a minute if it is asked kindly.
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
