//! The cluster's nodes, as far as we may see them.

use serde_json::Value;

use super::api::Api;

/// All of them. Who may not see nodes hears less of what is wrong with pods; that is no error.
pub(super) async fn nodes(api: &Api<'_>) -> Vec<Value> {
    api.list("/api/v1/nodes", "", "list nodes").await.unwrap_or_default()
}

/// How many take pods that tolerate nothing in particular; none is told where we may not see them.
pub async fn taking_pods(api: &Api<'_>) -> Option<usize> {
    let nodes = nodes(api).await;
    (!nodes.is_empty()).then(|| nodes.iter().filter(|node| takes_pods(node)).count())
}

fn takes_pods(node: &Value) -> bool {
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let is_cordoned = node["spec"]["unschedulable"] == true;
    !is_cordoned && !taints.any(|taint| taint["effect"] == "NoSchedule" || taint["effect"] == "NoExecute")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_that_is_cordoned_or_tainted_takes_none() {
        let taint = |effect: &str| json!({"spec": {"taints": [{"key": "a", "effect": effect}]}});
        assert!(takes_pods(&json!({"spec": {}})) && takes_pods(&taint("PreferNoSchedule")));
        assert!(!takes_pods(&taint("NoSchedule")) && !takes_pods(&taint("NoExecute")));
        assert!(!takes_pods(&json!({"spec": {"unschedulable": true}})));
    }
}
