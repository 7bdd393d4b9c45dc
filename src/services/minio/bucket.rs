//! A bucket through S3 alone: whether it is there, versioning, and how long old versions are kept.

use serde_json::{Value, json};

use super::Bucket;
use super::connection::{Connection, element, expect};
use crate::services::http::{Method, StatusCode};

/// Our lifecycle rule, which is the only one.
const RULE: &str = "old-versions";

/// What a bucket should be, as its object says it.
pub(super) fn wanted(bucket: &Bucket) -> Value {
    let days = bucket.versioning.then_some(bucket.old_versions_days);
    json!({ "versioning": bucket.versioning, "old_versions_days": days })
}

/// What it is; `null` if there is none.
pub(super) async fn observe(connection: &mut Connection, name: &str) -> anyhow::Result<Value> {
    let path = format!("/{name}");
    let head = connection.ask(Method::HEAD, &path, &[], Vec::new()).await?;
    if head.status == StatusCode::NOT_FOUND {
        return Ok(Value::Null);
    }
    expect(&path, head)?;
    let versioning = expect(&path, connection.ask(Method::GET, &path, &[("versioning", "")], Vec::new()).await?)?;
    let lifecycle = connection.ask(Method::GET, &path, &[("lifecycle", "")], Vec::new()).await?;
    let days = match lifecycle.status {
        StatusCode::NOT_FOUND => Value::Null,
        _ => days(&String::from_utf8_lossy(&expect(&path, lifecycle)?.body)),
    };
    let versioning = element(&String::from_utf8_lossy(&versioning.body), "Status") == Some("Enabled");
    Ok(json!({ "versioning": versioning, "old_versions_days": days }))
}

/// Makes it so. What is in the bucket stays.
pub(super) async fn put(connection: &mut Connection, name: &str, wanted: &Value) -> anyhow::Result<()> {
    let path = format!("/{name}");
    let found = observe(connection, name).await?;
    if found.is_null() {
        connection.put(&path, &[], Vec::new()).await?;
    }
    if found["versioning"] != wanted["versioning"] {
        let status = if wanted["versioning"] == true { "Enabled" } else { "Suspended" };
        // A bucket that never had versions needs not be told to have none.
        if wanted["versioning"] == true || !found.is_null() {
            let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
            connection.put(&path, &[("versioning", "")], body.into_bytes()).await?;
        }
    }
    match wanted["old_versions_days"].as_u64() {
        Some(days) => connection.put(&path, &[("lifecycle", "")], lifecycle(days).into_bytes()).await,
        None if found["old_versions_days"].is_null() => Ok(()),
        None => {
            let answer = connection.ask(Method::DELETE, &path, &[("lifecycle", "")], Vec::new()).await?;
            expect(&path, answer).map(drop)
        }
    }
}

fn lifecycle(days: u64) -> String {
    format!(
        "<LifecycleConfiguration><Rule><ID>{RULE}</ID><Status>Enabled</Status><Filter></Filter>\
         <Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>\
         <NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays></NoncurrentVersionExpiration>\
         </Rule></LifecycleConfiguration>"
    )
}

/// The days of our rule; in words if there is another one.
fn days(lifecycle: &str) -> Value {
    let rules = lifecycle.matches("<Rule>").count();
    let ours = element(lifecycle, "ID") == Some(RULE) && element(lifecycle, "Status") == Some("Enabled");
    match element(lifecycle, "NoncurrentDays").and_then(|days| days.parse::<u64>().ok()) {
        Some(days) if rules == 1 && ours => json!(days),
        _ => json!("other rules"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_rule_is_known_again_and_no_other_is() {
        assert_eq!(days(&lifecycle(14)), json!(14));
        assert_eq!(days(&lifecycle(14).replace(RULE, "mine")), json!("other rules"));
        assert_eq!(days(&lifecycle(14).replace("Enabled", "Disabled")), json!("other rules"));
        assert_eq!(days(&lifecycle(14).replace("<Rule>", "<Rule></Rule><Rule>")), json!("other rules"));
    }

    #[test]
    fn without_versioning_there_is_nothing_to_keep() {
        let bucket = Bucket { versioning: false, old_versions_days: 3 };
        assert_eq!(wanted(&bucket), json!({ "versioning": false, "old_versions_days": null }));
    }
}
