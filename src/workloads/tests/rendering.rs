//! What code makes of templates: errors with their place, labels, and which pods a change rolls.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::BuildError;
use super::super::render::{CONFIGURATION_ANNOTATION, manifests, pod_template};
use super::{CREATED, DAY, World, cases};
use crate::site::certificates::{Authority, Request};
use crate::site::secrets::{Purpose, SecretText, Secrets};

fn whole() -> World {
    World::of_case(cases().iter().find(|case| case.ends_with("whole")).unwrap())
}

fn told(result: Result<impl Sized, BuildError>) -> String {
    match result.err().unwrap() {
        BuildError::Manifest(problem) => problem.render(),
        BuildError::Template(error) => error.0.render(),
        other => other.to_string(),
    }
}

#[test]
fn what_is_no_manifest_is_told_with_its_place() {
    let read = |text: &str| told(manifests("mine/kube/x.yaml", text, "wire"));
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    assert!(manifests("x", &format!("# only words\n---\n{good}---\n\n"), "wire").unwrap().len() == 1);
    let text = read(&format!("{good}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{labels: {{}}}}\n"));
    assert!(
        text.contains("a manifest without metadata.name") && text.contains("mine/kube/x.yaml (rendered):7:"),
        "{text}"
    );
    let text = read(&format!("{good}---\n# words\nkind: ConfigMap\n"));
    assert!(text.contains("without apiVersion") && text.contains("x.yaml (rendered):6:1"), "{text}");
    let text = read(&format!("{good}---\na: [b\n"));
    assert!(text.contains("not YAML") && text.contains("= hint: lines are those of the rendered text"), "{text}");
    let text = read(&format!("{good}---\nkind: A\nkind: B\n"));
    assert!(text.contains("`kind` is there twice"), "{text}");
}

#[test]
fn an_operators_template_is_used_and_its_mistakes_are_found_in_it() {
    let extra = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata: {site: {{ site | json }}}\n";
    let world = whole().with_template("kube/base/namespace.yaml", extra);
    let mine = world.object("base", "ConfigMap", "mine");
    assert_eq!(mine["data"], json!({"site": "test"}));
    assert_eq!(mine["metadata"]["namespace"], "wire");
    assert_eq!(mine["metadata"]["labels"], json!({"wire-deploy/site": "test", "wire-deploy/workload": "base"}));
    let text = told(whole().with_template("kube/base/namespace.yaml", "a: {{ sight }}\n").build());
    assert!(
        text.contains("undefined variable `sight`") && text.contains("mine/kube/base/namespace.yaml:1:7"),
        "{text}"
    );
    let twin = extra.replace("ConfigMap", "Service").replace("mine", "minio");
    let text = told(whole().with_template("kube/base/namespace.yaml", &twin).build());
    assert!(text.contains("Service wire/minio is made by mine/kube/base/namespace.yaml, too"), "{text}");
}

#[test]
fn a_text_with_anything_in_it_stays_one_text() {
    let world = whole().with_template(
        "kube/base/namespace.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata: {a: {{ (\"x: '\" ~ '\"' ~ \" # y\n---\n\") | json }} }\n",
    );
    assert_eq!(world.object("base", "ConfigMap", "mine")["data"]["a"], "x: '\" # y\n---\n");
}

/// What the pods of a workload roll by, by workload, and the Job's name.
fn rolled(world: &World) -> Vec<(String, Value)> {
    let all = world.workloads().into_iter().flat_map(|workload| workload.manifests);
    all.filter_map(|manifest| {
        let pods = pod_template(&manifest.value)?;
        Some((manifest.id.to_string(), pods.clone()))
    })
    .collect()
}

fn differing(one: &World, other: &World) -> Vec<String> {
    let (one, other) = (rolled(one), rolled(other));
    let changed = |(id, pods): &&(String, Value)| !other.iter().any(|(there, same)| there == id && same == pods);
    one.iter()
        .filter(changed)
        .map(|(id, _)| id.rsplit('/').next().unwrap().split('-').next().unwrap().to_owned())
        .collect()
}

#[test]
fn a_change_rolls_the_right_pods_and_only_those() {
    let world = whole();
    assert!(differing(&world, &whole()).is_empty(), "the same site gives the same pods");
    let changed = |change: &dyn Fn(&mut World)| {
        let mut other = whole();
        change(&mut other);
        differing(&world, &other)
    };
    let set = |world: &mut World, workload: &str, key: &str, value: Value| {
        world.site.workloads.get_mut(workload).unwrap()[key] = value;
    };
    assert!(changed(&|world| set(world, "galley", "replicas", json!(5))).is_empty(), "more pods of the same kind");
    assert_eq!(changed(&|world| set(world, "cannon", "drain_seconds", json!(7))), ["cannon"]);
    assert_eq!(changed(&|world| set(world, "ingress", "body_megabytes", json!(7))), ["ingress"]);
    assert_eq!(changed(&|world| world.site.groups.get_mut("turn").unwrap().truncate(2)), ["brig"], "it offers calls");
    let search = changed(&|world| world.site.groups.get_mut("search").unwrap().truncate(2));
    assert_eq!(search, ["brig", "galley", "gundeck", "cannon", "cargohold"]);
    let minio = changed(&|world| world.site.groups.get_mut("minio").unwrap().truncate(2));
    assert_eq!(minio, ["brig", "galley", "gundeck", "cannon", "cargohold", "ingress"]);
    assert!(changed(&|world| world.time += DAY).is_empty(), "certificates last");
    // Those of Cassandra's clients are replaced in time, and the ingress takes its own in while it runs.
    let renewed = changed(&|world| world.time += 550 * DAY);
    assert_eq!(renewed, ["migration", "brig", "galley", "gundeck", "cannon", "cargohold"]);
    let before = world.object("ingress", "Secret", "ingress-certificate");
    let later = World { time: world.time + 550 * DAY, ..whole() };
    assert_ne!(before, later.object("ingress", "Secret", "ingress-certificate"));
}

#[test]
fn what_pods_roll_by_tells_no_secret() {
    let world = whole();
    let annotation = |world: &World| {
        world.object("brig", "Deployment", "brig")["spec"]["template"]["metadata"]["annotations"]
            [CONFIGURATION_ANNOTATION]
            .clone()
    };
    let mut other = whole();
    other.secrets = Secrets::new([8; 32], CREATED, BTreeMap::new(), BTreeMap::new());
    other.site.workloads.get_mut("brig").unwrap().as_object_mut().unwrap().remove("mail");
    assert_ne!(annotation(&world), annotation(&other));
    for workload in world.workloads() {
        for manifest in workload.manifests.iter().filter(|manifest| !manifest.id.is_secret()) {
            let text = manifest.value.to_string();
            assert!(!text.contains("hush") && !text.contains("PRIVATE KEY"), "{}", manifest.id);
            for (service, name) in [("cassandra", "user/brig"), ("redis", "user/wire"), ("turn", "shared-secret")] {
                let service = service.into();
                let purpose = Purpose { service: &service, host: None, name };
                assert!(!text.contains(world.secrets.password(&purpose).expose()), "{} tells {name}", manifest.id);
            }
        }
    }
}

#[test]
fn what_was_not_brought_is_named() {
    let mut world = whole();
    world.secrets = Secrets::new([7; 32], CREATED, BTreeMap::new(), BTreeMap::new());
    assert_eq!(told(world.build()), "brig wants the secret `smtp-password`, which nobody has set");
    let mut world = whole();
    world.lock.recipes.remove("nginx");
    assert_eq!(told(world.build()), "artifacts.lock has no image of recipe nginx");
}

#[test]
fn a_certificate_that_was_brought_must_be_for_all_hosts() {
    let brought = |names: &[&str]| {
        let mut world = whole();
        let request = Request {
            common_name: "edge".to_owned(),
            organization: None,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: Vec::new(),
            server: true,
            client: false,
            days: 90,
        };
        let issued =
            Authority::new(&world.secrets, &"elsewhere".into(), "ca").issue(None, &request, world.time).unwrap();
        let texts = [
            ("chain", issued.certificate),
            ("key", issued.key.expose().to_owned()),
            ("smtp-password", "hush".to_owned()),
        ];
        let provided = texts.map(|(name, text)| (name.to_owned(), SecretText::new(text)));
        world.secrets = Secrets::new([7; 32], CREATED, provided.into(), BTreeMap::new());
        let certificate = json!({"chain": "chain", "key": "key"});
        world.site.workloads.get_mut("ingress").unwrap()["certificate"] = certificate;
        world
    };
    let good = brought(&["*.example.com"]);
    assert!(good.object("ingress", "Secret", "ingress-certificate")["data"]["tls.crt"].is_string());
    assert_eq!(
        told(
            brought(&["nginz-https.example.com", "nginz-ssl.example.com", "webapp.example.com", "account.example.com"])
                .build()
        ),
        "ingress cannot use the secrets `chain` and `key`: the certificate is not for teams.example.com, assets.example.com"
    );
    let mut ended = brought(&["*.example.com"]);
    ended.time += 91 * DAY;
    assert!(told(ended.build()).contains("the certificate has ended on"));
}
