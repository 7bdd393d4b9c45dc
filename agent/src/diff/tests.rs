#![allow(clippy::unwrap_used, clippy::expect_used)]
use proptest::prelude::*;

use super::*;
use crate::resource::{Exec, Group, Package, Probe};

fn key() -> FingerprintKey {
    FingerprintKey(b"the host's own".to_vec())
}

fn owner(text: &str) -> Owner {
    let (user, group) = text.split_once(':').unwrap();
    Owner { user: user.to_owned(), group: group.to_owned() }
}

/// A change as `action: field from→to, …`; empty for none.
fn summary(resource: &Resource, state: &State) -> String {
    let Some(change) = diff(resource, state, &key()) else { return String::new() };
    let reasons: Vec<String> =
        change.reasons.iter().map(|reason| format!("{} {}→{}", reason.field, reason.from, reason.to)).collect();
    format!("{:?}: {}", change.action, reasons.join(", "))
}

fn check(resource: &Resource, table: &[(State, &str)]) {
    for (state, expected) in table {
        assert_eq!(summary(resource, state), *expected, "{state:?}");
    }
}

fn path(entry: Entry, owned_by: &str, mode: u32) -> State {
    State::Path(PathState { entry, owner: owner(owned_by), mode: Mode(mode) })
}

fn file_with(content: &str, text: Option<&str>) -> Entry {
    Entry::File { digest: Digest::of(content.as_bytes()), text: text.map(str::to_owned) }
}

fn wanted_file(content: Content) -> File {
    File {
        path: "/etc/a".to_owned(),
        owner: owner("root:redis"),
        mode: Mode(0o640),
        content,
        sensitive: false,
        ownership: Ownership::Ours,
    }
}

#[test]
fn directories() {
    let wanted = Directory { path: "/d".to_owned(), owner: owner("a:b"), mode: Mode(0o750), data: false };
    check(
        &Resource::Directory(wanted),
        &[
            (State::Absent, "Create: owner →a:b, mode →0750"),
            (path(Entry::Directory, "a:b", 0o750), ""),
            (path(Entry::Directory, "root:b", 0o755), "Update: owner root:b→a:b, mode 0755→0750"),
            (path(Entry::Symlink { target: "/e".to_owned() }, "a:b", 0o750), "Replace: kind symlink→directory"),
            (State::Failed { reason: "no".to_owned() }, "Update: state could not be looked at: no→as wanted"),
            (State::Group, "Update: state could not be looked at: the answer is of another kind→as wanted"),
        ],
    );
}

#[test]
fn files() {
    let wanted = Resource::File(wanted_file(Content::Text("new".to_owned())));
    check(
        &wanted,
        &[
            (State::Absent, "Create: content →11507a0e2f5e, owner →root:redis, mode →0640"),
            (path(file_with("new", None), "root:redis", 0o640), ""),
            (path(file_with("new", None), "root:root", 0o644), "Update: owner root:root→root:redis, mode 0644→0640"),
            (path(file_with("old", Some("old")), "root:redis", 0o640), "Update: content cba06b5736fa→11507a0e2f5e"),
            (path(Entry::Directory, "root:redis", 0o640), "Replace: kind directory→file"),
        ],
    );
    for content in [Content::Blob(Digest::of(b"new")), Content::Digest(Digest::of(b"new"))] {
        let wanted = Resource::File(wanted_file(content));
        check(&wanted, &[(path(file_with("new", None), "root:redis", 0o640), "")]);
    }
}

#[test]
fn texts_are_shown_only_where_they_may_be() {
    let text = |wanted: &File, state: &State| diff(&Resource::File(wanted.clone()), state, &key()).unwrap().text;
    let wanted = wanted_file(Content::Text("new".to_owned()));
    let change = |from: &str| Some(TextChange { from: from.to_owned(), to: "new".to_owned() });
    let other = |text| path(file_with("old", text), "root:redis", 0o640);
    assert_eq!(text(&wanted, &State::Absent), change(""));
    assert_eq!(text(&wanted, &other(Some("old"))), change("old"));
    assert_eq!(text(&wanted, &other(None)), None, "too long or not text");
    assert_eq!(text(&wanted, &path(file_with("new", None), "root:root", 0o640)), None, "only the owner differs");
    let sensitive = File { sensitive: true, ..wanted };
    assert_eq!(text(&sensitive, &State::Absent), None);
    assert_eq!(text(&sensitive, &other(Some("old"))), None);
    let long = wanted_file(Content::Text("x".repeat(65 * 1024)));
    assert_eq!(text(&long, &State::Absent), None);
}

#[test]
fn sensitive_files_are_compared_by_fingerprint() {
    let wanted = File { sensitive: true, ..wanted_file(Content::Text("hunter2".to_owned())) };
    let found = |digest| path(Entry::File { digest, text: None }, "root:redis", 0o640);
    let same = found(key().fingerprint(b"hunter2"));
    assert_eq!(diff(&Resource::File(wanted.clone()), &same, &key()), None);
    let plain = found(Digest::of(b"hunter2"));
    let change = diff(&Resource::File(wanted), &plain, &key()).unwrap();
    assert!(!format!("{change:?}").contains("hunter2"));
}

#[test]
fn what_a_service_rewrites_is_its_own() {
    let wanted = File { ownership: Ownership::Seed, ..wanted_file(Content::Text("first".to_owned())) };
    check(
        &Resource::File(wanted),
        &[
            (path(file_with("rewritten", None), "root:redis", 0o640), ""),
            (path(file_with("rewritten", None), "root:redis", 0o644), "Update: mode 0644→0640"),
            (State::Absent, "Create: content →a7937b64b8ca, owner →root:redis, mode →0640"),
        ],
    );
}

#[test]
fn symlinks() {
    let wanted = Symlink { path: "/l".to_owned(), target: "/new".to_owned() };
    let link = |target: &str| path(Entry::Symlink { target: target.to_owned() }, "root:root", 0o777);
    check(
        &Resource::Symlink(wanted),
        &[
            (State::Absent, "Create: target →/new"),
            (link("/new"), ""),
            (link("/old"), "Update: target /old→/new"),
            (path(Entry::Directory, "root:root", 0o755), "Replace: kind directory→symlink"),
        ],
    );
}

#[test]
fn users_and_groups() {
    let wanted = User {
        name: "u".to_owned(),
        group: "g".to_owned(),
        groups: vec!["tls".to_owned()],
        home: "/var/lib/u".to_owned(),
    };
    let found = |group: &str, groups: &[&str], home: &str| {
        State::User(UserState {
            group: group.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            home: home.to_owned(),
        })
    };
    check(
        &Resource::User(wanted),
        &[
            (State::Absent, "Create: group →g"),
            (found("g", &["other", "tls"], "/var/lib/u"), ""),
            (found("g", &[], "/var/lib/u"), "Update: groups →tls"),
            (found("h", &["tls"], "/"), "Update: group h→g, home /→/var/lib/u"),
        ],
    );
    check(
        &Resource::Group(Group { name: "g".to_owned() }),
        &[(State::Absent, "Create: group →present"), (State::Group, "")],
    );
}

#[test]
fn packages_are_never_downgraded() {
    let package = |name: &str, version: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        blob: Digest::of(name.as_bytes()),
        size: 1,
    };
    let wanted = Packages {
        name: "redis".to_owned(),
        wanted: vec!["redis-server".to_owned(), "redis-sentinel".to_owned()],
        closure: vec![
            package("redis-server", "5:7.0.15-1~deb12u5"),
            package("redis-sentinel", "5:7.0.15-1~deb12u5"),
            package("liblzf1", "3.6-3"),
        ],
    };
    let found = |installed: &[(&str, &str)], broken: &[&str]| State::Packages {
        installed: installed.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect(),
        broken: broken.iter().map(|&name| name.to_owned()).collect(),
    };
    let locked = "5:7.0.15-1~deb12u5";
    check(
        &Resource::Packages(wanted),
        &[
            (
                found(&[], &[]),
                "Create: version of redis-server →5:7.0.15-1~deb12u5, version of redis-sentinel →5:7.0.15-1~deb12u5",
            ),
            (found(&[("redis-server", locked), ("redis-sentinel", locked)], &[]), ""),
            (found(&[("redis-server", "6:0"), ("redis-sentinel", "5:7.2-1")], &[]), ""),
            (
                found(&[("redis-server", "5:7.0.15-1~deb12u4"), ("redis-sentinel", locked), ("liblzf1", "1")], &[]),
                "Update: version of redis-server 5:7.0.15-1~deb12u4→5:7.0.15-1~deb12u5",
            ),
            (
                found(&[("redis-sentinel", locked)], &["redis-server", "liblzf1"]),
                "Update: state of redis-server not configured→installed, state of liblzf1 not configured→installed",
            ),
        ],
    );
}

#[test]
fn archives_and_images() {
    let blob = Digest::of(b"new");
    let old = Digest::of(b"old");
    check(
        &Resource::Archive(Archive { path: "/opt/a".to_owned(), blob: blob.clone(), strip: 1 }),
        &[
            (State::Absent, "Create: archive →11507a0e2f5e"),
            (State::Archive { blob: Some(blob.clone()) }, ""),
            (State::Archive { blob: Some(old.clone()) }, "Replace: archive cba06b5736fa→11507a0e2f5e"),
            (State::Archive { blob: None }, "Replace: archive unknown→11507a0e2f5e"),
        ],
    );
    let image = ContainerImage { reference: "a:1".to_owned(), digest: blob.clone(), blob: old.clone() };
    check(
        &Resource::ContainerImage(image),
        &[
            (State::Absent, "Create: image →11507a0e2f5e"),
            (State::ContainerImage { digest: None }, "Create: image →11507a0e2f5e"),
            (State::ContainerImage { digest: Some(old) }, "Update: image cba06b5736fa→11507a0e2f5e"),
            (State::ContainerImage { digest: Some(blob) }, ""),
        ],
    );
}

#[test]
fn kernel_parameters() {
    let wanted = |tolerate| {
        Resource::Sysctl(Sysctl { name: "a.b".to_owned(), value: "4096 87380".to_owned(), at_least: false, tolerate })
    };
    let found = |value: &str, persistent: Option<&str>, writable| State::Sysctl {
        value: value.to_owned(),
        persistent: persistent.map(str::to_owned),
        writable,
    };
    check(
        &wanted(false),
        &[
            (found("4096\t87380", Some("4096 87380"), true), ""),
            (found("1", Some("4096 87380"), true), "Update: value 1→4096 87380"),
            (found("1", Some("4096 87380"), false), "Update: value 1→4096 87380"),
            (found("4096 87380", None, true), "Update: value after a reboot →4096 87380"),
        ],
    );
    check(
        &wanted(true),
        &[
            (found("1", Some("4096 87380"), false), ""),
            (found("1", Some("4096 87380"), true), "Update: value 1→4096 87380"),
            (found("1", None, false), "Update: value after a reboot →4096 87380"),
        ],
    );
}

#[test]
fn more_than_at_least_is_as_good() {
    let wanted =
        Resource::Sysctl(Sysctl { name: "a.b".to_owned(), value: "4096".to_owned(), at_least: true, tolerate: false });
    let found = |value: &str, persistent: Option<&str>| State::Sysctl {
        value: value.to_owned(),
        persistent: persistent.map(str::to_owned),
        writable: true,
    };
    check(
        &wanted,
        &[
            (found("4096", None), ""),
            (found("65535", None), ""),
            (found("65535", Some("8192")), ""),
            (found("128", Some("4096")), "Update: value 128→at least 4096"),
            (found("65535", Some("1024")), "Update: value after a reboot 1024→at least 4096"),
            (found("128", None), "Update: value 128→at least 4096, value after a reboot →at least 4096"),
        ],
    );
}

#[test]
fn units() {
    let new = Digest::of(b"new");
    let old = Digest::of(b"old");
    let found = |load: &str, active: &str, enabled, started: Option<&Digest>, next: Option<&Digest>| {
        State::Unit(UnitState {
            load: load.to_owned(),
            active: active.to_owned(),
            enabled,
            started_with: started.cloned(),
            next_start_with: next.cloned(),
            ..UnitState::default()
        })
    };
    let wanted = |enabled, running, started_with: Option<&Digest>| {
        Resource::Unit(Unit {
            name: "a.service".to_owned(),
            enabled,
            running,
            started_with: started_with.cloned(),
            reloaded_with: None,
            timeout_seconds: 10,
            attempts: 1,
        })
    };
    let (n, o) = (Some(&new), Some(&old));
    check(
        &wanted(true, true, n),
        &[
            (found("loaded", "active", true, n, n), ""),
            (found("loaded", "active", true, o, n), "Restart: started with cba06b5736fa→11507a0e2f5e"),
            (found("loaded", "active", true, None, None), "Restart: started with →11507a0e2f5e"),
            (found("loaded", "active", true, n, o), "Update: next start with cba06b5736fa→11507a0e2f5e"),
            (found("loaded", "active", false, n, n), "Update: at boot disabled→enabled"),
            (found("loaded", "failed", true, o, n), "Start: running failed→active"),
            (
                found("not-found", "inactive", false, None, None),
                "Start: at boot disabled→enabled, running not-found→active, next start with →11507a0e2f5e",
            ),
        ],
    );
    check(&wanted(true, true, None), &[(found("loaded", "active", true, o, None), "")]);
    check(
        &wanted(false, false, None),
        &[
            (found("not-found", "inactive", false, None, None), ""),
            (found("loaded", "inactive", false, None, None), ""),
            (found("loaded", "active", true, None, None), "Stop: at boot enabled→disabled, running active→inactive"),
            (found("loaded", "activating", false, None, None), "Stop: running activating→inactive"),
        ],
    );
}

#[test]
fn reloads() {
    let (new, old) = (Digest::of(b"new"), Digest::of(b"old"));
    let wanted = Resource::Unit(Unit {
        name: "a.service".to_owned(),
        enabled: true,
        running: true,
        started_with: Some(new.clone()),
        reloaded_with: Some(new.clone()),
        timeout_seconds: 10,
        attempts: 1,
    });
    let found = |active: &str, started: &Digest, reloaded: Option<&Digest>| {
        State::Unit(UnitState {
            load: "loaded".to_owned(),
            active: active.to_owned(),
            enabled: true,
            started_with: Some(started.clone()),
            next_start_with: Some(new.clone()),
            reloaded_with: reloaded.cloned(),
            next_reload_with: Some(new.clone()),
        })
    };
    check(
        &wanted,
        &[
            (found("active", &new, Some(&new)), ""),
            (found("active", &new, Some(&old)), "Reload: reloaded with cba06b5736fa→11507a0e2f5e"),
            (found("active", &new, None), "Reload: reloaded with →11507a0e2f5e"),
            (
                found("active", &old, Some(&old)),
                "Restart: started with cba06b5736fa→11507a0e2f5e, reloaded with cba06b5736fa→11507a0e2f5e",
            ),
            (found("inactive", &old, Some(&old)), "Start: running inactive→active"),
        ],
    );
}

#[test]
fn commands_and_probes() {
    let exec = Exec {
        name: "e".to_owned(),
        check: vec!["true".to_owned()],
        command: vec!["true".to_owned()],
        environment: Default::default(),
        once: false,
        undo: Vec::new(),
        timeout_seconds: 1,
    };
    check(
        &Resource::Exec(exec),
        &[(State::Exec { code: 0 }, ""), (State::Exec { code: 3 }, "Run: check exit code 3→exit code 0")],
    );
    let probe = Resource::Probe(Probe::Port { port: 1 });
    check(&probe, &[(State::Absent, ""), (State::Failed { reason: "no".to_owned() }, "")]);
}

proptest! {
    #[test]
    fn a_file_found_as_wanted_is_no_change(content in ".*", sensitive: bool, mode in 0..0o7777_u32) {
        let file = File { sensitive, mode: Mode(mode), ..wanted_file(Content::Text(content)) };
        let found = path(Entry::File { digest: wanted_digest(&file, &key()), text: None }, "root:redis", mode);
        prop_assert_eq!(diff(&Resource::File(file), &found, &key()), None);
    }
}
