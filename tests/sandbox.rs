//! The sandbox itself: hosts that boot, lose power and network, and leave nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Hosts, folder};
use wire_deploy::sandbox::{HostOptions, Lifetime, Options, PASSWORD_USER, PASSWORDLESS_USER, Sandbox};

fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the first host's sshd answers the second one within a second.
fn connected(sandbox: &Sandbox) -> bool {
    let address = sandbox.hosts()[0].address;
    let probe = format!("exec 3<>/dev/tcp/{address}/22 && head -c 4 <&3");
    let output = sandbox.exec("two", &["timeout", "1", "bash", "-c", &probe]).unwrap();
    output.stdout == b"SSH-"
}

#[test]
fn hosts_boot_lose_power_and_network_and_leave_nothing() {
    let hosts = Hosts::boot("life", &["one", "two"]);
    let sandbox = &hosts.sandbox;
    assert_eq!(text(sandbox.ssh("one").unwrap().args(["cat", "/etc/hostname"])), "one\n");
    assert_eq!(text(sandbox.ssh("two").unwrap().arg("whoami")), "root\n");
    let python = sandbox.exec("one", &["bash", "-c", "command -v python3"]).unwrap();
    assert!(!python.status.success(), "hosts have no Python");

    let sudo = sandbox.exec("one", &["su", PASSWORDLESS_USER, "-c", "sudo -n whoami"]).unwrap();
    assert_eq!(sudo.stdout, b"root\n");
    let refused = sandbox.exec("one", &["su", PASSWORD_USER, "-c", "sudo -n whoami"]).unwrap();
    assert!(!refused.status.success());
    let ask = format!("echo {} | sudo -S -p '' whoami", sandbox.sudo_password());
    assert_eq!(sandbox.exec("one", &["su", PASSWORD_USER, "-c", &ask]).unwrap().stdout, b"root\n");

    assert!(sandbox.processor_time().unwrap() > std::time::Duration::ZERO);
    assert!(connected(sandbox));
    sandbox.cut_network("one").unwrap();
    assert!(!connected(sandbox));
    sandbox.mend_network("one").unwrap();
    assert!(connected(sandbox));

    sandbox.exec("one", &["touch", "/root/kept"]).unwrap();
    sandbox.power_off("one").unwrap();
    assert!(!sandbox.is_on("one").unwrap());
    assert!(!connected(sandbox));
    let again = Sandbox::open(&folder("life")).unwrap();
    again.power_on("one").unwrap();
    assert!(connected(sandbox));
    assert!(sandbox.exec("one", &["test", "-e", "/root/kept"]).unwrap().status.success());

    again.replace_disk("one").unwrap_err();
    again.power_off("one").unwrap();
    again.replace_disk("one").unwrap();
    again.power_on("one").unwrap();
    assert_eq!(text(sandbox.ssh("one").unwrap().args(["ls", "/root"])), "");

    let traces = traces(&folder("life"));
    assert!(traces.iter().all(|(_, there)| *there), "{traces:?}");
    drop(hosts);
    let traces = self::traces(&folder("life"));
    assert!(!traces.iter().any(|(_, there)| *there), "{traces:?}");
    Sandbox::down(&folder("life")).unwrap();
}

/// As runc makes a container: groups of its own in every hierarchy, an overlay below containerd's folder, namespaces.
const CONTAINER: &str = r#"
cd /var/lib/containerd
mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
for list in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
  group=${list%/cgroup.procs}
  if ! [ -e "$list" ] || ! mountpoint -q "$group"; then continue; fi
  mkdir -p "$group/pods/one"
  for file in cpuset.cpus cpuset.mems; do
    for into in "$group/pods" "$group/pods/one"; do
      if [ -e "$into/cpuset.cpu_exclusive" ]; then cat "$group/$file" >"$into/$file"; fi
    done
  done
  echo $$ >"$group/pods/one/cgroup.procs"
done
setsid unshare --pid --mount --fork sleep 4711 >/dev/null 2>&1 </dev/null &
"#;

#[test]
fn hosts_can_run_containers_and_do_not_reach_the_machines_kernel() {
    let hosts = Hosts::boot("containers", &["box", "other"]);
    let sandbox = &hosts.sandbox;
    let run = |host: &str, script: &str| {
        let output = sandbox.exec(host, &["sh", "-ec", script]).unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for setting in ["kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom"] {
        let file = format!("/proc/sys/{setting}");
        let machines = fs::read_to_string(&file).unwrap();
        assert_eq!(run("box", &format!("cat {file}; echo 77 >{file}")), machines);
        assert_eq!(run("box", &format!("cat {file}")), "77\n");
        assert_eq!(run("other", &format!("cat {file}")), machines);
        assert_eq!(fs::read_to_string(&file).unwrap(), machines);
    }
    assert_eq!(run("box", "readlink /dev/kmsg"), "null\n");
    assert_eq!(run("box", "echo $((0x$(sed -n 's/^CapEff:\t//p' /proc/1/status) >> 14 & 1))"), "1\n", "CAP_IPC_LOCK");

    run("box", CONTAINER);
    let groups = || {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
        let sandboxes = hierarchies.flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten());
        sandboxes.filter(|entry| entry.path().join("box/pods/one").exists()).count()
    };
    let sleeps = || {
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
        processes.filter(|path| fs::read(path).is_ok_and(|line| line == b"sleep\x004711\0")).count()
    };
    // It is started in the background.
    let since = std::time::Instant::now();
    while (groups() == 0 || sleeps() != 1) && since.elapsed() < std::time::Duration::from_secs(10) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(groups() > 0 && sleeps() == 1, "{} groups, {} processes", groups(), sleeps());
    sandbox.power_off("box").unwrap();
    assert_eq!((groups(), sleeps()), (0, 0));
    sandbox.power_on("box").unwrap();
    let what_is_left = run("box", "ls /var/lib/containerd; ls -d /sys/fs/cgroup/*/pods 2>/dev/null || true");
    assert_eq!(what_is_left, "lower\nmerged\nupper\nwork\n");
    assert_eq!(run("box", "cat /proc/sys/kernel/panic"), fs::read_to_string("/proc/sys/kernel/panic").unwrap());
}

/// What a sandbox in that folder would leave behind, and whether it is there.
fn traces(folder: &Path) -> Vec<(&'static str, bool)> {
    let name = folder.display().to_string();
    let registered = fs::read_dir("/run/wire-deploy/sandboxes").unwrap().any(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some() && fs::read_to_string(path).unwrap_or_default().contains(&name)
    });
    let processes = fs::read_dir("/proc").unwrap().any(|entry| {
        let arguments = fs::read(entry.unwrap().path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&format!("--directory={name}"))
    });
    vec![
        ("folder", folder.exists()),
        ("mounts", fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&name)),
        ("processes", processes),
        ("registration", registered),
    ]
}

#[test]
fn what_a_killed_owner_left_is_cleared_by_the_next_up() {
    const OWNER: &str = "WIRE_DEPLOY_TEST_OWNS_A_SANDBOX";
    if std::env::var_os(OWNER).is_some() {
        let _hosts = Hosts::boot("killed", &["left"]);
        std::thread::park();
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_killed_owner_left_is_cleared_by_the_next_up"])
        .env(OWNER, "1")
        .spawn()
        .unwrap();
    while !Sandbox::open(&folder("killed")).is_ok_and(|sandbox| sandbox.is_on("left").unwrap()) {
        assert!(owner.try_wait().unwrap().is_none(), "the owner ended early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(traces(&folder("killed")).iter().all(|(_, there)| *there));
    drop(Hosts::boot("next", &[]));
    let traces = traces(&folder("killed"));
    assert!(!traces.iter().any(|(_, there)| *there), "{traces:?}");
}

#[test]
fn a_host_that_cannot_boot_leaves_nothing_and_says_why() {
    let folder = folder("broken");
    let host = HostOptions { capabilities: vec!["CAP_NO_SUCH_THING".to_owned()], ..HostOptions::named("broken") };
    let options =
        Options { folder: folder.clone(), hosts: vec![host], packages: Vec::new(), lifetime: Lifetime::ThisProcess };
    let error = format!("{:#}", Sandbox::up(&options).unwrap_err());
    assert!(error.contains("CAP_NO_SUCH_THING"), "{error}");
    let traces = traces(&folder);
    assert!(!traces.iter().any(|(_, there)| *there), "{traces:?}");
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("precious"), "").unwrap();
    let hosts = vec![HostOptions::named("one")];
    let options =
        Options { folder: folder.path().to_owned(), hosts, packages: Vec::new(), lifetime: Lifetime::ThisProcess };
    let error = Sandbox::up(&options).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    Sandbox::down(folder.path()).unwrap();
    assert!(folder.path().join("precious").exists());
}
