//! `sandbox`: throw-away real hosts on this machine, and a site for them.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::{Outcome, artifacts, list};
use crate::cli::Session;
use crate::cli::arguments::Sandbox as Arguments;
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::report::EventKind;
use crate::sandbox::{HostOptions, Lifetime, Options, Sandbox, site};
use crate::services;
use crate::site::init::SITE_FILE;
use crate::site::names::ServiceName;
use crate::workspace::sources::Workspace;

/// Where the site of a sandbox is, beside what the operator works on.
const FOLDER: &str = "sandbox";

pub(super) fn run(session: &Session, arguments: &Arguments) -> Outcome {
    let machines = Path::new(FOLDER).join("machines");
    match arguments {
        Arguments::Up { hosts } => up(session, &machines, *hosts),
        Arguments::Run { arguments } => {
            let program = std::env::current_exe()
                .map_err(|error| CommandError::failed("cannot find the program itself").because(error))?;
            let mut command = Sandbox::open(&machines)?.command(program);
            let site_file = Path::new(FOLDER).join(SITE_FILE);
            // Package registries are out of reach from inside. A site that cannot be read is for the command to tell.
            if let Ok(workspace) = Workspace::read(&site_file, services::ALL) {
                artifacts::fetch(session, &site_file, &workspace.site)?;
            }
            become_program(command.args(arguments).env("WIRE_DEPLOY_CONFIG", site_file))
        }
        Arguments::Ssh { host, command } => {
            let mut ssh = Sandbox::open(&machines)?.ssh(host)?;
            become_program(ssh.args(command))
        }
        Arguments::Down => {
            Sandbox::down(&machines)?;
            Sandbox::clear_leftovers()?;
            Ok(ExitCode::Done)
        }
    }
}

fn up(session: &Session, machines: &Path, count: u8) -> Outcome {
    let what = "the root filesystem of the sandbox's hosts".to_owned();
    let begun = Instant::now();
    let mut announced = false;
    Sandbox::prepare(|| {
        announced = true;
        session.reporter.send(EventKind::Preparing { what: what.clone() });
    })?;
    if announced {
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        session.reporter.send(EventKind::Prepared { what, milliseconds });
    }
    let sandbox = match Sandbox::open(machines) {
        Ok(sandbox) if sandbox.hosts().len() == usize::from(count) => {
            sandbox.power_on_all()?;
            sandbox
        }
        Ok(sandbox) => {
            return Err(CommandError::usage(format!(
                "a sandbox of {} hosts is up, but {count} are asked for",
                sandbox.hosts().len()
            ))
            .hint("end it first: `wire-deploy sandbox down`"));
        }
        Err(_) => Sandbox::up(&Options {
            folder: machines.to_owned(),
            hosts: (1..=count).map(|number| HostOptions::named(&format!("host{number}"))).collect(),
            packages: Vec::new(),
            lifetime: Lifetime::UntilDown,
        })?,
    };
    let services: Vec<_> = services::ALL.iter().map(|service| service.name()).collect();
    let groups: Vec<_> = services.iter().map(ServiceName::as_str).collect();
    let site_file = site::write(&sandbox, Path::new(FOLDER), &groups)?;
    let rows = sandbox.hosts().iter().map(|host| vec![host.name().into(), host.address.to_string().into()]);
    list(session, &["host", "address"], rows.collect());
    session.reporter.send(EventKind::Note {
        message: format!("their site is {}; `wire-deploy sandbox run -- apply` installs it", site_file.display()),
    });
    Ok(ExitCode::Done)
}

/// Goes on as another program, whose exit code is then this one's.
fn become_program(command: &mut Command) -> Outcome {
    let error = command.exec();
    Err(CommandError::failed(format!("cannot run {}", command.get_program().display())).because(error))
}
