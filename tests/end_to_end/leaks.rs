//! After all of that: is a secret anywhere it must not be?

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::world::{HOSTS, World, files_below};

pub fn none(world: &World) {
    let secrets = secrets(world);
    assert!(secrets.len() >= 4, "too few secrets to search for: {}", secrets.len());
    let holds = |content: &[u8]| {
        secrets.iter().any(|secret| content.windows(secret.len()).any(|window| window == secret.as_bytes()))
    };

    // Everything the runs left beside the site: records, events, reports, plans. Only the secrets' own files may hold them.
    let files = files_below(&world.folder);
    assert!(files.iter().any(|path| path.starts_with(world.file("runs"))), "no runs were recorded");
    for path in files.iter().filter(|path| !is_secret_file(path)) {
        assert!(!holds(&fs::read(path).unwrap()), "a secret is in {}", path.display());
    }

    for host in HOSTS {
        // Arguments and environments of all processes. `cat` exits with an error for those that end meanwhile.
        for what in ["cmdline", "environ"] {
            let output = world.sandbox().exec(host, &["bash", "-c", &format!("cat /proc/[0-9]*/{what}")]).unwrap();
            assert!(!output.stdout.is_empty());
            assert!(!holds(&output.stdout), "a secret is in some process's {what} on {host}");
        }
        let readable = ["find", "/", "-xdev", "-type", "f", "-perm", "-o=r", "-newer", "/etc/machine-id"];
        let readable = [&readable[..], &["-size", "-4096k", "-exec", "cat", "{}", "+"]].concat();
        assert!(
            !holds(world.sandbox().exec(host, &readable).unwrap().stdout.as_slice()),
            "in a readable file on {host}"
        );
        let journal = world.sandbox().exec(host, &["journalctl", "--no-pager", "--output=cat"]).unwrap();
        assert!(!holds(&journal.stdout), "a secret is in the journal of {host}");
    }
}

/// Every generated password, and the body of every private key on the hosts.
fn secrets(world: &World) -> BTreeSet<String> {
    let listed = world.run(&["--output", "json", "secrets", "list"]).expect_code(0).objects();
    let mut secrets = BTreeSet::from([world.sandbox().sudo_password().to_owned()]);
    for secret in &listed {
        let name = secret["name"].as_str().or(secret["secret"].as_str()).unwrap();
        let shown = world.run(&["secrets", "show", name, "--yes"]).expect_code(0).stdout;
        secrets.extend(telling_lines(&shown));
    }
    for host in HOSTS {
        let keys = world.on(host, &["bash", "-c", "cat /etc/etcd/*/*.key /etc/redis/wire-deploy/tls/*.key"]);
        secrets.extend(telling_lines(&keys));
    }
    secrets
}

/// The lines that are secret in themselves: no `-----BEGIN`, nothing short enough to be there by chance.
fn telling_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.len() >= 16 && !line.starts_with("-----")).map(str::to_owned)
}

fn is_secret_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "age" || extension == "identity")
}
