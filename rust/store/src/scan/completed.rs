//! The completed configurations of a tree: the hash of each record, read with as little parsing as possible.
//!
//! A record as a save writes it is indented: its last brace is the only one at the start of a line. A truncated record
//! does not end so, and one that lost blocks has NUL in their place. Any other record is parsed completely.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use super::config::ConfigColumns;
use super::plan::{ConfigForm, Plan};
use super::records::ReadLog;
use super::row::{RecordFile, Row};
use super::value::FieldValue;
use super::{RecordError, RecordErrorKind, RecordSchema, ScanError};
use crate::error::Error;
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;
use crate::json::text::Key;
use crate::links::SkippedLinks;
use crate::load::{Limit, RecordFault};
use crate::walk::{Tree, Turn, Visit};

const HASH: &str = "measurement_config_hash";
const VERSION: &str = "schema_version";

/// The completed configurations of a tree.
#[derive(Debug, Default)]
pub struct Completed {
    /// The `measurement_config_hash` of each record.
    pub hashes: BTreeSet<String>,
    /// The records that cannot be read.
    pub errors: Vec<RecordError>,
    /// The symbolic links that were not followed.
    pub links: SkippedLinks,
}

/// Return the completed configurations below a root.
///
/// # Errors
///
/// The root cannot be read; the schema lacks `measurement_config_hash`; the caller cancels.
///
/// # Examples
///
/// ```
/// use llem_store::Interrupt;
/// use llem_store::load::Limit;
/// use llem_store::scan::{RecordSchema, completed};
///
/// # let temp = tempfile::tempdir()?;
/// # let root = temp.path();
/// # std::fs::create_dir(root.join("a"))?;
/// # std::fs::write(root.join("a/result.json"), r#"{"measurement_config_hash": "0123456789abcdef"}"#)?;
/// let schema = RecordSchema::from_json(
///     r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
///         {"name": "measurement_config_hash", "kind": "text"}]"#,
/// )?;
/// let completed = completed(root, &schema, Limit::USUAL, false, Interrupt::NEVER)?;
/// assert!(completed.hashes.contains("0123456789abcdef"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn completed(
    root: &Path,
    schema: &RecordSchema,
    limit: Limit,
    follow_links: bool,
    interrupt: Interrupt<'_>,
) -> Result<Completed, ScanError> {
    let plan = Plan::new(schema, &[HASH.to_owned()], ConfigForm::Omitted, Vec::new(), limit)?;
    let mut tree = Tree::open(root, Arc::new(HashVisitor { plan }), follow_links, interrupt)?;
    let mut completed = Completed::default();
    while let Some(mut chunk) = tree.next(interrupt)? {
        completed.hashes.extend(chunk.hashes);
        completed.errors.append(&mut chunk.log.errors);
        interrupt.check()?;
    }
    completed.links = tree.links().skipped();
    Ok(completed)
}

struct HashVisitor {
    plan: Plan,
}

#[derive(Default)]
struct HashChunk {
    hashes: Vec<String>,
    log: ReadLog,
}

impl Visit for HashVisitor {
    type Chunk = HashChunk;

    fn begin(&self) -> HashChunk {
        HashChunk::default()
    }

    fn visit(&self, chunk: &mut HashChunk, root: &Dir, place: &Path, record: File, _: Turn<'_>) {
        let HashChunk { hashes, log } = chunk;
        log.read(root, place, &record, self.plan.limit, |file, bytes| {
            hashes.push(self.find_hash(bytes).map_or_else(|| self.parse(file, bytes), Ok)?);
            Ok(())
        });
    }

    fn fail(&self, chunk: &mut HashChunk, error: Error) {
        chunk.log.fail(error);
    }

    fn is_full(&self, _: &HashChunk) -> bool {
        false
    }

    fn is_empty(&self, chunk: &HashChunk) -> bool {
        chunk.log.is_empty()
    }
}

impl HashVisitor {
    /// Return the hash of a record in the form that a save writes; `None` for any other form.
    fn find_hash(&self, bytes: &[u8]) -> Option<String> {
        let is_complete = bytes.starts_with(b"{\n  \"")
            && bytes.ends_with(b"\n}")
            && !bytes.contains(&0)
            && std::str::from_utf8(bytes).is_ok();
        if !is_complete {
            return None;
        }
        let mut beginning = serde_json::Deserializer::from_slice(bytes);
        // An error ends the parsing: either that of `Beginning` after both fields, or that of invalid JSON.
        let mut found = Beginning::default();
        let _ = beginning.deserialize_map(&mut found);
        (found.version? == self.plan.version).then_some(found.hash?)
    }

    /// Parse a record as a scan does, and return its hash.
    fn parse(&self, file: RecordFile<'_>, bytes: &[u8]) -> Result<String, RecordErrorKind> {
        let mut configs = ConfigColumns::new(&self.plan.keys, None);
        let row = Row::parse(&self.plan, &mut configs, file, bytes)?;
        match row.as_ref().and_then(|row| row.first_field(&self.plan)) {
            Some(FieldValue::Text(hash)) => Ok(hash.clone().into_owned()),
            _ => Err(RecordErrorKind::Fault(RecordFault::Invalid(format!("it lacks {HASH}")))),
        }
    }
}

/// The fields of a record up to the hash, which comes early.
#[derive(Default)]
struct Beginning {
    version: Option<String>,
    hash: Option<String>,
}

impl<'de> Visitor<'de> for &mut Beginning {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                VERSION => self.version = Some(map.next_value()?),
                HASH => self.hash = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if self.version.is_some() && self.hash.is_some() {
                return Err(A::Error::custom("found"));
            }
        }
        Ok(())
    }
}
