//! Removal of the white space outside the strings of JSON.

/// Return JSON without white space outside its strings; [`indented`](super::indent::indented) gives back the text of a
/// save. Invalid JSON stays invalid.
///
/// ```
/// use llem_store::json::{compact::compact, indent::indented};
///
/// let saved = b"{\n  \"a\": [\n    1e5,\n    \" \\\" \"\n  ]\n}";
/// assert_eq!(compact(saved), br#"{"a":[1e5," \" "]}"#);
/// assert_eq!(indented(&compact(saved)), saved);
/// ```
#[must_use]
pub fn compact(json: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(json.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for &byte in json {
        if in_string {
            in_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        text.push(byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::indent::indented;
    use proptest::prelude::*;
    use serde_json::Value;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_of_indented_json_returns_it(value in json()) {
            let text = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(&compact(&indented(&text)), &text);
            prop_assert_eq!(compact(&serde_json::to_vec_pretty(&value).unwrap()), text);
        }
    }
}
