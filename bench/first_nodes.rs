//! Bare hosts to three Ready nodes, artifacts in the store, against the same kubeadm commands run by hand.
//!
//! `first_nodes FOLDER PROGRAM` boots three hosts and has wire-deploy (PROGRAM) install etcd and Kubernetes on them, one control plane and
//! two workers. Then the nodes are reset and etcd emptied, and on the same hosts, which have all programs, images, and configuration by now, etcd is started,
//! kubeadm founds the cluster on one host and has the others join it at once, until the API says that all are Ready.

mod hosts;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hosts::{Bench, Result, print_table};

const HOSTS: [&str; 3] = ["host1", "host2", "host3"];
const ROUNDS: usize = 3;

/// Makes a plain host of a node, but for what is installed: kubeadm's reset takes wire-deploy's files along.
const RESET: &str = "kept=$(mktemp -d) && cp -a /etc/kubernetes/. $kept && kubernetes-node reset && \
                     rm -f $kept/kubelet.conf $kept/bootstrap-kubelet.conf $kept/super-admin.conf $kept/manifests/* && \
                     cp -a $kept/. /etc/kubernetes/ && systemctl stop etcd.service && find /var/lib/etcd -mindepth 1 -delete";
const START_ETCD: &str = "systemctl start etcd.service";
const INIT: &str = "kubeadm init --config /etc/kubernetes/wire-deploy/kubeadm.yaml >/dev/null 2>&1 && \
                    kubeadm token create --print-join-command";
const WAIT: &str = "until [ \"$(kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes --no-headers | grep -cw Ready)\" = 3 ]; \
                    do sleep 0.2; done";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(Path::new).collect::<Vec<_>>()[..] {
        [folder, program] => measure(folder, &fs::canonicalize(program)?),
        _ => Err("usage: first_nodes FOLDER PROGRAM".into()),
    }
}

fn measure(folder: &Path, program: &Path) -> Result<()> {
    let bench = Bench::boot(folder.join("first_nodes"), HOSTS.len(), &[])?;
    let site_file = bench.write_site(&["etcd", "kubernetes"])?;
    // Nodes alone, with nothing on them.
    let text = fs::read_to_string(&site_file)?;
    let (site, _) = text.split_once("workloads:\n").ok_or("the site names no workloads")?;
    fs::write(&site_file, site)?;
    let folder = bench.folder.join("site");
    let fetch =
        Command::new(program).args(["artifacts", "fetch"]).current_dir(&folder).stdout(Stdio::null()).status()?;
    if !fetch.success() {
        return Err("the artifacts could not be fetched".into());
    }
    let apply = || {
        let mut command = bench.sandbox.command(program);
        command.args(["apply", "--yes"]).current_dir(&folder);
        command
    };
    let first = bench.run(vec![apply()], None)?;
    let again = (0..ROUNDS).map(|_| bench.run(vec![apply()], None)).collect::<Result<Vec<_>>>()?;
    let mut by_hand = (0..ROUNDS).map(|_| join_by_hand(&bench)).collect::<Result<Vec<_>>>()?;
    by_hand.sort();
    println!("Bare hosts to three Ready nodes; then nothing to do, medians of {ROUNDS} runs");
    print_table(&[("first apply", &[first])]);
    print_table(&[("apply", &again)]);
    let by_hand = by_hand.get(ROUNDS / 2).map_or(0.0, Duration::as_secs_f64);
    println!("kubeadm by hand, where everything is installed: {by_hand:.1} s");
    println!("first apply to that: {:.2}", first.wall.as_secs_f64() / by_hand);
    Ok(())
}

/// What kubeadm's own commands take, those of different hosts side by side.
fn join_by_hand(bench: &Bench) -> Result<Duration> {
    on(bench, &HOSTS, RESET)?;
    let begun = Instant::now();
    on(bench, &HOSTS, START_ETCD)?;
    let [first, workers @ ..] = HOSTS;
    let join = on(bench, &[first], INIT)?;
    let join = format!("{} --ignore-preflight-errors=all >/dev/null 2>&1", join.trim());
    on(bench, &workers, &join)?;
    on(bench, &[first], WAIT)?;
    Ok(begun.elapsed())
}

/// Runs a command on these hosts, side by side, and gives what it said.
fn on(bench: &Bench, hosts: &[&str], script: &str) -> Result<String> {
    let run = |host: &&str| {
        let mut command = bench.sandbox.host_command(host, "sh")?;
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command.spawn()?)
    };
    let children = hosts.iter().map(run).collect::<Result<Vec<_>>>()?;
    let mut said = String::new();
    for (child, host) in children.into_iter().zip(hosts) {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("{script:?} on {host} ended with {}", output.status).into());
        }
        said.push_str(&String::from_utf8(output.stdout)?);
    }
    Ok(said)
}
