//! What each host should hold, and what the cluster itself should.

use core::net::SocketAddr;

use serde_json::json;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Owner, Probe, Resource, Symlink};

use super::erasure::Layout;
use super::{HEAL, PORT, ROOT_PASSWORD, SERVICE_USER, Settings, TRUST_DOMAIN, USER_PASSWORD, bucket, policy};
use crate::desired::{Bootstrap, Cluster, Node, Object, Operation};
use crate::services::resources::{
    data_directory, directory, file, owner, program, reloading_unit, root, secret, unit_file, user_and_group,
};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context, OPERATOR};
use crate::site::model::Host;

const RECIPE: &str = "minio";
/// Seconds that a server with new drives has to be filled again; with many objects it takes longer, and the gate says how far it is.
const LEAST_PATIENCE: u32 = 300;
/// Our files; MinIO can read them and change none.
const FOLDER: &str = "/etc/minio";
const CERTIFICATES: &str = "/etc/minio/certs";
const PROGRAMS: &str = "/opt/minio";
/// The user's home.
const HOME: &str = "/var/lib/minio";
const UNIT: &str = "minio.service";
const USER: &str = "minio";
/// Seconds until a start counts as failed. A first start waits for enough others.
const START_SECONDS: u32 = 120;

/// The object that is the user's policy.
pub(super) const POLICY_OBJECT: &str = "policy/cargohold";
/// The object that is the backend's user.
pub(super) const USER_OBJECT: &str = "user/cargohold";
const BUCKET_OBJECT: &str = "bucket/";

/// The bucket that an object is, if it is one.
pub(super) fn bucket_of(object: &Object) -> Option<&str> {
    object.id.strip_prefix(BUCKET_OBJECT)
}

/// A folder that is on the system's disk.
pub(super) const SYSTEM: &str = "/etc";

/// Where MinIO writes what a drive belongs to.
pub(super) fn format_file(drive: &str) -> String {
    format!("{drive}/.minio.sys/format.json")
}

/// The folder that a drive's folder is in.
pub(super) fn parent(drive: &str) -> &str {
    drive.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty()).unwrap_or("/")
}

/// The whole cluster.
pub(super) fn build(context: &Context<'_>) -> Result<Cluster, BuildError> {
    let hosts = context.hosts();
    let settings: Settings =
        hosts.first().map_or_else(|| Ok(Settings::default()), |host| context.settings(&host.name))?;
    let layout = Layout::of(hosts.len(), settings.drives.len());
    let builder = |host| NodeBuilder { context, host, hosts: &hosts, settings: &settings, layout };
    let nodes = hosts.iter().map(|host| builder(*host).build()).collect::<Result<Vec<_>, _>>()?;
    Ok(Cluster {
        service: context.service.clone(),
        version: context.lock.recipes.get(RECIPE).map(|locked| locked.version.clone()).unwrap_or_default(),
        bootstrap: Bootstrap::AllAtOnce,
        after: Vec::new(),
        tolerance: layout.map_or(0, |layout| u32::try_from(layout.tolerance).unwrap_or(u32::MAX)),
        gate_timeout_seconds: context.site.profile.gate_timeout_seconds.max(LEAST_PATIENCE),
        objects: objects(context, &settings),
        nodes,
        leaving: Vec::new(),
        away: Vec::new(),
    })
}

/// Buckets, then the policy on them, then the user who has it.
fn objects(context: &Context<'_>, settings: &Settings) -> Vec<Object> {
    let buckets = settings.buckets.iter();
    let buckets =
        buckets.map(|(name, bucket)| Object { id: format!("{BUCKET_OBJECT}{name}"), wanted: bucket::wanted(bucket) });
    let generation = context.secrets.generation(&context.service, USER_PASSWORD);
    let policy = Object {
        id: POLICY_OBJECT.to_owned(),
        wanted: policy::document(&settings.buckets.keys().map(String::as_str).collect::<Vec<_>>()),
    };
    let user = Object {
        id: USER_OBJECT.to_owned(),
        wanted: json!({ "enabled": true, "policy": SERVICE_USER, "secret": generation }),
    };
    buckets.chain([policy, user]).collect()
}

struct NodeBuilder<'a> {
    context: &'a Context<'a>,
    host: &'a Host,
    hosts: &'a [&'a Host],
    settings: &'a Settings,
    layout: Option<Layout>,
}

impl NodeBuilder<'_> {
    fn build(&self) -> Result<Node, BuildError> {
        let server = Resource::File(program(&format!("{PROGRAMS}/minio"), self.context.artifact(RECIPE, "minio")?));
        let certificate = self.context.node_certificate(self.host, TRUST_DOMAIN, CERTIFICATES, &root_for_minio())?;
        let settings = self.settings()?;
        let secrets = self.secrets()?;
        let unit = self.unit()?;
        let key = self.context.secrets.fingerprint_key(&self.host.name);
        // A renewed certificate is taken in, but the authority is read only when MinIO starts.
        let depends_on = [&server, &certificate.authority, &settings, &secrets, &unit];
        let started_with = restart_digest(depends_on, &key);
        let reloaded_with = restart_digest([&certificate.certificate, &certificate.key], &key);
        let before = self.before(&started_with);

        let mut resources = Vec::from(user_and_group(USER, HOME));
        resources.extend([
            directory(PROGRAMS, root(), 0o755),
            server,
            directory(FOLDER, root_for_minio(), 0o750),
            directory(CERTIFICATES, root_for_minio(), 0o750),
            directory(&format!("{CERTIFICATES}/CAs"), root_for_minio(), 0o750),
        ]);
        resources.extend(certificate.into_resources());
        // The names that MinIO looks for.
        resources.extend([("public.crt", "node.pem"), ("private.key", "node.key"), ("CAs/ca.pem", "../ca.pem")].map(
            |(name, target)| {
                Resource::Symlink(Symlink { path: format!("{CERTIFICATES}/{name}"), target: target.to_owned() })
            },
        ));
        resources.push(data_directory(HOME, owner(USER, USER), 0o750));
        resources.extend(self.settings.drives.iter().map(|drive| data_directory(drive, owner(USER, USER), 0o750)));
        resources.extend(self.probes());
        resources.extend([settings, secrets, unit]);
        resources.push(reloading_unit(UNIT, started_with, reloaded_with, START_SECONDS));
        Ok(Node { host: self.host.name.clone(), address: self.host.address, resources, before })
    }

    /// What drives belong to, and which disks they are on.
    fn probes(&self) -> Vec<Resource> {
        let mut paths = vec![SYSTEM];
        for drive in &self.settings.drives {
            for path in [parent(drive), drive] {
                if path != "/" && !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        let lines = |drive: &String| Probe::Lines { path: format_file(drive), prefix: "{".to_owned() };
        let paths = paths.into_iter().map(|path| Probe::Path { path: path.to_owned() });
        let all = self.settings.drives.iter().map(lines).chain(paths).chain([Probe::Port { port: PORT }]);
        all.map(Resource::Probe).collect()
    }

    fn settings(&self) -> Result<Resource, BuildError> {
        let url = |host: &Host, drive: &str| format!("https://{}{drive}", SocketAddr::new(host.address, PORT));
        // Drive by drive over all hosts, so that each set has as few drives of one host as can be.
        let drives = self.settings.drives.iter().flat_map(|drive| self.hosts.iter().map(move |host| url(host, drive)));
        let values = json!({
            "address": SocketAddr::new(self.host.address, PORT), "certificates": CERTIFICATES,
            "drives": drives.collect::<Vec<_>>(), "set": self.layout.map_or(0, |layout| layout.set),
        });
        let text = self.context.render("config.yaml", &values)?;
        // MinIO reads it in a way (O_NOATIME) that only a file's owner may; that it cannot change it is up to its unit.
        Ok(Resource::File(file(&format!("{FOLDER}/config.yaml"), owner(USER, USER), 0o440, text)))
    }

    fn secrets(&self) -> Result<Resource, BuildError> {
        let password = self.context.password(None, ROOT_PASSWORD);
        let values = json!({
            "user": OPERATOR, "password": password.expose(), "shared_disks": self.context.site.profile.shared_disks,
        });
        let text = self.context.render("minio.env", &values)?;
        Ok(Resource::File(secret(file(&format!("{FOLDER}/minio.env"), root_for_minio(), 0o640, text))))
    }

    fn unit(&self) -> Result<Resource, BuildError> {
        let values = json!({
            "folder": FOLDER, "home": HOME, "drives": self.settings.drives, "program": format!("{PROGRAMS}/minio"),
        });
        Ok(Resource::File(unit_file(UNIT, self.context.render("minio.service", &values)?)))
    }

    /// What other hosts missed while they were away is put back on them before this one goes.
    fn before(&self, started_with: &Digest) -> Vec<Operation> {
        let unit = self.context.unit(&self.host.name, UNIT);
        let restarts =
            unit.is_some_and(|unit| unit.active == "active" && unit.started_with.as_ref() != Some(started_with));
        let heal = restarts.then(|| Operation {
            name: HEAL.to_owned(),
            description: format!("heal all objects before {} is restarted", self.host.name),
            arguments: serde_json::Value::Null,
        });
        heal.into_iter().collect()
    }
}

fn root_for_minio() -> Owner {
    owner("root", USER)
}
