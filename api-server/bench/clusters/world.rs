//! Users with a device each, a conversation of two and a large group.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use wire_api::app::App;
use wire_api::config::Config;
use wire_api::domain::client::{Client, ClientKind};
use wire_api::domain::conversation::{Conversation, ConversationKind, Member, MemberSettings, Role};
use wire_api::domain::message::{
    ClientEntry, ClientIdNumber, QualifiedNewOtrMessage, QualifiedUserEntry, UserEntry, UserIdBytes,
};
use wire_api::domain::user::{AccountStatus, User};
use wire_api::domain::{ClientId, ConversationId, Time, UserId};
use wire_api::push::LocalHints;
use wire_api::store::cassandra::{CassandraStore, migrate};
use wire_api::store::memory;
use wire_api::token::{Token, TokenKind};

/// Everybody's device.
pub const DEVICE: ClientId = ClientId(7);
/// Bytes for each device.
const TEXT: usize = 400;

pub struct World {
    app: Arc<App>,
    pub pair: Talk,
    pub group: Talk,
}

/// A conversation, who sends and who listens.
pub struct Talk {
    pub conversation: ConversationId,
    pub sender: UserId,
    pub receiver: UserId,
    pub others: Vec<UserId>,
    pub path: String,
    domain: String,
}

impl World {
    pub async fn new(file: &Path, members: usize) -> Self {
        let config = Config::read(file).unwrap();
        let cassandra = config.cassandra.clone().expect("a configuration with Cassandra");
        migrate(&cassandra).await.unwrap();
        let rest = memory::store(std::env::temp_dir());
        let store = CassandraStore::open(&cassandra).await.unwrap().with(rest.search, rest.assets);
        let app = App::new(config, store, Arc::new(LocalHints::default())).unwrap();
        let pair = talk(&app, 2, ConversationKind::OneToOne).await;
        let group = talk(&app, members, ConversationKind::Regular).await;
        Self { app, pair, group }
    }

    pub fn token(&self, user: UserId) -> String {
        let expires = Time::now().seconds() + 3600;
        let token =
            Token { expires, user, kind: TokenKind::Access { connection: user.to_string() }, client: Some(DEVICE) };
        self.app.signer.as_ref().unwrap().sign(&token)
    }
}

impl Talk {
    /// A message from the sender's device to everybody else's.
    pub fn message(&self) -> Vec<u8> {
        let entry = |user: &UserId| UserEntry {
            user: UserIdBytes { uuid: user.0.as_bytes().to_vec() },
            clients: vec![ClientEntry {
                client: ClientIdNumber { client: DEVICE.0 },
                text: Bytes::from(vec![7; TEXT]),
            }],
        };
        let entries = self.others.iter().map(entry).collect();
        let message = QualifiedNewOtrMessage {
            sender: ClientIdNumber { client: DEVICE.0 },
            recipients: vec![QualifiedUserEntry { domain: self.domain.clone(), entries }],
            native_push: None,
            blob: None,
            native_priority: None,
            transient: None,
            client_mismatch_strategy: None,
        };
        message.encode_to_vec()
    }
}

/// As the floor reads it.
impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.conversation, self.sender)?;
        self.others.iter().try_for_each(|user| write!(f, " {user}"))
    }
}

async fn talk(app: &App, members: usize, kind: ConversationKind) -> Talk {
    let users: Vec<UserId> = (0..members).map(|_| UserId::random()).collect();
    stream::iter(&users)
        .for_each_concurrent(16, |user| async {
            app.store.users.insert(&somebody(*user)).await.unwrap();
            assert!(app.store.clients.insert(*user, &device()).await.unwrap());
        })
        .await;
    let conversation = Conversation {
        id: ConversationId::random(),
        kind,
        creator: users[0],
        access: Vec::new(),
        access_role: Vec::new(),
        name: None,
        team: None,
        message_timer: None,
        receipt_mode: None,
        last_event_time: Time::now(),
        group_kind: None,
    };
    let member = |user: &UserId| Member { user: *user, role: Role::WireAdmin, settings: MemberSettings::default() };
    app.store.conversations.create(&conversation, &users.iter().map(member).collect::<Vec<_>>()).await.unwrap();
    let domain = app.config.domain.clone();
    let path = format!("/v15/conversations/{domain}/{}/proteus/messages", conversation.id);
    let others = users[1..].to_vec();
    Talk { conversation: conversation.id, sender: users[0], receiver: users[members - 1], others, path, domain }
}

fn somebody(id: UserId) -> User {
    User {
        id,
        name: "Somebody".to_owned(),
        email: None,
        handle: None,
        accent_id: 1,
        assets: Vec::new(),
        locale: "en".to_owned(),
        text_status: None,
        team: None,
        supported_protocols: Vec::new(),
        status: AccountStatus::Active,
        searchable: false,
    }
}

fn device() -> Client {
    Client {
        id: DEVICE,
        kind: ClientKind::Permanent,
        class: None,
        time: Time::now(),
        cookie: None,
        label: None,
        model: None,
        capabilities: Vec::new(),
        mls_public_keys: BTreeMap::new(),
        last_active: None,
    }
}
