//! What an image consists of, as CycloneDX 1.5: a file in the image itself.

use serde::{Deserialize, Serialize};
use wire_deploy_agent::resource::Package;

/// Where the file is in an image.
pub const PATH: &str = "usr/share/sbom/image.cdx.json";

/// A bill of materials. It has neither a time nor a number of its own, so that it depends on what it lists alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sbom {
    bom_format: String,
    spec_version: String,
    version: u32,
    metadata: Metadata,
    /// What is in the image.
    pub components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Metadata {
    component: Subject,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    version: String,
}

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Name and version as a package URL.
    pub purl: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Hash {
    alg: String,
    content: String,
}

impl Component {
    /// A Debian package.
    #[must_use]
    pub fn of_package(package: &Package) -> Self {
        let Package { name, version, architecture, blob, .. } = package;
        // Of what versions may hold, these mean something in a URL.
        let escaped = version.replace('%', "%25").replace('+', "%2B").replace(':', "%3A").replace('~', "%7E");
        Self {
            name: name.clone(),
            version: version.clone(),
            purl: format!("pkg:deb/debian/{name}@{escaped}?arch={architecture}"),
            kind: "library".to_owned(),
            hashes: vec![Hash { alg: "SHA-256".to_owned(), content: blob.to_string() }],
        }
    }

    /// A Go module.
    #[must_use]
    pub fn of_go_module(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            purl: format!("pkg:golang/{name}@{}", version.replace('+', "%2B")),
            kind: "library".to_owned(),
            hashes: Vec::new(),
        }
    }

    /// A crate.
    #[must_use]
    pub fn of_crate(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            purl: format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")),
            kind: "library".to_owned(),
            hashes: Vec::new(),
        }
    }
}

impl Sbom {
    /// The bill of an image.
    #[must_use]
    pub fn new(image: &str, version: &str, components: Vec<Component>) -> Self {
        let subject = Subject { kind: "container".to_owned(), name: image.to_owned(), version: version.to_owned() };
        Self {
            bom_format: "CycloneDX".to_owned(),
            spec_version: "1.5".to_owned(),
            version: 1,
            metadata: Metadata { component: subject },
            components,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wire_deploy_agent::digest::Digest;

    use super::*;

    #[test]
    fn a_bill_is_what_cyclonedx_says() {
        let package = Package {
            name: "zlib1g".to_owned(),
            version: "1:1.2.13.dfsg-1+b1".to_owned(),
            architecture: "amd64".to_owned(),
            blob: Digest::of(b"zlib"),
            size: 4,
        };
        let sbom = Sbom::new("nginx", "1.22.1", vec![Component::of_package(&package)]);
        let json = serde_json::to_value(&sbom).unwrap();
        assert_eq!((json["bomFormat"].as_str(), json["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
        assert_eq!(json["components"][0]["purl"], "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1%2Bb1?arch=amd64");
        assert_eq!(json["components"][0]["type"], "library");
        assert_eq!(json["components"][0]["hashes"][0]["content"], Digest::of(b"zlib").to_string());
        assert_eq!(serde_json::from_value::<Sbom>(json).unwrap(), sbom);
    }
}
