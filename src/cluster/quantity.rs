//! Kubernetes' quantities: `250m`, `1Gi`, `1e3`. Pure.

/// What a suffix multiplies by: a power of ten, or of two.
const SUFFIXES: [(&str, Factor); 15] = [
    ("Ki", Factor::Two(10)),
    ("Mi", Factor::Two(20)),
    ("Gi", Factor::Two(30)),
    ("Ti", Factor::Two(40)),
    ("Pi", Factor::Two(50)),
    ("Ei", Factor::Two(60)),
    ("n", Factor::Ten(-9)),
    ("u", Factor::Ten(-6)),
    ("m", Factor::Ten(-3)),
    ("k", Factor::Ten(3)),
    ("M", Factor::Ten(6)),
    ("G", Factor::Ten(9)),
    ("T", Factor::Ten(12)),
    ("P", Factor::Ten(15)),
    ("E", Factor::Ten(18)),
];

/// The finest that a quantity distinguishes: `1n`, as a power of ten.
const FINEST: i32 = -9;

#[derive(Clone, Copy)]
enum Factor {
    Two(u32),
    Ten(i32),
}

/// Whether two texts are the same quantity. Texts that are none are the same if they are equal.
pub(super) fn same(one: &str, other: &str) -> bool {
    one == other || matches!((nanos(one), nanos(other)), (Some(one), Some(other)) if one == other)
}

/// A quantity in billionths; none for what is no quantity, or too fine or large to be told exactly.
fn nanos(text: &str) -> Option<i128> {
    let suffix = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, factor) = match suffix {
        Some((suffix, factor)) => (&text[..text.len() - suffix.len()], *factor),
        None => match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, Factor::Ten(exponent.parse().ok()?)),
            None => (text, Factor::Ten(0)),
        },
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (mut value, power) = (digits.parse::<i128>().ok()?, -i32::try_from(fraction.len()).ok()? - FINEST);
    let power = match factor {
        Factor::Ten(ten) => power.checked_add(ten)?,
        Factor::Two(two) => {
            value = value.checked_mul(1_i128.checked_shl(two)?)?;
            power
        }
    };
    let scale = 10_i128.checked_pow(power.unsigned_abs())?;
    let value = if power >= 0 { value.checked_mul(scale)? } else { (value % scale == 0).then(|| value / scale)? };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_the_same_however_they_are_written() {
        for (one, other) in [
            ("1000m", "1"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("1.5Gi", "1536Mi"),
            ("2E", "2000P"),
            ("-1", "-1000m"),
            ("latest", "latest"),
            (".5", "0.5"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn other_quantities_and_texts_are_not() {
        for (one, other) in
            [("1", "1m"), ("1G", "1Gi"), ("m", "0"), ("", "0"), ("1.2.3", "1.23"), ("1 ", "1"), ("1x", "1")]
        {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(one in ".{0,40}", exponent in proptest::num::i32::ANY) {
            let _ = same(&one, &format!("1e{exponent}"));
            let _ = same(&format!("{one}Ki"), &one);
        }

        #[test]
        fn a_thousand_millis_are_one(number in 0_u64..1_000_000_000) {
            let millis = |more: u128| (u128::from(number) * 1000 + more).to_string() + "m";
            proptest::prop_assert!(same(&millis(0), &number.to_string()));
            proptest::prop_assert!(!same(&millis(1), &number.to_string()));
        }
    }
}
