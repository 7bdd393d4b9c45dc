//! Programs that the agent runs: no shell, no standard input, a small fixed environment, an end.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::problem::{Doing as _, Problem};

/// So many of the last lines of a program's output are kept for the case that it fails.
const KEPT_LINES: usize = 40;
/// A longer line is cut.
const LONGEST_LINE: usize = 4096;
/// How long a program that was asked to end has before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// The exit code that a shell would give for a program that does not exist.
pub const NOT_FOUND: i32 = 127;

/// A program to run.
pub struct Program {
    command: Command,
    name: String,
    timeout: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 and the number of the signal that ended it.
    pub code: i32,
    /// The last lines of its output.
    pub lines: Vec<String>,
    /// What it was, for messages.
    name: String,
}

impl Program {
    /// A program and its arguments.
    pub fn new<I: AsRef<str>>(program: &str, arguments: impl IntoIterator<Item = I>) -> Self {
        let mut command = Command::new(program);
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C.UTF-8").env("HOME", "/root").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        command.current_dir("/").stdin(Stdio::null());
        Self { command, name: program.to_owned(), timeout: Duration::from_secs(60) }
    }

    /// One more variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Seconds until it is ended.
    #[must_use]
    pub fn timeout(mut self, seconds: u32) -> Self {
        self.timeout = Duration::from_secs(u64::from(seconds));
        self
    }

    /// Starts it with its output to be read all at once; for programs that answer quickly.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut self) -> Result<Child, Problem> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().doing(format!("run {}", self.name))
    }

    /// Runs it to its end; `on_line` gets each line of its output as it comes.
    ///
    /// # Errors
    /// When it cannot be started or takes too long. A program that does not exist ends with code 127.
    pub fn run(mut self, on_line: &mut dyn FnMut(&str)) -> Result<Ended, Problem> {
        let doing = format!("run {}", self.name);
        let (mut reader, writer) = io::pipe().doing(&doing)?;
        self.command.stdout(writer.try_clone().doing(&doing)?).stderr(writer).process_group(0);
        let mut child = match self.command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Ended {
                    code: NOT_FOUND,
                    lines: vec![format!("{}: not found", self.name)],
                    name: self.name,
                });
            }
            spawned => spawned.doing(&doing)?,
        };
        // The command holds the pipe's other end: while it does, the pipe has no end.
        drop(self.command);
        let mut output = Lines::default();
        let deadline = Instant::now() + self.timeout;
        let mut buffer = [0; 8192];
        let mut ended = None;
        loop {
            // A daemon that the program left behind may hold the pipe open: the program's own end counts.
            let wait = if ended.is_some() { Duration::ZERO } else { Duration::from_millis(200) };
            if readable(&reader, wait).doing(&doing)? {
                match reader.read(&mut buffer).doing(&doing)? {
                    0 => break,
                    length => output.push(&buffer[..length], on_line),
                }
            } else if ended.is_some() {
                break;
            }
            ended = child.try_wait().doing(&doing)?;
            if ended.is_none() && Instant::now() > deadline {
                stop(&mut child);
                let seconds = self.timeout.as_secs();
                return Err(Problem::new(format!("{} did not end within {seconds} seconds", self.name))
                    .log(output.finish(on_line)));
            }
        }
        let status = match ended {
            Some(status) => status,
            None => wait(&mut child, deadline).doing(&doing)?,
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Ok(Ended { code, lines: output.finish(on_line), name: self.name })
    }
}

impl Ended {
    /// A program's end, for tests of what is made of it.
    #[cfg(test)]
    pub fn of(code: i32, lines: &[&str]) -> Self {
        Self { code, lines: lines.iter().map(|line| (*line).to_owned()).collect(), name: "program".to_owned() }
    }

    /// Nothing, if it ended well.
    ///
    /// # Errors
    /// When it did not, with its last lines.
    pub fn success(self) -> Result<(), Problem> {
        match self.code {
            0 => Ok(()),
            code => Err(Problem::new(format!("{} ended with exit code {code}", self.name)).log(self.lines)),
        }
    }
}

fn readable(reader: &io::PipeReader, wait: Duration) -> io::Result<bool> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a program that has closed its output, which is usually its end.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<std::process::ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            stop(child);
            return child.wait();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends a program and all it started in its process group.
fn stop(child: &mut Child) {
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process_group(group, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

/// Bytes in, lines out, the last ones kept.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    last: VecDeque<String>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line(on_line);
            } else if self.partial.len() < LONGEST_LINE {
                self.partial.push(byte);
            }
        }
    }

    fn end_line(&mut self, on_line: &mut dyn FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
        self.partial.clear();
        if line.is_empty() {
            return;
        }
        on_line(&line);
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn finish(mut self, on_line: &mut dyn FnMut(&str)) -> Vec<String> {
        self.end_line(on_line);
        self.last.into()
    }
}
