//! Ranges in names and values: `db[1:3]`, `10.0.0.1[1:3]`, `zone-[a:c]`, `db[01:12]`.

/// Most texts that one range may stand for.
const MOST: u64 = 10_000;

/// A text with at most one range in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    items: Vec<String>,
    after: String,
    has_range: bool,
}

impl Pattern {
    /// Reads a text; without `[first:last]` it stands for itself.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the range.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut found = None;
        for (start, _) in text.match_indices('[') {
            let Some(length) = text[start..].find(']') else { continue };
            let inside = &text[start + 1..start + length];
            let Some((first, last)) = inside.split_once(':') else { continue };
            // An IPv6 address in brackets is no range.
            if last.contains(':') || first.is_empty() {
                continue;
            }
            if found.is_some() {
                return Err(format!("`{text}` has more than one range"));
            }
            let items = items(first, last).map_err(|reason| format!("`[{inside}]` {reason}"))?;
            found = Some((start, start + length + 1, items));
        }
        Ok(match found {
            Some((start, end, items)) => {
                Self { before: text[..start].to_owned(), items, after: text[end..].to_owned(), has_range: true }
            }
            None => {
                Self { before: text.to_owned(), items: vec![String::new()], after: String::new(), has_range: false }
            }
        })
    }

    /// How many texts it stands for.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// Whether there is a range in it.
    #[must_use]
    pub fn has_range(&self) -> bool {
        self.has_range
    }

    /// The text at an index; one without a range is the same at every index.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<String> {
        let item = if self.has_range { self.items.get(index)? } else { self.items.first()? };
        Some(format!("{}{item}{}", self.before, self.after))
    }

    /// All texts it stands for.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        (0..self.count()).filter_map(|index| self.at(index)).collect()
    }
}

fn items(first: &str, last: &str) -> Result<Vec<String>, String> {
    let letter = |text: &str| match text.as_bytes() {
        [byte @ b'a'..=b'z'] => Some(*byte),
        _ => None,
    };
    if let (Some(from), Some(to)) = (letter(first), letter(last)) {
        if from > to {
            return Err("runs backwards".to_owned());
        }
        return Ok((from..=to).map(|byte| char::from(byte).to_string()).collect());
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Err("is no range; expected two numbers or two small letters, as `[1:3]`".to_owned());
    }
    let too_large = || format!("stands for more than {MOST} texts");
    let (from, to): (u64, u64) = (first.parse().map_err(|_| too_large())?, last.parse().map_err(|_| too_large())?);
    if from > to {
        return Err("runs backwards".to_owned());
    }
    if to - from >= MOST {
        return Err(too_large());
    }
    // A leading zero means numbers of the same width.
    let width = if first.starts_with('0') { first.len() } else { 1 };
    Ok((from..=to).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_range_stands_for_its_texts() {
        for (text, expected) in [
            ("db1", vec!["db1"]),
            ("db[1:3]", vec!["db1", "db2", "db3"]),
            ("db[08:10].x", vec!["db08.x", "db09.x", "db10.x"]),
            ("10.0.0.1[0:1]", vec!["10.0.0.10", "10.0.0.11"]),
            ("[a:c]", vec!["a", "b", "c"]),
            ("fd00::[1:2]", vec!["fd00::1", "fd00::2"]),
            ("[fd00::1]", vec!["[fd00::1]"]),
            ("[::1]", vec!["[::1]"]),
            ("", vec![""]),
        ] {
            assert_eq!(Pattern::read(text).unwrap().all(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (text, expected) in [
            ("db[3:1]", "runs backwards"),
            ("db[1:x]", "is no range"),
            ("db[1:]", "is no range"),
            ("db[1:2]-[1:2]", "more than one range"),
            ("db[1:99999999]", "more than 10000 texts"),
            ("db[1:99999999999999999999]", "more than 10000 texts"),
        ] {
            let reason = Pattern::read(text).unwrap_err();
            assert!(reason.contains(expected), "{text}: {reason}");
        }
    }

    #[test]
    fn a_text_without_range_is_the_same_for_every_host() {
        let pattern = Pattern::read("zone-a").unwrap();
        assert_eq!((pattern.at(0), pattern.at(5)), (Some("zone-a".to_owned()), Some("zone-a".to_owned())));
        assert_eq!(Pattern::read("z[1:2]").unwrap().at(2), None);
    }
}
