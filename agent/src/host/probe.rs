//! Things only looked at.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::FileType;

use super::directory::at;
use super::problem::{Doing as _, Problem};
use super::root::Root;
use crate::resource::Probe;
use crate::state::State;

/// A file whose lines are looked at is read up to this many bytes.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;
/// The `st` column of /proc/net/tcp for a listening socket.
const LISTENING: &str = "0A";

/// Looks.
///
/// # Errors
/// When it cannot be looked at.
pub fn observe(root: &Root, wanted: &Probe) -> Result<State, Problem> {
    match wanted {
        Probe::Lines { path, prefix } => lines(root, path, prefix),
        Probe::Path { path } => {
            let Some((_, found)) = at(root, path)? else { return Ok(State::Absent) };
            let empty = found.kind == FileType::Directory
                && fs::read_dir(root.path(path)).doing(format!("read {path}"))?.next().is_none();
            let device = fs::symlink_metadata(root.path(path)).doing(format!("look at {path}"))?.dev();
            Ok(State::Exists { empty, device })
        }
        Probe::Port { port } => Ok(listener(root, *port)),
        Probe::Address { address } => Ok(super::address::observe(root, *address)),
    }
}

fn lines(root: &Root, path: &str, prefix: &str) -> Result<State, Problem> {
    let Some((place, _)) = at(root, path)? else { return Ok(State::Absent) };
    let mut lines = Vec::new();
    for line in BufReader::new(place.open()?.take(LONGEST_FILE)).lines() {
        let line = line.doing(format!("read {path}"))?;
        if line.starts_with(prefix) {
            lines.push(line);
        }
    }
    Ok(State::Lines { lines })
}

/// The process that listens on a TCP port: its socket's inode, then who has that inode open.
fn listener(root: &Root, port: u16) -> State {
    let mut inodes = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(root.path(table)).unwrap_or_default();
        inodes.extend(text.lines().filter_map(|line| listening_inode(line, port)));
    }
    if inodes.is_empty() {
        return State::Absent;
    }
    let processes = fs::read_dir(root.path("/proc")).into_iter().flatten().flatten();
    let numbered = processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let owner = numbered.map(|entry| entry.path()).find(|process| has_socket(process, &inodes));
    let text = |name: &str| owner.as_ref().and_then(|process| fs::read_to_string(process.join(name)).ok());
    State::Listening {
        program: text("comm").map(|comm| comm.trim().to_owned()).unwrap_or_default(),
        unit: text("cgroup").and_then(|cgroup| unit_of(&cgroup)),
    }
}

fn listening_inode(line: &str, port: u16) -> Option<String> {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == LISTENING && u16::from_str_radix(local, 16) == Ok(port);
    listens.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
}

fn has_socket(process: &Path, sockets: &HashSet<String>) -> bool {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let mut targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

/// The unit in whose control group a process is: the last part of the path that is a unit's name, of systemd's own
/// hierarchy (version 2: `0::/…`, version 1: `…:name=systemd:/…`).
fn unit_of(cgroup: &str) -> Option<String> {
    let line = cgroup
        .lines()
        .find(|line| line.contains(":name=systemd:"))
        .or_else(|| cgroup.lines().find(|line| line.starts_with("0::")))?;
    let path = line.rsplit_once(':')?.1;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    Some(unit.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_program() {
        let root = Root::new("/");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        match observe(&root, &Probe::Port { port }).unwrap() {
            State::Listening { program, .. } => assert_eq!(program, own.trim()),
            other => panic!("{other:?}"),
        }
        drop(listener);
        assert_eq!(observe(&root, &Probe::Port { port }).unwrap(), State::Absent);
    }

    #[test]
    fn units_are_found_in_both_kinds_of_control_groups() {
        for (cgroup, unit) in [
            ("0::/system.slice/redis-server.service\n", Some("redis-server.service")),
            ("0::/system.slice/system-redis.slice/redis@1.service/inner\n", Some("redis@1.service")),
            ("4:memory:/x.service\n1:name=systemd:/system.slice/etcd.service\n0::/\n", Some("etcd.service")),
            ("0::/init.scope\n", Some("init.scope")),
            ("0::/\n", None),
        ] {
            assert_eq!(unit_of(cgroup).as_deref(), unit, "{cgroup}");
        }
    }

    #[test]
    fn lines_and_paths_are_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        fs::create_dir_all(root.path("/etc/empty")).unwrap();
        fs::write(root.path("/etc/sentinel.conf"), "port 1\nsentinel monitor a\n# sentinel\nsentinel known b").unwrap();
        let lines = |path: &str| Probe::Lines { path: path.to_owned(), prefix: "sentinel ".to_owned() };
        let expected = vec!["sentinel monitor a".to_owned(), "sentinel known b".to_owned()];
        assert_eq!(observe(&root, &lines("/etc/sentinel.conf")).unwrap(), State::Lines { lines: expected });
        assert_eq!(observe(&root, &lines("/etc/none")).unwrap(), State::Absent);
        let path = |path: &str| observe(&root, &Probe::Path { path: path.to_owned() }).unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        assert_eq!(path("/etc"), State::Exists { empty: false, device });
        assert_eq!(path("/etc/empty"), State::Exists { empty: true, device });
        assert_eq!(path("/etc/sentinel.conf"), State::Exists { empty: false, device });
        assert_eq!(path("/none/there"), State::Absent);
    }
}
