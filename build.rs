//! Makes the registry of services and embeds templates, profiles and recipes from their folders, so that adding one is
//! adding a folder. Builds the agent that is embedded likewise.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "build/agent.rs"]
mod agent;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("services.rs"), services(&root)?)?;
    fs::write(
        out.join("templates.rs"),
        embedded(&root.join("templates"), "The embedded templates: path below `templates/`, text.")?,
    )?;
    fs::write(
        out.join("recipes.rs"),
        embedded(&root.join("artifacts"), "The embedded recipes and their sources: path below `artifacts/`, text.")?,
    )?;
    fs::write(out.join("pages.rs"), embedded(&root.join("pages"), "The reference pages: path below `pages/`, text.")?)?;
    fs::write(out.join("profiles.rs"), embedded(&root.join("profiles"), "The embedded profiles: file name, text.")?)?;
    agent::build(&root, &out)
}

/// The modules of `src/services/` and the list of their services, in the folders' alphabetical order.
fn services(root: &Path) -> Result<String, Box<dyn Error>> {
    let folder = root.join("src/services");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?);
        }
    }
    names.sort();
    let mut code = String::new();
    for name in &names {
        writeln!(code, "#[path = {:?}]\npub mod {name};", folder.join(name).join("mod.rs"))?;
    }
    let list: Vec<String> = names.iter().map(|name| format!("&{name}::SERVICE")).collect();
    writeln!(code, "/// Every service, in alphabetical order.")?;
    writeln!(code, "pub static ALL: &[&dyn DynService] = &[{}];", list.join(", "))?;
    Ok(code)
}

/// Every file below a folder as `(path, text)`, sorted by path.
fn embedded(folder: &Path, about: &str) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    if folder.is_dir() {
        collect(folder, &mut files)?;
    }
    files.sort();
    let mut code = format!("/// {about}\npub static EMBEDDED: &[(&str, &str)] = &[\n");
    for file in files {
        let name = file.strip_prefix(folder)?.to_str().ok_or("a path is not UTF-8")?;
        writeln!(code, "    ({name:?}, include_str!({file:?})),")?;
    }
    code.push_str("];\n");
    Ok(code)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
