//! How the cluster's nodes log in to each other, also while their passwords change.
//!
//! A user of Redis may have several passwords. While any host still logs in with a former one, every node that is changed takes both,
//! and before the first of them is restarted the running ones are told to take the new one as well. Once all hosts log in with
//! the new one the former is taken away, which is a change like any other.

use serde_json::{Value, json};
use wire_deploy_agent::resource::ResourceId;
use wire_deploy_agent::state::{Entry, PathState, State};

use super::{ADMIT_PASSWORDS, CLUSTER, FOLDER, REPLICATION_USER, SENTINEL_USER, password_name};
use crate::desired::Operation;
use crate::services::{BuildError, Context};
use crate::site::secrets::{Purpose, SecretText};

/// A user as whom nodes log in to each other.
pub(super) struct Login {
    pub user: &'static str,
    /// The file below [`FOLDER`] that has the password, which is its template's name too.
    pub file: &'static str,
}

/// Replicas at their primary.
pub(super) const REPLICATION: Login = Login { user: REPLICATION_USER, file: "server-secrets.conf" };
/// Sentinels at Redis and among themselves.
pub(super) const SENTINEL: Login = Login { user: SENTINEL_USER, file: "sentinel-secrets.conf" };

impl Login {
    /// The file's text with a password.
    pub fn render(&self, context: &Context<'_>, password: &SecretText) -> Result<String, BuildError> {
        let values = json!({ "cluster": CLUSTER, "user": self.user, "password": password.expose() });
        context.render(self.file, &values)
    }

    /// The passwords that have to be taken: the present one, and former ones that some host still logs in with.
    pub fn passwords(&self, context: &Context<'_>) -> Result<Vec<SecretText>, BuildError> {
        let name = password_name(self.user);
        let mut passwords = context.secrets.passwords(&Purpose { service: &context.service, host: None, name: &name });
        let former = passwords.split_off(1);
        for password in former {
            let text = self.render(context, &password)?;
            if context.hosts().iter().any(|host| self.is_there(context, host, &text)) {
                passwords.push(password);
            }
        }
        Ok(passwords)
    }

    fn is_there(&self, context: &Context<'_>, host: &crate::site::model::Host, text: &str) -> bool {
        let id = ResourceId(format!("file {FOLDER}/{}", self.file));
        let fingerprint = context.secrets.fingerprint_key(&host.name).fingerprint(text.as_bytes());
        let found = context.observed.state(&host.name, &id);
        matches!(found, Some(State::Path(PathState { entry: Entry::File { digest, .. }, .. })) if *digest == fingerprint)
    }
}

/// Has the running nodes take the new passwords beside the former ones.
pub(super) fn admission() -> Operation {
    Operation {
        name: ADMIT_PASSWORDS.to_owned(),
        description: "take the new passwords beside the former ones, which the next apply takes away".to_owned(),
        arguments: Value::Null,
    }
}
