//! `wire-api`'s configuration in a site: where the stores are, and who each service is there.
//!
//! What anybody may see is in a ConfigMap, so that a change of it can be read; passwords and keys are files of a Secret, which the configuration
//! names. Both are in one folder of the pods.

use core::net::IpAddr;

use serde_json::{Map, Value, json};

use super::sections::ApiSettings;
use super::{Row, tokens};
use crate::services::{cassandra, minio, password_name, redis, search, turn};
use crate::site::certificates::Request;
use crate::site::names::{ServiceName, WorkloadName};
use crate::site::secrets::{Purpose, SecretText};
use crate::workloads::context::CERTIFICATE_DAYS;
use crate::workloads::{BuildError, Context};

/// The folder of a service's files in its pods.
const FOLDER: &str = "/etc/wire-api";
/// The services of the API that have a role in Cassandra which `wire-api` uses.
const ROLES: [&str; 3] = ["brig", "galley", "gundeck"];

/// The files of a service, by name.
#[derive(Default)]
pub struct Configuration {
    /// What anybody may see: texts.
    pub public: Map<String, Value>,
    /// What nobody may: texts.
    pub secret: Map<String, Value>,
}

impl Configuration {
    /// Of a service.
    ///
    /// # Errors
    /// When a certificate cannot be made, or a secret is not there that the operator should have brought.
    pub fn of_service(context: &Context<'_>, row: &Row, settings: &impl ApiSettings) -> Result<Self, BuildError> {
        let domain = &context.site.domain;
        let mut files = Self::default();
        let mut wanted = json!({
            "domain": domain,
            "authentication": "headers",
            "behind_proxy": true,
            "links": {"accounts": format!("https://account.{domain}")},
            // nginz limits who asks too often, for all pods together.
            "limits": {"user_rate": null, "address_rate": null, "drain_seconds": settings.drain_seconds()},
            "mls_removal_key": tokens::mls_removal_key(context.secrets),
            "activation": if settings.mail().is_some() { "mail" } else { "auto" },
        });
        if let Some(mail) = settings.mail() {
            wanted["mail"] = json!({
                "host": mail.host, "port": mail.port, "security": mail.security, "user": mail.user, "sender": mail.sender,
            });
            if let Some(name) = &mail.password {
                wanted["mail"]["password"] = files.secret("mail-password", context.provided(name)?);
            }
        }
        wanted["tokens"] = if row.signs_tokens {
            let keys = tokens::private_keys(context.secrets).into_iter().enumerate();
            let keys: Vec<Value> =
                keys.map(|(index, key)| files.secret(&format!("token-key-{}", index + 1), key.expose())).collect();
            json!({ "private_keys": keys })
        } else {
            json!({ "public_keys": tokens::public_keys(context.secrets) })
        };
        let servers = if row.offers_calls { turn_servers(context)? } else { Vec::new() };
        if !servers.is_empty() {
            let secret = password(context, "turn", turn::SHARED_SECRET);
            wanted["calls"] =
                json!({ "turn_servers": servers, "turn_secret": files.secret("turn-secret", secret.expose()) });
        }
        if row.stores {
            wanted["cassandra"] = files.cassandra(context)?;
            wanted["search"] = files.search(context)?;
            wanted["s3"] = files.s3(context)?;
            wanted["redis"] = files.redis(context)?;
        }
        Ok(files.with(&wanted))
    }

    /// Of the Job that brings Cassandra's tables up to date.
    ///
    /// # Errors
    /// As [`Self::of_service`].
    pub fn of_migration(context: &Context<'_>) -> Result<Self, BuildError> {
        let mut files = Self::default();
        let wanted = json!({ "domain": context.site.domain, "cassandra": files.cassandra(context)? });
        Ok(files.with(&wanted))
    }

    /// With the configuration file itself. Nothing in it is `null` but where `wire-api` means something by it.
    fn with(mut self, wanted: &Value) -> Self {
        // JSON is YAML; indented it is read more easily where it changed.
        self.public.insert("wire-api.yaml".to_owned(), json!(format!("{wanted:#}\n")));
        self
    }

    /// Adds a file that nobody may see; returns how the configuration names it.
    fn secret(&mut self, name: &str, text: &str) -> Value {
        self.secret.insert(name.to_owned(), json!(text));
        json!({ "file": format!("{FOLDER}/{name}") })
    }

    /// Adds the certificate of the authority that vouches for a store's hosts; returns its path.
    fn authority(&mut self, context: &Context<'_>, service: &str, domain: &str) -> Result<String, BuildError> {
        let name = format!("{service}-authority.pem");
        self.public.insert(name.clone(), json!(context.authority(service, domain).certificate()?));
        Ok(format!("{FOLDER}/{name}"))
    }

    fn cassandra(&mut self, context: &Context<'_>) -> Result<Value, BuildError> {
        let authority = context.authority("cassandra", cassandra::CLIENTS);
        let request = Request {
            common_name: context.workload.to_owned(),
            organization: None,
            names: Vec::new(),
            addresses: Vec::new(),
            server: false,
            client: true,
            days: CERTIFICATE_DAYS,
        };
        let issued = context.certificate(&authority, &request)?;
        self.public.insert("cassandra-certificate.pem".to_owned(), json!(issued.certificate));
        self.secret("cassandra-key.pem", issued.key.expose());
        let settings = context.service_settings::<cassandra::Settings>("cassandra")?;
        let mut section = json!({
            "hosts": addresses(context, "cassandra"),
            "datacenter": cassandra::DATACENTER,
            "replication_factor": settings.replication_factor,
            "tls": {
                "authority": self.authority(context, "cassandra", cassandra::CLIENTS)?,
                "certificate": format!("{FOLDER}/cassandra-certificate.pem"), "key": format!("{FOLDER}/cassandra-key.pem"),
            },
        });
        for role in ROLES {
            let password = password(context, "cassandra", &password_name(role));
            section[role] =
                json!({ "user": role, "password": self.secret(&format!("cassandra-{role}"), password.expose()) });
        }
        Ok(section)
    }

    fn search(&mut self, context: &Context<'_>) -> Result<Value, BuildError> {
        let settings = context.service_settings::<search::Settings>("search")?;
        if settings.flavor == search::Flavor::Elasticsearch {
            return Ok(json!({ "endpoints": endpoints(context, "search", "http://", search::PORT) }));
        }
        let password = password(context, "search", &password_name(search::SERVICE_USER));
        Ok(json!({
            "endpoints": endpoints(context, "search", "https://", search::PORT),
            "user": search::SERVICE_USER, "password": self.secret("search-password", password.expose()),
            "authority": self.authority(context, "search", search::CLIENTS)?,
        }))
    }

    fn s3(&mut self, context: &Context<'_>) -> Result<Value, BuildError> {
        let password = password(context, "minio", &password_name(minio::SERVICE_USER));
        let mut section = json!({
            "endpoints": endpoints(context, "minio", "https://", minio::PORT),
            "access_key": minio::SERVICE_USER, "secret_key": self.secret("minio-password", password.expose()),
            "authority": self.authority(context, "minio", minio::TRUST_DOMAIN)?,
        });
        // Without an ingress clients could not fetch files by themselves.
        if context.site.workloads.contains_key(&WorkloadName::from("ingress")) {
            section["assets_host"] = json!(format!("https://assets.{}", context.site.domain));
        }
        Ok(section)
    }

    fn redis(&mut self, context: &Context<'_>) -> Result<Value, BuildError> {
        let password = password(context, "redis", &password_name(redis::SERVICE_USER));
        Ok(json!({
            "sentinels": endpoints(context, "redis", "", redis::SENTINEL_PORT), "primary": redis::CLUSTER,
            "user": redis::SERVICE_USER, "password": self.secret("redis-password", password.expose()),
            "authority": self.authority(context, "redis", redis::TRUST_DOMAIN)?,
        }))
    }
}

fn password(context: &Context<'_>, service: &str, name: &str) -> SecretText {
    context.secrets.password(&Purpose { service: &ServiceName::from(service), host: None, name })
}

fn addresses(context: &Context<'_>, service: &str) -> Vec<IpAddr> {
    context.site.hosts_of(&service.into()).iter().map(|host| host.address).collect()
}

/// An address as it stands before a port.
fn before_port(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn endpoints(context: &Context<'_>, service: &str, scheme: &str, port: u16) -> Vec<String> {
    addresses(context, service).into_iter().map(|address| format!("{scheme}{}:{port}", before_port(address))).collect()
}

/// Where clients find TURN: each host at the address where the internet reaches it, by UDP, TCP and TLS.
fn turn_servers(context: &Context<'_>) -> Result<Vec<String>, BuildError> {
    let settings = context.service_settings::<turn::Settings>("turn")?;
    let (port, tls_port) = (settings.port, settings.tls_port);
    let hosts = context.site.hosts_of(&"turn".into());
    let servers = hosts.iter().flat_map(|host| {
        let address = before_port(host.public_address.unwrap_or(host.address));
        [
            format!("turn:{address}:{port}"),
            format!("turn:{address}:{port}?transport=tcp"),
            format!("turns:{address}:{tls_port}?transport=tcp"),
        ]
    });
    Ok(servers.collect())
}
