//! What the cluster itself should hold: keyspaces on so many nodes, a role for each of the backend's services with rights on its own
//! keyspace, and no role that everyone knows.
//!
//! Passwords are given to Cassandra as bcrypt hashes with a salt that is derived, too: so the hash that it holds can be compared,
//! and nobody has to try a password. They are 256 random bits, which no number of rounds makes any safer; few rounds keep logging in
//! cheap.

use serde_json::{Value, json};

use super::{DATACENTER, TENANTS, password_name};
use crate::desired::Object;
use crate::services::OPERATOR;
use crate::site::names::ServiceName;
use crate::site::secrets::{Purpose, Secrets};

/// The superuser that Cassandra makes by itself; its password is its name.
pub(super) const DEFAULT_SUPERUSER: &str = "cassandra";
/// Cassandra's own keyspaces whose rows must be on as many nodes as ours.
pub(super) const SYSTEM_KEYSPACES: [&str; 3] = ["system_auth", "system_distributed", "system_traces"];
/// What a service may do in its keyspace.
const RIGHTS: [&str; 5] = ["ALTER", "CREATE", "DROP", "MODIFY", "SELECT"];
/// bcrypt's number of rounds as a power of two: the least there is.
const ROUNDS: u32 = 4;

/// What an object is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A keyspace's replication.
    Keyspace(&'a str),
    /// A role and its password.
    Role(&'a str),
    /// What a role may do, by resource.
    Grants(&'a str),
}

impl<'a> Kind<'a> {
    /// The kind that an object's id tells.
    pub(super) fn of(id: &'a str) -> Option<Self> {
        match id.split_once('/')? {
            ("keyspace", name) => Some(Self::Keyspace(name)),
            ("role", name) => Some(Self::Role(name)),
            ("grants", name) => Some(Self::Grants(name)),
            _ => None,
        }
    }

    /// The object's id.
    pub(super) fn id(self) -> String {
        match self {
            Self::Keyspace(name) => format!("keyspace/{name}"),
            Self::Role(name) => format!("role/{name}"),
            Self::Grants(name) => format!("grants/{name}"),
        }
    }

    fn object(self, wanted: Value) -> Object {
        Object { id: self.id(), wanted }
    }
}

/// All of them, in the order in which they are made.
pub(super) fn objects(secrets: &Secrets, service: &ServiceName, replication_factor: u32) -> Vec<Object> {
    let keyspaces = SYSTEM_KEYSPACES.iter().chain(&TENANTS);
    let mut objects: Vec<_> =
        keyspaces.map(|name| Kind::Keyspace(name).object(json!({ DATACENTER: replication_factor }))).collect();
    for name in [OPERATOR].iter().chain(&TENANTS) {
        let hash = password_hash(secrets, service, name);
        objects.push(Kind::Role(name).object(role(secrets, true, *name == OPERATOR, &hash)));
    }
    for name in TENANTS {
        objects.push(Kind::Grants(name).object(json!({ resource_of(name): RIGHTS })));
    }
    objects.push(Kind::Role(DEFAULT_SUPERUSER).object(Value::Null));
    objects
}

/// A role as an object tells it: its password's hash is a fingerprint.
pub(super) fn role(secrets: &Secrets, login: bool, superuser: bool, hash: &str) -> Value {
    let password = secrets.plan_key().fingerprint(hash.as_bytes()).short().to_owned();
    json!({ "login": login, "superuser": superuser, "password": password })
}

/// Cassandra's name for a keyspace as what rights are on.
pub(super) fn resource_of(keyspace: &str) -> String {
    format!("data/{keyspace}")
}

/// bcrypt hash of a role's password, the same every time.
pub(super) fn password_hash(secrets: &Secrets, service: &ServiceName, role: &str) -> String {
    let password = secrets.password(&Purpose { service, host: None, name: &password_name(role) });
    let name = format!("{}/salt", password_name(role));
    let key = secrets.key(&Purpose { service, host: None, name: &name });
    let mut salt = [0; 16];
    salt.copy_from_slice(&key[..16]);
    // Only an impossible number of rounds is an error; an empty hash fits no password.
    bcrypt::hash_with_salt(password.expose(), ROUNDS, salt)
        .map(|hash| hash.format_for_version(bcrypt::Version::TwoA))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    fn secrets(generation: u32) -> Secrets {
        Secrets::new([7; 32], 0, BTreeMap::new(), [("cassandra/user/brig".to_owned(), generation)].into())
    }

    #[test]
    fn a_hash_fits_its_password_and_is_the_same_every_time() {
        let service = ServiceName::from("cassandra");
        let hash = password_hash(&secrets(1), &service, "brig");
        assert!(hash.starts_with("$2a$04$"), "{hash}");
        let password = secrets(1).password(&Purpose { service: &service, host: None, name: "user/brig" });
        assert!(bcrypt::verify(password.expose(), &hash).unwrap());
        assert_eq!(hash, password_hash(&secrets(1), &service, "brig"));
        assert_ne!(hash, password_hash(&secrets(2), &service, "brig"), "another generation");
        assert_ne!(hash, password_hash(&secrets(1), &service, "galley"));
    }

    #[test]
    fn objects_tell_no_secret_and_each_service_has_rights_on_its_own_keyspace_only() {
        let service = ServiceName::from("cassandra");
        let objects = objects(&secrets(1), &service, 3);
        let text = serde_json::to_string(&objects).unwrap();
        assert!(!text.contains("$2a$") && !text.contains(&password_hash(&secrets(1), &service, "brig")), "{text}");
        let grants: Vec<_> = objects.iter().filter(|object| object.id.starts_with("grants/")).collect();
        assert_eq!(grants.len(), TENANTS.len());
        for (object, name) in grants.iter().zip(TENANTS) {
            let resources: Vec<_> = object.wanted.as_object().unwrap().keys().cloned().collect();
            assert_eq!(resources, [format!("data/{name}")]);
        }
        assert!(objects.iter().all(|object| Kind::of(&object.id).unwrap().id() == object.id));
    }
}
