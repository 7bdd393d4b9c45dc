//! Facts about the host, from the kernel and a few files: no program is run.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{StatVfs, StatVfsMountFlags};

use super::root::Root;
use crate::resource::{Archive, Directory, Resource};
use crate::state::{Facts, FileSystem};

/// What containers and their networks need of the kernel.
const KERNEL: [&str; 5] = ["overlay", "bridge", "br_netfilter", "veth", "nf_tables"];
/// The paths whose file systems are of interest on any host.
const FILE_SYSTEMS: [&str; 7] = ["/", "/var", "/var/lib", "/usr", "/etc", "/run", "/tmp"];

/// Milliseconds since the epoch by the host's clock.
#[must_use]
pub fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Gathers them for a host that is to hold these resources; what cannot be found out is left empty.
#[must_use]
pub fn gather(root: &Root, resources: &[Resource]) -> Facts {
    // First of all: whatever takes its time here is no part of the request's way.
    let arrived = clock();
    let text = |path: &str| fs::read_to_string(root.path(path)).unwrap_or_default();
    let system = text("/etc/os-release");
    let uname = rustix::system::uname();
    let memory = text("/proc/meminfo");
    let bytes = |name: &str| -> u64 {
        let mut values =
            memory.lines().filter_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
        values.next().map_or(0, |kilobytes: u64| kilobytes * 1024)
    };
    Facts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        os: assignment(&system, "ID"),
        release: assignment(&system, "VERSION_CODENAME"),
        release_version: assignment(&system, "VERSION_ID"),
        architecture: uname.machine().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory: bytes("MemTotal:"),
        swap: bytes("SwapTotal:"),
        control_groups: control_groups(&text("/proc/self/mounts")),
        kernel_lacks: kernel_lacks(root, &uname.release().to_string_lossy()),
        systemd: root.has_systemd(),
        clock: arrived,
        answered: arrived,
        boot: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        file_systems: FILE_SYSTEMS
            .into_iter()
            .chain(resources.iter().filter_map(roomy))
            .filter_map(|path| file_system(root, path))
            .collect(),
        addresses: own_addresses(root),
        hardware_addresses: hardware_addresses(root),
        name_servers: name_servers(&text("/etc/resolv.conf")),
    }
}

/// The version of control groups that the mounts show: 2 where the only hierarchy is at the root of them.
fn control_groups(mounts: &str) -> u32 {
    let mut kinds = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let mut found = 0;
    for (path, kind) in kinds.by_ref() {
        match kind {
            "cgroup2" if path == "/sys/fs/cgroup" => return 2,
            "cgroup" => found = 1,
            _ => {}
        }
    }
    found
}

/// The servers that a resolver's configuration names (resolv.conf(5)).
fn name_servers(text: &str) -> Vec<String> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter_map(|words| match words[..] {
            ["nameserver", address, ..] => Some(address.to_owned()),
            _ => None,
        })
        .collect()
}

/// What containers need that the kernel's own lists of modules and of what is built in do not name. A kernel without such lists says
/// nothing.
fn kernel_lacks(root: &Root, release: &str) -> Vec<String> {
    let list = |name: &str| fs::read_to_string(root.path(&format!("/lib/modules/{release}/{name}")));
    let (Ok(modules), Ok(built_in)) = (list("modules.dep"), list("modules.builtin")) else { return Vec::new() };
    let has = |name: &&&str| [&modules, &built_in].iter().any(|list| list.contains(&format!("/{name}.ko")));
    KERNEL.iter().filter(|name| !has(name)).map(|name| (*name).to_owned()).collect()
}

/// Where a resource takes up much room.
fn roomy(resource: &Resource) -> Option<&str> {
    match resource {
        Resource::Directory(Directory { path, data: true, .. }) | Resource::Archive(Archive { path, .. }) => Some(path),
        _ => None,
    }
}

/// The file system that a path is on, or will be once it is made.
fn file_system(root: &Root, path: &str) -> Option<FileSystem> {
    let there =
        Path::new(path).ancestors().map(|path| root.path(&path.to_string_lossy())).find(|path| path.exists())?;
    let device = fs::metadata(&there).ok()?.dev();
    Some(described(path, device, &rustix::fs::statvfs(&there).ok()?))
}

fn described(path: &str, device: u64, stat: &StatVfs) -> FileSystem {
    FileSystem {
        path: path.to_owned(),
        device,
        size: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        files: stat.f_files,
        free_files: stat.f_favail,
        read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        no_exec: stat.f_flag.contains(StatVfsMountFlags::NOEXEC),
    }
}

/// A value of a file of shell assignments, without its quotes.
fn assignment(text: &str, name: &str) -> String {
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).next().unwrap_or_default()
}

/// The addresses of the host's network cards.
fn hardware_addresses(root: &Root) -> Vec<String> {
    let cards = fs::read_dir(root.path("/sys/class/net")).into_iter().flatten().flatten();
    let addresses = cards.filter_map(|card| fs::read_to_string(card.path().join("address")).ok());
    addresses.map(|address| address.trim().to_owned()).collect()
}

/// The host's own addresses but loopback and link-local ones.
pub fn own_addresses(root: &Root) -> Vec<String> {
    let text = |path: &str| fs::read_to_string(root.path(path)).unwrap_or_default();
    addresses(&text("/proc/net/fib_trie"), &text("/proc/net/if_inet6"))
}

/// The host's own addresses but loopback and link-local ones, from the kernel's routing trie (IPv4: each `/32 host LOCAL`
/// leaf) and its list of IPv6 addresses.
fn addresses(trie: &str, six: &str) -> Vec<String> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut leaf = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = leaf.filter(|address| !address.is_loopback() && !address.is_link_local())
        {
            found.push(address.into());
        }
    }
    for line in six.lines() {
        let digits = line.split_whitespace().next().and_then(|digits| u128::from_str_radix(digits, 16).ok());
        let address = digits.map(Ipv6Addr::from_bits);
        if let Some(address) = address.filter(|address| !address.is_loopback() && !address.is_unicast_link_local()) {
            found.push(address.into());
        }
    }
    found.sort();
    found.dedup();
    found.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::resource::{Mode, Owner};

    #[test]
    fn addresses_are_the_hosts_own() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.0.1\n        \
                    /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
                    Local:\n     |-- 10.0.0.1\n        /32 host LOCAL\n     |-- 169.254.0.7\n        /32 host LOCAL\n";
        let six = "00000000000000000000000000000001 01 80 10 80       lo\n\
                   fe800000000000000000000000000001 02 40 20 80     eth0\n\
                   fd000000000000000000000000000012 02 40 00 80     eth0\n";
        assert_eq!(addresses(trie, six), ["10.0.0.1", "fd00::12"]);
    }

    #[test]
    fn control_groups_are_known_by_their_mounts() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs ro\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw\ncgroup /sys/fs/cgroup/cpu cgroup rw\n";
        assert_eq!(control_groups(hybrid), 1);
        assert_eq!(control_groups("cgroup2 /sys/fs/cgroup cgroup2 rw\n"), 2);
        assert_eq!(control_groups("proc /proc proc rw\n"), 0);
    }

    #[test]
    fn name_servers_are_those_that_are_named() {
        assert_eq!(
            name_servers("# nameserver 1\nsearch a\nnameserver 10.0.0.1\nnameserver\t::1 # x\n"),
            ["10.0.0.1", "::1"]
        );
    }

    #[test]
    fn what_a_kernel_lacks_is_told_from_its_lists() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        assert!(kernel_lacks(&root, "1").is_empty(), "a kernel without lists says nothing");
        let modules = folder.path().join("lib/modules/1");
        fs::create_dir_all(&modules).unwrap();
        fs::write(
            modules.join("modules.dep"),
            "kernel/fs/overlayfs/overlay.ko.xz:\nkernel/net/bridge/br_netfilter.ko: x\n",
        )
        .unwrap();
        fs::write(modules.join("modules.builtin"), "kernel/net/bridge/bridge.ko\nkernel/drivers/net/veth.ko\n")
            .unwrap();
        assert_eq!(kernel_lacks(&root, "1"), ["nf_tables"]);
    }

    #[test]
    fn a_release_is_what_its_file_says() {
        let text = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        assert_eq!(assignment(text, "ID"), "debian");
        assert_eq!(assignment(text, "VERSION_ID"), "12");
        assert_eq!(assignment(text, "VERSION"), "");
    }

    #[test]
    fn this_machine_is_known() {
        let facts = gather(&Root::new("/"), &[]);
        assert!(facts.memory > 1024 * 1024 && !facts.kernel.is_empty() && !facts.boot.is_empty(), "{facts:?}");
        assert!(facts.file_systems.iter().any(|found| found.path == "/" && found.size > 0));
    }

    #[test]
    fn data_is_looked_at_where_it_goes_although_it_is_not_there_yet() {
        let directory = |path: &str, data| {
            let owner = Owner { user: "root".to_owned(), group: "root".to_owned() };
            Resource::Directory(Directory { path: path.to_owned(), owner, mode: Mode(0o755), data })
        };
        let resources = [directory("/proc/self/data/1", true), directory("/proc/self/other", false)];
        let facts = gather(&Root::new("/"), &resources);
        let proc = facts.file_systems.last().unwrap();
        assert_eq!((proc.path.as_str(), proc.size), ("/proc/self/data/1", 0), "{facts:?}");
        assert_eq!(facts.file_systems.len(), FILE_SYSTEMS.len() + 1);
    }

    #[test]
    fn what_is_reserved_for_root_is_not_free() {
        let stat = StatVfs {
            f_blocks: 100,
            f_bfree: 5,
            f_bavail: 0,
            f_frsize: 4096,
            f_files: 9,
            f_ffree: 2,
            f_favail: 1,
            ..rustix::fs::statvfs("/").unwrap()
        };
        let found = described("/", 1, &stat);
        assert_eq!((found.size, found.free, found.files, found.free_files), (409_600, 0, 9, 1));
    }
}
