//! Builds the agent's static binary, which travels inside the command line's own.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// Hosts are amd64 (glibc linked in: no musl standard library is at hand).
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Static. Relocations take a thirtieth of the binary unless packed; glibc has understood that since 2.36, which is Debian 12's.
const FLAGS: &str = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";

/// Variables that this build was given and the agent's must not see: they name this build's folders, flags and wrappers.
/// What says where crates come from (`CARGO_HOME`, `CARGO_REGISTRIES_…`, `CARGO_SOURCE_…`, `CARGO_HTTP_…`, `CARGO_NET_…`) stays.
const FOREIGN: [&str; 20] = [
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_ENCODED_",
    "CARGO_FEATURE_",
    "CARGO_INCREMENTAL",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CLIPPY_",
    "DEBUG",
    "MAKEFLAGS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
];

/// Writes `agent.gz` and `agent.rs`: the binary, its digest and its size.
pub fn build(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    for path in ["agent/src", "agent/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let folder = target_folder(out);
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("cargo has not said where it is")?);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| FOREIGN.iter().any(|foreign| name.starts_with(foreign))) {
            cargo.env_remove(name);
        }
    }
    // Offline: everything in the lock that the agent needs was fetched for this very build, which depends on it too.
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--offline", "--package=wire-deploy-agent", "--bin=wire-deploy-agent"])
        .args(["--profile=agent", "--target", TARGET, "--target-dir"])
        .arg(&folder)
        .env("RUSTFLAGS", FLAGS);
    if !cargo.status()?.success() {
        return Err("the agent could not be built; see above".into());
    }
    let binary = fs::read(folder.join(TARGET).join("agent/wire-deploy-agent"))?;
    let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
    compressed.write_all(&binary)?;
    fs::write(out.join("agent.gz"), compressed.finish()?)?;
    let file = out.join("agent.gz");
    let digest = hex::encode(Sha256::digest(&binary));
    let size = binary.len();
    let code = format!(
        "/// The agent's binary, compressed with gzip.\n\
         pub const AGENT_GZ: &[u8] = include_bytes!({file:?});\n\
         /// The sha256 of the binary before compression, in hexadecimal digits.\n\
         pub const AGENT_SHA256: &str = {digest:?};\n\
         /// The size in bytes of the binary before compression.\n\
         pub const AGENT_SIZE: usize = {size};\n"
    );
    fs::write(out.join("agent.rs"), code)?;
    Ok(())
}

/// The agent's own target folder: cargo holds the lock of this build's. It is beside the profiles' folders, so that
/// check, clippy, test and release builds share what is the same for all of them.
fn target_folder(out: &Path) -> PathBuf {
    // target/<profile>/build/<package>/out
    out.ancestors().nth(4).unwrap_or(out).join("static-agent")
}
