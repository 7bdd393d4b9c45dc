//! Images in the host's containerd, in the namespace that kubelet reads, by containerd's own `ctr`.

use super::blobs::Blobs;
use super::problem::{Doing as _, Problem};
use super::process::Program;
use super::root::Root;
use crate::digest::Digest;
use crate::resource::ContainerImage;
use crate::state::State;

const NAMESPACE: &str = "--namespace=k8s.io";
/// Seconds for an import; images of some gigabytes take minutes on slow disks.
const IMPORT_SECONDS: u32 = 600;

/// The image that containerd has under the reference. A host without containerd has none.
///
/// # Errors
/// When containerd does not answer.
pub fn observe(wanted: &ContainerImage) -> Result<State, Problem> {
    let filter = format!("name=={}", wanted.reference);
    let mut digest = None;
    let ended = Program::new("ctr", [NAMESPACE, "images", "list", &filter]).run(&mut |line| {
        // REF TYPE DIGEST SIZE PLATFORMS LABELS, after a line of headings
        let mut fields = line.split_whitespace();
        if fields.next() == Some(wanted.reference.as_str()) {
            let found = fields.nth(1).and_then(|digest| digest.strip_prefix("sha256:"));
            digest = found.and_then(|found| Digest::try_from(found.to_owned()).ok());
        }
    })?;
    match ended.code {
        127 => Ok(State::Absent),
        _ => ended
            .success()
            .map(|()| digest.map_or(State::Absent, |digest| State::ContainerImage { digest: Some(digest) })),
    }
}

/// Imports the image and names it.
///
/// # Errors
/// When containerd refuses, or the archive holds another image.
pub fn apply(root: &Root, wanted: &ContainerImage, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    drop(Blobs::open(root, &wanted.blob)?);
    let blob = root.path(&Blobs::path(&wanted.blob));
    let blob = blob.to_str().ok_or("the path is not UTF-8").map_err(std::io::Error::other).doing("find the blob")?;
    let import = [NAMESPACE, "images", "import", "--index-name", &wanted.reference, blob];
    Program::new("ctr", import).timeout(IMPORT_SECONDS).run(on_line)?.success()?;
    match observe(wanted)? {
        State::ContainerImage { digest: Some(digest) } if digest == wanted.digest => Ok(()),
        _ => Err(Problem::new(format!(
            "the archive does not hold {} with digest {}",
            wanted.reference,
            wanted.digest.short()
        ))),
    }
}

/// Removes the image's name; containerd collects what nothing else needs.
///
/// # Errors
/// When containerd refuses.
pub fn remove(wanted: &ContainerImage) -> Result<(), Problem> {
    if matches!(observe(wanted)?, State::Absent) {
        return Ok(());
    }
    Program::new("ctr", [NAMESPACE, "images", "remove", &wanted.reference]).run(&mut |_| {})?.success()
}
