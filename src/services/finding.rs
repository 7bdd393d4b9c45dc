//! What was found on a host before anything is changed there.

use crate::site::names::HostName;

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// On which host.
    pub host: HostName,
    /// How bad it is.
    pub severity: Severity,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// It works, but not for long, or not as well as it should.
    Warning,
    /// Nothing may be changed while it is so.
    Fatal,
}
