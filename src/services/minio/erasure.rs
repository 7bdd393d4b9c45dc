//! How objects are spread over drives, and how many hosts may die.
//!
//! MinIO cuts the list of all drives into sets of one size, the first set from its beginning. We list the first drive of every host,
//! then the second of every host, and so on, so that each set has as few drives of one host as can be. Of each object
//! every drive of one set holds a part; the parity says how many parts may be missing.

/// The sizes that MinIO takes for a set.
const SET_SIZES: std::ops::RangeInclusive<usize> = 2..=16;

/// How a cluster's drives are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Drives of all hosts.
    pub drives: usize,
    /// Drives of one set.
    pub set: usize,
    /// Parts of an object that may be missing when it is read.
    pub parity: usize,
    /// Drives of a set that must take a write.
    pub write_quorum: usize,
    /// Hosts that may be down, whichever they are, while everything can be read and written.
    pub tolerance: usize,
}

impl Layout {
    /// The largest sets with which any one host may die; nothing if there are none.
    pub(super) fn of(hosts: usize, drives_each: usize) -> Option<Self> {
        let drives = hosts * drives_each;
        let sizes = SET_SIZES.rev().filter(|size| drives.is_multiple_of(*size) && drives > 0);
        sizes.map(|set| Self::with_sets(hosts, drives, set)).find(|layout| layout.tolerance > 0)
    }

    fn with_sets(hosts: usize, drives: usize, set: usize) -> Self {
        let parity = default_parity(set);
        let data = set - parity;
        // With as many parts of parity as of data, two halves could each take a write; one more decides.
        let write_quorum = if data == parity { data + 1 } else { data };
        let tolerances = (0..drives / set).map(|index| tolerance(hosts, index * set, set, set - write_quorum));
        Self { drives, set, parity, write_quorum, tolerance: tolerances.min().unwrap_or_default() }
    }
}

/// MinIO's own choice for the storage class STANDARD (`DefaultParityBlocks`).
fn default_parity(set: usize) -> usize {
    match set {
        0 | 1 => 0,
        2 | 3 => 1,
        4 | 5 => 2,
        6 | 7 => 3,
        _ => 4,
    }
}

/// How many hosts may die before a set that begins with the drive of this index lacks more drives than `spare`.
fn tolerance(hosts: usize, begin: usize, set: usize, spare: usize) -> usize {
    let mut drives_of = vec![0_usize; hosts];
    for drive in begin..begin + set {
        drives_of[drive % hosts] += 1;
    }
    drives_of.sort_unstable_by(|one, other| other.cmp(one));
    let lost = drives_of.iter().scan(0, |lost, drives| {
        *lost += drives;
        Some(*lost)
    });
    lost.take_while(|lost| *lost <= spare).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hosts: usize, drives_each: usize) -> Option<(usize, usize, usize, usize)> {
        Layout::of(hosts, drives_each).map(|layout| (layout.set, layout.parity, layout.write_quorum, layout.tolerance))
    }

    #[test]
    fn losing_the_largest_host_leaves_a_write_quorum() {
        assert_eq!(told(3, 1), Some((3, 1, 2, 1)));
        assert_eq!(told(3, 2), Some((6, 3, 4, 1)));
        assert_eq!(told(3, 4), Some((12, 4, 8, 1)));
        assert_eq!(told(4, 4), Some((16, 4, 12, 1)));
        assert_eq!(told(5, 1), Some((5, 2, 3, 2)));
        assert_eq!(told(8, 2), Some((16, 4, 12, 2)));
    }

    #[test]
    fn sets_are_smaller_where_a_host_would_have_too_much_of_one() {
        // One set of 15 has five drives of each host, and may lack four.
        assert_eq!(told(3, 5), Some((5, 2, 3, 1)));
        assert_eq!(told(3, 8), Some((12, 4, 8, 1)));
    }

    #[test]
    fn some_numbers_cannot_be() {
        for (hosts, drives) in [(0, 0), (1, 4), (2, 2), (2, 8), (17, 1)] {
            assert_eq!(told(hosts, drives), None, "{hosts} hosts with {drives}");
        }
    }
}
