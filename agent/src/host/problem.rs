//! Why something on the host did not work, on its way to becoming a [`Failure`].

use std::fmt::Display;
use std::io;

use crate::protocol::Failure;
use crate::resource::ResourceId;

/// What went wrong, in the words that a user sees. No secret is ever in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The last lines of a log that tells more.
    pub log: Vec<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, log: Vec::new() }
    }

    /// A system call that failed while `doing` (as `write /etc/hosts`). Common causes get their hint.
    pub fn io(doing: impl Display, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on that file system",
            io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only; mount it writable",
            io::ErrorKind::PermissionDenied => "the agent needs root; check `become` in the inventory",
            _ => return Self::new(format!("cannot {doing}: {error}")),
        };
        Self::new(format!("cannot {doing}: {error}")).hint(hint)
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with lines of a log.
    #[must_use]
    pub fn log(mut self, log: Vec<String>) -> Self {
        self.log = log;
        self
    }

    /// The answer to a request, about one resource or none.
    #[must_use]
    pub fn into_failure(self, resource: Option<ResourceId>) -> Failure {
        Failure { resource, message: self.message, hint: self.hint, log: self.log }
    }
}

/// Says what was being done when an error came.
pub trait Doing<T> {
    /// `doing` as in `write /etc/hosts`.
    ///
    /// # Errors
    /// The same, in a user's words.
    fn doing(self, doing: impl Display) -> Result<T, Problem>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl Display) -> Result<T, Problem> {
        self.map_err(|error| Problem::io(doing, &error.into()))
    }
}
