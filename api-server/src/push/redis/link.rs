//! Ways to Redis: the Sentinels are asked where the primary is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::secret::Secret;
use crate::{config, tls};

/// Nobody is waited for longer.
const ANSWER: Duration = Duration::from_secs(2);

/// A host and a port.
pub(super) type Address = (String, u16);

/// Ways to Redis.
pub(super) struct Link {
    sentinels: Vec<Address>,
    primary: String,
    user: String,
    password: Secret,
    tls: TlsConnector,
}

/// A connection, which ends when this is dropped.
pub(super) struct Connection {
    pub redis: MultiplexedConnection,
    conversation: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.conversation.abort();
    }
}

impl Link {
    pub fn new(config: &config::Redis) -> anyhow::Result<Self> {
        anyhow::ensure!(!config.sentinels.is_empty(), "redis.sentinels is empty");
        Ok(Self {
            sentinels: config.sentinels.iter().map(|text| address(text)).collect::<anyhow::Result<_>>()?,
            primary: config.primary.clone(),
            user: config.user.clone(),
            password: config.password.0.clone(),
            tls: TlsConnector::from(Arc::new(tls::client(config.authority.as_deref())?)),
        })
    }

    /// Where the primary is: what most Sentinels say, of those that answer.
    pub async fn primary(&self) -> anyhow::Result<Address> {
        let answers = future::join_all(self.sentinels.iter().map(|sentinel| self.ask(sentinel))).await;
        let (mut votes, mut last) = (HashMap::<Address, usize>::new(), None);
        for answer in answers {
            match answer {
                Ok(address) => *votes.entry(address).or_default() += 1,
                Err(error) => last = Some(error),
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address);
        most.ok_or_else(|| last.unwrap_or_else(|| anyhow::anyhow!("there is no Sentinel")))
    }

    async fn ask(&self, sentinel: &Address) -> anyhow::Result<Address> {
        let mut connection = self.open(sentinel, None).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        let answer: Option<Address> = question.query_async(&mut connection.redis).await?;
        answer.with_context(|| format!("the Sentinel at {} knows no {:?}", sentinel.0, self.primary))
    }

    /// A connection to the primary, which is one for certain.
    pub async fn to_primary(&self, heard: impl AsyncPushSender) -> anyhow::Result<(Address, Connection)> {
        let address = self.primary().await?;
        let mut connection = self.open(&address, Some(AsyncConnectionConfig::new().set_push_sender(heard))).await?;
        expect_primary(&mut connection.redis).await?;
        Ok((address, connection))
    }

    /// Logs in. With `heard` the connection also hears what Redis says unasked.
    async fn open(&self, address: &Address, heard: Option<AsyncConnectionConfig>) -> anyhow::Result<Connection> {
        let what = || format!("{}:{}", address.0, address.1);
        let opening = async {
            let stream = TcpStream::connect((address.0.as_str(), address.1)).await?;
            stream.set_nodelay(true)?;
            let stream = self.tls.connect(ServerName::try_from(address.0.clone())?, stream).await?;
            let protocol = if heard.is_some() { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
            let login = RedisConnectionInfo::default()
                .set_username(&self.user)
                .set_password(self.password.expose())
                .set_protocol(protocol)
                .set_skip_set_lib_name();
            let config = heard.unwrap_or_default().set_response_timeout(Some(ANSWER));
            let (redis, conversation) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
            anyhow::Ok(Connection { redis, conversation: tokio::spawn(conversation) })
        };
        timeout(ANSWER, opening).await.map_err(|_| anyhow::anyhow!("no answer")).flatten().with_context(what)
    }
}

/// Asks a Redis for its role.
pub(super) async fn expect_primary(redis: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(redis).await?;
    let role: Option<String> = role.into_iter().next().and_then(|role| redis::from_redis_value(role).ok());
    anyhow::ensure!(role.as_deref() == Some("master"), "it is no primary (any more)");
    Ok(())
}

fn address(text: &str) -> anyhow::Result<Address> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parsed.with_context(|| format!("{text:?} is no address such as host:26379"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sentinels_have_hosts_and_ports() {
        assert_eq!(address("10.0.0.1:26379").unwrap(), ("10.0.0.1".to_owned(), 26379));
        assert_eq!(address("[fd00::1]:1").unwrap(), ("fd00::1".to_owned(), 1));
        for wrong in ["host", "host:", "host:99999"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
