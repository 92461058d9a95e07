//! Indentation of JSON with two spaces a level, byte for byte as the pretty printer of `serde_json`.
//!
//! pydantic needs 50 % more time to indent while it serialises, and holds the interpreter meanwhile. This module needs
//! half of that extra time, without the interpreter. It knows the rules of layout, and nothing else of JSON: it copies
//! strings and numbers eight bytes at a time.

const WORD: usize = 8;
/// Spaces that are written at once, most of them to be overwritten.
const SPACES: usize = 32;
/// Free bytes before each step: a word, or a line end with its spaces, and two bytes more.
const ROOM: usize = SPACES + 3;

/// Indent JSON without white space outside its strings. Invalid JSON stays invalid.
#[must_use]
pub fn indented(compact: &[u8]) -> Vec<u8> {
    let mut page = Page::for_text(compact.len());
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = compact.get(at) {
        page.make_room(ROOM);
        match byte {
            b'"' => {
                page.put(b'"');
                at += 1 + page.copy_string(&compact[at + 1..]);
            }
            b'{' | b'[' => {
                page.put(byte);
                at += 1;
                if let Some(&close @ (b'}' | b']')) = compact.get(at) {
                    page.put(close);
                    at += 1;
                } else {
                    depth += 1;
                    page.end_line(depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                page.end_line(depth);
                page.put(byte);
                at += 1;
            }
            b',' => {
                page.put(b',');
                page.end_line(depth);
                at += 1;
            }
            b':' => {
                page.put(b':');
                page.put(b' ');
                at += 1;
            }
            _ => at += page.copy_until(&compact[at..], ends_scalar),
        }
    }
    page.finish()
}

/// A buffer with free bytes after its end.
struct Page {
    bytes: Vec<u8>,
    end: usize,
}

impl Page {
    /// Create a buffer for a compact text of a length.
    fn for_text(length: usize) -> Self {
        Self { bytes: vec![0; length + length / 2 + ROOM], end: 0 }
    }

    fn make_room(&mut self, room: usize) {
        if self.bytes.len() - self.end < room {
            self.grow(room);
        }
    }

    #[cold]
    fn grow(&mut self, room: usize) {
        self.bytes.resize(2 * self.bytes.len() + room, 0);
    }

    fn put(&mut self, byte: u8) {
        self.bytes[self.end] = byte;
        self.end += 1;
    }

    fn end_line(&mut self, depth: usize) {
        self.put(b'\n');
        let spaces = 2 * depth;
        if spaces <= SPACES {
            self.bytes[self.end..self.end + SPACES].copy_from_slice(&[b' '; SPACES]);
        } else {
            self.make_room(spaces + ROOM);
            self.bytes[self.end..self.end + spaces].fill(b' ');
        }
        self.end += spaces;
    }

    /// Copy the rest of a string with its closing quote; return the number of bytes.
    fn copy_string(&mut self, text: &[u8]) -> usize {
        let mut at = 0;
        loop {
            at += self.copy_until(&text[at..], ends_string_or_escapes);
            let Some(&byte) = text.get(at) else { return at };
            self.put(byte);
            at += 1;
            if byte == b'"' {
                return at;
            }
            if let Some(&escaped) = text.get(at) {
                self.put(escaped);
                at += 1;
            }
        }
    }

    /// Copy up to the first marked byte, and keep room for a step; return the number of bytes.
    fn copy_until(&mut self, text: &[u8], marked: impl Fn(u64) -> u64) -> usize {
        let mut at = 0;
        loop {
            self.make_room(WORD + ROOM);
            let Some(word) = text[at..].first_chunk() else { break };
            let ends = self.put_word(*word, &marked);
            // A predicted branch is faster than a sum, for which the next word would wait.
            if ends < WORD {
                self.end += ends;
                return at + ends;
            }
            self.end += WORD;
            at += WORD;
        }
        let tail = &text[at..];
        let mut word = [0; WORD];
        word[..tail.len()].copy_from_slice(tail);
        let ends = self.put_word(word, &marked).min(tail.len());
        self.end += ends;
        at + ends
    }

    /// Write a word after the end; return the index of its first marked byte, or its length.
    fn put_word(&mut self, word: [u8; WORD], marked: impl Fn(u64) -> u64) -> usize {
        self.bytes[self.end..self.end + WORD].copy_from_slice(&word);
        (marked(u64::from_le_bytes(word)).trailing_zeros() / u8::BITS) as usize
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.end);
        self.bytes
    }
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WORD])
}

/// Return the top bit of each zero byte; above the first, other bytes may be marked, too.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(each(1)) & !word & each(0x80)
}

fn ends_string_or_escapes(word: u64) -> u64 {
    zeros(word ^ each(b'"')) | zeros(word ^ each(b'\\'))
}

/// Mark the bytes that may follow a number, `true`, `false` or `null`. One bit distinguishes `]` from `}`.
fn ends_scalar(word: u64) -> u64 {
    zeros(word ^ each(b',')) | zeros((word | each(b']' ^ b'}')) ^ each(b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn pretty(value: &Value) -> String {
        serde_json::to_string_pretty(value).unwrap()
    }

    fn indent_value(value: &Value) -> String {
        String::from_utf8(indented(value.to_string().as_bytes())).unwrap()
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            r#"["\\,:{}\[\] a\n]{0,20}"#.prop_map(Value::from),
        ];
        scalar.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn indent_json_equals_serde_json(value in any_json()) {
            prop_assert_eq!(indent_value(&value), pretty(&value));
        }

        #[test]
        fn indent_any_bytes_does_not_panic(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                prop::collection::vec(prop::sample::select(&br#"{}[]",:\ 1"#[..]), 0..200),
            ]
        ) {
            let kept = |bytes: &[u8]| -> Vec<u8> {
                bytes.iter().copied().filter(|byte| !matches!(byte, b' ' | b'\n')).collect()
            };
            prop_assert_eq!(kept(&indented(&bytes)), kept(&bytes));
        }
    }

    #[test]
    fn indent_empty_containers_stay_on_their_line() {
        assert_eq!(indented(br#"{"a":[],"b":{}}"#), b"{\n  \"a\": [],\n  \"b\": {}\n}");
        assert_eq!(indented(b""), b"");
    }

    #[test]
    fn indent_deep_json_grows_the_page() {
        let mut value = Value::from(1);
        for _ in 0..120 {
            value = Value::from(vec![value.clone(), Value::from(2)]);
        }
        assert_eq!(indent_value(&value), pretty(&value));
    }

    #[test]
    fn indent_string_end_at_any_byte_of_a_word() {
        for length in 0..40 {
            for end in ["", "\"", "\\", "\\\"", "é"] {
                let value = Value::from(vec![Value::from("x".repeat(length) + end), Value::from(length)]);
                assert_eq!(indent_value(&value), pretty(&value));
            }
        }
    }
}
