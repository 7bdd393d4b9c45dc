//! Writing a new site: files that are there already are left as they are.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::files::{self, Existing, resolve};
use super::secrets_file::{SecretsFile, make_identity};
use crate::services::DynService;
use crate::site::init::{IDENTITY_FILE, InitError, InitOptions, SECRETS_FILE, SITE_FILE, files as new_files};

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// It was made; else it was there and was left.
    pub made: bool,
}

/// Makes a site in a folder: site file, inventory, and secrets with the identity that opens them.
///
/// Where there is a site file already, nothing at all is changed: it says itself where the rest is.
///
/// # Errors
/// All answers that will not do, or why a file cannot be written.
pub fn init(
    folder: &Path,
    options: &InitOptions,
    services: &[&dyn DynService],
) -> Result<Vec<Written>, Vec<InitError>> {
    let site = folder.join(SITE_FILE);
    if site.exists() {
        return Ok(vec![Written { path: site, made: false }]);
    }
    let new = new_files(options, services)?;
    let failed = |path: &Path, error: &io::Error| {
        let reason = format!("{} cannot be written: {error}", path.display());
        vec![InitError { reason, hint: "choose a folder that you may write to".to_owned() }]
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut written = Vec::new();
    // Secrets come first and the site file last: an init that was interrupted goes on when it is called again.
    let identity = options.identity.as_deref().map_or_else(|| folder.join(IDENTITY_FILE), |path| resolve(folder, path));
    let secrets = folder.join(SECRETS_FILE);
    let refused =
        |error: super::secrets_file::SecretsError| vec![InitError { reason: error.to_string(), hint: error.hint }];
    if options.identity.is_none() {
        written.push(Written { made: make_identity(&identity).map_err(refused)?, path: identity.clone() });
    }
    let made = !secrets.exists();
    if made {
        SecretsFile::create(&secrets, &identity).map_err(refused)?;
    } else {
        SecretsFile::open(&secrets, &identity).map_err(refused)?;
    }
    written.push(Written { path: secrets, made });
    for file in new.iter().rev() {
        let path = folder.join(&file.path);
        let made = match files::write(&path, file.text.as_bytes(), 0o644, Existing::Keep) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed(&path, &error)),
        };
        written.push(Written { path, made });
    }
    written.reverse();
    Ok(written)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::BTreeMap;

    use super::super::sources::Workspace;
    use super::*;
    use crate::site::tests::known_services;

    fn options() -> InitOptions {
        InitOptions {
            name: "my-site".to_owned(),
            domain: "example.com".to_owned(),
            profile: "ci".to_owned(),
            hosts: vec!["10.0.0.1[1:3]".to_owned()],
            groups: Vec::new(),
            ssh_user: None,
            ssh_key: None,
            identity: None,
        }
    }

    fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    #[test]
    fn a_second_init_changes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new/site");
        let written = init(&folder, &options(), &known_services()).unwrap();
        let names: Vec<&str> = written.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["wire-deploy.yaml", "hosts.yaml", ".gitignore", "secrets.age", "secrets.identity"]);
        assert!(written.iter().all(|file| file.made));
        let workspace = Workspace::read(&folder.join(SITE_FILE), &known_services()).unwrap();
        let location = &workspace.site.secrets;
        SecretsFile::open(Path::new(&location.file), Path::new(&location.identity)).unwrap();

        let before = content(&folder);
        let again = init(&folder, &InitOptions { name: "other".to_owned(), ..options() }, &known_services()).unwrap();
        assert_eq!(again, [Written { path: folder.join(SITE_FILE), made: false }]);
        assert_eq!(content(&folder), before);

        // As after an interruption just before the site file.
        fs::remove_file(folder.join(SITE_FILE)).unwrap();
        let again = init(&folder, &options(), &known_services()).unwrap();
        assert_eq!(again.iter().filter(|file| file.made).count(), 1);
        assert_eq!(content(&folder), before);
    }

    #[test]
    fn answers_that_will_not_do_write_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = InitOptions { domain: "localhost".to_owned(), ..options() };
        assert!(init(folder.path(), &wrong, &known_services()).is_err());
        let wrong = InitOptions { identity: Some("none".to_owned()), ..options() };
        assert!(init(folder.path(), &wrong, &known_services()).unwrap_err()[0].reason.contains("no such identity"));
        assert!(content(folder.path()).is_empty());
    }
}
