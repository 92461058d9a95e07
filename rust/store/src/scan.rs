//! Scans: a tree of results as a table, read in parallel, in Arrow batches, in a fixed order.
//!
//! Each record is a row. A scan parses the requested columns (projection pushdown) and evaluates conditions while it
//! parses (predicate pushdown); it only checks the rest against the schema of a record, which also gives the types of
//! columns. The configuration has no schema: its types are inferred in a pass over the tree before the first batch.
//! The scan keeps the rows of that pass, up to 64 MB, and does not read them again.

mod builder;
mod check;
mod column;
mod completed;
mod config;
mod documents;
mod error;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzed;
mod inference;
mod json_type;
mod keys;
mod names;
mod plan;
mod reader;
mod record;
mod records;
mod row;
mod schema;
mod table;
mod trace_rows;
mod traces;
mod value;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

pub use check::RecordCheck;
pub use column::EXPERIMENT;
pub use completed::{Completed, completed};
pub use documents::{Document, Documents};
pub use error::{PlanError, RecordError, RecordErrorKind, ScanError};
pub use filter::{Comparison, Condition, Operand};
pub use plan::ConfigForm;
pub use reader::Reader;
pub use schema::{RecordSchema, SchemaError};
pub use traces::{TraceReader, TraceScan, TraceScanOptions};

use crate::interrupt::Interrupt;
use crate::load::Limit;
use crate::walk::Tree;
use column::ColumnSource;
use inference::SchemaInference;
use json_type::JsonTypes;
use keys::ConfigTypes;
use plan::Plan;
use reader::Pending;
use records::{RecordVisitor, RowChunk};
use table::Table;

/// Maximum bytes of rows that schema inference keeps, so that the scan does not read them again.
const MAX_KEPT: usize = 64 << 20;

/// The options of a [`Scan`].
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// The columns, in order: fields of the schema, their parts joined with dots; `effective_config` for every key of
    /// the configuration, or `effective_config.` and a key; `path`, `has_timeseries` and `saved_at`.
    pub columns: Vec<String>,
    /// The form of the column `effective_config`.
    pub config: ConfigForm,
    /// The conditions that every row satisfies.
    pub conditions: Vec<Condition>,
    /// Maximum rows of a batch.
    pub batch_size: usize,
    /// Infer the types of the configuration's columns. Otherwise they hold JSON texts, and `effective_config` stands
    /// for no column.
    pub infer_types: bool,
    /// Stop at the first record that cannot be read, instead of reporting it with a batch.
    pub stop_at_error: bool,
    /// Maximum size of a record.
    pub limit: Limit,
    /// Follow symbolic links to directories, and enter each directory once.
    pub follow_links: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            config: ConfigForm::default(),
            conditions: Vec::new(),
            batch_size: 4096,
            infer_types: true,
            stop_at_error: false,
            limit: Limit::USUAL,
            follow_links: false,
        }
    }
}

/// A scan of a tree; each [`Scan::read`] reads the tree again.
///
/// # Examples
///
/// ```
/// use llem_store::Interrupt;
/// use llem_store::scan::{Comparison, Condition, Operand, RecordSchema, Scan, ScanOptions};
///
/// # let temp = tempfile::tempdir()?;
/// # let root = temp.path();
/// # std::fs::create_dir(root.join("a"))?;
/// # std::fs::write(root.join("a/result.json"), r#"{"id": "a", "energy_j": 250.5}"#)?;
/// let schema = RecordSchema::from_json(
///     r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
///         {"name": "id", "kind": "text"},
///         {"name": "energy_j", "kind": "float"}]"#,
/// )?;
/// let options = ScanOptions {
///     columns: vec!["id".into(), "energy_j".into()],
///     conditions: vec![Condition {
///         column: "energy_j".into(),
///         comparison: Comparison::Greater,
///         operand: Operand::Int(100),
///     }],
///     ..ScanOptions::default()
/// };
/// let scan = Scan::new(root.to_owned(), &schema, options)?;
/// let mut reader = scan.read(Interrupt::NEVER)?;
/// while let Some(batch) = reader.next(Interrupt::NEVER)? {
///     assert_eq!(batch.rows.num_rows(), 1);
///     assert!(batch.errors.is_empty());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scan {
    root: PathBuf,
    plan: Arc<Plan>,
    batch_size: usize,
    infer_types: bool,
    stop_at_error: bool,
    follow_links: bool,
    /// The columns, once they are known: they stay the same for every reader.
    table: Mutex<Option<Arc<Table>>>,
}

/// Consecutive rows of a scan, and the errors between them.
#[derive(Debug)]
pub struct ScanBatch {
    /// The rows; possibly none.
    pub rows: RecordBatch,
    /// The records that are not rows, in order.
    pub errors: Vec<RecordError>,
}

impl Scan {
    /// Plan a scan of the results below a root.
    ///
    /// # Errors
    ///
    /// A column is unknown, or a condition does not fit its column.
    pub fn new(root: PathBuf, schema: &RecordSchema, options: ScanOptions) -> Result<Self, PlanError> {
        let ScanOptions {
            columns,
            config,
            conditions,
            batch_size,
            infer_types,
            stop_at_error,
            limit,
            follow_links,
        } = options;
        let plan = Arc::new(Plan::new(schema, &columns, config, conditions, limit)?);
        Ok(Self { root, plan, batch_size, infer_types, stop_at_error, follow_links, table: Mutex::new(None) })
    }

    /// Return the columns; `None` if they depend on records that no reader has read yet.
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        self.known_table().map(|table| table.schema.clone())
    }

    fn known_table(&self) -> Option<Arc<Table>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let needs_inference = self.infer_types && self.plan.columns.iter().any(column::Column::is_config);
        if table.is_none() && !needs_inference {
            *table = Some(Arc::new(Table::new(&self.plan, ConfigTypes::texts(&self.plan.keys))));
        }
        table.clone()
    }

    /// Begin to read; infer the types of unknown columns first, in a pass over the tree.
    ///
    /// # Errors
    ///
    /// The root cannot be read; the caller cancels; a record cannot be read, and the options stop at the first.
    pub fn read(&self, interrupt: Interrupt<'_>) -> Result<Reader, ScanError> {
        let plan = &self.plan;
        let open = |types| {
            let visitor = RecordVisitor { plan: plan.clone(), types };
            Tree::open(&self.root, Arc::new(visitor), self.follow_links, interrupt)
        };
        let (table, tree, kept, reported) = if let Some(table) = self.known_table() {
            let tree = open(Some(table.types.clone()))?;
            (table, tree, VecDeque::new(), 0)
        } else {
            let mut tree = open(None)?;
            let InferredTable { table, kept, records } = self.infer(&mut tree, interrupt)?;
            if kept.is_none() {
                tree = open(Some(table.types.clone()))?;
            }
            (table, tree, kept.unwrap_or_default(), records)
        };
        Ok(Reader {
            plan: plan.clone(),
            table,
            tree,
            kept,
            batch_size: self.batch_size,
            stop_at_error: self.stop_at_error,
            reported,
            records: 0,
            pending: Pending::default(),
        })
    }

    fn infer(
        &self,
        tree: &mut Tree<RecordVisitor>,
        interrupt: Interrupt<'_>,
    ) -> Result<InferredTable, ScanError> {
        let mut inference = SchemaInference::default();
        let (mut kept, mut bytes, mut records) = (Some(VecDeque::new()), 0, 0);
        while let Some(mut chunk) = tree.next(interrupt.at(records))? {
            records += chunk.log.records;
            chunk.log.check(self.stop_at_error)?;
            inference.add(&chunk.configs);
            bytes += chunk.size();
            if bytes > MAX_KEPT {
                kept = None;
            } else if let Some(kept) = &mut kept {
                chunk.log.buffer = Vec::new();
                kept.push_back(chunk);
            }
            interrupt.at(records).check()?;
        }
        let mut types = inference.decide(&self.plan.keys)?;
        for (index, types) in types.requested.iter_mut().enumerate() {
            // A key that only conditions use may have another type in a later scan.
            let source = ColumnSource::ConfigKey(index);
            if !self.plan.columns.iter().any(|column| column.source == source) {
                *types = JsonTypes::any();
            }
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // Another reader may have set the columns meanwhile, which the kept rows need not fit.
        let kept = kept.filter(|_| table.is_none());
        let table = table.get_or_insert_with(|| Arc::new(Table::new(&self.plan, types))).clone();
        Ok(InferredTable { table, kept, records })
    }
}

/// The result of schema inference.
struct InferredTable {
    table: Arc<Table>,
    /// The chunks that were read; `None` if they are too large, or do not fit the table.
    kept: Option<VecDeque<RowChunk>>,
    records: u64,
}
