//! `completions`: a script that completes commands and flags in a shell.

use crate::cli::Session;
use crate::cli::arguments::{self, Completions};
use crate::cli::exit::ExitCode;

pub(super) fn run(session: &Session, arguments: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut arguments::definition(), "wire-deploy", &mut script);
    session.reporter.print(String::from_utf8_lossy(&script));
    ExitCode::Done
}
