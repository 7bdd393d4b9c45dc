//! What holds for every object, walked over all that is rendered for every case.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::render::{SITE_LABEL, WORKLOAD_LABEL, pod_template};
use super::super::{ALL, Manifest};
use super::{World, cases};

/// A rule of an object: what is wrong with it, among all objects of its site.
type Rule = fn(&Manifest, &[Manifest]) -> Vec<String>;

const RULES: [(&str, Rule); 9] = [
    ("labels", labels),
    ("images", images),
    ("security", security),
    ("probes", probes),
    ("resources", resources),
    ("spread", spread),
    ("budget and policy", budget_and_policy),
    ("files", files),
    ("services", services),
];

#[test]
fn every_object_keeps_the_rules() {
    let (mut broken, mut seen) = (Vec::new(), BTreeSet::new());
    for case in cases() {
        let world = World::of_case(&case);
        let workloads = world.workloads();
        seen.extend(workloads.iter().map(|workload| workload.name.clone()));
        let all: Vec<Manifest> = workloads.into_iter().flat_map(|workload| workload.manifests).collect();
        for manifest in &all {
            for (rule, check) in RULES {
                broken.extend(check(manifest, &all).into_iter().map(|what| format!("{} {rule}: {what}", manifest.id)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    for workload in ALL {
        assert!(seen.contains(workload.name()), "no case has {}", workload.name());
    }
}

/// Each rule is kept by the good ones and broken by a bad one, so none of them holds because it looks at nothing.
#[test]
fn each_rule_can_be_broken() {
    let world = World::of_case(cases().iter().find(|case| case.ends_with("whole")).unwrap());
    let all: Vec<Manifest> = world.workloads().into_iter().flat_map(|workload| workload.manifests).collect();
    let pods =
        all.iter().find(|manifest| manifest.id.to_string().starts_with("Deployment") && manifest.id.name == "galley");
    let broken = |rule: &str, pointer: &str, value: Value| {
        let mut bad = pods.unwrap().clone();
        *bad.value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        let (_, check) = RULES.iter().find(|(name, _)| *name == rule).unwrap();
        assert!(!check(&bad, &all).is_empty(), "{rule} {pointer}");
    };
    broken("labels", "/metadata/labels", json!({}));
    broken("images", "/spec/template/spec/containers/0/image", json!("nginx:latest"));
    broken("images", "/spec/template/spec/containers/0/imagePullPolicy", json!("Always"));
    broken("security", "/spec/template/spec/automountServiceAccountToken", json!(true));
    broken("security", "/spec/template/spec/securityContext/runAsNonRoot", json!(false));
    broken("security", "/spec/template/spec/securityContext/seccompProfile", json!({}));
    broken("security", "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem", json!(false));
    broken("security", "/spec/template/spec/containers/0/securityContext/capabilities/drop", json!([]));
    broken("probes", "/spec/template/spec/containers/0/readinessProbe", json!({}));
    broken("probes", "/spec/template/spec/containers/0/livenessProbe/httpGet/port", json!("nothing"));
    broken("resources", "/spec/template/spec/containers/0/resources/limits", json!({}));
    broken("spread", "/spec/template/spec/topologySpreadConstraints/0/nodeTaintsPolicy", json!("Ignore"));
    broken("spread", "/spec/template/spec/affinity", json!({}));
    broken("budget and policy", "/spec/template/metadata/labels", json!({}));
    broken("files", "/spec/template/spec/volumes", json!([]));
    broken("files", "/spec/template/spec/volumes/0/projected/sources/0/configMap/name", json!("nothing"));
}

/// The containers of pods, those included that start before the others.
fn containers(pods: &Value) -> Vec<&Value> {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|kind| pods["spec"][kind].as_array().into_iter().flatten())
        .collect()
}

/// What a rule finds in each container of an object.
fn in_containers(manifest: &Manifest, check: impl Fn(&Value) -> Vec<String>) -> Vec<String> {
    pod_template(&manifest.value).map(|pods| containers(pods).into_iter().flat_map(check).collect()).unwrap_or_default()
}

/// Those of some sentences whose condition does not hold.
fn unmet(conditions: &[(bool, &str)]) -> Vec<String> {
    conditions.iter().filter(|(holds, _)| !holds).map(|(_, what)| (*what).to_owned()).collect()
}

fn labels(manifest: &Manifest, _: &[Manifest]) -> Vec<String> {
    let labelled =
        |value: &Value| [SITE_LABEL, WORKLOAD_LABEL].iter().all(|label| value["metadata"]["labels"][label].is_string());
    let namespaced = manifest.id.kind == "Namespace" || manifest.value["metadata"]["namespace"].is_string();
    unmet(&[
        (labelled(&manifest.value), "it has not the labels"),
        (pod_template(&manifest.value).is_none_or(labelled), "its pods have not the labels"),
        (namespaced, "it is in no namespace"),
    ])
}

fn images(manifest: &Manifest, _: &[Manifest]) -> Vec<String> {
    in_containers(manifest, |container| {
        let image = container["image"].as_str().unwrap_or_default();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
        unmet(&[
            (!tag.is_empty() && tag != "latest" && image.contains('/'), "its image is not a certain one"),
            (container["imagePullPolicy"] == "IfNotPresent", "its image is fetched each time"),
        ])
    })
}

fn security(manifest: &Manifest, _: &[Manifest]) -> Vec<String> {
    let Some(pods) = pod_template(&manifest.value) else { return Vec::new() };
    let spec = &pods["spec"];
    let mut found = unmet(&[
        (spec["automountServiceAccountToken"] == false, "it has a token for the API"),
        (spec["securityContext"]["runAsNonRoot"] == true, "it may be root"),
        (spec["securityContext"]["runAsUser"].as_u64().is_some_and(|user| user > 0), "it has no user"),
        (spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", "it may call anything"),
        (spec["hostPID"].is_null() && spec["hostIPC"].is_null(), "it sees its host"),
    ]);
    found.extend(in_containers(manifest, |container| {
        let security = &container["securityContext"];
        unmet(&[
            (security["readOnlyRootFilesystem"] == true, "it may write to its root"),
            (security["allowPrivilegeEscalation"] == false, "it may gain rights"),
            (security["capabilities"]["drop"] == json!(["ALL"]), "it has capabilities"),
            (security["capabilities"]["add"].is_null(), "it is given capabilities"),
            (security["privileged"].is_null(), "it is privileged"),
        ])
    }));
    found
}

fn probes(manifest: &Manifest, _: &[Manifest]) -> Vec<String> {
    if manifest.id.kind == "Job" {
        return Vec::new();
    }
    in_containers(manifest, |container| {
        let ports: Vec<&Value> =
            container["ports"].as_array().into_iter().flatten().map(|port| &port["name"]).collect();
        let good = |probe: &str| {
            let port = ["httpGet", "tcpSocket"].iter().find_map(|kind| container[probe][kind].get("port"));
            port.is_some_and(|port| ports.contains(&port)) || container[probe]["exec"]["command"].is_array()
        };
        unmet(&[
            (good("readinessProbe"), "nobody asks whether it is ready"),
            (good("livenessProbe"), "nobody asks whether it lives"),
        ])
    })
}

fn resources(manifest: &Manifest, _: &[Manifest]) -> Vec<String> {
    in_containers(manifest, |container| {
        let resources = &container["resources"];
        let said = |kind: &str, what: &str| resources[kind][what].as_str().is_some_and(|text| !text.starts_with('0'));
        unmet(&[
            (said("requests", "cpu") && said("requests", "memory"), "nothing is set aside for it"),
            (said("limits", "memory"), "its memory has no limit"),
        ])
    })
}

fn spread(manifest: &Manifest, _: &[Manifest]) -> Vec<String> {
    if !["Deployment", "StatefulSet"].contains(&manifest.id.kind.as_str()) {
        return Vec::new();
    }
    let spec = &manifest.value["spec"]["template"]["spec"];
    let constraint = |key: &str| {
        let found =
            spec["topologySpreadConstraints"].as_array().into_iter().flatten().find(|one| one["topologyKey"] == key);
        found.is_some_and(|one| one["nodeTaintsPolicy"] == "Honor")
    };
    unmet(&[
        (constraint("kubernetes.io/hostname"), "hosts that are dead count where it may start"),
        (constraint("topology.kubernetes.io/zone"), "it is not spread over zones"),
        (spec["affinity"]["podAntiAffinity"].is_object(), "its pods may well share a host"),
    ])
}

/// Whether a selector of labels takes an object's pods.
fn takes(selector: &Value, pods: &Value) -> bool {
    let labels = &pods["metadata"]["labels"];
    let wanted = selector["matchLabels"].as_object().or_else(|| selector.as_object());
    wanted.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| &labels[key] == value))
}

fn budget_and_policy(manifest: &Manifest, all: &[Manifest]) -> Vec<String> {
    let Some(pods) = pod_template(&manifest.value) else { return Vec::new() };
    let there = |kind: &str, selector: &str| {
        all.iter()
            .any(|other| other.id.kind == kind && takes(other.value.pointer(selector).unwrap_or(&Value::Null), pods))
    };
    let is_one_of_many = ["Deployment", "StatefulSet"].contains(&manifest.id.kind.as_str());
    unmet(&[
        (there("NetworkPolicy", "/spec/podSelector"), "no policy says whom it talks with"),
        (
            !is_one_of_many || there("PodDisruptionBudget", "/spec/selector"),
            "nothing keeps its pods from all being evicted",
        ),
    ])
}

fn files(manifest: &Manifest, all: &[Manifest]) -> Vec<String> {
    let Some(pods) = pod_template(&manifest.value) else { return Vec::new() };
    let volumes: Vec<&Value> = pods["spec"]["volumes"].as_array().into_iter().flatten().collect();
    let mounts: BTreeSet<&str> = containers(pods)
        .iter()
        .flat_map(|container| container["volumeMounts"].as_array().into_iter().flatten())
        .filter_map(|mount| mount["name"].as_str())
        .collect();
    let names: BTreeSet<&str> = volumes.iter().filter_map(|volume| volume["name"].as_str()).collect();
    let there = |kind: &str, name: &Value| {
        all.iter().any(|other| other.id.kind == kind && Some(other.id.name.as_str()) == name.as_str())
    };
    let mut found = unmet(&[(mounts == names, "its volumes are not those that it mounts")]);
    for volume in volumes {
        let sources = volume["projected"]["sources"].as_array().into_iter().flatten().chain([volume]);
        for source in sources {
            let map = source["configMap"].get("name").is_none_or(|name| there("ConfigMap", name));
            let name = source["secret"].get("secretName").or_else(|| source["secret"].get("name"));
            let secret = name.is_none_or(|name| there("Secret", name));
            found.extend(unmet(&[(map && secret, "it mounts what is not there")]));
        }
    }
    found
}

fn services(manifest: &Manifest, all: &[Manifest]) -> Vec<String> {
    if manifest.id.kind != "Service" || manifest.value["spec"]["selector"].is_null() {
        return Vec::new();
    }
    let pods = all
        .iter()
        .filter_map(|other| pod_template(&other.value))
        .find(|pods| takes(&manifest.value["spec"]["selector"], pods));
    let Some(pods) = pods else { return vec!["it leads to no pods".to_owned()] };
    let ports: Vec<&Value> =
        containers(pods).iter().flat_map(|container| container["ports"].as_array().into_iter().flatten()).collect();
    let known = |port: &Value| ports.iter().any(|there| there["name"] == *port || there["containerPort"] == *port);
    let all_known = manifest.value["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .all(|port| known(port.get("targetPort").unwrap_or(&port["port"])));
    unmet(&[(all_known, "it leads to a port that is not there")])
}
