//! Control groups: each host has its own in every hierarchy, so that ending a host is ending all in its groups.
//!
//! They are children of the hierarchies' roots, not of the caller's groups: a sandbox outlives the shell that made it.
//! systemd-nspawn makes a host's group the root of what the host sees; without one, hosts would share each other's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

const MOUNT: &str = "/sys/fs/cgroup";

/// The groups of a sandbox, one per mounted hierarchy (version 1, version 2 or both).
pub(super) fn paths(number: u8) -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
    let groups: Vec<PathBuf> = hierarchies(&text, Path::is_dir)
        .into_iter()
        .map(|hierarchy| hierarchy.join(format!("wire-deploy-sandbox-{number}")))
        .collect();
    if groups.is_empty() {
        bail!("no control group hierarchy is mounted under {MOUNT}; the sandbox needs at least one");
    }
    Ok(groups)
}

/// The roots of the hierarchies that `/proc/self/cgroup` lists (`number:controllers:path`) and that are mounted.
fn hierarchies(text: &str, is_mounted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mount = Path::new(MOUNT);
    let unified = mount.join("unified");
    let names = text.lines().filter_map(|line| line.split(':').nth(1));
    names
        .map(|controllers| match controllers.strip_prefix("name=").unwrap_or(controllers) {
            "" if is_mounted(&unified) => unified.clone(),
            "" => mount.to_owned(),
            name => mount.join(name),
        })
        .filter(|path| is_mounted(path))
        .collect()
}

/// A host's groups below the sandbox's.
pub(super) fn of_host(sandbox: &[PathBuf], host: &str) -> Vec<PathBuf> {
    sandbox.iter().map(|group| group.join(host)).collect()
}

/// Makes groups whose parents exist.
pub(super) fn create(groups: &[PathBuf]) -> Result<()> {
    for group in groups {
        match fs::create_dir(group) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("making the control group {}", group.display()));
            }
            _ => {}
        }
        // A cpuset of version 1 starts empty and takes no process before it is filled.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = group.join(file);
            let parents = group.parent().map(|parent| parent.join(file)).filter(|path| path.is_file());
            if let Some(parents) = parents
                && group.join("cpuset.cpu_exclusive").is_file()
            {
                let value = fs::read(&parents).with_context(|| format!("reading {}", parents.display()))?;
                fs::write(&own, value).with_context(|| format!("writing {}", own.display()))?;
            }
        }
    }
    Ok(())
}

/// Moves a process into groups.
pub(super) fn enter(groups: &[PathBuf], process: u32) -> Result<()> {
    for group in groups {
        let list = group.join("cgroup.procs");
        fs::write(&list, process.to_string()).with_context(|| format!("writing {}", list.display()))?;
    }
    Ok(())
}

/// The processes in groups and below.
pub(super) fn processes(groups: &[PathBuf]) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for group in groups {
        visit(group, &mut |folder| {
            let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|process| *process > 0));
        });
    }
    found
}

/// The processor time that all processes in groups and below have taken.
pub(super) fn processor_time(groups: &[PathBuf]) -> Result<Duration> {
    for group in groups {
        // Version 1 counts nanoseconds in a hierarchy of its own; version 2 microseconds.
        if let Ok(text) = fs::read_to_string(group.join("cpuacct.usage")) {
            return Ok(Duration::from_nanos(text.trim().parse().context("reading cpuacct.usage")?));
        }
        let text = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
        let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        if let (Some(usage), [_]) = (usage, groups) {
            return Ok(Duration::from_micros(usage.parse().context("reading cpu.stat")?));
        }
    }
    bail!("the kernel does not count processor time by control group")
}

/// Ends every process in groups and below, then removes them.
pub(super) fn end(groups: &[PathBuf]) -> Result<()> {
    let mut left = processes(groups);
    for _ in 0..500 {
        if left.is_empty() {
            break;
        }
        for process in left.iter().filter_map(|process| Pid::from_raw(*process)) {
            // One that ended meanwhile is what is wanted.
            let _ = kill_process(process, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
        left = processes(groups);
    }
    if !left.is_empty() {
        bail!("{} processes do not end: {left:?}", left.len());
    }
    let mut folders = Vec::new();
    for group in groups {
        visit(group, &mut |folder| folders.push(folder.to_owned()));
    }
    folders.iter().rev().try_for_each(|folder| remove(folder))
}

/// A group whose last process has just ended may be busy for a moment.
fn remove(group: &Path) -> Result<()> {
    for _ in 0..100 {
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
    fs::remove_dir(group).with_context(|| format!("removing the control group {}", group.display()))
}

/// Visits a folder and those below, parents first.
fn visit(folder: &Path, visitor: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    visitor(folder);
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path(), visitor);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let hybrid = "9:name=systemd:/\n4:memory:/a/b\n1:cpu,cpuacct:/\n0::/\n";
        let found = hierarchies(hybrid, |path| path != Path::new("/sys/fs/cgroup/memory"));
        let expected = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/unified"];
        assert_eq!(found, expected.map(PathBuf::from));
        let pure = hierarchies("0::/user.slice\n", |path| path == Path::new(MOUNT));
        assert_eq!(pure, [PathBuf::from(MOUNT)]);
    }
}
