//! Healing: each object's parts are put back on drives that lack them.
//!
//! What was written while a host was away lacks that host's parts, and MinIO's own retries give up after a second. Restarting the next
//! host then could leave too few parts to read it. So everything is healed before a host is restarted; MinIO's scanner,
//! which would come to it some day, is not waited for.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::connection::Connection;
use crate::services::http::Method;

/// Every bucket, and MinIO's own settings.
const PATH: &str = "/minio/admin/v3/heal/";
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    client_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    /// `running`, `finished` or `stopped`.
    summary: String,
    #[serde(default)]
    detail: String,
    /// Empty or nothing when there are none yet.
    #[serde(default)]
    items: Option<Vec<serde::de::IgnoredAny>>,
}

/// Heals everything, and returns when that is done.
pub(super) async fn heal(connection: &mut Connection) -> anyhow::Result<()> {
    let settings = json!({ "recursive": true, "scanMode": 1 });
    let started: Option<Started> =
        connection.find(Method::POST, PATH, &[("forceStart", "true")], serde_json::to_vec(&settings)?).await?;
    let token = started.context("the server knows no healing")?.client_token;
    loop {
        let status: Option<Status> =
            connection.find(Method::POST, PATH, &[("clientToken", &token)], Vec::new()).await?;
        match status.context("the server forgot that it heals")? {
            Status { summary, .. } if summary == "finished" => return Ok(()),
            Status { summary, detail, .. } if summary == "stopped" => bail!("healing stopped: {detail}"),
            // Results wait until they are fetched, and so does healing itself when many wait.
            Status { items, .. } if items.as_ref().is_none_or(Vec::is_empty) => sleep(PAUSE).await,
            Status { .. } => {}
        }
    }
}
