//! Making another node primary without losing a write, and making Sentinels forget what is gone.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;

use super::connection::{Connection, Connector};
use super::live::primary_of;
use super::{CLUSTER, PORT};
use crate::desired::{Cluster, Node};
use crate::services::wait::until;

const PAUSE: Duration = Duration::from_millis(100);
/// How long the primary takes no writes at most, while it hands over. Clients wait meanwhile; none is refused.
const WRITES_PAUSED: Duration = Duration::from_secs(10);
/// How often it is tried: Sentinel gives a failover up when what it knows of the replicas is a few seconds too old.
const ATTEMPTS: usize = 4;
/// How long replicas may take to have every write.
const CAUGHT_UP: Duration = Duration::from_secs(5);

/// Makes another node than `from` primary, and `from` follow it. Nothing is done if `from` is not primary.
///
/// Sentinel's own failover would lose what is written between its start and the moment the old primary hears of it, about ten
/// seconds; so writes are paused, the replicas get everything, and the old primary is told at once.
pub(super) async fn hand_over(cluster: &Cluster, from: &Node, connector: &Connector<'_>) -> anyhow::Result<()> {
    let patience = Duration::from_secs(cluster.gate_timeout_seconds.into());
    let old = from.address;
    // Whoever does not answer now is not waited for while writes are paused.
    let sentinels = &Sentinels::answering(cluster, connector).await;
    if sentinels.agreed_primary().await? != old {
        return Ok(());
    }
    let mut server = connector.server(from).await.ok();
    let mut attempt = 1;
    let new = loop {
        until(patience, PAUSE * 5, || sentinels.ready()).await.context("no failover is possible yet")?;
        let moved = async {
            if let Some(server) = &mut server {
                pause_writes(server).await?;
            }
            until(patience, PAUSE * 5, || sentinels.start_failover(old)).await.context("no failover was begun")?;
            let moved_away = || moved_away(cluster, sentinels, connector, old);
            until(WRITES_PAUSED, PAUSE, moved_away).await.context("no replica took over")
        };
        let error = match moved.await {
            Ok(new) => break new,
            Err(error) => error,
        };
        if let Some(server) = &mut server {
            // Writes go on where they were; if this fails, the pause ends by itself.
            server.run::<()>(&["CLIENT", "UNPAUSE"]).await?;
        }
        if attempt == ATTEMPTS {
            return Err(error);
        }
        attempt += 1;
    };
    if let Some(server) = &mut server {
        follow(server, new).await?;
        until(patience, PAUSE, || follows(connector, from, new)).await.context("the old primary does not follow")?;
    }
    Ok(())
}

/// The Sentinels that answered when they were first asked.
struct Sentinels<'a>(Vec<(&'a Node, Connection)>);

impl<'a> Sentinels<'a> {
    async fn answering(cluster: &'a Cluster, connector: &Connector<'_>) -> Self {
        let connections = join_all(cluster.nodes.iter().map(|node| connector.sentinel(node))).await;
        let answering = cluster.nodes.iter().zip(connections);
        Self(answering.filter_map(|(node, connection)| Some((node, connection.ok()?))).collect())
    }

    /// Each of them, with a connection that can be used.
    fn each(&self) -> impl DoubleEndedIterator<Item = (&'a Node, Connection)> {
        self.0.iter().map(|(node, connection)| (*node, connection.clone()))
    }

    /// Who most of them take for the primary.
    async fn agreed_primary(&self) -> anyhow::Result<IpAddr> {
        let ask = |(_, mut sentinel)| async move { anyhow::Ok(primary_of(&mut sentinel).await?.parse::<IpAddr>()?) };
        let said: Vec<_> = join_all(self.each().map(ask)).await.into_iter().filter_map(Result::ok).collect();
        ensure!(!said.is_empty(), "no Sentinel answers");
        let most = said.iter().copied().find(|one| said.iter().filter(|other| *other == one).count() * 2 > said.len());
        most.context("the Sentinels do not agree on who is primary")
    }

    /// Each of them knows a replica and has a majority: a failover before that is broken off, and tried again only much later.
    async fn ready(&self) -> anyhow::Result<()> {
        for (node, mut sentinel) in self.each() {
            sentinel.run::<String>(&["SENTINEL", "CKQUORUM", CLUSTER]).await?;
            let known: BTreeMap<String, String> = sentinel.run(&["SENTINEL", "MASTER", CLUSTER]).await?;
            let count = known.get("num-slaves").and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
            ensure!(count > 0, "the Sentinel on {} knows of no replica", node.host);
        }
        Ok(())
    }

    /// Asks one after the other to begin.
    async fn start_failover(&self, old: IpAddr) -> anyhow::Result<()> {
        let mut refused = anyhow::anyhow!("no Sentinel answers");
        for (node, mut sentinel) in self.each().rev() {
            if primary_of(&mut sentinel).await?.parse() != Ok(old) {
                return Ok(());
            }
            match sentinel.run::<()>(&["SENTINEL", "FAILOVER", CLUSTER]).await {
                Ok(()) => return Ok(()),
                Err(error) if error.code() == Some("INPROG") => return Ok(()),
                Err(error) => {
                    refused = anyhow::Error::new(error).context(format!("the Sentinel on {} refuses", node.host));
                }
            }
        }
        Err(refused)
    }
}

/// Has the primary take no more writes, and waits until a replica has all there are.
async fn pause_writes(server: &mut Connection) -> anyhow::Result<()> {
    let milliseconds = WRITES_PAUSED.as_millis().to_string();
    server
        .run::<()>(&["CLIENT", "PAUSE", &milliseconds, "WRITE"])
        .await
        .context("the primary does not pause writes")?;
    let end = tokio::time::Instant::now() + CAUGHT_UP;
    loop {
        let info = server.info(&["replication"]).await?;
        let written: u64 = info.get("master_repl_offset").and_then(|offset| offset.parse().ok()).unwrap_or(u64::MAX);
        if info.replicas().any(|replica| replica.online && replica.offset >= written) {
            return Ok(());
        }
        if tokio::time::Instant::now() > end {
            bail!("no replica had every write within {} s", CAUGHT_UP.as_secs());
        }
        tokio::time::sleep(PAUSE / 4).await;
    }
}

/// The new primary, once the Sentinels agree on one and it says so itself.
async fn moved_away(
    cluster: &Cluster,
    sentinels: &Sentinels<'_>,
    connector: &Connector<'_>,
    old: IpAddr,
) -> anyhow::Result<IpAddr> {
    let new = sentinels.agreed_primary().await?;
    ensure!(new != old, "{old} is still primary");
    let node = cluster.nodes.iter().find(|node| node.address == new).context("a stranger took over")?;
    let info = connector.server(node).await?.info(&["replication"]).await?;
    ensure!(info.get("role") == Some("master"), "{} is not primary yet", node.host);
    Ok(new)
}

/// Has the old primary follow the new one and remember it; its clients are sent away, to ask a Sentinel again.
async fn follow(server: &mut Connection, new: IpAddr) -> anyhow::Result<()> {
    server.run::<()>(&["REPLICAOF", &new.to_string(), &PORT.to_string()]).await?;
    server.run::<()>(&["CLIENT", "UNPAUSE"]).await?;
    server.run::<()>(&["CONFIG", "REWRITE"]).await?;
    for kind in ["normal", "pubsub"] {
        server.run::<i64>(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await?;
    }
    Ok(())
}

/// The old primary is in sync with the new one.
async fn follows(connector: &Connector<'_>, from: &Node, new: IpAddr) -> anyhow::Result<()> {
    let info = connector.server(from).await?.info(&["replication"]).await?;
    ensure!(info.get("master_host") == Some(new.to_string().as_str()), "{} follows another node", from.host);
    ensure!(info.get("master_link_status") == Some("up"), "{} is not in sync yet", from.host);
    Ok(())
}

/// Has one Sentinel after the other forget all it knows and find again what is there, as Redis's documentation says.
pub(super) async fn forget_members(cluster: &Cluster, connector: &Connector<'_>) -> anyhow::Result<()> {
    let patience = Duration::from_secs(cluster.gate_timeout_seconds.into());
    let others = (cluster.nodes.len() - 1).to_string();
    for node in &cluster.nodes {
        let mut sentinel = connector.sentinel(node).await.with_context(|| format!("the Sentinel on {}", node.host))?;
        sentinel.run::<i64>(&["SENTINEL", "RESET", CLUSTER]).await?;
        until(patience, PAUSE * 5, || async {
            let known: BTreeMap<String, String> =
                connector.sentinel(node).await?.run(&["SENTINEL", "MASTER", CLUSTER]).await?;
            for what in ["num-slaves", "num-other-sentinels"] {
                let count = known.get(what).map_or("nothing", String::as_str);
                ensure!(count == others, "the Sentinel on {} says {what} {count}, and there are {others}", node.host);
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}
