//! Users, their passwords, and which user has an e-mail address or a handle.

use async_trait::async_trait;

use super::{Page, Result};
use crate::domain::user::{User, UserChange};
use crate::domain::{Time, UserId};

/// A name that belongs to one user at most.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Claim {
    /// An e-mail address, lower case.
    Email(String),
    /// A handle, lower case.
    Handle(String),
}

impl Claim {
    /// As one text, for a store's key.
    pub fn key(&self) -> String {
        match self {
            Self::Email(address) => format!("email:{address}"),
            Self::Handle(handle) => format!("handle:{handle}"),
        }
    }

    /// Whether it is this user's name. A user who was never kept has none.
    pub fn is_borne_by(&self, user: Option<&User>) -> bool {
        match self {
            Self::Email(address) => user.is_some_and(|user| user.email.as_ref() == Some(address)),
            Self::Handle(handle) => user.is_some_and(|user| user.handle.as_ref() == Some(handle)),
        }
    }
}

/// Users.
#[async_trait]
pub trait Users: Send + Sync {
    /// Whether the store answers.
    async fn ready(&self) -> Result<()>;
    /// Keeps a new user.
    async fn insert(&self, user: &User) -> Result<()>;
    /// One user; deleted ones, too.
    async fn get(&self, id: UserId) -> Result<Option<User>>;
    /// Those of the users that exist, in any order.
    async fn get_many(&self, ids: &[UserId]) -> Result<Vec<User>>;
    /// Sets fields of a user who exists.
    async fn update(&self, id: UserId, change: UserChange) -> Result<()>;
    /// All users after one, by id; for building the directory.
    async fn all(&self, after: Option<UserId>, size: usize) -> Result<Page<User>>;

    /// Sets the password's hash, or none.
    async fn set_password(&self, id: UserId, hash: Option<&str>) -> Result<()>;
    /// The password's hash.
    async fn password(&self, id: UserId) -> Result<Option<String>>;

    /// Takes a name for a user: true when it is theirs now, or was before. Of several at once one wins; an answer that is lost
    /// counts as taken.
    async fn claim(&self, claim: &Claim, user: UserId) -> Result<bool>;
    /// Takes over a name that was taken before a time by a user who does not [bear](Claim::is_borne_by) it: true when it is the new user's now. A
    /// process that died between the two left such a name, which nobody could have otherwise.
    async fn take_over(&self, claim: &Claim, user: UserId, before: Time) -> Result<bool>;
    /// Gives a name back, if it is the user's.
    async fn release(&self, claim: &Claim, user: UserId) -> Result<()>;
    /// Whose it is.
    async fn owner(&self, claim: &Claim) -> Result<Option<UserId>>;
}
