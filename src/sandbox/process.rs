//! Running the machine's programs, and telling whether a process still is the one it was.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Runs a program to its end; its complaint is the error.
pub(super) fn run(command: &mut Command) -> Result<()> {
    finish(command.stdin(Stdio::null()), None)
}

/// Runs a program to its end with a text as its input.
pub(super) fn run_with_input(command: &mut Command, input: &str) -> Result<()> {
    finish(command.stdin(Stdio::piped()), Some(input))
}

fn finish(command: &mut Command, input: Option<&str>) -> Result<()> {
    let name = command.get_program().display().to_string();
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().with_context(|| format!("starting {name}"))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        pipe.write_all(text.as_bytes()).with_context(|| format!("writing to {name}"))?;
    }
    let output = child.wait_with_output().with_context(|| format!("waiting for {name}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = complaint.trim().lines().collect();
        bail!("{name} failed ({}): {}", output.status, lines[lines.len().saturating_sub(5)..].join(" | "));
    }
    Ok(())
}

/// A process's memory in bytes, its share of what it has in common with others; nothing if it has ended.
pub(super) fn memory(process: i32) -> Result<u64> {
    let Ok(text) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else { return Ok(0) };
    let share = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = share.and_then(|share| share.trim().strip_suffix(" kB"));
    // A process that is ending has no memory any more.
    kibibytes.map_or(Ok(0), |number| Ok(number.trim().parse::<u64>().context("reading smaps_rollup")? * 1024))
}

/// A process, told from a later one of the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    number: u32,
    /// Clock ticks since boot.
    started: u64,
}

impl Identity {
    /// This process.
    pub(super) fn own() -> Result<Self> {
        let number = std::process::id();
        let started = start_time(number).context("reading this process's start time")?;
        Ok(Self { number, started })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(self) -> bool {
        start_time(self.number) == Some(self.started)
    }
}

/// Field 22 of `/proc/N/stat`; the name in field 2 may hold spaces and parentheses.
fn start_time(number: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends() {
        assert!(Identity::own().unwrap().is_alive());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity { number: child.id(), started: start_time(child.id()).unwrap() };
        assert!(identity.is_alive());
        assert!(!Identity { started: identity.started + 1, ..identity }.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let error = run(Command::new("ls").arg("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
