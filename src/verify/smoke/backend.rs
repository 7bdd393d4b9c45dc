//! Requests to a backend's API and what it answers.

use std::time::Duration;

use reqwest::header::SET_COOKIE;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Place, Surprise};
use crate::site::secrets::SecretText;
use crate::transport::web::told;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// The versions of the API that this client speaks.
const VERSIONS: std::ops::RangeInclusive<u32> = 8..=15;

/// What is never prefixed with a version.
const UNVERSIONED: [&str; 2] = ["/access", "/api-version"];

/// A backend that was found.
pub struct Backend<'a> {
    /// Where it is.
    pub place: &'a Place,
    /// Its domain, which its users' ids have.
    pub domain: String,
    client: reqwest::Client,
    version: u32,
}

/// An id with the domain it is of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QualifiedId {
    /// A UUID.
    pub id: String,
    /// The backend's domain.
    pub domain: String,
}

/// What a backend answered.
pub struct Answer {
    what: String,
    /// The body.
    pub body: Vec<u8>,
    /// The value of the cookie `zuid`, if it set one.
    pub cookie: Option<SecretText>,
}

#[derive(Deserialize)]
struct Versions {
    supported: Vec<u32>,
    domain: String,
}

/// How a backend refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    label: String,
    message: String,
}

impl<'a> Backend<'a> {
    /// Asks a backend for its versions and takes the newest that this client speaks.
    pub async fn find(place: &'a Place) -> Result<Self, Surprise> {
        // Websockets know no proxies, so nothing goes through one: what is tried is the backend alone.
        let client = place.web.http().timeout(PATIENCE).no_proxy().build();
        let client = client.map_err(|error| Surprise::new("an HTTP client", told(error)))?;
        let mut backend = Self { place, domain: String::new(), client, version: 0 };
        let answer = backend.exchange(backend.get("/api-version"), &[200]).await?;
        let Versions { supported, domain } = answer.read()?;
        let newest = supported.iter().filter(|version| VERSIONS.contains(version)).max();
        backend.version = *newest.ok_or_else(|| {
            let expected = format!("a version of the API from {} to {}", VERSIONS.start(), VERSIONS.end());
            Surprise::new(expected, format!("the backend speaks {supported:?}"))
        })?;
        backend.domain = domain;
        Ok(backend)
    }

    /// A request for `GET`.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A request for `POST`.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A request for `PUT`.
    pub fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// A request for `DELETE`.
    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// `path` may end with a query.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let versioned = !UNVERSIONED.iter().any(|unversioned| path.starts_with(unversioned));
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.place.rest.clone();
        let prefix = if versioned { format!("/v{}", self.version) } else { String::new() };
        url.set_path(&format!("{}{prefix}{path}", url.path().trim_end_matches('/')));
        url.set_query(query);
        self.client.request(method, url)
    }

    /// Sends a request and reads the answer, whose status must be among those expected.
    pub async fn exchange(&self, request: RequestBuilder, statuses: &[u16]) -> Result<Answer, Surprise> {
        let request = request.build().map_err(|error| Surprise::new("a request", told(error)))?;
        let what = format!("{} {}", request.method(), request.url().path());
        let origin = request.url().origin().ascii_serialization();
        let expected = || {
            let statuses: Vec<String> = statuses.iter().map(ToString::to_string).collect();
            format!("{what} to answer {}", statuses.join(" or "))
        };
        let broken = |error: reqwest::Error| {
            let (unreachable, late) = (error.is_connect(), error.is_timeout());
            let untrusted = |text: &str| text.contains("certificate");
            let mut surprise = Surprise::new(expected(), format!("{origin}: {}", told(error)));
            surprise.unreachable = unreachable;
            if untrusted(&surprise.found) {
                surprise.hint =
                    Some("`--ca FILE` names the authority that signed the backend's certificate".to_owned());
            } else if late && !unreachable {
                surprise.hint =
                    Some(format!("it did not answer within {} s; look at its services' logs", PATIENCE.as_secs()));
            }
            surprise
        };
        let mut response = self.client.execute(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let cookie = response.headers().get_all(SET_COOKIE).iter().find_map(|value| zuid(value.to_str().ok()?));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(Surprise::new(expected(), format!("an answer of more than {MAX_ANSWER} bytes")));
            }
        }
        if statuses.contains(&status) {
            return Ok(Answer { what, body, cookie });
        }
        // A body that is no refusal comes from whoever stands before the backend, and may hold anything.
        let Refusal { label, message } = serde_json::from_slice(&body).unwrap_or_default();
        let mut surprise =
            Surprise::new(expected(), format!("it answered {status} {label} {message}").trim_end().to_owned());
        surprise.hint = hint(status, &label).map(str::to_owned);
        surprise.label = Some(label);
        Err(surprise)
    }
}

/// What to do about a refusal.
fn hint(status: u16, label: &str) -> Option<&'static str> {
    match (status, label) {
        (403, "pending-activation") => Some(
            "this backend activates accounts by a mail, and the code in it cannot be read from here: try a backend that activates by itself (`activation: auto`)",
        ),
        (420 | 429, _) => Some("the backend limits how often this machine may ask; try again in a minute"),
        (502..=504, _) => Some("what stands before the backend cannot reach the service behind this path"),
        (404, "") => Some("is this the address of the API? It is nginz-https.DOMAIN in most backends"),
        _ => None,
    }
}

/// The value of a session cookie.
fn zuid(header: &str) -> Option<SecretText> {
    let value = header.strip_prefix("zuid=")?.split(';').next()?;
    (!value.is_empty()).then(|| SecretText::new(value.to_owned()))
}

impl Answer {
    /// The body's fields.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Surprise> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Surprise::new(format!("{} to answer with what the API documents", self.what), error.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_to_its_first_attribute() {
        let read = |header| zuid(header).map(|cookie| cookie.expose().to_owned());
        assert_eq!(read("zuid=a.b=c; Path=/access; HttpOnly").as_deref(), Some("a.b=c"));
        assert_eq!(read("zuid=; Path=/access"), None);
        assert_eq!(read("other=a"), None);
    }
}
