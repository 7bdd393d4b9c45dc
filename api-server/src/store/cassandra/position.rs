//! Which id a notification gets, and whether a reader sees all that there is.

use crate::domain::notification::LIFETIME;

/// 100 ns steps of a second.
const SECOND: u64 = 10_000_000;

/// The id that follows the last one in a log: by the clock, and greater than that one in any case, for the clock of who wrote that one may
/// be ahead of this one.
pub(super) fn next(head: Option<i64>, clock: u64) -> i64 {
    let clock = i64::try_from(clock).unwrap_or(i64::MAX);
    head.map_or(clock, |head| clock.max(head.saturating_add(1)))
}

/// Where reading begins: after the position, and where entries have not ended; those before are only their remains. A clock that is
/// wrong by up to a day hides nothing.
pub(super) fn begin(position: Option<i64>, clock: u64) -> i64 {
    let alive = clock.saturating_sub((LIFETIME.unsigned_abs() + 86_400) * SECOND);
    i64::try_from(alive).unwrap_or(i64::MAX).max(position.unwrap_or(i64::MIN))
}

/// An entry's id and the id of the one that was written before it.
pub(super) type Link = (i64, Option<i64>);

/// Whether no entry is missing between a position and the last of these. Entries that ended or were deleted look missing, too.
pub(super) fn is_unbroken(position: Option<i64>, links: impl IntoIterator<Item = Link>) -> bool {
    let mut links = links.into_iter();
    let Some((first, previous)) = links.next() else { return true };
    if let (Some(position), Some(previous)) = (position, previous)
        && previous > position
    {
        return false;
    }
    let mut last = first;
    links.all(|(id, previous)| previous == Some(std::mem::replace(&mut last, id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_whatever_the_clock_says() {
        assert_eq!(next(None, 70), 70);
        assert_eq!(next(Some(50), 70), 70);
        assert_eq!(next(Some(70), 70), 71, "the clock stands still");
        assert_eq!(next(Some(500), 70), 501, "the clock is behind the writer's before");
        assert_eq!(next(Some(i64::MAX), 70), i64::MAX);
    }

    #[test]
    fn two_hosts_with_clocks_far_apart_write_growing_ids() {
        let (mut head, mut ids) = (None, Vec::new());
        for step in 0..100_u64 {
            let skew = if step % 2 == 0 { 50 * SECOND } else { 0 };
            head = Some(next(head, 1_000 * SECOND + step + skew));
            ids.extend(head);
        }
        assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
    }

    #[test]
    fn reading_begins_at_the_position_or_where_entries_are_alive() {
        let month = 30 * 86_400 * SECOND;
        let alive = i64::try_from(month - 29 * 86_400 * SECOND).unwrap_or(0);
        assert_eq!(begin(None, month), alive);
        assert_eq!(begin(Some(7), month), alive);
        assert_eq!(begin(Some(alive + 1), month), alive + 1);
        assert_eq!(begin(None, 5), 0);
    }

    #[test]
    fn a_missing_entry_is_seen() {
        assert!(is_unbroken(Some(3), []));
        assert!(is_unbroken(Some(3), [(4, Some(3)), (6, Some(4)), (7, Some(6))]));
        assert!(!is_unbroken(Some(3), [(4, Some(3)), (7, Some(6))]), "6 is missing");
        assert!(!is_unbroken(Some(3), [(6, Some(4))]), "4 is missing");
        assert!(is_unbroken(Some(5), [(6, Some(4))]), "a position between entries");
        assert!(is_unbroken(None, [(6, Some(4)), (7, Some(6))]), "a log whose first entries have ended");
        assert!(is_unbroken(Some(3), [(4, None)]), "the first of a log");
    }
}
