//! A record as people read it: two spaces for each level, to the byte what the pretty printer of `serde_json`
//! writes.
//!
//! Whoever serialises could print it so. pydantic takes half as long again for it, and holds the interpreter
//! meanwhile; here it costs half of that, in a thread that holds nothing. This knows the few rules of layout and
//! none of JSON: strings and numbers are moved eight bytes at a time, and not looked at.

const WORD: usize = 8;
/// Spaces that are put down at once, most of them to be overwritten.
const SPACES: usize = 32;
/// Room that each step may count on: a word, or a line's end with its spaces, and two bytes more.
const ROOM: usize = SPACES + 3;

/// Indent JSON that has no white space outside its strings. What is no JSON comes out as something else that is
/// none.
#[must_use]
pub fn indented(compact: &[u8]) -> Vec<u8> {
    let mut page = Page::of(compact.len());
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

/// Bytes that are written from the front, with room behind them.
struct Page {
    bytes: Vec<u8>,
    end: usize,
}

impl Page {
    /// A page for a text that is so long before it is laid out.
    fn of(length: usize) -> Self {
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

    /// Copy what is left of a string, and the quote at its end; returns how much that was.
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

    /// Copy up to the first byte that is marked; returns how much that was. There is room for a step after it.
    fn copy_until(&mut self, text: &[u8], marked: impl Fn(u64) -> u64) -> usize {
        let mut at = 0;
        loop {
            self.make_room(WORD + ROOM);
            let Some(word) = text[at..].first_chunk() else { break };
            let ends = self.put_word(*word, &marked);
            // A branch, which is foreseen, where a sum would have the next word wait for this one.
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

    /// Write a word behind the end; returns where the first byte is that is marked, or else its length.
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

/// The top bit of each byte that is zero; above the first, of others perhaps, too.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(each(1)) & !word & each(0x80)
}

fn ends_string_or_escapes(word: u64) -> u64 {
    zeros(word ^ each(b'"')) | zeros(word ^ each(b'\\'))
}

/// What may follow a number, `true`, `false` or `null`. One bit tells `]` from `}`.
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

    fn laid_out(value: &Value) -> String {
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
        fn json_is_laid_out_as_serde_json_does(value in any_json()) {
            prop_assert_eq!(laid_out(&value), pretty(&value));
        }

        #[test]
        fn whatever_it_is_it_is_laid_out_without_a_panic(
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
    fn what_is_empty_stays_on_its_line() {
        assert_eq!(indented(br#"{"a":[],"b":{}}"#), b"{\n  \"a\": [],\n  \"b\": {}\n}");
        assert_eq!(indented(b""), b"");
    }

    #[test]
    fn a_page_grows_with_what_is_deep() {
        let mut value = Value::from(1);
        for _ in 0..120 {
            value = Value::from(vec![value.clone(), Value::from(2)]);
        }
        assert_eq!(laid_out(&value), pretty(&value));
    }

    #[test]
    fn a_string_may_end_anywhere_in_a_word() {
        for length in 0..40 {
            for end in ["", "\"", "\\", "\\\"", "é"] {
                let value = Value::from(vec![Value::from("x".repeat(length) + end), Value::from(length)]);
                assert_eq!(laid_out(&value), pretty(&value));
            }
        }
    }
}
