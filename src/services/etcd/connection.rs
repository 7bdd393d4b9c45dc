//! etcd's JSON interface (the gRPC gateway under `/v3/`), over a stream that a host opened, with a client certificate of this run.

use core::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::membership::Listed;
use super::{CLIENT_PORT, CLIENTS};
use crate::desired::{Cluster, Node};
use crate::services::{ANSWER, Driver, http, tls, within};

/// Opens connections to the members of one cluster.
pub(super) struct Connector<'a> {
    driver: &'a Driver<'a>,
    tls: tls::Client,
}

/// A connection to one member.
pub(super) struct Connection {
    http: http::Connection,
    address: SocketAddr,
}

/// What a member says about itself. Numbers of 64 bits come as text, and zeros not at all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub header: Header,
    pub version: String,
    #[serde(rename = "dbSize")]
    pub size: String,
    #[serde(rename = "dbSizeInUse")]
    pub size_in_use: String,
    #[serde(rename = "dbSizeQuota")]
    pub quota: String,
    pub leader: String,
    #[serde(rename = "raftIndex")]
    pub index: String,
    #[serde(rename = "isLearner")]
    pub is_learner: bool,
    pub errors: Vec<String>,
}

/// Who answered.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    pub cluster_id: String,
    pub member_id: String,
}

/// An alarm.
#[derive(Debug, Deserialize)]
pub(super) struct Alarm {
    #[serde(rename = "memberID")]
    pub member: String,
    pub alarm: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct MemberEntry {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    #[serde(rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(rename = "isLearner")]
    is_learner: bool,
}

impl<'a> Connector<'a> {
    pub(super) fn new(cluster: &Cluster, driver: &'a Driver<'a>) -> anyhow::Result<Self> {
        let identity = driver.identity(cluster, CLIENTS)?;
        let authority = driver.authority(cluster, CLIENTS).certificate()?;
        Ok(Self { driver, tls: tls::Client::new(&authority, Some(&identity))? })
    }

    /// The member on a node's host.
    pub(super) async fn member(&self, node: &Node) -> anyhow::Result<Connection> {
        let address = SocketAddr::new(node.address, CLIENT_PORT);
        let connect = async {
            let stream = self.driver.connect(&self.tls, node, CLIENT_PORT).await?;
            let http = http::Connection::new(stream, address.to_string()).await?;
            anyhow::Ok(Connection { http, address })
        };
        within(ANSWER, address, connect).await
    }
}

impl Connection {
    pub(super) async fn status(&mut self) -> anyhow::Result<Status> {
        self.ask("/v3/maintenance/status", &json!({}), ANSWER).await
    }

    /// The members, as most of them agree.
    pub(super) async fn members(&mut self) -> anyhow::Result<Vec<Listed>> {
        #[derive(Deserialize)]
        struct Answer {
            members: Vec<MemberEntry>,
        }
        let answer: Answer = self.ask("/v3/cluster/member/list", &json!({ "linearizable": true }), ANSWER).await?;
        let listed = |member: MemberEntry| Listed {
            id: member.id,
            name: member.name,
            peer_url: member.peer_urls.into_iter().next().unwrap_or_default(),
            learner: member.is_learner,
        };
        Ok(answer.members.into_iter().map(listed).collect())
    }

    pub(super) async fn add_member(&mut self, peer_url: &str) -> anyhow::Result<()> {
        self.ask::<Value>("/v3/cluster/member/add", &json!({ "peerURLs": [peer_url] }), ANSWER).await.map(drop)
    }

    pub(super) async fn remove_member(&mut self, id: &str) -> anyhow::Result<()> {
        self.ask::<Value>("/v3/cluster/member/remove", &json!({ "ID": id }), ANSWER).await.map(drop)
    }

    /// Has another member lead; only the leader can be asked for it.
    pub(super) async fn transfer_leadership(&mut self, to: &str) -> anyhow::Result<()> {
        self.ask::<Value>("/v3/maintenance/transfer-leadership", &json!({ "targetID": to }), ANSWER).await.map(drop)
    }

    /// Gives the space of deleted data back; the member answers nobody meanwhile.
    pub(super) async fn defragment(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.ask::<Value>("/v3/maintenance/defragment", &json!({}), patience).await.map(drop)
    }

    pub(super) async fn alarms(&mut self) -> anyhow::Result<Vec<Alarm>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            alarms: Vec<Alarm>,
        }
        Ok(self.ask::<Answer>("/v3/maintenance/alarm", &json!({ "action": "GET" }), ANSWER).await?.alarms)
    }

    pub(super) async fn disarm(&mut self, alarm: &Alarm) -> anyhow::Result<()> {
        let body = json!({ "action": "DEACTIVATE", "memberID": alarm.member, "alarm": alarm.alarm });
        self.ask::<Value>("/v3/maintenance/alarm", &body, ANSWER).await.map(drop)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
        patience: Duration,
    ) -> anyhow::Result<T> {
        let answer = within(patience, self.address, self.http.post(path, body)).await?;
        serde_json::from_value(answer).with_context(|| format!("{path} answered something unexpected"))
    }
}
