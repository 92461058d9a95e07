//! The power traces of a tree as one table: each row of each sidecar, with the result that it belongs to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_select::filter::filter_record_batch;

use super::config::Configs;
use super::filter::{Cell, Condition, Test};
use super::plan::{Column, Kind, Origin, PATH, Plan};
use super::record::Slot;
use super::records::{CHUNK_BYTES, Log, Records, Wanted};
use super::{Bad, Part, ScanError, Trouble};
use crate::SIDECAR;
use crate::error::{Error, Step};
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;
use crate::timeseries::{TraceFile, schema};
use crate::walk::{Tree, Visit, failed};

/// The column that tells the experiment of a row.
pub const EXPERIMENT: &str = "experiment_id";
const GPU: &str = "gpu_index";
/// Bytes of one trace, which is kept whole; also what a column of texts holds.
const MOST_BYTES: usize = 1 << 31;

/// A question about the traces of a tree.
pub struct TraceScan {
    root: PathBuf,
    plan: Arc<Plan>,
    /// Names of columns, `path` and `experiment_id` among them.
    columns: Vec<String>,
    filters: Arc<[(String, Test)]>,
    strict: bool,
    table: Mutex<Option<Arc<Table>>>,
}

/// The columns of the table, and those of the files that they are made of.
struct Table {
    schema: SchemaRef,
    filters: Arc<[(String, Test)]>,
    /// The columns that are read of each file, and their types.
    read: BTreeMap<String, DataType>,
}

impl TraceScan {
    /// Ask for some columns of the traces of those results that a plan wants; the plan's only column is
    /// `experiment_id`. Conditions are on columns of the traces.
    ///
    /// # Errors
    ///
    /// What is wrong with a condition.
    pub fn new(
        root: PathBuf,
        plan: Plan,
        columns: Vec<String>,
        conditions: Vec<Condition>,
        strict: bool,
    ) -> Result<Self, String> {
        let filters = conditions.into_iter().map(|condition| {
            let name = condition.column.clone();
            let (origin, kind) = match usual(&name) {
                Some(data_type) if data_type.is_floating() => (Origin::Slot(0), Kind::Float),
                Some(_) => (Origin::Slot(0), Kind::Int),
                None => (Origin::Config(0), Kind::Json), // of which anything can be asked
            };
            let column = Column { name: name.clone(), origin, kind, nullable: true, listed: false };
            Ok((name, condition.on(&column)?.test))
        });
        let filters = filters.collect::<Result<_, String>>()?;
        Ok(Self { root, plan: Arc::new(plan), columns, filters, strict, table: Mutex::new(None) })
    }

    /// The columns, where no file must be read to know them, or some were.
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        self.known().map(|table| table.schema.clone())
    }

    /// The columns of the files that are asked for.
    fn names(&self) -> impl Iterator<Item = &String> {
        let columns = self.columns.iter().chain(self.filters.iter().map(|(name, _)| name));
        columns.filter(|name| *name != PATH && *name != EXPERIMENT)
    }

    fn known(&self) -> Option<Arc<Table>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.is_none() && self.names().all(|name| usual(name).is_some()) {
            *table = Some(Arc::new(self.table_of(&BTreeMap::new())));
        }
        table.clone()
    }

    fn table_of(&self, types: &BTreeMap<String, DataType>) -> Table {
        let type_of =
            |name: &str| usual(name).or_else(|| types.get(name).cloned()).unwrap_or(DataType::Float64);
        let field = |name: &String| match name.as_str() {
            PATH | EXPERIMENT => Field::new(name, DataType::Utf8, false),
            _ => Field::new(name, type_of(name), true),
        };
        Table {
            schema: Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>())),
            filters: self.filters.clone(),
            read: self.names().map(|name| (name.clone(), type_of(name))).collect(),
        }
    }

    /// Begin to read; where columns are asked for that are not usual, look into every file for their types.
    ///
    /// # Errors
    ///
    /// As [`super::Scan::read`].
    pub fn read(&self, interrupt: Interrupt<'_>) -> Result<TraceReader, ScanError> {
        let mut told = 0;
        let table = if let Some(table) = self.known() {
            table
        } else {
            let (types, records) = self.survey(interrupt)?;
            told = records;
            let table = Arc::new(self.table_of(&types));
            // What no trace has yet may come with another type.
            if self.names().all(|name| usual(name).is_some() || types.contains_key(name)) {
                let mut known = self.table.lock().unwrap_or_else(PoisonError::into_inner);
                known.get_or_insert(table).clone()
            } else {
                table
            }
        };
        let tree = Tree::open(&self.root, Arc::new(self.visit(Some(table.clone()))))?;
        Ok(TraceReader { table, tree, strict: self.strict, told, records: 0 })
    }

    fn visit(&self, table: Option<Arc<Table>>) -> Traces {
        let names = self.names().filter(|name| usual(name).is_none()).cloned().collect();
        Traces { records: Records { plan: self.plan.clone(), types: None }, table, names }
    }

    /// Find the types of the columns that are not usual.
    fn survey(&self, interrupt: Interrupt<'_>) -> Result<(BTreeMap<String, DataType>, u64), ScanError> {
        let mut types: BTreeMap<String, DataType> = BTreeMap::new();
        let (mut records, mut traces) = (0, 0_u64);
        let mut tree = Tree::open(&self.root, Arc::new(self.visit(None)))?;
        while let Some(mut chunk) = tree.next(interrupt.at(records))? {
            records += chunk.log.records;
            if self.strict && !chunk.log.bad.is_empty() {
                return Err(ScanError::Bad(chunk.log.bad.swap_remove(0)));
            }
            traces += chunk.traces;
            interrupt.at(records).check()?;
            for (name, found) in chunk.types {
                let known = types.remove(&name);
                let merged = match known {
                    Some(known) if known != found => merge(&known, &found).ok_or_else(|| {
                        ScanError::Shape(format!(
                            "the column {name} is {known} in one trace and {found} in another"
                        ))
                    })?,
                    _ => found,
                };
                types.insert(name, merged);
            }
        }
        match self.names().find(|name| usual(name).is_none() && !types.contains_key(*name)) {
            Some(name) if traces > 0 => Err(ScanError::Shape(format!("no trace has a column {name}"))),
            _ => Ok((types, records)),
        }
    }
}

fn usual(name: &str) -> Option<DataType> {
    schema().field_with_name(name).ok().map(|field| field.data_type().clone())
}

/// The type that a column of another is read as; `None` where it is not read.
fn readable(data_type: &DataType) -> Option<DataType> {
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

fn merge(one: &DataType, other: &DataType) -> Option<DataType> {
    (one.is_numeric() && other.is_numeric()).then_some(DataType::Float64)
}

/// Answers a question about traces, part by part.
pub struct TraceReader {
    table: Arc<Table>,
    tree: Tree<Traces>,
    strict: bool,
    /// Results that the caller was told of before.
    told: u64,
    records: u64,
}

impl TraceReader {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.table.schema.clone()
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`super::Reader::next`].
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<Part>, ScanError> {
        let records = self.records.max(self.told);
        let Some(mut chunk) = self.tree.next(interrupt.at(records))? else { return Ok(None) };
        if self.strict && !chunk.log.bad.is_empty() {
            return Err(ScanError::Bad(chunk.log.bad.swap_remove(0)));
        }
        self.records += chunk.log.records;
        interrupt.at(self.records.max(self.told)).check()?;
        let batch = arrow_select::concat::concat_batches(&self.table.schema, &chunk.batches)?;
        Ok(Some(Part { batch, bad: chunk.log.bad }))
    }
}

/// Reads the traces beside records; without a table, their types alone.
struct Traces {
    records: Records,
    table: Option<Arc<Table>>,
    /// The columns whose types are not known.
    names: Vec<String>,
}

struct Chunk {
    configs: Configs,
    batches: Vec<RecordBatch>,
    types: Vec<(String, DataType)>,
    bytes: usize,
    /// Traces that were looked into for the types of columns.
    traces: u64,
    log: Log,
}

impl Visit for Traces {
    type Chunk = Chunk;

    fn begin(&self) -> Chunk {
        Chunk {
            configs: Configs::new(&self.records.plan.keys, None),
            batches: Vec::new(),
            types: Vec::new(),
            bytes: 0,
            traces: 0,
            log: Log::default(),
        }
    }

    fn visit(&self, chunk: &mut Chunk, root: &Dir, place: &Path, record: File) {
        let Chunk { configs, batches, types, bytes, traces, log } = chunk;
        let sidecar = place.join(SIDECAR);
        let mut unreadable = None;
        log.read(root, place, &record, self.records.plan.limit, |record, saved_at| {
            let Some(wanted) = self.records.row(configs, root, place, saved_at, record)? else {
                return Ok(());
            };
            let taken = match &self.table {
                Some(table) => self.rows(table, root, &sidecar, &wanted, batches),
                None => self.types(root, &sidecar, types).map(|looked| *traces += u64::from(looked)),
            };
            unreadable = taken.err();
            Ok(())
        });
        if let Some(error) = unreadable {
            log.bad.push(Bad { path: root.path().join(&sidecar), size: 0, trouble: Trouble::Io(error) });
        }
        *bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    }

    fn fail(&self, chunk: &mut Chunk, error: Error) {
        chunk.log.fail(error);
    }

    fn is_full(&self, chunk: &Chunk) -> bool {
        chunk.bytes > CHUNK_BYTES
    }

    fn is_empty(&self, chunk: &Chunk) -> bool {
        chunk.log.is_empty()
    }
}

impl Traces {
    /// Open a sidecar; `None` where there is none.
    fn open(root: &Dir, sidecar: &Path) -> Result<Option<TraceFile>, Error> {
        let path = root.path().join(sidecar);
        match root.open_file(sidecar) {
            Ok(file) => TraceFile::from_file(file, &path).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(Step::ReadTimeseries, root, sidecar, error)),
        }
    }

    fn types(&self, root: &Dir, sidecar: &Path, types: &mut Vec<(String, DataType)>) -> Result<bool, Error> {
        let Some(file) = Self::open(root, sidecar)? else { return Ok(false) };
        let schema = file.schema()?;
        for name in &self.names {
            if let Ok(field) = schema.field_with_name(name) {
                let read = readable(field.data_type()).ok_or_else(|| {
                    let reason = format!("its column {name} is of {}, which is not read", field.data_type());
                    file.not_a_trace(reason)
                })?;
                types.push((name.clone(), read));
            }
        }
        Ok(true)
    }

    /// Read the rows of a trace that are wanted.
    fn rows(
        &self,
        table: &Table,
        root: &Dir,
        sidecar: &Path,
        wanted: &Wanted<'_>,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<(), Error> {
        let Some(file) = Self::open(root, sidecar)? else { return Ok(()) };
        let experiment = self.records.plan.columns.iter().find_map(|column| match column.origin {
            Origin::Slot(slot) => wanted.slots.get(slot),
            _ => None,
        });
        let Some(Slot::Text(experiment)) = experiment else { return Ok(()) };
        let names: Vec<&str> = table.read.keys().map(String::as_str).collect();
        let path = root.path().join(sidecar);
        file.check_rows()?;
        // All of a trace or nothing: one that cannot be read to its end is no part of the table.
        let (mut whole, mut bytes) = (Vec::new(), 0);
        let mut read = file.batches(&names)?;
        while let Some(batch) = read.next() {
            let batch = batch?;
            let rows = table.rows(&batch, &wanted.found.path, experiment);
            let stream =
                |error: ArrowError| Error::io(Step::ReadTimeseries, &path, std::io::Error::other(error));
            let rows = rows.map_err(stream)?;
            bytes += rows.as_ref().map_or(0, RecordBatch::get_array_memory_size);
            if bytes > MOST_BYTES {
                let reason =
                    format!("its rows take more than {MOST_BYTES} bytes, and are not read into a table");
                return Err(read.not_a_trace(reason));
            }
            whole.extend(rows);
        }
        batches.append(&mut whole);
        Ok(())
    }
}

impl Table {
    /// The rows of a batch of a trace that are wanted, in the types of the table.
    fn rows(
        &self,
        batch: &RecordBatch,
        path: &str,
        experiment: &str,
    ) -> Result<Option<RecordBatch>, ArrowError> {
        let count = batch.num_rows();
        let cast = CastOptions { safe: false, ..CastOptions::default() };
        let mut columns: BTreeMap<&str, ArrayRef> = BTreeMap::new();
        for (name, data_type) in &self.read {
            let column = match batch.column_by_name(name) {
                Some(column) => cast_with_options(column, data_type, &cast)?,
                // As a trace that is read alone.
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
