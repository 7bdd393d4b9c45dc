//! An image as one file: an OCI image layout in a tar archive, which containerd and other runtimes import as it is.
//!
//! The forms are those of the OCI image specification 1.1: image layout, index, manifest, configuration.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use wire_deploy_agent::digest::Digest;

use super::tree::Layer;
use crate::artifacts::{ArtifactError, ENTRY_TIME};

/// The largest file of an image that is read, in bytes.
const MAX_BLOB: u64 = 1024 * 1024 * 1024;

/// The time at which every image was made, as far as it says: [`ENTRY_TIME`].
const CREATED: &str = "1980-01-01T00:00:00Z";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of manifests.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// By which name containerd keeps an image that it imports.
const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// The tag alone.
const TAG_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// A digest as OCI writes it: `sha256:` before the digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OciDigest(pub Digest);

impl std::fmt::Display for OciDigest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "sha256:{}", self.0)
    }
}

impl From<OciDigest> for String {
    fn from(digest: OciDigest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for OciDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix("sha256:").ok_or_else(|| format!("expected sha256:…, found {text:?}"))?;
        Digest::try_from(digits.to_owned()).map(Self).map_err(|error| error.to_string())
    }
}

/// Where content is and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: OciDigest,
    /// Its size in bytes.
    pub size: u64,
    /// Further remarks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What an image consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// Which images a layout has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Descriptor>,
}

/// How an image is run, and where its layers are from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    created: String,
    architecture: String,
    os: String,
    /// How it is run.
    pub config: Execution,
    rootfs: RootFs,
    /// What each layer is.
    pub history: Vec<History>,
}

/// How an image is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// User and group by number.
    pub user: String,
    /// Ports, as `8080/tcp`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, BTreeMap<String, String>>,
    /// The environment.
    pub env: Vec<String>,
    /// The program and arguments that always are there.
    pub entrypoint: Vec<String>,
    /// Further arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The folder it runs in.
    pub working_dir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<OciDigest>,
}

/// What a layer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    created: String,
    /// In a few words.
    pub created_by: String,
}

/// An image, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The manifest's digest, which is the image's.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration.
    pub configuration: Configuration,
    /// By which name it is kept where it is imported.
    pub name: String,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Layout {
    /// An image of layers, each with what it is in a few words, lowest first.
    ///
    /// # Errors
    /// Never with what this program makes.
    pub fn new(name: &str, version: &str, config: Execution, layers: Vec<(Layer, String)>) -> serde_json::Result<Self> {
        let mut blobs = BTreeMap::new();
        let mut keep = |media_type: &str, bytes: Vec<u8>| {
            let digest = Digest::of(&bytes);
            let size = bytes.len() as u64;
            blobs.insert(digest.clone(), bytes);
            let media_type = media_type.to_owned();
            Descriptor { media_type, digest: OciDigest(digest), size, annotations: BTreeMap::new() }
        };
        let (mut descriptors, mut diff_ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
        for (layer, created_by) in layers {
            descriptors.push(keep(LAYER, layer.bytes));
            diff_ids.push(OciDigest(layer.diff_id));
            history.push(History { created: CREATED.to_owned(), created_by });
        }
        let configuration = Configuration {
            created: CREATED.to_owned(),
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            config,
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
            history,
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config: keep(CONFIGURATION, serde_json::to_vec(&configuration)?),
            layers: descriptors,
        };
        let OciDigest(digest) = keep(MANIFEST, serde_json::to_vec(&manifest)?).digest;
        Ok(Self { digest, manifest, configuration, name: format!("{name}:{version}"), blobs })
    }

    /// The content of that digest, which its manifest or its index names.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<&[u8]> {
        self.blobs.get(digest).map(Vec::as_slice)
    }

    /// The file it is: the same bytes for the same image.
    ///
    /// # Errors
    /// Never with what this program makes.
    pub fn pack(&self) -> io::Result<Vec<u8>> {
        let manifest = self.blob(&self.digest).map_or(0, |bytes| bytes.len() as u64);
        let tag = self.name.rsplit(':').next().unwrap_or_default();
        let annotations = [(NAME_ANNOTATION, self.name.as_str()), (TAG_ANNOTATION, tag)];
        let index = Index {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: vec![Descriptor {
                media_type: MANIFEST.to_owned(),
                digest: OciDigest(self.digest.clone()),
                size: manifest,
                annotations: annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            }],
        };
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o644);
            header.set_mtime(ENTRY_TIME);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes)
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add("index.json", &serde_json::to_vec(&index)?)?;
        for (digest, bytes) in &self.blobs {
            add(&format!("blobs/sha256/{digest}"), bytes)?;
        }
        builder.into_inner()
    }

    /// The image in a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no layout of one image, or content is not what its name says.
    pub fn read(path: &Path) -> Result<Self, ArtifactError> {
        let wrong = |reason: String| {
            ArtifactError::new(
                format!("{} is not an image: {reason}", path.display()),
                "expected an OCI image layout of one image in a tar archive, as `wire-deploy image build` makes it",
            )
        };
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mut files = unpack(file).map_err(|error| wrong(error.to_string()))?;
        let index = files.remove("index.json").ok_or_else(|| wrong("it has no index.json".to_owned()))?;
        let index: Index = serde_json::from_slice(&index).map_err(|error| wrong(format!("index.json: {error}")))?;
        let [descriptor] = index.manifests.as_slice() else {
            return Err(wrong(format!("it has {} images", index.manifests.len())));
        };
        let mut blobs = BTreeMap::new();
        for (name, bytes) in files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix("blobs/sha256/")?, bytes)))
        {
            let digest = Digest::of(bytes);
            if digest.as_str() != name {
                return Err(wrong(format!("{name} holds other content than its name says")));
            }
            blobs.insert(digest, bytes.clone());
        }
        let digest = descriptor.digest.0.clone();
        let manifest: Manifest = part(&blobs, &digest).map_err(wrong)?;
        let configuration = part(&blobs, &manifest.config.digest.0).map_err(wrong)?;
        if let Some(layer) = manifest.layers.iter().find(|layer| !blobs.contains_key(&layer.digest.0)) {
            return Err(wrong(format!("layer {} is missing", layer.digest)));
        }
        let name = descriptor.annotations.get(NAME_ANNOTATION).cloned().unwrap_or_default();
        Ok(Self { digest, manifest, configuration, name, blobs })
    }
}

/// A part that is JSON.
fn part<T: serde::de::DeserializeOwned>(blobs: &BTreeMap<Digest, Vec<u8>>, digest: &Digest) -> Result<T, String> {
    let bytes = blobs.get(digest).ok_or_else(|| format!("{digest} is missing"))?;
    serde_json::from_slice(bytes).map_err(|error| format!("{digest}: {error}"))
}

/// The files in an archive, by path.
fn unpack(archive: impl io::Read) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.size() > MAX_BLOB {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a file in it is larger than 1 GiB"));
        }
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(path, content);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::tree::Tree;
    use super::*;

    fn example() -> Layout {
        let mut tree = Tree::default();
        tree.add_file("usr/bin/hello", 0o755, "hello");
        let config = Execution { user: "10001:10001".to_owned(), ..Execution::default() };
        Layout::new("wire/hello", "1.0", config, vec![(tree.pack().unwrap(), "a greeting".to_owned())]).unwrap()
    }

    #[test]
    fn an_image_is_read_as_it_was_packed_and_packed_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello.oci.tar");
        let packed = example().pack().unwrap();
        std::fs::write(&path, &packed).unwrap();
        let read = Layout::read(&path).unwrap();
        assert_eq!(read, example());
        assert_eq!(read.pack().unwrap(), packed);
        assert_eq!(read.name, "wire/hello:1.0");
    }

    #[test]
    fn the_configuration_names_the_layers_uncompressed_digests() {
        let image = example();
        let [layer] = image.manifest.layers.as_slice() else { panic!("one layer") };
        let mut archive = Vec::new();
        let bytes = image.blob(&layer.digest.0).unwrap();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut archive).unwrap();
        assert_eq!(image.configuration.rootfs.diff_ids, [OciDigest(Digest::of(&archive))]);
    }

    #[test]
    fn what_was_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello.oci.tar");
        let mut packed = example().pack().unwrap();
        let place = packed
            .windows(6)
            .position(|bytes| bytes == b"usr/bi")
            .or_else(|| packed.windows(12).position(|bytes| bytes == b"\"amd64\",\"os\""));
        packed[place.unwrap() + 1] ^= 1;
        std::fs::write(&path, &packed).unwrap();
        assert!(Layout::read(&path).unwrap_err().message.contains("other content than its name says"));
        std::fs::write(&path, "no archive").unwrap();
        assert!(Layout::read(&path).unwrap_err().message.contains("is not an image"));
    }
}
