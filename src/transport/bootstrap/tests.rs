#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::transport::local;

/// The password of the user in these tests, and its entry in /etc/shadow.
const PASSWORD: &str = "opens/sesame";
const SHADOW: &str =
    "$6$abcdefgh$ViyiMgHI.x3B.X5O6NAl4X.3P1RVwocx5paNWUPyJn7rmzLCfLEGp5HMo8B16tg.Lb3eASs/do7orpyE0X5Wt.";
/// How long a host may say nothing in these tests; sudo waits two seconds after a wrong password.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent that answers with what it is sent.
fn echo() -> AgentBinary {
    agent("#!/bin/sh\necho $2\necho running >&2\nexec cat\n")
}

fn agent(script: &str) -> AgentBinary {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(script.as_bytes()).unwrap();
    AgentBinary { digest: Digest::of(script.as_bytes()), gzip: gzip.finish().unwrap().into() }
}

/// A host's folder, and how a command comes to run there.
struct Case {
    folder: TempDir,
    agent: AgentBinary,
    root: Root,
}

impl Case {
    fn new(root: Root) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), agent: echo(), root }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Starts the agent in `folder` by the program that `wrap` makes of the bootstrap's.
    async fn start(&self, folder: &str, wrap: impl Fn(&Bootstrap<'_>) -> Vec<String>) -> Result<Started, Problem> {
        let mut bootstrap = Bootstrap::new(&self.agent, &self.root).unwrap();
        bootstrap.folder = folder;
        let program = wrap(&bootstrap);
        assert!(!program.iter().any(|word| word.contains(PASSWORD)), "{program:?}");
        let started = bootstrap.start(local::run(&program)?, PATIENCE).await;
        if let Err(problem) = &started {
            assert!(!format!("{problem:?}").contains(PASSWORD), "{problem:?}");
        }
        started
    }

    /// Why it does not start.
    async fn problem(&self, wrap: impl Fn(&Bootstrap<'_>) -> Vec<String>) -> Problem {
        let Err(problem) = self.start(&self.path("agents"), wrap).await else { panic!("it started") };
        problem
    }
}

/// The words of a program that come before another's.
fn before(words: &[&str], bootstrap: &Bootstrap<'_>) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain(bootstrap.program()).collect()
}

/// A login shell that is given the command as sshd gives it.
fn shell(words: &[&str], bootstrap: &Bootstrap<'_>) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain([bootstrap.command()]).collect()
}

/// The agent is there: it sends back exactly what it gets, from the first byte.
async fn assert_runs(started: Result<Started, Problem>, context: &str) {
    let mut started = started.unwrap_or_else(|problem| panic!("{context}: {problem:?}"));
    let sent = b"\0frames\r\n\xff and no more";
    started.writer.write_all(sent).await.unwrap();
    started.writer.shutdown().await.unwrap();
    drop(started.writer);
    let mut received = Vec::new();
    started.reader.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, sent, "{context}");
    let why = started.why.await;
    assert!(why.starts_with("the agent is gone: it ended with exit status: 0; it said"), "{context}: {why}");
    assert!(why.ends_with("running\""), "{context}: {why}");
}

#[tokio::test]
async fn the_agent_is_sent_once() {
    let case = Case::new(Root::Login);
    let folder = case.path("agents");
    let kept = std::path::Path::new(&folder).join(case.agent.digest.as_str());
    for turn in ["sent", "found"] {
        assert_runs(case.start(&folder, |bootstrap| before(&[], bootstrap)).await, turn).await;
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        // Had it been sent again, this would be gone.
        let mut file = std::fs::OpenOptions::new().append(true).open(&kept).unwrap();
        file.write_all(b"# touched\n").unwrap();
    }
    assert!(std::fs::read_to_string(&kept).unwrap().ends_with("# touched\n# touched\n"));
}

#[tokio::test]
async fn every_login_shell_will_do() {
    let case = Case::new(Root::Login);
    for words in [
        &["sh", "-c"][..],
        &["sh", "-xvc"],
        &["bash", "-c"],
        &["bash", "--login", "-xvc"],
        &["zsh", "-c"],
        &["tcsh", "-c"],
        &["tcsh", "-Vxc"],
        &["fish", "-c"],
    ] {
        // Sent once and found once by each.
        let folder = case.path(&words.join(""));
        for _ in 0..2 {
            assert_runs(case.start(&folder, |bootstrap| shell(words, bootstrap)).await, &format!("{words:?}")).await;
        }
    }
}

#[test]
fn the_command_holds_nothing_that_a_shell_may_take_amiss() {
    let agent = echo();
    for root in [Root::Login, Root::Sudo(None), Root::Sudo(Some(SecretText::new(PASSWORD.to_owned())))] {
        let bootstrap = Bootstrap::new(&agent, &root).unwrap();
        for word in bootstrap.program() {
            assert!(!word.contains(['\'', '"', '!', '\\', '\n', '`']), "{word}");
            assert!(word.len() < 1000, "old csh takes no more: {}", word.len());
            assert!(!word.contains(&bootstrap.marker.join("-")) && !word.contains(&bootstrap.prompt.join("-")));
        }
    }
}

#[tokio::test]
async fn banners_are_passed_over_up_to_a_bound() {
    let case = Case::new(Root::Login);
    for banner in ["echo welcome", "printf no-end-of-line", "head -c 60000 /dev/urandom", "echo careful >&2"] {
        let script = format!("{banner}; eval \"$0\"");
        let started = case.start(&case.path("agents"), |bootstrap| shell(&["sh", "-c", &script], bootstrap)).await;
        assert_runs(started, banner).await;
    }
    let problem = case.problem(|bootstrap| shell(&["sh", "-c", "yes 'so much to say'"], bootstrap)).await;
    assert!(problem.reason.contains("answers garbage"), "{problem:?}");
    assert!(problem.reason.contains("so much to say"), "{problem:?}");
}

#[tokio::test]
async fn a_login_shell_that_does_not_start_it_is_told() {
    let case = Case::new(Root::Login);
    for (script, expected) in [
        ("echo This account is currently not available.; exit 1", "\"This account is currently not available.\""),
        ("exit 0", "without a word; it ended with exit status: 0"),
        ("sh: /bin/sh: not found", "cannot run /bin/sh"),
        ("kill -9 $$", "signal: 9"),
    ] {
        let problem = case.problem(|bootstrap| shell(&["sh", "-c", script], bootstrap)).await;
        assert!(problem.reason.contains(expected), "{script}: {problem:?}");
    }
    let mut bootstrap = Bootstrap::new(&case.agent, &case.root).unwrap();
    bootstrap.folder = "/nowhere";
    let asks = ["sh", "-c", "echo your name?; read name"].map(str::to_owned);
    let started = bootstrap.start(local::run(&asks).unwrap(), Duration::from_millis(300)).await;
    let reason = started.err().unwrap().reason;
    assert!(reason.contains("has not started the agent") && reason.contains("your name?"), "{reason}");
}

#[tokio::test]
async fn a_host_that_cannot_keep_or_run_the_agent_is_told() {
    let case = Case::new(Root::Login);
    let agents = case.path("agents");
    let mount =
        |options: &str| format!("mkdir -p {agents} && mount -t tmpfs -o {options} tmpfs {agents} && exec \"$@\"");
    let tools = case.path("tools");
    std::fs::create_dir(&tools).unwrap();
    for tool in ["id", "mkdir", "sh", "uname"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), format!("{tools}/{tool}")).unwrap();
    }
    let no_gzip = format!("PATH={tools}; export PATH; exec \"$@\"");
    let blocked = format!("rmdir {agents}; echo > {agents}; exec \"$@\"");
    for (script, expected) in [
        (no_gzip.as_str(), "there is no gzip on the host"),
        (&mount("noexec"), "may be executed"),
        (&mount("ro"), "cannot be written into"),
        (&mount("nr_blocks=1,nr_inodes=1"), "cannot be written into"),
        ("exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"", "the login user is not root"),
        (&blocked, "cannot be made"),
    ] {
        let words = ["unshare", "--mount", "sh", "-c", script, "sh"];
        let problem = case.problem(|bootstrap| before(&words, bootstrap)).await;
        assert!(problem.reason.contains(expected), "{script}: {problem:?}");
        let left = std::fs::read_dir(&agents).map(Iterator::count).unwrap_or_default();
        assert_eq!(left, 0, "{script}");
    }
    std::fs::remove_file(&agents).unwrap();
    let uname = format!("{tools}/uname");
    std::fs::remove_file(&uname).unwrap();
    std::fs::write(&uname, "#!/bin/sh\necho aarch64\n").unwrap();
    std::fs::set_permissions(&uname, std::fs::Permissions::from_mode(0o755)).unwrap();
    let words = ["env", &format!("PATH={tools}:/usr/bin:/bin")];
    let problem = case.problem(|bootstrap| before(&words, bootstrap)).await;
    assert!(problem.reason.contains("no amd64") && problem.hint.contains("hosts are amd64"), "{problem:?}");
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_behind() {
    let mut case = Case::new(Root::Login);
    let agents = case.path("agents");
    let random: String =
        (0..200_000_u64).map(|index| format!("{:x}", index.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    case.agent = agent(&format!("#!/bin/sh\nexit 0\n{random}"));
    let listing = case.path("left");
    let script = format!(
        "mkdir -p {agents} && mount -t tmpfs -o size=256k tmpfs {agents}; \"$@\"; code=$?; ls -A {agents} > {listing}; exit $code"
    );
    let words = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let problem = case.problem(|bootstrap| before(&words, bootstrap)).await;
    assert!(problem.reason.contains("No space left on device"), "{problem:?}");
    while !std::path::Path::new(&listing).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read_to_string(&listing).unwrap(), "");
}

/// Runs a program as a user of its own, with these sudo rules, in a mount namespace: the machine's files stay as they are.
fn as_user(case: &Case, rules: &str, bootstrap: &Bootstrap<'_>) -> Vec<String> {
    let write = |name: &str, mode: u32, text: &str| {
        let path = case.path(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\ntester:x:4242:4242::/:/bin/sh\n");
    write("group", 0o644, "root:x:0:\ntester:x:4242:\n");
    write("shadow", 0o600, &format!("root:*:19000::::::\ntester:{SHADOW}:19000::::::\n"));
    write("sudoers", 0o440, &format!("Defaults !syslog\nroot ALL=(ALL) ALL\n{rules}\n"));
    let files = ["passwd", "group", "shadow", "sudoers"];
    let mounts: Vec<String> =
        files.iter().map(|name| format!("mount --bind {} /etc/{name}", case.path(name))).collect();
    // A session of its own: no terminal, as under sshd.
    let user = "exec setsid -w setpriv --reuid 4242 --regid 4242 --clear-groups \"$@\"";
    let script = format!("{} && {user}", mounts.join(" && "));
    before(&["unshare", "--mount", "sh", "-c", &script, "sh"], bootstrap)
}

#[tokio::test]
async fn sudo_gives_root_with_and_without_a_password() {
    let password = || Some(SecretText::new(PASSWORD.to_owned()));
    for (root, rules) in [
        (Root::Sudo(None), "tester ALL=(ALL) NOPASSWD: ALL"),
        (Root::Sudo(None), "Defaults use_pty\ntester ALL=(ALL) NOPASSWD: ALL"),
        (Root::Sudo(password()), "tester ALL=(ALL) ALL"),
        (Root::Sudo(password()), "Defaults use_pty, lecture=always\ntester ALL=(ALL) ALL"),
        // It asks for nothing: the password must not end up among the frames.
        (Root::Sudo(password()), "tester ALL=(ALL) NOPASSWD: ALL"),
    ] {
        let case = Case::new(root);
        for turn in ["sent", "found"] {
            let started = case.start(&case.path("agents"), |bootstrap| as_user(&case, rules, bootstrap)).await;
            let mut started = started.unwrap_or_else(|problem| panic!("{rules} {turn}: {problem:?}"));
            started.writer.write_all(b"frames").await.unwrap();
            started.writer.shutdown().await.unwrap();
            drop(started.writer);
            let mut received = Vec::new();
            started.reader.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, b"frames", "{rules} {turn}");
            assert!(!started.why.await.contains(PASSWORD));
        }
    }
}

#[tokio::test]
async fn sudo_that_says_no_is_told() {
    let wrong = || Some(SecretText::new("no such luck".to_owned()));
    let right = || Some(SecretText::new(PASSWORD.to_owned()));
    for (root, rules, expected) in [
        (Root::Sudo(None), "tester ALL=(ALL) ALL", "sudo asks for a password and none is given"),
        (Root::Sudo(wrong()), "tester ALL=(ALL) ALL", "sudo does not take the password"),
        (Root::Sudo(right()), "", "sudo does not let the login user"),
        (Root::Sudo(right()), "tester ALL=(ALL) /bin/true", "sudo does not let the login user"),
        (Root::Sudo(None), "tester ALL=(ALL) NOPASSWD: /bin/true", "sudo asks for a password and none is given"),
        (Root::Sudo(None), "Defaults requiretty\ntester ALL=(ALL) NOPASSWD: ALL", "sudo wants a terminal"),
    ] {
        let case = Case::new(root);
        let problem = case.problem(|bootstrap| as_user(&case, rules, bootstrap)).await;
        assert!(problem.reason.contains(expected), "{rules}: {problem:?}");
    }
    let case = Case::new(Root::Sudo(None));
    let empty = case.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let script = format!("PATH={empty}; export PATH; exec \"$@\"");
    let problem = case.problem(|bootstrap| before(&["/bin/sh", "-c", &script, "sh"], bootstrap)).await;
    assert!(problem.reason.contains("there is no sudo on the host"), "{problem:?}");
}
