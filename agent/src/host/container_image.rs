//! Images in the host's containerd, in the namespace that kubelet reads, by containerd's own `ctr`.
//!
//! An image counts as taken in once it has the label that keeps kubelet from clearing it away; it is set last, so that an
//! import that was cut short is done again. An archive that has several names is imported once.

use std::cell::OnceCell;
use std::os::unix::net::UnixStream;

use super::blobs::Blobs;
use super::problem::{Doing as _, Problem};
use super::process::{Ended, Program};
use super::root::Root;
use crate::digest::Digest;
use crate::resource::ContainerImage;
use crate::state::State;

/// Where containerd listens.
const SOCKET: &str = "/run/containerd/containerd.sock";
const IMAGES: [&str; 2] = ["--namespace=k8s.io", "images"];
/// By which containerd's CRI plugin knows that an image is not to be cleared away, from version 1.7 on.
const PINNED: &str = "io.cri-containerd.pinned=pinned";
/// Seconds for an import; images of some gigabytes take minutes on slow disks.
const IMPORT_SECONDS: u32 = 600;

/// What containerd has, asked for at most once.
#[derive(Default)]
pub struct Listed(OnceCell<Result<Vec<Image>, Problem>>);

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    name: String,
    digest: Digest,
    pinned: bool,
}

impl Listed {
    /// The images of a containerd that runs. One that does not, or is not there, has none: what it turns out to have when
    /// it runs is found then.
    fn images(&self, root: &Root) -> Result<&[Image], Problem> {
        self.0.get_or_init(|| list(root)).as_ref().map(Vec::as_slice).map_err(Clone::clone)
    }
}

/// The image that containerd has under the reference.
///
/// # Errors
/// When containerd does not answer.
pub fn observe(root: &Root, listed: &Listed, wanted: &ContainerImage) -> Result<State, Problem> {
    Ok(state(listed.images(root)?, wanted))
}

/// Names the image, and imports it first if containerd does not have it under another name.
///
/// # Errors
/// When containerd refuses, its disk is full, or the archive holds another image.
pub fn apply(root: &Root, wanted: &ContainerImage, on_line: &mut dyn FnMut(&str)) -> Result<(), Problem> {
    if !runs(root) {
        return Err(Problem::new(format!("containerd does not run, and {} is to be in it", wanted.reference))
            .hint("see `systemctl status containerd` on the host"));
    }
    let images = list(root)?;
    let source = match source(&images, &wanted.digest) {
        Some(name) => name.to_owned(),
        None => import(root, wanted, &images, on_line)?,
    };
    if source != wanted.reference {
        ctr(&["tag", "--force", &source, &wanted.reference]).run(on_line)?.success()?;
    }
    ctr(&["label", &wanted.reference, PINNED]).run(on_line)?.success()?;
    match state(&list(root)?, wanted) {
        State::ContainerImage { digest: Some(digest) } if digest == wanted.digest => Ok(()),
        _ => Err(Problem::new(format!("containerd does not keep {}", wanted.reference))),
    }
}

/// Removes the image's name, and those that nobody gave it if no other is left; containerd collects what nothing else needs.
///
/// # Errors
/// When containerd refuses.
pub fn remove(root: &Root, wanted: &ContainerImage) -> Result<(), Problem> {
    let names = unneeded(&list(root)?, &wanted.reference);
    if names.is_empty() {
        return Ok(());
    }
    let arguments: Vec<&str> = std::iter::once("remove").chain(names.iter().map(String::as_str)).collect();
    ctr(&arguments).run(&mut |_| {})?.success()
}

/// A command of `ctr images`.
fn ctr(arguments: &[&str]) -> Program {
    Program::new("ctr", IMAGES.iter().chain(arguments))
}

/// Whether containerd listens. Where nobody does, ctr would wait for ten seconds.
fn runs(root: &Root) -> bool {
    UnixStream::connect(root.path(SOCKET)).is_ok()
}

fn list(root: &Root) -> Result<Vec<Image>, Problem> {
    if !runs(root) {
        return Ok(Vec::new());
    }
    let mut images = Vec::new();
    let ended = ctr(&["list"]).run(&mut |line| images.extend(parse(line)))?;
    ended.success().map(|()| images)
}

/// A line as `REF TYPE DIGEST SIZE PLATFORMS LABELS`; the first one, with these headings, is none.
fn parse(line: &str) -> Option<Image> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let digest = fields.get(2)?.strip_prefix("sha256:")?;
    Some(Image {
        name: fields[0].to_owned(),
        digest: Digest::try_from(digest.to_owned()).ok()?,
        // Sizes have blanks in them, so that labels are not at a place of their own.
        pinned: fields.last()?.split(',').any(|label| label == PINNED),
    })
}

fn state(images: &[Image], wanted: &ContainerImage) -> State {
    match images.iter().find(|image| image.name == wanted.reference) {
        None => State::Absent,
        Some(image) => State::ContainerImage { digest: image.pinned.then(|| image.digest.clone()) },
    }
}

/// A name of the image of that digest, if it was taken in.
fn source<'a>(images: &'a [Image], digest: &Digest) -> Option<&'a str> {
    images.iter().find(|image| image.pinned && image.digest == *digest).map(|image| image.name.as_str())
}

/// Imports the image by its digest, and gives the name that it then has. Names that the archive brings along are not kept.
fn import(
    root: &Root,
    wanted: &ContainerImage,
    before: &[Image],
    on_line: &mut dyn FnMut(&str),
) -> Result<String, Problem> {
    drop(Blobs::open(root, &wanted.blob)?);
    let blob = root.path(&Blobs::path(&wanted.blob));
    let blob = blob.to_str().ok_or("the path is not UTF-8").map_err(std::io::Error::other).doing("find the blob")?;
    let repository = repository(&wanted.reference);
    let import = ctr(&["import", "--digests", "--base-name", repository, blob]).timeout(IMPORT_SECONDS);
    imported(import.run(on_line)?, &wanted.reference)?;
    let name = format!("{repository}@sha256:{}", wanted.digest);
    let after = list(root)?;
    for brought in brought_along(before, &after) {
        ctr(&["remove", brought]).run(on_line)?.success()?;
    }
    if after.iter().any(|image| image.name == name && image.digest == wanted.digest) {
        return Ok(name);
    }
    Err(Problem::new(format!("the archive does not hold {} with digest {}", wanted.reference, wanted.digest.short())))
}

/// How an import ended, in words for what operators can mend.
fn imported(ended: Ended, reference: &str) -> Result<(), Problem> {
    let is_full = ended.code != 0 && ended.lines.iter().any(|line| line.contains("no space left on device"));
    let outcome = ended.success();
    if !is_full {
        return outcome;
    }
    outcome.map_err(|problem| {
        Problem::new(format!("{reference} does not fit on the disk that containerd keeps images on"))
            .hint("make room for /var/lib/containerd, and apply again")
            .log(problem.log)
    })
}

/// A reference without its tag.
fn repository(reference: &str) -> &str {
    let tag = reference.rfind(':').filter(|at| !reference[*at..].contains('/'));
    &reference[..tag.unwrap_or(reference.len())]
}

/// Names that are no digests and were not there before.
fn brought_along<'a>(before: &[Image], after: &'a [Image]) -> Vec<&'a str> {
    let new = after.iter().filter(|image| before.iter().all(|known| known.name != image.name));
    new.filter(|image| !is_digest(image)).map(|image| image.name.as_str()).collect()
}

/// Whether a name is one by digest, as imports and CRI give it.
fn is_digest(image: &Image) -> bool {
    image.name.contains("sha256:")
}

/// What is to be removed with a name: if all other names of its image are digests, those too.
fn unneeded(images: &[Image], name: &str) -> Vec<String> {
    let Some(image) = images.iter().find(|image| image.name == name) else { return Vec::new() };
    let others = images.iter().filter(|other| other.digest == image.digest && other.name != name);
    let (digests, given): (Vec<&Image>, Vec<&Image>) = others.partition(|other| is_digest(other));
    let digests = if given.is_empty() { digests } else { Vec::new() };
    std::iter::once(image).chain(digests).map(|image| image.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    const DIGEST: &str = "43fec57b3bfa981195ce87b92d9d65d73e1c83d3997655c773d3801d56e90d33";
    const OTHER: &str = "72bb41375ce01830957dd40d75fb2711bbb9bd37055b3c77bcbcf2facf20a95a";

    /// As containerd 1.6 and 1.7 print it.
    fn images() -> Vec<Image> {
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        let lines = [
            "REF TYPE DIGEST SIZE PLATFORMS LABELS".to_owned(),
            format!("sha256:{OTHER} {manifest} sha256:{DIGEST} 625.5 KiB linux/amd64 io.cri-containerd.image=managed"),
            format!("a.example/pause@sha256:{DIGEST} {manifest} sha256:{DIGEST} 625.5 KiB linux/amd64 -"),
            format!(
                "a.example/pause:1 {manifest} sha256:{DIGEST} 625.5 KiB linux/amd64 io.cri-containerd.image=managed,{PINNED}"
            ),
            format!("a.example/half:1 {manifest} sha256:{OTHER} 38.2 MiB linux/amd64 io.cri-containerd.image=managed"),
        ];
        lines.iter().filter_map(|line| parse(line)).collect()
    }

    fn wanted(reference: &str) -> ContainerImage {
        let digest = Digest::try_from(DIGEST.to_owned()).unwrap();
        ContainerImage { reference: reference.to_owned(), digest, blob: Digest::of(b"archive") }
    }

    #[test]
    fn an_image_is_there_once_it_is_pinned() {
        let digest = |text: &str| Some(Digest::try_from(text.to_owned()).unwrap());
        assert_eq!(images().len(), 4);
        assert_eq!(state(&images(), &wanted("a.example/pause:1")), State::ContainerImage { digest: digest(DIGEST) });
        assert_eq!(state(&images(), &wanted("a.example/half:1")), State::ContainerImage { digest: None });
        assert_eq!(state(&images(), &wanted("a.example/pause:2")), State::Absent);
    }

    #[test]
    fn what_was_taken_in_is_named_again_what_was_cut_short_is_not() {
        let digest = |text: &str| Digest::try_from(text.to_owned()).unwrap();
        assert_eq!(source(&images(), &digest(DIGEST)), Some("a.example/pause:1"));
        assert_eq!(source(&images(), &digest(OTHER)), None);
    }

    #[test]
    fn the_last_given_name_takes_the_digests_along() {
        let mut images = images();
        let digests = [format!("sha256:{OTHER}"), format!("a.example/pause@sha256:{DIGEST}")];
        assert_eq!(unneeded(&images, "a.example/pause:1"), [&["a.example/pause:1".to_owned()], &digests[..]].concat());
        images.push(Image { name: "a.example/other:1".to_owned(), ..images[2].clone() });
        assert_eq!(unneeded(&images, "a.example/pause:1"), ["a.example/pause:1"]);
        assert_eq!(unneeded(&images, "a.example/none:1"), [""; 0]);
    }

    #[test]
    fn names_that_an_archive_brings_along_are_known() {
        assert_eq!(brought_along(&images()[3..], &images()), ["a.example/pause:1"]);
        assert_eq!(brought_along(&images(), &images()), [""; 0]);
    }

    #[test]
    fn a_tag_is_no_port() {
        assert_eq!(repository("a.example/b:1"), "a.example/b");
        assert_eq!(repository("a.example:5000/b"), "a.example:5000/b");
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        let said = "ctr: failed to ingest \"blobs/sha256/d6\": write /var/lib/containerd/data: no space left on device";
        let problem = imported(Ended::of(1, &[said]), "a.example/b:1").unwrap_err();
        assert_eq!(problem.message, "a.example/b:1 does not fit on the disk that containerd keeps images on");
        assert!(problem.hint.unwrap().contains("/var/lib/containerd"));
        assert_eq!(problem.log, [said]);
        assert!(imported(Ended::of(1, &["ctr: no"]), "a.example/b:1").unwrap_err().hint.is_none());
        imported(Ended::of(0, &[]), "a.example/b:1").unwrap();
    }

    #[test]
    fn without_containerd_there_is_no_image() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        assert_eq!(observe(&root, &Listed::default(), &wanted("a.example/pause:1")).unwrap(), State::Absent);
        remove(&root, &wanted("a.example/pause:1")).unwrap();
        let problem = apply(&root, &wanted("a.example/pause:1"), &mut |_| {}).unwrap_err();
        assert_eq!(problem.message, "containerd does not run, and a.example/pause:1 is to be in it");
    }
}
