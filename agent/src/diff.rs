//! The pure comparison of what a host should hold with what it holds.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, FingerprintKey};
use crate::resource::{
    Archive, ContainerImage, Content, Directory, File, Mode, Owner, Ownership, Packages, Resource, ResourceId, Symlink,
    Sysctl, Unit, User,
};
use crate::state::{Entry, MAX_REPORTED_TEXT, PathState, State, UnitState, UserState};
use crate::version;

#[cfg(test)]
mod tests;

/// What has to happen to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// Which resource.
    pub resource: ResourceId,
    /// What is done.
    pub action: Action,
    /// Why: what differs. Values of secrets are never in it.
    pub reasons: Vec<Reason>,
    /// For text files that are not sensitive: the text there now (empty if none) and the text wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextChange>,
}

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was not there.
    Create,
    /// It is there and differs.
    Update,
    /// It is of another kind or has to be made anew.
    Replace,
    /// A unit that did not run is started.
    Start,
    /// A running unit is restarted.
    Restart,
    /// A running unit takes in its configuration and goes on.
    Reload,
    /// A unit is stopped.
    Stop,
    /// A command is run.
    Run,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reason {
    /// What: `mode`, `owner`, `content`, `version of redis-server`, `started with`.
    pub field: String,
    /// What it is now; empty if there is none.
    pub from: String,
    /// What it should be.
    pub to: String,
}

/// A text file before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TextChange {
    /// Now.
    pub from: String,
    /// Wanted.
    pub to: String,
}

/// What has to change so that `state` becomes what `resource` says; `None` when nothing has to.
///
/// `wanted` fingerprints of sensitive content come from `key`, the host's own. What could not be looked at is a change,
/// so that nobody takes it for being as wanted; a probe never is one.
#[must_use]
pub fn diff(resource: &Resource, state: &State, key: &FingerprintKey) -> Option<Change> {
    if matches!(resource, Resource::Probe(_)) {
        return None;
    }
    let difference = match state {
        State::Failed { reason } => Difference::unknown(reason),
        _ => compare(resource, state, key).unwrap_or_else(|| Difference::unknown("the answer is of another kind")),
    };
    if difference.reasons.is_empty() {
        return None;
    }
    let Difference { action, reasons, text } = difference;
    Some(Change { resource: resource.id(), action, reasons, text })
}

/// A change without its resource's name; without reasons it is none.
struct Difference {
    action: Action,
    reasons: Vec<Reason>,
    text: Option<TextChange>,
}

impl Difference {
    fn new(action: Action) -> Self {
        Self { action, reasons: Vec::new(), text: None }
    }

    fn unknown(reason: &str) -> Self {
        let mut difference = Self::new(Action::Update);
        difference.because("state", format!("could not be looked at: {reason}"), "as wanted");
        difference
    }

    fn because(&mut self, field: impl Into<String>, from: impl Into<String>, to: impl Into<String>) {
        self.reasons.push(Reason { field: field.into(), from: from.into(), to: to.into() });
    }

    fn compare(&mut self, field: &str, from: impl Into<String>, to: impl Into<String>) {
        let (from, to) = (from.into(), to.into());
        if from != to {
            self.because(field, from, to);
        }
    }

    fn owner_and_mode(&mut self, found: Option<&PathState>, owner: &Owner, mode: Mode) {
        self.compare("owner", found.map(|found| owner_text(&found.owner)).unwrap_or_default(), owner_text(owner));
        self.compare("mode", found.map(|found| found.mode.to_string()).unwrap_or_default(), mode.to_string());
    }
}

/// `None` when the state is not one that a resource of this kind has.
fn compare(resource: &Resource, state: &State, key: &FingerprintKey) -> Option<Difference> {
    Some(match (resource, state) {
        (Resource::Directory(wanted), State::Absent) => directory(wanted, None),
        (Resource::Directory(wanted), State::Path(found)) => directory(wanted, Some(found)),
        (Resource::File(wanted), State::Absent) => file(wanted, None, key),
        (Resource::File(wanted), State::Path(found)) => file(wanted, Some(found), key),
        (Resource::Symlink(wanted), State::Absent) => symlink(wanted, None),
        (Resource::Symlink(wanted), State::Path(found)) => symlink(wanted, Some(&found.entry)),
        (Resource::User(wanted), State::Absent) => user(wanted, None),
        (Resource::User(wanted), State::User(found)) => user(wanted, Some(found)),
        (Resource::Group(_), State::Absent) => {
            let mut difference = Difference::new(Action::Create);
            difference.because("group", "", "present");
            difference
        }
        (Resource::Group(_), State::Group) => Difference::new(Action::Update),
        (Resource::Packages(wanted), State::Packages { installed, broken }) => {
            packages(wanted, |name| installed.get(name).map(String::as_str), broken)
        }
        (Resource::Archive(wanted), State::Absent) => archive(wanted, None),
        (Resource::Archive(wanted), State::Archive { blob }) => archive(wanted, Some(blob.as_ref())),
        (Resource::Sysctl(wanted), State::Sysctl { value, persistent, writable }) => {
            sysctl(wanted, value, persistent.as_deref(), *writable)
        }
        (Resource::Unit(wanted), State::Unit(found)) => unit(wanted, found),
        (Resource::Exec(_), State::Exec { code }) => {
            let mut difference = Difference::new(Action::Run);
            difference.compare("check", format!("exit code {code}"), "exit code 0");
            difference
        }
        (Resource::ContainerImage(wanted), State::Absent) => container_image(wanted, None),
        (Resource::ContainerImage(wanted), State::ContainerImage { digest }) => {
            container_image(wanted, digest.as_ref())
        }
        _ => return None,
    })
}

fn directory(wanted: &Directory, found: Option<&PathState>) -> Difference {
    let mut difference = Difference::new(Action::Update);
    match found.map(|found| &found.entry) {
        None => difference.action = Action::Create,
        Some(Entry::Directory) => {}
        Some(other) => {
            difference.action = Action::Replace;
            difference.because("kind", entry_text(other), "directory");
        }
    }
    difference.owner_and_mode(found, &wanted.owner, wanted.mode);
    difference
}

fn file(wanted: &File, found: Option<&PathState>, key: &FingerprintKey) -> Difference {
    let mut difference = Difference::new(Action::Update);
    let wanted_digest = wanted_digest(wanted, key);
    let mut there = Some(String::new());
    match found.map(|found| &found.entry) {
        None => {
            difference.action = Action::Create;
            difference.because("content", "", content_text(&wanted_digest));
        }
        Some(Entry::File { digest, text }) => {
            if wanted.ownership == Ownership::Ours && *digest != wanted_digest {
                difference.because("content", content_text(digest), content_text(&wanted_digest));
                there.clone_from(text);
            } else {
                there = None;
            }
        }
        Some(other) => {
            difference.action = Action::Replace;
            difference.because("kind", entry_text(other), "file");
        }
    }
    difference.owner_and_mode(found, &wanted.owner, wanted.mode);
    if let (false, Some(from), Content::Text(to)) = (wanted.sensitive, there, &wanted.content)
        && to.len() as u64 <= MAX_REPORTED_TEXT
    {
        difference.text = Some(TextChange { from, to: to.clone() });
    }
    difference
}

/// The digest by which a file's content is compared.
fn wanted_digest(wanted: &File, key: &FingerprintKey) -> Digest {
    match &wanted.content {
        Content::Text(text) if wanted.sensitive => key.fingerprint(text.as_bytes()),
        Content::Text(text) => Digest::of(text.as_bytes()),
        Content::Blob(digest) | Content::Digest(digest) => digest.clone(),
    }
}

fn symlink(wanted: &Symlink, found: Option<&Entry>) -> Difference {
    let mut difference = Difference::new(Action::Update);
    match found {
        None => {
            difference.action = Action::Create;
            difference.because("target", "", &wanted.target);
        }
        Some(Entry::Symlink { target }) => difference.compare("target", target, &wanted.target),
        Some(other) => {
            difference.action = Action::Replace;
            difference.because("kind", entry_text(other), "symlink");
        }
    }
    difference
}

fn user(wanted: &User, found: Option<&UserState>) -> Difference {
    let Some(found) = found else {
        let mut difference = Difference::new(Action::Create);
        difference.because("group", "", &wanted.group);
        return difference;
    };
    let mut difference = Difference::new(Action::Update);
    difference.compare("group", &found.group, &wanted.group);
    difference.compare("home", &found.home, &wanted.home);
    for group in &wanted.groups {
        if !found.groups.contains(group) && found.group != *group {
            difference.because("groups", "", group);
        }
    }
    difference
}

fn packages<'a>(wanted: &Packages, installed: impl Fn(&str) -> Option<&'a str>, broken: &[String]) -> Difference {
    let mut difference = Difference::new(Action::Create);
    for name in &wanted.wanted {
        let locked = wanted.closure.iter().find(|package| package.name == *name);
        let locked = locked.map_or("any", |package| package.version.as_str());
        match installed(name) {
            _ if broken.contains(name) => {}
            None => difference.because(format!("version of {name}"), "", locked),
            Some(there) => {
                difference.action = Action::Update;
                // Newer is as good: nothing is ever downgraded.
                if locked != "any" && version::compare(there, locked) == Ordering::Less {
                    difference.because(format!("version of {name}"), there, locked);
                }
            }
        }
    }
    for name in broken {
        difference.action = Action::Update;
        difference.because(format!("state of {name}"), "not configured", "installed");
    }
    difference
}

fn archive(wanted: &Archive, found: Option<Option<&Digest>>) -> Difference {
    let mut difference = Difference::new(if found.is_some() { Action::Replace } else { Action::Create });
    let from = found.map(|blob| blob.map_or_else(|| "unknown".to_owned(), content_text)).unwrap_or_default();
    difference.compare("archive", from, content_text(&wanted.blob));
    difference
}

fn sysctl(wanted: &Sysctl, value: &str, persistent: Option<&str>, writable: bool) -> Difference {
    let mut difference = Difference::new(Action::Update);
    let met = wanted.is_met_by(value);
    let to = || format!("{}{}", if wanted.at_least { "at least " } else { "" }, words(&wanted.value));
    if !met && (writable || !wanted.tolerate) {
        difference.because("value", words(value), to());
    }
    // What is enough without us is someone else's doing: a file of ours would put a limit to it.
    let left_alone = wanted.at_least && met && persistent.is_none();
    if !left_alone && !persistent.is_some_and(|value| wanted.is_met_by(value)) {
        difference.because("value after a reboot", words(persistent.unwrap_or_default()), to());
    }
    difference
}

/// The kernel separates the numbers of a parameter by tabs.
fn words(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unit(wanted: &Unit, found: &UnitState) -> Difference {
    let mut difference = Difference::new(Action::Update);
    let runs = matches!(found.active.as_str(), "active" | "reloading");
    let from = |active: &str| if found.load == "loaded" { active.to_owned() } else { found.load.clone() };
    if found.enabled != wanted.enabled {
        let text = |enabled| if enabled { "enabled" } else { "disabled" };
        difference.because("at boot", text(found.enabled), text(wanted.enabled));
    }
    match (wanted.running, runs) {
        (true, false) => {
            difference.action = Action::Start;
            difference.because("running", from(&found.active), "active");
        }
        (false, true) => {
            difference.action = Action::Stop;
            difference.because("running", from(&found.active), "inactive");
        }
        // What is on its way up or down would otherwise pass for stopped.
        (false, false) if matches!(found.active.as_str(), "activating" | "deactivating") => {
            difference.action = Action::Stop;
            difference.because("running", from(&found.active), "inactive");
        }
        (true, true) | (false, false) => {}
    }
    if let Some(digest) = &wanted.started_with {
        if wanted.running && runs && found.started_with.as_ref() != Some(digest) {
            difference.action = Action::Restart;
            difference.because("started with", stamp(&found.started_with), content_text(digest));
        } else if found.next_start_with.as_ref() != Some(digest) {
            difference.because("next start with", stamp(&found.next_start_with), content_text(digest));
        }
    }
    if let Some(digest) = &wanted.reloaded_with {
        if wanted.running && runs && found.reloaded_with.as_ref() != Some(digest) {
            // A restart takes it in as well.
            if difference.action != Action::Restart {
                difference.action = Action::Reload;
            }
            difference.because("reloaded with", stamp(&found.reloaded_with), content_text(digest));
        } else if found.next_reload_with.as_ref() != Some(digest) {
            difference.because("next reload with", stamp(&found.next_reload_with), content_text(digest));
        }
    }
    difference
}

fn stamp(stamp: &Option<Digest>) -> String {
    stamp.as_ref().map(content_text).unwrap_or_default()
}

fn container_image(wanted: &ContainerImage, found: Option<&Digest>) -> Difference {
    let mut difference = Difference::new(if found.is_some() { Action::Update } else { Action::Create });
    difference.compare("image", found.map(content_text).unwrap_or_default(), content_text(&wanted.digest));
    difference
}

fn owner_text(owner: &Owner) -> String {
    format!("{}:{}", owner.user, owner.group)
}

fn content_text(digest: &Digest) -> String {
    digest.short().to_owned()
}

fn entry_text(entry: &Entry) -> &'static str {
    match entry {
        Entry::Directory => "directory",
        Entry::File { .. } => "file",
        Entry::Symlink { .. } => "symlink",
        Entry::Other => "device, socket or pipe",
    }
}
