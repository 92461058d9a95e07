//! One record, and the sidecar that it names.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::reason_of;
use crate::error::Error;
use crate::fs::dir::Dir;
use crate::json::text::{Key, without_place};
use crate::load::diagnose;
use crate::timeseries::TraceFile;
use crate::{RECORD, SIDECAR};

/// What a record says of itself.
#[derive(Default)]
struct Header {
    version: Option<Value>,
    sidecar: Option<String>,
}

/// Say what is wrong with a record, as an error, or that its sidecar is missing; where it is `deep`, the sidecar is
/// read through.
pub(super) fn check(
    root: &Dir,
    place: &Path,
    record: &[u8],
    version: &str,
    deep: bool,
) -> Result<Option<String>, String> {
    let header = Header::read(record)?;
    if let Some(other) = header.version.filter(|said| said != version) {
        return Err(format!("{RECORD} is of schema line {other}, which is not read here; this is {version}"));
    }
    let Some(name) = header.sidecar else {
        if deep && root.has_file(&place.join(SIDECAR)) {
            read_through(root, place, SIDECAR)?;
        }
        return Ok(None);
    };
    if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\\', '\0']) {
        return Ok(Some(format!("{RECORD} names {name:?} as its sidecar, which is not a file name")));
    }
    if !root.has_file(&place.join(&name)) {
        return Ok(Some(format!("{RECORD} names {name:?}, and there is no such file beside it")));
    }
    if deep {
        read_through(root, place, &name)?;
    }
    Ok(None)
}

fn read_through(root: &Dir, place: &Path, name: &str) -> Result<(), String> {
    let below = place.join(name);
    let path = root.path().join(&below);
    let file =
        root.open_file(&below).map_err(|error| format!("{name} cannot be read: {}", reason_of(&error)))?;
    match TraceFile::from_file(file, &path).and_then(TraceFile::read_through) {
        // What is encrypted, only its owner can read further.
        Ok(()) | Err(Error::NotATrace { .. }) => Ok(()),
        Err(Error::DamagedTrace { size, reason, .. }) => {
            Err(format!("{name} ({size} bytes) is not a whole power trace: {reason}"))
        }
        Err(error) => Err(format!("{name} cannot be read: {}", super::reason(&error))),
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let not_whole = |damage| format!("{RECORD} ({} bytes) is not whole: {damage}", bytes.len());
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(not_whole(diagnose(bytes).unwrap_or_default()));
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer.deserialize_any(Object).and_then(|header| {
            deserializer.end()?;
            Ok(header)
        });
        read.map_err(|error| match diagnose(bytes) {
            Some(damage) => not_whole(damage),
            None if !text.trim_start().starts_with('{') => {
                format!("{RECORD} is not a result: it is no JSON object")
            }
            None => format!("{RECORD} is not a result: {}", without_place(error)),
        })
    }
}

/// The fields of an object that say what it is; the rest is checked to be JSON.
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
                "timeseries" => header.sidecar = value(map.next_value()?)?.as_str().map(str::to_owned),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(header)
    }
}

/// Parse a value as loading does, for which a number beyond every float is one, and of a key that is there twice the
/// last counts.
fn value<E: de::Error>(raw: &RawValue) -> Result<Value, E> {
    let is_number = raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match serde_json::from_str(raw.get()) {
        Err(_) if is_number => Ok(Value::Null),
        parsed => parsed.map_err(E::custom),
    }
}
