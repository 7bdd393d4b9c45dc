//! Proteus messages, in all the forms that clients send them.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::delivery::{Delivery, Devices, Mismatch, Outgoing, Strategy, deliver};
use super::users;
use crate::domain::message::{MismatchStrategy, NewOtrMessage, QualifiedNewOtrMessage, UserEntry, UserIds};
use crate::domain::{ClientId, UserId};
use crate::http::body::json as answer;
use crate::http::routes::Membership;
use crate::http::{Access, Answer, App, Caller, Failure, Payload, Query, Routes, error};

/// The routes.
pub fn routes() -> Routes {
    Routes::default().post("/conversations/{domain}/{conversation}/proteus/messages", Access::Conversation, send).post(
        "/conversations/{conversation}/otr/messages",
        Access::Conversation,
        send_unqualified,
    )
}

async fn send(
    State(app): App,
    caller: Caller,
    Membership { conversation, members, .. }: Membership,
    payload: Payload,
) -> Answer {
    let (message, strategy) = read_qualified(&payload, app.domain())?;
    let users: Vec<_> = users(&members).collect();
    let delivery = deliver(&app, &caller, conversation.id, &users, message, &strategy).await?;
    Ok(qualified_answer(&delivery, app.domain()))
}

async fn send_unqualified(
    State(app): App,
    caller: Caller,
    Membership { conversation, members, .. }: Membership,
    Query(query): Query<Missing>,
    payload: Payload,
) -> Answer {
    let (message, strategy) = read_unqualified(&payload, &query)?;
    let users: Vec<_> = users(&members).collect();
    let delivery = deliver(&app, &caller, conversation.id, &users, message, &strategy).await?;
    Ok(unqualified_answer(&delivery))
}

/// The answer to a qualified message: 201, or 412 when devices are missing.
pub fn qualified_answer(delivery: &Delivery, domain: &str) -> axum::response::Response {
    let of_domain = |devices: &Devices| if devices.is_empty() { json!({}) } else { json!({domain: devices}) };
    let Mismatch { missing, redundant, deleted } = &delivery.mismatch;
    let body = json!({
        "time": delivery.time,
        "missing": of_domain(missing),
        "redundant": of_domain(redundant),
        "deleted": of_domain(deleted),
        "failed_to_send": {},
        "failed_to_confirm_clients": {},
    });
    answer(status(delivery), body)
}

/// The answer to an unqualified message.
pub fn unqualified_answer(delivery: &Delivery) -> axum::response::Response {
    #[derive(Serialize)]
    struct Body<'a> {
        time: crate::domain::Time,
        missing: &'a Devices,
        redundant: &'a Devices,
        deleted: &'a Devices,
    }
    let Mismatch { missing, redundant, deleted } = &delivery.mismatch;
    answer(status(delivery), Body { time: delivery.time, missing, redundant, deleted })
}

fn status(delivery: &Delivery) -> u16 {
    if delivery.sent { 201 } else { 412 }
}

fn bad(message: &'static str) -> Failure {
    error::BAD_REQUEST.saying(message).into()
}

/// Reads a message of the qualified API.
///
/// # Errors
/// 400.
pub fn read_qualified(payload: &Payload, domain: &str) -> Result<(Outgoing, Strategy), Failure> {
    if !payload.is_protobuf {
        return Err(error::ApiError::new(415, "unsupported-media-type", "application/x-protobuf is expected").into());
    }
    let message = QualifiedNewOtrMessage::decode(payload.bytes.clone())
        .map_err(|_| bad("The body is no QualifiedNewOtrMessage"))?;
    let mut recipients = BTreeMap::new();
    // Other backends' devices cannot be reached; whoever writes to them has no conversation with them.
    for entry in message.recipients.into_iter().filter(|entry| entry.domain == domain) {
        read_entries(entry.entries, &mut recipients)?;
    }
    let ids = |list: UserIds| -> Result<BTreeSet<UserId>, Failure> {
        let own = list.user_ids.into_iter().filter(|user| user.domain == domain);
        own.map(|user| user.id.parse().map_err(|_| bad("A user's id is no UUID"))).collect()
    };
    let strategy = match message.client_mismatch_strategy {
        None | Some(MismatchStrategy::ReportAll(_)) => Strategy::ReportAll,
        Some(MismatchStrategy::IgnoreAll(_)) => Strategy::IgnoreAll,
        Some(MismatchStrategy::ReportOnly(list)) => Strategy::ReportOnly(ids(list)?),
        Some(MismatchStrategy::IgnoreOnly(list)) => Strategy::IgnoreOnly(ids(list)?),
    };
    let outgoing = Outgoing {
        sender: ClientId(message.sender.client),
        recipients,
        blob: message.blob.filter(|blob| !blob.is_empty()),
        transient: message.transient.unwrap_or(false),
    };
    Ok((outgoing, strategy))
}

fn read_entries(
    entries: Vec<UserEntry>,
    recipients: &mut BTreeMap<UserId, BTreeMap<ClientId, Bytes>>,
) -> Result<(), Failure> {
    for entry in entries {
        let user = UserId(Uuid::from_slice(&entry.user.uuid).map_err(|_| bad("A user's id has not 16 bytes"))?);
        let clients = recipients.entry(user).or_default();
        clients.extend(entry.clients.into_iter().map(|client| (ClientId(client.client.client), client.text)));
    }
    Ok(())
}

/// How the unqualified API says what happens when devices are missing: `true`, `false` or users between commas.
#[derive(Deserialize, Default)]
pub struct Missing {
    ignore_missing: Option<String>,
    report_missing: Option<String>,
}

/// A message of the unqualified API in JSON.
#[derive(Deserialize)]
struct JsonMessage {
    sender: ClientId,
    recipients: BTreeMap<UserId, BTreeMap<ClientId, String>>,
    data: Option<String>,
    #[serde(default)]
    transient: bool,
    report_missing: Option<BTreeSet<UserId>>,
}

/// Reads a message of the unqualified API.
///
/// # Errors
/// 400.
pub fn read_unqualified(payload: &Payload, query: &Missing) -> Result<(Outgoing, Strategy), Failure> {
    let (outgoing, report) = if payload.is_protobuf { read_protobuf(payload)? } else { read_json(payload)? };
    let strategy = match (&query.ignore_missing, &query.report_missing, report) {
        (Some(ignored), _, _) => match listed(ignored)? {
            Listed::All => Strategy::IgnoreAll,
            Listed::None => Strategy::ReportAll,
            Listed::Users(users) => Strategy::IgnoreOnly(users),
        },
        (None, Some(reported), _) => match listed(reported)? {
            Listed::All => Strategy::ReportAll,
            Listed::None => Strategy::IgnoreAll,
            Listed::Users(users) => Strategy::ReportOnly(users),
        },
        (None, None, Some(users)) => Strategy::ReportOnly(users),
        (None, None, None) => Strategy::ReportAll,
    };
    Ok((outgoing, strategy))
}

enum Listed {
    All,
    None,
    Users(BTreeSet<UserId>),
}

fn listed(text: &str) -> Result<Listed, Failure> {
    match text {
        "true" | "" => Ok(Listed::All),
        "false" => Ok(Listed::None),
        users => {
            let users = users
                .split(',')
                .map(|user| user.trim().parse().map_err(|_| bad("true, false or users between commas are expected")));
            users.collect::<Result<_, _>>().map(Listed::Users)
        }
    }
}

fn read_protobuf(payload: &Payload) -> Result<(Outgoing, Option<BTreeSet<UserId>>), Failure> {
    let message = NewOtrMessage::decode(payload.bytes.clone()).map_err(|_| bad("The body is no NewOtrMessage"))?;
    let mut recipients = BTreeMap::new();
    read_entries(message.recipients, &mut recipients)?;
    let report = message.report_missing.iter().map(|user| Uuid::from_slice(&user.uuid).map(UserId));
    let report: BTreeSet<_> = report.collect::<Result<_, _>>().map_err(|_| bad("A user's id has not 16 bytes"))?;
    let outgoing = Outgoing {
        sender: ClientId(message.sender.client),
        recipients,
        blob: message.blob.filter(|blob| !blob.is_empty()),
        transient: message.transient.unwrap_or(false),
    };
    Ok((outgoing, Some(report).filter(|report| !report.is_empty())))
}

fn read_json(payload: &Payload) -> Result<(Outgoing, Option<BTreeSet<UserId>>), Failure> {
    let message: JsonMessage = payload.json()?;
    let bytes = |text: &str| STANDARD.decode(text).map(Bytes::from).map_err(|_| bad("A ciphertext is not in base64"));
    let mut recipients = BTreeMap::new();
    for (user, clients) in message.recipients {
        let texts = clients.into_iter().map(|(client, text)| Ok((client, bytes(&text)?)));
        recipients.insert(user, texts.collect::<Result<_, Failure>>()?);
    }
    let blob = message.data.as_deref().map(bytes).transpose()?.filter(|blob| !blob.is_empty());
    Ok((Outgoing { sender: message.sender, recipients, blob, transient: message.transient }, message.report_missing))
}
