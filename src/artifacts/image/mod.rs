//! Container images, assembled here without a container runtime: the same recipe and inputs give the same digest. Of a program of this workspace that
//! holds for this one's optimised build, which has it compiled with optimisation in a folder of its own.
//!
//! An image has a layer of Debian packages' files, one of a program of this workspace or of another recipe's programs, and one
//! of links, files beside the recipe and reference pages with the bill of materials; but for the last it may lack each. Nothing of it is run to make it, but for glibc's loader, which is asked whether every
//! program finds its libraries.

pub mod layout;
pub mod push;
pub mod recipe;
pub mod reference;
pub mod sbom;

mod libraries;
mod packages;
mod program;
mod taken;
mod tree;

use std::collections::BTreeMap;
use std::io::Read as _;

use self::layout::{Execution, Layout};
use self::recipe::Image;
use self::sbom::{Component, Sbom};
use self::tree::Tree;
use super::ArtifactError;
use super::command::Progress;
use super::made::Files;
use super::recipe::Recipe;
use super::store::Store;
use super::{deb, store};
use crate::lock::Closure;
use wire_deploy_agent::digest::Digest;

/// What goes before every image's name, where it is imported.
const NAMESPACE: &str = "wire-deploy.internal";

/// What an image was made of, and what it is.
pub struct Assembled {
    /// Its version.
    pub version: String,
    /// The packages that went in, of that release.
    pub closures: BTreeMap<String, Closure>,
    /// The image's digest.
    pub digest: Digest,
    /// The image.
    pub files: Files,
}

/// Name of the file that an image is.
#[must_use]
pub fn file_name(recipe: &str) -> String {
    format!("{recipe}.oci.tar")
}

/// Assembles an image, of the packages that are locked if there are any.
///
/// # Errors
/// When packages cannot be had or do not fit together, the program cannot be built, or the store cannot be written.
pub async fn assemble(
    recipe: &Recipe,
    image: &Image,
    locked: &BTreeMap<String, Closure>,
    store: &Store,
    progress: &Progress,
) -> Result<Assembled, ArtifactError> {
    let (mut layers, mut components, mut version) = (Vec::new(), Vec::new(), String::new());
    let mut packages = Tree::default();
    let mut closures = BTreeMap::new();
    if let Some(release) = &image.release {
        let closure = closure(recipe, image, release, locked.get(release), store, progress).await?;
        packages = packages::unpack(image, &closure.packages, &recipe.name, store).await?;
        components.extend(closure.packages.iter().map(Component::of_package));
        version = deb::version(&closure);
        closures.insert(release.clone(), closure);
    }
    let mut program = Tree::default();
    if let Some(name) = &image.program {
        let built = program::build(name, progress).await?;
        program.add_file(&format!("usr/bin/{name}"), 0o755, built.content);
        components.extend(built.components);
        version = built.version;
    }
    if image.release.is_some() {
        progress.line("looking for every program's libraries");
        let mut both = packages.clone();
        both.take_all(&program);
        libraries::check(&both, &recipe.name).await?;
    }
    let mut what = image.program.as_ref().map(|name| format!("program {name}"));
    if let Some(take) = &image.take {
        let taken = taken::take(take, &recipe.name, store, progress).await?;
        components.extend(taken.components);
        (program, version) = (taken.tree, taken.version);
        what =
            Some(format!("of recipe {}: {}", take.recipe, take.files.keys().cloned().collect::<Vec<_>>().join(", ")));
    }
    let mut files = Tree::default();
    for (path, target) in &image.links {
        files.add_link(path, target);
        packages.leave_out(|there| there == std::path::Path::new(path));
    }
    for path in image.sources(&recipe.sources) {
        let text = recipe.sources.get(path).map_or("", String::as_str);
        files.add_file(path, if text.starts_with("#!") { 0o755 } else { 0o644 }, text);
        packages.leave_out(|there| there == std::path::Path::new(path));
    }
    let bug = |error: serde_json::Error| {
        ArtifactError::new(format!("an image cannot be described: {error}"), "report this as a bug")
    };
    let bill = serde_json::to_vec_pretty(&Sbom::new(&recipe.name, &version, components)).map_err(bug)?;
    files.add_file(sbom::PATH, 0o644, bill);
    let release = image.release.as_ref().map(|release| format!("packages of {release}: {}", image.packages.join(", ")));
    layers.extend(release.map(|what| (packages, what)));
    layers.extend(what.map(|what| (program, what)));
    let pages = if image.pages.is_some() { "pages, " } else { "" };
    layers.push((files, format!("{pages}configuration, bill of materials")));
    let unfit = |error: std::io::Error| {
        ArtifactError::new(format!("an image cannot be packed: {error}"), "report this as a bug")
    };
    let layers = layers.into_iter().map(|(tree, what)| tree.pack().map(|layer| (layer, what)));
    let layers = layers.collect::<Result<Vec<_>, _>>().map_err(unfit)?;
    let name = format!("{NAMESPACE}/{}", recipe.name);
    let layout = Layout::new(&name, &version, execution(recipe, image, &version), layers).map_err(bug)?;
    let file = store.put(&mut layout.pack().map_err(unfit)?.as_slice())?;
    Ok(Assembled { version, closures, digest: layout.digest, files: Files::from([(file_name(&recipe.name), file)]) })
}

/// An image's packages, fetched: those that are locked, if there are any.
async fn closure(
    recipe: &Recipe,
    image: &Image,
    release: &str,
    locked: Option<&Closure>,
    store: &Store,
    progress: &Progress,
) -> Result<Closure, ArtifactError> {
    let Some(closure) = locked else { return deb::resolve_alone(&image.packages, release, store, progress).await };
    deb::fetch(&closure.packages, &recipe.name, release, store, progress).await?;
    Ok(closure.clone())
}

/// How an image is run, with labels as the OCI image specification names them.
fn execution(recipe: &Recipe, image: &Image, version: &str) -> Execution {
    let labels = [
        ("org.opencontainers.image.title", recipe.name.as_str()),
        ("org.opencontainers.image.description", &image.description),
        ("org.opencontainers.image.version", version),
    ];
    let base = image.release.iter().map(|release| ("org.opencontainers.image.base.name", release.as_str()));
    Execution {
        user: format!("{0}:{0}", image.user),
        exposed_ports: image.ports.iter().map(|port| (format!("{port}/tcp"), BTreeMap::new())).collect(),
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
        entrypoint: image.entrypoint.clone(),
        cmd: image.command.clone(),
        working_dir: "/".to_owned(),
        labels: labels.into_iter().chain(base).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}

/// The bill of materials in an image of this program's making; it is in the last layer.
///
/// # Errors
/// When the layer cannot be read.
pub fn bill(layout: &Layout) -> Result<Option<Sbom>, ArtifactError> {
    let unreadable = |error: std::io::Error| store::failed("read", std::path::Path::new(&layout.name), &error);
    let Some(layer) = layout.manifest.layers.last().and_then(|layer| layout.blob(&layer.digest.0)) else {
        return Ok(None);
    };
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        if entry.path().map_err(unreadable)?.as_os_str() == sbom::PATH {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(unreadable)?;
            return Ok(serde_json::from_slice(&text).ok());
        }
    }
    Ok(None)
}
