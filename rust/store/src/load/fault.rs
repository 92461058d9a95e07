//! The reasons why bytes are not a record; `RecordCheck` makes the decision, for every reader.

use std::fmt;

use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::text::{Key, without_place};

/// The reason why the bytes of a file are not a record of this schema line.
///
/// It displays as a phrase that continues the name of the file: `is not a complete result: the file is empty`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// The file has no bytes.
    #[error("{INCOMPLETE}: the file is empty")]
    Empty,
    /// The file holds only white space.
    #[error("{INCOMPLETE}: the file holds only white space")]
    Blank,
    /// The file begins with a byte order mark.
    #[error("{INCOMPLETE}: it begins with a byte order mark, expected UTF-8 without one")]
    ByteOrderMark,
    /// The file holds only NUL bytes, which a crash before a flush leaves.
    #[error("{INCOMPLETE}: the file holds only NUL bytes, which a crash before a flush leaves")]
    NulFilled,
    /// The file ends in NUL bytes, which a crash before a flush leaves.
    #[error("{INCOMPLETE}: its last {bytes} bytes are NUL, which a crash before a flush leaves")]
    NulTail {
        /// The number of NUL bytes.
        bytes: usize,
    },
    /// The JSON ends early.
    #[error("{INCOMPLETE}: it is truncated: the JSON ends at {0}")]
    Truncated(Position),
    /// The file ends in the middle of a character.
    #[error("{INCOMPLETE}: it is truncated in the middle of a character")]
    TruncatedCharacter,
    /// The file is not UTF-8.
    #[error("{INCOMPLETE}: it is not UTF-8: byte {byte} is invalid")]
    NotUtf8 {
        /// The offset of the first invalid byte.
        byte: usize,
    },
    /// The file is not JSON.
    #[error("{INCOMPLETE}: it is not JSON: {reason} at {position}")]
    NotJson {
        /// The parser's message.
        reason: String,
        /// The place where parsing failed.
        position: Position,
    },
    /// The file is JSON of another kind.
    #[error("is not a result: expected a JSON object, got {kind}")]
    NotAnObject {
        /// The kind of the JSON value, with its article.
        kind: &'static str,
    },
    /// The file is a record of another schema line.
    #[error(
        "is not readable: expected schema line \"{expected}\", got {found}; \
         convert it with llem import, or read it with the version of llenergymeasure that wrote it"
    )]
    OtherSchemaLine {
        /// The schema line of the record, as JSON, or its `bundle_version`, which replaced it later.
        found: String,
        /// The schema line of this version.
        expected: String,
    },
    /// The caller cancelled before the file was checked.
    #[error("was not checked to its end: the caller has cancelled")]
    Interrupted,
    /// The file is a JSON object, but its fields do not fit the schema.
    #[error("is not a result: {0}")]
    Invalid(String),
}

const INCOMPLETE: &str = "is not a complete result";

/// The class of a fault: a reader reports each class with an error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// The file is incomplete, or not JSON.
    Corrupt,
    /// The record is of another schema line.
    OtherSchemaLine,
    /// The file is JSON, but not a result.
    Invalid,
}

/// A place in a text. It displays as a column alone where the text has one line, as in JSON Lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1; `None` where the text has only one.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line} column {}", self.column),
            None => write!(f, "column {}", self.column),
        }
    }
}

impl RecordFault {
    /// Return the class of the fault.
    #[must_use]
    pub fn class(&self) -> FaultClass {
        match self {
            Self::OtherSchemaLine { .. } => FaultClass::OtherSchemaLine,
            Self::NotAnObject { .. } | Self::Invalid(_) => FaultClass::Invalid,
            _ => FaultClass::Corrupt,
        }
    }
}

/// Return the reason why bytes are not JSON, or of another schema line; `None` where they are a JSON object of it.
///
/// It explains the refusal of a record, which it does not compare with the schema.
pub(crate) fn diagnose(bytes: &[u8], schema_line: &str) -> Option<RecordFault> {
    Header::read(bytes).and_then(|header| header.check_schema_line(schema_line)).err()
}

/// The fields of a record that decide what it is.
#[derive(Debug, Default)]
pub(crate) struct Header {
    version: Option<Value>,
    bundle: Option<Value>,
    /// The sidecar that the record names.
    pub sidecar: Option<String>,
}

impl Header {
    /// Read the header of a record of any schema line.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordFault> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(damage(bytes).unwrap_or(RecordFault::TruncatedCharacter));
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer.deserialize_any(Object).and_then(|header| {
            deserializer.end()?;
            Ok(header)
        });
        read.map_err(|error| match (damage(bytes), text.trim_start().as_bytes()) {
            (Some(fault), _) => fault,
            (None, [first, ..]) if *first != b'{' => RecordFault::NotAnObject { kind: kind_of(*first) },
            (None, _) => RecordFault::Invalid(without_place(error).to_string()),
        })
    }

    /// Refuse a record of another schema line; one that names none passes.
    pub fn check_schema_line(self, schema_line: &str) -> Result<Self, RecordFault> {
        let found = match (&self.version, &self.bundle) {
            (Some(found), _) if found != schema_line => found.to_string(),
            (None, Some(bundle)) => format!("bundle_version {bundle}"),
            _ => return Ok(self),
        };
        Err(RecordFault::OtherSchemaLine { found, expected: schema_line.to_owned() })
    }
}

/// Return the reason why bytes are not JSON.
fn damage(bytes: &[u8]) -> Option<RecordFault> {
    if bytes.is_empty() {
        return Some(RecordFault::Empty);
    }
    if [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| bytes.starts_with(mark)) {
        return Some(RecordFault::ByteOrderMark);
    }
    let content = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if content == 0 {
        return Some(RecordFault::NulFilled);
    }
    if content < bytes.len() {
        return Some(RecordFault::NulTail { bytes: bytes.len() - content });
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => return Some(RecordFault::TruncatedCharacter),
        Err(error) => return Some(RecordFault::NotUtf8 { byte: error.valid_up_to() }),
    };
    if text.trim().is_empty() {
        return Some(RecordFault::Blank);
    }
    let error = serde_json::from_str::<IgnoredAny>(text).err()?;
    let lines = text.lines().count();
    let line = (lines > 1).then_some(error.line());
    let position = Position { line, column: error.column() };
    // A number cut at its point, sign or exponent is truncated too, though the parser calls it invalid.
    let last_line = text.lines().next_back().map_or(0, str::len);
    let is_at_the_end = error.line() == lines && error.column() >= last_line;
    let is_cut_number = is_at_the_end && text.ends_with(['.', '-', '+', 'e', 'E']);
    Some(if error.is_eof() || is_cut_number {
        RecordFault::Truncated(position)
    } else {
        RecordFault::NotJson { reason: without_place(error).to_string(), position }
    })
}

fn kind_of(first: u8) -> &'static str {
    match first {
        b'[' => "an array",
        b'"' => "a string",
        b'n' => "null",
        b't' | b'f' => "a boolean",
        _ => "a number",
    }
}

/// The visitor of a record: it keeps the header, and checks the rest to be JSON.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "schema_version" => header.version = Some(value(map.next_value()?)?),
                "bundle_version" => header.bundle = Some(value(map.next_value()?)?),
                "timeseries" => header.sidecar = value(map.next_value()?)?.as_str().map(str::to_owned),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(header)
    }
}

/// Parse a value as pydantic does: a number beyond every float is valid, and the last of equal keys counts.
fn value<E: de::Error>(raw: &RawValue) -> Result<Value, E> {
    let is_number = raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match serde_json::from_str(raw.get()) {
        Err(_) if is_number => Ok(Value::Null),
        parsed => parsed.map_err(E::custom),
    }
}

/// The reason why the sidecar that a record names is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// The name is a path, which would lead out of the result's directory.
    #[error("which is not a file name")]
    NotAFileName,
    /// The directory holds no file of that name.
    #[error("which does not exist")]
    Missing,
}

/// Check the name that a record gives its sidecar; `exists` looks for the file, and only where the name is one.
pub fn check_name(name: &str, exists: impl FnOnce() -> bool) -> Result<(), NameFault> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        Err(NameFault::NotAFileName)
    } else if exists() {
        Ok(())
    } else {
        Err(NameFault::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn diagnose_each_kind_of_damage_names_it() {
        let fault = |bytes: &[u8]| diagnose(bytes, "2.0").unwrap();
        assert_eq!(fault(b""), RecordFault::Empty);
        assert_eq!(fault(&[0; 9]), RecordFault::NulFilled);
        assert_eq!(fault(b"{\"a\": 1\0\0\0"), RecordFault::NulTail { bytes: 3 });
        assert_eq!(fault(b" \n"), RecordFault::Blank);
        assert_eq!(fault(b"\xef\xbb\xbf{}"), RecordFault::ByteOrderMark);
        assert_eq!(fault(b"\xff\xfe{\0}\0"), RecordFault::ByteOrderMark);
        let other = fault(b"{\"bundle_version\": \"2.0\"}").to_string();
        assert!(other.contains("got bundle_version \"2.0\"; convert it with llem import"), "{other}");
        for cut in ["{\"a\": [1,", "{\"a\": 1.", "{\"a\": -", "{\n\"a\": 1e", "{\"a\": tru"] {
            assert!(matches!(fault(cut.as_bytes()), RecordFault::Truncated(_)), "{cut}");
        }
        assert_eq!(fault(b"{\"a\": \"\xc3"), RecordFault::TruncatedCharacter);
        assert_eq!(fault(b"{\"a\": \"\xff\"}"), RecordFault::NotUtf8 { byte: 7 });
        let said = fault(b"{'a': 1}").to_string();
        assert_eq!(said, "is not a complete result: it is not JSON: key must be a string at column 2");
        assert!(fault(b"{}\n{}").to_string().ends_with("trailing characters at line 2 column 1"));
        assert_eq!(fault(b"[1, {\"a\": null}]"), RecordFault::NotAnObject { kind: "an array" });
        assert_eq!(fault(b"{\"schema_version\": 2}").class(), FaultClass::OtherSchemaLine);
        assert_eq!(diagnose(b"{\"schema_version\": \"2.0\", \"n\": 1e999}", "2.0"), None);
    }

    proptest! {
        #[test]
        fn diagnose_any_bytes_returns(bytes in any::<Vec<u8>>()) {
            let _ = diagnose(&bytes, "2.0");
        }

        #[test]
        fn diagnose_every_proper_prefix_of_a_record_is_corrupt(cut in 1_usize..24) {
            let record = b"{\"a\": [1, \"\xc3\xa9\", null]}";
            let fault = diagnose(&record[..cut.min(record.len() - 1)], "2.0");
            prop_assert_eq!(fault.map(|fault| fault.class()), Some(FaultClass::Corrupt));
        }
    }
}
