//! Who runs the program, and where: what a lease says about its holder.

use std::{fs, io};

use rustix::io::Errno;
use rustix::process::Pid;
use wire_deploy_agent::state::Lease;

/// A person's run on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `user@machine`.
    pub name: String,
    /// Where its process id counts; empty where the kernel does not tell.
    pub machine: String,
    /// This process.
    pub process: u32,
}

impl Holder {
    /// This process on this machine.
    #[must_use]
    pub fn current() -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
        let host = line("/proc/sys/kernel/hostname");
        Self { name: format!("{user}@{host}"), machine: machine().unwrap_or_default(), process: std::process::id() }
    }

    /// The lease that a run of this holder asks for; the host fills the times in.
    #[must_use]
    pub fn lease(&self, run: &str) -> Lease {
        Lease {
            holder: self.name.clone(),
            run: run.to_owned(),
            machine: self.machine.clone(),
            process: self.process,
            since: 0,
            expires: 0,
        }
    }

    /// Whether a lease was left by a process of this machine that lives no more.
    #[must_use]
    pub fn knows_dead(&self, lease: &Lease) -> bool {
        !self.machine.is_empty() && lease.machine == self.machine && !lives(lease.process)
    }
}

/// This boot of this machine, and among its containers the one that shares its process ids with us. Machines made of one image have the
/// same machine-id, and so have containers.
fn machine() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{} {}", boot.trim(), namespace.display()))
}

/// Whether a process lives, also one of somebody else that /proc hides.
fn lives(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.is_some_and(|process| rustix::process::test_kill_process(process) != Err(Errno::SRCH))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_somebody_else_lives() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = child.id();
        assert!(lives(process) && lives(1));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!lives(process));
        let here = Holder::current();
        assert!(!here.knows_dead(&here.lease("run")) && here.machine.contains("pid:["), "{}", here.machine);
    }

    #[test]
    fn only_the_same_machine_knows_that_a_process_is_dead() {
        let holder = Holder { name: "root@here".into(), machine: "m1".into(), process: std::process::id() };
        // The largest process id that Linux gives out is 4194304.
        let mut left = Lease { process: 4_194_305, ..holder.lease("run") };
        assert!(holder.knows_dead(&left));
        left.process = 1;
        assert!(!holder.knows_dead(&left), "process 1 lives");
        left = Lease { machine: "m2".into(), process: 4_194_305, ..left };
        assert!(!holder.knows_dead(&left), "another machine's processes are unknown");
    }
}
