//! Facts about the host, from the kernel and a few files: no program is run.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::StatVfsMountFlags;

use super::root::Root;
use crate::state::{Facts, FileSystem};

/// The paths whose file systems are of interest.
const FILE_SYSTEMS: [&str; 6] = ["/", "/var", "/var/lib", "/etc", "/run", "/tmp"];

/// Milliseconds since the epoch by the host's clock.
#[must_use]
pub fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Gathers them; what cannot be found out is left empty.
#[must_use]
pub fn gather(root: &Root) -> Facts {
    let text = |path: &str| fs::read_to_string(root.path(path)).unwrap_or_default();
    let system = text("/etc/os-release");
    let uname = rustix::system::uname();
    let memory = text("/proc/meminfo");
    let kilobytes: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    Facts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        os: assignment(&system, "ID"),
        release: assignment(&system, "VERSION_CODENAME"),
        release_version: assignment(&system, "VERSION_ID"),
        architecture: uname.machine().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory: kilobytes * 1024,
        systemd: root.has_systemd(),
        clock: clock(),
        boot: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        file_systems: FILE_SYSTEMS.iter().filter_map(|path| file_system(root, path)).collect(),
        addresses: own_addresses(root),
    }
}

fn file_system(root: &Root, path: &str) -> Option<FileSystem> {
    let stat = rustix::fs::statvfs(root.path(path)).ok()?;
    Some(FileSystem {
        path: path.to_owned(),
        size: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bfree.saturating_mul(stat.f_frsize),
        read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        no_exec: stat.f_flag.contains(StatVfsMountFlags::NOEXEC),
    })
}

/// A value of a file of shell assignments, without its quotes.
fn assignment(text: &str, name: &str) -> String {
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).next().unwrap_or_default()
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
    fn a_release_is_what_its_file_says() {
        let text = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        assert_eq!(assignment(text, "ID"), "debian");
        assert_eq!(assignment(text, "VERSION_ID"), "12");
        assert_eq!(assignment(text, "VERSION"), "");
    }

    #[test]
    fn this_machine_is_known() {
        let facts = gather(&Root::new("/"));
        assert!(facts.memory > 1024 * 1024 && !facts.kernel.is_empty() && !facts.boot.is_empty(), "{facts:?}");
        assert!(facts.file_systems.iter().any(|found| found.path == "/" && found.size > 0));
    }
}
