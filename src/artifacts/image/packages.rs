//! The files of Debian packages, without what their scripts would do.

use tokio::process::Command;
use wire_deploy_agent::resource::Package;

use super::recipe::Image;
use super::tree::Tree;
use crate::artifacts::ArtifactError;
use crate::artifacts::recipe::matcher;
use crate::artifacts::store::Store;

/// Where Debian's ca-certificates has its certificates, and the file that its script makes of them and TLS libraries read.
const AUTHORITIES: &str = "usr/share/ca-certificates";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// The tree of all that packages in the store hold, but for what the recipe leaves out.
///
/// # Errors
/// When a package cannot be unpacked, or a pattern fits nothing.
pub async fn unpack(image: &Image, packages: &[Package], recipe: &str, store: &Store) -> Result<Tree, ArtifactError> {
    let mut tree = Tree::default();
    for package in packages {
        let archive = archive(package, store).await?;
        tree.add_archive(archive.as_slice()).map_err(|error| {
            ArtifactError::new(
                format!("package {} {} cannot be unpacked: {error}", package.name, package.version),
                "run the command again; if it happens again, name another package in the recipe",
            )
        })?;
    }
    for pattern in &image.leave_out {
        let matcher = matcher(pattern)
            .map_err(|reason| ArtifactError::new(reason, "write a path or a pattern such as usr/share/doc"))?;
        let mut fits = false;
        tree.leave_out(|path| {
            let is = matcher.is_match(path);
            fits |= is;
            is
        });
        if !fits {
            return Err(ArtifactError::new(
                format!("recipe {recipe}: leave_out: {pattern:?} fits nothing in the image"),
                "see what the packages hold, and correct the pattern",
            ));
        }
    }
    let bundle: Vec<u8> = tree.files_below(AUTHORITIES).flat_map(|(_, content)| [content, b"\n"].concat()).collect();
    if !bundle.is_empty() {
        tree.add_file(BUNDLE, 0o644, bundle);
    }
    tree.add_folder("tmp", 0o1777);
    Ok(tree)
}

/// A package's files as a tar archive, by this machine's dpkg, which knows every compression that packages have.
async fn archive(package: &Package, store: &Store) -> Result<Vec<u8>, ArtifactError> {
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(store.path(&package.blob)).kill_on_drop(true);
    let failed = |reason: String| {
        ArtifactError::new(
            format!("dpkg-deb cannot unpack {} {}: {reason}", package.name, package.version),
            "run wire-deploy on a Debian or Ubuntu machine; look at the permissions of the store",
        )
    };
    let output = command.output().await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
