//! Bare hosts to every cluster verified, artifacts in the store, against what the nodes' own starts take.
//!
//! `first_apply FOLDER PROGRAM` boots three hosts, has wire-deploy (PROGRAM) install everything on them, and asks systemd and the
//! journals how long each node took from its process's start until it was ready, and how much processor time. The floor is the larger of
//! two: the longest chain of starts that have to wait for each other, and all starts' processor time spread over the processors.

mod hosts;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hosts::{Bench, Result, print_table, processor_time};
use wire_deploy::sandbox::Sandbox;
use wire_deploy::services::{self, kubernetes};

const HOSTS: [&str; 3] = ["host1", "host2", "host3"];
const ROUNDS: usize = 5;

/// A cluster's nodes, and how they start.
struct Starts {
    unit: &'static str,
    /// Each waits for the one before it.
    one_by_one: bool,
    /// What a node's journal says once it is ready; systemd knows it of the others.
    ready: Option<&'static str>,
}

const CLUSTERS: [Starts; 8] = [
    Starts { unit: "cassandra.service", one_by_one: true, ready: None },
    Starts { unit: "coturn.service", one_by_one: false, ready: None },
    Starts { unit: "etcd.service", one_by_one: false, ready: None },
    Starts { unit: "haproxy.service", one_by_one: false, ready: None },
    Starts { unit: "minio.service", one_by_one: false, ready: None },
    Starts { unit: "opensearch.service", one_by_one: false, ready: Some("] started") },
    Starts { unit: "redis-server.service", one_by_one: false, ready: None },
    Starts { unit: "redis-sentinel.service", one_by_one: false, ready: None },
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(Path::new).collect::<Vec<_>>()[..] {
        [folder, program] => measure(folder, &std::fs::canonicalize(program)?),
        _ => Err("usage: first_apply FOLDER PROGRAM".into()),
    }
}

fn measure(folder: &Path, program: &Path) -> Result<()> {
    let bench = Bench::boot(folder.join("first_apply"), HOSTS.len(), &[])?;
    // Kubernetes is no store, and brings all workloads along.
    let clusters = services::ALL.iter().map(|service| service.name().0).filter(|name| name != kubernetes::NAME);
    let groups: Vec<String> = clusters.collect();
    bench.write_site(&groups.iter().map(String::as_str).collect::<Vec<_>>())?;
    let site = bench.folder.join("site");
    let fetched =
        Command::new(program).args(["artifacts", "fetch"]).current_dir(&site).stdout(Stdio::null()).status()?;
    if !fetched.success() {
        return Err("the artifacts could not be fetched".into());
    }
    let run = |arguments: &[&str]| {
        let mut command = bench.sandbox.command(program);
        command.args(arguments).current_dir(&site);
        command
    };
    let begun = Instant::now();
    let cost = bench.run(vec![run(&["apply", "--yes"])], None)?;
    println!("Every cluster on three bare hosts, verified ({:.0} s)", begun.elapsed().as_secs_f64());
    print_table(&[("first apply", &[cost])]);
    let memory = bench.sandbox.memory()?;

    let (mut longest, mut path, mut processor_time) = (Duration::ZERO, String::new(), Duration::ZERO);
    for cluster in &CLUSTERS {
        let starts = HOSTS.iter().map(|host| start(&bench.sandbox, host, cluster)).collect::<Result<Vec<_>>>()?;
        let (mut chain, mut nodes) = (Duration::ZERO, String::new());
        for (host, (took, used)) in HOSTS.iter().zip(starts) {
            chain = if cluster.one_by_one { chain + took } else { chain.max(took) };
            processor_time += used;
            write!(nodes, "  {host} {:.1} s", took.as_secs_f64())?;
        }
        let how = if cluster.one_by_one { "one by one" } else { "together" };
        println!("{:24}{nodes}  ({how}: {:.1} s)", cluster.unit, chain.as_secs_f64());
        if chain > longest {
            (longest, path) = (chain, format!("{}, {how}", cluster.unit));
        }
    }
    let processors = u32::try_from(std::thread::available_parallelism()?.get())?;
    let spread = processor_time / processors;
    let floor = longest.max(spread);
    println!("critical path: {path}: {:.1} s", longest.as_secs_f64());
    println!(
        "all starts' processor time: {:.1} s, over {processors} processors {:.1} s",
        processor_time.as_secs_f64(),
        spread.as_secs_f64()
    );
    println!("first apply to the larger of the two: {:.2}", cost.wall.as_secs_f64() / floor.as_secs_f64());
    println!("memory of all hosts' processes: {:.1} GB", memory as f64 / 1e9);

    let again = (0..ROUNDS).map(|_| bench.run(vec![run(&["apply", "--yes"])], None)).collect::<Result<Vec<_>>>()?;
    println!("\nNothing to do, medians of {ROUNDS} runs");
    print_table(&[("apply", &again)]);
    Ok(())
}

/// How systemd names, in the journal, that a unit is starting and that it has started (`man systemd.journal-fields`,
/// `sd-messages.h`).
const STARTING: &str = "7d4958e842da4a758f6c1cdc7b36dcc5";
const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";

/// How long a node took from its process's start until it was ready, all its starts together, and the processor time of the process
/// that runs now.
fn start(sandbox: &Sandbox, host: &str, cluster: &Starts) -> Result<(Duration, Duration)> {
    let journal = on(sandbox, host, &["journalctl", "--output=json", "--unit", cluster.unit])?;
    let (mut took, mut began) = (0, None);
    for line in journal.lines() {
        let entry: serde_json::Value = serde_json::from_str(line)?;
        let time: u64 = entry["__MONOTONIC_TIMESTAMP"].as_str().ok_or("the journal's entry has no time")?.parse()?;
        let ready = match cluster.ready {
            None => entry["MESSAGE_ID"] == STARTED,
            Some(said) => entry["MESSAGE"].as_str().is_some_and(|message| message.contains(said)),
        };
        if entry["MESSAGE_ID"] == STARTING {
            began = Some(time);
        } else if ready && let Some(began) = began.take() {
            took += time - began;
        }
    }
    if took == 0 {
        return Err(format!("the journal of {host} does not say when {} was ready", cluster.unit).into());
    }
    let process = on(sandbox, host, &["systemctl", "show", "--value", "--property", "MainPID", cluster.unit])?;
    let status = on(sandbox, host, &["cat", &format!("/proc/{}/stat", process.trim())])?;
    Ok((Duration::from_micros(took), processor_time(&status, 14)?))
}

fn on(sandbox: &Sandbox, host: &str, arguments: &[&str]) -> Result<String> {
    let output = sandbox.exec(host, arguments)?;
    if !output.status.success() {
        return Err(format!("{arguments:?} on {host}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
