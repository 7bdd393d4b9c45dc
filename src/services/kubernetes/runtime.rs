//! What runs containers on a host: containerd, and the images of all that Kubernetes itself runs in them.

use serde_json::json;
use wire_deploy_agent::resource::Resource;

use super::pod_network::CNI_CONFIGURATION;
use super::settings::CgroupDriver;
use super::version::Minor;
use super::{IMAGE_REPOSITORY, PAUSE_RECIPE, RUNTIME, RUNTIME_RECIPE, START_SECONDS, STATIC_PODS, Settings};
use crate::services::resources::{directory, file, root, running_unit};
use crate::services::restart::restart_digest;
use crate::services::{BuildError, Context};
use crate::site::model::Host;
use crate::workloads;

/// Where Debian's and Ubuntu's packages have the plugins that connect pods.
const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Name and tag of an image.
pub(super) fn reference(image: &str, version: &str) -> String {
    format!("{IMAGE_REPOSITORY}/{image}:{version}")
}

/// containerd, what it needs, and the images that a host's node takes. `version` is Kubernetes', as `v1.36.3`.
pub(super) fn resources(
    context: &Context<'_>,
    host: &Host,
    settings: &Settings,
    control_plane: bool,
    version: &str,
) -> Result<Vec<Resource>, BuildError> {
    let pause = reference("pause", &context.version(PAUSE_RECIPE));
    let values = json!({
        "pause": pause, "restrict_oom_score": settings.restrict_oom_score, "plugins": CNI_PLUGINS, "cni": CNI_CONFIGURATION,
        "systemd_cgroup": settings.cgroup_driver == CgroupDriver::Systemd,
    });
    let packages = context.packages(host, RUNTIME_RECIPE)?;
    let text = context.render("containerd.toml", &values)?;
    let configuration = Resource::File(file("/etc/containerd/config.toml", root(), 0o644, text));
    let key = context.secrets.fingerprint_key(&host.name);
    let started_with = restart_digest([&packages, &configuration], &key);
    let mut resources = vec![
        packages,
        context.sysctl("net.ipv4.ip_forward", "1"),
        directory("/etc/containerd", root(), 0o755),
        configuration,
        running_unit(RUNTIME, started_with, START_SECONDS),
    ];
    let programs = STATIC_PODS.into_iter().filter(|_| control_plane).chain(["kube-proxy", "coredns"]);
    for name in programs {
        resources.push(context.container_image_of(settings.version.image(), name, &reference(name, version))?);
    }
    resources.push(context.container_image(PAUSE_RECIPE, &pause)?);
    for recipe in workloads::recipes(context.site) {
        let name = workloads::image::reference(context.site, context.lock, recipe);
        let name =
            name.ok_or_else(|| BuildError::NotLocked { recipe: recipe.to_owned(), what: "an image".to_owned() })?;
        resources.push(context.container_image(recipe, &name)?);
    }
    for minor in Minor::ALL {
        resources.push(context.container_image(PAUSE_RECIPE, &reference("pause", minor.pause()))?);
    }
    Ok(resources)
}
