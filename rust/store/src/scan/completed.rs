//! Which configurations were measured: the hash of each record, and no more of it than that takes.
//!
//! A record as a save writes it needs no parser to be seen to be whole: it is indented, so the brace that closes it is
//! the only one at the start of a line, and nothing follows it. A record that was cut short does not end so, and
//! one that lost blocks has NUL in their place. Whatever looks otherwise is parsed.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use super::config::Configs;
use super::plan::{Origin, Plan, RecordSchema};
use super::record::Slot;
use super::records::{Log, Records};
use super::{Bad, ScanError, Trouble};
use crate::error::Error;
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;
use crate::json::text::Key;
use crate::load::{Limit, RecordFault};
use crate::walk::{Tree, Visit};

const HASH: &str = "measurement_config_hash";
const VERSION: &str = "schema_version";

/// The hashes of the configurations below a directory, and what is no result.
pub fn completed(
    root: &Path,
    schema: &RecordSchema,
    limit: Limit,
    interrupt: Interrupt<'_>,
) -> Result<(BTreeSet<String>, Vec<Bad>), ScanError> {
    let plan = Plan::new(schema, &[HASH.to_owned()], Vec::new(), usize::MAX, false);
    let plan = plan.map_err(ScanError::Shape)?.with_limit(limit);
    let records = Records { plan: Arc::new(plan), types: None };
    let mut tree = Tree::open(root, Arc::new(Hashes { records }))?;
    let (mut hashes, mut bad) = (BTreeSet::new(), Vec::new());
    while let Some(mut chunk) = tree.next(interrupt)? {
        hashes.extend(chunk.hashes);
        bad.append(&mut chunk.log.bad);
        interrupt.check()?;
    }
    Ok((hashes, bad))
}

struct Hashes {
    records: Records,
}

#[derive(Default)]
struct Chunk {
    hashes: Vec<String>,
    log: Log,
}

impl Visit for Hashes {
    type Chunk = Chunk;

    fn begin(&self) -> Chunk {
        Chunk::default()
    }

    fn visit(&self, chunk: &mut Chunk, root: &Dir, place: &Path, record: File) {
        let Chunk { hashes, log } = chunk;
        log.read(root, place, &record, self.records.plan.limit, |bytes, saved_at| {
            let glance = self.hash_in(bytes);
            hashes.push(glance.map_or_else(|| self.parse(root, place, saved_at, bytes), Ok)?);
            Ok(())
        });
    }

    fn fail(&self, chunk: &mut Chunk, error: Error) {
        chunk.log.fail(error);
    }

    fn is_full(&self, _: &Chunk) -> bool {
        false
    }

    fn is_empty(&self, chunk: &Chunk) -> bool {
        chunk.log.is_empty()
    }
}

impl Hashes {
    /// The hash in a record that is as a save writes it; `None` where that cannot be told at a glance.
    fn hash_in(&self, bytes: &[u8]) -> Option<String> {
        let is_whole = bytes.starts_with(b"{\n  \"")
            && bytes.ends_with(b"\n}")
            && !bytes.contains(&0)
            && std::str::from_utf8(bytes).is_ok();
        if !is_whole {
            return None;
        }
        let mut beginning = serde_json::Deserializer::from_slice(bytes);
        // What was looked for ends the parsing by an error; so does what is no JSON.
        let mut found = Beginning::default();
        let _ = beginning.deserialize_map(&mut found);
        (found.version? == self.records.plan.version).then_some(found.hash?)
    }

    /// The hash in any record, as a scan finds it.
    fn parse(&self, root: &Dir, place: &Path, saved_at: i64, bytes: &[u8]) -> Result<String, Trouble> {
        let mut configs = Configs::new(&self.records.plan.keys, None);
        let wanted = self.records.row(&mut configs, root, place, saved_at, bytes)?;
        let hash = self.records.plan.columns.iter().find_map(|column| match (&column.origin, &wanted) {
            (Origin::Slot(slot), Some(wanted)) => wanted.slots.get(*slot),
            _ => None,
        });
        match hash {
            Some(Slot::Text(hash)) => Ok(hash.clone().into_owned()),
            _ => Err(Trouble::Fault(RecordFault::Invalid(format!("it lacks {HASH}")))),
        }
    }
}

/// The fields of a record as far as the hash, which comes early.
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
