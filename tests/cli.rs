//! The program as a user runs it, as far as it needs no hosts: help, usage, errors, exit codes, streams.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Output, Stdio};

use assert_cmd::Command;

/// The program in an empty folder, without anything of the caller's environment that changes what it shows.
fn program(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("wire-deploy").unwrap();
    command.current_dir(folder);
    for name in ["WIRE_DEPLOY_CONFIG", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Every command with its subcommands, as words.
fn commands() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
        for child in command.get_subcommands() {
            let path = [path, &[child.get_name().to_owned()]].concat();
            walk(child, &path, found);
            found.push(path);
        }
    }
    let mut found = vec![Vec::new()];
    walk(&wire_deploy::cli::arguments::definition(), &[], &mut found);
    found
}

#[test]
fn every_commands_help_fits_100_columns_and_has_an_example() {
    for command in commands() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = run(&arguments);
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(output.stderr.is_empty(), "{command:?}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{command:?}: {help}");
        assert!(command.is_empty() || help.contains("Example"), "{command:?}: {help}");
        assert!(!help.contains('\u{1b}'), "{command:?} has colours in a pipe");
    }
}

#[test]
fn the_help_of_the_whole() {
    insta::assert_snapshot!(text(&run(&["--help"]).stdout));
}

#[test]
fn the_help_of_apply() {
    insta::assert_snapshot!(text(&run(&["apply", "--help"]).stdout));
}

#[test]
fn usage_errors_are_64_and_name_what_is_near() {
    for (arguments, expected) in [
        (&["aply"][..], "apply"),
        (&["apply", "--lmit", "db1"], "--limit"),
        (&["apply", "lab.plan", "--limit", "db1"], "cannot be used with"),
        (&["plan", "--output", "yaml"], "json"),
        (&["-q", "-v", "plan"], "cannot be used with"),
        (&["sandbox", "up", "--hosts", "0"], "1..=64"),
        (&["templates", "show", "no/such"], "templates list"),
        (&[], "Usage"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let shown = text(&output.stderr);
        assert!(shown.contains(expected), "{arguments:?}: {shown}");
    }
}

#[test]
fn a_missing_site_file_is_an_error_with_a_hint_for_every_command_that_reads_it() {
    for arguments in [
        &["validate"][..],
        &["check"],
        &["plan"],
        &["apply", "--yes"],
        &["drift"],
        &["status"],
        &["verify"],
        &["unlock", "--yes"],
        &["destroy", "--yes-destroy", "lab"],
        &["maintain", "etcd", "defragment"],
        &["restart", "--service", "etcd", "--yes"],
        &["secrets", "list"],
        &["secrets", "show", "x", "--yes"],
        &["artifacts", "update"],
    ] {
        let output = run(arguments);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {shown}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(shown.contains("wire-deploy.yaml") && shown.contains("hint:"), "{arguments:?}: {shown}");
        assert!(!shown.contains('\u{1b}'), "{arguments:?} has colours in a pipe");
    }
}

#[test]
fn colours_are_where_they_are_asked_for() {
    let colored = text(&run(&["--color", "always", "templates", "list"]).stdout);
    assert!(colored.contains('\u{1b}'), "{colored}");
    let plain = text(&run(&["--color", "never", "templates", "list"]).stdout);
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn lists_are_objects_a_line_with_output_json() {
    let output = text(&run(&["templates", "list", "--output", "json"]).stdout);
    let names: Vec<String> = output
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["template"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.iter().any(|name| name == "hosts/redis/server.conf"), "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("report/")), "{names:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("wire-deploy"))
        .args(["schema", "events"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_full_disk_below_stdout_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin("wire-deploy"))
        .args(["schema", "events"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write to stdout"), "{}", text(&output.stderr));
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&["completions", shell]).stdout);
        assert!(script.contains("wire-deploy") && script.contains("drift"), "{shell}: {script}");
    }
}

#[test]
fn the_schema_of_events_is_a_json_schema() {
    let schema: serde_json::Value = serde_json::from_slice(&run(&["schema", "events"]).stdout).unwrap();
    assert_eq!(schema["title"], "Event");
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"), "{schema}");
}

/// A site of three hosts in a folder.
fn site(folder: &Path) {
    let output = program(folder)
        .args(["init", "--name", "lab", "--domain", "wire.example.org", "--profile", "ci", "--host", "192.0.2.1[1:3]"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn init_writes_a_site_that_is_valid_and_a_second_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let before = std::fs::read(folder.path().join("secrets.age")).unwrap();
    site(folder.path());
    assert_eq!(std::fs::read(folder.path().join("secrets.age")).unwrap(), before);
    let output = program(folder.path()).arg("validate").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("redis on host[1:3]"), "{}", text(&output.stderr));
}

#[test]
fn every_problem_of_a_site_is_shown_at_once_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let path = folder.path().join("wire-deploy.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("domain: wire.example.org", "domian: wire") + "\nbanana: 1\n").unwrap();
    let output = program(folder.path()).arg("validate").output().unwrap();
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{shown}");
    for expected in ["`domian`", "did you mean `domain`", "`banana`", "--> wire-deploy.yaml:", "nothing was done"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

/// The program where nothing can be made or fetched: no other program is found, and the store is a file.
fn with_nothing(folder: &Path) -> Command {
    let store = folder.join("store");
    std::fs::write(&store, "").unwrap();
    let mut command = program(folder);
    command.env("PATH", "").env("XDG_CACHE_HOME", store).env_remove("SSH_AUTH_SOCK");
    command
}

/// A site whose three hosts are a port of this machine where nobody listens.
fn silent_site(folder: &Path) {
    site(folder);
    let path = folder.join("hosts.yaml");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let inventory = std::fs::read_to_string(&path).unwrap();
    let mut reached = inventory;
    for host in 1..=3 {
        let address = format!("    address: 192.0.2.1{host}\n");
        assert!(reached.contains(&address), "{reached}");
        let ssh = format!("{address}    ssh: {{address: 127.0.0.{host}, port: {port}}}\n");
        reached = reached.replace(&address, &ssh);
    }
    std::fs::write(&path, reached).unwrap();
}

#[test]
fn who_only_looks_needs_no_artifacts_and_names_the_selected_hosts() {
    let folder = tempfile::tempdir().unwrap();
    silent_site(folder.path());
    for arguments in [&["check", "--limit", "host2"][..], &["unlock", "--yes", "--limit", "host2"]] {
        let output = with_nothing(folder.path()).args(arguments).output().unwrap();
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {shown}");
        assert!(shown.contains("error: host2 cannot be reached"), "{arguments:?}: {shown}");
        assert!(!shown.contains("--limit"), "nobody would be left: {arguments:?}: {shown}");
    }
    for command in ["status", "verify"] {
        let output = with_nothing(folder.path()).args([command, "--only", "redis"]).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{command}: {}", text(&output.stderr));
    }
    // What is compared with the artifacts says which it lacks, and makes none.
    let output = with_nothing(folder.path()).arg("drift").output().unwrap();
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{shown}");
    assert!(shown.contains("artifacts.lock") && shown.contains("wire-deploy artifacts update"), "{shown}");
    assert!(!folder.path().join("artifacts.lock").exists());
}

#[test]
fn a_key_of_no_use_is_one_problem_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    silent_site(folder.path());
    let path = folder.path().join("wire-deploy.yaml");
    let site = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, site.replace("ssh:\n", "ssh:\n  key: absent\n")).unwrap();
    for command in ["validate", "check", "status"] {
        let output = with_nothing(folder.path()).arg(command).output().unwrap();
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{command}: {shown}");
        assert_eq!(shown.matches("absent cannot be read").count(), 1, "{command}: {shown}");
        assert!(shown.contains("--> wire-deploy.yaml:") && shown.contains("key: absent"), "{command}: {shown}");
    }
}

#[test]
fn hosts_that_lack_the_same_are_told_together() {
    let folder = tempfile::tempdir().unwrap();
    silent_site(folder.path());
    let path = folder.path().join("wire-deploy.yaml");
    let site = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{site}become: {{method: sudo, password: absent}}\n")).unwrap();
    let output = with_nothing(folder.path()).args(["status", "--only", "redis"]).output().unwrap();
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{shown}");
    assert!(shown.contains("unreachable host[1:3]: the secret absent"), "{shown}");
    assert_eq!(shown.matches("become.password").count(), 1, "{shown}");
}

#[test]
fn secrets_are_listed_by_name_and_shown_only_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let secrets = |arguments: &[&str], input: &str| {
        program(folder.path()).arg("secrets").args(arguments).write_stdin(input).output().unwrap()
    };
    assert_eq!(secrets(&["set", "sudo"], "hunter22\n").status.code(), Some(0));
    let listed = text(&secrets(&["list"], "").stdout);
    assert!(
        listed.contains("sudo")
            && listed.contains("redis/")
            && listed.contains("brig/tokens")
            && !listed.contains("hunter22"),
        "{listed}"
    );
    let refused = secrets(&["show", "sudo"], "");
    assert_eq!(refused.status.code(), Some(64));
    assert!(refused.stdout.is_empty() && text(&refused.stderr).contains("--yes"));
    assert_eq!(text(&secrets(&["show", "sudo", "--yes"], "").stdout), "hunter22\n");
    let derived = listed.lines().find(|line| line.contains("derived")).unwrap().split_whitespace().next().unwrap();
    let shown = text(&secrets(&["show", derived, "--yes"], "").stdout);
    assert_eq!(shown.trim().len(), 43, "{shown}");
    assert_eq!(secrets(&["set", derived], "other").status.code(), Some(64));
    assert_eq!(secrets(&["set", "empty"], "\n").status.code(), Some(64));
    assert_eq!(secrets(&["remove", "sudo"], "").status.code(), Some(0));
    assert_eq!(secrets(&["remove", "sudo"], "").status.code(), Some(64));
}

#[test]
fn what_a_template_uses_and_there_is_not_is_found_by_validate() {
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let template = folder.path().join("mine/hosts/redis/server.conf");
    std::fs::create_dir_all(template.parent().unwrap()).unwrap();
    std::fs::write(&template, "port 0\ntls-port {{ prot }}\n").unwrap();
    let output = program(folder.path()).args(["validate", "--templates", "mine"]).output().unwrap();
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{shown}");
    for expected in ["undefined variable `prot`", "--> mine/hosts/redis/server.conf:2:13", "did you mean `port`?"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    std::fs::write(&template, "tls-port {{ port }}\n").unwrap();
    let output = program(folder.path()).args(["validate", "--templates", "mine"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
