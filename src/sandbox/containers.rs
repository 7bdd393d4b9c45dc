//! What hosts have so that containers can run on them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::Result;

/// Folders of a host that are plain ones of this machine: an overlay, as the host's disk is, cannot be the upper layer of the
/// overlays that containers live on.
pub(super) const FOLDERS: [&str; 2] = ["/var/lib/containerd", "/var/lib/kubelet"];
/// What containers may lock in memory, a host must be able to.
pub(super) const CAPABILITY: &str = "CAP_IPC_LOCK";

/// What is done at the beginning of each boot, in the host.
const SCRIPT: &str = include_str!("containers.sh");
/// Where hosts have it.
const PROGRAM: &str = "usr/local/lib/sandbox/containers";
const UNITS: &str = "etc/systemd/system";
const UNIT: &str = "sandbox-containers.service";

/// Puts it on a host's disk. It runs before the host sets its kernel's parameters, so that those reach the copies.
pub(super) fn install(root: &Path) -> Result<()> {
    let wants = format!("{UNITS}/sysinit.target.wants");
    let program = root.join(PROGRAM);
    for folder in [program.parent().unwrap_or(root), &root.join(&wants)] {
        fs::create_dir_all(folder)?;
    }
    fs::write(&program, SCRIPT)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    fs::write(
        root.join(UNITS).join(UNIT),
        format!(
            "[Unit]\nDescription=Make the host fit for containers\nDefaultDependencies=no\n\
             Before=sysinit.target systemd-sysctl.service\n\n\
             [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/{PROGRAM}\n"
        ),
    )?;
    symlink(format!("../{UNIT}"), root.join(wants).join(UNIT))?;
    Ok(())
}
