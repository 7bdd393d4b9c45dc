#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::resource::{Directory, Exec, File, Group, Mode, Owner, Ownership, Symlink, Sysctl, User};
use crate::state::{Entry, PathState};

/// A host in a temporary folder, whose one user `me` of group `us` is whoever runs the tests.
struct Place {
    _folder: tempfile::TempDir,
    host: Host,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        fs::create_dir(root.path("/etc")).unwrap();
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        fs::write(root.path("/etc/passwd"), format!("me:x:{user}:{group}::/home/me:/bin/sh\n")).unwrap();
        fs::write(root.path("/etc/group"), format!("us:x:{group}:\nextra:x:4242:me\n")).unwrap();
        Self { _folder: folder, host: Host::new(root) }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.host.root.path(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    fn apply(&self, resources: &[Resource], transaction: Option<&str>) -> Result<Vec<Event>, Failure> {
        let mut events = Vec::new();
        let wanted = Wanted { resources, key: &key(), transaction };
        self.host.apply(&wanted, &|| false, &mut |event| events.push(event))?;
        Ok(events)
    }

    /// Applies, and makes sure that nothing is left to do.
    fn settle(&self, resources: &[Resource]) {
        self.apply(resources, None).unwrap();
        let states = self.host.observe(resources, &key());
        for (resource, state) in resources.iter().zip(&states) {
            assert_eq!(diff(resource, state, &key()), None, "{state:?}");
        }
        let events = self.apply(resources, None).unwrap();
        assert!(events.iter().all(|event| !matches!(event, Event::Applied { changed: true, .. })), "{events:?}");
    }

    fn observe(&self, resource: &Resource) -> State {
        self.host.observe(std::slice::from_ref(resource), &key()).pop().unwrap()
    }
}

fn key() -> FingerprintKey {
    FingerprintKey(b"key".to_vec())
}

fn me() -> Owner {
    Owner { user: "me".to_owned(), group: "us".to_owned() }
}

fn directory(path: &str, mode: u32) -> Directory {
    Directory { path: path.to_owned(), owner: me(), mode: Mode(mode), data: false }
}

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        owner: me(),
        mode: Mode(0o640),
        content: Content::Text(text.to_owned()),
        sensitive: false,
        ownership: Ownership::Ours,
    }
}

#[test]
fn plain_resources_settle_and_are_found_when_changed() {
    let place = Place::new();
    fs::create_dir_all(place.path("/proc/sys/vm")).unwrap();
    fs::write(place.path("/proc/sys/vm/swappiness"), "60\n").unwrap();
    let resources = [
        Resource::Directory(directory("/var/lib/thing", 0o750)),
        Resource::File(file("/etc/thing/thing.conf", "one")),
        Resource::File(File { sensitive: true, mode: Mode(0o600), ..file("/etc/thing/password", "hunter2") }),
        Resource::File(File { ownership: Ownership::Seed, ..file("/etc/thing/state", "first") }),
        Resource::Symlink(Symlink { path: "/etc/thing/current".to_owned(), target: "thing.conf".to_owned() }),
        Resource::Sysctl(Sysctl {
            name: "vm.swappiness".to_owned(),
            value: "1".to_owned(),
            at_least: false,
            tolerate: false,
        }),
    ];
    place.settle(&resources);
    assert_eq!(place.mode("/etc/thing"), 0o755);
    assert_eq!(place.mode("/var/lib/thing"), 0o750);
    assert_eq!(place.mode("/etc/thing/password"), 0o600);
    assert_eq!(place.text("/proc/sys/vm/swappiness"), "1");
    assert_eq!(fs::read_dir(place.path("/etc/thing")).unwrap().count(), 4, "no temporary file is left");

    fs::write(place.path("/etc/thing/thing.conf"), "edited by hand").unwrap();
    fs::write(place.path("/etc/thing/password"), "hunter3").unwrap();
    fs::write(place.path("/etc/thing/state"), "second").unwrap();
    fs::set_permissions(place.path("/etc/thing/state"), fs::Permissions::from_mode(0o644)).unwrap();
    let changed: Vec<bool> = resources
        .iter()
        .zip(place.host.observe(&resources, &key()))
        .map(|(resource, state)| diff(resource, &state, &key()).is_some())
        .collect();
    assert_eq!(changed, [false, true, true, true, false, false]);
    place.settle(&resources);
    assert_eq!(place.text("/etc/thing/state"), "second", "the service's own content stays");
    assert_eq!(place.mode("/etc/thing/state"), 0o640);
}

#[test]
fn a_kernel_parameter_is_raised_and_never_lowered_where_more_is_as_good() {
    let place = Place::new();
    fs::create_dir_all(place.path("/proc/sys/net/core")).unwrap();
    let wanted = |value: &str| {
        let (name, value) = ("net.core.somaxconn".to_owned(), value.to_owned());
        [Resource::Sysctl(Sysctl { name, value, at_least: true, tolerate: false })]
    };
    let ours = place.path("/etc/sysctl.d/90-wire-deploy-net.core.somaxconn.conf");
    fs::write(place.path("/proc/sys/net/core/somaxconn"), "65535\n").unwrap();
    let state = place.observe(&wanted("4096")[0]);
    assert_eq!(diff(&wanted("4096")[0], &state, &key()), None, "the host has more by itself");
    place.settle(&wanted("4096"));
    assert!(!ours.exists(), "a file of ours would lower it at the next boot");

    place.settle(&wanted("100000"));
    assert_eq!(place.text("/proc/sys/net/core/somaxconn"), "100000");
    assert!(ours.exists());
    let state = place.observe(&wanted("4096")[0]);
    assert_eq!(diff(&wanted("4096")[0], &state, &key()), None);
}

#[test]
fn a_text_is_reported_only_where_it_may_be_and_helps() {
    let place = Place::new();
    let reported = |file: &File| match place.observe(&Resource::File(file.clone())) {
        State::Path(PathState { entry: Entry::File { text, .. }, .. }) => text,
        other => panic!("{other:?}"),
    };
    fs::write(place.path("/etc/a"), "there").unwrap();
    let digest = |text: &str| Content::Digest(Digest::of(text.as_bytes()));
    let wanted = File { content: digest("wanted"), ..file("/etc/a", "") };
    assert_eq!(reported(&wanted).as_deref(), Some("there"));
    assert_eq!(reported(&File { content: digest("there"), ..wanted.clone() }), None);
    assert_eq!(reported(&File { sensitive: true, ..wanted.clone() }), None);
    fs::write(place.path("/etc/a"), [0xff]).unwrap();
    assert_eq!(reported(&wanted), None);
    fs::write(place.path("/etc/a"), "x".repeat(65_537)).unwrap();
    assert_eq!(reported(&wanted), None);
}

#[test]
fn what_is_in_the_way_is_replaced_only_if_nothing_is_lost() {
    let place = Place::new();
    fs::create_dir_all(place.path("/etc/folder/full")).unwrap();
    let failure = place.apply(&[Resource::File(file("/etc/folder", "x"))], None).unwrap_err();
    assert_eq!(failure.resource.unwrap().0, "file /etc/folder");
    assert!(place.path("/etc/folder/full").exists());
    assert!(!place.path("/etc/.folder.wire-deploy-new").exists());

    symlink("/somewhere", place.path("/etc/link")).unwrap();
    place.settle(&[Resource::File(file("/etc/link", "x"))]);
    symlink("/somewhere", place.path("/etc/data")).unwrap();
    let data = Directory { data: true, ..directory("/etc/data", 0o700) };
    place.apply(&[Resource::Directory(data)], None).unwrap_err();
    place.settle(&[Resource::Directory(directory("/etc/data", 0o700))]);
    place.apply(&[Resource::Directory(directory("/etc/link", 0o700))], None).unwrap_err();
}

#[test]
fn nobody_leads_the_agent_astray() {
    let place = Place::new();
    fs::create_dir_all(place.path("/etc/real")).unwrap();
    symlink("real", place.path("/etc/ours")).unwrap();
    place.settle(&[Resource::File(file("/etc/ours/file", "x"))]);
    for path in ["relative", "/etc/../file", "/", ""] {
        place.apply(&[Resource::File(file(path, "x"))], None).unwrap_err();
    }
    // A folder of a service user who has put a link where the agent is about to write. Only root can set this up.
    assert!(rustix::process::geteuid().is_root(), "run the tests as root");
    fs::create_dir_all(place.path("/srv/theirs")).unwrap();
    symlink("../../etc", place.path("/srv/theirs/way")).unwrap();
    std::os::unix::fs::chown(place.path("/srv/theirs"), Some(4242), None).unwrap();
    let failure = place.apply(&[Resource::File(file("/srv/theirs/way/file", "x"))], None).unwrap_err();
    assert!(failure.message.contains("link"), "{failure}");
    assert!(!place.path("/etc/file").exists());
    // Their own link in the last place is replaced, not followed.
    symlink("/etc/shadow", place.path("/srv/theirs/file")).unwrap();
    place.settle(&[Resource::File(file("/srv/theirs/file", "x"))]);
    assert!(!fs::symlink_metadata(place.path("/srv/theirs/file")).unwrap().is_symlink());
}

#[test]
fn users_and_groups_are_made_by_the_hosts_programs() {
    let place = Place::new();
    for name in ["shadow", "gshadow", "login.defs", "subuid", "subgid"] {
        fs::write(place.path("/etc").join(name), "").unwrap();
    }
    let user = |groups: &[&str]| User {
        name: "etcd".to_owned(),
        group: "etcd".to_owned(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        home: "/var/lib/etcd".to_owned(),
    };
    let group = Resource::Group(Group { name: "etcd".to_owned() });
    place.settle(&[group.clone(), Resource::User(user(&[]))]);
    place.settle(&[group.clone(), Resource::User(user(&["extra"]))]);
    let owned = File { owner: Owner { user: "etcd".to_owned(), group: "extra".to_owned() }, ..file("/etc/owned", "x") };
    place.settle(&[Resource::File(owned)]);
    assert_eq!(fs::metadata(place.path("/etc/owned")).unwrap().gid(), 4242);
    place.host.remove(&[group.clone(), Resource::User(user(&[]))], &|| false, &mut |_| {}).unwrap();
    assert_eq!(place.observe(&group), State::Absent);
    let nobody = Owner { user: "etcd".to_owned(), group: "us".to_owned() };
    let failure = place.apply(&[Resource::File(File { owner: nobody, ..file("/etc/b", "x") })], None).unwrap_err();
    assert!(failure.message.contains("no user \"etcd\""), "{failure}");
}

#[test]
fn a_file_from_a_blob_is_written_and_the_blob_goes_with_the_session() {
    let place = Place::new();
    let blob = Digest::of(b"binary");
    let wanted = Resource::File(File { content: Content::Blob(blob.clone()), ..file("/usr/local/bin/etcd", "") });
    let failure = place.apply(std::slice::from_ref(&wanted), None).unwrap_err();
    assert!(failure.message.contains("lacks blob"), "{failure}");
    let mut incoming = Incoming::begin(&place.host.root, blob.clone(), 6, "1").unwrap();
    incoming.write(b"binary").unwrap();
    incoming.finish(&place.host.root).unwrap();
    place.settle(&[wanted]);
    assert!(place.host.missing_blobs(std::slice::from_ref(&blob)).is_empty());
    place.host.end_session();
    assert_eq!(place.host.missing_blobs(std::slice::from_ref(&blob)), [blob]);
}

#[test]
fn a_transaction_is_put_back_whole() {
    let place = Place::new();
    let before = [Resource::File(file("/etc/a", "one")), Resource::File(file("/etc/b", "one"))];
    place.settle(&before);
    let after = [
        Resource::File(File { mode: Mode(0o600), ..file("/etc/a", "two") }),
        Resource::File(file("/etc/c", "two")),
        Resource::Symlink(Symlink { path: "/etc/b".to_owned(), target: "a".to_owned() }),
    ];
    place.apply(&after, Some("run/1")).unwrap_err();
    place.apply(&after, Some("run-1")).unwrap();
    assert_eq!(place.text("/etc/b"), "two");
    place.host.put_back("run-1", &mut |_| {}).unwrap();
    let states = place.host.observe(&before, &key());
    assert!(before.iter().zip(&states).all(|(resource, state)| diff(resource, state, &key()).is_none()), "{states:?}");
    assert!(!place.path("/etc/c").exists());
    place.host.put_back("run-1", &mut |_| {}).unwrap_err();

    place.apply(&after, Some("run-2")).unwrap();
    place.host.commit("run-2").unwrap();
    place.host.put_back("run-2", &mut |_| {}).unwrap_err();
    assert_eq!(place.text("/etc/b"), "two");
}

#[test]
fn an_apply_stops_at_the_first_failure_and_when_the_operator_is_gone() {
    let place = Place::new();
    let resources = [
        Resource::File(file("/etc/a", "x")),
        Resource::File(File { owner: Owner { user: "who".to_owned(), ..me() }, ..file("/etc/b", "x") }),
        Resource::File(file("/etc/c", "x")),
    ];
    assert_eq!(place.apply(&resources, None).unwrap_err().resource.unwrap().0, "file /etc/b");
    assert!(place.path("/etc/a").exists() && !place.path("/etc/c").exists());

    let applied = std::cell::Cell::new(0);
    let wanted = Wanted { resources: &[resources[0].clone(), resources[2].clone()], key: &key(), transaction: None };
    let stop = || applied.get() > 0;
    place
        .host
        .apply(&wanted, &stop, &mut |event| {
            applied.set(applied.get() + i32::from(matches!(event, Event::Applied { .. })));
        })
        .unwrap_err();
    assert!(!place.path("/etc/c").exists());
}

#[test]
fn commands_run_until_their_check_holds() {
    let place = Place::new();
    let marker = place.path("/etc/marker").to_str().unwrap().to_owned();
    let exec = |command: &[&str]| {
        Resource::Exec(Exec {
            name: "make a marker".to_owned(),
            check: vec!["test".to_owned(), "-e".to_owned(), marker.clone()],
            command: command.iter().map(|&word| word.to_owned()).collect(),
            environment: std::iter::once(("MARKER".to_owned(), marker.clone())).collect(),
            once: false,
            undo: Vec::new(),
            timeout_seconds: 1,
        })
    };
    let failure = place.apply(&[exec(&["sh", "-c", "echo no; echo not >&2; exit 3"])], None).unwrap_err();
    assert!(failure.message.contains("exit code 3"), "{failure}");
    assert_eq!(failure.log, ["no", "not"]);
    let failure = place.apply(&[exec(&["sleep", "60"])], None).unwrap_err();
    assert!(failure.message.contains("1 seconds"), "{failure}");
    let failure = place.apply(&[exec(&["true"])], None).unwrap_err();
    assert!(failure.message.contains("check still fails"), "{failure}");
    let failure = place.apply(&[exec(&["/no/such/program"])], None).unwrap_err();
    assert!(failure.message.contains("127"), "{failure}");
    place.settle(&[exec(&["sh", "-c", "sleep 30 & echo made > $MARKER"])]);
}

#[test]
fn removal_leaves_what_is_not_ours() {
    let place = Place::new();
    let data = Directory { data: true, ..directory("/var/lib/etcd", 0o700) };
    let resources = [
        Resource::Directory(directory("/etc/etcd", 0o755)),
        Resource::Directory(directory("/etc/shared", 0o755)),
        Resource::File(file("/etc/etcd/etcd.conf", "x")),
        Resource::Directory(data),
    ];
    place.settle(&resources);
    fs::write(place.path("/etc/shared/other"), "x").unwrap();
    fs::create_dir_all(place.path("/var/lib/etcd/member/wal")).unwrap();
    symlink(place.path("/etc/shared"), place.path("/var/lib/etcd/link")).unwrap();
    place.host.remove(&resources, &|| false, &mut |_| {}).unwrap();
    assert!(!place.path("/etc/etcd").exists() && !place.path("/var/lib/etcd").exists());
    assert!(place.path("/etc/shared/other").exists());
    place.host.remove(&resources, &|| false, &mut |_| {}).unwrap();
}

#[test]
fn a_session_clears_what_others_left_and_uninstall_everything() {
    let place = Place::new();
    fs::create_dir_all(place.path(AGENTS)).unwrap();
    fs::write(place.path(AGENTS).join(Digest::of(b"former").as_str()), "").unwrap();
    fs::write(place.path(AGENTS).join("being-written"), "").unwrap();
    let abandoned = fs::File::create(place.path(AGENTS).join("new-1")).unwrap();
    abandoned.set_modified(SystemTime::now() - 2 * ARRIVAL).unwrap();
    place.host.begin_session().unwrap();
    assert_eq!(fs::read_dir(place.path(AGENTS)).unwrap().count(), 1);
    place.host.uninstall().unwrap();
    assert!(!place.path(KEPT).exists() && !place.path(RUNTIME).exists());
}

#[test]
fn no_message_tells_a_secret() {
    let place = Place::new();
    fs::create_dir_all(place.path("/etc/folder/full")).unwrap();
    let secret = File { sensitive: true, ..file("/etc/folder", "hunter2") };
    let failure = place.apply(&[Resource::File(secret.clone())], None).unwrap_err();
    let state = place.observe(&Resource::File(File { path: "/etc/passwd".to_owned(), ..secret }));
    let said = format!("{failure:?} {state:?}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(!said.contains("/home/me"), "{said}");
}

#[test]
fn requests_side_by_side_may_make_the_same_folder() {
    for _ in 0..50 {
        let place = Place::new();
        let root = &place.host.root;
        std::thread::scope(|scope| {
            let makers = [(); 4].map(|()| scope.spawn(|| place::make_private_folder(root, "/var/lib/one/two")));
            for maker in makers {
                maker.join().unwrap().unwrap();
            }
        });
        assert_eq!(place.mode("/var/lib/one/two"), 0o700);
    }
}
