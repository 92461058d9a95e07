//! Helpers for reading JSON text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The key of an object, borrowed unless it has escapes.
pub struct Key<'de>(pub Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Return an error without a position in the text.
pub fn fail(reason: impl fmt::Display) -> serde_json::Error {
    serde_json::Error::custom(reason)
}

/// Remove the position from an error, which would mislead if it is that within a part of the text.
pub fn without_place(error: serde_json::Error) -> serde_json::Error {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => fail(reason),
        None => error,
    }
}

/// Reject text with half a surrogate pair: `serde_json` skips such a string, but cannot decode it.
pub fn check_escapes(text: &str) -> Result<(), serde_json::Error> {
    if !text.contains("\\u") {
        return Ok(());
    }
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let string = &rest[start..];
        let end = end_of_string(string);
        if string[..end].contains("\\u") {
            serde_json::from_str::<String>(&string[..end]).map_err(without_place)?;
        }
        rest = &string[end..];
    }
    Ok(())
}

/// Decode the JSON text of a string.
pub fn text_of(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => plain.into(),
        _ => serde_json::from_str::<String>(text).unwrap_or_default().into(),
    }
}

/// Return the members of an object, each with its JSON text; errors name `expected`.
pub fn members<'de>(
    text: &'de str,
    expected: &'static str,
) -> Result<Vec<(Cow<'de, str>, &'de str)>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Elements { expected });
    members.and_then(|members| deserializer.end().map(|()| members)).map_err(without_place)
}

/// Return the JSON texts of the items of a list; none if the text is not a list.
pub fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let items = deserializer.deserialize_seq(Elements { expected: "a list" });
    items.unwrap_or_default().into_iter().map(|(_, item)| item)
}

/// A visitor of the direct elements of an object or a list; the items of a list have empty keys.
struct Elements {
    expected: &'static str,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<(Cow<'de, str>, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            members.push((key, value.get()));
        }
        Ok(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<&'de RawValue>()? {
            items.push((Cow::Borrowed(""), item.get()));
        }
        Ok(items)
    }
}

/// Remove the white space between the tokens of a JSON text.
pub fn minify(text: &str) -> Cow<'_, str> {
    if !text.contains([' ', '\n', '\t', '\r']) {
        return text.into();
    }
    let (mut short, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find('"') {
        short.extend(rest[..start].chars().filter(|mark| !mark.is_ascii_whitespace()));
        let string = &rest[start..];
        let end = end_of_string(string);
        short.push_str(&string[..end]);
        rest = &string[end..];
    }
    short.extend(rest.chars().filter(|mark| !mark.is_ascii_whitespace()));
    short.into()
}

/// Return the end of the string at the start of a text.
fn end_of_string(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn minify_keeps_numbers_and_strings() {
        let text = "{ \"a b\" : [ 1.50 ,\n\t1e400, \"x \\\" y\\\\\" ] }";
        assert_eq!(minify(text), "{\"a b\":[1.50,1e400,\"x \\\" y\\\\\"]}");
    }

    #[test]
    fn check_escapes_half_a_surrogate_pair_fails() {
        assert!(check_escapes(r#"{"a": ["x", "\ud83d\ude00"], "n": 1e999}"#).is_ok());
        assert!(check_escapes(r#"{"a": ["x", "\ud83d"]}"#).is_err());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(".*", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn minify_keeps_the_value(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(minify(&pretty), serde_json::to_string(&value).unwrap());
        }

        #[test]
        fn text_of_returns_the_content(text in ".*") {
            let written = Value::from(text.as_str()).to_string();
            prop_assert_eq!(text_of(&written), text);
        }
    }
}
