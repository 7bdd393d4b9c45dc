//! Distributions put together from what a Maven repository has: one tar.gz whose bytes depend on the recipe alone.
//!
//! The machine's own `mvn` fetches, with its own settings, mirrors and local repository. What it gives is copied into an
//! archive with sorted names, fixed times and modes, and root as the owner.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tokio::process::Command;

use super::command::{Failed, Progress, run};
use super::made::{Files, Note};
use super::recipe::{Coordinates, Maven, Recipe, matcher};
use super::store::{Store, failed, make_folder};
use super::{ArtifactError, ENTRY_TIME};

/// The plugin that resolves, copies and unpacks.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1";
/// What an archive looks like beyond its content: another number makes every archive anew.
const LAYOUT: u32 = 1;

/// The archive of a recipe: put together, unless this machine has done so before.
///
/// # Errors
/// When mvn is missing or fails, what it gives does not fit the recipe, or the store cannot be written.
pub async fn assemble(
    recipe: &Recipe,
    maven: &Maven,
    store: &Store,
    progress: &Progress,
) -> Result<Files, ArtifactError> {
    let wait = || progress.line("waiting for another wire-deploy that makes it");
    let _exclusive = store.exclusive(&format!("maven-{}", recipe.name), wait).await?;
    let note = Note::on(&format!("{} {PLUGIN} {LAYOUT}", recipe.digest), store)?;
    if let Some(files) = note.made_before()? {
        return Ok(files);
    }
    let folder = tempfile::tempdir().map_err(|error| failed("write to", &std::env::temp_dir(), &error))?;
    let tree = folder.path().join("tree");
    make_folder(&tree)?;
    fetch(recipe, maven, folder.path(), progress).await?;
    for (number, unpack) in maven.unpack.iter().enumerate() {
        let from = folder.path().join(unpacked(number));
        merge(&from, &tree.join(&unpack.into), unpack.strip).map_err(|(path, error)| failed("copy", &path, &error))?;
    }
    for (number, dependencies) in maven.dependencies.iter().enumerate() {
        let from = folder.path().join(jars(number));
        if let Some(other) = &dependencies.except_in {
            leave_out_what_is_in(&from, &tree.join(other))?;
        }
        merge(&from, &tree.join(&dependencies.into), 0).map_err(|(path, error)| failed("copy", &path, &error))?;
    }
    for name in &maven.files {
        let path = tree.join(name);
        path.parent().map_or(Ok(()), make_folder)?;
        let text = recipe.sources.get(name).map_or("", String::as_str);
        fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    }
    leave_out(&tree, maven, recipe)?;
    let archive = folder.path().join("archive");
    pack(&tree, &archive).map_err(|error| failed("pack", &tree, &error))?;
    let files = Files::from([(maven.file_name(), store.put_file(&archive)?)]);
    note.write(&files)?;
    Ok(files)
}

/// Folder of what was unpacked, by its number in the recipe.
fn unpacked(number: usize) -> String {
    format!("unpacked-{number}")
}

/// Folder of jars, by their number in the recipe.
fn jars(number: usize) -> String {
    format!("jars-{number}")
}

/// Has mvn fetch all of a recipe into [`unpacked`] and [`jars`], in one run: its start is the better part of the time.
async fn fetch(recipe: &Recipe, maven: &Maven, folder: &Path, progress: &Progress) -> Result<(), ArtifactError> {
    let program = program("mvn", &std::env::var_os("PATH").unwrap_or_default()).ok_or_else(|| {
        ArtifactError::new(
            format!("`mvn` is needed to make recipe {}, and is not in PATH", recipe.name),
            "install Maven (Debian's package is `maven`) and a Java of version 11 or later",
        )
    })?;
    for (path, text) in projects(maven, folder) {
        let path = folder.join(path);
        path.parent().map_or(Ok(()), make_folder)?;
        fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    }
    progress.line("mvn fetches");
    // It takes a processor for a while; whatever else the operator does there comes first.
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(program);
    // Updates are for what was not found once: Maven would not ask for it again for a day.
    command.args(["--quiet", "--batch-mode", "--strict-checksums", "--update-snapshots", "validate"]);
    command.current_dir(folder);
    run(command, progress, true).await.map(drop).map_err(|failure| match failure {
        Failed::Start(error) => ArtifactError::new(
            format!("mvn cannot be run: {error}"),
            "look at its permissions and at the machine's memory",
        ),
        Failed::Ended(log) => {
            let told = log.iter().find(|line| line.starts_with("[ERROR]")).or(log.last());
            let told = told.map_or("it said nothing", |line| line.trim_start_matches("[ERROR]").trim());
            let message = format!("mvn cannot make recipe {}: {told}", recipe.name);
            ArtifactError { message, hint: hint(&log).to_owned(), log }
        }
    })
}

/// The first program of that name in a PATH.
fn program(name: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Maven's projects by file: one for each folder that is to be filled, so that what one needs does not decide over
/// versions in another; and one that names them.
fn projects(maven: &Maven, folder: &Path) -> Vec<(String, String)> {
    let output = |name: &str| format!("<outputDirectory>{}</outputDirectory>", folder.join(name).display());
    let mut projects = Vec::new();
    for (number, unpack) in maven.unpack.iter().enumerate() {
        let name = unpacked(number);
        let item =
            format!("<artifactItems><artifactItem>{}</artifactItem></artifactItems>", elements(&unpack.coordinates));
        projects.push((name.clone(), filling(&name, "unpack", &(item + &output(&name)), "")));
    }
    for (number, dependencies) in maven.dependencies.iter().enumerate() {
        let name = jars(number);
        let wanted = dependencies
            .coordinates
            .iter()
            .map(|coordinates| format!("<dependency>{}</dependency>", elements(coordinates)));
        let wanted = format!("<dependencies>{}</dependencies>", wanted.collect::<String>());
        let configuration = format!("<includeScope>runtime</includeScope>{}", output(&name));
        projects.push((name.clone(), filling(&name, "copy-dependencies", &configuration, &wanted)));
    }
    let modules: String = projects.iter().map(|(name, _)| format!("<module>{name}-project</module>")).collect();
    let all = project("all", &format!("<modules>{modules}</modules>"));
    let files = projects.into_iter().map(|(name, text)| (format!("{name}-project/pom.xml"), text));
    files.chain([("pom.xml".to_owned(), all)]).collect()
}

/// A project that has a goal of the plugin done, with its configuration.
fn filling(name: &str, goal: &str, configuration: &str, dependencies: &str) -> String {
    let mut plugin = PLUGIN.split(':');
    let names: String = ["groupId", "artifactId", "version"].iter().zip(&mut plugin).map(element).collect();
    let build = format!(
        "<build><plugins><plugin>{names}<executions><execution><phase>validate</phase><goals><goal>{goal}</goal></goals>\
         <configuration>{configuration}</configuration></execution></executions></plugin></plugins></build>"
    );
    project(name, &(dependencies.to_owned() + &build))
}

fn project(name: &str, content: &str) -> String {
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>recipe</groupId>\
         <artifactId>{name}</artifactId><version>1</version><packaging>pom</packaging>{content}</project>\n"
    )
}

/// Coordinates as elements. They hold no character that means something in XML; their type sees to that.
fn elements(coordinates: &Coordinates) -> String {
    ["groupId", "artifactId", "version", "type", "classifier"].iter().zip(coordinates.parts()).map(element).collect()
}

fn element((name, value): (&&str, &str)) -> String {
    format!("<{name}>{value}</{name}>")
}

fn hint(log: &[String]) -> &'static str {
    let says = |words: &[&str]| log.iter().any(|line| words.iter().any(|word| line.contains(word)));
    if says(&["JAVA_HOME"]) {
        "install a Java of version 11 or later (Debian's package is `default-jre-headless`); if JAVA_HOME is set, it must be its folder"
    } else if says(&["No space left on device"]) {
        "free some space where Maven's local repository (as a rule ~/.m2) and TMPDIR are"
    } else if says(&["in offline mode"]) {
        "Maven is told to work offline (`-o` in MAVEN_ARGS or `offline` in its settings): allow it to fetch once, and it keeps what it got"
    } else if says(&["Checksum validation failed"]) {
        "what was fetched is not what its checksum says: do not trust the repository or mirror that Maven's settings name"
    } else if says(&["Could not find artifact", "was not found in", "not found in"]) {
        "the repositories and mirrors in Maven's settings (~/.m2/settings.xml) do not have it"
    } else if says(&[
        "Connect to",
        "Connection refused",
        "Unknown host",
        "UnknownHost",
        "transfer artifact",
        "timed out",
    ]) {
        "artifacts cannot be fetched: see that the repository or mirror in Maven's settings (~/.m2/settings.xml) can be reached from this machine"
    } else {
        "see mvn's lines; where artifacts come from is as Maven's settings say on this machine"
    }
}

/// Moves what is in a folder into another one, less leading parts of its paths. What is there already is replaced.
fn merge(from: &Path, into: &Path, strip: u32) -> Result<(), (PathBuf, io::Error)> {
    for (path, kind) in walk(from).map_err(|error| (from.to_owned(), error))? {
        let below: PathBuf = path.components().skip(strip as usize).collect();
        if below.as_os_str().is_empty() {
            continue;
        }
        let (source, target) = (from.join(&path), into.join(below));
        let parent = match kind {
            Entry::Folder => Some(target.as_path()),
            Entry::File => target.parent(),
        };
        let made = parent.map_or(Ok(()), fs::create_dir_all);
        let moved = made.and_then(|()| match kind {
            Entry::Folder => Ok(()),
            Entry::File => fs::rename(&source, &target),
        });
        moved.map_err(|error| (target, error))?;
    }
    Ok(())
}

/// Removes from a folder the files whose names another folder has.
fn leave_out_what_is_in(folder: &Path, other: &Path) -> Result<(), ArtifactError> {
    for (path, _) in walk(folder).map_err(|error| failed("read", folder, &error))? {
        if other.join(&path).is_file() {
            let path = folder.join(path);
            fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
        }
    }
    Ok(())
}

/// Removes what the recipe leaves out. A pattern that fits nothing is told: what it was to keep out may have another name now.
fn leave_out(tree: &Path, maven: &Maven, recipe: &Recipe) -> Result<(), ArtifactError> {
    let entries = walk(tree).map_err(|error| failed("read", tree, &error))?;
    for pattern in &maven.leave_out {
        let matcher = matcher(pattern)
            .map_err(|reason| ArtifactError::new(reason, "write a path or a pattern such as lib/*-windows-*.jar"))?;
        let mut fits = false;
        for (path, kind) in entries.iter().filter(|(path, _)| matcher.is_match(path)) {
            fits = true;
            let path = tree.join(path);
            let removed = match kind {
                Entry::Folder => fs::remove_dir_all(&path),
                Entry::File => fs::remove_file(&path),
            };
            match removed {
                // A folder that was left out took it along.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path, &error)),
                _ => {}
            }
        }
        if !fits {
            return Err(ArtifactError::new(
                format!("recipe {}: leave_out: {pattern:?} fits nothing in the archive", recipe.name),
                "see what the version in the recipe holds, and correct the pattern",
            ));
        }
    }
    Ok(())
}

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File,
}

/// All that is below a folder, by its path there, a folder before what it holds. Nothing if there is no such folder.
fn walk(folder: &Path) -> io::Result<BTreeMap<PathBuf, Entry>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let entries = match fs::read_dir(folder.join(&below)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (below.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                open.push(path.clone());
                found.insert(path, Entry::Folder);
            } else if kind.is_file() {
                found.insert(path, Entry::File);
            } else {
                let path = path.display();
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{path} is neither a file nor a folder"),
                ));
            }
        }
    }
    Ok(found)
}

/// Packs a folder, the same bytes for the same content.
fn pack(tree: &Path, archive: &Path) -> io::Result<()> {
    let gzip = GzBuilder::new().mtime(0).write(io::BufWriter::new(fs::File::create(archive)?), Compression::default());
    let mut builder = tar::Builder::new(gzip);
    for (path, kind) in walk(tree)? {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(ENTRY_TIME);
        header.set_uid(0);
        header.set_gid(0);
        match kind {
            Entry::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                builder.append_data(&mut header, path, io::empty())?;
            }
            Entry::File => {
                let mut file = fs::File::open(tree.join(&path))?;
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(if is_program(&mut file)? { 0o755 } else { 0o644 });
                header.set_size(file.metadata()?.len());
                builder.append_data(&mut header, path, file)?;
            }
        }
    }
    io::Write::flush(&mut builder.into_inner()?.finish()?)
}

/// Whether a file is to be run: by its content, as modes do not survive every repository and unpacker.
fn is_program(file: &mut fs::File) -> io::Result<bool> {
    let mut first = Vec::new();
    io::Read::by_ref(file).take(4).read_to_end(&mut first)?;
    io::Seek::rewind(file)?;
    Ok(first.starts_with(b"#!") || first == b"\x7fELF")
}

/// Whether a path stays below the folder it is joined to.
pub(super) fn stays_below(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests;
