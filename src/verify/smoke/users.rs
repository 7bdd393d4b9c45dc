//! Two users and what they do with each other.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, COOKIE};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::backend::{Backend, QualifiedId};
use super::message::{self, LAST_PREKEY};
use super::socket::Socket;
use super::{Surprise, random};
use crate::report::Reporter;
use crate::site::secrets::SecretText;

/// How long the directory may take to know a new user.
const SEARCH_PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked.
const SEARCH_PAUSE: Duration = Duration::from_millis(250);

/// Prekeys that a device begins with.
const PREKEYS: std::ops::RangeInclusive<u16> = 1..=3;

/// A registered user.
#[derive(Debug, Clone)]
pub struct Account {
    /// Where nobody reads mail.
    pub email: String,
    name: String,
    password: SecretText,
    /// Who they are.
    pub id: QualifiedId,
    cookie: Option<SecretText>,
}

/// A user who is logged in.
pub struct Session {
    account: Account,
    token: SecretText,
}

/// A user with a device.
pub struct User {
    name: String,
    /// Who they are.
    pub id: QualifiedId,
    /// What opens the API to them.
    pub token: SecretText,
    /// Their device, hexadecimal.
    pub device: String,
    prekeys: Vec<Prekey>,
}

/// A key that another user begins a session with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Prekey {
    id: u16,
    key: String,
}

impl Prekey {
    fn new(id: u16, identity: &[u8; 32]) -> Result<Self, Surprise> {
        Ok(Self { id, key: message::prekey(id, &random()?, identity) })
    }

    fn json(&self) -> Value {
        json!({"id": self.id, "key": self.key})
    }
}

/// Registers two users; each is in `accounts` as soon as there is one to delete.
pub async fn register(backend: &Backend<'_>, accounts: &mut Vec<Account>, report: &Reporter) -> Result<(), Surprise> {
    #[derive(Deserialize)]
    struct Registered {
        qualified_id: QualifiedId,
        email: Option<String>,
    }
    for _ in 0..2 {
        let name = format!("smoke{}", hex::encode(random::<8>()?));
        // Reserved by RFC 2606: no mail to it reaches anyone.
        let email = format!("{name}@example.com");
        let password = SecretText::new(hex::encode(random::<16>()?));
        report.conceal(vec![password.clone()]);
        let body = json!({
            "name": name, "email": email, "password": password.expose(), "accent_id": 1, "assets": [], "locale": "en",
        });
        let answer = backend.exchange(backend.post("/register").json(&body), &[201]).await?;
        let Registered { qualified_id, email: known } = answer.read()?;
        report.conceal(answer.cookie.iter().cloned().collect());
        let account = Account { email, name, password, id: qualified_id, cookie: answer.cookie };
        accounts.push(account);
        if known.is_none() {
            return Err(Surprise::new("an account that can be used at once", "its e-mail address is not activated").hint(
                "this backend activates accounts by a mail, and the code in it cannot be read from here: try a backend that activates by itself (`activation: auto`)",
            ));
        }
    }
    Ok(())
}

/// What log-in and renewal answer.
#[derive(Deserialize)]
struct Access {
    access_token: String,
}

/// Logs a user in by e-mail and password, and renews the access token by the cookie.
pub async fn log_in(backend: &Backend<'_>, account: &Account, report: &Reporter) -> Result<Session, Surprise> {
    let body = json!({"email": account.email, "password": account.password.expose()});
    let answer = backend.exchange(backend.post("/login?persist=true").json(&body), &[200]).await?;
    let token = SecretText::new(answer.read::<Access>()?.access_token);
    let cookie = answer.cookie.ok_or_else(|| Surprise::new("a cookie `zuid` from POST /login", "it set none"))?;
    report.conceal(vec![token, cookie.clone()]);
    let token = renew(backend, &cookie).await?;
    report.conceal(vec![token.clone()]);
    Ok(Session { account: account.clone(), token })
}

/// A new access token for a cookie.
async fn renew(backend: &Backend<'_>, cookie: &SecretText) -> Result<SecretText, Surprise> {
    let request = backend.post("/access").header(COOKIE, format!("zuid={}", cookie.expose()));
    Ok(SecretText::new(backend.exchange(request, &[200]).await?.read::<Access>()?.access_token))
}

/// Registers a device with prekeys.
pub async fn add_device(backend: &Backend<'_>, session: Session) -> Result<User, Surprise> {
    #[derive(Deserialize)]
    struct Device {
        id: String,
    }
    let identity = random()?;
    let prekeys = PREKEYS.map(|id| Prekey::new(id, &identity)).collect::<Result<Vec<_>, _>>()?;
    let last = Prekey::new(LAST_PREKEY, &identity)?;
    let body = json!({
        "type": "permanent",
        "class": "desktop",
        "cookie": "smoke",
        "label": "wire-deploy smoke",
        "model": "wire-deploy",
        "password": session.account.password.expose(),
        "prekeys": prekeys.iter().map(Prekey::json).collect::<Vec<_>>(),
        "lastkey": last.json(),
    });
    let request = backend.post("/clients").bearer_auth(session.token.expose()).json(&body);
    let Device { id } = backend.exchange(request, &[201]).await?.read()?;
    let Session { account, token } = session;
    Ok(User { name: account.name, id: account.id, token, device: id, prekeys })
}

/// `one` finds `other` in the directory, which may lag behind a little.
pub async fn find(backend: &Backend<'_>, one: &User, other: &User) -> Result<(), Surprise> {
    #[derive(Deserialize)]
    struct Found {
        documents: Vec<Document>,
    }
    #[derive(Deserialize)]
    struct Document {
        id: String,
    }
    let path = format!("/search/contacts?q={}&size=10", other.name);
    let end = Instant::now() + SEARCH_PATIENCE;
    loop {
        let request = backend.get(&path).bearer_auth(one.token.expose());
        let found: Found = backend.exchange(request, &[200]).await?.read()?;
        if found.documents.iter().any(|document| document.id == other.id.id) {
            return Ok(());
        }
        if Instant::now() > end {
            let expected = format!("a search by name to find the user within {} s", SEARCH_PATIENCE.as_secs());
            let surprise = Surprise::new(expected, format!("it found {} others", found.documents.len()));
            return Err(surprise.hint("look at the search cluster, and at whether brig can write to its index"));
        }
        sleep(SEARCH_PAUSE).await;
    }
}

/// `one` asks, `other` hears of it on the websocket and accepts. The conversation that they have from then on.
pub async fn connect(
    backend: &Backend<'_>,
    one: &User,
    other: &User,
    socket: &mut Socket,
) -> Result<QualifiedId, Surprise> {
    #[derive(Deserialize)]
    struct Connection {
        status: String,
        qualified_conversation: QualifiedId,
    }
    let path = |user: &User| format!("/connections/{}/{}", user.id.domain, user.id.id);
    let request = backend.post(&path(other)).bearer_auth(one.token.expose());
    backend.exchange(request, &[200, 201]).await?.read::<Connection>()?;
    socket.connection_of(backend, one).await?;
    let request = backend.put(&path(one)).bearer_auth(other.token.expose()).json(&json!({"status": "accepted"}));
    let connection: Connection = backend.exchange(request, &[200]).await?.read()?;
    if connection.status != "accepted" {
        return Err(Surprise::new("a connection that is accepted", format!("it is {}", connection.status)));
    }
    Ok(connection.qualified_conversation)
}

/// `one` takes a prekey of `other`'s device, which must be one that was uploaded.
pub async fn take_prekey(backend: &Backend<'_>, one: &User, other: &User) -> Result<(), Surprise> {
    #[derive(Deserialize)]
    struct Taken {
        prekey: Prekey,
    }
    let path = format!("/users/{}/{}/prekeys/{}", other.id.domain, other.id.id, other.device);
    let taken: Taken = backend.exchange(backend.get(&path).bearer_auth(one.token.expose()), &[200]).await?.read()?;
    if other.prekeys.contains(&taken.prekey) {
        return Ok(());
    }
    Err(Surprise::new(
        "one of the prekeys that the device uploaded",
        format!("another one with id {}", taken.prekey.id),
    ))
}

/// `one` sends bytes to `other`'s device.
pub async fn send(
    backend: &Backend<'_>,
    one: &User,
    other: &User,
    conversation: &QualifiedId,
    text: &[u8],
) -> Result<(), Surprise> {
    let encoded =
        message::encode(&one.device, &other.id.domain, &other.id.id, &other.device, text).ok_or_else(|| {
            let found = format!("users {}, {} and devices {}, {}", one.id.id, other.id.id, one.device, other.device);
            Surprise::new("users' ids that are UUIDs, and devices' that are hexadecimal", found)
        })?;
    let path = format!("/conversations/{}/{}/proteus/messages", conversation.domain, conversation.id);
    let request = backend.post(&path).bearer_auth(one.token.expose());
    let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(encoded);
    backend.exchange(request, &[201]).await.map(drop)
}

/// What a message is in an event.
pub fn as_told(text: &[u8]) -> String {
    STANDARD.encode(text)
}

/// Deletes users; each must be unable to log in afterwards.
pub async fn delete(backend: &Backend<'_>, accounts: &[Account]) -> Result<(), Surprise> {
    let mut result = Ok(());
    for account in accounts {
        result = result.and(delete_one(backend, account).await);
    }
    result
}

async fn delete_one(backend: &Backend<'_>, account: &Account) -> Result<(), Surprise> {
    let password = account.password.expose();
    let log_in = || backend.post("/login?persist=false").json(&json!({"email": account.email, "password": password}));
    let token = match (backend.exchange(log_in(), &[200]).await, &account.cookie) {
        (Ok(answer), _) => SecretText::new(answer.read::<Access>()?.access_token),
        // Who may not log in yet still has the cookie of the registration.
        (Err(_), Some(cookie)) => renew(backend, cookie).await?,
        (Err(surprise), None) => return Err(surprise),
    };
    let request = backend.delete("/self").bearer_auth(token.expose()).json(&json!({"password": password}));
    backend.exchange(request, &[200]).await?;
    backend.exchange(log_in(), &[403]).await.map(drop)
}
