//! The running cluster: how it is, and what is done to it.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use serde_json::Value;

use super::connection::{Connection, Connector, Status};
use super::judge::{ALARMS, FOLLOWING, LEADER, LEADING, LEARNING, detail};
use super::membership::{Listed, MEMBERS};
use super::{ADD_MEMBER, DEFRAGMENT, DISARM_ALARMS, FORGET_MEMBERS, MOVE_LEADER, REPLACE_MEMBER, peer_url};
use crate::desired::{Cluster, Node, Operation};
use crate::observed::{LiveState, Member};
use crate::services::Driver;
use crate::services::wait::until;

const PAUSE: Duration = Duration::from_millis(250);
/// How long one member may take to defragment: about a second for 100 MB on a slow disk, and at most 16 GB.
const DEFRAGMENTED: Duration = Duration::from_secs(180);

/// Asks every member how it is, and one of them for what all agree on.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let connector = &Connector::new(cluster, driver)?;
    let answers = join_all(cluster.nodes.iter().map(|node| async move {
        let mut connection = connector.member(node).await?;
        let status = connection.status().await?;
        anyhow::Ok((connection, status))
    }))
    .await;
    let mut live = LiveState::default();
    let mut connections = Vec::new();
    for (node, answer) in cluster.nodes.iter().zip(answers) {
        let member = match answer {
            Ok((connection, status)) => {
                if leads(&status) {
                    live.facts.insert(LEADER.to_owned(), node.host.to_string());
                }
                connections.push(connection);
                member(status)
            }
            Err(error) => Member::silent(&error),
        };
        live.members.insert(node.host.clone(), member);
    }
    for mut connection in connections {
        // Both need a quorum; a member that has none is asked in vain, and then so are the others but for one cut off alone.
        let (Ok(members), Ok(alarms)) = (connection.members().await, connection.alarms().await) else { continue };
        if !alarms.is_empty() {
            let name =
                |id: &str| members.iter().find(|member| member.id == id).map_or(id, |member| &member.name).to_owned();
            let alarms: Vec<_> =
                alarms.iter().map(|alarm| format!("{} on {}", alarm.alarm, name(&alarm.member))).collect();
            live.facts.insert(ALARMS.to_owned(), alarms.join(", "));
        }
        live.facts.insert(MEMBERS.to_owned(), serde_json::to_string(&members)?);
        break;
    }
    Ok(live)
}

fn leads(status: &Status) -> bool {
    !status.leader.is_empty() && status.leader == status.header.member_id
}

fn member(status: Status) -> Member {
    let role = match (status.is_learner, leads(&status)) {
        (true, _) => LEARNING,
        (false, true) => LEADING,
        (false, false) => FOLLOWING,
    };
    let number = |text: String| if text.is_empty() { "0".to_owned() } else { text };
    let details = [
        (detail::MEMBER, status.header.member_id),
        (detail::CLUSTER, status.header.cluster_id),
        (detail::LEADER, status.leader),
        (detail::INDEX, status.index),
        (detail::SIZE, status.size),
        (detail::SIZE_IN_USE, status.size_in_use),
        (detail::QUOTA, status.quota),
    ];
    Member {
        answers: true,
        problem: (!status.errors.is_empty()).then(|| status.errors.join(", ")),
        version: Some(status.version),
        role: Some(role.to_owned()),
        details: details.map(|(name, value)| (name.to_owned(), number(value))).into(),
        ..Member::default()
    }
}

/// Does an operation or a task.
pub(super) async fn operate(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    let work = Work {
        cluster,
        connector: Connector::new(cluster, driver)?,
        patience: Duration::from_secs(cluster.gate_timeout_seconds.into()),
    };
    let argument = |name: &str| operation.arguments.get(name).and_then(Value::as_str);
    let node = |name: &str| {
        let node = cluster.nodes.iter().find(|node| Some(node.host.as_str()) == argument(name));
        node.with_context(|| format!("{} names no host of the cluster", operation.name))
    };
    match operation.name.as_str() {
        MOVE_LEADER => work.move_leader(node("from")?).await,
        ADD_MEMBER => work.add_member(node("host")?).await,
        REPLACE_MEMBER => work.replace_member(node("host")?, argument("member")).await,
        DEFRAGMENT => work.defragment().await,
        DISARM_ALARMS => work.disarm_alarms().await,
        FORGET_MEMBERS => work.forget_members().await,
        other => bail!("etcd has no operation {other}"),
    }
}

struct Work<'a> {
    cluster: &'a Cluster,
    connector: Connector<'a>,
    patience: Duration,
}

/// A member that answers.
struct Answering<'a> {
    node: &'a Node,
    connection: Connection,
    status: Status,
}

impl Work<'_> {
    /// The members that answer and see a leader.
    async fn answering(&self) -> Vec<Answering<'_>> {
        let ask = |node| async move {
            let mut connection = self.connector.member(node).await?;
            let status = connection.status().await?;
            ensure!(!status.leader.is_empty(), "{} sees no leader", node.host);
            anyhow::Ok(Answering { node, connection, status })
        };
        join_all(self.cluster.nodes.iter().map(ask)).await.into_iter().filter_map(Result::ok).collect()
    }

    async fn move_leader(&self, from: &Node) -> anyhow::Result<()> {
        let mut answering = self.answering().await;
        let Some(position) = answering.iter().position(|member| member.node.host == from.host && leads(&member.status))
        else {
            return Ok(());
        };
        let mut leader = answering.swap_remove(position);
        // The one that has most of the log takes over soonest.
        let index = |member: &&Answering<'_>| member.status.index.parse::<u64>().unwrap_or_default();
        let heir = answering.iter().filter(|member| !member.status.is_learner).max_by_key(index);
        let heir = heir.context("no other member answers, so none can lead")?;
        leader.connection.transfer_leadership(&heir.status.header.member_id).await?;
        until(self.patience, PAUSE, || async {
            let status = self.connector.member(heir.node).await?.status().await?;
            ensure!(
                !status.leader.is_empty() && status.leader != leader.status.header.member_id,
                "{} still leads",
                from.host
            );
            Ok(())
        })
        .await
    }

    /// Lets a host's node in, unless it is a member already.
    async fn add_member(&self, node: &Node) -> anyhow::Result<()> {
        let url = peer_url(node.address);
        until(self.patience, PAUSE * 4, || async {
            let mut answering = self.answering().await;
            let members = list(&mut answering).await?;
            if members.iter().any(|member| member.peer_url == url) {
                return Ok(());
            }
            keeps_quorum(answering.len(), members.len() + 1)?;
            first(&mut answering)?.connection.add_member(&url).await
        })
        .await
    }

    /// Takes the member that lost its data out and lets its host's node in again. One that answers has been let in
    /// already and stays.
    async fn replace_member(&self, node: &Node, old: Option<&str>) -> anyhow::Result<()> {
        let url = peer_url(node.address);
        until(self.patience, PAUSE * 4, || async {
            let mut answering = self.answering().await;
            if answering.iter().any(|member| member.node.host == node.host) {
                return Ok(());
            }
            let members = list(&mut answering).await?;
            let lost = |member: &&Listed| {
                member.peer_url == url && !member.name.is_empty() && old.is_none_or(|old| old == member.id)
            };
            if let Some(member) = members.iter().find(lost) {
                keeps_quorum(answering.len(), members.len())?;
                first(&mut answering)?.connection.remove_member(&member.id).await?;
            }
            Ok(())
        })
        .await?;
        self.add_member(node).await
    }

    /// One member after the other, the leader last; each is well again before the next.
    async fn defragment(&self) -> anyhow::Result<()> {
        let mut answering = self.answering().await;
        ensure!(
            answering.len() == self.cluster.nodes.len(),
            "not every member answers: defragmenting one would leave too few"
        );
        answering.sort_by_key(|member| leads(&member.status));
        for mut member in answering {
            let host = &member.node.host;
            member.connection.defragment(DEFRAGMENTED).await.with_context(|| format!("{host} was not defragmented"))?;
            until(self.patience, PAUSE, || async {
                ensure!(self.answering().await.len() == self.cluster.nodes.len(), "{host} is not back yet");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn disarm_alarms(&self) -> anyhow::Result<()> {
        let mut answering = self.answering().await;
        let connection = &mut first(&mut answering)?.connection;
        for alarm in connection.alarms().await? {
            connection.disarm(&alarm).await?;
        }
        Ok(())
    }

    async fn forget_members(&self) -> anyhow::Result<()> {
        let ours: Vec<_> = self.cluster.nodes.iter().map(|node| peer_url(node.address)).collect();
        // etcd refuses for some seconds after members came or went.
        until(self.patience, PAUSE * 4, || async {
            let mut answering = self.answering().await;
            let members = list(&mut answering).await?;
            for stranger in members.iter().filter(|member| !ours.contains(&member.peer_url)) {
                keeps_quorum(answering.len(), members.len())?;
                first(&mut answering)?.connection.remove_member(&stranger.id).await?;
            }
            Ok(())
        })
        .await
    }
}

fn first<'a, 'b>(answering: &'a mut [Answering<'b>]) -> anyhow::Result<&'a mut Answering<'b>> {
    answering.first_mut().context("no member answers")
}

async fn list(answering: &mut [Answering<'_>]) -> anyhow::Result<Vec<Listed>> {
    first(answering)?.connection.members().await
}

/// So many members that answer are more than half of so many members.
fn keeps_quorum(answering: usize, members: usize) -> anyhow::Result<()> {
    let needed = members / 2 + 1;
    ensure!(answering >= needed, "{answering} members answer, and of {members} members {needed} must");
    Ok(())
}
