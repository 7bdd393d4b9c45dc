//! What hints look like on their way: JSON with a version. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::domain::{ClientId, NotificationId, UserId};
use crate::push::{Hint, Transient};

/// Where everybody's websockets are told that hints may have been missed.
pub(super) const EVERYBODY: &str = "wire-api:hints";

/// The form that messages have; others are of processes of another age.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Message {
    version: u8,
    /// The process that says it: it has told its own websockets itself.
    from: Uuid,
    hint: Form,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Log,
    Missed,
    Transient { id: NotificationId, clients: Option<Vec<ClientId>>, payload: Vec<Value> },
    ClientGone(ClientId),
}

/// The channel of a user.
pub(super) fn channel(user: UserId) -> String {
    format!("{EVERYBODY}:{user}")
}

/// The user whose channel it is.
pub(super) fn user(channel: &[u8]) -> Option<UserId> {
    let text = std::str::from_utf8(channel).ok()?;
    text.strip_prefix(EVERYBODY)?.strip_prefix(':')?.parse().ok()
}

/// A hint as it travels.
pub(super) fn encode(from: Uuid, hint: &Hint) -> String {
    let hint = match hint {
        Hint::Log => Form::Log,
        Hint::Missed => Form::Missed,
        Hint::Transient(transient) => {
            let Transient { id, clients, payload } = &**transient;
            Form::Transient { id: *id, clients: clients.clone(), payload: payload.clone() }
        }
        Hint::ClientGone(client) => Form::ClientGone(*client),
    };
    // Types of this crate always have a JSON form.
    serde_json::to_string(&Message { version: VERSION, from, hint }).unwrap_or_default()
}

/// A hint that came; `None` when it is one's own. One that is not understood is a missed one.
pub(super) fn decode(own: Uuid, message: &[u8]) -> Option<Hint> {
    let known = serde_json::from_slice(message).ok().filter(|message: &Message| message.version == VERSION);
    let Some(Message { from, hint, .. }) = known else { return Some(Hint::Missed) };
    if from == own {
        return None;
    }
    Some(match hint {
        Form::Log => Hint::Log,
        Form::Missed => Hint::Missed,
        Form::Transient { id, clients, payload } => Hint::Transient(Arc::new(Transient { id, clients, payload })),
        Form::ClientGone(client) => Hint::ClientGone(client),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const OTHER: Uuid = Uuid::from_u128(1);
    const OWN: Uuid = Uuid::from_u128(2);

    #[test]
    fn hints_read_back_at_others_only() {
        let transient = Transient {
            id: NotificationId(OTHER),
            clients: Some(vec![ClientId(255)]),
            payload: vec![json!({"type": "conversation.typing"})],
        };
        for hint in [Hint::Log, Hint::Missed, Hint::Transient(Arc::new(transient)), Hint::ClientGone(ClientId(7))] {
            let message = encode(OTHER, &hint);
            let heard = decode(OWN, message.as_bytes()).unwrap();
            assert_eq!(format!("{heard:?}"), format!("{hint:?}"));
            assert!(decode(OTHER, message.as_bytes()).is_none());
        }
    }

    #[test]
    fn what_a_newer_process_says_counts_as_missed() {
        let newer = json!({"version": 2, "from": OTHER, "hint": "log", "more": true}).to_string();
        let unknown = json!({"version": 1, "from": OTHER, "hint": {"call": 3}}).to_string();
        for message in [newer, unknown] {
            assert!(matches!(decode(OWN, message.as_bytes()), Some(Hint::Missed)));
        }
    }

    #[test]
    fn a_channel_names_its_user() {
        let somebody = UserId(OTHER);
        assert_eq!(user(channel(somebody).as_bytes()), Some(somebody));
        assert_eq!(user(EVERYBODY.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn anything_is_a_hint(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(OWN, &message).is_some());
            let _ = user(&message);
        }

        #[test]
        fn anything_in_json_is_a_hint(hint in "[a-z{}\":,\\[\\]0-9]{0,40}") {
            let message = format!("{{\"version\":1,\"from\":\"{OTHER}\",\"hint\":{hint}}}");
            prop_assert!(decode(OWN, message.as_bytes()).is_some());
        }
    }
}
