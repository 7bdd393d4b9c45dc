//! How the program ends: every exit code there is. docs/exit-codes.md says the same; a test compares them.

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// It is done, or there was nothing to do.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// There are changes to be made: `drift`, and `plan --detailed-exitcode`.
    Changes = 2,
    /// A host cannot be reached.
    Unreachable = 4,
    /// Someone else holds the lease of a host.
    Locked = 5,
    /// A health gate failed and the former configuration is back.
    PutBack = 6,
    /// A health gate failed and nothing was put back; `status`, `verify` and `smoke`: a service is unwell.
    Unhealthy = 7,
    /// A bundle or its signature was rejected.
    Rejected = 8,
    /// The command line, the site or a saved plan cannot be used as it is.
    Usage = 64,
    /// It was interrupted.
    Interrupted = 130,
}

impl ExitCode {
    /// Every exit code, in order.
    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::Failed,
        Self::Changes,
        Self::Unreachable,
        Self::Locked,
        Self::PutBack,
        Self::Unhealthy,
        Self::Rejected,
        Self::Usage,
        Self::Interrupted,
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, as the documentation has it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or there was nothing to do",
            Self::Failed => "failed",
            Self::Changes => "changes exist (`drift`, `plan --detailed-exitcode`)",
            Self::Unreachable => "a host cannot be reached",
            Self::Locked => "someone else holds the lease of a host",
            Self::PutBack => "a health gate failed; the former configuration is back",
            Self::Unhealthy => {
                "a health gate failed, nothing was put back; `status`, `verify`, `smoke`: a service is unwell"
            }
            Self::Rejected => "a bundle or its signature was rejected",
            Self::Usage => "the command line, the site or a saved plan cannot be used as it is",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_code_with_its_meaning_and_no_other() {
        let documented = include_str!("../../docs/exit-codes.md").lines().filter(|line| line.starts_with("| "));
        let expected = ExitCode::ALL.map(|code| format!("| {} | {} |", code.code(), code.meaning()));
        assert_eq!(documented.skip(1).collect::<Vec<_>>(), expected);
    }
}
