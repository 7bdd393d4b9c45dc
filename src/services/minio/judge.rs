//! Whether the cluster is well, from what its servers said.

use super::admin::Drive;
use super::connection::host_of;
use crate::desired::Cluster;
use crate::observed::{LiveState, Member};
use crate::services::Verdict;

/// Names of what a member's details tell.
pub(super) mod detail {
    /// Before a drive's path: [`super::WELL`], or what is wrong with it.
    pub const DRIVE: &str = "drive ";
    /// The servers that this one sees, with a comma between them: address and port.
    pub const SEES: &str = "sees";
}

/// The live fact that says whether enough drives take writes: `yes` or `no`.
pub(super) const WRITE_QUORUM: &str = "write quorum";
/// A drive that does its work.
pub(super) const WELL: &str = "ok";
/// Percent of a drive in use from which it counts as full. MinIO itself refuses writes at 99.
const FULL_PERCENT: u64 = 95;
/// Bytes that no drive needs more of to have room, however large it is.
const ENOUGH: u64 = 16 << 30;

/// Every server sees every other, every drive is there, whole and has room, and writes are taken.
pub(super) fn judge(cluster: &Cluster, live: &LiveState) -> Verdict {
    let mut verdict = Verdict::of_nodes(cluster, live, |node, member| match member {
        Err(problem) => vec![problem],
        Ok(member) => {
            let others = cluster.nodes.iter().filter(|other| other.host != node.host);
            let unseen = others.filter(|other| !sees(member, &host_of(other)));
            let unseen = unseen.map(|other| format!("does not see {}", other.host));
            drive_problems(member).chain(unseen).collect()
        }
    });
    if live.facts.get(WRITE_QUORUM).is_some_and(|quorum| quorum == "no") {
        verdict.problems.push("too few drives take writes".to_owned());
    }
    verdict
}

fn sees(member: &Member, server: &str) -> bool {
    member.details.get(detail::SEES).is_some_and(|seen| seen.split(',').any(|seen| seen == server))
}

fn drive_problems(member: &Member) -> impl Iterator<Item = String> {
    let drives = member.details.iter().filter_map(|(name, value)| Some((name.strip_prefix(detail::DRIVE)?, value)));
    drives.filter(|(_, value)| *value != WELL).map(|(path, value)| format!("drive {path}: {value}"))
}

/// What is to be said of a drive.
pub(super) fn drive(drive: &Drive) -> String {
    let used =
        drive.total.saturating_sub(drive.available).saturating_mul(100).checked_div(drive.total).unwrap_or_default();
    match (drive.state.as_str(), drive.healing) {
        ("ok", true) => {
            let done = drive.heal_info.as_ref().filter(|info| !info.finished);
            let done =
                done.map(|info| format!(", {} of about {} objects", info.items_healed, info.objects_total_count));
            format!("is being filled again{}", done.unwrap_or_default())
        }
        ("ok", false) if used >= FULL_PERCENT && drive.available < ENOUGH => format!("is {used} % full"),
        ("ok", false) => WELL.to_owned(),
        (state, _) => state.to_owned(),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::services::minio::admin::HealInfo;
    use crate::services::testing;
    use crate::site::names::HostName;

    fn cluster() -> Cluster {
        testing::cluster("minio")
    }

    fn well() -> LiveState {
        let details = [("drive /a", WELL), (detail::SEES, "10.0.0.1:9000,10.0.0.2:9000,10.0.0.3:9000")];
        let details: std::collections::BTreeMap<_, _> =
            details.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let member = |last| {
            let member = Member { answers: true, details: details.clone(), ..Member::default() };
            (HostName(format!("db{last}")), member)
        };
        let facts = [(WRITE_QUORUM.to_owned(), "yes".to_owned())].into();
        LiveState { members: (1..=3).map(member).collect(), facts, ..LiveState::default() }
    }

    #[test]
    fn a_cluster_in_order_is_well() {
        assert_eq!(judge(&cluster(), &well()), Verdict::default());
    }

    #[test]
    fn faults_of_one_are_its_own() {
        for (name, value) in [("drive /a", "offline"), (detail::SEES, "10.0.0.2:9000")] {
            let mut live = well();
            live.members.entry("db2".into()).or_default().details.insert(name.to_owned(), value.to_owned());
            assert_eq!(judge(&cluster(), &live).unwell, [HostName::from("db2")], "{name}");
        }
        let mut live = well();
        live.members.remove("db3");
        assert_eq!(judge(&cluster(), &live).unwell, [HostName::from("db3")]);
    }

    #[test]
    fn a_host_that_is_away_is_neither_missed_nor_has_to_be_seen() {
        let (mut cluster, mut live) = (cluster(), well());
        cluster.away.extend(cluster.nodes.pop());
        live.members.remove("db3");
        for member in live.members.values_mut() {
            member.details.insert(detail::SEES.to_owned(), "10.0.0.1:9000,10.0.0.2:9000".to_owned());
        }
        assert_eq!(judge(&cluster, &live), Verdict::default());
        live.facts.insert(WRITE_QUORUM.to_owned(), "no".to_owned());
        assert!(!judge(&cluster, &live).healthy());
    }

    #[test]
    fn drives_are_told_by_what_is_wrong_with_them() {
        let told = |state: &str, healing, available| {
            let heal_info = Some(HealInfo { objects_total_count: 9, items_healed: 4, finished: false });
            drive(&Drive { state: state.to_owned(), healing, heal_info, total: 100, available, ..Drive::default() })
        };
        assert_eq!(told("ok", false, 6), WELL);
        assert_eq!(told("ok", false, 5), "is 95 % full");
        assert_eq!(told("ok", true, 50), "is being filled again, 4 of about 9 objects");
        assert_eq!(told("offline", false, 0), "offline");
        let large = Drive { state: "ok".to_owned(), total: 1000 << 30, available: 20 << 30, ..Drive::default() };
        assert_eq!(drive(&large), WELL);
    }
}
