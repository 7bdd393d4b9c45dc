//! Paths and bodies of requests to the directory, and what answers say. Pure.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::{TeamId, Time, UserId};
use crate::store::search::{Document, SearchQuery};

/// The alias of the directory's index.
const DIRECTORY: &str = "directory";
/// Searches are answered by the asked node's own copies where it has all of them: another node's death is not felt.
pub(super) const SEARCH_PATH: &str = "/directory/_search?preference=_local&allow_partial_search_results=false";
/// Many entries at once.
pub(super) const BULK_PATH: &str = "/directory/_bulk?refresh=true";
/// The analysers cut words there.
const LONGEST: usize = 30;
/// How much better each kind of find is than the next; a team's own member is better by one.
const EXACT: u32 = 1000;
const BEGINS: u32 = 100;
const WORD: u32 = 10;

/// Where a user's entry is, for a write of that time.
pub(super) fn entry_path(user: UserId, time: Time) -> String {
    format!("/{DIRECTORY}/_doc/{user}?refresh=true&version_type=external_gte&version={}", time.milliseconds())
}

/// A user's entry.
pub(super) fn entry(document: &Document) -> Value {
    json!({
        "normalized": document.name.to_lowercase(),
        "name": document.name,
        "handle": document.handle,
        // A byte there; no colour has a larger number.
        "accent_id": document.accent_id.clamp(i8::MIN.into(), i8::MAX.into()),
        "team": document.team,
        "account_status": "active",
    })
}

/// The lines of a bulk that enter a user as of that time.
pub(super) fn bulk_entry(document: &Document, time: Time) -> String {
    format!("{}\n{}\n", json!({ "index": action(document.id, time) }), entry(document))
}

/// The line of a bulk that takes a user out as of that time.
pub(super) fn bulk_removal(user: UserId, time: Time) -> String {
    format!("{}\n", json!({ "delete": action(user, time) }))
}

fn action(user: UserId, time: Time) -> Value {
    json!({ "_id": user, "version": time.milliseconds(), "version_type": "external_gte" })
}

/// Whether an entry is as it is to be: also when it is gone already, or a newer one is there.
pub(super) fn is_written(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_FOUND || status == StatusCode::CONFLICT
}

/// The status of the first entry of a bulk that was not written.
pub(super) fn first_failure(answer: &Value) -> Option<u16> {
    let items = answer["items"].as_array().into_iter().flatten();
    let statuses = items.filter_map(|item| item.as_object()?.values().next()?["status"].as_u64());
    let mut codes = statuses.filter_map(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    codes.find(|status| !is_written(*status)).map(|status| status.as_u16())
}

/// The question for who fits `wanted`, the best first.
pub(super) fn query(query: &SearchQuery, wanted: &str) -> Value {
    let words: Vec<_> = wanted.split_whitespace().map(cut).collect();
    let constant = |boost: u32, filter: Value| json!({ "constant_score": { "boost": boost, "filter": filter } });
    let word = |word: &String| json!({ "span_term": { "normalized.prefix": word } });
    let beginning = json!({ "span_first": {
        "match": { "span_near": { "clauses": words.iter().map(word).collect::<Vec<_>>(), "slop": 0, "in_order": true } },
        "end": words.len(),
    } });
    let ranks = [
        constant(EXACT, json!({ "term": { "handle": wanted } })),
        constant(BEGINS, json!({ "bool": { "should": [{ "prefix": { "handle": wanted } }, beginning] } })),
        constant(WORD, json!({ "match": { "normalized.prefix": { "query": wanted, "operator": "and" } } })),
    ];
    let team = query.team.map(|team| json!({ "term": { "team": team } }));
    json!({
        "size": query.size,
        "track_total_hits": false,
        "_source": ["name", "handle", "accent_id", "team"],
        "query": { "bool": {
            "must": [{ "bool": { "should": ranks, "minimum_should_match": 1 } }],
            "should": team.iter().map(|team| constant(1, team.clone())).collect::<Vec<_>>(),
            "filter": if query.team_only { team.into_iter().collect() } else { Vec::new() },
            "must_not": [{ "ids": { "values": [query.searcher] } }],
        } },
    })
}

fn cut(word: &str) -> String {
    word.chars().take(LONGEST).collect()
}

/// The entries that an answer brings. What others have written there is passed over.
pub(super) fn found(answer: &Value) -> Vec<Document> {
    #[derive(Deserialize)]
    struct Hit {
        #[serde(rename = "_id")]
        id: UserId,
        #[serde(rename = "_source")]
        source: Source,
    }
    #[derive(Deserialize)]
    struct Source {
        name: String,
        handle: Option<String>,
        #[serde(default)]
        accent_id: i32,
        team: Option<TeamId>,
    }
    let hits = answer["hits"]["hits"].as_array().into_iter().flatten();
    let documents = hits.filter_map(|hit| {
        let Hit { id, source: Source { name, handle, accent_id, team } } = Hit::deserialize(hit).ok()?;
        Some(Document { id, name, handle, accent_id, team })
    });
    documents.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn asked(text: &str, team: Option<TeamId>, team_only: bool) -> Value {
        let searcher = UserId(uuid::Uuid::from_u128(1));
        let asked = SearchQuery { searcher, team, team_only, text: text.to_owned(), size: 7 };
        query(&asked, &asked.wanted())
    }

    #[test]
    fn a_question_asks_for_handle_beginning_and_words() {
        let query = asked(" @Ann Lov", None, false);
        let ranks = query["query"]["bool"]["must"][0]["bool"]["should"].as_array().unwrap();
        assert_eq!(ranks[0]["constant_score"]["filter"]["term"]["handle"], "ann lov");
        let first = &ranks[1]["constant_score"]["filter"]["bool"]["should"][1]["span_first"];
        assert_eq!(first["end"], 2);
        assert_eq!(first["match"]["span_near"]["clauses"][1]["span_term"]["normalized.prefix"], "lov");
        assert_eq!((&query["size"], &query["query"]["bool"]["filter"]), (&json!(7), &json!([])));
        let long = asked(&"x".repeat(40), None, false).to_string();
        assert!(long.contains(&format!("\"normalized.prefix\":\"{}\"", "x".repeat(30))), "{long}");
    }

    #[test]
    fn a_team_is_better_or_the_only_one() {
        let team = TeamId(uuid::Uuid::from_u128(2));
        let better = asked("ann", Some(team), false);
        assert_eq!(better["query"]["bool"]["should"][0]["constant_score"]["boost"], 1);
        assert_eq!(better["query"]["bool"]["filter"], json!([]));
        assert_eq!(asked("ann", Some(team), true)["query"]["bool"]["filter"][0]["term"]["team"], json!(team));
    }

    #[test]
    fn an_entry_reads_back_and_strangers_are_passed_over() {
        let document = Document {
            id: UserId(uuid::Uuid::from_u128(3)),
            name: "Ann ÖZ".to_owned(),
            handle: Some("ann".to_owned()),
            accent_id: 4,
            team: None,
        };
        let body = entry(&document);
        assert_eq!(body["normalized"], "ann öz");
        let stranger = json!({ "_id": "kept", "_source": { "handle": "kept" } });
        let answer = json!({ "hits": { "hits": [stranger, { "_id": document.id, "_source": body }] } });
        assert_eq!(found(&answer), [document]);
    }

    #[test]
    fn of_many_entries_the_refused_one_is_found() {
        let item = |status: u16| json!({ "index": { "status": status } });
        assert_eq!(first_failure(&json!({ "items": [item(201), item(409), { "delete": { "status": 404 } }] })), None);
        assert_eq!(first_failure(&json!({ "items": [item(201), item(429), item(400)] })), Some(429));
        let lines = bulk_removal(UserId(uuid::Uuid::from_u128(3)), Time::from_milliseconds(5));
        assert!(lines.ends_with('\n') && lines.contains("\"version\":5"), "{lines}");
    }

    proptest! {
        #[test]
        fn any_text_makes_a_question_and_any_answer_is_read(text in "\\PC{0,300}", answer in "\\PC{0,200}") {
            let _ = asked(&text, None, false);
            let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
            prop_assert!(found(&answer).is_empty());
            let _ = first_failure(&json!({ "items": [answer] }));
        }
    }
}
