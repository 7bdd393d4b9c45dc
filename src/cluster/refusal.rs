//! What the API says when it does not do what it is asked: read into what a person can act on. Pure.

use serde_json::Value;

use crate::workloads::found::{FieldOwner, FieldProblem, Right};

/// An answer that is no success, as the API words it (`kind: Status`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// For programs: `Forbidden`, `Invalid`, `Conflict`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// What exactly: (reason, message, field).
    pub causes: Vec<(String, String, String)>,
    /// The kind of objects that it is about, as in paths: `namespaces`.
    pub about: String,
    /// After how many seconds the API wants to be asked again.
    pub retry_after: Option<u64>,
}

/// What a refusal comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Others have set fields that we set.
    Conflict(Vec<FieldOwner>),
    /// Fields cannot be changed.
    Immutable(Vec<FieldProblem>),
    /// A right is missing.
    Forbidden(Right),
    /// There is no such namespace.
    NamespaceMissing,
    /// The namespace is being deleted.
    Terminating,
    /// Anything else, in the API's words: a quota, a webhook, a value that is not valid.
    Other(String),
}

/// By what a field's problem is known as one that only a new object solves.
const UNCHANGEABLE: [&str; 5] = [
    "field is immutable",
    "may not change once set",
    "cannot change roleRef",
    "updates to statefulset spec for fields other than",
    "spec is immutable",
];
/// The longest message that is passed on, in characters: some hold whole objects.
const LONGEST: usize = 600;

impl Status {
    /// From an answer's status and body.
    pub(super) fn of(code: u16, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let causes = value.pointer("/details/causes").and_then(Value::as_array);
        let causes = causes.into_iter().flatten();
        let mut message = text(&value["message"]);
        if message.is_empty() {
            message = String::from_utf8_lossy(body).trim().to_owned();
        }
        Self {
            code,
            reason: text(&value["reason"]),
            message: shorten(&message),
            causes: causes
                .map(|cause| (text(&cause["reason"]), text(&cause["message"]), text(&cause["field"])))
                .collect(),
            about: text(&value["details"]["kind"]),
            retry_after: value.pointer("/details/retryAfterSeconds").and_then(Value::as_u64),
        }
    }

    /// Whether the same question may be answered otherwise in a moment.
    pub(super) fn is_passing(&self) -> bool {
        let busy = matches!(self.code, 429 | 502 | 503 | 504) || (self.code == 500 && self.reason != "Invalid");
        // Two writers at once: the API asks to look again.
        busy || (self.code == 409 && self.reason == "Conflict" && self.causes.is_empty() && self.is_stale())
    }

    fn is_stale(&self) -> bool {
        self.message.contains("the object has been modified")
    }

    /// What it comes to.
    pub(super) fn refusal(&self) -> Refusal {
        let owners = self.causes.iter().filter(|(reason, _, _)| reason == "FieldManagerConflict");
        let owners: Vec<FieldOwner> = owners
            .map(|(_, message, field)| FieldOwner { field: field.clone(), manager: quoted(message).to_owned() })
            .collect();
        if !owners.is_empty() {
            return Refusal::Conflict(owners);
        }
        if self.causes.iter().any(|(reason, _, _)| reason == "NamespaceTerminating") {
            return Refusal::Terminating;
        }
        match self.code {
            403 => right(&self.message).map_or_else(|| self.other(), Refusal::Forbidden),
            404 if self.about == "namespaces" => Refusal::NamespaceMissing,
            422 => {
                let unchangeable = |words: &str| UNCHANGEABLE.iter().any(|known| words.contains(known));
                let fields: Vec<FieldProblem> = self
                    .causes
                    .iter()
                    .filter(|(_, message, _)| unchangeable(message))
                    .map(|(_, message, field)| FieldProblem { field: field.clone(), problem: essence(message) })
                    .collect();
                if fields.is_empty() { self.other() } else { Refusal::Immutable(fields) }
            }
            _ => self.other(),
        }
    }

    fn other(&self) -> Refusal {
        Refusal::Other(self.message.clone())
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let message = if self.message.is_empty() { "no reason given" } else { &self.message };
        write!(formatter, "{message} ({})", self.code)
    }
}

/// `Invalid value: {… the whole …}: field is immutable` without the value.
fn essence(message: &str) -> String {
    let known = UNCHANGEABLE.iter().find_map(|known| message.find(known));
    shorten(known.map_or(message, |place| &message[place..]))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= LONGEST { text.to_owned() } else { text.chars().take(LONGEST).chain(['…']).collect() }
}

/// The first text in double quotes.
fn quoted(text: &str) -> &str {
    text.split('"').nth(1).unwrap_or("somebody unnamed")
}

/// Reads `… is forbidden: User "deployer" cannot patch resource "deployments" in API group "apps" in the namespace "wire"`.
fn right(message: &str) -> Option<Right> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let after = |words: &str| rest.split_once(words).and_then(|(_, rest)| rest.split('"').next());
    let group = after("in API group \"").unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    Some(Right {
        user: user.to_owned(),
        verb: verb.to_owned(),
        resource: format!("{resource}{dot}{group}"),
        namespace: after("in the namespace \"").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn status(code: u16, body: &Value) -> Status {
        Status::of(code, &serde_json::to_vec(body).unwrap())
    }

    #[test]
    fn a_conflict_names_fields_and_managers() {
        let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using apps/v1", "field": ".spec.replicas"});
        let status =
            status(409, &json!({"reason": "Conflict", "message": "Apply failed", "details": {"causes": [cause]}}));
        let owner = FieldOwner { field: ".spec.replicas".to_owned(), manager: "kubectl-edit".to_owned() };
        assert_eq!(status.refusal(), Refusal::Conflict(vec![owner]));
        assert!(!status.is_passing());
    }

    #[test]
    fn a_missing_right_is_named() {
        let message = "deployments.apps \"brig\" is forbidden: User \"deployer\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"wire\"";
        let Refusal::Forbidden(right) = status(403, &json!({"reason": "Forbidden", "message": message})).refusal()
        else {
            panic!()
        };
        assert_eq!(right.to_string(), "deployer may not patch deployments.apps in namespace wire");
        assert!(
            right.hint().contains("apiGroups: [\"apps\"], resources: [deployments], verbs: [patch]"),
            "{}",
            right.hint()
        );
        let message = "namespaces is forbidden: User \"deployer\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope";
        let Refusal::Forbidden(right) = status(403, &json!({"message": message})).refusal() else { panic!() };
        assert_eq!(right.to_string(), "deployer may not list namespaces in the whole cluster");
    }

    #[test]
    fn a_quota_and_a_webhook_speak_for_themselves() {
        for message in [
            "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3",
            "admission webhook \"policy.example\" denied the request: no latest tags",
        ] {
            assert_eq!(status(403, &json!({"message": message})).refusal(), Refusal::Other(message.to_owned()));
        }
    }

    #[test]
    fn an_immutable_field_is_named_without_its_value() {
        let message = "Invalid value: core.PodTemplateSpec{Password:\"hunter22\"}: field is immutable";
        let causes = json!([{"reason": "FieldValueInvalid", "message": message, "field": "spec.template"}]);
        let status = status(422, &json!({"reason": "Invalid", "message": "x", "details": {"causes": causes}}));
        let problem = FieldProblem { field: "spec.template".to_owned(), problem: "field is immutable".to_owned() };
        assert_eq!(status.refusal(), Refusal::Immutable(vec![problem]));
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        let passes = |code, body: Value| status(code, &body).is_passing();
        assert!(passes(429, json!({"details": {"retryAfterSeconds": 1}})));
        assert!(passes(503, json!("")));
        assert!(passes(500, json!({"reason": "InternalError"})));
        assert!(passes(409, json!({"reason": "Conflict", "message": "the object has been modified; please apply"})));
        assert!(!passes(409, json!({"reason": "AlreadyExists"})));
        assert!(!passes(404, json!({})));
    }
}
