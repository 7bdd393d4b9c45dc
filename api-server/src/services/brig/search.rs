//! The directory: users found by handle and name.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::account;
use crate::domain::Qualified;
use crate::http::body::Json;
use crate::http::{Access, Answer, App, Caller, Query, Routes};
use crate::store::search::{Document, SearchQuery};

/// The routes.
pub fn routes() -> Routes {
    Routes::default().get("/search/contacts", Access::User, contacts)
}

#[derive(Deserialize)]
struct Search {
    q: String,
    size: Option<usize>,
    domain: Option<String>,
}

/// Found users, for those who say nothing; and at most.
const SIZE: usize = 15;
const MOST: usize = 500;

async fn contacts(State(app): App, caller: Caller, Query(search): Query<Search>) -> Answer<Json<Value>> {
    let began = std::time::Instant::now();
    let user = account::own(&app, &caller).await?;
    let elsewhere = search.domain.as_deref().is_some_and(|domain| domain != app.domain());
    let query = SearchQuery {
        searcher: user.id,
        team: user.team,
        team_only: false,
        text: search.q.chars().take(256).collect(),
        size: search.size.unwrap_or(SIZE).clamp(1, MOST),
    };
    let found = if elsewhere { Vec::new() } else { app.store.search.find(&query).await? };
    let view = |document: &Document| {
        json!({
            "id": document.id,
            "qualified_id": Qualified::new(document.id, app.domain()),
            "name": document.name,
            "handle": document.handle,
            "accent_id": document.accent_id,
            "team": document.team,
            "type": "regular",
        })
    };
    let documents: Vec<_> = found.iter().map(view).collect();
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let count = documents.len();
    Ok(Json(json!({
        "documents": documents, "found": count, "returned": count, "took": took, "search_policy": "full_search", "has_more": false,
    })))
}
