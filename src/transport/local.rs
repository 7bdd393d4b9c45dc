//! This machine as a host: the same agent, started by the same script, as a child process.

use std::process::Stdio;
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::Problem;
use super::link::{Diagnostics, Ended, Link};

/// Runs a program with its arguments.
pub(super) fn run(program: &[String]) -> Result<Link, Problem> {
    let failed =
        |reason: String| Problem::new(format!("/bin/sh cannot be started: {reason}"), "see whether it is there");
    let (first, arguments) = program.split_first().ok_or_else(|| failed("no program".to_owned()))?;
    let mut child = Command::new(first)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for us: the agent finishes the step in hand.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (Some(stdin), Some(stdout), Some(mut stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("its streams are missing".to_owned()));
    };
    let diagnostics = Arc::new(Diagnostics::default());
    let kept = Arc::clone(&diagnostics);
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
            kept.add(&buffer[..count]);
        }
    });
    let waiting = tokio::spawn(async move {
        let status = child.wait().await;
        let _ = reading.await;
        match status {
            Ok(status) => Ended { code: status.code(), reason: format!("it ended with {status}") },
            Err(error) => Ended { code: None, reason: format!("its end is not known: {error}") },
        }
    });
    let ended = async move {
        waiting.await.unwrap_or_else(|error| Ended { code: None, reason: format!("its end is not known: {error}") })
    };
    Ok(Link { reader: Box::new(stdout), writer: Box::new(stdin), diagnostics, ended: Box::pin(ended) })
}
