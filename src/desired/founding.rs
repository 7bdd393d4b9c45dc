//! A founder: the first node of a new cluster where that must not be reached by clients yet.
//!
//! It is started alone, and once more when the others are there. Both starts have a stamp of their own, so that a run that ended in
//! between is gone on with: a unit with the first stamp has yet to be restarted.

use wire_deploy_agent::digest::Digest;
use wire_deploy_agent::resource::{Resource, Unit};

/// The stamp of a founder's first start, from that of its second.
#[must_use]
pub fn founding_stamp(started_with: &Digest) -> Digest {
    Digest::of(format!("founds with {started_with}").as_bytes())
}

/// A resource of a founder as it is at its first start.
#[must_use]
pub fn at_founding(resource: &Resource) -> Resource {
    match resource {
        Resource::Unit(unit) => {
            Resource::Unit(Unit { started_with: unit.started_with.as_ref().map(founding_stamp), ..unit.clone() })
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::resources::{directory, root, running_unit};

    #[test]
    fn only_the_stamps_of_units_differ() {
        let digest = Digest::of(b"wanted");
        assert_eq!(
            at_founding(&running_unit("a.service", digest.clone(), 1)),
            running_unit("a.service", founding_stamp(&digest), 1)
        );
        let folder = directory("/x", root(), 0o755);
        assert_eq!(at_founding(&folder), folder);
    }
}
