#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::artifacts::command::Tell;
use crate::artifacts::recipe::Kind;

/// A jar that needs another one, and one unpacked; both are small.
const RECIPE: &str = "maven:
  version: 1.7.36
  archive: logging
  unpack:
    - {coordinates: 'org.slf4j:slf4j-api:1.7.36:jar', into: api, strip: 1}
  dependencies:
    - {coordinates: ['org.slf4j:jcl-over-slf4j:1.7.36'], into: lib}
    - {coordinates: ['org.slf4j:jul-to-slf4j:1.7.36'], into: more, except_in: lib}
  files: [bin/start, conf/settings]
  leave_out: [api/slf4j/spi, 'lib/jcl-*.jar']
";

fn recipe(yaml: &str) -> Recipe {
    let files = [("recipe.yaml", yaml), ("bin/start", "#!/bin/sh\n"), ("conf/settings", "a = 1\n")];
    Recipe::from_files("logging", &files).unwrap()
}

async fn assemble_in(folder: &Path, recipe: &Recipe) -> Result<(Store, crate::lock::LockedFile), ArtifactError> {
    let store = Store::at(folder);
    let Kind::Maven(maven) = &recipe.kind else { panic!("a maven recipe") };
    let progress = Progress::new("logging", &(std::sync::Arc::new(|_| ()) as Tell));
    let files = assemble(recipe, maven, &store, &progress).await?;
    Ok((store, files["logging.tar.gz"].clone()))
}

/// Mode by path of what an archive holds, and whether every entry is root's and of the fixed time.
fn entries(archive: &Path) -> BTreeMap<String, u32> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(archive).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, ENTRY_TIME));
        (entry.path().unwrap().to_str().unwrap().to_owned(), header.mode().unwrap())
    });
    entries.collect()
}

#[tokio::test]
async fn the_same_recipe_gives_the_same_archive() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let recipe = recipe(RECIPE);
    let (store, first) = assemble_in(one.path(), &recipe).await.unwrap();
    let (_, second) = assemble_in(two.path(), &recipe).await.unwrap();
    assert_eq!(first, second);

    let entries = entries(&store.path(&first.blob));
    assert_eq!(entries["bin/start"], 0o755);
    assert_eq!(entries["conf/settings"], 0o644);
    assert_eq!(entries["lib"], 0o755);
    // What was unpacked lost the first part of its paths: META-INF/MANIFEST.MF, org/slf4j/Logger.class.
    assert!(entries.contains_key("api/MANIFEST.MF") && entries.contains_key("api/slf4j/Logger.class"), "{entries:?}");
    // A jar comes with what it needs, unless the recipe says where that is already.
    assert!(entries.contains_key("lib/slf4j-api-1.7.36.jar"), "{entries:?}");
    assert!(entries.contains_key("more/jul-to-slf4j-1.7.36.jar"), "{entries:?}");
    assert!(!entries.contains_key("more/slf4j-api-1.7.36.jar"), "{entries:?}");
    // What is left out.
    assert!(
        !entries.keys().any(|path| path.starts_with("api/slf4j/spi") || path.starts_with("lib/jcl")),
        "{entries:?}"
    );
}

#[tokio::test]
async fn what_no_repository_has_is_told_with_mvns_lines() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = RECIPE.replace("slf4j-api:1.7.36", "slf4j-api:0.0.0");
    let error = assemble_in(folder.path(), &recipe(&yaml)).await.unwrap_err();
    assert!(error.message.contains("org.slf4j:slf4j-api:jar:0.0.0"), "{error:?}");
    assert!(error.hint.contains("Maven's settings"), "{error:?}");
    assert!(!error.log.is_empty());
}

#[test]
fn the_reason_of_a_failure_decides_over_the_hint() {
    let hint_of = |line: &str| hint(&[line.to_owned()]);
    assert!(hint_of("The JAVA_HOME environment variable is not defined correctly,").contains("install a Java"));
    assert!(hint_of("Cannot access central in offline mode and the artifact").contains("offline"));
    assert!(hint_of("Could not find artifact a:b:jar:1 in central").contains("do not have it"));
    assert!(hint_of("Could not transfer artifact a:b:pom:1 from/to mirror: Connect to").contains("can be reached"));
    assert!(hint_of("Checksum validation failed, expected").contains("do not trust"));
}

#[test]
fn a_program_is_found_in_a_path_or_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mvn"), "").unwrap();
    let path = std::env::join_paths([Path::new("/nonexistent"), folder.path()]).unwrap();
    assert_eq!(program("mvn", &path), Some(folder.path().join("mvn")));
    assert_eq!(program("mvn", std::ffi::OsStr::new("/nonexistent")), None);
}

#[test]
fn what_is_packed_does_not_depend_on_order_times_or_modes() {
    let folder = tempfile::tempdir().unwrap();
    let packed = |names: &[&str], mode: u32| {
        let tree = folder.path().join(format!("{mode:o}"));
        for name in names {
            let path = tree.join(name);
            make_folder(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let archive = folder.path().join("archive");
        pack(&tree, &archive).unwrap();
        fs::read(archive).unwrap()
    };
    assert_eq!(packed(&["b/c", "a", "b/a"], 0o600), packed(&["b/a", "b/c", "a"], 0o755));
}

#[test]
fn a_pattern_that_fits_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(RECIPE);
    let Kind::Maven(maven) = &recipe.kind else { panic!("a maven recipe") };
    let error = leave_out(folder.path(), maven, &recipe).unwrap_err();
    assert!(error.message.contains("\"api/slf4j/spi\" fits nothing"), "{error:?}");
}

#[test]
fn a_link_is_refused_aloud() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    assert!(walk(folder.path()).unwrap_err().to_string().contains("link is neither a file nor a folder"));
}
