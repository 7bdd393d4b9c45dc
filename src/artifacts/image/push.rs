//! Pushing an image to a registry: the OCI distribution specification 1.1, "Push", in a few requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::layout::{Descriptor, Layout, MANIFEST, OciDigest};
use super::reference::Reference;
use crate::artifacts::ArtifactError;
use crate::site::secrets::SecretText;
use crate::transport::web::{Web, told};

/// How long a registry may take for one answer: it may write a layer to a slow disk first.
const PATIENCE: Duration = Duration::from_secs(600);

/// A registry that an image is pushed to.
pub struct Registry<'a> {
    client: Client,
    reference: &'a Reference,
    base: Url,
    credentials: Option<SecretText>,
    /// What is shown with every request, once the registry has asked for it.
    authorization: Option<SecretText>,
}

/// How much of an image a registry lacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Contents that were sent.
    pub sent: usize,
    /// Contents that were there.
    pub there: usize,
}

impl<'a> Registry<'a> {
    /// A registry, by TLS unless `plain`; `credentials` are `user:password`.
    ///
    /// # Errors
    /// When the reference's host is none.
    pub fn new(
        web: &Web,
        reference: &'a Reference,
        plain: bool,
        credentials: Option<SecretText>,
    ) -> Result<Self, ArtifactError> {
        let scheme = if plain { "http" } else { "https" };
        let wrong = |reason: String| {
            ArtifactError::new(format!("{reference}: {reason}"), "expected HOST[:PORT]/REPOSITORY[:TAG]")
        };
        let base =
            Url::parse(&format!("{scheme}://{}/", reference.registry)).map_err(|error| wrong(error.to_string()))?;
        let client = web.http().timeout(PATIENCE).build().map_err(|error| wrong(told(error)))?;
        Ok(Self { client, reference, base, credentials, authorization: None })
    }

    /// Sends what the registry lacks of an image, and gives it the tag. `tell` is told what is sent.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub async fn push(&mut self, image: &Layout, tell: impl Fn(String)) -> Result<Pushed, ArtifactError> {
        let mut pushed = Pushed { sent: 0, there: 0 };
        for content in image.manifest.layers.iter().chain([&image.manifest.config]) {
            if self.has(content).await? {
                pushed.there += 1;
                continue;
            }
            tell(format!("{} ({} bytes)", content.digest, content.size));
            self.upload(content, image.blob(&content.digest.0).unwrap_or_default()).await?;
            pushed.sent += 1;
        }
        let manifest = image.blob(&image.digest).unwrap_or_default().to_vec();
        let url = self.url(&format!("manifests/{}", self.reference.tag))?;
        let response = self.ask(Method::PUT, &url, Some((MANIFEST, manifest))).await?;
        self.expect(response, &[StatusCode::CREATED], "take the manifest").await?;
        Ok(pushed)
    }

    async fn has(&mut self, content: &Descriptor) -> Result<bool, ArtifactError> {
        let url = self.url(&format!("blobs/{}", content.digest))?;
        let response = self.ask(Method::HEAD, &url, None).await?;
        let status = response.status();
        self.expect(response, &[StatusCode::OK, StatusCode::NOT_FOUND], "say what it has").await?;
        Ok(status == StatusCode::OK)
    }

    async fn upload(&mut self, content: &Descriptor, bytes: &[u8]) -> Result<(), ArtifactError> {
        let url = self.url("blobs/uploads/")?;
        let response = self.ask(Method::POST, &url, None).await?;
        let response = self.expect(response, &[StatusCode::ACCEPTED], "begin an upload").await?;
        let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let mut place = place
            .and_then(|place| response.url().join(place).ok())
            .ok_or_else(|| self.refused("begin an upload", "it named no place for it"))?;
        place.query_pairs_mut().append_pair("digest", &content.digest.to_string());
        let response = self.ask(Method::PUT, &place, Some(("application/octet-stream", bytes.to_vec()))).await?;
        self.expect(response, &[StatusCode::CREATED], "take a layer").await.map(drop)
    }

    fn url(&self, path: &str) -> Result<Url, ArtifactError> {
        let path = format!("v2/{}/{path}", self.reference.repository);
        self.base.join(&path).map_err(|error| self.refused("be asked", &error.to_string()))
    }

    /// One exchange; if the registry wants to know who asks, it is told and asked again.
    async fn ask(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Response, ArtifactError> {
        let response = self.send(method.clone(), url, body.clone()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenge =
            response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.authorization = self.answer(&challenge.unwrap_or_default()).await?;
        self.send(method, url, body).await
    }

    async fn send(&self, method: Method, url: &Url, body: Option<(&str, Vec<u8>)>) -> Result<Response, ArtifactError> {
        let mut request = self.client.request(method, url.clone());
        // Credentials are for the registry alone, not for where it may send uploads.
        if let Some(authorization) = self.authorization.as_ref().filter(|_| url.origin() == self.base.origin()) {
            request = request.header(AUTHORIZATION, authorization.expose());
        }
        request = match body {
            Some((kind, bytes)) => request.header(CONTENT_TYPE, kind).body(bytes),
            None => request.header(CONTENT_LENGTH, 0),
        };
        request.send().await.map_err(|error| self.refused("be reached", &told(error)))
    }

    /// What to show to a registry that asks with this challenge (RFC 7235; `Bearer` as the distribution project has it).
    async fn answer(&self, challenge: &str) -> Result<Option<SecretText>, ArtifactError> {
        let basic = self.credentials.as_ref();
        let basic = basic.map(|known| SecretText::new(format!("Basic {}", STANDARD.encode(known.expose()))));
        let Some(fields) = challenge.strip_prefix("Bearer ").map(fields) else { return Ok(basic) };
        let realm = fields.get("realm").and_then(|realm| Url::parse(realm).ok());
        let mut url = realm.ok_or_else(|| self.refused("say who may push", &format!("it asked with {challenge:?}")))?;
        for name in ["service", "scope"] {
            if let Some(value) = fields.get(name) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = self.client.get(url);
        if let Some(basic) = &basic {
            request = request.header(AUTHORIZATION, basic.expose());
        }
        let response = request.send().await.map_err(|error| self.refused("give a token", &told(error)))?;
        let response = self.expect(response, &[StatusCode::OK], "give a token").await?;
        #[derive(Deserialize)]
        struct Given {
            #[serde(alias = "access_token")]
            token: String,
        }
        let given: Given = response.json().await.map_err(|error| self.refused("give a token", &told(error)))?;
        Ok(Some(SecretText::new(format!("Bearer {}", given.token))))
    }

    async fn expect(&self, response: Response, statuses: &[StatusCode], what: &str) -> Result<Response, ArtifactError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Refusal {
            errors: Vec<Reason>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Reason {
            code: String,
            message: String,
        }
        let status = response.status();
        if statuses.contains(&status) {
            return Ok(response);
        }
        let refusal: Refusal = response.json().await.unwrap_or_default();
        let reasons = refusal.errors.iter().map(|reason| format!(" {}: {}", reason.code, reason.message));
        Err(self.refused(what, &format!("it answered {status}{}", reasons.collect::<String>())))
    }

    fn refused(&self, what: &str, reason: &str) -> ArtifactError {
        let hint = if reason.contains("401") || reason.contains("403") {
            "log in to the registry with a tool that writes Docker's config.json, or name one by `--credentials FILE`"
        } else if reason.contains("certificate") {
            "`--ca FILE` names the authority that signed the registry's certificate"
        } else if reason.contains("InvalidContentType") || reason.contains("corrupt message") {
            "`--plain-http` is for a registry without TLS"
        } else {
            "see that the registry runs and that the name is right"
        };
        ArtifactError::new(format!("registry {} does not {what}: {reason}", self.reference.registry), hint)
    }
}

/// The fields of a challenge, `name="value",…`.
fn fields(challenge: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = challenge;
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        fields.insert(name.trim_matches([',', ' ']).to_owned(), value.to_owned());
        rest = after;
    }
    fields
}

/// `user:password` for a registry from a file as Docker's `config.json`; none if it names none.
///
/// # Errors
/// When it cannot be read or is no such file.
pub fn credentials(file: &Path, registry: &str) -> Result<Option<SecretText>, ArtifactError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        auths: BTreeMap<String, Login>,
    }
    #[derive(Deserialize)]
    struct Login {
        #[serde(default)]
        auth: String,
    }
    let wrong = |reason: String| {
        ArtifactError::new(
            format!("{}: {reason}", file.display()),
            "expected {\"auths\": {\"HOST\": {\"auth\": \"base64 of user:password\"}}}, as Docker's config.json",
        )
    };
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    // What is wrong in it is told by place only: the text may hold a password.
    let place =
        |error: serde_json::Error| wrong(format!("line {}, column {}: not as expected", error.line(), error.column()));
    let config: Config = serde_json::from_slice(&text).map_err(place)?;
    let Some(login) = config.auths.get(registry).filter(|login| !login.auth.is_empty()) else { return Ok(None) };
    let known = STANDARD.decode(&login.auth).ok().and_then(|known| String::from_utf8(known).ok());
    known.map(|known| Some(SecretText::new(known))).ok_or_else(|| wrong(format!("{registry}: auth is not base64")))
}

/// What a registry calls an image, by digest.
#[must_use]
pub fn by_digest(reference: &Reference, image: &Layout) -> String {
    format!("{}/{}@{}", reference.registry, reference.repository, OciDigest(image.digest.clone()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_challenge_is_read_field_by_field() {
        let fields = fields(r#"realm="https://a.example/token",service="a, b",scope="repository:x:pull,push""#);
        assert_eq!(fields["realm"], "https://a.example/token");
        assert_eq!(fields["service"], "a, b");
        assert_eq!(fields["scope"], "repository:x:pull,push");
    }

    #[test]
    fn credentials_are_found_by_registry_and_an_error_shows_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let auth = STANDARD.encode("me:secret");
        std::fs::write(&file, format!(r#"{{"auths": {{"a.example:5000": {{"auth": "{auth}"}}}}, "x": 1}}"#)).unwrap();
        let found = |registry| credentials(&file, registry).unwrap().map(|known| known.expose().to_owned());
        assert_eq!(found("a.example:5000").as_deref(), Some("me:secret"));
        assert_eq!(found("b.example"), None);
        std::fs::write(&file, format!(r#"{{"auths": {{"a.example": "{auth}"}}}}"#)).unwrap();
        let error = credentials(&file, "a.example").unwrap_err();
        assert!(!error.message.contains(&auth), "{error}");
    }
}
