//! Guest links. A link is good only while its conversation says so: what is left of an earlier one opens nothing.

use scylla::DeserializeRow;

use super::session::Keyspace;
use super::values::needed;
use crate::domain::ConversationId;
use crate::domain::conversation::GuestCode;
use crate::store::Result;

#[derive(DeserializeRow)]
struct Row {
    key: String,
    code: Option<String>,
    conversation: Option<ConversationId>,
    password_hash: Option<String>,
}

const PUT: &str = "INSERT INTO guest_codes (key, code, conversation, password_hash) VALUES (?, ?, ?, ?)";
const GET: &str = "SELECT key, code, conversation, password_hash FROM guest_codes WHERE key = ?";
const DELETE: &str = "DELETE FROM guest_codes WHERE key = ?";
const SET_GOOD: &str = "INSERT INTO guest_code_of (conversation, key) VALUES (?, ?)";
const GOOD: &str = "SELECT key FROM guest_code_of WHERE conversation = ?";
const NONE_GOOD: &str = "DELETE FROM guest_code_of WHERE conversation = ?";

async fn good(galley: &Keyspace, id: ConversationId) -> Result<Option<String>> {
    Ok(galley.row::<(String,)>(GOOD, (id,)).await?.map(|(key,)| key))
}

pub(super) async fn put(galley: &Keyspace, code: &GuestCode) -> Result<()> {
    let former = good(galley, code.conversation).await?;
    galley.write(PUT, (&code.key, &code.code, code.conversation, &code.password_hash)).await?;
    galley.write(SET_GOOD, (code.conversation, &code.key)).await?;
    match former.filter(|former| *former != code.key) {
        Some(former) => galley.write(DELETE, (former,)).await,
        None => Ok(()),
    }
}

pub(super) async fn by_key(galley: &Keyspace, key: &str) -> Result<Option<GuestCode>> {
    let Some(row) = galley.row::<Row>(GET, (key,)).await? else { return Ok(None) };
    let code = GuestCode {
        key: row.key,
        code: needed(row.code, "code")?,
        conversation: needed(row.conversation, "conversation")?,
        password_hash: row.password_hash,
    };
    let good = good(galley, code.conversation).await?;
    Ok(Some(code).filter(|code| good.as_ref() == Some(&code.key)))
}

pub(super) async fn of(galley: &Keyspace, id: ConversationId) -> Result<Option<GuestCode>> {
    match good(galley, id).await? {
        Some(key) => by_key(galley, &key).await,
        None => Ok(None),
    }
}

pub(super) async fn delete(galley: &Keyspace, id: ConversationId) -> Result<()> {
    let former = good(galley, id).await?;
    galley.write(NONE_GOOD, (id,)).await?;
    match former {
        Some(key) => galley.write(DELETE, (key,)).await,
        None => Ok(()),
    }
}
