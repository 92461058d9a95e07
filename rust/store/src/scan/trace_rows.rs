//! Reading of power traces in the threads of a walk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use arrow_select::filter::filter_record_batch;

use super::column::{EXPERIMENT, PATH};
use super::config::ConfigColumns;
use super::filter::{Cell, Test};
use super::plan::Plan;
use super::records::ReadLog;
use super::row::Row;
use super::value::FieldValue;
use super::{RecordError, RecordErrorKind};
use crate::SIDECAR;
use crate::error::{Error, Step};
use crate::fs::dir::Dir;
use crate::timeseries::TraceFile;
use crate::walk::{CHUNK_BYTES, Visit};

const GPU: &str = "gpu_index";
/// Maximum bytes of a power trace, which is kept as a whole, and of a column of strings.
const MAX_BYTES: usize = 1 << 31;

/// The visitor of a scan of power traces; without a table, it only collects types.
pub(super) struct TraceVisitor {
    pub plan: Arc<Plan>,
    pub table: Option<Arc<TraceTable>>,
    /// The columns of unknown types.
    pub names: Vec<String>,
}

/// The columns of the table, and the columns of the power traces that they need.
#[derive(Debug)]
pub(super) struct TraceTable {
    pub schema: SchemaRef,
    pub filters: Arc<[(String, Test)]>,
    pub trace_columns: BTreeMap<String, DataType>,
}

/// The rows, or the types, of consecutive power traces.
pub(super) struct TraceChunk {
    configs: ConfigColumns,
    pub batches: Vec<RecordBatch>,
    pub types: Vec<(String, DataType)>,
    /// Number of power traces that the types are from.
    pub traces: u64,
    pub log: ReadLog,
}

impl Visit for TraceVisitor {
    type Chunk = TraceChunk;

    fn begin(&self) -> TraceChunk {
        TraceChunk {
            configs: ConfigColumns::new(&self.plan.keys, None),
            batches: Vec::new(),
            types: Vec::new(),
            traces: 0,
            log: ReadLog::default(),
        }
    }

    fn visit(&self, chunk: &mut TraceChunk, root: &Dir, place: &Path, record: File) {
        let TraceChunk { configs, batches, types, traces, log } = chunk;
        let plan = &self.plan;
        let sidecar = place.join(SIDECAR);
        let mut read = Ok(());
        log.read(root, place, &record, plan.limit, |file, record| {
            let Some(row) = Row::parse(plan, configs, file, record)? else { return Ok(()) };
            read = match &self.table {
                Some(table) => self.read_rows(table, root, &sidecar, &row, batches),
                None => self.read_types(root, &sidecar, types).map(|found| *traces += u64::from(found)),
            };
            Ok(())
        });
        if let Err(error) = read {
            let (path, kind) = (root.path().join(&sidecar), RecordErrorKind::Io(error));
            log.errors.push(RecordError { path, size: 0, kind });
        }
    }

    fn fail(&self, chunk: &mut TraceChunk, error: Error) {
        chunk.log.fail(error);
    }

    fn is_full(&self, chunk: &TraceChunk) -> bool {
        chunk.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() > CHUNK_BYTES
    }

    fn is_empty(&self, chunk: &TraceChunk) -> bool {
        chunk.log.is_empty()
    }
}

impl TraceVisitor {
    /// Open a sidecar; `None` if there is none.
    fn open(root: &Dir, sidecar: &Path) -> Result<Option<TraceFile>, Error> {
        let path = root.path().join(sidecar);
        match root.open_file(sidecar) {
            Ok(Some(file)) => TraceFile::from_file(file, &path).map(Some),
            Ok(None) => Ok(None),
            // A link to nothing is no sidecar, as for every other reader.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(Step::ReadTimeseries, path, error)),
        }
    }

    /// Collect the types of a sidecar's columns; return whether there is a sidecar.
    fn read_types(
        &self,
        root: &Dir,
        sidecar: &Path,
        types: &mut Vec<(String, DataType)>,
    ) -> Result<bool, Error> {
        let Some(file) = Self::open(root, sidecar)? else { return Ok(false) };
        let schema = file.schema()?;
        for name in &self.names {
            if let Ok(field) = schema.field_with_name(name) {
                let data_type = table_type(field.data_type()).ok_or_else(|| {
                    file.not_a_trace(format!(
                        "its column {name} has the type {}, which a scan does not read",
                        field.data_type()
                    ))
                })?;
                types.push((name.clone(), data_type));
            }
        }
        Ok(true)
    }

    /// Append the rows of a sidecar that satisfy the conditions: all of them, or none if it cannot be read.
    fn read_rows(
        &self,
        table: &TraceTable,
        root: &Dir,
        sidecar: &Path,
        row: &Row<'_>,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<(), Error> {
        let Some(file) = Self::open(root, sidecar)? else { return Ok(()) };
        let Some(FieldValue::Text(experiment)) = row.first_field(&self.plan) else { return Ok(()) };
        let names: Vec<&str> = table.trace_columns.keys().map(String::as_str).collect();
        let path = root.path().join(sidecar);
        file.check_rows()?;
        let (mut trace, mut bytes) = (Vec::new(), 0);
        let mut read = file.batches(&names)?;
        while let Some(batch) = read.next() {
            let rows = table
                .rows(&batch?, &row.path, experiment)
                .map_err(|error| Error::io(Step::ReadTimeseries, &path, std::io::Error::other(error)))?;
            bytes += rows.as_ref().map_or(0, RecordBatch::get_array_memory_size);
            if bytes > MAX_BYTES {
                return Err(read.not_a_trace(format!(
                    "its rows take more than {MAX_BYTES} bytes, the limit of a table"
                )));
            }
            trace.extend(rows);
        }
        batches.append(&mut trace);
        Ok(())
    }
}

/// Return the type of a column in the table; `None` if a scan does not read it.
fn table_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Boolean | DataType::Int64 | DataType::UInt64 | DataType::Float64 => data_type.clone(),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => return None,
    })
}

impl TraceTable {
    /// Convert a batch of a power trace to the table; `None` if no row satisfies the conditions.
    fn rows(
        &self,
        batch: &RecordBatch,
        path: &str,
        experiment: &str,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let count = batch.num_rows();
        let cast = CastOptions { safe: false, ..CastOptions::default() };
        let mut columns: BTreeMap<&str, ArrayRef> = BTreeMap::new();
        for (name, data_type) in &self.trace_columns {
            let column = match batch.column_by_name(name) {
                Some(column) => cast_with_options(column, data_type, &cast)?,
                // `timeseries::read` has the same default.
                None if name == GPU => Arc::new(Int32Array::from(vec![0; count])),
                None => new_null_array(data_type, count),
            };
            columns.insert(name, column);
        }
        let mut kept = BooleanArray::from(vec![true; count]);
        for (name, test) in self.filters.iter() {
            if let Some(column) = columns.get(name.as_str()) {
                kept = kept
                    .iter()
                    .enumerate()
                    .map(|(row, kept)| Some(kept? && test.holds(cell(column, row))))
                    .collect();
            }
        }
        if kept.true_count() == 0 {
            return Ok(None);
        }
        let text = |text: &str| {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count))) as ArrayRef
        };
        let arrays = self.schema.fields().iter().map(|field| match field.name().as_str() {
            PATH => text(path),
            EXPERIMENT => text(experiment),
            name => columns.get(name).cloned().unwrap_or_else(|| new_null_array(field.data_type(), count)),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), arrays.collect(), &options)?;
        if kept.true_count() == count { Ok(Some(rows)) } else { filter_record_batch(&rows, &kept).map(Some) }
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
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row)),
        _ => Cell::Other,
    }
}
