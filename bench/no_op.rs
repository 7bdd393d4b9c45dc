//! Ten resources on each of ten hosts: how long it takes to see that nothing is to be done, against `ssh`, pyinfra and ansible-core.
//!
//! `no_op measure PEERS` boots the hosts and measures; PEERS is a Python environment that has the peers. It runs itself inside the
//! hosts' network as `no_op apply SITE`, which goes through the stages of an apply: so the process's start counts too.

mod hosts;
mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::future::try_join_all;
use wire_deploy::desired::{Bootstrap, Cluster, Desired, Node};
use wire_deploy::execute::Leases;
use wire_deploy::observe::Observer;
use wire_deploy::plan::{Inputs, diff};
use wire_deploy::report;
use wire_deploy::site::init::SITE_FILE;
use wire_deploy::site::model::Site;
use wire_deploy::site::names::HostName;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::protocol::Request;
use wire_deploy_agent::resource::{Content, Directory, File, Group, Mode, Owner, Ownership, Resource, Unit, User};
use wire_deploy_agent::state::Lease;

use hosts::{Bench, Result, print_table};

const HOSTS: usize = 10;
const RESOURCES: usize = 10;
const ROUNDS: usize = 7;
/// Hosts are booted for each.
const FIRST_ROUNDS: usize = 3;
/// ansible-core takes half a minute each time, and is far enough behind for one.
const ANSIBLE_ROUNDS: usize = 1;
const NAME: &str = "bench";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", peers] => measure(Path::new(peers)),
        ["apply", site] => {
            let changed =
                tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(apply(Path::new(site)))?;
            println!("changed {changed}");
            Ok(())
        }
        _ => Err("usage: no_op measure PEERS".into()),
    }
}

/// The stages of an apply. Gives how many resources were changed.
async fn apply(site_file: &Path) -> Result<usize> {
    let (workspace, secrets, hosts) = site::open(site_file)?;
    let site = &workspace.site;
    let (reporter, writer) = report::start(report::Options::default());
    let desired = desired(site);
    let observer = Observer { site, secrets: &secrets, hosts: &hosts, reporter: &reporter };
    let lease = Lease {
        holder: "bench".to_owned(),
        run: "bench".to_owned(),
        machine: "bench".to_owned(),
        process: std::process::id(),
        since: 0,
        expires: 0,
    };
    let gathered = observer.gather(&desired, Some(&lease)).await;
    if !gathered.observed.unreachable.is_empty() || !gathered.held.is_empty() {
        return Err(format!("unreachable {:?}, held {:?}", gathered.observed.unreachable, gathered.held).into());
    }
    let plan = diff(Inputs {
        site: &site.name,
        desired: &desired,
        observed: &gathered.observed,
        verdicts: &std::collections::BTreeMap::new(),
        secrets: &secrets,
        hosts: None,
    })?;
    let mut changed = 0;
    if !plan.is_empty() {
        let nodes = desired.clusters.iter().flat_map(|cluster| &cluster.nodes);
        let applied = nodes.map(async |node| -> Result<usize> {
            let key = secrets.fingerprint_key(&node.host);
            let request =
                Request::Apply { run: lease.run.clone(), resources: node.resources.clone(), key, transaction: None };
            hosts.agent(&node.host).await?.change(&request, &mut |_| {}).await?;
            Ok(node.resources.len())
        });
        changed = try_join_all(applied).await?.into_iter().sum();
    }
    let held = site.hosts.iter().map(|host| host.name.clone()).collect();
    Leases::new(&hosts, held, lease).release().await;
    hosts.close().await;
    if !writer.finish(0, None) {
        return Err("the report could not be written".into());
    }
    Ok(changed)
}

fn desired(site: &Site) -> Desired {
    let owner = Owner { user: NAME.to_owned(), group: NAME.to_owned() };
    let root = Owner { user: "root".to_owned(), group: "root".to_owned() };
    let peers: String = site.hosts.iter().map(|host| format!("peer: {}\n", host.name)).collect();
    let file = |path: String, owner: &Owner, mode, text: String| {
        let (owner, content) = (owner.clone(), Content::Text(text));
        Resource::File(File { path, owner, mode: Mode(mode), content, sensitive: false, ownership: Ownership::Ours })
    };
    let mut resources = vec![
        Resource::Group(Group { name: NAME.to_owned() }),
        Resource::User(User {
            name: NAME.to_owned(),
            group: NAME.to_owned(),
            groups: Vec::new(),
            home: format!("/var/lib/{NAME}"),
        }),
    ];
    for folder in ["/etc", "/var/lib", "/var/log"] {
        let path = format!("{folder}/{NAME}");
        resources.push(Resource::Directory(Directory { path, owner: owner.clone(), mode: Mode(0o750), data: false }));
    }
    for number in 0..3 {
        let text = format!("number: {number}\n{peers}");
        resources.push(file(format!("/etc/{NAME}/{number}.yaml"), &owner, 0o640, text));
    }
    let unit =
        format!("[Service]\nExecStart=/bin/sleep infinity\nUser={NAME}\n[Install]\nWantedBy=multi-user.target\n");
    let started_with = Some(Digest::of(unit.as_bytes()));
    resources.push(file(format!("/etc/systemd/system/{NAME}.service"), &root, 0o644, unit));
    resources.push(Resource::Unit(Unit {
        name: format!("{NAME}.service"),
        enabled: true,
        running: true,
        started_with,
        reloaded_with: None,
        timeout_seconds: 60,
        attempts: 1,
    }));
    assert_eq!(resources.len(), RESOURCES);
    let node = |name: &HostName, address| Node {
        host: name.clone(),
        address,
        resources: resources.clone(),
        before: Vec::new(),
    };
    let nodes = site.hosts.iter().map(|host| node(&host.name, host.address)).collect();
    let cluster = Cluster {
        service: NAME.into(),
        version: String::new(),
        nodes,
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        leaving: Vec::new(),
        tolerance: 1,
        gate_timeout_seconds: 60,
        away: Vec::new(),
        objects: Vec::new(),
    };
    Desired { clusters: vec![cluster], ..Desired::default() }
}

/// The hosts, with what the peers need.
struct Peers {
    bench: Bench,
    /// The Python environment.
    python: PathBuf,
}

fn measure(peers: &Path) -> Result<()> {
    let program = std::env::current_exe()?;
    let changed = format!("changed {}", HOSTS * RESOURCES);
    let (mut own_first, mut pyinfra_first, mut ansible_first) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..FIRST_ROUNDS {
        // Each on hosts of its own, on which nothing was ever done.
        let fresh = Peers::boot(peers)?;
        own_first.push(fresh.bench.run(vec![fresh.own(&program)], Some(&changed))?);
        drop(fresh);
        let fresh = Peers::boot(peers)?;
        pyinfra_first.push(fresh.bench.run(vec![fresh.pyinfra()?], None)?);
        drop(fresh);
        if round < ANSIBLE_ROUNDS {
            let fresh = Peers::boot(peers)?;
            ansible_first.push(fresh.bench.run(vec![fresh.ansible()?], None)?);
        }
    }
    println!("First apply on bare hosts, no agent on them yet, medians of {FIRST_ROUNDS} interleaved runs");
    print_table(&[("wire-deploy", &own_first), ("pyinfra", &pyinfra_first), ("ansible-core", &ansible_first)]);

    let peers = Peers::boot(peers)?;
    let own = || peers.own(&program);
    peers.bench.run(vec![own()], Some(&changed))?;
    peers.bench.run(vec![peers.pyinfra()?], None)?;
    peers.bench.run(vec![peers.ansible()?], None)?;
    let (mut own_runs, mut ssh, mut pyinfra, mut ansible) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        own_runs.push(peers.bench.run(vec![own()], Some("changed 0"))?);
        ssh.push(peers.bench.run(peers.ssh()?, None)?);
        pyinfra.push(peers.bench.run(vec![peers.pyinfra()?], None)?);
        if round < ANSIBLE_ROUNDS {
            ansible.push(peers.bench.run(vec![peers.ansible()?], None)?);
        }
    }
    println!("\nNothing to do, medians of {ROUNDS} interleaved runs ({ANSIBLE_ROUNDS} run of ansible-core)");
    print_table(&[
        ("wire-deploy", &own_runs),
        ("10 x ssh host true", &ssh),
        ("pyinfra", &pyinfra),
        ("ansible-core", &ansible),
    ]);
    Ok(())
}

impl Peers {
    fn boot(python: &Path) -> Result<Self> {
        let bench = Bench::boot(python.with_file_name("no_op"), HOSTS, &["python3"])?;
        let peers = Self { bench, python: python.to_owned() };
        peers.write_site()?;
        Ok(peers)
    }

    /// The site of the hosts, with secrets, and the peers' inventories.
    fn write_site(&self) -> Result<()> {
        self.bench.write_site(&["etcd", "redis"])?;
        let folder = self.bench.folder.join("site");
        let key = self.bench.sandbox.key_file().display().to_string();
        let known_hosts = self.bench.sandbox.known_hosts_file().display().to_string();
        let addresses: Vec<String> = self.bench.sandbox.hosts().iter().map(|host| host.address.to_string()).collect();
        let inventory = format!(
            "[all]\n{}\n[all:vars]\nansible_user=root\nansible_ssh_private_key_file={key}\nansible_ssh_common_args=-F none -o UserKnownHostsFile={known_hosts}\n",
            addresses.join("\n")
        );
        fs::write(folder.join("ansible.ini"), inventory)?;
        let data = format!("{{'ssh_user': 'root', 'ssh_key': {key:?}, 'ssh_known_hosts_file': {known_hosts:?}}}");
        fs::write(folder.join("pyinfra.py"), format!("hosts = ({addresses:?}, {data})\n"))?;
        Ok(())
    }

    fn own(&self, program: &Path) -> Command {
        let mut command = self.bench.sandbox.command(program);
        command.arg("apply").arg(self.bench.folder.join("site").join(SITE_FILE));
        command
    }

    fn ssh(&self) -> Result<Vec<Command>> {
        let mut commands = Vec::new();
        for host in self.bench.sandbox.hosts() {
            let mut command = self.bench.sandbox.ssh(host.name())?;
            command.arg("true");
            commands.push(command);
        }
        Ok(commands)
    }

    fn pyinfra(&self) -> Result<Command> {
        let mut command = self.bench.sandbox.command(self.python.join("bin/pyinfra"));
        command.arg("--yes").arg(self.bench.folder.join("site/pyinfra.py")).arg(source("deploy.py")?);
        Ok(command)
    }

    fn ansible(&self) -> Result<Command> {
        let mut command = self.bench.sandbox.command(self.python.join("bin/ansible-playbook"));
        command.arg("--inventory").arg(self.bench.folder.join("site/ansible.ini")).arg(source("play.yaml")?);
        command.env("ANSIBLE_CONFIG", source("ansible.cfg")?).env("ANSIBLE_HOME", self.bench.folder.join("ansible"));
        Ok(command)
    }
}

/// A file beside the peers' requirements.
fn source(name: &str) -> Result<PathBuf> {
    Ok(fs::canonicalize(Path::new("bench/peers").join(name))?)
}
