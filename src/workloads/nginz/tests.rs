#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wire_deploy_agent::digest::Digest;

use super::*;
use crate::lock::{Lock, Locked, LockedFile};
use crate::services;
use crate::site::load::{Sources, load};
use crate::site::problem::render_all;
use crate::site::secrets::Secrets;
use crate::templates::Templates;

const HOSTS: &str = "hosts:\n  \"kube[1:3]\": {address: \"10.0.0.1[1:3]\"}\n  \"db[1:3]\": {address: \"10.0.0.2[1:3]\"}\n\
    groups:\n  etcd: {hosts: [db1, db2, db3]}\n";
const GROUPS: &str = "  kubernetes: {hosts: [kube1, kube2, kube3]}\n  kubernetes-control-plane: {hosts: [kube1]}\n";
const SITE: &str = "format: 1\nsite: test\ndomain: wire.example\nprofile: ci\ninventory: hosts.yaml\n";

/// A site with nginz, or what is wrong with it.
fn site(more: &str, groups: &str) -> Result<Site, String> {
    let sources = Sources {
        path: "wire-deploy.yaml".to_owned(),
        text: format!("{SITE}{more}"),
        inventory: Some(("hosts.yaml".to_owned(), Ok(format!("{HOSTS}{groups}")))),
    };
    load(&sources, services::ALL).map_err(|problems| render_all(&problems))
}

/// Its objects, by kind and name.
fn objects(site: &Site) -> BTreeMap<String, serde_json::Value> {
    let image = |recipe: &&str| {
        let file = LockedFile { blob: Digest::of(recipe.as_bytes()), size: 1 };
        let locked = Locked {
            recipe: Digest::of(b"recipe"),
            version: "1".to_owned(),
            releases: BTreeMap::new(),
            files: [("image".to_owned(), file)].into(),
            image: Some(Digest::of(recipe.as_bytes())),
            images: BTreeMap::new(),
        };
        ((*recipe).to_owned(), locked)
    };
    let lock = Lock { recipes: IMAGES.iter().map(image).collect(), ..Lock::default() };
    let secrets = Secrets::new([7; 32], 0, BTreeMap::new(), BTreeMap::new());
    let templates = Templates::new(&BTreeMap::new()).unwrap();
    let context = Context { site, workload: "nginz", secrets: &secrets, lock: &lock, templates: &templates, time: 0 };
    let settings = &site.workloads["nginz"];
    let manifests = Nginz.build(&context, &serde_json::from_value(settings.clone()).unwrap()).unwrap();
    manifests
        .into_iter()
        .map(|manifest| (format!("{} {}", manifest.id.kind, manifest.id.name), manifest.value))
        .collect()
}

#[test]
fn its_pods_know_the_sites_cluster_and_no_private_key() {
    let objects = objects(&site("workloads: {nginz: {}, spar: {}}\n", GROUPS).unwrap());
    let names: Vec<&str> = objects.keys().map(String::as_str).collect();
    let expected = [
        "ConfigMap nginz",
        "Deployment nginz",
        "NetworkPolicy nginz",
        "PodDisruptionBudget nginz",
        "Service nginz",
        "Service spar-pods",
    ];
    assert_eq!(names, expected);
    assert_eq!(objects["Service spar-pods"]["spec"]["clusterIP"], "None");

    let files = &objects["ConfigMap nginz"]["data"];
    let nginx = files["nginx.conf"].as_str().unwrap();
    for line in [
        "resolver 10.96.0.10 10.96.0.10 valid=5s",
        "listen 8080;",
        "listen 8081;",
        "listen 127.0.0.1:8083;",
        "set_real_ip_from 10.244.0.0/16;",
        "set_real_ip_from 10.0.0.11;",
        "\"https://teams.wire.example\" $http_origin;",
        "http://$service-pods.wire.svc.cluster.local:8080",
    ] {
        assert!(nginx.contains(line), "{line}");
    }
    let checks: serde_json::Value = serde_json::from_str(files["check.yaml"].as_str().unwrap()).unwrap();
    assert_eq!(checks["tokens"].as_object().unwrap().keys().collect::<Vec<_>>(), ["public_keys"]);
    assert_eq!(checks["tokens"]["public_keys"].as_array().unwrap().len(), 1);

    let pod = &objects["Deployment nginz"]["spec"]["template"]["spec"];
    for container in [&pod["containers"][0], &pod["initContainers"][0]] {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container}");
        assert!(container["readinessProbe"].is_object() && container["resources"]["limits"].is_object(), "{container}");
    }
}

#[test]
fn in_another_cluster_the_address_of_its_dns_has_to_be_said() {
    let existing = "kubernetes: {existing: {kubeconfig: a, context: b, image_repository: registry.example.com/wire}}\n";
    let problems = site(&format!("{existing}workloads: {{nginz: {{}}}}\n"), "").unwrap_err();
    assert!(problems.contains("dns_address is not said") && problems.contains("wire-deploy.yaml:7"), "{problems}");
    let settings = "workloads: {nginz: {dns_address: 10.43.0.10, dns_domain: corp.internal}}\n";
    let objects = objects(&site(&format!("{existing}{settings}"), "").unwrap());
    let nginx = objects["ConfigMap nginz"]["data"]["nginx.conf"].as_str().unwrap();
    assert!(nginx.contains("resolver 10.43.0.10 10.43.0.10") && nginx.contains(".wire.svc.corp.internal:"));
    assert!(nginx.contains("set_real_ip_from 0.0.0.0/0;"));
}
