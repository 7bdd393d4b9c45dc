//! MinIO's own administration interface (`/minio/admin/v3/`): how the servers are, and users and policies.

use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::{Connection, error_code, expect};
use super::policy;
use super::signature::Credentials;
use crate::services::http::{Method, StatusCode};

/// How the cluster is, as one server sees it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub servers: Vec<Server>,
}

/// A server of the cluster.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    /// `online`, `offline` or `initializing`.
    pub state: String,
    /// Address and port.
    pub endpoint: String,
    pub version: String,
    pub drives: Vec<Drive>,
}

/// A drive of a server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Drive {
    /// `ok`, or what is wrong with it.
    pub state: String,
    pub path: String,
    pub healing: bool,
    pub heal_info: Option<HealInfo>,
    /// Bytes.
    #[serde(rename = "totalspace")]
    pub total: u64,
    /// Bytes.
    #[serde(rename = "availspace")]
    pub available: u64,
}

/// How far the filling of an empty drive is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HealInfo {
    pub objects_total_count: u64,
    pub items_healed: u64,
    pub finished: bool,
}

/// The policies of a user that MinIO keeps itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UserInfo {
    status: String,
    #[serde(rename = "policyName")]
    policy: String,
}

/// How all servers are.
pub(super) async fn info(connection: &mut Connection) -> anyhow::Result<Info> {
    let path = "/minio/admin/v3/info";
    let answer = expect(path, connection.ask(Method::GET, path, &[], Vec::new()).await?)?;
    Ok(serde_json::from_slice(&answer.body)?)
}

/// Whether enough drives take writes, as the server sees it.
pub(super) async fn has_write_quorum(connection: &mut Connection) -> anyhow::Result<bool> {
    let answer = connection.ask(Method::GET, "/minio/health/cluster", &[], Vec::new()).await?;
    Ok(answer.status == StatusCode::OK)
}

/// A policy's document, its sets in order; `null` if there is none.
pub(super) async fn policy(connection: &mut Connection, name: &str) -> anyhow::Result<Value> {
    let path = "/minio/admin/v3/info-canned-policy";
    let found: Option<Value> = connection.find(Method::GET, path, &[("name", name)], Vec::new()).await?;
    Ok(found.map_or(Value::Null, policy::normal))
}

pub(super) async fn put_policy(connection: &mut Connection, name: &str, document: &Value) -> anyhow::Result<()> {
    connection.put("/minio/admin/v3/add-canned-policy", &[("name", name)], serde_json::to_vec(document)?).await
}

/// A user without its secret key; `null` if there is none.
pub(super) async fn user(connection: &mut Connection, name: &str) -> anyhow::Result<Value> {
    let path = "/minio/admin/v3/user-info";
    let found: Option<UserInfo> = connection.find(Method::GET, path, &[("accessKey", name)], Vec::new()).await?;
    Ok(found.map_or(Value::Null, |user| json!({ "enabled": user.status == "enabled", "policy": user.policy })))
}

/// Makes a user with this secret key and this one policy.
pub(super) async fn put_user(connection: &mut Connection, user: &Credentials, policy: &str) -> anyhow::Result<()> {
    let wanted = zeroize::Zeroizing::new(serde_json::to_vec(
        &json!({ "secretKey": user.secret.expose(), "status": "enabled" }),
    )?);
    let sealed = super::envelope::seal(&connection.credentials.secret, &wanted)?;
    connection.put("/minio/admin/v3/add-user", &[("accessKey", &user.user)], sealed).await?;
    let attached = [("policyName", policy), ("userOrGroup", user.user.as_str()), ("isGroup", "false")];
    connection.put("/minio/admin/v3/set-user-or-group-policy", &attached, Vec::new()).await
}

/// Whether the server knows whose connection this is; what it lets the user do is another question.
pub(super) async fn is_known(connection: &mut Connection, bucket: &str) -> anyhow::Result<bool> {
    let answer = connection.ask(Method::GET, &format!("/{bucket}"), &[("location", "")], Vec::new()).await?;
    Ok(!matches!(error_code(&answer).as_str(), "SignatureDoesNotMatch" | "InvalidAccessKeyId"))
}
