//! A process that is measured, and what is said of times.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A process that is told lines and answers in lines, until dropped.
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(program: &Path, file: &Path, what: &str) -> Self {
        let mut command = Command::new(program);
        command.arg(file).arg(what).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What its threads have used.
    pub fn processor_time(&self) -> Duration {
        processor_time(&self.child.id().to_string())
    }

    /// Its memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the threads of a process have used: the kernel tells each's in nanoseconds.
pub fn processor_time(process: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let used = threads.filter_map(|thread| {
        let times = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}

pub fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("median {:?}, 99th percentile {:?}", times[times.len() / 2], times[times.len() * 99 / 100])
}
