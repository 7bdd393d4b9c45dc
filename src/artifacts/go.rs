//! Go programs: static binaries that depend on their sources and on go's version, and on nothing else of this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::ArtifactError;
use super::command::{Failed, Progress, run};
use super::made::{Files, Note};
use super::recipe::{Go, Recipe};
use super::store::{Store, failed, make_folder};

/// What decides over the bytes beyond sources and go's version. Where modules come from, and where caches are, stays as go
/// is configured on this machine.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("CGO_ENABLED", "0"),
    ("GOOS", "linux"),
    ("GOARCH", "amd64"),
    ("GOAMD64", "v1"),
    ("GOEXPERIMENT", ""),
    ("GOFIPS140", "off"),
    ("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false"),
    ("GOTOOLCHAIN", "local"),
    ("GOWORK", "off"),
];
/// How far Go's compiler lets its memory grow between two collections, in hundredths: it runs for seconds and has enough to do. The bytes are
/// the same.
const COLLECTION: &str = "400";
/// The linker's flags: no symbols, no debugging information, nothing that differs from build to build.
const LDFLAGS: &str = "-s -w -buildid=";

/// The programs of a recipe: built, unless this machine has built them before with the same go.
///
/// # Errors
/// When go is missing, too old or fails, or the store cannot be written.
pub async fn build(recipe: &Recipe, go: &Go, store: &Store, progress: &Progress) -> Result<Files, ArtifactError> {
    let toolchain = toolchain(recipe).await?;
    let inputs = format!("{} {} {ENVIRONMENT:?} {LDFLAGS}", recipe.digest, toolchain.version);
    let note = Note::on(&inputs, store)?;
    let wait = || progress.line("waiting for another wire-deploy that builds it");
    let _exclusive = store.exclusive(&format!("go-{}", recipe.name), wait).await?;
    if let Some(files) = note.made_before()? {
        return Ok(files);
    }
    let folder = tempfile::tempdir().map_err(|error| failed("write to", &std::env::temp_dir(), &error))?;
    let module = folder.path().join("module");
    for (path, text) in &recipe.sources {
        let path = module.join(path);
        path.parent().map_or(Ok(()), make_folder)?;
        fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    }
    let mut files = Files::new();
    for (name, package) in &go.builds {
        let binary = folder.path().join("binaries").join(name);
        progress.line(format!("go build {package}"));
        build_one(&toolchain, &module, &binary, package, go, recipe, progress).await?;
        files.insert(name.clone(), store.put_file(&binary)?);
    }
    note.write(&files)?;
    Ok(files)
}

async fn build_one(
    toolchain: &Toolchain,
    module: &Path,
    binary: &Path,
    package: &str,
    go: &Go,
    recipe: &Recipe,
    progress: &Progress,
) -> Result<(), ArtifactError> {
    let ldflags: Vec<&str> = std::iter::once(LDFLAGS).chain(go.ldflags.iter().map(String::as_str)).collect();
    // A build takes all processors for a minute; whatever else the operator does there comes first.
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(&toolchain.program);
    command.args(["build", "-ldflags", &ldflags.join(" "), "-o"]).arg(binary).arg(package);
    command.current_dir(module).envs(ENVIRONMENT.iter().copied()).env("GOGC", COLLECTION);
    run(command, progress, true).await.map(drop).map_err(|failure| match failure {
        Failed::Start(error) => cannot_run(Path::new("nice"), recipe, &error),
        Failed::Ended(log) => {
            let message = format!(
                "go cannot build {package} of recipe {}: {}",
                recipe.name,
                log.last().map_or("it said nothing", String::as_str)
            );
            ArtifactError { message, hint: hint(&log).to_owned(), log }
        }
    })
}

/// The modules that are in a binary which go built of a recipe, as it says itself: names and versions.
///
/// # Errors
/// When go is missing or cannot read the binary.
pub async fn modules(recipe: &Recipe, binary: &Path) -> Result<Vec<(String, String)>, ArtifactError> {
    let toolchain = toolchain(recipe).await?;
    let mut command = Command::new(&toolchain.program);
    command.args(["version", "-m"]).arg(binary).current_dir("/").envs(ENVIRONMENT.iter().copied()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| cannot_run(&toolchain.program, recipe, &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ArtifactError::new(
            format!("go does not say what is in a program of recipe {}: {said}", recipe.name),
            "look at the permissions of the store",
        ));
    }
    Ok(parse_modules(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines as `dep name version checksum`, and as `=> name version checksum` where the line before was replaced.
fn parse_modules(text: &str) -> Vec<(String, String)> {
    let mut modules = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let ["dep" | "=>", name, version, ..] = fields[..] {
            if fields[0] == "=>" {
                modules.pop();
            }
            modules.push((name.to_owned(), version.to_owned()));
        }
    }
    modules
}

/// A go of this machine.
struct Toolchain {
    program: PathBuf,
    /// As `go1.26.8`.
    version: String,
}

/// The first go in PATH that is new enough: an old one of the system's may stand before a newer one.
async fn toolchain(recipe: &Recipe) -> Result<Toolchain, ArtifactError> {
    let wanted = recipe.sources.get("go.mod").and_then(|text| text.lines().find_map(|line| line.strip_prefix("go ")));
    let wanted = wanted.unwrap_or_default().trim();
    let mut too_old = None;
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        let program = folder.join("go");
        if !program.is_file() {
            continue;
        }
        let mut command = Command::new(&program);
        command.args(["env", "GOVERSION"]).current_dir("/").envs(ENVIRONMENT.iter().copied()).kill_on_drop(true);
        let output = command.output().await.map_err(|error| cannot_run(&program, recipe, &error))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if numbers(version.trim_start_matches("go")) >= numbers(wanted) {
            return Ok(Toolchain { program, version });
        }
        too_old.get_or_insert(version);
    }
    Err(match too_old {
        Some(found) => ArtifactError::new(
            format!("recipe {} needs Go {wanted} or later; the go in PATH is {found}", recipe.name),
            format!("install Go {wanted} or later and put it in PATH"),
        ),
        None => cannot_run(Path::new("go"), recipe, &io::ErrorKind::NotFound.into()),
    })
}

/// A version's numbers, so that 1.9 comes before 1.26.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map_while(|part| part.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok())
        .collect()
}

fn cannot_run(program: &Path, recipe: &Recipe, error: &io::Error) -> ArtifactError {
    let name = program.display();
    if error.kind() == io::ErrorKind::NotFound {
        ArtifactError::new(
            format!("`{name}` is needed to build recipe {}, and is not in PATH", recipe.name),
            format!("install {name} and put it in PATH"),
        )
    } else {
        ArtifactError::new(
            format!("{name} cannot be run: {error}"),
            "look at its permissions and at the machine's memory",
        )
    }
}

fn hint(log: &[String]) -> &'static str {
    let says = |words: &[&str]| log.iter().any(|line| words.iter().any(|word| line.contains(word)));
    if says(&["no space left on device"]) {
        "free some space where `go env GOCACHE GOMODCACHE` and TMPDIR are"
    } else if says(&["dial tcp", "no such host", "connection refused", "i/o timeout", "TLS handshake"]) {
        "modules cannot be fetched: `go env GOPROXY` says from where; see that it can be reached from this machine"
    } else if says(&["checksum mismatch", "SECURITY ERROR"]) {
        "what was fetched is not what the recipe's go.sum says: do not trust the source that `go env GOPROXY` names"
    } else {
        "see go's lines; where modules come from is as `go env` says on this machine"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::artifacts::recipe::Kind;
    use crate::lock::LockedFile;

    const MAIN: &str =
        "package main\n\nimport \"fmt\"\n\nvar word = \"nothing\"\n\nfunc main() { fmt.Println(word) }\n";

    fn recipe(main: &str, go: &str) -> Recipe {
        let yaml = "go:\n  version: '1'\n  builds: {greet: .}\n  ldflags: [-X main.word=hello]\n";
        let module = format!("module greet\n\ngo {go}\n");
        Recipe::from_files("greet", &[("recipe.yaml", yaml), ("go.mod", &module), ("go.sum", ""), ("main.go", main)])
            .unwrap()
    }

    async fn build_in(folder: &Path, recipe: &Recipe) -> Result<(Store, LockedFile), ArtifactError> {
        let store = Store::at(folder);
        let Kind::Go(go) = &recipe.kind else { panic!("a go recipe") };
        let files = build(
            recipe,
            go,
            &store,
            &Progress::new("greet", &(std::sync::Arc::new(|_| ()) as crate::artifacts::command::Tell)),
        )
        .await?;
        Ok((store, files["greet"].clone()))
    }

    #[tokio::test]
    async fn the_same_sources_give_the_same_static_binary() {
        use std::os::unix::fs::PermissionsExt as _;
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let recipe = recipe(MAIN, "1.21");
        let (store, first) = build_in(one.path(), &recipe).await.unwrap();
        let (_, second) = build_in(two.path(), &recipe).await.unwrap();
        assert_eq!(first, second);
        let binary = store.path(&first.blob);
        let bytes = fs::read(&binary).unwrap();
        assert!(!bytes.windows(9).any(|part| part == b"/ld-linux"), "it has an interpreter");
        assert_eq!(modules(&recipe, &binary).await.unwrap(), [], "it depends on no module");
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o700)).unwrap();
        let output = std::process::Command::new(&binary).output().unwrap();
        assert_eq!(output.stdout, b"hello\n");
        // A second build in the same store is none: what was noted is what is given, as long as the blob is there.
        assert!(fs::read_dir(one.path().join("made")).unwrap().count() == 1);
        fs::remove_file(&binary).unwrap();
        assert_eq!(build_in(one.path(), &recipe).await.unwrap().1, first);
    }

    #[tokio::test]
    async fn what_does_not_compile_is_told_with_gos_lines() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            build_in(folder.path(), &recipe("package main\n\nfunc main() { nonsense() }\n", "1.21")).await.unwrap_err();
        assert!(error.message.contains("undefined: nonsense"), "{error:?}");
        assert!(!error.log.is_empty());
    }

    #[tokio::test]
    async fn a_go_that_is_too_old_is_told_with_the_version_that_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let error = build_in(folder.path(), &recipe(MAIN, "1.999.0")).await.unwrap_err();
        assert!(error.message.contains("needs Go 1.999.0 or later; the go in PATH is go1."), "{error:?}");
    }

    #[test]
    fn modules_are_those_that_were_linked_not_those_that_they_replaced() {
        let text = "/a/kube: go1.26.8\n\tpath\tkube\n\tmod\tkube\t(devel)\t\n\tdep\ta.example/b\tv1.2.0\th1:x=\n\
                    \tdep\tk8s.io/api\tv0.0.0\n\t=>\tk8s.io/api\tv0.36.3\th1:y=\n\tbuild\tCGO_ENABLED=0\n";
        let module = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(parse_modules(text), [module("a.example/b", "v1.2.0"), module("k8s.io/api", "v0.36.3")]);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("1.9.2") < numbers("1.26"));
        assert!(numbers("1.26rc1") >= numbers("1.26"));
        assert!(numbers("1.26.8-custom") > numbers("1.26.0"));
    }
}
