//! A tree of results becomes a table: read in parallel, in Arrow batches, in a fixed order.
//!
//! Each `result.json` is one row. What is asked for is taken out of it, the rest is checked to be JSON and skipped.
//! The types of columns are those of the schema; those of the configuration, which has none, are inferred over
//! the whole tree, which takes a pass over it before the first batch. What that pass reads is kept and not
//! read again, unless it is too much to keep.

mod columns;
mod config;
mod documents;
mod filter;
mod json;
mod plan;
mod record;
mod tree;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};

pub use documents::{Document, Documents};
pub use filter::{Comparison, Condition, Operand};
pub use plan::{Field as RecordField, Kind, Plan, RecordSchema};

use columns::{Values, data_type};
use config::{Configs, Survey, Types};
use filter::{Cell, Filter};
use plan::Origin;
use record::{Row, Slot};
use tree::{Tree, Visit};

use crate::dir::Dir;
use crate::error::{Error, Step};
use crate::load::diagnose;
use crate::{RECORD, SIDECAR};

/// Bytes of what a first pass has read that are kept, so that there is no second.
const KEEP: usize = 64 << 20;
/// Bytes of a chunk, and of a batch, after which another begins.
const CHUNK_BYTES: usize = 8 << 20;

/// Why a scan stopped.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The tree cannot be read at all, or the caller asked to stop.
    #[error(transparent)]
    Store(#[from] Error),
    /// One result cannot be read, and that was to stop the scan.
    #[error("{0}")]
    Bad(Bad),
    /// The tree does not fit a table.
    #[error("{0}")]
    Shape(String),
    /// Arrow has failed.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// A `result.json` that is no row, or a directory that cannot be read.
#[derive(Debug)]
pub struct Bad {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of the file.
    pub size: u64,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Trouble {
    /// It could not be read.
    Io(Error),
    /// It is not whole, or not JSON.
    Corrupt(String),
    /// It is of another schema line; which one, as JSON.
    Version(String),
    /// It is JSON, and no result of this schema line.
    Invalid(String),
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, size, trouble } = self;
        let path = path.display();
        match trouble {
            Trouble::Io(error) => write!(f, "{error}"),
            Trouble::Corrupt(damage) => write!(f, "{path} ({size} bytes) is not a whole result: {damage}"),
            Trouble::Version(line) => write!(
                f,
                "{path} ({size} bytes) is of schema line {line}, which this version of llenergymeasure does not read"
            ),
            Trouble::Invalid(reason) => write!(f, "{path} ({size} bytes) is not a result: {reason}"),
        }
    }
}

/// A question about a tree; each [`Scan::read`] answers it anew.
#[derive(Debug)]
pub struct Scan {
    root: PathBuf,
    plan: Arc<Plan>,
    strict: bool,
    /// Once they are known, the columns stay what they are.
    table: Mutex<Option<Arc<Table>>>,
}

/// The columns of the table.
#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    /// Of the configuration.
    types: Arc<Types>,
    /// The keys that were found and are columns, by their place among the types.
    found: Vec<usize>,
}

/// What came of some results.
#[derive(Debug)]
pub struct Part {
    /// The rows; there may be none.
    pub batch: RecordBatch,
    /// What is no row, in order.
    pub bad: Vec<Bad>,
}

/// Told how many results were read so far; true stops the reading.
pub type Poll<'p> = &'p mut dyn FnMut(u64) -> bool;

impl Scan {
    /// Ask for what a plan says. A `strict` scan stops at the first file that is no result.
    #[must_use]
    pub fn new(root: PathBuf, plan: Plan, strict: bool) -> Self {
        Self { root, plan: Arc::new(plan), strict, table: Mutex::new(None) }
    }

    /// The columns, where no result must be read to know them, or some were.
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        self.known().map(|table| table.schema.clone())
    }

    fn known(&self) -> Option<Arc<Table>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.is_none() && !self.plan.is_open() {
            *table = Some(Arc::new(Table::new(&self.plan, Types::texts(&self.plan.keys))));
        }
        table.clone()
    }

    /// Begin to read; where the columns are not known yet, read everything once to find them.
    ///
    /// # Errors
    ///
    /// The root cannot be read; the caller stops; a strict scan meets a file that is no result.
    pub fn read(&self, poll: Poll<'_>) -> Result<Reader, ScanError> {
        let known = self.known();
        let visit =
            Records { plan: self.plan.clone(), types: known.as_ref().map(|table| table.types.clone()) };
        let mut tree = Tree::open(&self.root, Arc::new(visit))?;
        let (table, kept) = match known {
            Some(table) => (table, VecDeque::new()),
            None => match self.survey(&mut tree, poll)? {
                (table, Some(kept)) => (table, kept),
                (table, None) => {
                    let types = Some(table.types.clone());
                    tree = Tree::open(&self.root, Arc::new(Records { plan: self.plan.clone(), types }))?;
                    (table, VecDeque::new())
                }
            },
        };
        let plan = self.plan.clone();
        Ok(Reader { plan, table, tree, kept, strict: self.strict, records: 0, pending: Pending::default() })
    }

    fn survey(
        &self,
        tree: &mut Tree<Records>,
        poll: Poll<'_>,
    ) -> Result<(Arc<Table>, Option<VecDeque<Chunk>>), ScanError> {
        let (mut survey, mut kept, mut bytes, mut records) = (Survey::default(), Some(VecDeque::new()), 0, 0);
        while let Some(mut chunk) = tree.next(&mut || poll(records))? {
            records += chunk.records;
            if self.strict && !chunk.bad.is_empty() {
                return Err(ScanError::Bad(chunk.bad.swap_remove(0)));
            }
            survey.add(&chunk.configs);
            bytes += chunk.size();
            if bytes > KEEP {
                kept = None;
            } else if let Some(kept) = &mut kept {
                kept.push_back(chunk);
            }
            if poll(records) {
                return Err(Error::Interrupted.into());
            }
        }
        let types = survey.decide(&self.plan.keys).map_err(ScanError::Shape)?;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let table = table.get_or_insert_with(|| Arc::new(Table::new(&self.plan, types))).clone();
        Ok((table, kept))
    }
}

impl Table {
    fn new(plan: &Plan, types: Types) -> Self {
        let named: Vec<&str> = plan.columns.iter().map(|column| column.name.as_str()).collect();
        let name = |path: &[String]| format!("{}.{}", plan::CONFIG, Types::name(path));
        let found: Vec<usize> = types
            .found
            .iter()
            .enumerate()
            .filter(|(_, (path, _))| !named.contains(&name(path).as_str()))
            .map(|(place, _)| place)
            .collect();
        let mut fields = Vec::new();
        for column in &plan.columns {
            match column.origin {
                Origin::Config(wanted) => {
                    let kinds = types.wanted.get(wanted).copied().unwrap_or_default();
                    fields.push(Field::new(&column.name, kinds.decide().data_type(), true));
                }
                Origin::AllConfig => {
                    let found = found.iter().filter_map(|place| types.found.get(*place));
                    fields.extend(
                        found.map(|(path, kinds)| Field::new(name(path), kinds.decide().data_type(), true)),
                    );
                }
                _ => fields.push(Field::new(&column.name, data_type(column), column.nullable)),
            }
        }
        Self { schema: Arc::new(Schema::new(fields)), types: Arc::new(types), found }
    }
}

/// Answers a scan, part by part.
pub struct Reader {
    plan: Arc<Plan>,
    table: Arc<Table>,
    tree: Tree<Records>,
    /// What was read to find the columns.
    kept: VecDeque<Chunk>,
    strict: bool,
    records: u64,
    pending: Pending,
}

#[derive(Default)]
struct Pending {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    bad: Vec<Bad>,
}

impl Reader {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.table.schema.clone()
    }

    /// Results read so far, rows or not.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The next rows, as many as the batch size; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`].
    pub fn next(&mut self, poll: Poll<'_>) -> Result<Option<Part>, ScanError> {
        loop {
            let records = self.records;
            let chunk = match self.kept.pop_front() {
                Some(chunk) => Some(chunk),
                None => self.tree.next(&mut || poll(records))?,
            };
            let Some(mut chunk) = chunk else {
                let is_over = self.pending.batches.is_empty() && self.pending.bad.is_empty();
                return if is_over { Ok(None) } else { self.part().map(Some) };
            };
            if self.strict && !chunk.bad.is_empty() {
                return Err(ScanError::Bad(chunk.bad.swap_remove(0)));
            }
            self.records += chunk.records;
            let full =
                self.pending.rows + chunk.rows > self.plan.batch_size || self.pending.bytes > CHUNK_BYTES;
            let part = if full && self.pending.rows > 0 { Some(self.part()?) } else { None };
            self.pending.bad.append(&mut chunk.bad);
            if chunk.rows > 0 {
                self.pending.rows += chunk.rows;
                self.pending.bytes += chunk.size();
                self.pending.batches.push(chunk.into_batch(&self.plan, &self.table)?);
            }
            if poll(self.records) {
                return Err(Error::Interrupted.into());
            }
            if part.is_some() {
                return Ok(part);
            }
        }
    }

    fn part(&mut self) -> Result<Part, ScanError> {
        let Pending { mut batches, bad, .. } = std::mem::take(&mut self.pending);
        let batch = match batches.len() {
            1 => batches.swap_remove(0),
            _ => arrow_select::concat::concat_batches(&self.table.schema, &batches)?,
        };
        Ok(Part { batch, bad })
    }
}

/// Reads records.
struct Records {
    plan: Arc<Plan>,
    types: Option<Arc<Types>>,
}

/// What came of some records that follow each other.
struct Chunk {
    columns: Vec<Values>,
    configs: Configs,
    rows: usize,
    bytes: usize,
    records: u64,
    bad: Vec<Bad>,
    buffer: Vec<u8>,
}

/// A record's file.
struct Found<'f> {
    root: &'f Dir,
    place: &'f Path,
    path: &'f str,
    saved_at: i64,
    has_timeseries: Option<bool>,
}

impl Found<'_> {
    fn has_timeseries(&mut self) -> bool {
        *self.has_timeseries.get_or_insert_with(|| self.root.has_file(&self.place.join(SIDECAR)))
    }
}

impl Visit for Records {
    type Chunk = Chunk;

    fn begin(&self) -> Chunk {
        Chunk {
            columns: self.plan.columns.iter().map(Values::of).collect(),
            configs: Configs::new(&self.plan.keys, self.types.as_ref()),
            rows: 0,
            bytes: 0,
            records: 0,
            bad: Vec::new(),
            buffer: Vec::new(),
        }
    }

    fn visit(&self, chunk: &mut Chunk, root: &Dir, place: &Path, record: File) {
        chunk.records += 1;
        let mut buffer = std::mem::take(&mut chunk.buffer);
        let outcome = self.take_in(chunk, root, place, &record, &mut buffer);
        if let Err(trouble) = outcome {
            let path = root.path().join(place).join(RECORD);
            chunk.bad.push(Bad { path, size: buffer.len() as u64, trouble });
        }
        chunk.buffer = buffer;
    }

    fn fail(&self, chunk: &mut Chunk, error: Error) {
        let path = error.path().map(Path::to_owned).unwrap_or_default();
        chunk.bad.push(Bad { path, size: 0, trouble: Trouble::Io(error) });
    }

    fn is_full(&self, chunk: &Chunk) -> bool {
        chunk.rows >= self.plan.batch_size || chunk.size() > CHUNK_BYTES
    }

    fn is_empty(&self, chunk: &Chunk) -> bool {
        chunk.records == 0 && chunk.bad.is_empty()
    }
}

impl Records {
    fn take_in(
        &self,
        chunk: &mut Chunk,
        root: &Dir,
        place: &Path,
        record: &File,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        let io = |error| Trouble::Io(Error::io(Step::Read, root.path().join(place).join(RECORD), error));
        let Some(path) = place.to_str() else {
            let said = "its path is not UTF-8, which a table cannot hold; rename the directory";
            return Err(io(io::Error::new(io::ErrorKind::InvalidInput, said)));
        };
        let saved_at = read_whole(record, buffer).map_err(io)?;
        let plan = &*self.plan;
        let invalid = |error: &serde_json::Error| self.trouble(buffer, error);
        let Row { mut slots, config } =
            record::read(buffer, &plan.record, plan.slots).map_err(|e| invalid(&e))?;
        if slots.get(plan.version_slot) != Some(&Slot::Text(plan.version.as_str().into())) {
            return Err(Trouble::Version(version_in(buffer)));
        }
        let path = if path.is_empty() { "." } else { path };
        let mut found = Found { root, place, path, saved_at, has_timeseries: None };
        // What a save would have written, had it put the sidecar there.
        if let Some(slot @ Slot::Null) = plan.timeseries_slot.and_then(|slot| slots.get_mut(slot))
            && found.has_timeseries()
        {
            *slot = Slot::Text(SIDECAR.into());
        }
        let mut values = Vec::new();
        if let Some(text) = config.filter(|_| !plan.keys.are_none()) {
            chunk.configs.read(text, &mut values).map_err(|e| invalid(&e))?;
        }
        if let Some(misfit) = chunk.configs.misfit(&values) {
            return Err(Trouble::Invalid(misfit));
        }
        if plan.filters.iter().all(|filter| holds(filter, &slots, &values, &mut found)) {
            chunk.push(plan, &slots, &values, &mut found);
        }
        Ok(())
    }

    /// What is wrong with bytes that could not be read as asked.
    fn trouble(&self, bytes: &[u8], error: &serde_json::Error) -> Trouble {
        if let Some(damage) = diagnose(bytes) {
            return Trouble::Corrupt(damage);
        }
        let version = version_in(bytes);
        if version != "null" && json::text_of(&version) != self.plan.version {
            return Trouble::Version(version);
        }
        Trouble::Invalid(error.to_string())
    }
}

/// Read a regular file; returns when it was written, in microseconds since 1970.
fn read_whole(mut file: &File, buffer: &mut Vec<u8>) -> io::Result<i64> {
    buffer.clear();
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    crate::load::check_size(metadata.len())?;
    // A record never changes: when as much is read as there was, there is no more to ask for.
    buffer.resize(usize::try_from(metadata.len()).unwrap_or(usize::MAX), 0);
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(read);
    let modified = metadata.modified()?;
    let micros = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    };
    Ok(micros)
}

/// The schema line that a document says it is of, as JSON.
fn version_in(bytes: &[u8]) -> String {
    let document = serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
    document.get("schema_version").map_or_else(|| "null".to_owned(), ToString::to_string)
}

fn holds(filter: &Filter, slots: &[Slot<'_>], values: &[(usize, &str)], found: &mut Found<'_>) -> bool {
    let text;
    let cell = match &filter.origin {
        Origin::Path => Cell::Text(found.path),
        Origin::HasTimeseries => Cell::Bool(found.has_timeseries()),
        Origin::SavedAt => Cell::Int(found.saved_at.into()),
        Origin::Slot(slot) => match slots.get(*slot) {
            Some(Slot::Bool(value)) => Cell::Bool(*value),
            Some(Slot::Int(value) | Slot::Time(value, _)) => Cell::Int((*value).into()),
            Some(Slot::Float(value)) => Cell::Float(*value),
            Some(Slot::Text(value)) => Cell::Text(value),
            Some(Slot::Null) | None => Cell::Null,
            Some(_) => Cell::Other,
        },
        Origin::Instant(slot) => match slots.get(*slot).and_then(instant) {
            Some(micros) => Cell::Int(micros.into()),
            None => Cell::Null,
        },
        Origin::Config(column) => {
            match values.iter().find(|(wanted, _)| wanted == column).map(|(_, text)| *text) {
                None | Some("null") => Cell::Null,
                Some("true") => Cell::Bool(true),
                Some("false") => Cell::Bool(false),
                Some(value) if value.starts_with('"') => {
                    text = json::text_of(value);
                    Cell::Text(&text)
                }
                Some(value) => match (value.parse(), value.parse()) {
                    (Ok(integer), _) => Cell::Int(integer),
                    (_, Ok(float)) => Cell::Float(float),
                    _ => Cell::Other,
                },
            }
        }
        Origin::AllConfig => Cell::Other,
    };
    filter.holds(cell)
}

/// The instant of a time that tells its zone, in microseconds since 1970.
fn instant(slot: &Slot<'_>) -> Option<i64> {
    match slot {
        Slot::Time(micros, Some(offset)) => micros.checked_sub(i64::from(*offset) * 1_000_000),
        _ => None,
    }
}

impl Chunk {
    /// Bytes in memory, roughly.
    fn size(&self) -> usize {
        self.bytes + self.configs.size()
    }

    fn push(&mut self, plan: &Plan, slots: &[Slot<'_>], values: &[(usize, &str)], found: &mut Found<'_>) {
        for (column, target) in plan.columns.iter().zip(&mut self.columns) {
            self.bytes += 8;
            match &column.origin {
                Origin::Path => target.push(&Slot::Text(found.path.into())),
                Origin::HasTimeseries => target.push(&Slot::Bool(found.has_timeseries())),
                Origin::SavedAt => target.push(&Slot::Time(found.saved_at, None)),
                Origin::Slot(slot) => {
                    let slot = slots.get(*slot).unwrap_or(&Slot::Null);
                    self.bytes += weight(slot);
                    target.push(slot);
                }
                Origin::Instant(slot) => match slots.get(*slot).and_then(instant) {
                    Some(micros) => target.push(&Slot::Time(micros, None)),
                    None => target.push_null(),
                },
                Origin::Config(_) | Origin::AllConfig => {}
            }
        }
        self.configs.add(self.rows, values);
        self.rows += 1;
    }

    fn into_batch(mut self, plan: &Plan, table: &Table) -> Result<RecordBatch, ArrowError> {
        let (wanted, found) = self.configs.arrays(&table.types, self.rows);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(table.schema.fields().len());
        for (column, values) in plan.columns.iter().zip(&mut self.columns) {
            match column.origin {
                Origin::Config(place) => arrays.extend(wanted.get(place).cloned()),
                Origin::AllConfig => {
                    arrays.extend(table.found.iter().filter_map(|place| found.get(*place).cloned()));
                }
                _ => arrays.push(values.finish()),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(table.schema.clone(), arrays, &options)
    }
}

/// Bytes of a value beyond a fixed part.
fn weight(slot: &Slot<'_>) -> usize {
    match slot {
        Slot::Text(text) | Slot::Json(text) => text.len(),
        Slot::Floats(items) => 8 * items.len(),
        Slot::Texts(items) => items.iter().map(|item| 4 + item.len()).sum(),
        Slot::Items(items) => items.iter().map(|item| 8 + weight(item)).sum(),
        _ => 0,
    }
}
