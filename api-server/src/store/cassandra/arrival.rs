//! Waiting for Cassandra: a process that starts before the nodes do connects as soon as they are there.

use std::time::Duration;

use futures_util::future::select_ok;
use scylla::client::session::Session;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::session::connect;
use crate::config::{Cassandra, CassandraLogin};

/// Where nodes listen when nothing else is said.
const PORT: u16 = 9042;
/// Nodes that are not there are looked for this often, which costs them nothing.
const LOOK: Duration = Duration::from_millis(100);
/// A node that does not take a connection in this time is not there.
const CONNECT: Duration = Duration::from_secs(2);
/// After a log-in that failed the next one waits, longer each time: nodes that are starting have enough to do.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A session in a log-in's keyspace, however long it takes.
pub(super) async fn session(config: &Cassandra, login: &CassandraLogin) -> Session {
    let mut pause = FIRST_PAUSE;
    loop {
        if !is_there(&config.hosts).await {
            tracing::warn!(user = login.user, "no node of Cassandra takes a connection yet");
            while !is_there(&config.hosts).await {
                sleep(LOOK).await;
            }
        }
        match connect(config, login, Some(login.keyspace())).await {
            Ok(session) => return session,
            Err(error) => tracing::warn!("{error:#}; it is tried again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether any node takes a connection.
async fn is_there(hosts: &[String]) -> bool {
    let connect = |host: &String| {
        let address = if has_port(host) { host.clone() } else { format!("{host}:{PORT}") };
        Box::pin(TcpStream::connect(address))
    };
    !hosts.is_empty() && timeout(CONNECT, select_ok(hosts.iter().map(connect))).await.is_ok_and(|found| found.is_ok())
}

/// Whether `host` is `host:port`; an address of IPv6 is `[address]:port` then.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(name, port)| port.parse::<u16>().is_ok() && (!name.contains(':') || name.ends_with(']')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_port_is_told_from_an_address() {
        for host in ["node:9042", "10.0.0.1:19042", "[fd00::1]:9042"] {
            assert!(has_port(host), "{host}");
        }
        for host in ["node", "10.0.0.1", "[fd00::1]"] {
            assert!(!has_port(host), "{host}");
        }
    }

    #[tokio::test]
    async fn one_node_of_several_is_enough() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let present = listener.local_addr().unwrap().to_string();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        assert!(is_there(&[closed.clone(), present]).await);
        assert!(!is_there(&[closed]).await);
        assert!(!is_there(&[]).await);
    }
}
