//! What a service is given to say what its cluster should be.

use core::net::IpAddr;
use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{ContainerImage, Owner, Packages, Resource, ResourceId, Sysctl};
use wire_deploy_agent::state::{Entry, Facts, PathState, State, UnitState};

use super::resources::{file, secret};
use super::tls;
use crate::lock::{Lock, LockedFile};
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
    /// The hosts that this run may change; all when `None`.
    pub selected: Option<&'a BTreeSet<HostName>>,
    /// Only the outline is asked for: ids of resources matter, contents do not.
    pub outline: bool,
}

/// Days that hosts' certificates are valid; they are renewed when a third is left.
pub const CERTIFICATE_DAYS: u32 = 825;

/// The files by which a node proves who it is within a trust domain.
pub struct NodeCertificate {
    /// The domain's authority, `ca.pem`.
    pub authority: Resource,
    /// The node's certificate, `node.pem`, good for a server and for a client at the node's address and name.
    pub certificate: Resource,
    /// Its key, `node.key`.
    pub key: Resource,
}

impl NodeCertificate {
    /// All three.
    #[must_use]
    pub fn into_resources(self) -> [Resource; 3] {
        [self.authority, self.certificate, self.key]
    }
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
    /// A setting names a secret that the operator has not brought.
    #[error("{service} wants the secret `{name}`, which nobody has set")]
    NotProvided {
        /// The service.
        service: ServiceName,
        /// The secret's name.
        name: String,
    },
    /// A certificate and a key that the operator has brought are none, or not each other's.
    #[error("{service} cannot use the secrets `{chain}` and `{key}`: {reason}")]
    Brought {
        /// The service.
        service: ServiceName,
        /// The name of the secret that should hold a certificate and those that lead to its authority.
        chain: String,
        /// The name of the secret that should hold its private key.
        key: String,
        /// Why.
        reason: String,
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

    /// Whether this run may change a host.
    #[must_use]
    pub fn is_selected(&self, host: &HostName) -> bool {
        self.selected.is_none_or(|selected| selected.contains(host))
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

    /// What the operator brought under that name.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn provided(&self, name: &str) -> Result<String, BuildError> {
        let provided = self.secrets.provided(name).map(|secret| secret.expose().to_owned());
        provided.ok_or_else(|| BuildError::NotProvided { service: self.service.clone(), name: name.to_owned() })
    }

    /// A certificate with its chain and its private key (PEM) that the operator brought under these names.
    ///
    /// # Errors
    /// When one of them is not there, or they are not each other's.
    pub fn provided_certificate(&self, chain: &str, key: &str) -> Result<(String, String), BuildError> {
        let pair = (self.provided(chain)?, self.provided(key)?);
        tls::check_pair(&pair.0, &pair.1).map_err(|error| BuildError::Brought {
            service: self.service.clone(),
            chain: chain.to_owned(),
            key: key.to_owned(),
            reason: format!("{error:#}"),
        })?;
        Ok(pair)
    }

    /// The authority of a trust domain of this service.
    #[must_use]
    pub fn authority(&self, domain: &str) -> Authority<'a> {
        Authority::new(self.secrets, &self.service, domain)
    }

    /// What a host's node needs in a trust domain, in files of a folder with mode 0640.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn node_certificate(
        &self,
        host: &Host,
        domain: &str,
        folder: &str,
        owner: &Owner,
    ) -> Result<NodeCertificate, BuildError> {
        let authority = self.authority(domain);
        let request = Request {
            common_name: host.name.to_string(),
            organization: None,
            names: vec![host.name.to_string(), "localhost".to_owned()],
            addresses: vec![host.address, IpAddr::from([127, 0, 0, 1])],
            server: true,
            client: true,
            days: CERTIFICATE_DAYS,
        };
        let path = format!("{folder}/node.pem");
        let certificate = self.certificate(&host.name, &authority, &request, &path)?;
        let key = authority.key(Some(&host.name), &request.common_name)?;
        let file = |path: &str, text: String| file(path, owner.clone(), 0o640, text);
        Ok(NodeCertificate {
            authority: Resource::File(file(&format!("{folder}/ca.pem"), authority.certificate()?)),
            certificate: Resource::File(file(&path, certificate)),
            key: Resource::File(secret(file(&format!("{folder}/node.key"), key.expose().to_owned()))),
        })
    }

    /// The certificate that is at the path while it says what it should and more than a third of its life is left, else one
    /// issued now.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn certificate(
        &self,
        host: &HostName,
        authority: &Authority<'_>,
        request: &Request,
        path: &str,
    ) -> Result<String, BuildError> {
        if self.outline {
            return Ok(String::new());
        }
        if let Some(text) = self.text(host, path) {
            let found = authority.judge(Some(host), request, text, self.observed.time);
            if found.fits && !found.due {
                return Ok(text.to_owned());
            }
        }
        Ok(authority.issue(Some(host), request, self.observed.time)?.certificate)
    }

    /// The text of a wanted file as it was found on a host, where that was told.
    #[must_use]
    pub fn text(&self, host: &HostName, path: &str) -> Option<&'a str> {
        match self.state(host, &format!("file {path}"))? {
            State::Path(PathState { entry: Entry::File { text, .. }, .. }) => text.as_deref(),
            _ => None,
        }
    }

    /// What was found for a systemd unit of a host.
    #[must_use]
    pub fn unit(&self, host: &HostName, unit: &str) -> Option<&'a UnitState> {
        match self.state(host, &format!("unit {unit}")) {
            Some(State::Unit(unit)) => Some(unit),
            _ => None,
        }
    }

    /// Whether a path that a probe looks at is there; `None` when nobody looked.
    #[must_use]
    pub fn is_there(&self, host: &HostName, path: &str) -> Option<bool> {
        match self.state(host, &format!("path {path}")) {
            Some(State::Exists { .. }) => Some(true),
            Some(State::Absent) => Some(false),
            _ => None,
        }
    }

    /// A kernel parameter. Where hosts share a kernel, as the profile says, it may be one that cannot be set.
    #[must_use]
    pub fn sysctl(&self, name: &str, value: &str) -> Resource {
        self.kernel_parameter(name, value, false)
    }

    /// A kernel parameter of which a host may have more, and is then left as it is.
    #[must_use]
    pub fn sysctl_at_least(&self, name: &str, value: &str) -> Resource {
        self.kernel_parameter(name, value, true)
    }

    fn kernel_parameter(&self, name: &str, value: &str, at_least: bool) -> Resource {
        let tolerate = self.site.profile.shared_kernel;
        Resource::Sysctl(Sysctl { name: name.to_owned(), value: value.to_owned(), at_least, tolerate })
    }

    /// The version that a recipe's artifacts have.
    #[must_use]
    pub fn version(&self, recipe: &str) -> String {
        self.lock.recipes.get(recipe).map(|locked| locked.version.clone()).unwrap_or_default()
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

    /// The image that a recipe makes, in a host's containerd by a name and tag.
    ///
    /// # Errors
    /// When the lock has no such image.
    pub fn container_image(&self, recipe: &str, reference: &str) -> Result<Resource, BuildError> {
        container_image(self.lock.image(recipe), reference)
            .ok_or_else(|| BuildError::NotLocked { recipe: recipe.to_owned(), what: "an image".to_owned() })
    }

    /// The image for a program, in a host's containerd by a name and tag: the recipe's only one, or that of the program's name where the site
    /// brings them.
    ///
    /// # Errors
    /// When the lock has no such image.
    pub fn container_image_of(&self, recipe: &str, program: &str, reference: &str) -> Result<Resource, BuildError> {
        if !self.site.artifacts.contains_key(recipe) {
            return self.container_image(recipe, reference);
        }
        container_image(self.lock.brought_image(recipe, program), reference)
            .ok_or_else(|| BuildError::NotLocked { recipe: recipe.to_owned(), what: format!("an image {program}") })
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

/// A locked image under a name and tag.
fn container_image(locked: Option<(&Digest, &LockedFile)>, reference: &str) -> Option<Resource> {
    let (digest, file) = locked?;
    let (reference, digest, blob) = (reference.to_owned(), digest.clone(), file.blob.clone());
    Some(Resource::ContainerImage(ContainerImage { reference, digest, blob }))
}
