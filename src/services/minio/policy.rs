//! What the backend's user may do: read, write and delete in its buckets, and nothing anywhere else.

use serde_json::{Value, json};

/// The policy document for these buckets.
pub(super) fn document(buckets: &[&str]) -> Value {
    let names = |suffix: &str| -> Vec<String> {
        buckets.iter().map(|bucket| format!("arn:aws:s3:::{bucket}{suffix}")).collect()
    };
    normal(json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                "Resource": names(""),
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts",
                    "s3:PutObject",
                ],
                "Resource": names("/*"),
            },
        ],
    }))
}

/// The same document with lists of words in order: MinIO keeps them as sets.
pub(super) fn normal(document: Value) -> Value {
    match document {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, normal(value))).collect(),
        Value::Array(mut values) if values.iter().all(Value::is_string) => {
            values.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
            Value::Array(values)
        }
        Value::Array(values) => Value::Array(values.into_iter().map(normal).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_sets_are_told_does_not_matter() {
        let told = json!({ "Statement": [{ "Action": ["b", "a"] }, { "Action": ["c"] }] });
        assert_eq!(normal(told), json!({ "Statement": [{ "Action": ["a", "b"] }, { "Action": ["c"] }] }));
    }

    #[test]
    fn only_the_buckets_are_in_it() {
        let text = document(&["assets", "more"]).to_string();
        assert_eq!(text.matches("arn:aws:s3:::assets").count(), 2);
        assert!(!text.contains("s3:*") && !text.contains("\"*\""), "{text}");
    }
}
