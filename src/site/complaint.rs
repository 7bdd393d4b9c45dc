//! Serde's complaints in an operator's words.

use super::problem::hint_for;

/// A complaint: what is wrong, what to do, and the key that is too much, if that is what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub message: String,
    pub hint: Option<String>,
    pub unknown_key: Option<String>,
}

impl Complaint {
    /// Reads what serde's error says; a text of another form is passed on as it is.
    pub fn read(text: &str) -> Self {
        let plain = |message: String, hint: Option<String>| Self { message, hint, unknown_key: None };
        if let Some((field, known)) = named(text, "unknown field `") {
            return Self {
                message: format!("unknown key `{field}`"),
                hint: hint_for(field, "known keys", known.iter().copied()),
                unknown_key: Some(field.to_owned()),
            };
        }
        if let Some((value, known)) = named(text, "unknown variant `") {
            let hint = hint_for(value, "possible", known.iter().copied());
            return plain(format!("unknown value `{value}`"), hint);
        }
        if let Some(field) = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            return plain(format!("`{field}` is missing"), None);
        }
        let kinds = ["invalid type: ", "invalid value: "];
        let pair = kinds.iter().find_map(|kind| text.strip_prefix(kind)?.rsplit_once(", expected "));
        if let Some((found, expected)) = pair {
            let hint = match (found, expected) {
                (_, "a string") => literal(found).map(|value| format!("put it in quotes: \"{value}\"")),
                (r#"string "yes""# | r#"string "on""#, "a boolean") => Some("write `true`".to_owned()),
                (r#"string "no""# | r#"string "off""#, "a boolean") => Some("write `false`".to_owned()),
                (text, "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" | "f64") => number(text),
                (text, expected) if expected.starts_with("a nonzero ") => number(text),
                (_, "a sequence") => Some("write a list: `[a, b]`, or one item a line after `- `".to_owned()),
                _ => None,
            };
            return plain(format!("expected {}, found {}", wanted(expected), found_words(found)), hint);
        }
        plain(text.to_owned(), None)
    }
}

/// The name after a prefix and the names that serde expected instead.
fn named<'a>(text: &'a str, prefix: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (name, rest) = text.strip_prefix(prefix)?.split_once('`')?;
    // Every second part is between back quotes.
    Some((name, rest.split('`').skip(1).step_by(2).collect()))
}

fn literal(found: &str) -> Option<&str> {
    ["integer `", "floating point `", "boolean `"]
        .iter()
        .find_map(|prefix| found.strip_prefix(prefix)?.strip_suffix('`'))
}

/// A number that was put in quotes.
fn number(found: &str) -> Option<String> {
    let text = found.strip_prefix("string \"")?.strip_suffix('"')?;
    text.parse::<f64>().ok().map(|_| format!("write it without quotes: {text}"))
}

fn wanted(expected: &str) -> String {
    match expected {
        "a boolean" => "`true` or `false`",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "a section of keys and values",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, not negative",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        other if other.starts_with("struct ") => "a section of keys and values",
        "a nonzero u16" => "a whole number from 1 to 65535",
        other if other.starts_with("a nonzero ") => "a whole number of at least 1",
        other => other,
    }
    .to_owned()
}

fn found_words(found: &str) -> String {
    match found {
        "map" => "a section of keys and values".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit value" => "nothing".to_owned(),
        other => match (other.strip_prefix("string "), literal(other)) {
            (Some(text), _) => format!("the text {text}"),
            (_, Some(value)) => format!("`{value}`"),
            _ => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_says_it_and_an_operator_understands_it() {
        for (text, message, hint) in [
            (
                "unknown field `prot`, expected one of `user`, `port`",
                "unknown key `prot`",
                Some("did you mean `port`?"),
            ),
            ("unknown field `x`, expected `user` or `port`", "unknown key `x`", Some("known keys: `user`, `port`")),
            ("unknown field `x`, there are no fields", "unknown key `x`", None),
            ("unknown variant `sud`, expected `sudo` or `none`", "unknown value `sud`", Some("did you mean `sudo`?")),
            ("missing field `a`", "`a` is missing", None),
            (
                "invalid type: string \"a, expected b\", expected u16",
                "expected a whole number from 0 to 65535, found the text \"a, expected b\"",
                None,
            ),
            (
                "invalid type: integer `1`, expected a string",
                "expected a text, found `1`",
                Some("put it in quotes: \"1\""),
            ),
            (
                "invalid type: string \"yes\", expected a boolean",
                "expected `true` or `false`, found the text \"yes\"",
                Some("write `true`"),
            ),
            ("invalid value: integer `-1`, expected u32", "expected a whole number, not negative, found `-1`", None),
            (
                "invalid type: sequence, expected struct Ssh",
                "expected a section of keys and values, found a list",
                None,
            ),
            ("whatever a type says", "whatever a type says", None),
        ] {
            let complaint = Complaint::read(text);
            assert_eq!((complaint.message.as_str(), complaint.hint.as_deref()), (message, hint), "{text}");
        }
    }
}
