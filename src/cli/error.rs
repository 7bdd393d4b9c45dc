//! The one form in which a command fails: an exit code, what went wrong, why, and what to do about it.

use wire_deploy_agent::protocol::Failure;

use super::exit::ExitCode;
use crate::artifacts::ArtifactError;
use crate::flow::FlowError;
use crate::plan::Refusal;
use crate::report::Complaint;
use crate::services::BuildError;
use crate::site::problem::Problem;
use crate::site::selection::SelectionError;
use crate::templates::TemplateError;
use crate::transport::{AgentError, ConnectError};
use crate::verify::smoke::SmokeError;
use crate::workspace::secrets_file::SecretsError;
use crate::{desired, workloads};

/// A command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// How the program ends.
    pub exit_code: ExitCode,
    /// What is shown.
    pub complaint: Complaint,
}

impl CommandError {
    /// An error of which nothing else is known yet.
    #[must_use]
    pub fn new(exit_code: ExitCode, message: impl Into<String>) -> Self {
        Self { exit_code, complaint: Complaint { message: message.into(), ..Complaint::default() } }
    }

    /// What the operator wrote cannot be used.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// It did not work.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.complaint.hints.push(hint.into());
        self
    }

    /// With why it is so.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.complaint.causes.push(cause.to_string());
        self
    }

    /// With text shown as it is.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.complaint.details.push(detail.into());
        self
    }
}

impl From<&Failure> for CommandError {
    fn from(failure: &Failure) -> Self {
        let mut error = Self::failed(failure.text());
        error.complaint.details = failure.log.iter().map(|line| log_line(line)).collect();
        error.complaint.hints.extend(failure.hint.clone());
        error
    }
}

impl From<&ConnectError> for CommandError {
    fn from(error: &ConnectError) -> Self {
        Self::new(ExitCode::Unreachable, error.to_string()).hint(&error.hint)
    }
}

impl From<&ArtifactError> for CommandError {
    fn from(error: &ArtifactError) -> Self {
        let mut failed = Self::failed(&error.message).hint(&error.hint);
        failed.complaint.details = error.log.iter().map(|line| log_line(line)).collect();
        failed
    }
}

impl From<&AgentError> for CommandError {
    fn from(error: &AgentError) -> Self {
        match error {
            AgentError::Failed(failure) => failure.into(),
            AgentError::TakenOver(lease) => Self::new(ExitCode::Locked, error.to_string())
                .hint(format!("try again once run {} has ended", lease.run)),
            AgentError::Broken { .. } => Self::new(ExitCode::Unreachable, error.to_string())
                .hint("nothing is lost: the next `apply` finds what is left to do"),
            AgentError::Protocol { .. } => Self::failed(error.to_string()).hint(
                "`wire-deploy unlock` shows the lease; if this repeats, look at the host's log in the run's folder",
            ),
        }
    }
}

impl From<ArtifactError> for CommandError {
    fn from(error: ArtifactError) -> Self {
        (&error).into()
    }
}

impl From<&Refusal> for CommandError {
    fn from(refusal: &Refusal) -> Self {
        let exit_code = match refusal {
            Refusal::NothingToSpare { .. }
            | Refusal::NodesDown { .. }
            | Refusal::Unsettled { .. }
            | Refusal::Obstacles(_) => ExitCode::Failed,
            Refusal::Format { .. }
            | Refusal::Version { .. }
            | Refusal::Site { .. }
            | Refusal::Seal
            | Refusal::Unreadable { .. }
            | Refusal::Stale { .. } => ExitCode::Usage,
        };
        Self::new(exit_code, refusal.to_string()).hint(refusal.hint())
    }
}

impl From<&TemplateError> for CommandError {
    fn from(error: &TemplateError) -> Self {
        vec![error.0.clone()].into()
    }
}

impl From<&desired::BuildError> for CommandError {
    fn from(error: &desired::BuildError) -> Self {
        match error {
            desired::BuildError::Service(error) => error.into(),
            desired::BuildError::Workload(error) => error.into(),
        }
    }
}

impl From<&workloads::BuildError> for CommandError {
    fn from(error: &workloads::BuildError) -> Self {
        use workloads::BuildError;
        let plain = Self::usage(error.to_string());
        match error {
            BuildError::Template(error) => error.into(),
            BuildError::Manifest(problem) => vec![problem.as_ref().clone()].into(),
            BuildError::NotLocked { .. } => plain.hint(NOT_LOCKED),
            BuildError::NotProvided { name, .. } => plain.hint(not_provided(name)),
            BuildError::Brought { chain, key, .. } => plain.hint(brought(chain, key)),
            BuildError::Certificate(_) | BuildError::Settings { .. } => plain,
        }
    }
}

impl From<&BuildError> for CommandError {
    fn from(error: &BuildError) -> Self {
        let plain = Self::usage(error.to_string());
        match error {
            BuildError::Template(error) => error.into(),
            BuildError::NotLocked { .. } => plain.hint(NOT_LOCKED),
            BuildError::NotProvided { name, .. } => plain.hint(not_provided(name)),
            BuildError::Brought { chain, key, .. } => plain.hint(brought(chain, key)),
            BuildError::Certificate(_) | BuildError::Settings { .. } => plain,
        }
    }
}

const NOT_LOCKED: &str = "`wire-deploy artifacts update` makes it and writes it there";

fn not_provided(name: &str) -> String {
    format!("`wire-deploy secrets set {name} < FILE` takes it in")
}

fn brought(chain: &str, key: &str) -> String {
    format!(
        "`wire-deploy secrets set {chain} < FILE` takes a certificate and those that lead to its authority, `{key}` its key, PEM"
    )
}

impl From<SecretsError> for CommandError {
    fn from(error: SecretsError) -> Self {
        Self::usage(error.to_string()).hint(error.hint)
    }
}

impl From<SelectionError> for CommandError {
    fn from(error: SelectionError) -> Self {
        Self::usage(error.to_string()).hint(error.hint)
    }
}

impl From<FlowError> for CommandError {
    fn from(error: FlowError) -> Self {
        let message = error.to_string();
        match error {
            FlowError::Selection(error) => error.into(),
            FlowError::Template(error) => (&error).into(),
            FlowError::Build(error) => error.as_ref().into(),
            FlowError::Unasked(error) => Self::new(ExitCode::Unreachable, message).hint(error.hint),
            FlowError::Artifact(error) => error.into(),
            FlowError::Refused(refusal) => (&refusal).into(),
            FlowError::UnknownService { hint, .. } | FlowError::UnknownTask { hint, .. } => {
                Self::usage(message).hint(hint)
            }
            FlowError::NotInstalled(service) => {
                Self::usage(message).hint(format!("give the inventory a group `{service}` with hosts"))
            }
            FlowError::NoAgent => Self::failed(message).hint("build it with `cargo build`, not with clippy"),
            FlowError::Site(problems) => problems.into(),
            // Why it is so, and what to do about that, was told when it was found.
            FlowError::Unreachable { others: false, .. } => Self::new(ExitCode::Unreachable, message)
                .hint("mend what is said of them above; no other host is left to work on"),
            FlowError::Unreachable { hosts, others: true } => {
                let without: Vec<String> = hosts.iter().map(|host| format!("!{host}")).collect();
                Self::new(ExitCode::Unreachable, message).hint(format!(
                    "mend what is said of them above, or leave them out for now by `--limit '{}'`",
                    without.join(",")
                ))
            }
            FlowError::Locked(held) => {
                let soon = held
                    .values()
                    .map(|lease| lease.expires)
                    .max()
                    .and_then(|end| jiff::Timestamp::from_millisecond(end).ok().map(|end| end.to_string()));
                Self::new(ExitCode::Locked, message).hint(format!(
                    "wait for it to end (its lease ends at {} unless renewed), or take it away with `wire-deploy unlock`",
                    soon.unwrap_or_default()
                ))
            }
            FlowError::Unfit(findings) => {
                let mut failed = Self::failed(message);
                failed.complaint.causes =
                    findings.iter().map(|finding| format!("{} {}", finding.host, finding.message)).collect();
                failed.complaint.hints = findings.into_iter().map(|finding| finding.hint).collect();
                failed.complaint.hints.dedup();
                failed
            }
            FlowError::Failed(_) => Self::failed(message),
        }
    }
}

impl From<SmokeError> for CommandError {
    fn from(error: SmokeError) -> Self {
        // What was expected, what came and what to do was told when the step ended.
        let exit_code = match &error {
            SmokeError::Surprised { surprise, .. } if surprise.unreachable => ExitCode::Unreachable,
            SmokeError::Surprised { .. } => ExitCode::Unhealthy,
            SmokeError::Interrupted => ExitCode::Interrupted,
        };
        Self::new(exit_code, error.to_string())
    }
}

/// Everything that is wrong with a site.
impl From<Vec<Problem>> for CommandError {
    fn from(problems: Vec<Problem>) -> Self {
        let number = match problems.len() {
            1 => "a problem".to_owned(),
            more => format!("{more} problems"),
        };
        let mut error = Self::usage(format!("the site has {number}; nothing was done"));
        error.complaint.details = problems.iter().map(|problem| format!("\n{}", problem.render())).collect();
        error
    }
}

/// Errors on their way up may be wrapped; the outermost kind that is known decides, and what wraps it is told first.
impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) => return error,
            Err(error) => error,
        };
        let chain: Vec<&(dyn std::error::Error + 'static)> = error.chain().collect();
        let known = chain.iter().enumerate().find_map(|(depth, link)| known(*link).map(|found| (depth, found)));
        let Some((depth, mut found)) = known else {
            let mut texts = chain.iter().map(ToString::to_string);
            let mut unknown = Self::failed(texts.next().unwrap_or_default());
            unknown.complaint.causes = texts.collect();
            return unknown;
        };
        if depth > 0 {
            let mut texts: Vec<String> = chain[..depth].iter().map(ToString::to_string).collect();
            texts.push(std::mem::take(&mut found.complaint.message));
            found.complaint.message = texts.remove(0);
            texts.append(&mut found.complaint.causes);
            found.complaint.causes = texts;
        }
        found
    }
}

fn known(error: &(dyn std::error::Error + 'static)) -> Option<CommandError> {
    error
        .downcast_ref::<CommandError>()
        .cloned()
        .or_else(|| error.downcast_ref::<ConnectError>().map(Into::into))
        .or_else(|| error.downcast_ref::<AgentError>().map(Into::into))
        .or_else(|| error.downcast_ref::<ArtifactError>().map(Into::into))
        .or_else(|| error.downcast_ref::<Failure>().map(Into::into))
        .or_else(|| error.downcast_ref::<Refusal>().map(Into::into))
        .or_else(|| error.downcast_ref::<BuildError>().map(Into::into))
        .or_else(|| error.downcast_ref::<desired::BuildError>().map(Into::into))
        .or_else(|| error.downcast_ref::<TemplateError>().map(Into::into))
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.complaint.message)
    }
}

impl std::error::Error for CommandError {}

fn log_line(line: &str) -> String {
    format!("    | {}", crate::report::harmless(line))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use wire_deploy_agent::resource::ResourceId;
    use wire_deploy_agent::state::Lease;

    use super::*;
    use crate::site::names::HostName;

    #[test]
    fn the_kind_decides_over_the_exit_code_however_deep_it_is_wrapped() {
        let connect =
            ConnectError { host: "db1".into(), reason: "connection refused".into(), hint: "is sshd running?".into() };
        let wrapped = Err::<(), _>(connect).context("cannot observe the hosts").context("cannot plan");
        let error = CommandError::from(wrapped.err().unwrap_or_else(|| anyhow::anyhow!("no error")));
        assert_eq!(error.exit_code, ExitCode::Unreachable);
        assert_eq!(error.complaint.message, "cannot plan");
        assert_eq!(error.complaint.causes, ["cannot observe the hosts", "db1: connection refused"]);
        assert_eq!(error.complaint.hints, ["is sshd running?"]);
    }

    #[test]
    fn an_agents_failure_shows_its_resource_log_and_hint() {
        let failure = Failure {
            resource: Some(ResourceId("unit redis.service".into())),
            message: "did not start".into(),
            hint: Some("see its journal".into()),
            log: vec!["bind: \u{1b}[31mAddress in use".into()],
        };
        let error = CommandError::from(anyhow::Error::from(AgentError::Failed(failure)));
        assert_eq!(error.exit_code, ExitCode::Failed);
        assert_eq!(error.complaint.message, "unit redis.service: did not start");
        assert_eq!(error.complaint.details, ["    | bind: ?[31mAddress in use"]);
        assert_eq!(error.complaint.hints, ["see its journal"]);
    }

    #[test]
    fn an_artifact_that_cannot_be_had_shows_the_programs_lines_and_the_hint() {
        let artifact = ArtifactError {
            message: "apt failed".into(),
            hint: "see that `apt-get update` works".into(),
            log: vec!["E: nothing".into()],
        };
        let error = CommandError::from(anyhow::Error::from(artifact));
        let expected =
            CommandError::failed("apt failed").hint("see that `apt-get update` works").detail("    | E: nothing");
        assert_eq!(error, expected);
    }

    #[test]
    fn a_lease_of_someone_else_says_who_where_and_since_when() {
        let lease = |since, expires| Lease {
            holder: "ann@desk".to_owned(),
            run: "2026-01-02T03-04-05".to_owned(),
            machine: "m".to_owned(),
            process: 1,
            since,
            expires,
        };
        let held = [("db1", lease(2_000, 62_000)), ("db2", lease(1_000, 61_000))];
        let error = CommandError::from(FlowError::Locked(held.map(|(host, lease)| (host.into(), lease)).into()));
        assert_eq!(error.exit_code, ExitCode::Locked);
        let expected = "ann@desk (run 2026-01-02T03-04-05) is working on db1, db2 since 1970-01-01T00:00:01Z";
        assert_eq!(error.complaint.message, expected);
        let [hint] = &error.complaint.hints[..] else { panic!("{:?}", error.complaint.hints) };
        assert!(hint.contains("1970-01-01T00:01:02Z") && hint.contains("wire-deploy unlock"), "{hint}");
    }

    #[test]
    fn hosts_that_cannot_be_reached_are_left_out_only_where_others_are_left() {
        let told = |others| {
            let hosts = ["db1", "db2", "db3"].map(HostName::from).to_vec();
            CommandError::from(FlowError::Unreachable { hosts, others })
        };
        let some = told(true);
        assert_eq!(some.exit_code, ExitCode::Unreachable);
        assert_eq!(some.complaint.message, "db[1:3] cannot be reached; nothing was changed");
        assert!(some.complaint.hints[0].contains("--limit '!db1,!db2,!db3'"), "{some:?}");
        assert!(!told(false).complaint.hints[0].contains("--limit"));
    }

    #[test]
    fn what_nobody_knows_has_failed_with_all_its_causes() {
        let error = CommandError::from(anyhow::anyhow!("disk full").context("cannot write plan"));
        assert_eq!(error, CommandError::failed("cannot write plan").because("disk full"));
    }
}
