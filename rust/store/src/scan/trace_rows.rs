//! Reading of power traces in the threads of a walk.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow_schema::{ArrowError, DataType, Fields, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;

use super::column::{EXPERIMENT, PATH};
use super::comparison::{Cell, Test};
use super::config::ConfigColumns;
use super::plan::Plan;
use super::records::{Pool, ReadLog};
use super::row::Row;
use super::value::FieldValue;
use super::watch::Watch;
use super::{RecordError, RecordErrorKind};
use crate::SIDECAR;
use crate::error::Error;
use crate::storage::Entry;
use crate::timeseries::{Share, TraceFile, TraceMemory, row_bytes};
use crate::walk::{Turn, Visit};

/// The visitor of a scan of power traces; without a table, it only collects types.
pub(super) struct TraceVisitor {
    pub plan: Arc<Plan>,
    pub memory: TraceMemory,
    pub watch: Arc<Watch>,
    pub table: Option<Arc<TraceTable>>,
    /// The columns of unknown types.
    pub names: Vec<String>,
    pub pool: Pool,
}

/// The columns of the table, and the columns of the power traces that they need.
#[derive(Debug)]
pub(super) struct TraceTable {
    pub schema: SchemaRef,
    pub filters: Arc<[(String, Test)]>,
    pub trace_columns: Fields,
}

/// The rows, or the types, of consecutive power traces.
pub(super) struct TraceChunk {
    configs: ConfigColumns,
    pub batches: VecDeque<TraceRows>,
    bytes: u64,
    /// The memory of the batches.
    pub shares: Vec<Share>,
    pub types: Vec<(String, DataType)>,
    /// Number of power traces that the types are from.
    pub traces: u64,
    pub log: ReadLog,
}

/// Rows of a power trace, in the columns that the table needs of it.
pub(super) struct TraceRows {
    pub rows: RecordBatch,
    label: Arc<TraceLabel>,
}

/// The result that a power trace belongs to.
struct TraceLabel {
    path: String,
    experiment: String,
}

impl Visit for TraceVisitor {
    type Chunk = TraceChunk;

    fn begin(&self) -> TraceChunk {
        TraceChunk {
            configs: ConfigColumns::new(&self.plan.keys, None),
            batches: VecDeque::new(),
            bytes: 0,
            shares: Vec::new(),
            types: Vec::new(),
            traces: 0,
            log: self.pool.begin(),
        }
    }

    fn end(&self, chunk: &mut TraceChunk) {
        self.pool.end(&mut chunk.log);
    }

    fn visit(&self, chunk: &mut TraceChunk, entry: &dyn Entry, turn: Turn<'_>) {
        let plan = &self.plan;
        let mut read = Ok(());
        let mut log = std::mem::take(&mut chunk.log);
        let mut configs = std::mem::replace(&mut chunk.configs, ConfigColumns::new(&plan.keys, None));
        log.read(entry, plan.limit, |entry, record, memory| {
            let row = Row::parse(plan, &self.watch, &mut configs, entry, record, memory, turn.interrupt)?;
            let Some(row) = row else { return Ok(()) };
            read = match &self.table {
                Some(table) => self.read_rows(table, entry, &row, chunk, turn),
                None => {
                    self.read_types(entry, &mut chunk.types).map(|found| chunk.traces += u64::from(found))
                }
            };
            Ok(())
        });
        (chunk.log, chunk.configs) = (log, configs);
        if let Err(error) = read {
            let (path, kind) = (entry.path_of(SIDECAR), RecordErrorKind::Io(error));
            chunk.log.errors.push(RecordError { path, size: 0, kind });
        }
    }

    fn fail(&self, chunk: &mut TraceChunk, error: Error) {
        chunk.log.fail(error);
    }

    fn is_full(&self, chunk: &TraceChunk) -> bool {
        chunk.bytes > self.memory.chunk_bytes()
    }

    fn is_empty(&self, chunk: &TraceChunk) -> bool {
        chunk.log.is_empty()
    }
}

impl TraceVisitor {
    /// Open a sidecar; `None` if there is none.
    fn open(entry: &dyn Entry) -> Result<Option<TraceFile>, Error> {
        let Some(source) = entry.open(SIDECAR)? else { return Ok(None) };
        TraceFile::from_source(source, &entry.path_of(SIDECAR)).map(Some)
    }

    /// Collect the types of a sidecar's columns; return whether there is a sidecar.
    fn read_types(&self, entry: &dyn Entry, types: &mut Vec<(String, DataType)>) -> Result<bool, Error> {
        let Some(file) = Self::open(entry)? else { return Ok(false) };
        types.extend(file.table_types(&self.names)?);
        Ok(true)
    }

    /// Append the rows of a sidecar that satisfy the conditions: all of them, or none if it cannot be read.
    fn read_rows(
        &self,
        table: &TraceTable,
        entry: &dyn Entry,
        row: &Row<'_>,
        chunk: &mut TraceChunk,
        turn: Turn<'_>,
    ) -> Result<(), Error> {
        let Some(file) = Self::open(entry)? else { return Ok(()) };
        let Some(FieldValue::Text(experiment)) = row.first_field(&self.plan) else { return Ok(()) };
        let mut read = file.batches(&table.trace_columns, turn.interrupt)?;
        file.check_memory(row_bytes(&table.trace_columns), &self.memory)?;
        let mut share = file.share(&self.memory, read.decoder_bytes(), turn)?;
        let label = Arc::new(TraceLabel { path: row.path.to_string(), experiment: experiment.to_string() });
        let (mut trace, mut trace_bytes) = (Vec::new(), 0);
        while let Some(batch) = read.next(turn.interrupt) {
            let Some(rows) = table.matching(&batch?).map_err(|error| file.not_a_trace(error.to_string()))?
            else {
                continue;
            };
            let bytes = rows.get_array_memory_size() as u64;
            share.grow(bytes, turn).map_err(|error| file.no_memory(error))?;
            trace_bytes += bytes;
            trace.push(TraceRows { rows, label: label.clone() });
        }
        share.shrink(read.decoder_bytes());
        chunk.batches.extend(trace);
        chunk.bytes += trace_bytes;
        chunk.shares.push(share);
        Ok(())
    }
}

impl TraceTable {
    /// Return the rows of a batch that satisfy the conditions; `None` if there are none.
    fn matching(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>, ArrowError> {
        let count = batch.num_rows();
        let mut kept = BooleanArray::from(vec![true; count]);
        for (name, test) in self.filters.iter() {
            if let Some(column) = batch.column_by_name(name) {
                kept = kept
                    .iter()
                    .enumerate()
                    .map(|(row, kept)| Some(kept? && test.holds(&cell(column, row))))
                    .collect();
            }
        }
        match kept.true_count() {
            0 => Ok(None),
            all if all == count => Ok(Some(batch.clone())),
            _ => filter_record_batch(batch, &kept).map(Some),
        }
    }

    /// Return rows of power traces as rows of the table.
    pub(super) fn rows(&self, traces: &[TraceRows]) -> Result<RecordBatch, ArrowError> {
        let parts = traces.iter().map(|TraceRows { rows, label }| {
            let count = rows.num_rows();
            let text = |text: &str| {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count))) as ArrayRef
            };
            let arrays = self.schema.fields().iter().map(|field| match field.name().as_str() {
                PATH => text(&label.path),
                EXPERIMENT => text(&label.experiment),
                name => rows
                    .column_by_name(name)
                    .cloned()
                    .unwrap_or_else(|| new_null_array(field.data_type(), count)),
            });
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            RecordBatch::try_new_with_options(self.schema.clone(), arrays.collect(), &options)
        });
        concat_batches(&self.schema, &parts.collect::<Result<Vec<_>, _>>()?)
    }
}

fn cell(column: &ArrayRef, row: usize) -> Cell<'_> {
    if column.is_null(row) {
        return Cell::Null;
    }
    match column.data_type() {
        DataType::Boolean => Cell::Bool(column.as_boolean().value(row)),
        DataType::Int32 => Cell::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Cell::Int(column.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float32 => Cell::Float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).into()),
        _ => Cell::Other,
    }
}
