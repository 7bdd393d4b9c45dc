//! The command line: arguments in, an exit code out. The commands call the other rooms and decide nothing themselves.

use std::ffi::OsString;

use crate::report::{self, Options, Reporter};

pub mod arguments;
mod commands;
pub mod error;
pub mod exit;
pub mod interrupt;

use arguments::{Arguments, Globals};
use exit::ExitCode;

/// What every command is given.
pub struct Session {
    /// The flags that every command has.
    pub globals: Globals,
    /// Where it reports.
    pub reporter: Reporter,
}

/// Runs the program with these arguments, its own name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    let arguments = match arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(refused) => return usage(&refused).into(),
    };
    let Arguments { globals, command } = arguments;
    report::choose_colors(globals.colors());
    let junit = command.recording().and_then(|recording| recording.junit.clone());
    let (reporter, writer) = report::start(Options { output: globals.output(), verbosity: globals.verbosity(), junit });
    let session = Session { globals, reporter };
    let (exit_code, complaint) = match commands::run(&session, command) {
        Ok(exit_code) => (exit_code, None),
        Err(error) => (error.exit_code, Some(error.complaint)),
    };
    let written = writer.finish(exit_code.code(), complaint);
    if exit_code == ExitCode::Done && !written { ExitCode::Failed.into() } else { exit_code.into() }
}

/// Shows help, the version or what does not fit. clap's own code for the latter, 2, would mean changes.
fn usage(refused: &clap::Error) -> ExitCode {
    // A reader that went away is not an error.
    let _ = refused.print();
    if refused.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
}
