//! The running cluster: how it is, and what is done to it.

use anyhow::{Context as _, bail};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::admin::{self, Info, Server};
use super::connection::{Connection, Connector, host_of};
use super::judge::{self, WRITE_QUORUM, detail};
use super::nodes::{POLICY_OBJECT, USER_OBJECT, bucket_of};
use super::{HEAL, SERVICE_USER, USER_PASSWORD, bucket, heal};
use crate::desired::{Cluster, Node, Object, Operation};
use crate::observed::{LiveState, Member};
use crate::services::Driver;

/// Asks every server how it is, and one of them for what all agree on.
pub(super) async fn observe(cluster: &Cluster, driver: &Driver<'_>) -> anyhow::Result<LiveState> {
    let connector = &Connector::new(cluster, driver)?;
    let answers = join_all(cluster.nodes.iter().map(|node| async move {
        let mut connection = connector.root(node).await?;
        let info = admin::info(&mut connection).await?;
        anyhow::Ok((connection, info))
    }))
    .await;
    let mut live = LiveState::default();
    let mut answering = None;
    for (node, answer) in cluster.nodes.iter().zip(answers) {
        let member = match answer {
            Ok((connection, info)) => {
                answering.get_or_insert((node, connection));
                member(node, &info)
            }
            Err(error) => Member::silent(&error),
        };
        live.members.insert(node.host.clone(), member);
    }
    if let Some((node, mut connection)) = answering {
        let quorum = admin::has_write_quorum(&mut connection).await?;
        live.facts.insert(WRITE_QUORUM.to_owned(), if quorum { "yes" } else { "no" }.to_owned());
        live.untold = !quorum;
        if quorum {
            for object in &cluster.objects {
                let found = find(object, node, &mut connection, connector, driver, cluster).await;
                live.objects.insert(object.id.clone(), found.with_context(|| object.id.clone())?);
            }
        }
    }
    Ok(live)
}

fn member(node: &Node, info: &Info) -> Member {
    let online: Vec<_> = info.servers.iter().filter(|server| server.state == "online").collect();
    let own = online.iter().find(|server| server.endpoint == host_of(node));
    let seen: Vec<_> = online.iter().map(|server| server.endpoint.as_str()).collect();
    let mut details: std::collections::BTreeMap<_, _> = own.map(|own| drives(own).collect()).unwrap_or_default();
    details.insert(detail::SEES.to_owned(), seen.join(","));
    Member { answers: true, version: own.map(|own| own.version.clone()), details, ..Member::default() }
}

fn drives(server: &Server) -> impl Iterator<Item = (String, String)> {
    server.drives.iter().map(|drive| (format!("{}{}", detail::DRIVE, drive.path), judge::drive(drive)))
}

/// What the cluster holds for an object.
async fn find(
    object: &Object,
    node: &Node,
    root: &mut Connection,
    connector: &Connector<'_>,
    driver: &Driver<'_>,
    cluster: &Cluster,
) -> anyhow::Result<Value> {
    match object.id.as_str() {
        POLICY_OBJECT => admin::policy(root, SERVICE_USER).await,
        USER_OBJECT => {
            let mut user = admin::user(root, SERVICE_USER).await?;
            if let Some(fields) = user.as_object_mut() {
                // The secret key cannot be asked for. That it is the one of this generation is seen by using it.
                let bucket = cluster.objects.iter().find_map(bucket_of).unwrap_or_default();
                let known = admin::is_known(&mut connector.user(node).await?, bucket).await?;
                let generation = driver.secrets.generation(&cluster.service, USER_PASSWORD);
                fields.insert("secret".to_owned(), if known { json!(generation) } else { json!("another one") });
            }
            Ok(user)
        }
        _ => match bucket_of(object) {
            Some(name) => bucket::observe(root, name).await,
            None => bail!("minio has no object {}", object.id),
        },
    }
}

/// Makes a bucket, the policy or the user what it should be, through the first server that answers.
pub(super) async fn put_object(cluster: &Cluster, object: &Object, driver: &Driver<'_>) -> anyhow::Result<()> {
    let connector = Connector::new(cluster, driver)?;
    let mut root = any(cluster, &connector).await?;
    match object.id.as_str() {
        POLICY_OBJECT => admin::put_policy(&mut root, SERVICE_USER, &object.wanted).await,
        USER_OBJECT => admin::put_user(&mut root, connector.user_credentials(), SERVICE_USER).await,
        _ => match bucket_of(object) {
            Some(name) => bucket::put(&mut root, name, &object.wanted).await,
            None => bail!("minio has no object {}", object.id),
        },
    }
}

/// Does an operation or a task.
pub(super) async fn operate(cluster: &Cluster, operation: &Operation, driver: &Driver<'_>) -> anyhow::Result<()> {
    match operation.name.as_str() {
        HEAL => heal::heal(&mut any(cluster, &Connector::new(cluster, driver)?).await?).await,
        other => bail!("minio has no operation {other}"),
    }
}

/// The first server that answers.
async fn any(cluster: &Cluster, connector: &Connector<'_>) -> anyhow::Result<Connection> {
    let mut last = None;
    for node in &cluster.nodes {
        match connector.root(node).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("the cluster has no nodes")?.context("no server answers"))
}
