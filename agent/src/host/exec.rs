//! Commands guarded by a check.

use super::problem::Problem;
use super::process::{Ended, NOT_FOUND, Program};
use crate::resource::Exec;
use crate::state::State;

/// Runs the check.
///
/// # Errors
/// When it cannot be run or does not end.
pub fn observe(wanted: &Exec) -> Result<State, Problem> {
    Ok(State::Exec { code: run(wanted, &wanted.check, &mut |_| {})?.code })
}

/// Runs the command.
///
/// # Errors
/// When it fails.
pub fn apply(wanted: &Exec, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    run(wanted, &wanted.command, on_line)?.success()
}

/// Takes back what the command did. On a host where it was never done there may be nothing to do it with.
///
/// # Errors
/// When that fails.
pub fn undo(wanted: &Exec, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    if wanted.undo.is_empty() {
        return Ok(());
    }
    let ended = run(wanted, &wanted.undo, on_line)?;
    if ended.code == NOT_FOUND { Ok(()) } else { ended.success() }
}

fn run(wanted: &Exec, command: &[String], on_line: &mut dyn FnMut(&str)) -> Result<Ended, Problem> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Problem::new(format!("{} has an empty command", wanted.name)));
    };
    let program = Program::new(program, arguments).timeout(wanted.timeout_seconds);
    wanted.environment.iter().fold(program, |program, (name, value)| program.environment(name, value)).run(on_line)
}
