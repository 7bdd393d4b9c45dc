//! What keeps a package's services from starting before they are configured: policy-rc.d now, and a preset of systemd's at the next
//! boot, which may come at any moment. Without the preset a host that loses power before the service's own unit is applied would boot
//! with the service running as Debian configures it, because packages enable their units while they are configured
//! (deb-systemd-helper, which asks systemd's presets). A unit that was there before is left as it was, and what should run is enabled
//! when its configuration is in place.
//!
//! The host's own policy, if it has one, is put aside for the time and put back afterwards, also when the agent was killed in between.

use std::fs;
use std::io::Write as _;

use crate::host::names::Ids;
use crate::host::place::Place;
use crate::host::problem::{Doing as _, Problem};
use crate::host::root::Root;

const POLICY: &str = "/usr/sbin/policy-rc.d";
const KEPT: &str = "/usr/sbin/policy-rc.d.wire-deploy-kept";
/// 101: action forbidden by policy (invoke-rc.d).
const OURS: &str = "#!/bin/sh\n# Written by wire-deploy while it installs packages: nothing starts before it is configured.\nexit 101\n";

/// systemd.preset(5): the first line that fits a unit counts, files being read in the order of their names.
const PRESET: &str = "/etc/systemd/system-preset/00-wire-deploy-installs.preset";
const NOTHING_AT_BOOT: &str =
    "# Written by wire-deploy while it installs packages: nothing starts before it is configured.\ndisable *\n";

/// Forbids every start, and that anything new starts at boot, until [`restore`]. It is on the disk before this returns.
///
/// # Errors
/// When the policy cannot be written.
pub fn forbid_starts(root: &Root) -> Result<(), Problem> {
    restore(root)?;
    Place::make(root, PRESET)?
        .write(Ids::own(), 0o644, |file| file.write_all(NOTHING_AT_BOOT.as_bytes()).doing(format!("write {PRESET}")))?;
    let policy = Place::make(root, POLICY)?;
    if policy.look()?.is_some() {
        fs::rename(root.path(POLICY), root.path(KEPT)).doing(format!("put {POLICY} aside"))?;
    }
    policy.write(Ids::own(), 0o755, |file| file.write_all(OURS.as_bytes()).doing(format!("write {POLICY}")))
}

/// Puts the host's own policy back, if one is put aside; else removes ours, if it is there.
///
/// # Errors
/// When that cannot be done.
pub fn restore(root: &Root) -> Result<(), Problem> {
    if let Some(preset) = Place::find(root, PRESET)? {
        preset.remove()?;
    }
    if root.path(KEPT).symlink_metadata().is_ok() {
        return fs::rename(root.path(KEPT), root.path(POLICY)).doing(format!("put {POLICY} back"));
    }
    if fs::read_to_string(root.path(POLICY)).is_ok_and(|text| text == OURS) {
        fs::remove_file(root.path(POLICY)).doing(format!("remove {POLICY}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_hosts_own_policy_comes_back_also_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let policy = || fs::read_to_string(root.path(POLICY)).ok();
        let preset = || fs::read_to_string(root.path(PRESET)).ok();
        forbid_starts(&root).unwrap();
        assert_eq!((policy().as_deref(), preset().as_deref()), (Some(OURS), Some(NOTHING_AT_BOOT)));
        restore(&root).unwrap();
        assert_eq!((policy(), preset()), (None, None));

        fs::write(root.path(POLICY), "the host's").unwrap();
        forbid_starts(&root).unwrap();
        // Killed here; the next agent begins anew.
        forbid_starts(&root).unwrap();
        assert_eq!(policy().as_deref(), Some(OURS));
        restore(&root).unwrap();
        restore(&root).unwrap();
        assert_eq!((policy().as_deref(), preset()), (Some("the host's"), None));
        assert_eq!(fs::read_dir(root.path("/usr/sbin")).unwrap().count(), 1);
    }
}
