//! Codes sent by mail (activation, password reset), each good for a while and a few attempts, and counts of failed log-ins.

use async_trait::async_trait;

use super::Result;
use crate::domain::Time;

/// What a code is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// Proves an e-mail address; keyed by the address's digest.
    Activation,
    /// Proves that a password may be set; keyed by the user.
    PasswordReset,
    /// Proves that an account may be deleted; keyed by the user.
    Deletion,
}

impl Purpose {
    /// As a store's key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::PasswordReset => "password-reset",
            Self::Deletion => "deletion",
        }
    }
}

/// A code as it is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct Code {
    /// Digest of the code.
    pub digest: String,
    /// What it proves: an address, a user.
    pub subject: String,
    /// When it ends.
    pub expires: Time,
    /// Wrong guesses left.
    pub attempts: u32,
}

/// Codes.
#[async_trait]
pub trait Codes: Send + Sync {
    /// Keeps a code in place of an earlier one.
    async fn put(&self, purpose: Purpose, key: &str, code: &Code) -> Result<()>;
    /// The code, unless it ended.
    async fn get(&self, purpose: Purpose, key: &str) -> Result<Option<Code>>;
    /// Takes one attempt off; removes the code with the last.
    async fn fail(&self, purpose: Purpose, key: &str) -> Result<()>;
    /// Removes the code.
    async fn delete(&self, purpose: Purpose, key: &str) -> Result<()>;

    /// Counts one failure more for a name and says how many there were within `window` seconds, this one included.
    async fn count_failure(&self, name: &str, window: i64) -> Result<u32>;
    /// How many there were.
    async fn failures(&self, name: &str) -> Result<u32>;
    /// Forgets them.
    async fn forget_failures(&self, name: &str) -> Result<()>;
}
