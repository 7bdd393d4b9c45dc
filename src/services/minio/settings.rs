//! MinIO's section of the site file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::erasure::Layout;
use crate::services::Problem;
use crate::site::model::Host;

/// Settings of MinIO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folders for objects, one for each drive, the same on every host. Each must be on a disk of its own, and none on the
    /// system's; the sandbox's may share one. They cannot be changed later. Default: `/var/lib/minio/drive1`.
    pub drives: Vec<String>,
    /// The buckets that the backend may use, by name. Default: `assets`.
    pub buckets: BTreeMap<String, Bucket>,
}

/// Settings of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bucket {
    /// Whether an object that is deleted or replaced can be had back for a while. Default: true.
    pub versioning: bool,
    /// Days until what was deleted or replaced is gone for good; without versioning it is gone at once. Default: 14.
    pub old_versions_days: u32,
    /// Days after which objects below a prefix are deleted, by prefix. Default: the files of limited life, as `wire-api` stores
    /// them: `files/3-3-` and `about/3-3-` 28, `files/3-5-` and `about/3-5-` 365.
    pub expire_days: BTreeMap<String, u32>,
}

/// The files that end by themselves, as the backend names them.
const EXPIRING: [(&str, u32); 4] = [("about/3-3-", 28), ("about/3-5-", 365), ("files/3-3-", 28), ("files/3-5-", 365)];

impl Default for Settings {
    fn default() -> Self {
        Self {
            drives: vec!["/var/lib/minio/drive1".to_owned()],
            buckets: [("assets".to_owned(), Bucket::default())].into(),
        }
    }
}

impl Default for Bucket {
    fn default() -> Self {
        let expire_days = EXPIRING.map(|(prefix, days)| (prefix.to_owned(), days)).into();
        Self { versioning: true, old_versions_days: 14, expire_days }
    }
}

/// What is wrong with these hosts and settings.
pub(super) fn check(hosts: &[&Host], settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |message: String, hint: &str| problems.push(Problem { message, hint: hint.to_owned() });
    let (count, drives) = (hosts.len(), settings.drives.len());
    if count < 3 {
        problem(
            format!("minio needs 3 hosts or more, and the group minio has {count}"),
            "with two, the loss of either leaves too few drives to write to: put 3 or 4 hosts into the group minio",
        );
    } else if drives > 0 && Layout::of(count, drives).is_none() {
        problem(
            format!("{count} hosts with {drives} drives each cannot be divided so that any one host may die"),
            "MinIO makes sets of 2 to 16 drives of one size; 1, 2 or 4 drives on each of 3 or 4 hosts are good numbers",
        );
    }
    if drives == 0 {
        problem("drives is empty".to_owned(), "name at least one folder, or leave it out");
    }
    for (index, drive) in settings.drives.iter().enumerate() {
        if let Some(reason) = wrong_drive(drive, &settings.drives[..index]) {
            problem(format!("drives: {drive:?} {reason}"), "name absolute paths of folders, as /srv/minio/drive1");
        }
    }
    if settings.buckets.is_empty() {
        problem(
            "buckets is empty".to_owned(),
            "the backend keeps its assets in one; leave it out for the bucket assets",
        );
    }
    for (name, bucket) in &settings.buckets {
        if !is_bucket_name(name) {
            problem(
                format!("buckets: {name:?} cannot name a bucket"),
                "3 to 63 small letters, digits and hyphens, the first and the last no hyphen",
            );
        }
        if bucket.old_versions_days == 0 {
            problem(
                format!("buckets: old_versions_days of {name} is 0"),
                "at least 1; `versioning: false` keeps no old versions at all",
            );
        }
        for (prefix, days) in &bucket.expire_days {
            if !is_prefix(prefix) {
                problem(
                    format!("buckets: expire_days of {name} names {prefix:?}, which is no prefix of objects"),
                    "up to 200 letters, digits and `-_./`, the first no slash",
                );
            }
            if *days == 0 {
                problem(
                    format!("buckets: expire_days of {name} gives {prefix:?} 0 days"),
                    "at least 1; leave a prefix out whose objects stay",
                );
            }
        }
    }
    problems
}

fn wrong_drive(drive: &str, earlier: &[String]) -> Option<&'static str> {
    // MinIO takes braces for patterns, and its file of settings has to hold the path as it is.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    let below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    if !drive.starts_with('/') || drive.len() < 2 || drive.ends_with('/') || drive.contains("//") {
        return Some("is not an absolute path without a slash at its end");
    }
    if drive.split('/').any(|part| part == "." || part == "..") || !drive.bytes().all(fits) {
        return Some("has more in it than letters, digits and `-_.`");
    }
    if earlier.iter().any(|other| other == drive) {
        return Some("is there twice");
    }
    earlier.iter().any(|other| below(other, drive) || below(drive, other)).then_some("is within another one")
}

/// As S3 has it, without dots, which do not fit certificates.
fn is_bucket_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| fits(byte) || byte == b'-')
        && name.bytes().next().is_some_and(fits)
        && name.bytes().last().is_some_and(fits)
}

/// What fits S3's XML as it is, and in a rule's name, which may have 255 bytes.
fn is_prefix(prefix: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    (1..=200).contains(&prefix.len()) && !prefix.starts_with('/') && prefix.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn drives_are_plain_folders_apart_from_each_other() {
        let earlier = ["/srv/a".to_owned()];
        for right in ["/srv/b", "/srv/ab", "/var/lib/minio/drive_1.x"] {
            assert_eq!(wrong_drive(right, &earlier), None, "{right}");
        }
        for wrong in ["", "/", "srv", "/srv/b/", "/srv//b", "/srv/../b", "/srv/{1...4}", "/srv/a", "/srv/a/b", "/srv"] {
            assert!(wrong_drive(wrong, &earlier).is_some(), "{wrong}");
        }
    }

    #[test]
    fn files_expire_when_the_api_server_does_not_serve_them_any_more() {
        use wire_api::domain::asset::{AssetKey, Retention};
        let id = uuid::Uuid::nil();
        let retentions = [
            Retention::Eternal,
            Retention::Persistent,
            Retention::Volatile,
            Retention::EternalInfrequentAccess,
            Retention::Expiring,
        ];
        let mut expire_days = BTreeMap::new();
        for retention in retentions {
            let key = AssetKey { retention, id }.to_string();
            let kind = key.trim_end_matches(&id.to_string());
            let days = retention.lifetime().map(|seconds| u32::try_from(seconds / (24 * 3600)).unwrap());
            let both =
                days.into_iter().flat_map(|days| ["about", "files"].map(|what| (format!("{what}/{kind}"), days)));
            expire_days.extend(both);
        }
        assert_eq!(Bucket::default().expire_days, expire_days);
    }

    #[test]
    fn prefixes_fit_a_rule() {
        for right in ["files/3-3-", "a", "tmp/x.y_z"] {
            assert!(is_prefix(right), "{right}");
        }
        for wrong in ["", "/files", "a<b", "a b", "a&b", &"a".repeat(201)] {
            assert!(!is_prefix(wrong), "{wrong}");
        }
    }

    #[test]
    fn names_of_buckets() {
        for right in ["assets", "a-1", "0ab"] {
            assert!(is_bucket_name(right), "{right}");
        }
        for wrong in ["ab", "Assets", "a.b.c", "-ab", "ab-", "a_b"] {
            assert!(!is_bucket_name(wrong), "{wrong}");
        }
    }
}
