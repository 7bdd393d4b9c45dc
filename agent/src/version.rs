//! Debian package versions compared as dpkg does (Debian Policy §5.6.12).

use std::cmp::Ordering;

/// How `left` stands to `right`: `Less` means that going from `left` to `right` is an upgrade.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    left.epoch
        .cmp(&right.epoch)
        .then_with(|| compare_part(left.upstream, right.upstream))
        .then_with(|| compare_part(left.revision, right.revision))
}

struct Parts<'a> {
    epoch: u64,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    /// `[epoch:]upstream[-revision]`; no epoch is 0, no revision is older than any but `0` and those that begin with `~`.
    fn of(version: &'a str) -> Self {
        let (epoch, rest) = match version.split_once(':').map(|(epoch, rest)| (epoch.parse(), rest)) {
            Some((Ok(epoch), rest)) => (epoch, rest),
            _ => (0, version),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

/// Non-digits and digits in turn: the former by [`weight`], the latter as numbers.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        while left.first().is_some_and(|byte| !byte.is_ascii_digit())
            || right.first().is_some_and(|byte| !byte.is_ascii_digit())
        {
            match weight(left.first()).cmp(&weight(right.first())) {
                Ordering::Equal => {
                    left = left.get(1..).unwrap_or_default();
                    right = right.get(1..).unwrap_or_default();
                }
                unequal => return unequal,
            }
        }
        let (left_number, left_rest) = take_number(left);
        let (right_number, right_rest) = take_number(right);
        // Without leading zeros the longer number is the greater one, of whatever length.
        match left_number.len().cmp(&right_number.len()).then_with(|| left_number.cmp(right_number)) {
            Ordering::Equal => (left, right) = (left_rest, right_rest),
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

/// A tilde sorts before the end, the end (and a digit, which ends a run of non-digits) before letters, letters before all else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The leading digits without leading zeros, and what follows.
fn take_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().position(|byte| *byte != b'0').unwrap_or(number.len());
    (&number[zeros..], rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_stand_as_the_policy_says() {
        use Ordering::{Equal, Less};
        for (left, right, expected) in [
            ("1.0", "1.0", Equal),
            ("1.0", "1.0-0", Equal),
            ("0:1.0", "1.0", Equal),
            ("1.00", "1.0", Equal),
            ("1.0", "1.0-1", Less),
            ("1.9", "1.10", Less),
            ("9.9", "1:0.1", Less),
            ("1.0~rc1", "1.0", Less),
            ("1.0~~", "1.0~", Less),
            ("1.0~~a", "1.0~", Less),
            ("1.0", "1.0a", Less),
            ("1.0+", "1.0.", Less),
            ("1.0Z", "1.0a", Less),
            ("1.0+", "1.0.", Less),
            ("1.0-1", "1.0-1+deb12u1", Less),
            ("1.0-1~bpo12+1", "1.0-1", Less),
            ("1.0-1+deb12u2", "1.0-1+deb12u10", Less),
            ("5:7.0.15-1~deb12u1", "5:7.0.15-1~deb12u5", Less),
            ("1-1-1", "1-1-2", Less),
            ("2:1.2-3", "2:1.2.1-1", Less),
            ("1.2.3", "1.2-4.0", Equal.then(Ordering::Greater)),
            ("99999999999999999999999", "100000000000000000000000", Less),
            ("", "0", Equal),
            ("a", "1", Ordering::Greater),
        ] {
            assert_eq!(compare(left, right), expected, "{left} against {right}");
            assert_eq!(compare(right, left), expected.reverse(), "{right} against {left}");
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(versions in proptest::collection::vec("([0-2]:)?[0-9a-z.+~-]{0,6}", 3)) {
            let [a, b, c] = [&versions[0], &versions[1], &versions[2]];
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            prop_assert_eq!(compare(a, a), Ordering::Equal);
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
        }
    }
}
