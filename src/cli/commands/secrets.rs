//! `secrets`: the names of all secrets, showing one, and keeping those that the operator brings.

use std::io::{IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use super::{Outcome, list, open_secrets, read_secrets, read_site};
use crate::cli::Session;
use crate::cli::arguments::Secrets;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::services;
use crate::site::model::Site;
use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::{Purpose, SecretText};
use crate::workloads::api;

pub(super) fn run(session: &Session, arguments: &Secrets) -> Outcome {
    match arguments {
        Secrets::List => show_names(session),
        Secrets::Show { secret, yes } => show(session, secret, *yes),
        Secrets::Set { secret } => set(session, secret),
        Secrets::Remove { secret } => remove(session, secret),
    }
}

/// A password, or the seed of a key, that is derived from the site's seed.
struct Derived {
    service: ServiceName,
    host: Option<HostName>,
    name: &'static str,
}

impl Derived {
    /// How it is called: `redis/user/admin`, or `redis/user/admin@db1` where each host has its own.
    fn title(&self) -> String {
        let host = self.host.as_ref().map_or_else(String::new, |host| format!("@{host}"));
        format!("{}/{}{host}", self.service, self.name)
    }
}

/// Every derived password of the services and workloads that the site installs.
fn derived(site: &Site) -> Vec<Derived> {
    let mut all = Vec::new();
    for service in services::ALL {
        let hosts = site.hosts_of(&service.name());
        if hosts.is_empty() {
            continue;
        }
        for (name, per_host) in service.passwords() {
            let of = |host: Option<HostName>| Derived { service: service.name(), host, name };
            if *per_host {
                all.extend(hosts.iter().map(|host| of(Some(host.name.clone()))));
            } else {
                all.push(of(None));
            }
        }
    }
    all.extend(api::secrets_of(site).map(|(owner, name)| Derived { service: owner.into(), host: None, name }));
    all
}

fn show_names(session: &Session) -> Outcome {
    let workspace = read_site(session)?;
    let secrets = read_secrets(&workspace.site)?;
    let derived = derived(&workspace.site).into_iter().map(|secret| {
        let generation = secrets.generation(&secret.service, secret.name);
        vec![secret.title().into(), "derived".into(), generation.into()]
    });
    let provided = secrets.provided_names().map(|name| vec![name.into(), "provided".into(), serde_json::Value::Null]);
    list(session, &["secret", "kind", "generation"], derived.chain(provided).collect());
    Ok(ExitCode::Done)
}

fn show(session: &Session, title: &str, yes: bool) -> Outcome {
    if !yes && !std::io::stdout().is_terminal() {
        return Err(CommandError::usage("stdout is no terminal, so the secret is not shown")
            .hint("`--yes` shows it all the same"));
    }
    let workspace = read_site(session)?;
    let secrets = read_secrets(&workspace.site)?;
    let found = derived(&workspace.site).into_iter().find(|secret| secret.title() == title);
    let secret = match found {
        Some(Derived { service, host, name }) => {
            Some(secrets.password(&Purpose { service: &service, host: host.as_ref(), name }))
        }
        None => secrets.provided(title).cloned(),
    };
    let secret = secret.ok_or_else(|| unknown(title))?;
    session.reporter.print(format!("{}\n", secret.expose()));
    Ok(ExitCode::Done)
}

fn set(session: &Session, name: &str) -> Outcome {
    let workspace = read_site(session)?;
    if derived(&workspace.site).iter().any(|secret| secret.title() == name) {
        return Err(CommandError::usage(format!("{name} is derived from the site's seed"))
            .hint("raise its generation in the site file to change it"));
    }
    if std::io::stdin().is_terminal() {
        return Err(CommandError::usage("expected the secret on stdin, found a terminal")
            .hint(format!("`wire-deploy secrets set {name} < FILE`, so that no history keeps it")));
    }
    let mut value = Zeroizing::new(String::new());
    std::io::stdin()
        .read_to_string(&mut value)
        .map_err(|error| CommandError::usage("cannot read the secret from stdin").because(error))?;
    let value = value.trim_end_matches(['\n', '\r']);
    if value.is_empty() {
        return Err(CommandError::usage("expected the secret on stdin, found nothing").hint("nothing was changed"));
    }
    let mut file = open_secrets(&workspace.site)?;
    file.provide(name, &SecretText::new(value.to_owned()));
    file.save()?;
    session.reporter.note(format!("{name} is kept in {}", workspace.site.secrets.file));
    Ok(ExitCode::Done)
}

fn remove(session: &Session, name: &str) -> Outcome {
    let workspace = read_site(session)?;
    let mut file = open_secrets(&workspace.site)?;
    if !file.remove(name) {
        return Err(unknown(name));
    }
    file.save()?;
    session.reporter.note(format!("{name} is forgotten"));
    Ok(ExitCode::Done)
}

fn unknown(title: &str) -> CommandError {
    CommandError::usage(format!("there is no secret {title}")).hint("`wire-deploy secrets list` shows their names")
}
