//! A site with one namespace, and manifests for it.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use wire_deploy::cluster::{self, Api, Purpose, RollOutError, RolledOut, Wanted};
use wire_deploy::workloads::found::Allowed;
use wire_deploy::workloads::found::{Found, WorkloadFound};
use wire_deploy::workloads::{Manifest, ManifestId};
use wire_deploy_agent::digest::FingerprintKey;

/// How long a roll-out on a busy machine may not get on.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Site<'a> {
    pub api: &'a Api<'a>,
    /// Names the site and its namespace.
    pub name: &'static str,
    key: FingerprintKey,
    pub allowed: Allowed,
    pub patience: Duration,
    pub progress: Mutex<Vec<String>>,
}

impl<'a> Site<'a> {
    pub fn new(api: &'a Api<'a>, name: &'static str) -> Self {
        let key = FingerprintKey(vec![5; 32]);
        Self { api, name, key, allowed: Allowed::default(), patience: PATIENCE, progress: Mutex::default() }
    }

    pub fn purpose(&self) -> Purpose<'_> {
        Purpose { site: self.name, namespace: self.name, key: &self.key, allowed: self.allowed }
    }

    pub async fn examine(&self, manifests: &[Manifest]) -> WorkloadFound {
        let wanted = Wanted { workload: "brig", manifests };
        cluster::examine(self.api, &self.purpose(), &[wanted]).await.unwrap().remove(0)
    }

    pub async fn try_apply(&self, manifests: &[Manifest]) -> Result<RolledOut, RollOutError> {
        let found = self.examine(manifests).await;
        let wanted = Wanted { workload: "brig", manifests };
        let progress = |text: &str| self.progress.lock().unwrap().push(text.to_owned());
        cluster::roll_out(self.api, &self.purpose(), &wanted, &found, self.patience, &progress).await
    }

    pub async fn apply(&self, manifests: &[Manifest]) -> RolledOut {
        self.try_apply(manifests).await.unwrap_or_else(|error| panic!("{}: {error}\n{error:#?}", self.name))
    }

    /// What was found for the object of this name and kind.
    pub async fn find(&self, manifests: &[Manifest], kind: &str, name: &str) -> Found {
        found_in(&self.examine(manifests).await, kind, name)
    }

    pub fn path(&self, plural: &str, name: &str) -> String {
        let root = match plural {
            "deployments" | "statefulsets" | "daemonsets" | "replicasets" => "/apis/apps/v1",
            "jobs" => "/apis/batch/v1",
            _ => "/api/v1",
        };
        format!("{root}/namespaces/{}/{plural}/{name}", self.name)
    }

    pub fn manifest(&self, version: &str, kind: &str, name: &str, rest: Value) -> Manifest {
        manifest(version, kind, Some(self.name), name, rest)
    }

    pub fn namespace(&self) -> Manifest {
        manifest("v1", "Namespace", None, self.name, json!({}))
    }

    pub fn config_map(&self, name: &str, data: Value) -> Manifest {
        self.manifest("v1", "ConfigMap", name, json!({ "data": data }))
    }

    pub fn deployment(&self, replicas: u32, image: &str) -> Manifest {
        let labels = json!({"app": "brig"});
        self.manifest(
            "apps/v1",
            "Deployment",
            "brig",
            json!({"spec": {
                "replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod(image)},
            }}),
        )
    }
}

pub fn pod(image: &str) -> Value {
    json!({"containers": [{
        "name": "brig", "image": image,
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": "ZONE", "value": "a"}, {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }], "volumes": [{"name": "tmp", "emptyDir": {}}]})
}

pub fn manifest(version: &str, kind: &str, namespace: Option<&str>, name: &str, rest: Value) -> Manifest {
    let mut value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        value["metadata"]["namespace"] = namespace.into();
    }
    value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let id = ManifestId {
        api_version: version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    Manifest { id, value, template: format!("templates/kube/brig/{}.yaml", kind.to_lowercase()) }
}

pub fn found_in(found: &WorkloadFound, kind: &str, name: &str) -> Found {
    let object = found.objects.iter().find(|object| object.id.kind == kind && object.id.name == name);
    object.unwrap_or_else(|| panic!("no {kind} {name} in {found:#?}")).found.clone()
}

#[track_caller]
pub fn expect_same(found: &WorkloadFound) {
    let others: Vec<_> = found.objects.iter().filter(|object| object.found != Found::Same).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(found.settled && found.is_same());
}
