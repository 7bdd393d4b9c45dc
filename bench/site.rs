//! A site, opened as the program itself does.

use std::path::Path;
use std::sync::Arc;

use wire_deploy::flow::{AGENT_GZ, AGENT_SHA256};
use wire_deploy::services;
use wire_deploy::site::secrets::Secrets;
use wire_deploy::transport::{AgentBinary, Hosts, Options};
use wire_deploy::workspace::secrets_file::SecretsFile;
use wire_deploy::workspace::sources::Workspace;
use wire_deploy_agent::digest::Digest;

use crate::hosts::Result;

/// The site of a file, its secrets, and the way to its hosts.
pub fn open(site_file: &Path) -> Result<(Workspace, Secrets, Hosts)> {
    let workspace = Workspace::read(site_file, services::ALL).map_err(|problems| format!("{problems:?}"))?;
    let site = &workspace.site;
    let secrets_file = SecretsFile::open(Path::new(&site.secrets.file), Path::new(&site.secrets.identity))?;
    let secrets = secrets_file.secrets(&site.generations)?;
    let options = Options {
        accept_new_host_keys: false,
        agent: AgentBinary { digest: Digest::try_from(AGENT_SHA256.to_owned())?, gzip: Arc::from(AGENT_GZ) },
        notice: Arc::new(|_, _| ()),
    };
    let hosts = Hosts::new(site, options, &secrets);
    Ok((workspace, secrets, hosts))
}
