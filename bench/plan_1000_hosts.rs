//! Planning for 1,000 hosts with 40 resources each, without a network: what is sent is encoded, what comes back is decoded,
//! the difference is worked out. Prints seconds and the highest memory use of the process so far.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Instant;

use wire_deploy::desired::{Bootstrap, Cluster, Desired, Node, without_content};
use wire_deploy::observed::{HostObserved, Observed};
use wire_deploy::plan::{Inputs, diff};
use wire_deploy::site::names::{HostName, ServiceName};
use wire_deploy::site::secrets::Secrets;
use wire_deploy_agent::digest::{Digest, FingerprintKey};
use wire_deploy_agent::protocol::{Request, Response};
use wire_deploy_agent::resource::{
    Content, Directory, File, Group, Mode, Owner, Ownership, Package, Packages, Resource, Symlink, Sysctl, Unit, User,
};
use wire_deploy_agent::state::{Entry, Facts, PathState, State, UnitState, UserState};

const HOSTS: usize = 1000;
const HOSTS_OF_A_CLUSTER: usize = 10;
const RESOURCES: usize = 40;

/// What the hosts are like before.
#[derive(Clone, Copy)]
enum Found {
    /// As wanted.
    Same,
    /// As wanted, but for one file on every tenth host.
    Edited,
    /// Bare.
    Nothing,
}

fn main() -> Result<(), Box<dyn Error>> {
    let secrets = Secrets::new([7; 32], 0, BTreeMap::new(), BTreeMap::new());
    println!("{HOSTS} hosts, {RESOURCES} resources each, {HOSTS_OF_A_CLUSTER} hosts a cluster");
    println!(
        "{:28} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9}",
        "", "encode s", "decode s", "plan s", "sum s", "steps", "peak MB"
    );
    for (name, found) in [
        ("nothing differs", Found::Same),
        ("a file on every tenth host", Found::Edited),
        ("bare hosts", Found::Nothing),
    ] {
        let desired = desired();
        let answers = answers(&desired, &secrets, found)?;

        let begun = Instant::now();
        let mut requests = 0;
        for (host, resources) in desired.by_host() {
            let key = secrets.fingerprint_key(host);
            let resources = resources.into_iter().map(|resource| without_content(resource, &key)).collect();
            requests += serde_json::to_vec(&Request::Observe { resources, key })?.len();
        }
        let encoded = begun.elapsed();

        let begun = Instant::now();
        let observed = observed(&desired, &answers)?;
        let decoded = begun.elapsed();

        let begun = Instant::now();
        let plan = diff(Inputs {
            site: "bench",
            desired: &desired,
            observed: &observed,
            verdicts: &BTreeMap::new(),
            secrets: &secrets,
            hosts: None,
        })?;
        let planned = begun.elapsed();
        let expected = match found {
            Found::Same => 0,
            // Each changes without a restart.
            Found::Edited => HOSTS / 10,
            // Each is configured, and each cluster has a gate at the end.
            Found::Nothing => HOSTS + HOSTS / HOSTS_OF_A_CLUSTER,
        };
        if plan.steps.len() != expected || requests == 0 {
            return Err(format!("{name}: expected {expected} steps, planned {}", plan.steps.len()).into());
        }
        println!(
            "{name:28} {:9.3} {:9.3} {:9.3} {:9.3} {:7} {:9.0}",
            encoded.as_secs_f64(),
            decoded.as_secs_f64(),
            planned.as_secs_f64(),
            (encoded + decoded + planned).as_secs_f64(),
            plan.steps.len(),
            peak_megabytes()?
        );
    }
    Ok(())
}

/// Highest resident memory of this process, in megabytes.
fn peak_megabytes() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel does not tell")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

fn desired() -> Desired {
    let names: Vec<HostName> = (0..HOSTS).map(|number| HostName(format!("host{number}"))).collect();
    let clusters = names
        .chunks(HOSTS_OF_A_CLUSTER)
        .enumerate()
        .map(|(number, hosts)| Cluster {
            service: ServiceName(format!("service{number}")),
            version: "1.0".to_owned(),
            nodes: hosts.iter().map(|host| node(host, hosts)).collect(),
            bootstrap: Bootstrap::AllAtOnce,
            after: Vec::new(),
            leaving: Vec::new(),
            tolerance: 1,
            away: Vec::new(),
            gate_timeout_seconds: 60,
            objects: Vec::new(),
        })
        .collect();
    Desired { clusters, ..Desired::default() }
}

fn node(host: &HostName, peers: &[HostName]) -> Node {
    let owner = Owner { user: "service".to_owned(), group: "service".to_owned() };
    let mut resources = vec![
        Resource::Packages(packages()),
        Resource::Group(Group { name: "service".to_owned() }),
        Resource::User(User {
            name: "service".to_owned(),
            group: "service".to_owned(),
            groups: Vec::new(),
            home: "/var/lib/service".to_owned(),
        }),
    ];
    for number in 0..8 {
        let path = format!("/var/lib/service/{number}");
        resources.push(Resource::Directory(Directory { path, owner: owner.clone(), mode: Mode(0o750), data: true }));
    }
    for number in 0..20 {
        let mut text = format!("# settings {number} of {host}\n");
        for line in 0..40 {
            for peer in peers.iter().skip(line % 3).step_by(4) {
                // Writing to a text cannot fail.
                let _ = writeln!(text, "setting-{line}-{peer}: {number}");
            }
        }
        resources.push(Resource::File(File {
            path: format!("/etc/service/{number}.yaml"),
            owner: owner.clone(),
            mode: Mode(0o640),
            content: Content::Text(text),
            sensitive: number < 4,
            ownership: Ownership::Ours,
        }));
    }
    for number in 0..4 {
        let name = format!("vm.setting_{number}");
        resources.push(Resource::Sysctl(Sysctl { name, value: "1".to_owned(), at_least: false, tolerate: false }));
    }
    for number in 0..2 {
        let path = format!("/opt/service/current{number}");
        resources.push(Resource::Symlink(Symlink { path, target: format!("/opt/service/{number}") }));
    }
    for number in 0..3 {
        resources.push(Resource::Unit(Unit {
            name: format!("service{number}.service"),
            enabled: true,
            running: true,
            started_with: Some(Digest::of(host.as_str().as_bytes())),
            reloaded_with: None,
            timeout_seconds: 60,
            attempts: 1,
        }));
    }
    assert_eq!(resources.len(), RESOURCES);
    Node { host: host.clone(), address: core::net::Ipv4Addr::LOCALHOST.into(), resources, before: Vec::new() }
}

/// As many as Redis takes on a bare Debian host.
fn packages() -> Packages {
    let package = |number: usize| Package {
        name: format!("library-of-some-kind{number}"),
        version: format!("1.{number}.0-1+deb12u1"),
        architecture: "amd64".to_owned(),
        blob: Digest::of(&number.to_le_bytes()),
        size: 100_000,
    };
    Packages {
        name: "service".to_owned(),
        wanted: vec!["library-of-some-kind0".to_owned()],
        closure: (0..55).map(package).collect(),
    }
}

/// What each host's agent would answer, as it comes over the wire.
fn answers(desired: &Desired, secrets: &Secrets, found: Found) -> Result<BTreeMap<HostName, Vec<u8>>, Box<dyn Error>> {
    let mut answers = BTreeMap::new();
    for (number, node) in desired.clusters.iter().flat_map(|cluster| &cluster.nodes).enumerate() {
        let key = secrets.fingerprint_key(&node.host);
        let mut states: Vec<State> = node
            .resources
            .iter()
            .map(|resource| if let Found::Nothing = found { absent(resource) } else { as_wanted(resource, &key) })
            .collect();
        let edited = node.resources.iter().position(|resource| resource.id().0 == "file /etc/service/19.yaml");
        if let (Found::Edited, 0, Some(index)) = (found, number % 10, edited)
            && let State::Path(PathState { entry: Entry::File { digest, text }, .. }) = &mut states[index]
        {
            let edited = "# edited by hand\n".repeat(100);
            *digest = Digest::of(edited.as_bytes());
            *text = Some(edited);
        }
        let response = Response::Observed { facts: Box::new(Facts::default()), states, lease: None };
        answers.insert(node.host.clone(), serde_json::to_vec(&response)?);
    }
    Ok(answers)
}

fn observed(desired: &Desired, answers: &BTreeMap<HostName, Vec<u8>>) -> Result<Observed, Box<dyn Error>> {
    let mut observed = Observed::default();
    for (host, resources) in desired.by_host() {
        let Response::Observed { facts, states, .. } = serde_json::from_slice(&answers[host])? else {
            return Err("an answer of another kind".into());
        };
        let states = resources.into_iter().map(Resource::id).zip(states).collect();
        observed.hosts.insert(host.clone(), HostObserved { facts: *facts, states, ..HostObserved::default() });
    }
    Ok(observed)
}

fn absent(resource: &Resource) -> State {
    match resource {
        Resource::Packages(_) => State::Packages { installed: BTreeMap::new(), broken: Vec::new() },
        Resource::Sysctl(_) => State::Sysctl { value: "0".to_owned(), persistent: None, writable: true },
        Resource::Unit(_) => State::Unit(UnitState {
            load: "not-found".to_owned(),
            active: "inactive".to_owned(),
            ..UnitState::default()
        }),
        _ => State::Absent,
    }
}

fn as_wanted(resource: &Resource, key: &FingerprintKey) -> State {
    let path = |entry, owner: &Owner, mode| State::Path(PathState { entry, owner: owner.clone(), mode });
    match resource {
        Resource::Directory(wanted) => path(Entry::Directory, &wanted.owner, wanted.mode),
        Resource::File(wanted) => {
            let digest = match &wanted.content {
                Content::Text(text) if wanted.sensitive => key.fingerprint(text.as_bytes()),
                Content::Text(text) => Digest::of(text.as_bytes()),
                Content::Blob(digest) | Content::Digest(digest) => digest.clone(),
            };
            path(Entry::File { digest, text: None }, &wanted.owner, wanted.mode)
        }
        Resource::Symlink(wanted) => {
            let root = Owner { user: "root".to_owned(), group: "root".to_owned() };
            path(Entry::Symlink { target: wanted.target.clone() }, &root, Mode(0o777))
        }
        Resource::User(wanted) => State::User(UserState {
            group: wanted.group.clone(),
            groups: wanted.groups.clone(),
            home: wanted.home.clone(),
        }),
        Resource::Group(_) => State::Group,
        Resource::Packages(wanted) => State::Packages {
            installed: wanted.closure.iter().map(|package| (package.name.clone(), package.version.clone())).collect(),
            broken: Vec::new(),
        },
        Resource::Sysctl(wanted) => {
            State::Sysctl { value: wanted.value.clone(), persistent: Some(wanted.value.clone()), writable: true }
        }
        Resource::Unit(wanted) => State::Unit(UnitState {
            load: "loaded".to_owned(),
            active: "active".to_owned(),
            enabled: wanted.enabled,
            started_with: wanted.started_with.clone(),
            next_start_with: wanted.started_with.clone(),
            ..UnitState::default()
        }),
        _ => State::Absent,
    }
}
