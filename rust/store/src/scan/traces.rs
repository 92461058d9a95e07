//! Scans of power traces: the rows of every sidecar of a tree as one table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::column::{Column, ColumnSource, EXPERIMENT, PATH};
use super::comparison::Test;
use super::filter::Condition;
use super::lookup::Source;
use super::plan::{ConfigForm, Plan};
use super::records::Pool;
use super::schema::FieldType;
use super::trace_rows::{TraceChunk, TraceTable, TraceVisitor};
use super::watch::Watch;
use super::{PlanError, RecordSchema, ScanBatch, ScanError};
use crate::address_space;
use crate::error::{At, Step};
use crate::interrupt::Interrupt;
use crate::links::LinkLog;
use crate::load::Limit;
use crate::storage::{Storage, Wanted};
use crate::timeseries::{MAX_BYTES, TraceMemory, schema};
use crate::walk::{CHUNK_BYTES, Tree};

/// The options of a [`TraceScan`].
#[derive(Debug, Clone)]
pub struct TraceScanOptions {
    /// The columns, in order: of the power traces, and `path` and `experiment_id` of their records.
    pub columns: Vec<String>,
    /// The conditions on the records.
    pub record_conditions: Vec<Condition>,
    /// The conditions on the columns of the power traces.
    pub conditions: Vec<Condition>,
    /// Stop at the first file that cannot be read, instead of reporting it with a batch.
    pub stop_at_error: bool,
    /// Maximum size of a record.
    pub limit: Limit,
    /// Follow symbolic links to directories, and enter each directory once.
    pub follow_links: bool,
    /// The memory of all power traces that are read at once, in bytes.
    pub max_trace_bytes: u64,
}

impl Default for TraceScanOptions {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            record_conditions: Vec::new(),
            conditions: Vec::new(),
            stop_at_error: false,
            limit: Limit::USUAL,
            follow_links: false,
            max_trace_bytes: MAX_BYTES,
        }
    }
}

/// A scan of the power traces of a tree; each [`TraceScan::read`] reads the tree again.
///
/// # Examples
///
/// ```
/// use llem_store::scan::{RecordSchema, TraceScan, TraceScanOptions};
/// use llem_store::{Interrupt, Store};
/// # use arrow_array::RecordBatch;
/// # use llem_store::timeseries::{self, Columns};
///
/// # let temp = tempfile::tempdir()?;
/// # let root = temp.path();
/// # std::fs::create_dir(root.join("a"))?;
/// # std::fs::write(root.join("a/result.json"), r#"{"experiment_id": "a"}"#)?;
/// # let columns = Columns {
/// #     timestamp_s: vec![0.0],
/// #     gpu_index: vec![0],
/// #     power_w: vec![Some(250.0)],
/// #     temperature_c: vec![None],
/// #     memory_used_mb: vec![None],
/// #     memory_total_mb: vec![None],
/// #     sm_utilisation_pct: vec![None],
/// #     throttle_reasons: vec![None],
/// # };
/// # timeseries::write(&root.join("a/timeseries.parquet"), &RecordBatch::try_from(columns)?)?;
/// let schema = RecordSchema::from_json(
///     r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
///         {"name": "experiment_id", "kind": "text"}]"#,
/// )?;
/// let options = TraceScanOptions {
///     columns: vec!["experiment_id".into(), "timestamp_s".into(), "power_w".into()],
///     ..TraceScanOptions::default()
/// };
/// let scan = TraceScan::new(Store::at(root), &schema, options)?;
/// let mut reader = scan.read(Interrupt::NEVER)?;
/// let batch = reader.next(Interrupt::NEVER)?.ok_or("no power trace")?;
/// assert_eq!(batch.rows.num_rows(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TraceScan {
    tree: Source,
    plan: Arc<Plan>,
    columns: Vec<String>,
    filters: Arc<[(String, Test)]>,
    stop_at_error: bool,
    max_trace_bytes: u64,
    table: Mutex<Option<Arc<TraceTable>>>,
}

impl TraceScan {
    /// Plan a scan of the power traces of a location. The schema must have `experiment_id`.
    ///
    /// # Errors
    ///
    /// A condition does not fit its column, or a condition on records names an unknown one.
    pub fn new(
        storage: Arc<dyn Storage>,
        schema: &RecordSchema,
        options: TraceScanOptions,
    ) -> Result<Self, PlanError> {
        let TraceScanOptions {
            columns,
            record_conditions,
            conditions,
            stop_at_error,
            limit,
            follow_links,
            max_trace_bytes,
        } = options;
        let plan =
            Plan::new(schema, &[EXPERIMENT.to_owned()], ConfigForm::Omitted, record_conditions, limit)?;
        let filters = conditions.into_iter().map(|condition| {
            let name = condition.column.clone();
            let (source, field_type) = match standard_type(&name) {
                Some(data_type) if data_type.is_floating() => (ColumnSource::Field(0), FieldType::Float),
                Some(_) => (ColumnSource::Field(0), FieldType::Int),
                // A column of unknown type can be compared with anything, as a key of the configuration.
                None => (ColumnSource::ConfigKey(0), FieldType::Json),
            };
            let column = Column::scalar(&name, source, field_type, true);
            Ok((name, condition.check(&column)?.test))
        });
        let filters = filters.collect::<Result<_, PlanError>>()?;
        let tree = Source { storage, schema: schema.clone(), follow_links, wanted: Wanted::Records };
        let (plan, table) = (Arc::new(plan), Mutex::new(None));
        Ok(Self { tree, plan, columns, filters, stop_at_error, max_trace_bytes, table })
    }

    /// Return the columns; `None` if they depend on power traces that no reader has read yet.
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        self.known_table().map(|table| table.schema.clone())
    }

    /// Return the columns to read of each power trace.
    fn trace_columns(&self) -> impl Iterator<Item = &String> {
        let columns = self.columns.iter().chain(self.filters.iter().map(|(name, _)| name));
        columns.filter(|name| *name != PATH && *name != EXPERIMENT)
    }

    fn known_table(&self) -> Option<Arc<TraceTable>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.is_none() && self.trace_columns().all(|name| standard_type(name).is_some()) {
            *table = Some(Arc::new(self.table_of(&BTreeMap::new())));
        }
        table.clone()
    }

    fn table_of(&self, types: &BTreeMap<String, DataType>) -> TraceTable {
        let type_of = |name: &str| {
            let known = standard_type(name).or_else(|| types.get(name).cloned());
            known.filter(|data_type| !data_type.is_null()).unwrap_or(DataType::Float64)
        };
        let field = |name: &String| match name.as_str() {
            PATH | EXPERIMENT => Field::new(name, DataType::Utf8, false),
            _ => Field::new(name, type_of(name), true),
        };
        TraceTable {
            schema: Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>())),
            filters: self.filters.clone(),
            trace_columns: self
                .trace_columns()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(|name| Field::new(name, type_of(name), true))
                .collect(),
        }
    }

    /// Begin to read; infer the types of other than the standard columns first, from the footer of every file.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`](super::Scan::read).
    pub fn read(&self, interrupt: Interrupt<'_>) -> Result<TraceReader, ScanError> {
        let watch = self.tree.settle(&self.plan, interrupt)?;
        let (table, reported) = if let Some(table) = self.known_table() {
            (table, 0)
        } else {
            let (types, records) = self.infer(&watch, interrupt)?;
            let mut table = Arc::new(self.table_of(&types));
            // A column that no trace has yet may have another type in a later scan.
            if self.trace_columns().all(|name| standard_type(name).is_some() || types.contains_key(name)) {
                let mut known = self.table.lock().unwrap_or_else(PoisonError::into_inner);
                table = known.get_or_insert(table).clone();
            }
            (table, records)
        };
        let tree = self.tree.open(self.visitor(Some(table.clone()), &watch), interrupt)?;
        let stop_at_error = self.stop_at_error;
        Ok(TraceReader { table, tree, stop_at_error, reported, records: 0, pending: None })
    }

    fn visitor(&self, table: Option<Arc<TraceTable>>, watch: &Arc<Watch>) -> TraceVisitor {
        let names = self.trace_columns().filter(|name| standard_type(name).is_none()).cloned().collect();
        let (plan, memory) = (self.plan.clone(), TraceMemory::new(self.max_trace_bytes));
        TraceVisitor { plan, watch: watch.clone(), memory, table, names, pool: Pool::default() }
    }

    /// Infer the types of other than the standard columns; return them and the number of records.
    fn infer(
        &self,
        watch: &Arc<Watch>,
        interrupt: Interrupt<'_>,
    ) -> Result<(BTreeMap<String, DataType>, u64), ScanError> {
        let mut types: BTreeMap<String, DataType> = BTreeMap::new();
        let (mut records, mut traces) = (0, 0_u64);
        let mut tree = self.tree.open(self.visitor(None, watch), interrupt)?;
        while let Some(mut chunk) = tree.next(tree.reach(records, interrupt))? {
            records += chunk.log.records;
            chunk.log.check(self.stop_at_error)?;
            traces += chunk.traces;
            tree.reach(records, interrupt).check()?;
            for (name, found) in chunk.types {
                let merged = match types.remove(&name) {
                    Some(known) if found.is_null() => known,
                    Some(known) if known != found && !known.is_null() => {
                        if !(known.is_numeric() && found.is_numeric()) {
                            let error = PlanError::TraceTypes { column: name, one: known, other: found };
                            return Err(error.into());
                        }
                        DataType::Float64
                    }
                    _ => found,
                };
                types.insert(name, merged);
            }
        }
        let is_missing = |name: &&String| standard_type(name).is_none() && !types.contains_key(*name);
        match self.trace_columns().find(is_missing) {
            Some(name) if traces > 0 => Err(PlanError::UnknownTraceColumn(name.clone()).into()),
            _ => Ok((types, records)),
        }
    }
}

/// Return the type of a standard column.
fn standard_type(name: &str) -> Option<DataType> {
    schema().field_with_name(name).ok().map(|field| field.data_type().clone())
}

/// A reader of the batches of a [`TraceScan`].
pub struct TraceReader {
    table: Arc<TraceTable>,
    tree: Tree<TraceVisitor>,
    stop_at_error: bool,
    /// Number of records that the inference of types has reported.
    reported: u64,
    records: u64,
    /// The rest of a chunk.
    pending: Option<TraceChunk>,
}

impl TraceReader {
    /// Return the columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.table.schema.clone()
    }

    /// Return the symbolic links that the scan skips; complete at its end.
    #[must_use]
    pub fn links(&self) -> Arc<LinkLog> {
        self.tree.links().clone()
    }

    fn reach<'a>(&self, interrupt: Interrupt<'a>) -> Interrupt<'a> {
        self.tree.reach(self.records.max(self.reported), interrupt)
    }

    /// Return the next batch; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`](super::Scan::read).
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<ScanBatch>, ScanError> {
        let mut chunk = if let Some(chunk) = self.pending.take() {
            chunk
        } else {
            let Some(mut chunk) = self.tree.next(self.reach(interrupt))? else { return Ok(None) };
            chunk.log.check(self.stop_at_error)?;
            self.records += chunk.log.records;
            chunk
        };
        self.reach(interrupt).check()?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < CHUNK_BYTES
            && let Some(batch) = chunk.batches.pop_front()
        {
            bytes += batch.rows.get_array_memory_size();
            rows.push(batch);
        }
        address_space::check((bytes as u64).saturating_mul(2))
            .at(Step::Read, || self.tree.root().to_owned())?;
        let rows = self.table.rows(&rows)?;
        let errors = std::mem::take(&mut chunk.log.errors);
        if !chunk.batches.is_empty() {
            self.pending = Some(chunk);
        }
        Ok(Some(ScanBatch { rows, errors }))
    }
}
