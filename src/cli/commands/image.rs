//! `image`: assembling container images, looking at them, pushing them to a registry.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::meeting::or_interrupted;
use super::{Outcome, list, wait_for};
use crate::artifacts::image::layout::{Layout, OciDigest};
use crate::artifacts::image::push::{self, Registry};
use crate::artifacts::image::reference::Reference;
use crate::artifacts::image::{bill, file_name};
use crate::artifacts::recipe::{Kind, Recipe};
use crate::artifacts::{Store, Wanted, lock_file, prepare};
use crate::cli::Session;
use crate::cli::arguments::{Image, ImagePush};
use crate::cli::error::CommandError;
use crate::cli::exit::ExitCode;
use crate::report::{EventKind, Output};
use crate::transport::web::Web;

pub(super) fn run(session: &Session, arguments: &Image) -> Outcome {
    match arguments {
        Image::Build { images, out } => build(session, images, out.as_deref()),
        Image::Inspect { image } => inspect(session, image),
        Image::Push(arguments) => push(session, arguments),
    }
}

/// The names of all recipes of images.
fn names() -> Result<Vec<String>, CommandError> {
    let mut names = Vec::new();
    for name in Recipe::names() {
        if matches!(Recipe::named(name)?.kind, Kind::Image(_)) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn build(session: &Session, images: &[String], out: Option<&Path>) -> Outcome {
    let known = names()?;
    if let Some(unknown) = images.iter().find(|image| !known.contains(image)) {
        let hint = format!("the images are: {}", known.join(", "));
        return Err(CommandError::usage(format!("there is no image {unknown:?}")).hint(hint));
    }
    let images = if images.is_empty() { known } else { images.to_vec() };
    let path = lock_file::beside(&session.globals.config);
    let lock = lock_file::read(&path)?;
    let mut open = lock.clone();
    for image in &images {
        // The packages stay as they are locked; the image is made anew of them.
        open.recipes.entry(image.clone()).and_modify(|locked| locked.files.clear());
    }
    let store = Store::of_user()?;
    session.reporter.send(EventKind::RunStarted {
        command: "image build".to_owned(),
        site: images.join(", "),
        run: None,
    });
    let wanted: Vec<Wanted> =
        images.iter().map(|image| Wanted { recipe: image.clone(), releases: [].into(), brought: None }).collect();
    let built =
        wait_for(or_interrupted(session, async { Ok(prepare(&wanted, &open, &store, &session.reporter).await?) }))?;
    lock_file::write(&path, &built)?;
    for image in &images {
        let Some(file) = built.file(image, &file_name(image)) else { continue };
        let digest = Layout::read(&store.path(&file.blob))?.digest;
        session.reporter.note(format!("{image} is {}, {} bytes", OciDigest(digest), file.size));
        if let Some(folder) = out {
            let place = folder.join(file_name(image));
            let copied = std::fs::create_dir_all(folder).and_then(|()| std::fs::copy(store.path(&file.blob), &place));
            copied.map_err(|error| CommandError::failed(format!("cannot write {}", place.display())).because(error))?;
            session.reporter.note(format!("{image} is in {}", place.display()));
        }
    }
    Ok(ExitCode::Done)
}

/// The image of a recipe that is locked, or the one in a file.
fn read(session: &Session, image: &str) -> Result<Layout, CommandError> {
    if !names()?.iter().any(|name| name == image) {
        let path = PathBuf::from(image);
        if !path.is_file() {
            let hint = format!("name an image ({}) or a file as `image build` makes it", names()?.join(", "));
            return Err(CommandError::usage(format!("{image:?} is neither an image nor a file")).hint(hint));
        }
        return Ok(Layout::read(&path)?);
    }
    let path = lock_file::beside(&session.globals.config);
    let lock = lock_file::read(&path)?;
    let not_built = || {
        CommandError::usage(format!(
            "image {image} is not built: {} does not name it, or it is not in the store",
            path.display()
        ))
        .hint(format!("run `wire-deploy image build {image}`"))
    };
    let file = lock.file(image, &file_name(image)).ok_or_else(not_built)?;
    let store = Store::of_user()?;
    if !store.has(&file.blob, file.size)? {
        return Err(not_built());
    }
    Ok(Layout::read(&store.path(&file.blob))?)
}

fn inspect(session: &Session, name: &str) -> Outcome {
    let layout = read(session, name)?;
    let components = bill(&layout)?.map(|bill| bill.components).unwrap_or_default();
    let execution = &layout.configuration.config;
    let layers = layout.manifest.layers.iter().zip(&layout.configuration.history);
    let layers: Vec<(String, u64, &str)> =
        layers.map(|(layer, history)| (layer.digest.to_string(), layer.size, history.created_by.as_str())).collect();
    if session.globals.output() == Output::Json {
        let layers: Vec<Value> =
            layers.iter().map(|(digest, size, what)| json!({"digest": digest, "bytes": size, "what": what})).collect();
        let object = json!({
            "name": layout.name,
            "digest": OciDigest(layout.digest.clone()).to_string(),
            "config": execution,
            "layers": layers,
            "components": components,
        });
        session.reporter.print(format!("{object}\n"));
        return Ok(ExitCode::Done);
    }
    let mut text = format!("{}\n", layout.name);
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<12} {value}\n"));
    line("digest", &OciDigest(layout.digest.clone()).to_string());
    line("user", &execution.user);
    line("runs", &[execution.entrypoint.as_slice(), &execution.cmd].concat().join(" "));
    line("ports", &execution.exposed_ports.keys().cloned().collect::<Vec<_>>().join(", "));
    for (label, value) in &execution.labels {
        line("label", &format!("{label}={value}"));
    }
    let kinds = |prefix: &str| components.iter().filter(|component| component.purl.starts_with(prefix)).count();
    line(
        "consists of",
        &format!(
            "{} Debian packages, {} crates, {} Go modules",
            kinds("pkg:deb/"),
            kinds("pkg:cargo/"),
            kinds("pkg:golang/")
        ),
    );
    session.reporter.print(text + "\n");
    let rows = layers.into_iter().map(|(digest, size, what)| vec![digest.into(), size.into(), what.into()]);
    list(session, &["layer", "bytes", "what"], rows.collect());
    Ok(ExitCode::Done)
}

fn push(session: &Session, arguments: &ImagePush) -> Outcome {
    let layout = read(session, &arguments.image)?;
    let tag = layout.name.rsplit(':').next().unwrap_or("latest");
    let reference = Reference::parse(&arguments.to, tag).map_err(CommandError::usage)?;
    let web = Web::new(arguments.ca.as_deref()).map_err(|error| CommandError::usage(error.message).hint(error.hint))?;
    let credentials = match arguments.credentials.clone().or_else(docker_config) {
        Some(file) => push::credentials(&file, &reference.registry)?,
        None => None,
    };
    session.reporter.conceal(credentials.iter().cloned().collect());
    let mut registry = Registry::new(&web, &reference, arguments.plain_http, credentials)?;
    let what = format!("push to {reference}");
    let pushed = wait_for(or_interrupted(session, async {
        let tell = |line: String| session.reporter.send(EventKind::PreparingLog { what: what.clone(), line });
        Ok(registry.push(&layout, tell).await?)
    }))?;
    session.reporter.note(format!("{} sent, {} were there", pushed.sent, pushed.there));
    session.reporter.print(format!("{}\n", push::by_digest(&reference, &layout)));
    Ok(ExitCode::Done)
}

/// Docker's own configuration, if there is one.
fn docker_config() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker")));
    folder.map(|folder| folder.join("config.json")).filter(|file| file.is_file())
}
