//! The API: questions and answers, asked again while it is busy or away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde_json::Value;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep, timeout};

use super::kinds::Kind;
use super::refusal::{Refusal, Status};
use super::{FIELD_MANAGER, SITE_LABEL};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// How long the API is asked again while it is busy or away, from the first question on.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Objects in one answer: a list of any length is read in pieces of this size.
const PAGE: u32 = 500;
/// Asks for lists without what the objects hold.
const ONLY_METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Longest answer that is read, in bytes: a server may be hostile.
pub(super) const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How questions get to an API server.
pub(super) trait Way: Send + Sync {
    /// One question and its answer, whatever its status.
    fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Answer, Broken>>;
}

/// What a server answered.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) code: u16,
    /// The body.
    pub(super) body: Bytes,
}

/// No answer came, and why.
#[derive(Debug)]
pub(super) struct Broken {
    /// Why.
    pub(super) message: String,
    /// Whether another attempt may go better.
    pub(super) passing: bool,
}

/// The API of a cluster.
pub struct Api<'a> {
    way: Box<dyn Way + 'a>,
    /// Where it is, for errors.
    place: String,
    /// By `apiVersion`: what is known of it. None for one that the cluster has not.
    pub(super) kinds: RwLock<BTreeMap<String, Option<Vec<Kind>>>>,
}

/// Why the API did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No API server answers.
    #[error("the Kubernetes API at {place} does not answer: {message}")]
    Away {
        /// Where it was looked for.
        place: String,
        /// Why.
        message: String,
    },
    /// It knows us not.
    #[error("the Kubernetes API at {place} does not accept our credentials")]
    Stranger {
        /// Where.
        place: String,
    },
    /// It refuses.
    #[error("the Kubernetes API refuses to {action}: {status}")]
    Refused {
        /// What it was asked to do: `apply Deployment wire/brig`.
        action: String,
        /// In its own words.
        status: Box<Status>,
    },
    /// What was written down of a workload cannot be read.
    #[error("the Secret {secret} does not hold what an earlier apply wrote into it")]
    Damaged {
        /// Its name.
        secret: String,
    },
    /// It answers what nobody can read.
    #[error("the Kubernetes API at {place} answers something else than JSON ({message})")]
    Unreadable {
        /// Where.
        place: String,
        /// What is wrong with it.
        message: String,
    },
}

impl ApiError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Away { .. } => "is the cluster up, and does this machine (or a control plane's host) reach it?".to_owned(),
            Self::Stranger { .. } => {
                "the token or certificate has expired or belongs to another cluster: `kubectl auth whoami` with the same kubeconfig tells".to_owned()
            }
            Self::Refused { status, .. } => match status.refusal() {
                Refusal::Forbidden(right) => right.hint(),
                Refusal::Conflict(_) => {
                    "others have set the field since the plan was made: leave it out of the template, or take it with `--take`".to_owned()
                }
                Refusal::Immutable(_) => "`--replace` deletes it and makes it anew: what it runs stops meanwhile".to_owned(),
                Refusal::NamespaceMissing | Refusal::Terminating => {
                    "somebody deletes the namespace: apply again once that is done".to_owned()
                }
                Refusal::Other(_) => "its administrators know the rule".to_owned(),
            },
            Self::Damaged { secret } => {
                format!("delete it: `kubectl delete secret {secret}`; what is not wanted any more of that workload then has to be deleted by hand")
            }
            Self::Unreadable { .. } => "is it the Kubernetes API that is at this address, and not a proxy's page?".to_owned(),
        }
    }

    /// Whether only a new object could be like this.
    pub(super) fn is_immutable(&self) -> bool {
        self.status().is_some_and(|status| matches!(status.refusal(), Refusal::Immutable(_)))
    }

    /// The refusal, if it is one.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }
}

impl<'a> Api<'a> {
    pub(super) fn new(way: impl Way + 'a, place: String) -> Self {
        Self { way: Box::new(way), place, kinds: RwLock::default() }
    }

    /// The cluster's version: `v1.36.3`.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn version(&self) -> Result<String, ApiError> {
        let version = self.get("/version", "tell its version").await?.unwrap_or_default();
        Ok(version["gitVersion"].as_str().unwrap_or("unknown").to_owned())
    }

    /// What is at a path; nothing if there is nothing. `action` is for errors.
    pub(super) async fn get(&self, path: &str, action: &str) -> Result<Option<Value>, ApiError> {
        match self.ask(Method::GET, path, "application/json", Bytes::new(), action).await {
            Ok(body) => self.read(&body).map(Some),
            Err(error) if error.status().is_some_and(|status| status.code == 404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The text at a path, asked for once: it comes from a node, and that may be dead.
    pub(super) async fn text(&self, path: &str, action: &str) -> Result<String, ApiError> {
        let body = self.ask_for(Duration::ZERO, Method::GET, path, "*/*", Bytes::new(), action).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The objects of a collection that `selector` picks, a part of a question.
    pub(super) async fn list(&self, collection: &str, selector: &str, action: &str) -> Result<Vec<Value>, ApiError> {
        self.pages(collection, selector, "application/json", action).await
    }

    /// The names of all objects of a collection.
    pub(super) async fn names(&self, collection: &str, action: &str) -> Result<BTreeSet<String>, ApiError> {
        let items = self.pages(collection, "", ONLY_METADATA, action).await?;
        Ok(items.iter().filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned)).collect())
    }

    async fn pages(
        &self,
        collection: &str,
        selector: &str,
        accept: &'static str,
        action: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let mut items = Vec::new();
        let mut from = String::new();
        loop {
            let path = format!("{collection}?limit={PAGE}{selector}{from}");
            let page = self.ask(Method::GET, &path, accept, Bytes::new(), action).await;
            let mut page = match page {
                Ok(body) => self.read(&body)?,
                // A namespace that is not there has no collections.
                Err(error) if error.status().is_some_and(|status| status.code == 404) => return Ok(items),
                Err(error) => return Err(error),
            };
            if let Value::Array(found) = page["items"].take() {
                items.extend(found);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
                Some(token) => from = format!("&continue={}", escape(token)),
                None => return Ok(items),
            }
        }
    }

    /// Server-side apply under our field manager. A dry run changes nothing.
    pub(super) async fn apply(
        &self,
        path: &str,
        manifest: &Value,
        mode: Mode,
        action: &str,
    ) -> Result<Value, ApiError> {
        let dry = if mode.dry { "&dryRun=All" } else { "" };
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict&force={}{dry}", mode.force);
        let body = serde_json::to_vec(manifest).map_err(|error| self.unreadable(&error))?;
        let answer = self.ask(Method::PATCH, &path, "application/apply-patch+yaml", body.into(), action).await?;
        self.read(&answer)
    }

    /// Deletes the object of this identity with all that it owns, if it is there still.
    pub(super) async fn delete(&self, path: &str, uid: &str, action: &str) -> Result<(), ApiError> {
        self.ask_to_delete(path, uid, &[], action).await
    }

    /// Likewise, but only to see whether it could be: nothing is changed.
    pub(super) async fn try_delete(&self, path: &str, uid: &str, action: &str) -> Result<(), ApiError> {
        self.ask_to_delete(path, uid, &["All"], action).await
    }

    async fn ask_to_delete(&self, path: &str, uid: &str, dry: &[&str], action: &str) -> Result<(), ApiError> {
        let options = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": { "uid": uid }, "dryRun": dry,
        });
        let body = options.to_string().into_bytes();
        match self.ask(Method::DELETE, path, "application/json", body.into(), action).await {
            Ok(_) => Ok(()),
            // Gone, or somebody has made another one of that name meanwhile.
            Err(error) if error.status().is_some_and(|status| matches!(status.code, 404 | 409)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        action: &str,
    ) -> Result<Bytes, ApiError> {
        self.ask_for(PATIENCE, method, path, content_type, body, action).await
    }

    async fn ask_for(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        action: &str,
    ) -> Result<Bytes, ApiError> {
        let end = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let header = if method == Method::GET { "accept" } else { "content-type" };
            let request = Request::builder().method(method.clone()).uri(path).header(header, content_type);
            let request = request.body(body.clone()).map_err(|error| self.unreadable(&error))?;
            let mut wait = pause;
            let error = match timeout(ANSWER, self.way.exchange(request)).await {
                Ok(Ok(answer)) if (200..300).contains(&answer.code) => return Ok(answer.body),
                Ok(Ok(answer)) if answer.code == 401 => return Err(ApiError::Stranger { place: self.place.clone() }),
                Ok(Ok(answer)) => {
                    let status = Status::of(answer.code, &answer.body);
                    let passing = status.is_passing();
                    wait = wait.max(Duration::from_secs(status.retry_after.unwrap_or_default()));
                    let error = ApiError::Refused { action: action.to_owned(), status: Box::new(status) };
                    if !passing {
                        return Err(error);
                    }
                    error
                }
                Ok(Err(broken)) => {
                    let error = self.away(broken.message);
                    if !broken.passing {
                        return Err(error);
                    }
                    error
                }
                Err(_) => self.away(format!("no answer within {} s", ANSWER.as_secs())),
            };
            if Instant::now() + wait > end {
                return Err(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn read(&self, body: &Bytes) -> Result<Value, ApiError> {
        serde_json::from_slice(body).map_err(|error| self.unreadable(&error))
    }

    fn away(&self, message: String) -> ApiError {
        ApiError::Away { place: self.place.clone(), message }
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> ApiError {
        ApiError::Unreadable { place: self.place.clone(), message: error.to_string() }
    }
}

/// How something is applied.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mode {
    /// The API only says what would come of it.
    pub(super) dry: bool,
    /// Fields that others have set are taken.
    pub(super) force: bool,
}

/// The selector of a site's objects, as a part of a question.
pub(super) fn of_site(site: &str) -> String {
    labelled(&[(SITE_LABEL, site)])
}

/// The selector of objects with these labels, as a part of a question.
pub(super) fn labelled(labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("&labelSelector={}", escape(&labels.join(",")))
}

/// A text as a part of a question (RFC 3986).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_did_since_the_plan_is_told_from_a_rule() {
        let hint = |code: u16, body: Value| {
            let status = Box::new(Status::of(code, body.to_string().as_bytes()));
            ApiError::Refused { action: "apply Deployment wire/brig".to_owned(), status }.hint()
        };
        let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"autoscaler\"", "field": ".spec.replicas"});
        assert!(hint(409, json!({"reason": "Conflict", "details": {"causes": [cause]}})).contains("--take"));
        let cause = json!({"message": "field is immutable", "field": "spec.selector"});
        assert!(hint(422, json!({"reason": "Invalid", "details": {"causes": [cause]}})).contains("--replace"));
        assert!(hint(403, json!({"message": "exceeded quota"})).contains("administrators"));
    }
}
