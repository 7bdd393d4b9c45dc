//! What was found in a Kubernetes cluster for the objects of workloads, as data that a plan is made of.

use core::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire_deploy_agent::diff::{Reason, TextChange};

use super::ManifestId;
use super::render::SITE_LABEL;

/// What is done only when the operator says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// To set fields that others have set.
    pub take: bool,
    /// To delete and make anew what cannot be changed.
    pub replace: bool,
    /// To delete namespaces, volume claims and kinds of objects that are not wanted any more.
    pub prune_data: bool,
    /// The workloads that are given are all that the site has: others of it are deleted.
    pub prune_workloads: bool,
}

/// What was found for one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadFound {
    /// Its name.
    pub workload: String,
    /// Its objects in the order in which they are made, and after them those that are not wanted any more.
    pub objects: Vec<ObjectFound>,
    /// The last apply went well to its end, and was of these very manifests.
    pub settled: bool,
}

/// What was found for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectFound {
    /// Which one.
    pub id: ManifestId,
    /// The template that it is rendered from; none for what is not wanted any more.
    pub template: Option<String>,
    /// What was found.
    pub found: Found,
}

/// What was found for an object, and with it what is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Found {
    /// It is as it should be.
    Same,
    /// It is not there and is created; the API has tried it.
    Missing,
    /// Its namespace is not there yet: it is created, untried.
    Deferred {
        /// Which namespace.
        namespace: String,
    },
    /// It is changed; the API has tried it.
    Differs {
        /// In what.
        difference: Difference,
        /// Fields that somebody else has set, and that are set back or taken.
        taken: Vec<FieldOwner>,
    },
    /// It is deleted and made anew, since the API lets it not be changed.
    Replaced {
        /// The fields that cannot be changed.
        fields: Vec<FieldProblem>,
    },
    /// It is not wanted any more and is deleted.
    Unwanted,
    /// It is not wanted any more and left all the same.
    Kept {
        /// Why.
        because: Kept,
    },
    /// Somebody else has a say in its fields.
    Conflict {
        /// Which fields, and who.
        fields: Vec<FieldOwner>,
    },
    /// It would have to be deleted and made anew, which nobody has allowed.
    Immutable {
        /// The fields that cannot be changed.
        fields: Vec<FieldProblem>,
    },
    /// The API says that we may not.
    Forbidden {
        /// What is missing.
        right: Right,
    },
    /// The API, a quota or a webhook refuses it.
    Refused {
        /// In its own words.
        message: String,
    },
    /// It belongs to another site's wire-deploy.
    Foreign {
        /// That site.
        site: String,
    },
    /// A namespace that was there before, and nobody has said that it is this site's with all that is in it.
    Unclaimed {
        /// This site.
        site: String,
    },
    /// Its namespace is being deleted.
    Terminating {
        /// Which namespace.
        namespace: String,
        /// What that waits for, in the API's words: finalizers, content that is left.
        waits_for: Vec<String>,
    },
    /// The cluster knows no objects of its kind.
    UnknownKind,
}

/// In what an object differs. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// By field: `spec.replicas`, `spec.template.spec.containers[brig].image`.
    pub reasons: Vec<Reason>,
    /// The whole object before and after, as YAML.
    pub text: TextChange,
}

/// A field that somebody else has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldOwner {
    /// Which field, as the API writes it: `.spec.replicas`.
    pub field: String,
    /// Who, as a field manager is called: `kubectl-edit`.
    pub manager: String,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// Which field: `spec.selector`.
    pub field: String,
    /// What, in the API's words.
    pub problem: String,
}

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Right {
    /// Who has not got it.
    pub user: String,
    /// What it is to do: `patch`.
    pub verb: String,
    /// To what: `deployments.apps`.
    pub resource: String,
    /// Where; none for the whole cluster.
    pub namespace: Option<String>,
}

/// Why an object that is not wanted any more is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// What it holds would be lost with it: a namespace, a volume claim, a kind of objects.
    HoldsData,
    /// It says that it belongs to somebody else now.
    Foreign(String),
}

/// Why nothing is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What is wrong with which object, in a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl WorkloadFound {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.settled && !self.objects.iter().any(|object| object.found.is_change())
    }

    /// Everything that keeps it from being applied.
    #[must_use]
    pub fn obstacles(&self) -> Vec<Obstacle> {
        self.objects.iter().filter_map(ObjectFound::obstacle).collect()
    }
}

impl Found {
    /// Whether something is done to the object.
    #[must_use]
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Self::Missing | Self::Deferred { .. } | Self::Differs { .. } | Self::Replaced { .. } | Self::Unwanted
        )
    }
}

impl ObjectFound {
    /// Why it cannot be made as it should be, if it cannot.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        let (said, hint) = match &self.found {
            Found::Same
            | Found::Missing
            | Found::Deferred { .. }
            | Found::Differs { .. }
            | Found::Replaced { .. }
            | Found::Unwanted
            | Found::Kept { .. } => return None,
            Found::Conflict { fields } => {
                let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                let hint = "leave the field out of the template if the other is to have it, or take it with `--take`";
                (format!("others have set what the template sets: {}", fields.join(", ")), hint.to_owned())
            }
            Found::Immutable { fields } => {
                let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                let hint = "`--replace` deletes it and makes it anew: what it runs stops meanwhile";
                (format!("it cannot be changed once it is there: {}", fields.join(", ")), hint.to_owned())
            }
            Found::Forbidden { right } => (right.to_string(), right.hint()),
            Found::Refused { message } => {
                (format!("the cluster refuses it: {message}"), "its administrators know the rule".to_owned())
            }
            Found::Foreign { site } => (
                format!("it belongs to the site {site}"),
                "give this site a namespace of its own, or destroy the other one first".to_owned(),
            ),
            Found::Unclaimed { site } => (
                "it was there before this site, which would forbid its pods to talk and delete it with all in it at the end"
                    .to_owned(),
                format!(
                    "set `kubernetes.namespace` to a name that is free, or give the site this one: `kubectl label namespace {} {SITE_LABEL}={site}`",
                    self.id.name
                ),
            ),
            Found::Terminating { namespace, waits_for } => {
                let what = if waits_for.is_empty() { "nothing that it tells".to_owned() } else { waits_for.join("; ") };
                let hint = "once what it waits for is done, or the finalizer is taken away, apply again".to_owned();
                (format!("namespace {namespace} is being deleted and waits for {what}"), hint)
            }
            Found::UnknownKind => (
                format!("the cluster knows no {} of {}", self.id.kind, self.id.api_version),
                "install what brings this kind (its CustomResourceDefinition), or drop the template".to_owned(),
            ),
        };
        let from = self.template.as_ref().map(|template| format!(" ({template})")).unwrap_or_default();
        Some(Obstacle { message: format!("{}{from}: {said}", self.id), hint })
    }
}

impl fmt::Display for FieldOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} by {}", self.field, self.manager)
    }
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.field, self.problem)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} may not {} {}", self.user, self.verb, self.resource)?;
        match &self.namespace {
            Some(namespace) => write!(formatter, " in namespace {namespace}"),
            None => formatter.write_str(" in the whole cluster"),
        }
    }
}

impl Right {
    /// What to ask the cluster's administrators for.
    #[must_use]
    pub fn hint(&self) -> String {
        let (role, place) = match &self.namespace {
            Some(namespace) => ("Role", format!(" in namespace {namespace}")),
            None => ("ClusterRole", String::new()),
        };
        let (resource, group) = self.resource.split_once('.').unwrap_or((&self.resource, ""));
        format!(
            "bind a {role}{place} to {} with the rule apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{}]",
            self.user, self.verb
        )
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HoldsData => formatter.write_str("what it holds would be lost; `--prune-data` deletes it"),
            Self::Foreign(owner) => write!(formatter, "it belongs to {owner} now"),
        }
    }
}
