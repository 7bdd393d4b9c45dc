//! The directory moves into a new index, made from today's template, while it is searched and written.
//!
//! Everything is copied, the alias is switched, and what was written to the old index meanwhile is copied once more. Documents keep their
//! versions, so that nothing new is overwritten by something old. One that is deleted meanwhile may come back; the backend's next full
//! refresh of the directory removes it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::connection::Connection;
use super::{DIRECTORY, directory};
use crate::services::http::Method;

const PAUSE: Duration = Duration::from_millis(250);

/// Moves the directory. An index that an earlier attempt left half-made is made anew.
pub(super) async fn reindex(connection: &mut Connection) -> anyhow::Result<()> {
    let aliases = connection.get(&format!("/_alias/{DIRECTORY}")).await?;
    let indices: Vec<&String> = aliases.as_object().into_iter().flat_map(|indices| indices.keys()).collect();
    ensure!(indices.len() == 1, "the alias {DIRECTORY} points to {} indices, and should to one", indices.len());
    let (old, new) = (indices[0].clone(), directory::index_after(indices[0]));
    if connection.find(&format!("/{new}")).await?.is_some() {
        delete(connection, &new).await?;
    }
    connection.send(Method::PUT, &format!("/{new}"), &json!({})).await?;
    copy(connection, &old, &new).await?;
    let switch = json!({ "actions": [
        { "remove": { "index": old, "alias": DIRECTORY } },
        { "add": { "index": new, "alias": DIRECTORY, "is_write_index": true } },
    ] });
    connection.send(Method::POST, "/_aliases", &switch).await?;
    copy(connection, &old, &new).await?;
    delete(connection, &old).await
}

async fn delete(connection: &mut Connection, index: &str) -> anyhow::Result<()> {
    connection.send(Method::DELETE, &format!("/{index}"), &json!({})).await.map(drop)
}

/// Copies every document that the new index has not got in the same or a later version.
async fn copy(connection: &mut Connection, old: &str, new: &str) -> anyhow::Result<()> {
    connection.send(Method::POST, &format!("/{old}/_refresh"), &json!({})).await?;
    let body = json!({
        "conflicts": "proceed",
        "source": { "index": old },
        "dest": { "index": new, "version_type": "external" },
    });
    let started = connection.send(Method::POST, "/_reindex?wait_for_completion=false", &body).await?;
    let task = started["task"].as_str().context("copying has no task")?.to_owned();
    loop {
        let status = connection.get(&format!("/_tasks/{task}")).await?;
        if status["completed"] == true {
            let failures = status["response"]["failures"].as_array().is_none_or(Vec::is_empty);
            ensure!(failures && status["error"].is_null(), "copying failed: {}", reason(&status));
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

fn reason(status: &Value) -> String {
    let reasons = [&status["error"]["reason"], &status["response"]["failures"][0]["cause"]["reason"]];
    reasons.into_iter().find_map(Value::as_str).unwrap_or("no reason given").to_owned()
}
