//! One object of Kubernetes as it should be.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Names an object within a Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ManifestId {
    /// As in its manifest: `v1`, `apps/v1`.
    pub api_version: String,
    /// As in its manifest: `Deployment`.
    pub kind: String,
    /// `None` for what lives in no namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// An object as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Which object.
    pub id: ManifestId,
    /// All of it, secrets included: it goes to the API and is shown to nobody.
    pub value: Value,
    /// The template that it was rendered from, as errors name it: `templates/kube/nginz/deployment.yaml`.
    pub template: String,
}

impl fmt::Display for ManifestId {
    /// As kubectl's users write it: `Deployment wire/brig`, `Namespace wire`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        formatter.write_str(&self.name)
    }
}

impl ManifestId {
    /// Whether what the object holds is secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.kind == "Secret" && self.api_version == "v1"
    }
}

impl Manifest {
    /// The texts that it holds if it is a Secret, as whoever reads them gets them; what is no text is left out.
    #[must_use]
    pub fn secret_texts(&self) -> Vec<String> {
        let data = self.value.get("data").and_then(Value::as_object).filter(|_| self.id.is_secret());
        let decoded = data.into_iter().flat_map(Map::values).filter_map(|value| BASE64.decode(value.as_str()?).ok());
        decoded.filter_map(|bytes| String::from_utf8(bytes).ok()).collect()
    }
}

/// A Secret's `stringData` cannot be read back, so it becomes `data`; and that as the API writes it.
pub fn encode_texts(secret: &mut Map<String, Value>) {
    let texts = secret.remove("stringData");
    let mut data = match secret.remove("data") {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    for value in data.values_mut() {
        let text: String = value.as_str().unwrap_or_default().split_whitespace().collect();
        if let Ok(bytes) = BASE64.decode(text) {
            *value = BASE64.encode(bytes).into();
        }
    }
    if let Some(Value::Object(texts)) = texts {
        let encoded = |value: &Value| BASE64.encode(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        data.extend(texts.iter().map(|(key, value)| (key.clone(), encoded(value).into())));
    }
    secret.insert("data".to_owned(), data.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_secret_holds_is_told_to_whoever_has_to_conceal_it() {
        let id = |kind: &str| ManifestId {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: "a".to_owned(),
        };
        let mut object = Map::from_iter([("stringData".to_owned(), json!({"key": "-----BEGIN PRIVATE KEY-----"}))]);
        encode_texts(&mut object);
        let secret = |kind| Manifest { id: id(kind), value: object.clone().into(), template: String::new() };
        assert_eq!(secret("Secret").secret_texts(), ["-----BEGIN PRIVATE KEY-----"]);
        assert!(secret("ConfigMap").secret_texts().is_empty());
    }
}
