//! A message's way: who must have it, who has been left out, and one notification for each device.
//!
//! [`compare`] is pure: given what is expected and what was sent, it says what is missing, too much, and deliverable.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::app::App;
use crate::domain::client::Client;
use crate::domain::event::{self, ConversationEvent, Happening};
use crate::domain::notification::NewNotification;
use crate::domain::{ClientId, ConversationId, Time, UserId};
use crate::http::{Caller, Failure, error};

/// Devices by user.
pub type Devices = BTreeMap<UserId, BTreeSet<ClientId>>;

/// A message, however it was written.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    /// The sending device.
    pub sender: ClientId,
    /// A ciphertext for each device.
    pub recipients: BTreeMap<UserId, BTreeMap<ClientId, Bytes>>,
    /// Bytes for all alike.
    pub blob: Option<Bytes>,
    /// Kept in no log.
    pub transient: bool,
}

/// What happens when devices are missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// The message is refused.
    ReportAll,
    /// It is sent to those that are there.
    IgnoreAll,
    /// It is refused for these users' devices only.
    ReportOnly(BTreeSet<UserId>),
    /// It is refused but for these users' devices.
    IgnoreOnly(BTreeSet<UserId>),
}

impl Strategy {
    fn reports(&self, user: UserId) -> bool {
        match self {
            Self::ReportAll => true,
            Self::IgnoreAll => false,
            Self::ReportOnly(users) => users.contains(&user),
            Self::IgnoreOnly(users) => !users.contains(&user),
        }
    }
}

/// How what was sent differs from what is expected.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Mismatch {
    /// Left out, and reported.
    pub missing: Devices,
    /// Of users who should not have the message, and the sender's own.
    pub redundant: Devices,
    /// Gone.
    pub deleted: Devices,
}

/// Compares the devices that should have a message with those it was written for.
pub fn compare(
    expected: &Devices,
    sent: &Devices,
    own: (UserId, ClientId),
    strategy: &Strategy,
) -> (Mismatch, Devices) {
    let mut mismatch = Mismatch::default();
    let mut deliverable = Devices::new();
    for (user, clients) in expected {
        let written = sent.get(user);
        for client in clients {
            if written.is_some_and(|written| written.contains(client)) {
                deliverable.entry(*user).or_default().insert(*client);
            } else if strategy.reports(*user) {
                mismatch.missing.entry(*user).or_default().insert(*client);
            }
        }
    }
    for (user, clients) in sent {
        for client in clients {
            let is_expected = expected.get(user).is_some_and(|expected| expected.contains(client));
            if is_expected {
                continue;
            }
            let list = match expected.contains_key(user) && (*user, *client) != own {
                true => &mut mismatch.deleted,
                false => &mut mismatch.redundant,
            };
            list.entry(*user).or_default().insert(*client);
        }
    }
    (mismatch, deliverable)
}

/// What came of a message.
pub struct Delivery {
    /// When.
    pub time: Time,
    /// How it differed.
    pub mismatch: Mismatch,
    /// Whether it went out; if not, devices are missing.
    pub sent: bool,
}

/// Sends a message to the devices of some users, if the strategy lets it go.
///
/// # Errors
/// 403 when the sending device is not the caller's; the store's.
pub async fn deliver(
    app: &App,
    caller: &Caller,
    conversation: ConversationId,
    users: &[UserId],
    message: Outgoing,
    strategy: &Strategy,
) -> Result<Delivery, Failure> {
    let known = app.store.clients.list_many(users).await?;
    let own = (caller.user, message.sender);
    let is_own =
        known.get(&caller.user).is_some_and(|clients| clients.iter().any(|client| client.id == message.sender));
    // Whoever's token is bound to a device speaks for that device only.
    if !is_own || caller.client.is_some_and(|client| client != message.sender) {
        return Err(error::UNKNOWN_CLIENT.into());
    }
    let expected = expected(users, &known, own);
    let sent: Devices =
        message.recipients.iter().map(|(user, clients)| (*user, clients.keys().copied().collect())).collect();
    let (mismatch, deliverable) = compare(&expected, &sent, own, strategy);
    let time = Time::now();
    let goes = mismatch.missing.is_empty();
    if goes {
        send(app, caller, conversation, &message, &deliverable, time).await?;
    }
    Ok(Delivery { time, mismatch, sent: goes })
}

fn expected(users: &[UserId], known: &HashMap<UserId, Vec<Client>>, own: (UserId, ClientId)) -> Devices {
    let devices = |user: &UserId| {
        let clients = known.get(user).map(Vec::as_slice).unwrap_or_default();
        (*user, clients.iter().map(|client| client.id).filter(|client| (*user, *client) != own).collect())
    };
    users.iter().map(devices).collect()
}

/// The most bytes for one device: its ciphertext and what is for all alike. No log takes much more in one piece.
const FOR_ONE: usize = 1024 * 1024;
/// Bytes of a message's events that there are at a time: a message's own bytes are shared by its events until each one's turn comes.
const AT_A_TIME: usize = 32 * 1024 * 1024;
/// The most bytes of a message's events that are in no log: all of them wait for Redis at once.
const TRANSIENT: usize = 4 * 1024 * 1024;

/// How many of a message's events may be there at a time.
///
/// # Errors
/// 413 for a message that is too large for a device, or for what is kept nowhere.
fn at_once(message: &Outgoing, deliverable: &Devices) -> Result<usize, Failure> {
    let texts = || message.recipients.values().flat_map(BTreeMap::values);
    let blob = message.blob.as_ref().map_or(0, Bytes::len);
    let largest = blob + texts().map(Bytes::len).max().unwrap_or(0);
    let devices = deliverable.values().map(BTreeSet::len).sum::<usize>();
    if largest > FOR_ONE || message.transient && largest * devices > TRANSIENT {
        return Err(error::TOO_LARGE.into());
    }
    // base64 makes four bytes of three, and an event is there as a value and as text.
    Ok(AT_A_TIME / (largest * 8 / 3).max(1))
}

async fn send(
    app: &App,
    caller: &Caller,
    conversation: ConversationId,
    message: &Outgoing,
    deliverable: &Devices,
    time: Time,
) -> Result<(), Failure> {
    let at_once = at_once(message, deliverable)?;
    let data = message.blob.as_ref().map(|blob| STANDARD.encode(blob));
    let mut texts = Vec::new();
    for (user, clients) in deliverable {
        let written = message.recipients.get(user);
        let text = |client: &ClientId| Some((*user, *client, written?.get(client)?.clone()));
        texts.extend(clients.iter().filter_map(text));
    }
    let events = texts.into_iter().map(|(user, client, text)| {
        let (text, data) = (STANDARD.encode(text), data.clone());
        let what = Happening::OtrMessageAdd { sender: message.sender, recipient: client, text, data };
        let event = ConversationEvent::new(conversation, caller.user, time, app.domain(), what);
        (user, client, event::to_json(&event))
    });
    if message.transient {
        for (user, client, event) in events {
            app.push.tell_now(user, Some(vec![client]), &event);
        }
        return Ok(());
    }
    let notifications = events.map(|(user, client, event)| NewNotification {
        user,
        clients: Some(vec![client]),
        payload: vec![event],
        origin: None,
    });
    app.push.send_at_once(notifications, at_once).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn user(number: u128) -> UserId {
        UserId(uuid::Uuid::from_u128(number))
    }

    fn devices(list: &[(u128, &[u64])]) -> Devices {
        list.iter().map(|(number, clients)| (user(*number), clients.iter().copied().map(ClientId).collect())).collect()
    }

    const OWN: u128 = 1;

    fn compared(strategy: &Strategy) -> (Mismatch, Devices) {
        // The sender's other device 11, two of Bob's of whom one is written for with one that is gone, Carol is forgotten, Dave a stranger.
        let expected = devices(&[(OWN, &[11]), (2, &[20, 21]), (3, &[30])]);
        let sent = devices(&[(OWN, &[10, 11]), (2, &[20, 29]), (4, &[40])]);
        compare(&expected, &sent, (user(OWN), ClientId(10)), strategy)
    }

    #[test]
    fn every_strategy_reports_what_it_should() {
        let all = devices(&[(2, &[21]), (3, &[30])]);
        let bob = BTreeSet::from([user(2)]);
        let cases = [
            (Strategy::ReportAll, all),
            (Strategy::IgnoreAll, devices(&[])),
            (Strategy::ReportOnly(bob.clone()), devices(&[(2, &[21])])),
            (Strategy::IgnoreOnly(bob), devices(&[(3, &[30])])),
        ];
        for (strategy, missing) in cases {
            let (mismatch, deliverable) = compared(&strategy);
            assert_eq!(mismatch.missing, missing, "{strategy:?}");
            assert_eq!(mismatch.deleted, devices(&[(2, &[29])]));
            assert_eq!(mismatch.redundant, devices(&[(OWN, &[10]), (4, &[40])]));
            assert_eq!(deliverable, devices(&[(OWN, &[11]), (2, &[20])]));
        }
    }

    #[test]
    fn large_messages_go_out_a_few_devices_at_a_time_and_too_large_ones_not_at_all() {
        let message = |text: usize, blob: usize, transient| Outgoing {
            sender: ClientId(10),
            recipients: BTreeMap::from([(user(2), BTreeMap::from([(ClientId(20), Bytes::from(vec![0; text]))]))]),
            blob: Some(Bytes::from(vec![0; blob])),
            transient,
        };
        let many: Vec<u64> = (0..1000).collect();
        let many = devices(&[(2, &many)]);
        assert!(at_once(&message(500, 0, false), &many).unwrap() > 1000);
        assert_eq!(at_once(&message(0, FOR_ONE, false), &many).unwrap(), 12);
        assert!(at_once(&message(1, FOR_ONE, false), &many).is_err());
        assert!(at_once(&message(500, 0, true), &many).is_ok());
        assert!(at_once(&message(500, 8000, true), &many).is_err());
    }
}
