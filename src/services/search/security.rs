//! Who may do what with the directory, through the security plugin's REST interface.

use serde_json::{Value, json};

use super::{DIRECTORY, SERVICE_USER};

/// Where the plugin's interface is.
const API: &str = "/_plugins/_security/api";

/// The path of a thing of a kind.
pub(super) fn path(kind: Kind) -> String {
    let kind = match kind {
        Kind::Role => "roles",
        Kind::Mapping => "rolesmapping",
        Kind::User => "internalusers",
    };
    format!("{API}/{kind}/{SERVICE_USER}")
}

/// Where a user asks who it is.
pub(super) const WHO_AM_I: &str = "/_plugins/_security/authinfo";

/// The kinds of things of the backend's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What may be done.
    Role,
    /// Who has the role.
    Mapping,
    /// Who there is.
    User,
}

impl Kind {
    /// The kind of the object of this id.
    pub(super) fn of(id: &str) -> Option<Self> {
        match id.strip_suffix(SERVICE_USER)? {
            "role/" => Some(Self::Role),
            "role-mapping/" => Some(Self::Mapping),
            "user/" => Some(Self::User),
            _ => None,
        }
    }

    /// The id of its object.
    pub(super) fn id(self) -> String {
        let kind = match self {
            Self::Role => "role",
            Self::Mapping => "role-mapping",
            Self::User => "user",
        };
        format!("{kind}/{SERVICE_USER}")
    }
}

/// Everything with the directory's indices, and nothing else.
pub(super) fn role() -> Value {
    json!({
        // Requests about several documents at once are of the cluster; what they touch is still judged by index.
        "cluster_permissions": ["cluster_composite_ops", "cluster:monitor/main", "cluster:monitor/health"],
        "index_permissions": [{
            "index_patterns": [format!("{DIRECTORY}*")],
            "allowed_actions": ["crud", "indices:admin/get", "indices:admin/mappings/get", "indices:admin/refresh*", "indices:monitor/*"],
        }],
    })
}

/// The user has the role.
pub(super) fn mapping() -> Value {
    json!({ "users": [SERVICE_USER] })
}

/// What was found of a thing, with the fields that ours have; `null` where there is nothing.
pub(super) fn found(kind: Kind, answer: &Value) -> Value {
    let thing = &answer[SERVICE_USER];
    match kind {
        _ if thing.is_null() => Value::Null,
        Kind::Role => {
            let permissions = thing["index_permissions"].as_array().into_iter().flatten();
            let permissions: Vec<Value> = permissions
                .map(
                    |one| json!({ "index_patterns": one["index_patterns"], "allowed_actions": one["allowed_actions"] }),
                )
                .collect();
            json!({ "cluster_permissions": thing["cluster_permissions"], "index_permissions": permissions })
        }
        Kind::Mapping => json!({ "users": thing["users"] }),
        Kind::User => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_plugin_adds_is_no_difference() {
        let mut told = role();
        told["reserved"] = json!(false);
        told["index_permissions"][0]["masked_fields"] = json!([]);
        assert_eq!(found(Kind::Role, &json!({ "brig": told })), role());
        assert_eq!(found(Kind::Role, &json!({ "status": "NOT_FOUND" })), Value::Null);
    }

    #[test]
    fn objects_are_known_by_their_ids() {
        for kind in [Kind::Role, Kind::Mapping, Kind::User] {
            assert_eq!(Kind::of(&kind.id()), Some(kind));
        }
        assert_eq!(Kind::of("index/directory"), None);
    }
}
