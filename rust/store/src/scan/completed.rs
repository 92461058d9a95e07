//! The completed configurations of a tree: the hash of each record.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::column::ColumnSource;
use super::plan::{ConfigForm, Plan};
use super::record;
use super::records::{Pool, ReadLog};
use super::template::Memory;
use super::value::FieldValue;
use super::{RecordError, RecordErrorKind, RecordSchema, ScanError};
use crate::FAILURE;
use crate::error::Error;
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;
use crate::links::SkippedLinks;
use crate::load::{Limit, RecordFault};
use crate::storage::{Entry, FoundDirectory, Storage};
use crate::walk::{Tree, Turn, Visit};

const HASH: &str = "measurement_config_hash";

/// The completed configurations of a tree.
#[derive(Debug, Default)]
pub struct Completed {
    /// The `measurement_config_hash` of each record, and the number of records with it.
    pub hashes: BTreeMap<String, u64>,
    /// The number of failures next to the results; 0 where the failures are read.
    pub failures: u64,
    /// The records that cannot be read.
    pub errors: Vec<RecordError>,
    /// The symbolic links that were not followed.
    pub links: SkippedLinks,
}

/// Return the completed configurations of a location.
///
/// # Errors
///
/// The root cannot be read; the schema lacks `measurement_config_hash`; the caller cancels.
///
/// # Examples
///
/// ```
/// use llem_store::load::Limit;
/// use llem_store::scan::{RecordSchema, completed};
/// use llem_store::{Interrupt, Store};
///
/// # let temp = tempfile::tempdir()?;
/// # let root = temp.path();
/// # std::fs::create_dir(root.join("a"))?;
/// # std::fs::write(root.join("a/result.json"), r#"{"measurement_config_hash": "0123456789abcdef"}"#)?;
/// let schema = RecordSchema::from_json(
///     r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
///         {"name": "measurement_config_hash", "kind": "text"}]"#,
/// )?;
/// let completed = completed(&Store::at(root), &schema, Limit::USUAL, false, Interrupt::NEVER)?;
/// assert_eq!(completed.hashes["0123456789abcdef"], 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn completed(
    storage: &Arc<dyn Storage>,
    schema: &RecordSchema,
    limit: Limit,
    follow_links: bool,
    interrupt: Interrupt<'_>,
) -> Result<Completed, ScanError> {
    let plan = Plan::new(schema, &[HASH.to_owned()], ConfigForm::Omitted, Vec::new(), limit)?;
    let hash_index = plan.columns.iter().find_map(|column| match column.source {
        ColumnSource::Field(index) => Some(index),
        _ => None,
    });
    let visitor = HashVisitor { plan, hash_index: hash_index.unwrap_or(usize::MAX), pool: Pool::default() };
    let mut tree = Tree::open(storage, Arc::new(visitor), follow_links, interrupt)?;
    let mut completed = Completed::default();
    while let Some(mut chunk) = tree.next(interrupt)? {
        for hash in chunk.hashes {
            *completed.hashes.entry(hash).or_default() += 1;
        }
        completed.failures += chunk.failures;
        completed.errors.append(&mut chunk.log.errors);
        interrupt.check()?;
    }
    completed.links = tree.links().skipped();
    Ok(completed)
}

struct HashVisitor {
    plan: Plan,
    /// The index of the hash among the values of a record.
    hash_index: usize,
    pool: Pool,
}

struct HashChunk {
    hashes: Vec<String>,
    failures: u64,
    log: ReadLog,
}

impl Visit for HashVisitor {
    type Chunk = HashChunk;

    fn begin(&self) -> HashChunk {
        HashChunk { hashes: Vec::new(), failures: 0, log: self.pool.begin() }
    }

    fn visit(&self, chunk: &mut HashChunk, entry: &dyn Entry, turn: Turn<'_>) {
        let HashChunk { hashes, log, .. } = chunk;
        log.read(entry, self.plan.limit, |_, bytes, memory| {
            hashes.push(self.hash(bytes, memory, turn.interrupt)?);
            Ok(())
        });
    }

    fn search(&self, chunk: &mut HashChunk, root: &Dir, place: &Path, _: Interrupt<'_>) {
        chunk.failures += u64::from(root.has_file(&place.join(FAILURE)));
    }

    fn meet(&self, chunk: &mut HashChunk, found: FoundDirectory) {
        chunk.failures += u64::from(found.has_file(FAILURE));
    }

    fn fail(&self, chunk: &mut HashChunk, error: Error) {
        chunk.log.fail(error);
    }

    fn end(&self, chunk: &mut HashChunk) {
        self.pool.end(&mut chunk.log);
    }

    fn is_full(&self, _: &HashChunk) -> bool {
        false
    }

    fn is_empty(&self, chunk: &HashChunk) -> bool {
        chunk.log.is_empty() && chunk.failures == 0
    }
}

impl HashVisitor {
    /// Check a record as a scan does, and return its hash.
    fn hash(
        &self,
        bytes: &[u8],
        memory: &mut Memory,
        interrupt: Interrupt<'_>,
    ) -> Result<String, RecordErrorKind> {
        let record =
            record::read(bytes, &self.plan, Some(memory), interrupt).map_err(RecordErrorKind::Fault)?;
        match record.values.into_iter().nth(self.hash_index) {
            Some(FieldValue::Text(hash)) => Ok(hash.into_owned()),
            _ => Err(RecordErrorKind::Fault(RecordFault::Invalid(format!("it lacks {HASH}")))),
        }
    }
}
