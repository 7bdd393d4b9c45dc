//! What every handler has at hand.

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;

use crate::config::Config;
use crate::domain::{ClientId, UserId};
use crate::http::devices::Devices;
use crate::http::rate::{Buckets, Limits};
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::password::Passwords;
use crate::push::{Hints, Push};
use crate::store::Store;
use crate::token::{Signer, Verifier};

/// What every handler has at hand. Nothing in here outlives the process.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// What is kept.
    pub store: Store,
    /// Makes tokens, where the private keys are.
    pub signer: Option<Signer>,
    /// Checks tokens.
    pub verifier: Verifier,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Tells users what happened.
    pub push: Push,
    /// Sends mails.
    pub mailer: Mailer,
    /// Rates.
    pub limits: Limits,
    /// Devices that were there lately.
    pub devices: Devices,
    /// Counters.
    pub metrics: Metrics,
    /// MLS's removal key, base64.
    pub mls_removal_key: String,
    /// Becomes true when the process is to end.
    pub ending: watch::Sender<bool>,
}

impl App {
    /// From a configuration and a store. Without keys in the configuration the tokens of this process end with it.
    ///
    /// # Errors
    /// Keys that are none, no mail sender, no randomness.
    pub fn new(config: Config, store: Store, hints: Arc<dyn Hints>) -> anyhow::Result<Arc<Self>> {
        config.check()?;
        let (signer, verifier) = match Signer::from_seeds(&config.tokens.private_keys)? {
            Some((signer, verifier)) => (Some(signer), verifier),
            None if config.tokens.public_keys.is_empty() => {
                let (signer, verifier) = Signer::random().context("no randomness for a token key")?;
                (Some(signer), verifier)
            }
            None => (None, Verifier::from_public_keys(&config.tokens.public_keys)?),
        };
        let mls_removal_key = match &config.mls_removal_key {
            Some(key) => key.clone(),
            None => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).context("no randomness")?;
                STANDARD.encode(key)
            }
        };
        Ok(Arc::new(Self {
            push: Push::new(store.notifications.clone(), hints),
            store,
            signer,
            verifier,
            passwords: Passwords::new()?,
            mailer: Mailer::new(&config)?,
            limits: Limits {
                users: Buckets::new(config.limits.user_rate),
                addresses: Buckets::new(config.limits.address_rate),
            },
            devices: Devices::default(),
            metrics: Metrics::default(),
            mls_removal_key,
            ending: watch::Sender::new(false),
            config,
        }))
    }

    /// Ends what a device that is gone may still do: its websockets, and its token's use.
    pub fn client_gone(&self, user: UserId, client: ClientId) {
        self.devices.forget(user, client);
        self.push.client_gone(user, client);
    }

    /// The backend's domain.
    pub fn domain(&self) -> &str {
        &self.config.domain
    }
}
