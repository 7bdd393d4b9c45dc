//! A site whose hosts are folders and loopback addresses of this machine.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use wire_deploy::artifacts::{self, Store, Wanted};
use wire_deploy::desired::{self, Cluster, Desired, Node, Operation};
use wire_deploy::lock::Lock;
use wire_deploy::observed::{HostObserved, LiveState, Observed};
use wire_deploy::report;
use wire_deploy::services::{Driver, DynService, Network, Stream};
use wire_deploy::site::load;
use wire_deploy::site::model::Site;
use wire_deploy::site::names::HostName;
use wire_deploy::site::secrets::Secrets;
use wire_deploy::templates::Templates;
use wire_deploy_agent::resource::{Content, File, Ownership, Probe, Resource};
use wire_deploy_agent::state::{Entry, PathState, State, UnitState};

/// How long clusters on a busy machine may take to come to anything.
const PATIENCE: Duration = Duration::from_secs(120);

const SEED: [u8; 32] = [7; 32];

pub struct Place {
    service: &'static dyn DynService,
    pub site: Site,
    pub secrets: Secrets,
    templates: Templates,
    pub lock: Lock,
    folder: TempDir,
    /// Folders on a host, each of which becomes one below that host's own.
    folders: &'static [&'static str],
    /// Where packages were unpacked whose programs are run, instead of `/`.
    programs: Option<PathBuf>,
    running: Mutex<BTreeMap<String, Child>>,
    pub live: Option<LiveState>,
}

/// Opens connections from this machine, where all "hosts" are.
pub struct Loopback;

impl Network for Loopback {
    fn open<'a>(&'a self, _: &'a HostName, address: SocketAddr) -> BoxFuture<'a, std::io::Result<Box<dyn Stream>>> {
        async move { Ok(Box::new(tokio::net::TcpStream::connect(address).await?) as Box<dyn Stream>) }.boxed()
    }
}

/// A recipe's artifacts, made if the operator's store lacks them.
pub async fn locked(recipe: &str, releases: &[&str], store: &Store) -> Lock {
    let (reporter, _writer) = report::start(report::Options::default());
    let releases = releases.iter().map(|release| (*release).to_owned()).collect();
    let wanted = Wanted { recipe: recipe.to_owned(), releases, brought: None };
    artifacts::prepare(&[wanted], &Lock::default(), store, &reporter).await.unwrap()
}

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Place {
    /// `hosts` hosts of one service. `number` sets this place's addresses apart from those of others in this process.
    pub fn new(
        service: &'static dyn DynService,
        hosts: usize,
        number: u8,
        settings: &str,
        lock: Lock,
        folders: &'static [&'static str],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(SEED, now(), BTreeMap::new(), BTreeMap::new());
        let site = site(service, hosts, number, settings);
        let templates = Templates::new(&BTreeMap::new()).unwrap();
        Self {
            service,
            site,
            secrets,
            templates,
            lock,
            folder,
            folders,
            programs: None,
            running: Mutex::default(),
            live: None,
        }
    }

    /// Raises secrets to a generation.
    pub fn raise(&mut self, names: &[&str], generation: u32) {
        let generations = names.iter().map(|name| ((*name).to_owned(), generation)).collect();
        self.secrets = Secrets::new(SEED, self.secrets.created, BTreeMap::new(), generations);
    }

    /// Unpacks packages, so that their programs are run and not this machine's.
    pub fn unpack(&mut self, packages: &[PathBuf]) {
        let root = self.folder.path().join("programs");
        for package in packages {
            let done = Command::new("dpkg-deb").arg("-x").arg(package).arg(&root).status().unwrap();
            assert!(done.success(), "{} was not unpacked", package.display());
        }
        self.programs = Some(root);
    }

    /// The same hosts and some more.
    pub fn grow(&mut self, hosts: usize, number: u8, settings: &str) {
        self.site = site(self.service, hosts, number, settings);
    }

    /// The cluster as it should be, given what is found now.
    pub fn cluster(&self) -> Cluster {
        let services: &[&'static dyn DynService] = &[self.service];
        let sources = desired::Sources {
            site: &self.site,
            secrets: &self.secrets,
            lock: &self.lock,
            templates: &self.templates,
            selected: None,
            services,
            workloads: &[],
        };
        let outline = desired::outline(sources).unwrap();
        let observed = self.observe(&outline);
        desired::build(sources, &observed).unwrap().clusters.remove(0)
    }

    fn observe(&self, outline: &Desired) -> Observed {
        let mut observed = Observed { time: now(), ..Observed::default() };
        for node in &outline.clusters[0].nodes {
            let states =
                node.resources.iter().filter_map(|resource| Some((resource.id(), self.state(&node.host, resource)?)));
            let found = HostObserved { states: states.collect(), ..HostObserved::default() };
            observed.hosts.insert(node.host.clone(), found);
        }
        if let Some(live) = &self.live {
            observed.live.insert(self.service.name(), live.clone());
        }
        observed
    }

    fn state(&self, host: &HostName, resource: &Resource) -> Option<State> {
        match resource {
            Resource::Probe(Probe::Lines { path, prefix }) => {
                Some(match std::fs::read_to_string(self.path(host, path)) {
                    Ok(text) => State::Lines {
                        lines: text.lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect(),
                    },
                    Err(_) => State::Absent,
                })
            }
            Resource::Probe(Probe::Path { path }) => Some(if self.path(host, path).exists() {
                State::Exists { empty: false, device: 0 }
            } else {
                State::Absent
            }),
            // What files are compared by: secrets by their fingerprints.
            Resource::File(file) if file.sensitive => Some(match std::fs::read(self.path(host, &file.path)) {
                Ok(content) => State::Path(PathState {
                    entry: Entry::File { digest: self.secrets.fingerprint_key(host).fingerprint(&content), text: None },
                    owner: file.owner.clone(),
                    mode: file.mode,
                }),
                Err(_) => State::Absent,
            }),
            Resource::Unit(unit) => {
                let runs = self.running.lock().unwrap().contains_key(&format!("{host} {}", unit.name));
                Some(State::Unit(UnitState {
                    load: "loaded".to_owned(),
                    active: if runs { "active" } else { "inactive" }.to_owned(),
                    enabled: true,
                    ..UnitState::default()
                }))
            }
            _ => None,
        }
    }

    /// Where a host's path is on this machine.
    pub fn path(&self, host: &HostName, path: &str) -> PathBuf {
        self.folder.path().join(host.as_str()).join(path.trim_start_matches('/'))
    }

    /// A text for a host with this machine's paths and addresses in it.
    fn localized(&self, host: &HostName, text: &str) -> String {
        let own = self.site.host(host).unwrap().address.to_string();
        let (network, last) = own.rsplit_once('.').unwrap();
        let loopback = format!("{network}.{}", 100 + last.parse::<u8>().unwrap());
        let text = text.replace("127.0.0.1", &loopback);
        self.folders.iter().fold(text, |text, folder| text.replace(folder, self.path(host, folder).to_str().unwrap()))
    }

    /// Writes a node's files.
    pub fn write(&self, node: &Node, blobs: &dyn Fn(&wire_deploy_agent::digest::Digest) -> PathBuf) {
        for resource in &node.resources {
            match resource {
                Resource::Directory(directory) => {
                    std::fs::create_dir_all(self.path(&node.host, &directory.path)).unwrap();
                }
                Resource::File(file) => self.write_file(&node.host, file, blobs),
                _ => {}
            }
        }
    }

    fn write_file(&self, host: &HostName, file: &File, blobs: &dyn Fn(&wire_deploy_agent::digest::Digest) -> PathBuf) {
        let path = self.path(host, &file.path);
        if file.ownership == Ownership::Seed && path.exists() {
            return;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match &file.content {
            Content::Text(text) => std::fs::write(path, self.localized(host, text)).unwrap(),
            Content::Blob(blob) if !path.exists() => {
                std::fs::copy(blobs(blob), &path).unwrap();
                std::fs::set_permissions(path, Permissions::from_mode(file.mode.0)).unwrap();
            }
            _ => {}
        }
    }

    /// Starts what a unit's file (or its drop-in) says, unless it runs.
    pub fn start(&self, host: &HostName, unit: &str, file: &str) {
        let name = format!("{host} {unit}");
        if self.running.lock().unwrap().contains_key(&name) {
            return;
        }
        let text = std::fs::read_to_string(self.path(host, file)).unwrap();
        let values = |key: &'static str| {
            text.lines().filter_map(move |line| line.strip_prefix(key)).filter(|value| !value.is_empty())
        };
        let words: Vec<_> = values("ExecStart=").next().unwrap().split_whitespace().collect();
        let log = std::fs::File::options().create(true).append(true).open(self.log(host, unit)).unwrap();
        let mut command = match &self.programs {
            Some(root) => {
                let mut command = Command::new(root.join(words[0].trim_start_matches('/')));
                command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
                command
            }
            None => Command::new(words[0]),
        };
        command.args(&words[1..]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        for environment in values("EnvironmentFile=") {
            let lines = std::fs::read_to_string(environment).unwrap();
            let pairs = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
            command.envs(pairs);
        }
        let child = command.spawn().unwrap();
        self.running.lock().unwrap().insert(name, child);
    }

    pub fn log(&self, host: &HostName, unit: &str) -> PathBuf {
        self.folder.path().join(format!("{host} {unit}.log"))
    }

    /// Kills a unit's process, as a power cut would.
    pub fn kill(&self, host: &HostName, unit: &str) {
        if let Some(mut child) = self.running.lock().unwrap().remove(&format!("{host} {unit}")) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn driver<'a>(&'a self) -> Driver<'a> {
        Driver { network: &Loopback, secrets: &self.secrets, time: now() }
    }

    /// Asks the cluster until it satisfies, and keeps what it said.
    pub async fn until(&mut self, cluster: &Cluster, what: &str, satisfied: impl Fn(&LiveState) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let live = self.service.observe(cluster, &self.driver()).await.unwrap();
            let done = satisfied(&live);
            let verdict = self.service.judge(cluster, &live);
            self.live = Some(live);
            if done {
                return;
            }
            assert!(Instant::now() < end, "{what} did not happen: {:#?}\n{:#?}\n{}", verdict, self.live, self.logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits for the cluster's gate.
    pub async fn gate(&mut self, cluster: &Cluster) {
        let service = self.service;
        self.until(cluster, "the gate", |live| service.judge(cluster, live).healthy()).await;
    }

    pub async fn operate(&self, cluster: &Cluster, operation: &Operation) {
        if let Err(error) = self.service.operate(cluster, operation, &self.driver()).await {
            panic!("{operation:?}: {error:#}\n{}", self.logs());
        }
    }

    pub fn fact(&self, name: &str) -> String {
        self.live.as_ref().and_then(|live| live.facts.get(name)).cloned().unwrap_or_default()
    }

    fn logs(&self) -> String {
        let mut logs = String::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                logs.push_str(&tail(&path));
            }
        }
        logs
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("== {}\n{}\n", path.display(), lines[lines.len().saturating_sub(12)..].join("\n"))
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in self.running.lock().unwrap().values_mut() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn site(service: &'static dyn DynService, hosts: usize, number: u8, settings: &str) -> Site {
    let name = service.name();
    let text = format!(
        "format: 1\nsite: test\ndomain: example.com\nprofile: sandbox\ninventory: hosts.yaml\nservices:\n  {name}: {{{settings}}}\n"
    );
    let inventory = format!(
        "hosts:\n  db[1:{hosts}]: {{address: \"10.0.0.[1:{hosts}]\"}}\ngroups:\n  {name}: {{hosts: [\"db[1:{hosts}]\"]}}\n"
    );
    let sources = load::Sources {
        path: "wire-deploy.yaml".to_owned(),
        text,
        inventory: Some(("hosts.yaml".to_owned(), Ok(inventory))),
    };
    let mut site = load::load(&sources, &[service]).unwrap();
    // Addresses of this process's own: 127.64.0.0 to 127.127.255.255, by its id.
    let process = std::process::id();
    let (second, third) = (64 + (process >> 8) % 64, process % 256);
    for (index, host) in site.hosts.iter_mut().enumerate() {
        let last = 10 * u32::from(number) + u32::try_from(index).unwrap() + 1;
        host.address = IpAddr::from([127, second, third, last].map(|part| u8::try_from(part).unwrap()));
    }
    site
}
