//! Reading types from JSON values without serde's leniency: a section is a mapping, never a list of its values in order.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// A value that is read strictly, to be given to [`serde::Deserialize`] or `serde_path_to_error`.
#[derive(Debug, Clone, Copy)]
pub struct Strict<'de>(pub &'de Value);

impl<'de> Strict<'de> {
    fn map(
        members: &'de serde_json::Map<String, Value>,
    ) -> MapDeserializer<'de, impl Iterator<Item = (&'de str, Self)>, serde_json::Error> {
        MapDeserializer::new(members.iter().map(|(key, value)| (key.as_str(), Self(value))))
    }

    fn unexpected(self) -> Unexpected<'de> {
        match self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => Unexpected::Unsigned(value),
                (_, Some(value), _) => Unexpected::Signed(value),
                (_, _, Some(value)) => Unexpected::Float(value),
                _ => Unexpected::Other("number"),
            },
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        }
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for Strict<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Self))),
            Value::Object(members) => visitor.visit_map(Self::map(members)),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Object(members) => visitor.visit_map(Self::map(members)),
            _ => Err(Self::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Object(members) if members.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(Self::map(members)))
            }
            _ => Err(Self::Error::invalid_type(self.unexpected(), &"a text")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    struct Section {
        number: Option<u16>,
        kind: Option<Kind>,
        inner: Option<Box<Self>>,
        list: Option<Vec<f64>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        With(u8),
    }

    #[test]
    fn what_fits_is_read_as_serde_json_does() {
        let value =
            json!({"number": 5, "kind": {"with": 3}, "inner": {"kind": "plain", "number": null}, "list": [1, 2.5]});
        let read = Section::deserialize(Strict(&value)).unwrap();
        assert_eq!(read, serde_json::from_value(value).unwrap());
        assert_eq!(read.kind, Some(Kind::With(3)));
    }

    #[test]
    fn a_list_is_no_section() {
        for (value, expected) in [
            (json!([5, null, null, null]), "invalid type: sequence, expected struct Section"),
            (json!({"inner": [5, null, null, null]}), "invalid type: sequence, expected struct Section"),
            (json!({"number": 70000}), "invalid value: integer `70000`, expected u16"),
            (json!({"inner": -1}), "invalid type: integer `-1`, expected struct Section"),
            (json!({"kind": "plane"}), "unknown variant `plane`, expected `plain` or `with`"),
            (json!({"kind": 5}), "invalid type: integer `5`, expected a text"),
        ] {
            assert_eq!(Section::deserialize(Strict(&value)).unwrap_err().to_string(), expected, "{value}");
        }
    }
}
