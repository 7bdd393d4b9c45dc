//! The configuration file (YAML). Everything has a default with which `wire-api --store memory` is a whole backend.
//!
//! Secrets are texts or `{file: path}`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::http::rate::Rate;
use crate::secret::ConfiguredSecret;

mod cassandra;
mod redis;
mod s3;
mod search;

pub use cassandra::{Cassandra, CassandraLogin, CassandraTls};
pub use redis::Redis;
pub use s3::S3;
pub use search::Search;

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The backend's domain: part of every qualified id, never to be changed. Clients want a dot and an alphabetic top level.
    pub domain: String,
    /// Who checks access tokens.
    pub authentication: Authentication,
    /// Whether `X-Forwarded-For` is the front end's own and tells the client's address.
    pub behind_proxy: bool,
    /// Whether e-mail addresses are proved.
    pub activation: Activation,
    /// How mails are sent.
    pub mail: Option<Mail>,
    /// Where clients find things.
    pub links: Links,
    /// Origins of web clients that reach this process by themselves, such as `https://webapp.wire.example`; none behind nginx.
    pub browser_origins: Vec<String>,
    /// Keys that sign tokens.
    pub tokens: Tokens,
    /// The cookie.
    pub cookies: Cookies,
    /// Calls.
    pub calls: Calls,
    /// Limits.
    pub limits: Limits,
    /// MLS is off; clients want to see its removal key all the same. 32 bytes in base64; random when not set.
    pub mls_removal_key: Option<String>,
    /// Where the memory store puts files; a folder in the system's temporary folder when not set.
    pub assets_folder: Option<PathBuf>,
    /// Where files are; in the store's own place when not set.
    pub s3: Option<S3>,
    /// Where the directory of users is; in the store's own place when not set.
    pub search: Option<Search>,
    /// How processes tell each other's websockets; without it only a process's own are told at once.
    pub redis: Option<Redis>,
    /// Cassandra, for the store of that name.
    pub cassandra: Option<Cassandra>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "wire.example".to_owned(),
            authentication: Authentication::default(),
            behind_proxy: false,
            activation: Activation::default(),
            mail: None,
            links: Links::default(),
            browser_origins: Vec::new(),
            tokens: Tokens::default(),
            cookies: Cookies::default(),
            calls: Calls::default(),
            limits: Limits::default(),
            mls_removal_key: None,
            assets_folder: None,
            s3: None,
            search: None,
            redis: None,
            cassandra: None,
        }
    }
}

/// Who checks access tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// This process.
    #[default]
    Token,
    /// The front end, which sets `Z-User`, `Z-Client` and `Z-Connection` and lets no client set them.
    Headers,
}

/// Whether e-mail addresses are proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Every address is believed: closed networks, tests.
    #[default]
    Auto,
    /// By a code that is sent there.
    Mail,
}

/// How mails are sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The SMTP server.
    pub host: String,
    /// Its port.
    #[serde(default = "Mail::port")]
    pub port: u16,
    /// How the connection is protected.
    #[serde(default)]
    pub security: MailSecurity,
    /// Log-in, if it wants one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<ConfiguredSecret>,
    /// Whose mails they are: `Name <address>`.
    pub sender: String,
}

impl Mail {
    fn port() -> u16 {
        587
    }
}

/// How the connection to the SMTP server is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// TLS asked for with STARTTLS, which must succeed.
    #[default]
    Starttls,
    /// TLS from the beginning.
    Tls,
    /// Not at all: a relay on the same host.
    None,
}

/// Where clients find things.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// The account pages: links for activation, reset, invitation and guests lead there.
    pub accounts: String,
}

impl Default for Links {
    fn default() -> Self {
        Self { accounts: "https://account.wire.example".to_owned() }
    }
}

/// Keys that sign tokens. Private keys where tokens are made (brig), public keys where they are only checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Ed25519 seeds, 32 bytes in base64, the newest last; it signs, all are good.
    pub private_keys: Vec<ConfiguredSecret>,
    /// Ed25519 public keys in the same order; needed where there are no private ones.
    pub public_keys: Vec<String>,
    /// Seconds that an access token lives.
    pub access_lifetime: i64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { private_keys: Vec::new(), public_keys: Vec::new(), access_lifetime: 900 }
    }
}

/// The cookie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cookies {
    /// Whether it is sent over TLS only.
    pub secure: bool,
    /// Seconds that a persistent one lives.
    pub persistent_lifetime: i64,
    /// Seconds that a session's one lives.
    pub session_lifetime: i64,
    /// Seconds after which a persistent one is renewed.
    pub renew_after: i64,
    /// The most of a user; the oldest end first.
    pub most: usize,
}

impl Default for Cookies {
    fn default() -> Self {
        Self {
            secure: true,
            persistent_lifetime: 4_838_400,
            session_lifetime: 86_400,
            renew_after: 1_209_600,
            most: 32,
        }
    }
}

/// Calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// TURN servers, `turn:host:port[?transport=udp]` or `turns:…`.
    pub turn_servers: Vec<String>,
    /// What they and this server know.
    pub turn_secret: Option<ConfiguredSecret>,
    /// Conference servers.
    pub conference_servers: Vec<String>,
}

/// Limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests of a user; `null` for none.
    pub user_rate: Option<Rate>,
    /// Requests from an address for one path, where there is no user yet; `null` for none.
    pub address_rate: Option<Rate>,
    /// Failed log-ins within five minutes after which the account waits.
    pub login_failures: u32,
    /// Permanent devices of a user.
    pub permanent_clients: usize,
    /// Members of a conversation.
    pub conversation_members: usize,
    /// Members of a team.
    pub team_members: usize,
    /// Connections that a user has asked for or accepted.
    pub connections: usize,
    /// Properties of a user.
    pub properties: usize,
    /// Bytes of a file.
    pub asset_bytes: u64,
    /// Websockets that one process serves.
    pub websockets: usize,
    /// Seconds in which a process that ends lets its websockets go.
    pub drain_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            user_rate: Some(Rate { per_second: 30.0, burst: 20.0 }),
            address_rate: Some(Rate { per_second: 0.25, burst: 10.0 }),
            login_failures: 5,
            permanent_clients: 7,
            conversation_members: 500,
            team_members: 500,
            connections: 1000,
            properties: 16,
            asset_bytes: 100 * 1024 * 1024,
            websockets: 50_000,
            drain_seconds: 25,
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// No file, or what is not understood, with line and column.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("{} is not understood", path.display()))
    }

    /// The sections of what keeps everything, when all is there that processes need which keep nothing themselves.
    ///
    /// # Errors
    /// The sections that are missing.
    pub fn for_cassandra(&self) -> anyhow::Result<(&Cassandra, &Search, &S3)> {
        let missing: Vec<_> = [
            ("cassandra", self.cassandra.is_none()),
            ("search", self.search.is_none()),
            ("s3", self.s3.is_none()),
            ("redis", self.redis.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, is_missing)| is_missing.then_some(name))
        .collect();
        match (&self.cassandra, &self.search, &self.s3) {
            (Some(cassandra), Some(search), Some(s3)) if missing.is_empty() => Ok((cassandra, search, s3)),
            _ => anyhow::bail!("--store cassandra needs more in the configuration: {}", missing.join(", ")),
        }
    }

    /// What does not fit together.
    ///
    /// # Errors
    /// The first such thing, and what to do.
    pub fn check(&self) -> anyhow::Result<()> {
        let labels: Vec<_> = self.domain.split('.').collect();
        let label = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let top = labels.last().is_some_and(|top| top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_lowercase()));
        anyhow::ensure!(
            labels.len() > 1 && top && labels.iter().all(|text| label(text)),
            "domain {:?}: clients want lower-case letters, at least one dot and an alphabetic top level, such as wire.example",
            self.domain
        );
        anyhow::ensure!(
            self.activation == Activation::Auto || self.mail.is_some(),
            "activation: mail needs a mail server; set `mail`, or `activation: auto`"
        );
        anyhow::ensure!(
            self.calls.turn_servers.is_empty() || self.calls.turn_secret.is_some(),
            "calls.turn_servers needs calls.turn_secret: the secret that the TURN servers know"
        );
        if let Some(cassandra) = &self.cassandra {
            cassandra.check()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_config_file_is_read_and_its_secrets_are_not_shown() {
        let text = "domain: chat.example\ncalls: {turn_servers: ['turn:192.0.2.1:3478'], turn_secret: hush}\nlimits: {user_rate: null}\n";
        let config: Config = serde_saphyr::from_str(text).unwrap();
        assert!(config.check().is_ok());
        assert_eq!(config.limits.user_rate, None);
        assert_eq!(config.limits.login_failures, 5);
        assert!(!format!("{config:?}").contains("hush"));
        assert!(serde_saphyr::from_str::<Config>("domian: x\n").is_err());
    }

    #[test]
    fn all_missing_sections_are_named_at_once() {
        let error = Config::default().for_cassandra().unwrap_err().to_string();
        assert!(error.ends_with("configuration: cassandra, search, s3, redis"), "{error}");
        let text = "search: {endpoints: ['https://192.0.2.1:9200']}\nredis: {sentinels: [a], user: u, password: p}\n";
        let config: Config = serde_saphyr::from_str(text).unwrap();
        let error = config.for_cassandra().unwrap_err().to_string();
        assert!(error.ends_with("configuration: cassandra, s3"), "{error}");
    }

    #[test]
    fn a_domain_must_be_one_that_clients_take() {
        for domain in ["localhost", "10.0.0.1", "a..example", "Chat.example", ""] {
            let config = Config { domain: domain.to_owned(), ..Config::default() };
            assert!(config.check().is_err(), "{domain}");
        }
        assert!(Config::default().check().is_ok());
    }
}
