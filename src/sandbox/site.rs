//! The site of a sandbox: what `init` writes for an operator's own hosts, for these.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Sandbox;
use crate::services::kubernetes::CONTROL_PLANE;
use crate::site::init::{IDENTITY_FILE, INVENTORY_FILE, SECRETS_FILE, SITE_FILE};
use crate::site::workloads;
use crate::workspace::secrets_file::{SecretsFile, make_identity};

const KUBERNETES: &str = "kubernetes";
const LOAD_BALANCER: &str = "load-balancer";

/// So many hosts are members of every group; further hosts are spare.
const MEMBERS: usize = 3;

/// Writes a sandbox's site into a folder and gives the site file's path. The inventory follows the hosts, which are in all these groups; a site file and
/// secrets that are there are left as they are, for they may have been changed on purpose.
///
/// # Errors
/// When a file cannot be written.
pub fn write(sandbox: &Sandbox, folder: &Path, groups: &[&str]) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let folder = fs::canonicalize(folder).with_context(|| format!("resolving {}", folder.display()))?;
    let secrets = folder.join(SECRETS_FILE);
    if !secrets.exists() {
        let identity = folder.join(IDENTITY_FILE);
        make_identity(&identity)?;
        SecretsFile::create(&secrets, &identity)?;
    }
    let site_file = folder.join(SITE_FILE);
    if !site_file.exists() {
        let known_hosts = relative(&sandbox.known_hosts_file(), &folder);
        let text = site_text(&relative(&sandbox.key_file(), &folder), &known_hosts, groups);
        fs::write(&site_file, text).with_context(|| format!("writing {}", site_file.display()))?;
    }
    let inventory = folder.join(INVENTORY_FILE);
    fs::write(&inventory, inventory_text(sandbox, groups)?)
        .with_context(|| format!("writing {}", inventory.display()))?;
    Ok(site_file)
}

fn relative(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

fn site_text(key: &str, known_hosts: &str, groups: &[&str]) -> String {
    format!(
        "# The sandbox's site. Change it and see: wire-deploy sandbox run -- plan\n\
         format: 1\n\
         site: sandbox\n\
         domain: sandbox.example.com\n\
         profile: sandbox\n\
         inventory: {INVENTORY_FILE}\n\
         ssh:\n  user: root\n  key: {key:?}\n  known_hosts: {known_hosts:?}\n  agent: false\n{}",
        workloads::section(|name| groups.contains(&name))
    )
}

/// One address for the API of all control planes, whose own port is taken on the same hosts, and for the ingress.
fn balanced(sandbox: &Sandbox) -> String {
    format!(
        "    services:\n      load-balancer:\n        vip: {}\n        listeners:\n          kubernetes-api: \
         {{port: 9443, server_port: 6443, group: {CONTROL_PLANE}, health: {{path: /readyz, tls: true}}}}\n          https: {{port: 443, server_port: 8444, group: \
         {KUBERNETES}, proxy_protocol: true, health: {{path: /healthz, port: 8445}}}}\n",
        sandbox.free_address()
    )
}

fn inventory_text(sandbox: &Sandbox, groups: &[&str]) -> Result<String> {
    let mut text = "# Written by `wire-deploy sandbox up`, anew each time.\nhosts:\n".to_owned();
    for host in sandbox.hosts() {
        writeln!(text, "  {}: {{address: {}}}", host.name(), host.address)?;
    }
    let members: Vec<&str> = sandbox.hosts().iter().take(MEMBERS).map(super::Host::name).collect();
    text.push_str("groups:\n");
    for group in groups {
        writeln!(text, "  {group}:\n    hosts: [{}]", members.join(", "))?;
        if *group == LOAD_BALANCER && groups.contains(&KUBERNETES) {
            text.push_str(&balanced(sandbox));
        }
    }
    if groups.contains(&KUBERNETES) {
        // Without load balancers there is no address for more than one.
        let planes = if groups.contains(&LOAD_BALANCER) { &members[..] } else { &members[..members.len().min(1)] };
        writeln!(text, "  {CONTROL_PLANE}:\n    hosts: [{}]", planes.join(", "))?;
    }
    Ok(text)
}
