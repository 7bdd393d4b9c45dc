//! How many hosts pods can be on.

use super::{Context, Finding};
use crate::services::Severity;
use crate::services::kubernetes::{self, CONTROL_PLANE};

/// The hosts of a cluster of ours that take pods; nothing of a cluster that the operator has, or when its settings cannot be read.
fn taking_pods(context: &Context<'_>) -> Option<usize> {
    if context.site.kubernetes.existing.is_some() {
        return None;
    }
    let planes = context.site.groups.get(CONTROL_PLANE);
    let hosts = context.site.settings.get("kubernetes")?;
    let taking = hosts.iter().filter(|(host, settings)| {
        let settings: Option<kubernetes::Settings> = serde_json::from_value((*settings).clone()).ok();
        let is_plane = planes.is_some_and(|planes| planes.contains(host));
        match settings.and_then(|settings| settings.taints) {
            // Control planes take none unless they are told to.
            None => !is_plane,
            Some(taints) => !taints.iter().any(|taint| taint.ends_with(":NoSchedule") || taint.ends_with(":NoExecute")),
        }
    });
    Some(taking.count())
}

/// That pods cannot be on as many hosts as there are of them.
pub(super) fn too_few(context: &Context<'_>, replicas: u32) -> Vec<Finding> {
    let Some(hosts) = taking_pods(context) else { return Vec::new() };
    let wanted = usize::try_from(replicas).unwrap_or(usize::MAX);
    let (severity, message) = match hosts {
        0 => (Severity::Fatal, format!("no host takes the pods of {}", context.workload)),
        _ => {
            let message = format!("{wanted} pods of {} on {hosts} hosts: some would go together", context.workload);
            (Severity::Warning, message)
        }
    };
    let finding = Finding {
        workload: context.name(),
        severity,
        message,
        hint:
            "add hosts to the group `kubernetes`, let control planes take pods (`taints: []`), or set fewer `replicas`"
                .to_owned(),
    };
    (hosts < wanted).then_some(finding).into_iter().collect()
}
