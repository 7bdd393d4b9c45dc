//! coturn's command line: a telnet-like conversation on loopback, opened by a password. Made for people, so its answers are read
//! up to the next prompt.

use core::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{COMMAND_LINE_PASSWORD, COMMAND_LINE_PORT};
use crate::desired::{Cluster, Node};
use crate::services::{Driver, Stream};
use crate::site::secrets::Purpose;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes: a host may be hostile.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// What coturn ends every answer with.
const PROMPT: &str = ">";

/// A conversation with one node's coturn.
pub(super) struct CommandLine {
    stream: Box<dyn Stream>,
    /// coturn's version, as its greeting tells.
    pub version: Option<String>,
}

/// Over which kind of connection clients are sent elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// UDP and TCP.
    Plain,
    /// TLS and DTLS.
    Tls,
}

/// Where clients are sent.
pub(super) type Redirect = (Kind, String);

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// How many clients it relays for.
    pub allocations: u64,
    /// Where it listens for clients over UDP and TCP.
    pub port: u16,
    /// Where it listens for clients over TLS and DTLS.
    pub tls_port: u16,
    /// Where it sends new clients instead of serving them.
    pub redirects: Vec<Redirect>,
}

impl CommandLine {
    /// Begins a conversation with a node, with its present password or a former one.
    pub(super) async fn open(cluster: &Cluster, node: &Node, driver: &Driver<'_>) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, COMMAND_LINE_PORT));
        let purpose = Purpose { service: &cluster.service, host: Some(&node.host), name: COMMAND_LINE_PASSWORD };
        for password in driver.secrets.passwords(&purpose) {
            let stream = driver.network.open(&node.host, address).await.context("its command line is not there")?;
            let mut line = Self { stream, version: None };
            line.version = version(&line.answer("password:").await?);
            if line.ask(password.expose()).await?.ends_with(PROMPT) {
                return Ok(line);
            }
        }
        bail!("its command line does not take the password")
    }

    /// What the node does now.
    pub(super) async fn report(&mut self) -> anyhow::Result<Report> {
        Report::read(&self.ask("pc").await?)
    }

    /// Sends new clients to another server.
    pub(super) async fn redirect(&mut self, (kind, server): &Redirect) -> anyhow::Result<()> {
        let command = if *kind == Kind::Tls { "atas" } else { "aas" };
        self.ask(&format!("{command} {server}")).await.map(|_| ())
    }

    /// Sends new clients to that server no more.
    pub(super) async fn serve_again(&mut self, (kind, server): &Redirect) -> anyhow::Result<()> {
        let command = if *kind == Kind::Tls { "dtas" } else { "das" };
        self.ask(&format!("{command} {server}")).await.map(|_| ())
    }

    async fn ask(&mut self, command: &str) -> anyhow::Result<String> {
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        self.answer(PROMPT).await
    }

    /// What is said up to such an end. A wrong password is asked for again.
    async fn answer(&mut self, end: &str) -> anyhow::Result<String> {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        tokio::time::timeout(ANSWER, async {
            loop {
                let read = self.stream.read(&mut buffer).await?;
                ensure!(read > 0, "its command line hung up");
                text.extend_from_slice(&buffer[..read]);
                ensure!(text.len() <= MAX_ANSWER, "its command line does not stop");
                let said = String::from_utf8_lossy(&text);
                let said = said.trim_end();
                if said.ends_with(end) || said.ends_with("password:") {
                    return Ok(said.to_owned());
                }
            }
        })
        .await
        .map_err(|_| anyhow::anyhow!("its command line does not answer within {} s", ANSWER.as_secs()))?
    }
}

impl Report {
    /// Reads the answer to `pc`: lines of `name: value`.
    fn read(text: &str) -> anyhow::Result<Self> {
        let fields = || text.lines().filter_map(|line| line.trim().split_once(": "));
        let field = |wanted: &str| {
            let found = fields().find(|(name, _)| *name == wanted).map(|(_, value)| value);
            found.with_context(|| format!("its command line does not tell {wanted}"))
        };
        let kind = |name: &str| match name {
            "Alternate server" => Some(Kind::Plain),
            "TLS alternate server" => Some(Kind::Tls),
            _ => None,
        };
        let redirects = fields().filter_map(|(name, server)| Some((kind(name)?, server.to_owned())));
        Ok(Self {
            allocations: field("total-current-allocs")?.parse()?,
            port: field("listener-port")?.parse()?,
            tls_port: field("tls-listener-port")?.parse()?,
            redirects: redirects.collect(),
        })
    }
}

/// Reads `Coturn-4.6.1 'Gorst'` out of the greeting.
fn version(greeting: &str) -> Option<String> {
    let rest = greeting.split("Coturn-").nth(1)?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn answers_are_read() {
        let text = "\r\n  listener-port: 3478\r\n  tls-listener-port: 443\r\n\r\n  Alternate server: 192.0.2.2:3478\r\n  TLS alternate server: 192.0.2.2:5349\r\n                    \r\n  total-current-allocs: 5\r\n\r\n  (Note 1: parameters with (*) are toggleable)\r\n\r\n>";
        let redirects = vec![(Kind::Plain, "192.0.2.2:3478".to_owned()), (Kind::Tls, "192.0.2.2:5349".to_owned())];
        assert_eq!(Report::read(text).unwrap(), Report { allocations: 5, port: 3478, tls_port: 443, redirects });
        assert!(Report::read("unknown command").is_err());
        assert_eq!(version("TURN Server\r\nCoturn-4.6.1 'Gorst'\r\n\r\nEnter password:").as_deref(), Some("4.6.1"));
    }
}
