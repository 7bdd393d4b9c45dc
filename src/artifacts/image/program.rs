//! A program of this workspace, built by cargo.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::sbom::Component;
use crate::artifacts::ArtifactError;
use crate::artifacts::command::{Failed, Progress, run};
use crate::artifacts::store::failed;

/// As this program itself was built, so that what tests and the sandbox need is compiled once, together with everything else; that bears its
/// date and place. What operators use is optimised, and the same wherever it is built.
const OPTIMISED: bool = !cfg!(debug_assertions);

/// With what the vendored OpenSSL says neither when nor where it was compiled: it loads no engines and no modules from there.
const ANYWHERE: [(&str, &str); 2] =
    [("SOURCE_DATE_EPOCH", "0"), ("CFLAGS", r#"-DENGINESDIR=\"/nowhere\" -DMODULESDIR=\"/nowhere\""#)];

/// A program that was built.
pub struct Program {
    /// The file.
    pub content: Vec<u8>,
    /// Its version.
    pub version: String,
    /// The crates that are in it.
    pub components: Vec<Component>,
}

/// Builds a package of the workspace that the current folder is in.
///
/// # Errors
/// When there is no such workspace, or cargo is missing or fails.
pub async fn build(package: &str, progress: &Progress) -> Result<Program, ArtifactError> {
    let workspace = workspace(package)?;
    progress.line(format!("cargo build {package}"));
    // It takes all processors for minutes; whatever else the operator does there comes first.
    let mut command = Command::new("nice");
    command.args(["-n", "10", "cargo", "build", "--locked", "--bin", package]).current_dir(&workspace);
    command.args(["--message-format", "json-render-diagnostics"]);
    if OPTIMISED {
        // In a folder of its own: what was compiled without these settings bears a date and a place.
        command.args(["--release", "--package", package, "--target-dir"]).arg(workspace.join("target/image"));
        command.env("CARGO_ENCODED_RUSTFLAGS", remaps(&workspace).join("\u{1f}"));
        command.envs(ANYWHERE);
    } else {
        // Of dependencies those features that all of the workspace wants, as they are compiled already.
        command.arg("--workspace");
    }
    // Of a cargo that this runs below, as in a test: build scripts that read such would run anew each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_PKG_") || text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
    let messages = run(command, progress, false).await.map_err(|failure| problem(package, failure))?;
    let program = executable(&messages, package).ok_or_else(|| {
        ArtifactError::new(
            format!("cargo built no program {package}"),
            "see that the package has a program of its name",
        )
    })?;
    let content = fs::read(&program).map_err(|error| failed("read", &program, &error))?;
    if OPTIMISED && names(&content, &workspace) {
        return Err(ArtifactError::new(
            format!("{package} names the folder it was built in, so it would be another one elsewhere"),
            "report this as a bug",
        ));
    }
    let mut command = Command::new("cargo");
    command.args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none", "--no-dedupe"]);
    command.args(["--format", "{p}"]).current_dir(&workspace);
    let tree = run(command, progress, false).await.map_err(|failure| problem(package, failure))?;
    let components = components(&tree);
    let version = components.iter().find(|component| component.name == package);
    let version = version.map_or_else(String::new, |component| component.version.clone());
    Ok(Program { content, version, components })
}

/// The nearest folder upwards of the current one that has the package's sources, which is where its workspace is.
fn workspace(package: &str) -> Result<PathBuf, ArtifactError> {
    let current = std::env::current_dir().map_err(|error| failed("read", Path::new("."), &error))?;
    let names_it = |folder: &Path| {
        let manifests = fs::read_dir(folder).into_iter().flatten().flatten();
        manifests.into_iter().any(|entry| {
            let text = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
            text.lines().any(|line| line == format!("name = \"{package}\""))
        })
    };
    let found = current.ancestors().find(|folder| folder.join("Cargo.lock").is_file() && names_it(folder));
    found.map(Path::to_owned).ok_or_else(|| {
        ArtifactError::new(
            format!(
                "the sources of {package} are needed, and {} is not in a workspace that has them",
                current.display()
            ),
            "run this in a checkout of wire-deploy; once it is locked and in the store no sources are needed",
        )
    })
}

/// Flags by which the places of sources on this machine do not get into the program.
fn remaps(workspace: &Path) -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![remap(workspace, "/source")];
    flags.extend(home.map(|home| remap(&home, "/cargo")));
    flags
}

/// Whether a program has a folder's path in it.
fn names(program: &[u8], folder: &Path) -> bool {
    let path = folder.as_os_str().as_encoded_bytes();
    program.windows(path.len()).any(|window| window == path)
}

/// The program that cargo's messages name.
fn executable(messages: &str, package: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut programs = messages.filter(|message| message["target"]["name"] == package);
    programs.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Crates in lines as `name v1.2.3 (proc-macro)`.
fn components(tree: &str) -> Vec<Component> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        Some(Component::of_crate(name, version))
    };
    let mut components: Vec<Component> = tree.lines().filter_map(parse).collect();
    components.sort();
    components.dedup();
    components
}

fn problem(package: &str, failure: Failed) -> ArtifactError {
    match failure {
        Failed::Start(error) => ArtifactError::new(
            format!("cargo cannot be run to build {package}: {error}"),
            "install Rust's toolchain and put cargo in PATH",
        ),
        Failed::Ended(log) => {
            let told = log.iter().rev().find(|line| line.starts_with("error")).or(log.last());
            let message = format!("cargo cannot build {package}: {}", told.map_or("it said nothing", String::as_str));
            ArtifactError { message, hint: "see cargo's lines".to_owned(), log }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_read_from_cargos_tree_once_each() {
        let tree =
            "wire-api v0.1.0 (/source/api-server)\nserde v1.0.2\nserde_derive v1.0.2 (proc-macro)\nserde v1.0.2\n\n";
        let found: Vec<String> = components(tree).into_iter().map(|component| component.purl).collect();
        assert_eq!(found, ["pkg:cargo/serde@1.0.2", "pkg:cargo/serde_derive@1.0.2", "pkg:cargo/wire-api@0.1.0"]);
    }

    #[test]
    fn a_program_that_names_its_folder_is_told_from_one_that_does_not() {
        assert!(names(b"\x7fELF MODULESDIR: \"/home/ann/wire/target/image/out\"", Path::new("/home/ann/wire")));
        assert!(!names(b"\x7fELF MODULESDIR: \"/nowhere\"", Path::new("/home/ann/wire")));
    }

    #[test]
    fn the_program_is_the_one_that_cargo_names() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"other\"},\"executable\":\"/t/other\"}\n\
                        {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"wire-api\"},\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"wire-api\"},\"executable\":\"/t/wire-api\"}\n";
        assert_eq!(executable(messages, "wire-api"), Some(PathBuf::from("/t/wire-api")));
        assert_eq!(executable("", "wire-api"), None);
    }
}
