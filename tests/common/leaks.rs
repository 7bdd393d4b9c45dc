//! After all of that: is a secret anywhere it must not be?

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;

use super::world::{HOSTS, World, files_below};

/// Shorter texts are no secrets: they may be anywhere by chance.
const SHORTEST: usize = 16;
/// Larger files beside the site are programs and images, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// What anyone may read: nobody does. Temporary file systems are file systems of their own.
const READABLE: &str = "exec setpriv --reuid 65534 --regid 65534 --clear-groups find / /run /tmp /dev/shm -xdev -type f -readable \
                        -newer /etc/machine-id -size -4096k -exec cat {} +";
/// What programs say, to journald and to files of their own.
const LOGS: &str = "journalctl --no-pager --output=cat; \
                    find /var/log -path /var/log/journal -prune -o -type f -size -65536k -exec cat {} +";
/// `cat` exits with an error for processes that end meanwhile.
const ARGUMENTS: &str = "cat /proc/[0-9]*/cmdline";
/// MinIO takes its root password from nowhere else; who can read that, root and itself, can read the file that it comes from, too.
const ENVIRONMENTS: &str =
    "for process in /proc/[0-9]*; do [ \"$(cat $process/comm)\" = minio ] || cat $process/environ; done";
/// The private keys that were installed. Those of sshd and of Debian's packages are not ours.
const KEYS: &str = "find /etc -path /etc/ssh -prune -o -path /etc/ssl -prune -o -type f -exec cat {} +";

pub fn none(world: &World) {
    let secrets = Secrets::of(world);

    // Everything the runs left beside the site: records, events, reports, plans. What a test copied to log in with is its own.
    let files = files_below(&world.folder);
    assert!(files.iter().any(|path| path.starts_with(world.file("runs"))), "no runs were recorded");
    let is_searched = |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.len() < LARGEST);
    for path in files.iter().filter(|path| is_searched(path) && !is_for_logging_in(path)) {
        assert!(!secrets.are_in(&fs::read(path).unwrap()), "a secret is in {}", path.display());
    }
    let places = [
        ("a file that anyone can read", READABLE),
        ("a log", LOGS),
        ("a process's arguments", ARGUMENTS),
        ("a process's environment", ENVIRONMENTS),
    ];
    for host in HOSTS {
        for (place, script) in places {
            let found = shell(world, host, script);
            assert!(!found.is_empty(), "{place} on {host} cannot be looked at");
            assert!(!secrets.are_in(&found), "a secret is in {place} on {host}");
        }
    }
}

/// What is searched for.
struct Secrets(AhoCorasick);

impl Secrets {
    /// Every generated and provided secret, and the body of every private key that was installed.
    fn of(world: &World) -> Self {
        let listed = world.run(&["--output", "json", "secrets", "list"]).expect_code(0).objects();
        let mut secrets = BTreeSet::from([world.sandbox().sudo_password().to_owned()]);
        for secret in &listed {
            let shown = world.run(&["secrets", "show", secret["secret"].as_str().unwrap(), "--yes"]).expect_code(0);
            secrets.extend(telling_lines(&shown.stdout));
        }
        for host in HOSTS {
            let text = String::from_utf8_lossy(&shell(world, host, KEYS)).into_owned();
            let keys = text.find("-----BEGIN").map(|begin| &text[begin..]).unwrap_or_default();
            secrets.extend(telling_lines(keys));
        }
        assert!(secrets.len() >= 4, "too few secrets to search for: {}", secrets.len());
        Self(AhoCorasick::new(secrets).unwrap())
    }

    fn are_in(&self, content: &[u8]) -> bool {
        self.0.is_match(content)
    }
}

/// The lines that are secret in themselves: of PEM those of private keys alone.
fn telling_lines(text: &str) -> BTreeSet<String> {
    let is_pem = text.contains("-----BEGIN");
    let mut in_key = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("-----") {
            in_key = line.contains("BEGIN") && line.contains("PRIVATE KEY");
        } else if line.len() >= SHORTEST && (in_key || !is_pem) {
            found.insert(line.to_owned());
        }
    }
    found
}

fn shell(world: &World, host: &str, script: &str) -> Vec<u8> {
    world.sandbox().exec(host, &["bash", "-c", script]).unwrap().stdout
}

/// The secrets' own file with what opens it, and what tests log in with themselves.
fn is_for_logging_in(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["age", "identity", "key", "pem"].contains(&extension) || path.ends_with("wire-api.yaml")
}
