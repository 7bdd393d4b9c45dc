//! Unchanged objects on a bare API server, against kubectl and helm.
//!
//! `objects measure HELM` starts etcd, the API server and controllers and measures. It runs itself as `objects plan|apply KUBECONFIG COUNT`: the
//! program's own way of finding what differs and of doing it, from the process's start on.

#[path = "../tests/cluster/server.rs"]
#[allow(clippy::unwrap_used, dead_code, missing_docs, reason = "the tests use the rest of it")]
mod server;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{Server, now};
use wire_deploy::cluster::{self, Api, Purpose, Wanted};
use wire_deploy::workloads::found::Allowed;
use wire_deploy::workloads::{Manifest, ManifestId};
use wire_deploy_agent::digest::FingerprintKey;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 3;
/// Few and many: what many cost for each should be what few do.
const COUNTS: [usize; 2] = [200, 2000];
const OURS: &str = "ours";
const THEIRS: &str = "theirs";
const HELMS: &str = "helms";
const PATIENCE: Duration = Duration::from_secs(600);

/// What one run cost.
struct Cost {
    wall: Duration,
    /// Highest resident memory, in megabytes.
    memory: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", helm] => runtime.block_on(measure(Path::new(helm))),
        [what @ ("plan" | "apply"), kubeconfig, count] => {
            let (changes, objects) = runtime.block_on(run(what, Path::new(kubeconfig), count.parse()?))?;
            println!("{changes} of {objects} changed");
            Ok(())
        }
        _ => Err("usage: objects measure HELM".into()),
    }
}

/// Configuration, a Service and a Deployment for each of many components, all in one namespace.
fn manifests(namespace: &str, count: usize) -> Vec<Manifest> {
    let components = (0..count.div_ceil(4)).flat_map(|number| {
        let name = format!("component{number}");
        let labels = json!({ "app": name });
        let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{
            "name": "main", "image": "example/component:1", "ports": [{"containerPort": 8080, "name": "http"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        }]}});
        [
            ("v1", "ConfigMap", json!({"data": {"settings.yaml": "key: value\n".repeat(50)}})),
            ("v1", "Secret", json!({"data": {"password": "aHVudGVyMjI="}})),
            ("v1", "Service", json!({"spec": {"selector": labels, "ports": [{"port": 8080, "targetPort": "http"}]}})),
            (
                "apps/v1",
                "Deployment",
                json!({"spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}}),
            ),
        ]
        .map(|(version, kind, rest)| manifest(version, kind, namespace, &name, rest))
    });
    components.take(count).collect()
}

fn manifest(version: &str, kind: &str, namespace: &str, name: &str, rest: Value) -> Manifest {
    let mut value = rest;
    value["apiVersion"] = version.into();
    value["kind"] = kind.into();
    value["metadata"] = json!({"name": name, "namespace": namespace});
    let id = ManifestId {
        api_version: version.to_owned(),
        kind: kind.to_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    };
    Manifest { id, value, template: "bench".to_owned() }
}

/// Plans or applies all objects. Gives how many changed, of how many.
async fn run(what: &str, kubeconfig: &Path, count: usize) -> Result<(usize, usize)> {
    let api = Api::by_kubeconfig(kubeconfig, "test", now()).await?;
    let manifests = manifests(OURS, count);
    let key = FingerprintKey(vec![1; 32]);
    let purpose = Purpose { site: "bench", namespace: OURS, key: &key, allowed: Allowed::default() };
    let wanted = Wanted { workload: "all", manifests: &manifests };
    let found = cluster::examine(&api, &purpose, &[wanted]).await?.remove(0);
    let changes = found.objects.iter().filter(|object| object.found.is_change()).count();
    if what == "apply" {
        cluster::roll_out(&api, &purpose, &wanted, &found, PATIENCE, &|_| {}).await?;
    }
    Ok((changes, manifests.len()))
}

async fn measure(helm: &Path) -> Result<()> {
    let server = Server::start().await;
    for namespace in [OURS, THEIRS, HELMS] {
        server.create("/api/v1/namespaces", json!({"metadata": {"name": namespace}})).await;
    }
    let kubeconfig = server.kubeconfig("admin");
    let own = std::env::current_exe()?;
    for count in COUNTS {
        let list: Vec<Value> = manifests(THEIRS, count).into_iter().map(|manifest| manifest.value).collect();
        let file = server.path("objects.json");
        fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": list}).to_string())?;
        let ours = |what: &str| {
            let mut command = Command::new(&own);
            command.arg(what).arg(&kubeconfig).arg(count.to_string());
            command
        };
        let theirs = |what: &str| {
            let mut command = Command::new(server.path("kubectl"));
            command.arg("--kubeconfig").arg(&kubeconfig).args([what, "--server-side", "-f"]).arg(&file);
            command.env("HOME", server.path("home"));
            command
        };
        let chart = server.path("chart");
        write_chart(&chart, count)?;
        let helms = |what: &[&str]| {
            let mut command = Command::new(helm);
            command.args(what).args(["objects"]).arg(&chart).args(["--namespace", HELMS]).arg("--kubeconfig");
            command.arg(&kubeconfig).env("HOME", server.path("home"));
            command
        };
        println!("{count} objects{:22} {:>8} {:>10}", "", "wall s", "memory MB");
        // Everything is made first; what is measured finds nothing to do.
        print("wire-deploy, first apply", &[cost(ours("apply"))?]);
        print("kubectl, first apply", &[cost(theirs("apply"))?]);
        print("helm, first apply", &[cost(helms(&["upgrade", "--install"]))?]);
        let apply: [(&str, &dyn Fn() -> Command); 2] =
            [("kubectl apply", &|| theirs("apply")), ("helm upgrade", &|| helms(&["upgrade"]))];
        let plan: [(&str, &dyn Fn() -> Command); 1] = [("kubectl diff", &|| theirs("diff"))];
        for (own, others) in [("plan", &plan[..]), ("apply", &apply[..])] {
            let mut of_ours = Vec::new();
            let mut of_others: Vec<Vec<Cost>> = others.iter().map(|_| Vec::new()).collect();
            for _ in 0..ROUNDS {
                of_ours.push(cost(ours(own))?);
                for ((_, other), costs) in others.iter().zip(&mut of_others) {
                    costs.push(cost(other())?);
                }
            }
            let (wall, memory) = print(&format!("wire-deploy {own}"), &of_ours);
            for ((name, _), costs) in others.iter().zip(&of_others) {
                let (their_wall, their_memory) = print(name, costs);
                let (wall, memory) = (wall / their_wall, memory / their_memory);
                println!("  {:30} {wall:8.3} {memory:10.3}", format!("wire-deploy {own} to {name}"));
            }
        }
    }
    Ok(())
}

/// A chart of all objects, none of which helm has to put anything into.
fn write_chart(folder: &Path, count: usize) -> Result<()> {
    fs::create_dir_all(folder.join("templates"))?;
    fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: objects\nversion: 1.0.0\n")?;
    let objects = manifests(HELMS, count).into_iter().map(|manifest| format!("---\n{}\n", manifest.value));
    Ok(fs::write(folder.join("templates/objects.yaml"), objects.collect::<String>())?)
}

/// Runs a command to its end, looking at its memory all the while.
fn cost(mut command: Command) -> Result<Cost> {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0.0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        memory = kilobytes.map_or(memory, |kilobytes| kilobytes / 1000.0);
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = begun.elapsed();
    if !ended.success() {
        return Err(format!("{command:?} ended with {ended}").into());
    }
    Ok(Cost { wall, memory })
}

/// Prints the medians of wall time (seconds) and memory (megabytes), and gives them.
fn print(name: &str, costs: &[Cost]) -> (f64, f64) {
    let median = |part: &dyn Fn(&Cost) -> f64| {
        let mut parts: Vec<f64> = costs.iter().map(part).collect();
        parts.sort_by(f64::total_cmp);
        parts.get(parts.len() / 2).copied().unwrap_or_default()
    };
    let (wall, memory) = (median(&|cost| cost.wall.as_secs_f64()), median(&|cost| cost.memory));
    println!("  {name:30} {wall:8.3} {memory:10.1}");
    (wall, memory)
}
