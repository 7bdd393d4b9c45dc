//! Programs that another recipe builds.

use tokio::io::AsyncReadExt as _;

use super::recipe::Take;
use super::sbom::Component;
use super::tree::Tree;
use crate::artifacts::command::Progress;
use crate::artifacts::recipe::Recipe;
use crate::artifacts::store::{Store, failed};
use crate::artifacts::{ArtifactError, go};

/// What was taken.
pub struct Taken {
    /// The programs at their places.
    pub tree: Tree,
    /// The other recipe's version.
    pub version: String,
    /// The modules that are in them.
    pub components: Vec<Component>,
}

/// Builds the other recipe, unless this machine has, and takes what is wanted of it.
///
/// # Errors
/// When it cannot be built, or the store cannot be read.
pub async fn take(take: &Take, recipe: &str, store: &Store, progress: &Progress) -> Result<Taken, ArtifactError> {
    let taken = Recipe::named(&take.recipe)?;
    let bug = |reason: String| ArtifactError::new(format!("recipe {recipe}: {reason}"), "report this as a bug");
    let go = take.go(&taken).map_err(bug)?;
    let built = go::build(&taken, go, store, progress).await?;
    let mut tree = Tree::default();
    let mut components = Vec::new();
    for (file, path) in &take.files {
        let built = built.get(file).ok_or_else(|| bug(format!("there is no {file}")))?;
        let place = store.path(&built.blob);
        let mut content = Vec::new();
        store.read(&built.blob)?.read_to_end(&mut content).await.map_err(|error| failed("read", &place, &error))?;
        tree.add_file(path, 0o755, content);
        let modules = go::modules(&taken, &place).await?;
        components.extend(modules.iter().map(|(name, version)| Component::of_go_module(name, version)));
    }
    components.sort();
    components.dedup();
    Ok(Taken { tree, version: go.version.clone(), components })
}
