//! Pieces of JSON text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, Visitor};

/// The key of an object, borrowed where it has no escapes.
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

/// An error of ours, which has no place in the text.
pub fn fail(reason: impl fmt::Display) -> serde_json::Error {
    serde_json::Error::custom(reason)
}

/// An error whose place is that in a part of the text, and would mislead.
pub fn without_place(error: serde_json::Error) -> serde_json::Error {
    let said = error.to_string();
    match said.rsplit_once(" at line ") {
        Some((said, _)) => fail(said),
        None => error,
    }
}

/// Refuse text with a string that is none: half of a pair of surrogates is skipped, and cannot be read.
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

/// The content of a string, by its text.
pub fn text_of(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => plain.into(),
        _ => serde_json::from_str::<String>(text).unwrap_or_default().into(),
    }
}

/// The text of a value without the white space between its parts.
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

/// Where a string that begins a text ends.
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
    fn a_minified_text_keeps_its_numbers_and_strings_as_they_are() {
        let text = "{ \"a b\" : [ 1.50 ,\n\t1e400, \"x \\\" y\\\\\" ] }";
        assert_eq!(minify(text), "{\"a b\":[1.50,1e400,\"x \\\" y\\\\\"]}");
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
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
        fn a_minified_text_means_the_same(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(minify(&pretty), serde_json::to_string(&value).unwrap());
        }

        #[test]
        fn the_content_of_a_string_comes_out(text in ".*") {
            let written = Value::from(text.as_str()).to_string();
            prop_assert_eq!(text_of(&written), text);
        }
    }
}
