//! The examples in the repository are sites, and say every key that there is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::load::{Sources, load, profiles};
use super::model::{Connection, Site};
use super::problem::render_all;
use super::schema::{File, schema};
use crate::services::ALL;

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn site(path: &str, text: String, inventory: &str) -> Site {
    let inventory = Some((inventory.to_owned(), Ok(self::text(inventory))));
    let sources = Sources { path: path.to_owned(), text, inventory };
    load(&sources, ALL).unwrap_or_else(|problems| panic!("{}", render_all(&problems)))
}

fn plain(profile: &str) -> String {
    format!("format: 1\nsite: test\ndomain: example.com\nprofile: {profile}\ninventory: hosts.yaml\n")
}

#[test]
fn the_example_site_loads() {
    let example = text("wire-deploy.example.yaml");
    let site = site("wire-deploy.example.yaml", example, "inventories/example/hosts.yaml");
    assert_eq!((site.name.as_str(), site.hosts.len()), ("example", 7));
}

#[test]
fn every_inventory_loads_with_every_profile() {
    for profile in profiles() {
        for inventory in ["example", "sandbox", "production"] {
            let inventory = format!("inventories/{inventory}/hosts.yaml");
            let mut text = plain(profile);
            if inventory.contains("example") {
                text.push_str("become: {method: sudo}\n");
            }
            let site = site("wire-deploy.yaml", text, &inventory);
            assert_eq!(site.profile.shared_kernel, profile == "sandbox");
            assert_eq!(site.profile.shared_disks, profile == "sandbox");
            assert!(
                ALL.iter().all(|service| !site.hosts_of(&service.name()).is_empty()),
                "{inventory} lacks a service"
            );
        }
    }
}

#[test]
fn profiles_set_what_services_have() {
    for profile in profiles() {
        let tree = super::tree::Tree::parse(&text(&format!("profiles/{profile}.yaml"))).unwrap();
        for entry in tree.get(&["services"]).unwrap().entries() {
            let service = ALL.iter().find(|service| service.name().as_str() == entry.key).expect(&entry.key);
            service.check_settings(&entry.value.to_json()).expect(&entry.key);
        }
    }
}

#[test]
fn in_production_any_zone_may_fail() {
    let site = site("wire-deploy.yaml", plain("production"), "inventories/production/hosts.yaml");
    let mut taken = BTreeSet::new();
    for service in ALL {
        let hosts = site.hosts_of(&service.name());
        let zones: BTreeSet<&str> = hosts.iter().map(|host| host.zone.as_str()).collect();
        assert_eq!(zones.len(), 3, "{}", service.name());
        for host in hosts {
            assert!(taken.insert(&host.name), "{} has two services", host.name);
            let Connection::Ssh(ssh) = &host.connection else { panic!("{} is local", host.name) };
            assert_eq!(ssh.jump.len(), 1);
        }
    }
}

/// Every key below a schema, the definitions it leads to included.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(key.clone());
        keys(property, found);
    }
    for definition in schema["$defs"].as_object().into_iter().flat_map(serde_json::Map::values) {
        keys(definition, found);
    }
}

#[test]
fn the_examples_say_every_key() {
    for (file, example) in
        [(File::Site, "wire-deploy.example.yaml"), (File::Inventory, "inventories/example/hosts.yaml")]
    {
        let mut wanted = BTreeSet::new();
        keys(&schema(file, ALL), &mut wanted);
        let mut text = text(example);
        if file == File::Inventory {
            // Settings of services are explained in the site file.
            text.push_str(&self::text("wire-deploy.example.yaml"));
        }
        let said: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once(':'))
            .map(|(key, _)| key)
            .collect();
        let missing: Vec<&String> = wanted.iter().filter(|key| !said.contains(key.as_str())).collect();
        assert!(missing.is_empty(), "{example} does not explain {missing:?}");
    }
}
