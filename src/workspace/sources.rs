//! Reading what a site is made of: the site file, its inventory, the operator's templates.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{folder_of, resolve};
use crate::services::DynService;
use crate::site::keys;
use crate::site::load::{self, Sources};
use crate::site::model::{Connection, Site};
use crate::site::problem::Problem;
use crate::templates::Override;

/// A site that was read, with its paths made usable from the current folder.
#[derive(Debug)]
pub struct Workspace {
    /// The site. Its paths (keys, known hosts, secrets, templates) are no longer relative to the site file.
    pub site: Site,
    /// The site file.
    pub file: PathBuf,
    /// The folder it is in: secrets, lock and runs are there.
    pub folder: PathBuf,
    /// The operator's templates by their path below the folder that the site names.
    pub templates: BTreeMap<String, Override>,
    sources: Sources,
}

impl Workspace {
    /// Reads a site.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path, services: &[&dyn DynService]) -> Result<Self, Vec<Problem>> {
        let folder = folder_of(path);
        let shown = path.display().to_string();
        let text = read_text(path).map_err(|reason| {
            let hint = "name the site file by `-c FILE`, or make one by `wire-deploy init`".to_owned();
            vec![Problem::of_file(&shown, format!("the site file cannot be read: {reason}"), Some(hint))]
        })?;
        let inventory = load::inventory_of(&text).map(|written| {
            let path = resolve(folder, &written);
            (path.display().to_string(), read_text(&path))
        });
        let sources = Sources { path: shown, text, inventory };
        let mut site = load::load(&sources, services)?;
        resolve_paths(&mut site, folder);
        let templates = match &site.templates {
            None => BTreeMap::new(),
            Some(templates) => templates_in(
                Path::new(templates),
                "`templates` in the site file names a folder of text files, relative to the site file",
            )?,
        };
        Ok(Self { site, file: path.to_owned(), folder: folder.to_owned(), templates, sources })
    }

    /// The private keys that are named, as the site's hosts have them, each with a problem at its place that says nothing yet.
    #[must_use]
    pub fn keys(&self) -> Vec<(String, Problem)> {
        let usable = |(written, place): (String, Problem)| (usable(&self.folder, &written), place);
        keys::written(&self.sources).into_iter().map(usable).collect()
    }

    /// The same with the templates of another folder than the site names.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn with_templates(self, folder: &Path) -> Result<Self, Vec<Problem>> {
        let templates = templates_in(folder, "`--templates` names a folder of text files")?;
        Ok(Self { templates, ..self })
    }
}

fn templates_in(folder: &Path, hint: &str) -> Result<BTreeMap<String, Override>, Vec<Problem>> {
    read_templates(folder).map_err(|(path, reason)| {
        let message = format!("a template cannot be read: {reason}");
        vec![Problem::of_file(&path.display().to_string(), message, Some(hint.to_owned()))]
    })
}

fn resolve_paths(site: &mut Site, folder: &Path) {
    let usable = |written: &mut String| *written = usable(folder, written);
    usable(&mut site.secrets.file);
    usable(&mut site.secrets.identity);
    site.templates.iter_mut().for_each(usable);
    site.kubernetes.existing.iter_mut().for_each(|existing| usable(&mut existing.kubeconfig));
    for host in &mut site.hosts {
        if let Connection::Ssh(ssh) = &mut host.connection {
            ssh.key.iter_mut().for_each(usable);
            usable(&mut ssh.known_hosts);
        }
    }
}

/// A path that works from the current folder.
fn usable(folder: &Path, written: &str) -> String {
    resolve(folder, written).display().to_string()
}

/// A file's text, or in a few words why there is none.
fn read_text(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| reason_of(&error))?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn reason_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Every file below a folder, by its path there.
fn read_templates(folder: &Path) -> Result<BTreeMap<String, Override>, (PathBuf, String)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        let failed = |error: &io::Error| (next.clone(), reason_of(error));
        for entry in fs::read_dir(&next).map_err(|error| failed(&error))? {
            let path = entry.map_err(|error| failed(&error))?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str).map(str::to_owned);
            let name = name.ok_or_else(|| (path.clone(), "its name is not UTF-8".to_owned()))?;
            let file = path.display().to_string();
            let text = read_text(&path).map_err(|reason| (path, reason))?;
            found.insert(name, Override { file, text });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::services::ALL;

    const SITE: &str = "format: 1\nsite: test\ndomain: example.com\nprofile: ci\ninventory: hosts.yaml\n";

    fn problems(folder: &Path) -> String {
        let problems = Workspace::read(&folder.join("wire-deploy.yaml"), ALL).unwrap_err();
        crate::site::problem::render_all(&problems).replace(&folder.display().to_string(), "FOLDER")
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("wire-deploy.yaml");
        assert!(
            problems(folder.path())
                .contains("the site file cannot be read: there is no such file\n --> FOLDER/wire-deploy.yaml")
        );
        fs::write(&site, [0xff]).unwrap();
        assert!(problems(folder.path()).contains("it is not UTF-8 text"));
        fs::write(&site, SITE).unwrap();
        let text = problems(folder.path());
        assert!(text.contains("the inventory FOLDER/hosts.yaml cannot be read: there is no such file"), "{text}");
        assert!(text.contains("wire-deploy.yaml:5:12"), "{text}");
        fs::create_dir(folder.path().join("hosts.yaml")).unwrap();
        assert!(problems(folder.path()).contains("it is a folder"));
    }

    #[test]
    fn templates_are_read_by_their_path() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("hosts/redis")).unwrap();
        let path = folder.path().join("hosts/redis/redis.conf");
        fs::write(&path, "port 1").unwrap();
        let found = Override { file: path.display().to_string(), text: "port 1".to_owned() };
        let expected = BTreeMap::from([("hosts/redis/redis.conf".to_owned(), found)]);
        assert_eq!(read_templates(folder.path()).unwrap(), expected);
        assert!(read_templates(&folder.path().join("none")).is_err());
    }
}
