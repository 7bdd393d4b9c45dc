//! policy-rc.d: what keeps a package's services from starting before they are configured. The host's own policy, if it has
//! one, is put aside for the time and put back afterwards, also when the agent was killed in between.

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

/// Forbids every start until [`restore`].
///
/// # Errors
/// When the policy cannot be written.
pub fn forbid_starts(root: &Root) -> Result<(), Problem> {
    restore(root)?;
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
        forbid_starts(&root).unwrap();
        assert_eq!(policy().as_deref(), Some(OURS));
        restore(&root).unwrap();
        assert_eq!(policy(), None);

        fs::write(root.path(POLICY), "the host's").unwrap();
        forbid_starts(&root).unwrap();
        // Killed here; the next agent begins anew.
        forbid_starts(&root).unwrap();
        assert_eq!(policy().as_deref(), Some(OURS));
        restore(&root).unwrap();
        restore(&root).unwrap();
        assert_eq!(policy().as_deref(), Some("the host's"));
        assert_eq!(fs::read_dir(root.path("/usr/sbin")).unwrap().count(), 1);
    }
}
