//! A way into the API for an operator's kubectl: made of the site's secrets, without asking anyone.

use serde_json::json;

use super::{AUTHORITY, Settings, endpoint};
use crate::site::certificates::{Authority, CertificateError, Request};
use crate::site::model::Site;
use crate::site::secrets::{SecretText, Secrets};

/// Why none can be made.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The site has no Kubernetes.
    #[error("the site installs no Kubernetes")]
    NoKubernetes,
    /// Its certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A kubeconfig for `user`, with all rights, that counts for so many days from `time` (milliseconds since the epoch). YAML in the form of
/// JSON, as kubectl reads it.
///
/// # Errors
/// When the site has no Kubernetes, or the name cannot stand in a certificate.
pub fn kubeconfig(
    site: &Site,
    secrets: &Secrets,
    user: &str,
    days: u32,
    time: i64,
) -> Result<SecretText, KubeconfigError> {
    use base64::Engine as _;
    let service = "kubernetes".into();
    let hosts =
        site.settings.get(&service).and_then(|hosts| hosts.values().next()).ok_or(KubeconfigError::NoKubernetes)?;
    let settings: Settings = serde_json::from_value(hosts.clone()).map_err(|_| KubeconfigError::NoKubernetes)?;
    let endpoint = endpoint::of_site(site, &settings).ok_or(KubeconfigError::NoKubernetes)?;
    let authority = Authority::new(secrets, &service, AUTHORITY);
    let request = Request {
        common_name: user.to_owned(),
        organization: Some("kubeadm:cluster-admins".to_owned()),
        names: Vec::new(),
        addresses: Vec::new(),
        server: false,
        client: true,
        days,
    };
    let issued = authority.issue(None, &request, time)?;
    let data = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let (cluster, context) = (&site.name, format!("{user}@{}", site.name));
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": context,
        "clusters": [{ "name": cluster, "cluster": {
            "server": format!("https://{endpoint}"), "certificate-authority-data": data(&authority.certificate()?),
        } }],
        "users": [{ "name": user, "user": {
            "client-certificate-data": data(&issued.certificate), "client-key-data": data(issued.key.expose()),
        } }],
        "contexts": [{ "name": context, "context": { "cluster": cluster, "user": user } }],
    });
    Ok(SecretText::new(format!("{text:#}\n")))
}
