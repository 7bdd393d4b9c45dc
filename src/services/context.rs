//! What a service is given to say what its cluster should be.

use serde::de::DeserializeOwned;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Packages, Resource, ResourceId};
use wire_deploy_agent::state::{Entry, Facts, PathState, State};

use crate::artifacts::lock::Lock;
use crate::observed::{LiveState, Observed};
use crate::site::certificates::{Authority, CertificateError, Request};
use crate::site::model::{Host, Site};
use crate::site::names::{HostName, ServiceName};
use crate::site::secrets::{Purpose, SecretText, Secrets};
use crate::templates::{TemplateError, Templates};

/// Everything a service may look at.
pub struct Context<'a> {
    /// The site.
    pub site: &'a Site,
    /// The service that is built.
    pub service: ServiceName,
    /// The site's secrets.
    pub secrets: &'a Secrets,
    /// Artifacts by recipe.
    pub lock: &'a Lock,
    /// The templates.
    pub templates: &'a Templates,
    /// What was found; empty when only the outline is asked for.
    pub observed: &'a Observed,
    /// Only the outline is asked for: ids of resources matter, contents do not.
    pub outline: bool,
}

/// A certificate that a host should hold.
pub struct CertificateRequest<'a> {
    /// Trust domain within the service, as `peers`.
    pub domain: &'a str,
    /// Where the certificate is on the host.
    pub path: &'a str,
    /// What it should say.
    pub request: Request,
}

/// Why a cluster could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The lock has no entry for a recipe.
    #[error("artifacts.lock has nothing for {what} of recipe {recipe}")]
    NotLocked {
        /// The recipe.
        recipe: String,
        /// What of it.
        what: String,
    },
    /// Merged settings do not fit the service's type; validation has let something through.
    #[error("settings of {service} for {host}: {reason}")]
    Settings {
        /// The service.
        service: ServiceName,
        /// The host.
        host: HostName,
        /// Why.
        reason: String,
    },
}

impl<'a> Context<'a> {
    /// The service's hosts, in the inventory's order.
    #[must_use]
    pub fn hosts(&self) -> Vec<&'a Host> {
        self.site.hosts_of(&self.service)
    }

    /// The service's settings for a host: profile, site, groups and host merged.
    ///
    /// # Errors
    /// When they do not fit `T`.
    pub fn settings<T: DeserializeOwned + Default>(&self, host: &HostName) -> Result<T, BuildError> {
        let merged = self.site.settings.get(&self.service).and_then(|hosts| hosts.get(host));
        merged.map_or_else(
            || Ok(T::default()),
            |value| {
                T::deserialize(value).map_err(|error| BuildError::Settings {
                    service: self.service.clone(),
                    host: host.clone(),
                    reason: error.to_string(),
                })
            },
        )
    }

    /// Facts about a host, once it was observed.
    #[must_use]
    pub fn facts(&self, host: &HostName) -> Option<&'a Facts> {
        self.observed.hosts.get(host).map(|found| &found.facts)
    }

    /// The running cluster's own view, if it was asked.
    #[must_use]
    pub fn live(&self) -> Option<&'a LiveState> {
        self.observed.live.get(&self.service)
    }

    /// What was found for a resource of a host.
    #[must_use]
    pub fn state(&self, host: &HostName, resource: &str) -> Option<&'a State> {
        self.observed.state(host, &ResourceId(resource.to_owned()))
    }

    /// Renders `templates/hosts/<service>/<template>` with the given values.
    ///
    /// # Errors
    /// When the template is missing, does not parse or uses an undefined variable.
    pub fn render(&self, template: &str, values: &serde_json::Value) -> Result<String, BuildError> {
        Ok(self.templates.render(&format!("hosts/{}/{template}", self.service), values)?)
    }

    /// A password of this service.
    #[must_use]
    pub fn password(&self, host: Option<&HostName>, name: &str) -> SecretText {
        self.secrets.password(&Purpose { service: &self.service, host, name })
    }

    /// The authority of a trust domain of this service.
    #[must_use]
    pub fn authority(&self, domain: &str) -> Authority<'a> {
        Authority::new(self.secrets, &self.service, domain)
    }

    /// The certificate that `host` should hold at a path: the one that is there while it says what it should and more than
    /// a third of its life is left, else one issued now.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn certificate(&self, host: &HostName, wanted: &CertificateRequest<'_>) -> Result<String, BuildError> {
        if self.outline {
            return Ok(String::new());
        }
        let authority = self.authority(wanted.domain);
        let there = self.state(host, &format!("file {}", wanted.path));
        if let Some(State::Path(PathState { entry: Entry::File { text: Some(text), .. }, .. })) = there {
            let found = authority.judge(Some(host), &wanted.request, text, self.observed.time);
            if found.fits && !found.due {
                return Ok(text.clone());
            }
        }
        Ok(authority.issue(Some(host), &wanted.request, self.observed.time)?.certificate)
    }

    /// The packages of a deb recipe for the host's release.
    ///
    /// # Errors
    /// When the lock has no closure for it.
    pub fn packages(&self, host: &Host, recipe: &str) -> Result<Resource, BuildError> {
        let closure = self.lock.packages(recipe, &host.release).ok_or_else(|| BuildError::NotLocked {
            recipe: recipe.to_owned(),
            what: format!("release {}", host.release),
        })?;
        Ok(Resource::Packages(Packages {
            name: recipe.to_owned(),
            wanted: closure.wanted.clone(),
            closure: closure.packages.clone(),
        }))
    }

    /// The blob of a file that a recipe makes.
    ///
    /// # Errors
    /// When the lock has no such file.
    pub fn artifact(&self, recipe: &str, file: &str) -> Result<Digest, BuildError> {
        self.lock
            .file(recipe, file)
            .map(|locked| locked.blob.clone())
            .ok_or_else(|| BuildError::NotLocked { recipe: recipe.to_owned(), what: format!("file {file}") })
    }
}
