//! The last line of defence: every known secret that made it into a text all the same is masked before any sink sees it.

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use super::event::{Event, EventKind};
use crate::site::secrets::SecretText;

/// What stands in a secret's place.
pub const MASK: &str = "••••••";

/// Secrets shorter than this many bytes are not looked for: they would mask half of any text.
const SHORTEST: usize = 6;

/// Lines of a secret of several lines, such as a key in PEM, are looked for on their own from this many bytes on.
const SHORTEST_LINE: usize = 16;

/// Masks secrets in texts and events.
#[derive(Default)]
pub struct Redactor {
    patterns: Vec<SecretText>,
    matcher: Option<AhoCorasick>,
}

impl Redactor {
    /// Learns more secrets. Where one holds another the longest is masked.
    pub fn add(&mut self, secrets: &[SecretText]) {
        for secret in secrets {
            let text = secret.expose().trim();
            self.learn(text);
            let quoted = Value::from(text).to_string();
            self.learn(quoted.get(1..quoted.len() - 1).unwrap_or_default());
            if text.contains('\n') {
                let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
                lines.filter(|line| line.len() >= SHORTEST_LINE).for_each(|line| self.learn(line));
            }
        }
        self.patterns.sort_by(|one, other| one.expose().cmp(other.expose()));
        self.patterns.dedup_by(|one, other| one.expose() == other.expose());
        let texts = self.patterns.iter().map(SecretText::expose);
        // Plain strings within memory's limits always make a matcher.
        self.matcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts).ok();
    }

    fn learn(&mut self, text: &str) {
        if text.len() >= SHORTEST {
            self.patterns.push(SecretText::new(text.to_owned()));
        }
    }

    /// `text` with every known secret masked.
    #[must_use]
    pub fn mask(&self, text: String) -> String {
        match &self.matcher {
            Some(matcher) if !self.patterns.is_empty() && matcher.is_match(&text) => {
                matcher.replace_all(&text, &vec![MASK; self.patterns.len()])
            }
            _ => text,
        }
    }

    /// `event` with every known secret masked.
    #[must_use]
    pub fn mask_event(&self, event: Event) -> Event {
        let Some(matcher) = self.matcher.as_ref().filter(|_| !self.patterns.is_empty()) else { return event };
        let clean = serde_json::to_string(&event).is_ok_and(|text| !matcher.is_match(&text));
        if clean {
            return event;
        }
        let (format, time) = (event.format, event.time);
        let masked = serde_json::to_value(event).and_then(|mut value| {
            self.mask_value(&mut value);
            serde_json::from_value(value)
        });
        masked.unwrap_or_else(|_| Event {
            format,
            time,
            kind: EventKind::Warning { message: "an event that held a secret was left out".to_owned(), hint: None },
        })
    }

    fn mask_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(std::mem::take(text)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_value(item)),
            Value::Object(members) => {
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(name, mut member)| {
                        self.mask_value(&mut member);
                        (self.mask(name), member)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(&secrets.iter().map(|text| SecretText::new((*text).to_owned())).collect::<Vec<_>>());
        redactor
    }

    fn event(message: &str) -> Event {
        Event {
            format: super::super::event::FORMAT,
            time: jiff::Timestamp::UNIX_EPOCH,
            kind: EventKind::Note { message: message.to_owned() },
        }
    }

    #[test]
    fn the_longest_secret_is_masked() {
        let redactor = redactor(&["hunter2", "hunter22", "say \"friend\""]);
        assert_eq!(redactor.mask("a hunter22 b hunter2 c".to_owned()), format!("a {MASK} b {MASK} c"));
        assert_eq!(redactor.mask(r#"{"x":"say \"friend\""}"#.to_owned()), format!(r#"{{"x":"{MASK}"}}"#));
    }

    #[test]
    fn lines_of_a_key_are_masked_but_not_its_frame() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nshort\n-----END PRIVATE KEY-----\n";
        let redactor = redactor(&[key]);
        assert_eq!(redactor.mask("cat: MIGHAgEAMBMGByqGSM49".to_owned()), format!("cat: {MASK}"));
        assert_eq!(redactor.mask("-----BEGIN PRIVATE KEY-----".to_owned()), "-----BEGIN PRIVATE KEY-----");
        assert_eq!(redactor.mask(key.to_owned()), format!("{MASK}\n"));
    }

    #[test]
    fn short_secrets_do_not_mask_everything() {
        assert_eq!(redactor(&["a", ""]).mask("banana".to_owned()), "banana");
    }

    #[test]
    fn events_are_masked_wherever_the_secret_is() {
        let masked = redactor(&["hunter22"]).mask_event(event("login with hunter22 failed"));
        let EventKind::Note { message } = masked.kind else { panic!("another kind") };
        assert_eq!(message, format!("login with {MASK} failed"));
    }

    proptest::proptest! {
        #[test]
        fn no_masked_text_holds_a_secret(before in ".{0,20}", secret in "[A-Za-z0-9_\"\\\\-]{8,43}", after in ".{0,20}") {
            let redactor = redactor(&[&secret]);
            let masked = redactor.mask(format!("{before}{secret}{after}"));
            proptest::prop_assert!(!masked.contains(&secret), "{}", masked);
            let masked = serde_json::to_string(&redactor.mask_event(event(&format!("{before}{secret}{after}")))).unwrap();
            proptest::prop_assert!(!masked.contains(&secret), "{}", masked);
        }
    }
}
