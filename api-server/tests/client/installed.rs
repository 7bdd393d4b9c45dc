//! The published client's packages, which npm installs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The client in `source` with all it needs, installed once for each lock file; where it is.
pub fn client(source: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client");
    copy(source, &folder);
    let lock = std::fs::read(source.join("package-lock.json")).unwrap();
    let stamp = folder.join("node_modules/.installed");
    if std::fs::read(&stamp).ok().as_ref() != Some(&lock) {
        run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder));
        std::fs::write(&stamp, &lock).unwrap();
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs a command, which must succeed.
pub fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `scripts/prerequisites test` installs it"));
    assert!(status.success(), "{command:?} fails");
}
