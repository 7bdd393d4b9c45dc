//! Plans in files: sealed under a key of the site, so that what is applied is what was saved. Pure; texts in and out.

use serde::{Deserialize, Serialize};
use wire_deploy_agent::digest::{Digest, FingerprintKey};

use super::{FORMAT, Plan, Refusal};
use crate::workloads::found::Allowed;

/// A saved plan: which hosts and services it was made for, and its seal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The plan.
    pub plan: Plan,
    /// `--limit` of the plan, as given.
    pub limit: Option<String>,
    /// `--only` of the plan.
    pub only: Vec<String>,
    /// What was allowed in Kubernetes.
    #[serde(default)]
    pub allowed: Allowed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    seal: Digest,
    saved: serde_json::Value,
}

/// The part of any plan file that says whether the rest can be read.
#[derive(Deserialize)]
struct Header {
    saved: HeaderSaved,
}

#[derive(Deserialize)]
struct HeaderSaved {
    plan: HeaderPlan,
}

#[derive(Deserialize)]
struct HeaderPlan {
    format: u64,
    version: String,
    site: String,
}

impl Saved {
    /// The file's text.
    ///
    /// # Errors
    /// Never for plans, which are plain data.
    pub fn seal(&self, key: &FingerprintKey) -> Result<String, serde_json::Error> {
        let saved = serde_json::to_value(self)?;
        let seal = key.fingerprint(saved.to_string().as_bytes());
        let mut text = serde_json::to_string_pretty(&Sealed { seal, saved })?;
        text.push('\n');
        Ok(text)
    }

    /// The plan in a file's text.
    ///
    /// # Errors
    /// When it is no plan, of another format, version or site, or was altered.
    pub fn open(text: &str, key: &FingerprintKey, site: &str) -> Result<Self, Refusal> {
        let unreadable = |error: serde_json::Error| Refusal::Unreadable { reason: error.to_string() };
        let header: Header = serde_json::from_str(text).map_err(unreadable)?;
        let HeaderPlan { format, version, site: found } = header.saved.plan;
        if format != u64::from(FORMAT) {
            return Err(Refusal::Format { found: format });
        }
        if version != env!("CARGO_PKG_VERSION") {
            return Err(Refusal::Version { found: version });
        }
        if found != site {
            return Err(Refusal::Site { found, site: site.to_owned() });
        }
        let sealed: Sealed = serde_json::from_str(text).map_err(unreadable)?;
        if key.fingerprint(sealed.saved.to_string().as_bytes()) != sealed.seal {
            return Err(Refusal::Seal);
        }
        serde_json::from_value(sealed.saved).map_err(unreadable)
    }

    /// Whether the plan made now is the one that was saved.
    ///
    /// # Errors
    /// When it is not; says what differs.
    pub fn still_holds(&self, now: &Plan) -> Result<(), Refusal> {
        let stale = |what: String| Err(Refusal::Stale { what });
        let (before, after) = (self.plan.by_id(), now.by_id());
        if let Some(id) = before.keys().find(|id| !after.contains_key(*id)) {
            return stale(format!("{id} is not needed any more"));
        }
        if let Some(id) = after.keys().find(|id| !before.contains_key(*id)) {
            return stale(format!("{id} is needed now"));
        }
        match before.iter().find(|(id, step)| after.get(*id) != Some(step)) {
            Some((id, _)) => stale(format!("{id} would do something else now")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn saved() -> Saved {
        let plan = Plan {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: "example".to_owned(),
            time: 0,
            steps: Vec::new(),
        };
        Saved { plan, limit: None, only: Vec::new(), allowed: Allowed::default() }
    }

    fn key() -> FingerprintKey {
        FingerprintKey(vec![7; 32])
    }

    #[test]
    fn a_sealed_plan_opens_again() {
        let text = saved().seal(&key()).unwrap();
        assert_eq!(Saved::open(&text, &key(), "example").unwrap(), saved());
    }

    #[test]
    fn any_altered_value_breaks_the_seal() {
        let text = saved().seal(&key()).unwrap().replace("\"time\": 0", "\"time\": 1");
        assert_eq!(Saved::open(&text, &key(), "example"), Err(Refusal::Seal));
    }

    #[test]
    fn another_site_version_or_format_is_named() {
        let text = saved().seal(&key()).unwrap();
        assert!(matches!(Saved::open(&text, &key(), "other"), Err(Refusal::Site { .. })));
        let older = text.replace(env!("CARGO_PKG_VERSION"), "0.0.1");
        assert!(matches!(Saved::open(&older, &key(), "example"), Err(Refusal::Version { .. })));
        let newer = text.replace("\"format\": 1", "\"format\": 2");
        assert!(matches!(Saved::open(&newer, &key(), "example"), Err(Refusal::Format { found: 2 })));
        assert!(matches!(Saved::open("no plan", &key(), "example"), Err(Refusal::Unreadable { .. })));
    }

    #[test]
    fn another_sites_key_does_not_open_it() {
        let text = saved().seal(&key()).unwrap();
        assert_eq!(Saved::open(&text, &FingerprintKey(vec![8; 32]), "example"), Err(Refusal::Seal));
    }
}
