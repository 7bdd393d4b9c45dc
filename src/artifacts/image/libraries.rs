//! Whether the programs in an image find their libraries there: asked of the image's own loader.

use std::path::Path;

use tokio::process::Command;

use super::tree::Tree;
use crate::artifacts::ArtifactError;
use crate::artifacts::store::failed;

/// glibc's loader on amd64, where the link that programs name leads: followed from here it would lead to this machine's own.
const LOADER: &str = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
/// Where Debian has libraries on amd64.
const FOLDERS: [&str; 4] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib", "usr/lib"];
/// Where programs are.
const PROGRAMS: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];

/// Has the loader look for the libraries of every program in a tree; each must be in the tree too, in a version that fits.
///
/// # Errors
/// When one is not, with the program's and the library's name.
pub async fn check(tree: &Tree, recipe: &str) -> Result<(), ArtifactError> {
    let folder = tempfile::tempdir().map_err(|error| failed("write to", &std::env::temp_dir(), &error))?;
    let root = folder.path();
    tree.write_into(root).map_err(|error| failed("write to", root, &error))?;
    let programs = PROGRAMS.iter().flat_map(|folder| tree.files_below(folder));
    for (program, _) in programs.filter(|(_, content)| content.starts_with(b"\x7fELF")) {
        let listed = list(root, program).await.map_err(|error| failed("run", &root.join(LOADER), &error))?;
        if let Some(missing) = lacks(&listed, root) {
            return Err(ArtifactError::new(
                format!("recipe {recipe}: {program} would not start in the image: {missing}"),
                "add the package that has this library to the recipe's packages; a program that was built here needs a C library that is no newer than the image's",
            ));
        }
    }
    Ok(())
}

/// What the loader says of a program. Nothing of the program itself is run.
async fn list(root: &Path, program: &str) -> std::io::Result<String> {
    let folders: Vec<String> = FOLDERS.iter().map(|folder| root.join(folder).display().to_string()).collect();
    let mut command = Command::new(root.join(LOADER));
    command.args(["--inhibit-cache", "--library-path", &folders.join(":"), "--list"]).arg(root.join(program));
    command.env_clear().kill_on_drop(true);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(if output.status.success() { text } else { format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)) })
}

/// The first thing that the loader did not find below `root`. Its lines are `name => path (address)`, or a complaint.
fn lacks(listed: &str, root: &Path) -> Option<String> {
    listed.lines().map(str::trim).find_map(|line| {
        if line.contains("error while loading") || line.contains("not found") {
            // Paths of a folder that is gone by then say nothing.
            return Some(line.replace(&format!("{}/", root.display()), ""));
        }
        let (name, place) = line.split_once(" => ")?;
        let place = place.split(" (").next().unwrap_or_default();
        (!Path::new(place).starts_with(root)).then(|| format!("{name} is not in the image"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_finds_elsewhere_or_not_at_all_is_lacking() {
        let root = Path::new("/tmp/x");
        let here = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /tmp/x/lib/libc.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(lacks(here, root), None);
        let cases = [
            ("\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x7f)\n", "libz.so.1 is not in the image"),
            (
                "/tmp/x/usr/bin/a: error while loading shared libraries: libz.so.1: cannot open shared object file",
                "usr/bin/a: error while loading shared libraries: libz.so.1: cannot open shared object file",
            ),
            (
                "/tmp/x/usr/bin/a: /tmp/x/lib/libc.so.6: version `GLIBC_2.99' not found (required by /tmp/x/usr/bin/a)",
                "usr/bin/a: lib/libc.so.6: version `GLIBC_2.99' not found (required by usr/bin/a)",
            ),
        ];
        for (listed, expected) in cases {
            assert_eq!(lacks(listed, root).as_deref(), Some(expected));
        }
    }
}
