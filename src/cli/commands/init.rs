//! `init`: a site to start from.

use super::Outcome;
use crate::cli::Session;
use crate::cli::arguments::Init;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::services;
use crate::site::init::{InitError, InitOptions};
use crate::workspace::init::init;

pub(super) fn run(session: &Session, arguments: Init) -> Outcome {
    let group = |text: &String| {
        let (service, hosts) = text.split_once('=').unwrap_or((text, ""));
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).map(Into::into).collect();
        (service.into(), hosts)
    };
    let options = InitOptions {
        groups: arguments.services.iter().map(group).collect(),
        name: arguments.name,
        domain: arguments.domain,
        profile: arguments.profile,
        hosts: arguments.hosts,
        ssh_user: arguments.ssh_user,
        ssh_key: arguments.ssh_key,
        identity: arguments.identity,
    };
    let written = init(&arguments.folder, &options, services::ALL).map_err(refused)?;
    for file in &written {
        let what = if file.made { "written" } else { "was there, left as it is" };
        session.reporter.note(format!("{}: {what}", file.path.display()));
    }
    if written.iter().any(|file| file.made) {
        session.reporter.note("next: look at these files, then `wire-deploy check`");
    }
    Ok(ExitCode::Done)
}

fn refused(errors: Vec<InitError>) -> CommandError {
    let mut complaint = CommandError::usage("this does not make a site; nothing was written").complaint;
    for error in errors {
        complaint.causes.push(error.reason);
        complaint.hints.push(error.hint);
    }
    CommandError { exit_code: ExitCode::Usage, complaint }
}
