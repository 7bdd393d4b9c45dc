//! The way to the API of a cluster that exists, by a kubeconfig: kube's client, with whatever credentials that names.

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::BoxError;
use tower::util::MapErrLayer;

use super::Api;
use super::api::{Answer, Broken, MAX_ANSWER, Way};
use crate::site::certificates::validity;

/// Why a kubeconfig gives no way to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// It cannot be read, or is none.
    #[error("{}: {message}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// It has no such context.
    #[error("{} has no context {context}", path.display())]
    NoContext {
        /// The file.
        path: PathBuf,
        /// The one that is wanted.
        context: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// The client certificate in it counts no longer.
    #[error("{}: the client certificate of context {context} expired on {expired}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// The context.
        context: String,
        /// When, as its certificate says.
        expired: String,
    },
    /// The context's cluster or user cannot be used.
    #[error("{}: context {context} cannot be used: {message}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The context.
        context: String,
        /// Why.
        message: String,
    },
}

impl KubeconfigError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => {
                "`kubernetes.existing.kubeconfig` in the site file names the file, relative to it".to_owned()
            }
            Self::NoContext { known, .. } if known.is_empty() => {
                "the file has no context at all: is it the right one?".to_owned()
            }
            Self::NoContext { context, known, .. } => {
                let near = known.iter().max_by_key(|name| {
                    #[expect(clippy::cast_possible_truncation, reason = "a measure between 0 and 1, in thousandths")]
                    let near = (strsim::jaro_winkler(name, context) * 1000.0) as i64;
                    near
                });
                let near = near.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
                format!("{near}it has {}", known.join(", "))
            }
            Self::Expired { .. } => "get a new kubeconfig from whoever runs the cluster".to_owned(),
            Self::Unusable { context, .. } => format!("`kubectl --context {context} version` tells more"),
        }
    }
}

impl Api<'static> {
    /// The API of the cluster that a context of a kubeconfig names. `now`: milliseconds since the epoch.
    ///
    /// # Errors
    /// When the file, the context or its credentials cannot be used. Nothing is asked of the cluster yet.
    pub async fn by_kubeconfig(path: &Path, context: &str, now: i64) -> Result<Self, KubeconfigError> {
        let kubeconfig = Kubeconfig::read_from(path)
            .map_err(|error| KubeconfigError::Unreadable { path: path.to_owned(), message: kube_words(&error) })?;
        let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        if !known.iter().any(|name| name == context) {
            return Err(KubeconfigError::NoContext { path: path.to_owned(), context: context.to_owned(), known });
        }
        let unusable =
            |message: String| KubeconfigError::Unusable { path: path.to_owned(), context: context.to_owned(), message };
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(kube_words(&error)))?;
        if let Some(expired) = expired(&config, now) {
            return Err(KubeconfigError::Expired { path: path.to_owned(), context: context.to_owned(), expired });
        }
        if config.proxy_url.is_some() {
            return Err(unusable("it goes through a proxy, which is not supported".to_owned()));
        }
        let place = config.cluster_url.to_string();
        // kube takes the process's own provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(&config).map_err(|error| unusable(chain(&error)))?;
        Ok(Self::new(ByKubeconfig(client), place.trim_end_matches('/').to_owned()))
    }
}

/// kube's own client, but for its sockets: a question that is sent in two pieces waits for nobody's acknowledgement of the first.
fn client(config: &Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let builder = ClientBuilder::new(http, config.default_namespace.clone());
    let (headers, place) = (config.extra_headers_layer()?, config.base_uri_layer());
    let builder = builder.with_layer(&MapErrLayer::new(BoxError::from)).with_layer(&headers);
    Ok(match config.auth_layer()? {
        Some(credentials) => builder.with_layer(&credentials).with_layer(&place).build(),
        None => builder.with_layer(&place).build(),
    })
}

/// When the client certificate expired, if it has.
fn expired(config: &Config, now: i64) -> Option<String> {
    use base64::Engine as _;
    let pem = match (&config.auth_info.client_certificate_data, &config.auth_info.client_certificate) {
        (Some(data), _) => base64::engine::general_purpose::STANDARD.decode(data).ok()?,
        (None, Some(path)) => std::fs::read(path).ok()?,
        (None, None) => return None,
    };
    let (_, ends) = validity(&String::from_utf8(pem).ok()?)?;
    let ended = jiff::Timestamp::from_millisecond(ends).ok()?;
    (ends < now).then(|| ended.to_string())
}

struct ByKubeconfig(Client);

impl Way for ByKubeconfig {
    fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Answer, Broken>> {
        Box::pin(async move {
            let answer = self.0.send(request.map(Body::from)).await.map_err(|error| broken(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| Broken { message: error.to_string(), passing: true })?;
            Ok(Answer { code: head.status.as_u16(), body: body.to_bytes() })
        })
    }
}

fn broken(error: &kube::Error) -> Broken {
    // A program that gives credentials and does not work will not work in a moment either; nor will a certificate become another one.
    let message = chain(error);
    let passing = !matches!(error, kube::Error::Auth(_)) && !message.contains("invalid peer certificate");
    Broken { message, passing }
}

/// An error and what it comes from, without what repeats what is said already.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// What kube says of a file, on one line and without the file's lines: they may be credentials.
fn kube_words(error: &kube::config::KubeconfigError) -> String {
    use kube::config::KubeconfigError as Error;
    match error {
        Error::ReadConfig(error, _) => error.to_string(),
        Error::Parse(error) => {
            let place = error.location().map(|place| format!("line {}, column {}: ", place.line(), place.column()));
            format!("{}not a kubeconfig in YAML", place.unwrap_or_default())
        }
        other => chain(other),
    }
}
