//! Tests of `cursor`.

use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::cell::Cell;

fn skip(text: &str) -> Result<(), String> {
    let mut cursor = Cursor::new(text, Interrupt::NEVER);
    let skipped = cursor.skip(0).and_then(|()| cursor.end());
    skipped.map_err(|refusal| refusal.to_string())
}

#[test]
fn skip_valid_json_takes_all_of_it() {
    let digits = "9".repeat(MAX_DIGITS);
    for text in [
        "{}",
        " [ ] ",
        "[1, -0, 0.5, 1e3, 1E+3, 1.25e-7, -12.5, 1e-999]",
        &format!("-{digits}"),
        r#"{"a": {"a": [true, false, null]}, "b": "\u00e9\ud83d\ude00\n\"\\\/ é"}"#,
        &format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)),
    ] {
        assert_eq!(skip(text), Ok(()), "{text}");
    }
}

#[test]
fn skip_invalid_json_reports_the_fault() {
    let (deep, digits) = ("[".repeat(100_000), "9".repeat(MAX_DIGITS + 1));
    for (text, said) in [
        ("", "a JSON value, got the end"),
        ("[1,]", "a JSON value, got ']'"),
        ("[1 2]", "',' or ']', got '2'"),
        ("{\"a\" 1}", "':', got '1'"),
        ("{a: 1}", "a key, got 'a'"),
        ("NaN", "a JSON value, got 'N'"),
        ("-Infinity", "a digit, got 'I'"),
        ("01", "begins with 0"),
        ("1.", "a digit, got the end"),
        ("+1", "a JSON value"),
        ("1e400", "1e400, which no 64-bit float holds"),
        ("\"a\nb\"", "control character"),
        ("\"a", "ends within a string"),
        ("\"\\x\"", "escape"),
        ("\"\\ud800\"", "hex escape"),
        ("\"\\udc00\\ud800\"", "surrogate"),
        ("{} {}", "the end of the file, got '{'"),
        (r#"{"a": 1, "\u0061": 2}"#, "has the key \"a\" twice"),
        (r#"{"a": {"b": 1, "c": 2, "b": 3}}"#, "has the key \"b\" twice"),
        (&deep, "more than 128 levels"),
        (&digits, "more than 4299 digits"),
    ] {
        let reason = skip(text).unwrap_err();
        assert!(reason.contains(said), "{text:.20}: {reason}");
    }
}

#[test]
fn skip_many_keys_finds_one_that_occurs_twice() {
    for count in [2, 63, 64, 65, 1000] {
        let keys: Vec<String> = (0..count).map(|number| format!("\"key{number}\": {{\"x\": 1}}")).collect();
        assert_eq!(skip(&format!("{{{}}}", keys.join(","))), Ok(()), "{count}");
        for again in [0, count / 2, count - 1] {
            let text = format!("{{{}, \"key{again}\": 0}}", keys.join(","));
            assert!(skip(&text).unwrap_err().contains("twice"), "{count} {again}");
        }
    }
}

#[test]
fn skip_asks_once_per_unit_and_stops_when_cancelled() {
    let keys: Vec<String> = (0..90_000).map(|number| format!("\"key{number}\":{{\"x\":[1,2]}}")).collect();
    let text = format!("{{{}}}", keys.join(","));
    let units = text.len() / UNIT_BYTES;
    let asked = Cell::new(0);
    let asks = |last: usize| {
        asked.set(0);
        let is_cancelled = |_| asked.replace(asked.get() + 1) + 1 == last;
        let mut cursor = Cursor::new(&text, Interrupt::new(&is_cancelled));
        let skipped = cursor.skip(0);
        (skipped.map_err(|refusal| refusal.within("config").is_cancelled()), cursor.place(), asked.get())
    };
    assert!(units > 5);
    assert_eq!(asks(usize::MAX), (Ok(()), text.len(), units));
    for last in [1, 2, units] {
        let (skipped, place, asked) = asks(last);
        assert_eq!((skipped, asked), (Err(true), last));
        assert!((last * UNIT_BYTES..last * (UNIT_BYTES + 64)).contains(&place), "{place}");
    }
}

proptest! {
    #[test]
    fn skip_any_text_takes_no_more_than_a_plain_parser(text in r#"[\[\]{}:,"\\ue0-9.+\-tfnN a]{0,24}"#) {
        if skip(&text).is_ok() {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        }
    }

    #[test]
    fn string_of_any_content_decodes_it(content in ".*") {
        let text = Value::from(content.as_str()).to_string();
        let mut cursor = Cursor::new(&text, Interrupt::NEVER);
        prop_assert_eq!(cursor.string().unwrap().decode(), content);
        prop_assert!(cursor.end().is_ok());
    }
}
