//! Reading of records in the threads of a walk: each chunk collects the rows of consecutive records.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::ArrowError;

use super::builder::{CHUNK_ROWS, ColumnBuilder};
use super::column::ColumnSource;
use super::config::ConfigColumns;
use super::error::{RecordError, RecordErrorKind};
use super::keys::ConfigTypes;
use super::plan::Plan;
use super::row::Row;
use super::table::Table;
use super::template::Memory;
use super::value::FieldValue;
use super::watch::Watch;
use crate::error::Error;
use crate::json::text::minify;
use crate::load::Limit;
use crate::storage::Entry;
use crate::walk::{CHUNK_BYTES, Turn, Visit};

/// Maximum bytes of a buffer that is kept for the next record.
const MAX_KEPT_BUFFER: usize = 1 << 18;

/// The visitor of a scan.
pub(super) struct RecordVisitor {
    pub plan: Arc<Plan>,
    pub types: Option<Arc<ConfigTypes>>,
    pub watch: Arc<Watch>,
    /// The reader needs the first rows only.
    pub is_head: bool,
    pool: Pool,
}

impl RecordVisitor {
    pub fn new(plan: Arc<Plan>, types: Option<Arc<ConfigTypes>>, watch: Arc<Watch>, is_head: bool) -> Self {
        Self { plan, types, watch, is_head, pool: Pool::default() }
    }
}

/// The number of records that a chunk has read, and their errors.
#[derive(Default)]
pub(super) struct ReadLog {
    pub records: u64,
    pub errors: Vec<RecordError>,
    kept: Kept,
}

/// What a thread keeps from record to record.
#[derive(Default)]
pub(super) struct Kept {
    buffer: Vec<u8>,
    memory: Memory,
}

/// What threads keep from chunk to chunk.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Kept>>);

impl Pool {
    /// Begin the log of a chunk.
    pub fn begin(&self) -> ReadLog {
        let mut kept = self.lock().pop().unwrap_or_default();
        kept.memory.renew();
        ReadLog { kept, ..ReadLog::default() }
    }

    /// End the log of a chunk, which waits for the reader from here on.
    pub fn end(&self, log: &mut ReadLog) {
        let kept = std::mem::take(&mut log.kept);
        self.lock().push(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadLog {
    /// Read a record, and pass its bytes to `take`; note the error of either.
    pub fn read(
        &mut self,
        entry: &dyn Entry,
        limit: Limit,
        take: impl FnOnce(&dyn Entry, &[u8], &mut Memory) -> Result<(), RecordErrorKind>,
    ) {
        self.records += 1;
        let Kept { buffer, memory } = &mut self.kept;
        let read = entry.read(limit, buffer).map_err(RecordErrorKind::Io);
        let taken = read.and_then(|()| take(entry, buffer, memory));
        if let Err(kind) = taken {
            self.errors.push(RecordError { path: entry.record_path(), size: buffer.len() as u64, kind });
        }
        // A chunk would otherwise keep the memory of one large record.
        if buffer.capacity() > MAX_KEPT_BUFFER {
            *buffer = Vec::new();
        }
    }

    /// Note a record or directory that cannot be opened.
    pub fn fail(&mut self, error: Error) {
        let path = error.path().map(Path::to_owned).unwrap_or_default();
        self.errors.push(RecordError { path, size: 0, kind: RecordErrorKind::Io(error) });
    }

    /// Return the first error of a scan that stops at it.
    pub fn check(&mut self, stop_at_error: bool) -> Result<(), RecordError> {
        let first = self.errors.iter().position(|error| !matches!(error.kind, RecordErrorKind::Beyond(_)));
        match first.filter(|_| stop_at_error) {
            Some(first) => Err(self.errors.swap_remove(first)),
            None => Ok(()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.errors.is_empty()
    }
}

/// The rows of consecutive records.
pub(super) struct RowChunk {
    columns: Vec<ColumnBuilder>,
    pub configs: ConfigColumns,
    pub rows: usize,
    bytes: usize,
    pub log: ReadLog,
}

impl Visit for RecordVisitor {
    type Chunk = RowChunk;

    fn begin(&self) -> RowChunk {
        RowChunk {
            columns: self.plan.columns.iter().map(ColumnBuilder::new).collect(),
            configs: ConfigColumns::new(&self.plan.keys, self.types.as_ref()),
            rows: 0,
            bytes: 0,
            log: self.pool.begin(),
        }
    }

    fn visit(&self, chunk: &mut RowChunk, entry: &dyn Entry, turn: Turn<'_>) {
        let mut log = std::mem::take(&mut chunk.log);
        let mut beyond = None;
        log.read(entry, self.plan.limit, |entry, bytes, memory| {
            let (plan, configs) = (&self.plan, &mut chunk.configs);
            if let Some(mut row) =
                Row::parse(plan, &self.watch, configs, entry, bytes, memory, turn.interrupt)?
            {
                chunk.push(&self.plan, &mut row);
                beyond = row.beyond;
            }
            Ok(())
        });
        if let Some(column) = beyond {
            let path = entry.record_path();
            log.errors.push(RecordError { path, size: 0, kind: RecordErrorKind::Beyond(column.into()) });
        }
        chunk.log = log;
    }

    fn may_stop(&self) -> bool {
        self.is_head
    }

    fn fail(&self, chunk: &mut RowChunk, error: Error) {
        chunk.log.fail(error);
    }

    fn end(&self, chunk: &mut RowChunk) {
        self.pool.end(&mut chunk.log);
    }

    fn is_full(&self, chunk: &RowChunk) -> bool {
        chunk.rows >= CHUNK_ROWS || chunk.size() > CHUNK_BYTES
    }

    fn is_empty(&self, chunk: &RowChunk) -> bool {
        chunk.log.is_empty()
    }
}

impl RowChunk {
    /// Return the approximate bytes in memory.
    pub fn size(&self) -> usize {
        self.bytes + self.configs.size() + 8 * CHUNK_ROWS * self.columns.len()
    }

    fn push(&mut self, plan: &Plan, row: &mut Row<'_>) {
        let time = |micros: Option<i64>| micros.map_or(FieldValue::Null, |m| FieldValue::Time(m, None));
        for (column, target) in plan.columns.iter().zip(&mut self.columns) {
            self.bytes += 8;
            match &column.source {
                ColumnSource::Path => target.push(&FieldValue::Text(row.path.as_ref().into())),
                ColumnSource::HasTimeseries => target.push(&FieldValue::Bool(row.has_timeseries())),
                ColumnSource::SavedAt => target.push(&time(row.saved_at())),
                ColumnSource::RecordSha256 => {
                    let digits = row.sha256();
                    self.bytes += digits.len();
                    target.push(&FieldValue::Text(digits.into()));
                }
                ColumnSource::Instant(index) => target.push(&time(row.instant(*index))),
                ColumnSource::Field(index) => {
                    let value = row.values.get(*index).unwrap_or(&FieldValue::Null);
                    self.bytes += value.size();
                    target.push(value);
                }
                ColumnSource::ConfigText => {
                    let value = FieldValue::Json(minify(row.config_text.unwrap_or("{}")));
                    self.bytes += value.size();
                    target.push(&value);
                }
                ColumnSource::ConfigKey(_) | ColumnSource::WholeConfig => {}
            }
        }
        self.configs.add(self.rows, &row.config);
        self.rows += 1;
    }

    pub fn into_batch(mut self, plan: &Plan, table: &Table) -> Result<RecordBatch, ArrowError> {
        let (requested, found) = self.configs.arrays(&table.types, self.rows);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(table.schema.fields().len());
        for (column, builder) in plan.columns.iter().zip(&mut self.columns) {
            match column.source {
                ColumnSource::ConfigKey(index) => arrays.extend(requested.get(index).cloned()),
                ColumnSource::WholeConfig => {
                    arrays.extend(table.found.iter().filter_map(|index| found.get(*index).cloned()));
                }
                _ => arrays.push(builder.finish()),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(table.schema.clone(), arrays, &options)
    }
}
