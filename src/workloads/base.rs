//! What every workload stands on: the namespace, a refusal of all that no workload's own policy allows, and the stores under names.

use serde_json::{Value, json};

use super::flows::STORES;
use super::{BuildError, Context, Finding, Manifest, Workload};
use crate::services::Severity;
use crate::services::kubernetes::{self, Cni};
use crate::site::model::Site;

/// The workload.
pub struct Base;

/// There is nothing to set.
pub type Settings = super::settings::Nothing;

impl Workload for Base {
    type Settings = Settings;

    fn name(&self) -> &'static str {
        "base"
    }

    fn is_named(&self) -> bool {
        false
    }

    fn is_installed(&self, site: &Site) -> bool {
        !site.workloads.is_empty()
    }

    fn recipes(&self, _: &Settings) -> Vec<&'static str> {
        Vec::new()
    }

    fn after(&self) -> &'static [&'static str] {
        &[]
    }

    fn build(&self, context: &Context<'_>, _: &Settings) -> Result<Vec<Manifest>, BuildError> {
        let mut manifests = context.manifests("base/namespace.yaml", &json!({}))?;
        let stores: Vec<Value> = STORES.iter().filter_map(|(name, ports)| store(context.site, name, ports)).collect();
        manifests.extend(context.manifests("base/stores.yaml", &json!({ "stores": stores }))?);
        Ok(manifests)
    }

    fn examine(&self, context: &Context<'_>, _: &Settings) -> Vec<Finding> {
        let settings = context.service_settings::<kubernetes::Settings>("kubernetes");
        let unenforced =
            context.site.kubernetes.existing.is_none() && settings.is_ok_and(|settings| settings.cni == Cni::Bridge);
        let finding = Finding {
            workload: context.name(),
            severity: Severity::Warning,
            message:
                "nobody enforces the NetworkPolicies: the pod network `bridge` connects every pod with every other"
                    .to_owned(),
            hint: "where that matters set `cni: none` for kubernetes and install Calico or Cilium, which enforce them"
                .to_owned(),
        };
        unenforced.then_some(finding).into_iter().collect()
    }
}

/// A store's hosts by the kind of their addresses, since a list of endpoints holds one kind.
fn store(site: &Site, name: &str, ports: &[u16]) -> Option<Value> {
    let hosts = site.hosts_of(&name.into());
    let families: Vec<Value> = [("IPv4", true), ("IPv6", false)]
        .into_iter()
        .filter_map(|(family, is_v4)| {
            let hosts = hosts.iter().filter(|host| host.address.is_ipv4() == is_v4);
            let hosts: Vec<Value> =
                hosts.map(|host| json!({ "name": host.name, "address": host.address, "zone": host.zone })).collect();
            (!hosts.is_empty()).then(|| json!({ "family": family, "suffix": family.to_lowercase(), "hosts": hosts }))
        })
        .collect();
    let ports: Vec<Value> = ports.iter().map(|port| json!({ "name": format!("port-{port}"), "port": port })).collect();
    (!families.is_empty()).then(|| json!({ "name": name, "ports": ports, "families": families }))
}
