//! Connections: one user asks, the other accepts, and both have a conversation.
//!
//! [`next`] is the whole state machine: what a side wants, given where both sides stand.

use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{account, users};
use crate::app::App;
use crate::domain::connection::{Connection, ConnectionStatus, UserConnection};
use crate::domain::user::User;
use crate::domain::{Time, UserId, event};
use crate::http::body::{Json, json as answer};
use crate::http::{Access, Answer, App as AppState, Caller, Failure, Query, Routes, error};
use crate::services::galley::one_to_one;

/// The routes.
pub fn routes() -> Routes {
    Routes::default()
        .post("/connections/{domain}/{user}", Access::User, ask)
        .gives::<UserConnection>(201)
        .put("/connections/{domain}/{user}", Access::User, update)
        .takes::<Update>()
        .gives::<UserConnection>(200)
        .get("/connections/{domain}/{user}", Access::User, get)
        .gives::<UserConnection>(200)
        .post("/list-connections", Access::User, list)
        .takes::<ListRequest>()
        .get("/connections", Access::User, list_unqualified)
        .post("/connections", Access::User, ask_unqualified)
        .put("/connections/{user}", Access::User, update_unqualified)
        .get("/connections/{user}", Access::User, get_unqualified)
}

use ConnectionStatus::{Accepted, Blocked, Cancelled, Ignored, Pending, Sent};

/// Where both sides stand after one of them wants something; `None` when it cannot be had.
fn next(
    own: ConnectionStatus,
    other: ConnectionStatus,
    wanted: ConnectionStatus,
) -> Option<(ConnectionStatus, ConnectionStatus)> {
    match (wanted, own, other) {
        (wanted, own, _) if wanted == own => Some((own, other)),
        // To accept who asked, also after having ignored or blocked them.
        (Accepted, Pending | Ignored | Blocked, Sent | Accepted) => Some((Accepted, Accepted)),
        // Unblocked by one, still blocked by the other.
        (Accepted, Blocked, Blocked) => Some((Accepted, Blocked)),
        // Unblocked, but the other took the question back, or had been asked and did not answer.
        (Accepted, Blocked, Cancelled) => Some((Cancelled, Cancelled)),
        (Accepted, Blocked, Pending | Ignored) => Some((Sent, other)),
        (Blocked, Pending | Ignored | Sent | Accepted, other) => Some((Blocked, other)),
        (Ignored, Pending, other) => Some((Ignored, other)),
        (Cancelled, Sent, Blocked) => Some((Cancelled, Blocked)),
        (Cancelled, Sent, _) => Some((Cancelled, Cancelled)),
        // Ask again. Whoever blocks is not asked.
        (Sent, Cancelled, Blocked) => Some((Sent, Blocked)),
        (Sent, Cancelled, _) => Some((Sent, Pending)),
        _ => None,
    }
}

async fn ask(State(app): AppState, caller: Caller, Path((domain, other)): Path<(String, UserId)>) -> Answer {
    users::check_domain(&app, &domain)?;
    begin(&app, &caller, other).await
}

#[derive(Deserialize)]
struct Ask {
    user: UserId,
}

async fn ask_unqualified(State(app): AppState, caller: Caller, Json(ask): Json<Ask>) -> Answer {
    begin(&app, &caller, ask.user).await
}

async fn begin(app: &App, caller: &Caller, other: UserId) -> Answer {
    let user = account::own(app, caller).await?;
    if other == user.id {
        return Err(error::INVALID_USER.into());
    }
    let other = app.store.users.get(other).await?.filter(User::is_active).ok_or(error::INVALID_USER)?;
    if user.email.is_none() {
        return Err(error::NO_IDENTITY.into());
    }
    if let Some(own) = app.store.connections.get(user.id, other.id).await? {
        let wanted = match own.status {
            Pending | Ignored | Blocked => Accepted,
            Cancelled => Sent,
            status => status,
        };
        let (own, _) = change(app, caller, &user, own, wanted).await?;
        return Ok(answer(200, own.view(app.domain())));
    }
    let count = app.store.connections.list(user.id, None, app.config.limits.connections).await?;
    let active = count.entries.iter().filter(|side| matches!(side.status, Sent | Accepted)).count();
    if active >= app.config.limits.connections {
        return Err(error::CONNECTION_LIMIT.into());
    }
    let conversation = one_to_one::id_of(user.id, other.id);
    let side = |from, to, status| Connection { from, to, status, conversation, last_update: Time::now() };
    let (own, theirs) = (side(user.id, other.id, Sent), side(other.id, user.id, Pending));
    one_to_one::open(app, user.id, other.id, Some(&caller.connection)).await?;
    keep(app, caller, &user, &own, Some(&theirs)).await?;
    Ok(answer(201, own.view(app.domain())))
}

/// Keeps the sides and tells both users.
async fn keep(
    app: &App,
    caller: &Caller,
    user: &User,
    own: &Connection,
    theirs: Option<&Connection>,
) -> Result<(), Failure> {
    app.store.connections.put(own).await?;
    app.push.tell([own.from], &event::connection(own, app.domain(), None), Some(&caller.connection)).await?;
    if let Some(theirs) = theirs {
        app.store.connections.put(theirs).await?;
        app.push.tell([theirs.from], &event::connection(theirs, app.domain(), Some(&user.name)), None).await?;
    }
    Ok(())
}

/// Moves a side to what is wanted: true when anything changed.
async fn change(
    app: &App,
    caller: &Caller,
    user: &User,
    own: Connection,
    wanted: ConnectionStatus,
) -> Result<(Connection, bool), Failure> {
    let theirs = app.store.connections.get(own.to, own.from).await?;
    // A side that was lost on the way is as the other left it.
    let theirs = theirs.unwrap_or_else(|| Connection { from: own.to, to: own.from, status: Pending, ..own.clone() });
    let (own_status, their_status) = next(own.status, theirs.status, wanted).ok_or(error::INVALID_TRANSITION)?;
    if own_status == own.status && their_status == theirs.status {
        return Ok((own, false));
    }
    let now = Time::now();
    let changed_own = Connection { status: own_status, last_update: now, ..own.clone() };
    let changed_theirs = (their_status != theirs.status).then(|| Connection {
        status: their_status,
        last_update: now,
        ..theirs.clone()
    });
    one_to_one::follow(app, own.from, own.to, own_status, their_status).await?;
    keep(app, caller, user, &changed_own, changed_theirs.as_ref()).await?;
    Ok((changed_own, true))
}

/// What is wanted.
#[derive(Deserialize, JsonSchema)]
struct Update {
    status: ConnectionStatus,
}

async fn update(
    State(app): AppState,
    caller: Caller,
    Path((domain, other)): Path<(String, UserId)>,
    Json(update): Json<Update>,
) -> Answer {
    users::check_domain(&app, &domain)?;
    set(&app, &caller, other, update.status).await
}

async fn update_unqualified(
    State(app): AppState,
    caller: Caller,
    Path(other): Path<UserId>,
    Json(update): Json<Update>,
) -> Answer {
    set(&app, &caller, other, update.status).await
}

async fn set(app: &App, caller: &Caller, other: UserId, wanted: ConnectionStatus) -> Answer {
    let user = account::own(app, caller).await?;
    let own = app.store.connections.get(user.id, other).await?.ok_or(error::NOT_FOUND)?;
    if !matches!(wanted, Accepted | Blocked | Ignored | Cancelled) && wanted != own.status {
        return Err(error::INVALID_TRANSITION.into());
    }
    let (own, _) = change(app, caller, &user, own, wanted).await?;
    Ok(answer(200, own.view(app.domain())))
}

async fn get(
    State(app): AppState,
    caller: Caller,
    Path((domain, other)): Path<(String, UserId)>,
) -> Answer<Json<UserConnection>> {
    users::check_domain(&app, &domain)?;
    one(&app, &caller, other).await
}

async fn get_unqualified(
    State(app): AppState,
    caller: Caller,
    Path(other): Path<UserId>,
) -> Answer<Json<UserConnection>> {
    one(&app, &caller, other).await
}

async fn one(app: &App, caller: &Caller, other: UserId) -> Answer<Json<UserConnection>> {
    let own = app.store.connections.get(caller.user, other).await?.ok_or(error::NOT_FOUND)?;
    Ok(Json(own.view(app.domain())))
}

/// Which page.
#[derive(Deserialize, JsonSchema)]
struct ListRequest {
    size: Option<usize>,
    paging_state: Option<String>,
}

/// Connections of a page: for those who say nothing, and at most.
const PAGE: usize = 100;
const MOST: usize = 500;

async fn list(State(app): AppState, caller: Caller, Json(request): Json<ListRequest>) -> Answer<Json<Value>> {
    let after = match request.paging_state.as_deref().filter(|state| !state.is_empty()) {
        Some(state) => {
            let bytes =
                URL_SAFE_NO_PAD.decode(state).map_err(|_| error::BAD_REQUEST.saying("paging_state is none of ours"))?;
            Some(UserId(
                uuid::Uuid::from_slice(&bytes)
                    .map_err(|_| error::BAD_REQUEST.saying("paging_state is none of ours"))?,
            ))
        }
        None => None,
    };
    let page = app.store.connections.list(caller.user, after, request.size.unwrap_or(PAGE).clamp(1, MOST)).await?;
    let state = page.entries.last().map(|side| URL_SAFE_NO_PAD.encode(side.to.0)).unwrap_or_default();
    let views: Vec<_> = page.entries.iter().map(|side| side.view(app.domain())).collect();
    Ok(Json(json!({"connections": views, "has_more": page.has_more, "paging_state": state})))
}

#[derive(Deserialize)]
struct ListQuery {
    size: Option<usize>,
    start: Option<UserId>,
}

async fn list_unqualified(State(app): AppState, caller: Caller, Query(query): Query<ListQuery>) -> Answer<Json<Value>> {
    let page = app.store.connections.list(caller.user, query.start, query.size.unwrap_or(PAGE).clamp(1, MOST)).await?;
    let views: Vec<_> = page.entries.iter().map(|side| side.view(app.domain())).collect();
    Ok(Json(json!({"connections": views, "has_more": page.has_more})))
}

/// Ends a deleted user's connections: to the others they are cancelled.
///
/// # Errors
/// The store's.
pub async fn forget(app: &App, user: UserId) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = app.store.connections.list(user, after, MOST).await?;
        for own in &page.entries {
            if let Some(theirs) = app.store.connections.get(own.to, user).await?
                && theirs.status != Blocked
            {
                let ended = Connection { status: Cancelled, last_update: Time::now(), ..theirs };
                app.store.connections.put(&ended).await?;
                app.push.tell([ended.from], &event::connection(&ended, app.domain(), None), None).await?;
            }
        }
        after = page.entries.last().map(|own| own.to);
        if !page.has_more {
            break;
        }
    }
    Ok(app.store.connections.delete_all(user).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ConnectionStatus; 6] = [Sent, Pending, Accepted, Blocked, Ignored, Cancelled];

    #[test]
    fn nobody_is_connected_against_their_will() {
        for own in ALL {
            for other in ALL {
                for wanted in ALL {
                    let Some((own_next, other_next)) = next(own, other, wanted) else { continue };
                    // The other side becomes accepted only if it had asked or accepted, and its block stays.
                    assert!(other_next != Accepted || matches!(other, Sent | Accepted), "{own:?} {other:?} {wanted:?}");
                    assert_eq!(other == Blocked, other_next == Blocked, "{own:?} {other:?} {wanted:?}");
                    assert!(
                        own_next != Accepted || wanted == Accepted || own == Accepted,
                        "{own:?} {other:?} {wanted:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_question_is_asked_answered_and_taken_back() {
        assert_eq!(next(Pending, Sent, Accepted), Some((Accepted, Accepted)));
        assert_eq!(next(Sent, Pending, Cancelled), Some((Cancelled, Cancelled)));
        assert_eq!(next(Cancelled, Cancelled, Sent), Some((Sent, Pending)));
        assert_eq!(next(Sent, Pending, Accepted), None);
        assert_eq!(next(Accepted, Accepted, Cancelled), None);
    }
}
