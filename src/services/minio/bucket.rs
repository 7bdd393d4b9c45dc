//! A bucket through S3 alone: whether it is there, versioning, how long old versions are kept, and what expires.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Bucket;
use super::connection::{Connection, element, expect};
use crate::services::http::{Method, StatusCode};

/// The lifecycle rule for old versions.
const OLD_VERSIONS: &str = "old-versions";
/// What the name of a rule for objects that expire begins with; their prefix follows.
const EXPIRE: &str = "expire ";
/// What is told of rules that are not ours. They are replaced.
const OTHERS: &str = "other rules";

/// What a bucket should be, as its object says it.
pub(super) fn wanted(bucket: &Bucket) -> Value {
    let days = bucket.versioning.then_some(bucket.old_versions_days);
    json!({ "versioning": bucket.versioning, "old_versions_days": days, "expire_days": bucket.expire_days })
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
    let rules = match lifecycle.status {
        StatusCode::NOT_FOUND => String::new(),
        _ => String::from_utf8_lossy(&expect(&path, lifecycle)?.body).into_owned(),
    };
    let versioning = element(&String::from_utf8_lossy(&versioning.body), "Status") == Some("Enabled");
    Ok(match days(&rules) {
        Some((old, expire)) => json!({ "versioning": versioning, "old_versions_days": old, "expire_days": expire }),
        None => json!({ "versioning": versioning, "old_versions_days": OTHERS, "expire_days": OTHERS }),
    })
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
    if found["old_versions_days"] == wanted["old_versions_days"] && found["expire_days"] == wanted["expire_days"] {
        return Ok(());
    }
    let rules = rules(wanted);
    if rules.is_empty() {
        let answer = connection.ask(Method::DELETE, &path, &[("lifecycle", "")], Vec::new()).await?;
        return expect(&path, answer).map(drop);
    }
    let rules = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    connection.put(&path, &[("lifecycle", "")], rules.into_bytes()).await
}

/// The lifecycle rules of a bucket that should be so.
fn rules(wanted: &Value) -> String {
    let rule = |name: &str, prefix: &str, what: &str| {
        format!("<Rule><ID>{name}</ID><Status>Enabled</Status><Filter>{prefix}</Filter>{what}</Rule>")
    };
    let old = wanted["old_versions_days"].as_u64().map(|days| {
        let what = format!(
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>\
             <NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays></NoncurrentVersionExpiration>"
        );
        rule(OLD_VERSIONS, "", &what)
    });
    let expire = wanted["expire_days"].as_object().into_iter().flatten().map(|(prefix, days)| {
        let what = format!("<Expiration><Days>{days}</Days></Expiration>");
        rule(&format!("{EXPIRE}{prefix}"), &format!("<Prefix>{prefix}</Prefix>"), &what)
    });
    old.into_iter().chain(expire).collect()
}

/// The days of our rules: of old versions, and of what expires by its prefix. Nothing if there is a rule that is not ours.
fn days(lifecycle: &str) -> Option<(Option<u64>, BTreeMap<String, u64>)> {
    let number = |rule: &str, name| element(rule, name)?.parse::<u64>().ok();
    let (mut old, mut expire) = (None, BTreeMap::new());
    for rule in lifecycle.split("<Rule>").skip(1) {
        let name = element(rule, "ID").filter(|_| element(rule, "Status") == Some("Enabled"))?;
        if name == OLD_VERSIONS {
            old = Some(number(rule, "NoncurrentDays")?);
        } else {
            let prefix = element(rule, "Prefix").filter(|prefix| name.strip_prefix(EXPIRE) == Some(prefix))?;
            expire.insert(prefix.to_owned(), number(rule, "Days")?);
        }
    }
    Some((old, expire))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_rules_are_known_again_and_no_others_are() {
        let some = json!({ "old_versions_days": 14, "expire_days": { "files/3-3-": 28, "about/3-3-": 29 } });
        let expire = [("about/3-3-".to_owned(), 29), ("files/3-3-".to_owned(), 28)];
        assert_eq!(days(&rules(&some)), Some((Some(14), expire.into())));
        assert_eq!(days(""), Some((None, BTreeMap::new())));
        for (ours, other) in
            [("old-versions", "mine"), ("expire about", "about"), ("Enabled", "Disabled"), ("<Days>28", "<Date>28")]
        {
            assert!(rules(&some).contains(ours));
            assert_eq!(days(&rules(&some).replacen(ours, other, 1)), None, "{other}");
        }
    }

    #[test]
    fn without_versioning_there_are_no_old_versions_to_keep() {
        let bucket = Bucket { versioning: false, old_versions_days: 3, expire_days: [("tmp/".to_owned(), 1)].into() };
        let wanted = wanted(&bucket);
        assert_eq!(wanted, json!({ "versioning": false, "old_versions_days": null, "expire_days": { "tmp/": 1 } }));
        assert_eq!(rules(&wanted).matches("<Rule>").count(), 1);
    }
}
