//! The directory of users: what an index of it is like, and the names of its indices.
//!
//! Fields and analysers are those that brig's own index has (`brig-index`): a name is found by the beginnings of its words.

use serde_json::{Value, json};

use super::{DIRECTORY, Settings};

/// What new indices of the directory are made from, whoever makes them.
pub(super) fn template(settings: &Settings) -> Value {
    json!({
        "index_patterns": [format!("{DIRECTORY}_*")],
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": settings.shards.to_string(),
                    "number_of_replicas": settings.replicas.to_string(),
                    "refresh_interval": "5s",
                    "analysis": analysis(),
                },
            },
            "mappings": mappings(),
        },
    })
}

fn analysis() -> Value {
    json!({
        "analyzer": {
            "prefix_index": { "type": "custom", "tokenizer": "whitespace", "filter": ["edge_ngram_1_30"] },
            "prefix_search": { "type": "custom", "tokenizer": "whitespace", "filter": ["truncate_30"] },
        },
        "filter": {
            "edge_ngram_1_30": { "type": "edge_ngram", "min_gram": "1", "max_gram": "30" },
            "truncate_30": { "type": "truncate", "length": "30" },
        },
    })
}

fn mappings() -> Value {
    let prefix = json!({ "type": "text", "analyzer": "prefix_index", "search_analyzer": "prefix_search" });
    let keyword = json!({ "type": "keyword" });
    json!({
        "dynamic": "false",
        "properties": {
            "normalized": { "type": "text", "fields": { "prefix": prefix } },
            "name": { "type": "keyword", "index": false },
            "handle": { "type": "keyword", "fields": { "prefix": prefix } },
            "email": { "type": "text", "fields": { "keyword": keyword } },
            "email_unvalidated": { "type": "text", "index": false },
            "team": keyword,
            "accent_id": { "type": "byte", "index": false },
            "account_status": keyword,
            "saml_idp": keyword,
            "managed_by": keyword,
            "role": keyword,
            "search_visibility_inbound": keyword,
            "scim_external_id": { "type": "keyword", "index": false },
            "created_at": { "type": "date" },
            "sso": {
                "type": "nested",
                "properties": {
                    "issuer": { "type": "keyword", "index": false },
                    "nameid": { "type": "keyword", "index": false },
                },
            },
        },
    })
}

/// The name of the directory's index of that number.
pub(super) fn index(number: u64) -> String {
    format!("{DIRECTORY}_{number}")
}

/// The name of the index after this one.
pub(super) fn index_after(name: &str) -> String {
    let number = name.strip_prefix(&format!("{DIRECTORY}_")).and_then(|number| number.parse::<u64>().ok());
    index(number.unwrap_or_default() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_numbered() {
        assert_eq!(index_after("directory_1"), "directory_2");
        assert_eq!(index_after("directory_41"), "directory_42");
        // One that somebody made by hand.
        assert_eq!(index_after("directory_old"), "directory_1");
    }
}
