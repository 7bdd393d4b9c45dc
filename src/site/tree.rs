//! YAML as a tree in which everything knows where it stands in its file.
//!
//! Types say what may be written; the tree says where it was. Every problem is found by a path, and every path leads to a place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::problem::Place;

/// Largest file that is read, in bytes; an inventory of 10,000 hosts is a tenth of it.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A node with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    Sequence(Vec<Tree>),
    /// Keys and values as written, repeated keys too.
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub value: Tree,
}

/// One step from a node to one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// To the value of a key.
    Key(String),
    /// To an item of a list.
    Index(usize),
}

/// What a text that is no YAML looks like to its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub place: Option<Place>,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Tree {
    /// A mapping without entries.
    #[must_use]
    pub const fn empty() -> Self {
        Self { place: Place::START, content: Content::Mapping(Vec::new()) }
    }

    /// Parses a text of one document; one without content is an empty mapping.
    ///
    /// # Errors
    /// When it is no YAML, too large or too deep.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
            return Err(SyntaxError { place: None, message, hint: None });
        }
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_depth: 64 },
        };
        let parsed: Result<Option<Spanned<Content>>, _> = serde_saphyr::from_str_with_options(text, options);
        match parsed {
            Ok(Some(spanned)) => Ok(Self { place: place(&spanned.referenced), content: spanned.value }),
            Ok(None) => Ok(Self::empty()),
            Err(error) => Err(SyntaxError::read(&error)),
        }
    }

    /// The entries, if it is a mapping.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.content {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The first entry of a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value below some keys.
    #[must_use]
    pub fn get(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |tree, key| tree.entry(key).map(|entry| &entry.value))
    }

    /// The place of the value below some keys, or of the nearest key above it that there is; of a section that is its key.
    #[must_use]
    pub fn place_of(&self, keys: &[&str]) -> Place {
        let path: Vec<Segment> = keys.iter().map(|key| Segment::Key((*key).to_owned())).collect();
        self.locate(&path)
    }

    /// The value as JSON. Keys without a value are left out: a layer says what it writes.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::Sequence(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Mapping(entries) => {
                let said = entries.iter().filter(|entry| entry.value.content != Content::Null);
                Value::Object(said.map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }

    /// Repeated keys: path of the mapping, the later entry's place, the first one's place, the key.
    #[must_use]
    pub fn repeated_keys(&self) -> Vec<(Place, Place, String)> {
        let mut found = Vec::new();
        self.collect_repeated_keys(&mut found);
        found
    }

    fn collect_repeated_keys(&self, found: &mut Vec<(Place, Place, String)>) {
        let mut seen = std::collections::BTreeMap::new();
        for entry in self.entries() {
            let first = *seen.entry(entry.key.as_str()).or_insert(entry.place);
            if first != entry.place {
                found.push((entry.place, first, entry.key.clone()));
            }
            entry.value.collect_repeated_keys(found);
        }
        for item in self.items() {
            item.collect_repeated_keys(found);
        }
    }

    /// The place of what a path leads to, followed as far as it leads; of a section that is its key.
    #[must_use]
    pub fn locate(&self, path: &[Segment]) -> Place {
        self.locate_below(self.place, path)
    }

    fn locate_below(&self, here: Place, path: &[Segment]) -> Place {
        let Some((first, rest)) = path.split_first() else { return here };
        match first {
            Segment::Key(key) => {
                let entry = self.entries().iter().rev().find(|entry| &entry.key == key);
                entry.map_or(here, |entry| entry.value.locate_below(entry.shown(), rest))
            }
            Segment::Index(index) => self.items().get(*index).map_or(here, |item| item.locate_below(item.place, rest)),
        }
    }

    /// The place of the last key of a path.
    #[must_use]
    pub fn place_of_key(&self, path: &[Segment]) -> Place {
        let Some((first, rest)) = path.split_first() else { return self.place };
        match first {
            Segment::Key(key) => {
                self.entries().iter().rev().find(|entry| &entry.key == key).map_or(self.place, |entry| {
                    if rest.is_empty() { entry.place } else { entry.value.place_of_key(rest) }
                })
            }
            Segment::Index(index) => self.items().get(*index).map_or(self.place, |item| item.place_of_key(rest)),
        }
    }

    /// The path that a text such as `snapshots.times[2]` means here; keys may have dots themselves.
    #[must_use]
    pub fn path_of(&self, text: &str) -> Vec<Segment> {
        let text = text.trim_start_matches('.');
        let below = |segment: Segment, tree: &Self, rest: &str| {
            let mut path = vec![segment];
            path.extend(tree.path_of(rest));
            path
        };
        if let Some((index, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let found = index.parse().ok().and_then(|index: usize| Some((index, self.items().get(index)?)));
            return found.map_or_else(Vec::new, |(index, item)| below(Segment::Index(index), item, rest));
        }
        let matching = self.entries().iter().rev().filter_map(|entry| {
            let rest = text.strip_prefix(entry.key.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some((entry, rest))
        });
        matching
            .max_by_key(|(entry, _)| entry.key.len())
            .map_or_else(Vec::new, |(entry, rest)| below(Segment::Key(entry.key.clone()), &entry.value, rest))
    }

    /// Takes what a path leads to out of the tree; false if there is no such thing.
    pub fn remove(&mut self, path: &[Segment]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        match (first, &mut self.content) {
            (Segment::Key(key), Content::Mapping(entries)) => {
                if rest.is_empty() {
                    let before = entries.len();
                    entries.retain(|entry| &entry.key != key);
                    return entries.len() < before;
                }
                // The last of repeated keys is the one that counts in JSON.
                entries.iter_mut().rev().find(|entry| &entry.key == key).is_some_and(|entry| entry.value.remove(rest))
            }
            (Segment::Index(index), Content::Sequence(items)) if *index < items.len() => {
                if rest.is_empty() {
                    items.remove(*index);
                    return true;
                }
                items[*index].remove(rest)
            }
            _ => false,
        }
    }
}

impl Entry {
    /// The place to show for it: that of a scalar value, else that of the key.
    fn shown(&self) -> Place {
        match self.value.content {
            Content::Bool(_) | Content::Number(_) | Content::Text(_) => self.value.place,
            Content::Null | Content::Sequence(_) | Content::Mapping(_) => self.place,
        }
    }
}

impl SyntaxError {
    fn read(error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let (message, hint) = match error {
            serde_saphyr::Error::MultipleDocuments { .. } => {
                ("a second document begins here".to_owned(), Some("one file holds one document; remove the `---`"))
            }
            serde_saphyr::Error::RecursiveReferencesRequireWeakTypes { .. } => {
                ("an alias refers to a part that it is in".to_owned(), None)
            }
            _ => {
                let text = error.to_string();
                (text.split(" at line ").next().unwrap_or(&text).to_owned(), None)
            }
        };
        Self {
            place: error.location().map(|location| place(&location)),
            message: format!("this is not YAML that can be read: {message}"),
            hint: hint.map(str::to_owned),
        }
    }
}

fn place(location: &Location) -> Place {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).max(1);
    Place { line: number(location.line()), column: number(location.column()), length: number(location.span().len()) }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        Number::from_f64(value).map(Content::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Content>>()? {
            items.push(Tree { place: place(&item.referenced), content: item.value });
        }
        Ok(Content::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let value = access.next_value::<Spanned<Content>>()?;
            entries.push(Entry {
                key: key.value,
                place: place(&key.referenced),
                value: Tree { place: place(&value.referenced), content: value.value },
            });
        }
        Ok(Content::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn key(text: &str) -> Segment {
        Segment::Key(text.to_owned())
    }

    #[test]
    fn everything_knows_its_place() {
        let tree = Tree::parse("# é\na: 1\nlist:\n  - x\n  - {c: 'y z', d: no, 1: 0755}\ntext: |\n  a\n").unwrap();
        let place = |line, column, length| Place { line, column, length };
        assert_eq!(tree.place_of(&["a"]), place(2, 4, 1));
        assert_eq!(tree.place_of(&["list"]), place(3, 1, 4));
        assert_eq!(tree.locate(&[key("list"), Segment::Index(1), key("c")]), place(5, 9, 5));
        assert_eq!(tree.place_of_key(&[key("list"), Segment::Index(1), key("d")]), place(5, 16, 1));
        assert_eq!(tree.locate(&[key("list"), Segment::Index(7), key("c")]), place(3, 1, 4));
        assert_eq!(
            tree.to_json(),
            serde_json::json!({"a": 1, "list": ["x", {"c": "y z", "d": "no", "1": "0755"}], "text": "a\n"})
        );
    }

    #[test]
    fn aliases_and_merges_are_followed() {
        let tree = Tree::parse("base: &base {k: v}\nuse:\n  <<: *base\n  z: *base\n").unwrap();
        assert_eq!(tree.get(&["use"]).unwrap().to_json(), serde_json::json!({"k": "v", "z": {"k": "v"}}));
    }

    #[test]
    fn repeated_keys_are_all_found() {
        let tree = Tree::parse("a: 1\nb: {c: 1, c: 2}\na: 2\n").unwrap();
        let found: Vec<_> =
            tree.repeated_keys().into_iter().map(|(place, first, key)| (place.line, first.line, key)).collect();
        assert_eq!(found, [(2, 2, "c".to_owned()), (3, 1, "a".to_owned())]);
    }

    #[test]
    fn texts_lead_to_paths() {
        let tree = Tree::parse("a: {b.c: [1, {d: 2}], b: 3}\n").unwrap();
        let item = Segment::Index(1);
        assert_eq!(tree.path_of("a.b.c[1].d"), [key("a"), key("b.c"), item.clone(), key("d")]);
        assert_eq!(tree.path_of("a.b"), [key("a"), key("b")]);
        assert_eq!(tree.path_of("a.b.c[1].x"), [key("a"), key("b.c"), item]);
        assert_eq!(tree.path_of("."), []);
    }

    #[test]
    fn what_is_taken_out_is_gone() {
        let mut tree = Tree::parse("a: {b: [1, 2], c: 3}\n").unwrap();
        assert!(tree.remove(&[key("a"), key("b"), Segment::Index(0)]));
        assert!(tree.remove(&[key("a"), key("c")]));
        assert!(!tree.remove(&[key("a"), key("c")]));
        assert!(!tree.remove(&[]));
        assert_eq!(tree.to_json(), serde_json::json!({"a": {"b": [2]}}));
    }

    #[test]
    fn what_is_no_yaml_has_a_place_and_a_reason() {
        for (text, line, column, expected) in [
            ("a: [", 1, 4, "unclosed bracket '['"),
            ("a: b: c", 1, 5, "mapping values are not allowed"),
            ("a: 1\n---\nb: 1", 3, 1, "a second document begins here"),
            ("a: *x", 1, 4, "unknown anchor"),
            ("a: &a [*a]", 1, 8, "an alias refers to a part that it is in"),
        ] {
            let error = Tree::parse(text).unwrap_err();
            let place = error.place.unwrap();
            assert_eq!((place.line, place.column), (line, column), "{text}");
            assert!(error.message.contains(expected), "{text}: {}", error.message);
        }
        assert_eq!(Tree::parse("# nothing\n"), Ok(Tree::empty()));
        assert!(Tree::parse(&"[".repeat(10_000)).is_err());
    }
}
