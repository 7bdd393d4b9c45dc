//! What a workload is given to say what its objects should be.

use serde_json::{Value, json};

use super::manifest::Manifest;
use super::{flows, image, render};
use crate::lock::Lock;
use crate::services::tls;
use crate::site::certificates::{Authority, CertificateError, Issued, Request};
use crate::site::model::Site;
use crate::site::names::{ServiceName, WorkloadName};
use crate::site::problem::Problem;
use crate::site::secrets::Secrets;
use crate::templates::{TemplateError, Templates};

/// Everything a workload may look at.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The site.
    pub site: &'a Site,
    /// The workload that is built.
    pub workload: &'static str,
    /// The site's secrets.
    pub secrets: &'a Secrets,
    /// Artifacts by recipe.
    pub lock: &'a Lock,
    /// The templates.
    pub templates: &'a Templates,
    /// Now, milliseconds since the epoch.
    pub time: i64,
}

/// Days that certificates for pods are valid.
pub const CERTIFICATE_DAYS: u32 = 825;
/// Days after which another one takes a certificate's place; a third of its life is left then.
const RENEWAL_DAYS: i64 = 550;
/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Why a workload could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// What a template gave is no manifest.
    #[error("manifest {}: {}", .0.file, .0.message)]
    Manifest(Box<Problem>),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The lock has no image of a recipe.
    #[error("artifacts.lock has no image of recipe {recipe}")]
    NotLocked {
        /// The recipe.
        recipe: String,
    },
    /// A setting names a secret that the operator has not brought.
    #[error("{workload} wants the secret `{name}`, which nobody has set")]
    NotProvided {
        /// The workload.
        workload: WorkloadName,
        /// The secret's name.
        name: String,
    },
    /// A certificate and a key that the operator has brought are none, not each other's, or not for what they are wanted for.
    #[error("{workload} cannot use the secrets `{chain}` and `{key}`: {reason}")]
    Brought {
        /// The workload.
        workload: WorkloadName,
        /// The name of the secret that should hold a certificate and those that lead to its authority.
        chain: String,
        /// The name of the secret that should hold its private key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Merged settings do not fit the workload's type; validation has let something through.
    #[error("settings of {workload}: {reason}")]
    Settings {
        /// The workload.
        workload: WorkloadName,
        /// Why.
        reason: String,
    },
}

impl<'a> Context<'a> {
    /// Renders `templates/kube/<name>` with the given values and reads the manifests in it. Beside them every template knows `site`,
    /// `domain`, `namespace`, `workload` and `flows` (what the workload's pods may talk to, see [`flows`]).
    ///
    /// # Errors
    /// When the template fails, or what it gives is no manifest.
    pub fn manifests(&self, template: &str, values: &Value) -> Result<Vec<Manifest>, BuildError> {
        let name = format!("kube/{template}");
        let text = self.templates.render(&name, &self.with_common(values))?;
        render::manifests(&self.templates.file(&name), &text, &self.site.kubernetes.namespace)
    }

    /// Renders `templates/kube/<name>`, which is no manifest but part of one, as a configuration file.
    ///
    /// # Errors
    /// When the template fails.
    pub fn text(&self, template: &str, values: &Value) -> Result<String, BuildError> {
        Ok(self.templates.render(&format!("kube/{template}"), &self.with_common(values))?)
    }

    fn with_common(&self, values: &Value) -> Value {
        let mut all = json!({
            "site": self.site.name, "domain": self.site.domain, "namespace": self.site.kubernetes.namespace,
            "workload": self.workload, "flows": flows::of(self.site, self.workload),
        });
        if let (Some(all), Some(values)) = (all.as_object_mut(), values.as_object()) {
            all.extend(values.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        all
    }

    /// The workload's name.
    #[must_use]
    pub fn name(&self) -> WorkloadName {
        WorkloadName::from(self.workload)
    }

    /// Where the image that a recipe makes is found by the cluster's nodes.
    ///
    /// # Errors
    /// When the lock has no such image.
    pub fn image(&self, recipe: &str) -> Result<String, BuildError> {
        image::reference(self.site, self.lock, recipe)
            .ok_or_else(|| BuildError::NotLocked { recipe: recipe.to_owned() })
    }

    /// What the operator brought under that name.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn provided(&self, name: &str) -> Result<&'a str, BuildError> {
        let provided = self.secrets.provided(name).map(crate::site::secrets::SecretText::expose);
        provided.ok_or_else(|| BuildError::NotProvided { workload: self.name(), name: name.to_owned() })
    }

    /// A certificate with its chain and its private key (PEM) that the operator brought under these names, good for servers of all these
    /// names now.
    ///
    /// # Errors
    /// When one of them is not there, they are not each other's, or the certificate lacks a name or is not valid now.
    pub fn provided_certificate(
        &self,
        chain: &str,
        key: &str,
        names: &[String],
    ) -> Result<(&'a str, &'a str), BuildError> {
        let pair = (self.provided(chain)?, self.provided(key)?);
        let fits = tls::check_pair(pair.0, pair.1).and_then(|()| tls::check_names(pair.0, names, self.time));
        fits.map_err(|error| BuildError::Brought {
            workload: self.name(),
            chain: chain.to_owned(),
            key: key.to_owned(),
            reason: format!("{error:#}"),
        })?;
        Ok(pair)
    }

    /// The authority of a trust domain of a service.
    #[must_use]
    pub fn authority(&self, service: &str, domain: &str) -> Authority<'a> {
        Authority::new(self.secrets, &ServiceName::from(service), domain)
    }

    /// A certificate of an authority. It is the same for [`RENEWAL_DAYS`], so that nothing has to be looked up to know that nothing is to be
    /// done; then it is another one, while the former is good for as long again as hosts' certificates are when they are renewed.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn certificate(&self, authority: &Authority<'_>, request: &Request) -> Result<Issued, BuildError> {
        let age = self.time.saturating_sub(self.secrets.created).max(0);
        let period = age / (RENEWAL_DAYS * DAY);
        let issued = self.secrets.created.saturating_add(period * RENEWAL_DAYS * DAY);
        Ok(authority.issue(None, request, issued)?)
    }

    /// The merged settings of a service of the site, which are the same for all its hosts or looked at for the first one only.
    ///
    /// # Errors
    /// When they do not fit `T`.
    pub fn service_settings<T: serde::de::DeserializeOwned + Default>(&self, service: &str) -> Result<T, BuildError> {
        let merged = self.site.settings.get(service).and_then(|hosts| hosts.values().next());
        merged.map_or_else(
            || Ok(T::default()),
            |value| {
                T::deserialize(value)
                    .map_err(|error| BuildError::Settings { workload: self.name(), reason: error.to_string() })
            },
        )
    }
}
