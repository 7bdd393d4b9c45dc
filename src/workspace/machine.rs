//! Who runs the program, and where: what a lease says about its holder.

use std::fs;

use wire_deploy_agent::state::Lease;

/// A person's run on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `user@machine`.
    pub name: String,
    /// /etc/machine-id, which tells machines of the same name apart.
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
        Self { name: format!("{user}@{host}"), machine: line("/etc/machine-id"), process: std::process::id() }
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

    /// Whether a lease was left by a process of this machine that lives no more. A machine without an id knows nothing.
    #[must_use]
    pub fn knows_dead(&self, lease: &Lease) -> bool {
        !self.machine.is_empty()
            && lease.machine == self.machine
            && lease.process != self.process
            && !fs::exists(format!("/proc/{}", lease.process)).unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
