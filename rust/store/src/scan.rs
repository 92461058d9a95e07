//! Scans: a tree of results as a table, read in parallel, in Arrow batches, in a fixed order.
//!
//! Each record is a row. A scan parses the requested columns (projection pushdown) and evaluates conditions while it
//! parses (predicate pushdown); it only checks the rest against the schema of a record, which also gives the types of
//! columns. The configuration has no schema: its types are inferred in a pass over the tree before the first batch.
//! The scan keeps the rows of that pass, up to 64 MB, and does not read them again.

mod builder;
mod check;
mod column;
mod comparison;
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
mod kinds;
mod known;
mod lookup;
mod names;
mod operand;
mod plan;
mod reader;
mod record;
mod records;
mod row;
mod schema;
mod seen;
mod table;
mod template;
mod trace_rows;
mod traces;
mod value;
mod watch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

pub use check::RecordCheck;
pub use column::EXPERIMENT;
pub use comparison::Comparison;
pub use completed::{Completed, completed};
pub use documents::{Document, Documents};
pub use error::{PlanError, RecordError, RecordErrorKind, ScanError};
pub use filter::Condition;
pub use keys::quoted_key;
pub use known::Known;
pub use lookup::Source;
pub use operand::Operand;
pub use plan::ConfigForm;
pub use reader::Reader;
pub use schema::{RecordSchema, SchemaError};
pub use table::JSON_TEXTS;
pub use traces::{TraceReader, TraceScan, TraceScanOptions};

use crate::interrupt::Interrupt;
use crate::load::Limit;
use crate::part::{Listed, Weight};
use crate::storage::{Storage, Wanted};
use crate::walk::Tree;
use column::ColumnSource;
use inference::SchemaInference;
use json_type::JsonTypes;
use keys::ConfigTypes;
use plan::Plan;
use reader::Pending;
use records::{RecordVisitor, RowChunk};
use table::Table;
use watch::Watch;

/// Maximum bytes of rows that schema inference keeps, so that the scan does not read them again.
const MAX_KEPT: usize = 64 << 20;

/// The options of a [`Scan`].
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// The columns, in order: fields of the schema, their parts joined with dots; `effective_config` for every key of
    /// the configuration, or `effective_config.` and a key; `path`, `has_timeseries` and `saved_at`; and the short
    /// names of the schema, and `config.` and a key.
    pub columns: Vec<String>,
    /// The form of the column `effective_config`.
    pub config: ConfigForm,
    /// Name the columns of the table in full, not as `columns` has them.
    pub full_names: bool,
    /// Keys of the configuration that no result needs to have; another key that no result has is an error.
    pub optional: Vec<String>,
    /// The types of keys of the configuration: `bool`, `int64`, `uint64`, `double`, `string`, `list<...>`, `json`. They
    /// are not inferred, a record with another value is an error, and no result needs to have the key.
    pub types: Vec<(String, String)>,
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
    /// The number of rows after which the reading stops.
    pub head: Option<usize>,
    /// The results to read, as [`Scan::list`] returns them.
    pub wanted: Wanted,
    /// What a scan of the whole tree found, as [`Scan::resolve`] returns it.
    pub known: Option<Known>,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            config: ConfigForm::default(),
            full_names: false,
            optional: Vec::new(),
            types: Vec::new(),
            conditions: Vec::new(),
            batch_size: 4096,
            infer_types: true,
            stop_at_error: false,
            limit: Limit::USUAL,
            follow_links: false,
            head: None,
            wanted: Wanted::Records,
            known: None,
        }
    }
}

/// A scan of a tree; each [`Scan::read`] reads the tree again.
///
/// # Examples
///
/// ```
/// use llem_store::scan::{Comparison, Condition, Operand, RecordSchema, Scan, ScanOptions};
/// use llem_store::{Interrupt, Store};
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
/// let scan = Scan::new(Store::at(root), &schema, options)?;
/// let mut reader = scan.read(Interrupt::NEVER)?;
/// while let Some(batch) = reader.next(Interrupt::NEVER)? {
///     assert_eq!(batch.rows.num_rows(), 1);
///     assert!(batch.errors.is_empty());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scan {
    tree: Source,
    plan: Arc<Plan>,
    batch_size: usize,
    infer_types: bool,
    stop_at_error: bool,
    head: Option<usize>,
    known: Option<Known>,
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
    /// Plan a scan of the results of a location.
    ///
    /// # Errors
    ///
    /// A column is unknown, or a condition does not fit its column.
    pub fn new(
        storage: Arc<dyn Storage>,
        schema: &RecordSchema,
        options: ScanOptions,
    ) -> Result<Self, PlanError> {
        let ScanOptions {
            columns,
            config,
            full_names,
            optional,
            types,
            conditions,
            batch_size,
            infer_types,
            stop_at_error,
            limit,
            follow_links,
            head,
            wanted,
            known,
        } = options;
        let columns = schema.find_named(&columns, full_names)?;
        let plan = Arc::new(Plan::of(schema, columns, config, conditions, &optional, &types, limit)?);
        let tree = Source { storage, schema: schema.clone(), follow_links, wanted };
        let table = known.as_ref().map(|known| Arc::new(Table::new(&plan, known.types_of(&plan.keys))));
        let table = Mutex::new(table);
        Ok(Self { tree, plan, batch_size, infer_types, stop_at_error, head, known, table })
    }

    /// Return the columns; `None` if they depend on records that no reader has read yet.
    #[must_use]
    pub fn schema(&self) -> Option<SchemaRef> {
        self.known_table().map(|table| table.schema.clone())
    }

    fn known_table(&self) -> Option<Arc<Table>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.is_none() && !self.needs_inference() {
            *table = Some(Arc::new(Table::new(&self.plan, ConfigTypes::texts(&self.plan.keys))));
        }
        table.clone()
    }

    fn needs_inference(&self) -> bool {
        let keys = &self.plan.keys;
        let is_declared = |index: &usize| keys.declared_type(&keys.paths[*index]).is_some();
        let needs = |column: &column::Column| {
            column.is_config() && !column.source.key().as_ref().is_some_and(is_declared)
        };
        self.infer_types && self.plan.columns.iter().any(needs)
    }

    fn watch(&self) -> Result<Arc<Watch>, ScanError> {
        Ok(Arc::new(match &self.known {
            Some(known) => Watch::knowing(&self.plan, known)?,
            None => Watch::new(&self.plan),
        }))
    }

    /// Return the results that the scan reads, by a listing that reads no record.
    ///
    /// # Errors
    ///
    /// The root cannot be listed; the caller cancels.
    pub fn list(&self, weight: Weight, interrupt: Interrupt<'_>) -> Result<Listed, ScanError> {
        let Source { storage, follow_links, wanted, .. } = &self.tree;
        let wanted = match wanted {
            Wanted::Part(part) if weight == Weight::Count => return Ok(Listed::again(part)),
            Wanted::Part(_) => wanted,
            Wanted::Records | Wanted::Names => &Wanted::Names,
        };
        Ok(Listed::of(storage, wanted, weight, *follow_links, interrupt)?)
    }

    /// Read as much of the tree as the types of columns and the meanings of operands need, and return both.
    ///
    /// Scans of the parts of the tree that know them have the same columns, and select the same rows.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`].
    pub fn resolve(&self, interrupt: Interrupt<'_>) -> Result<Known, ScanError> {
        let (plan, mut known) = (&self.plan, self.known.clone().unwrap_or_default());
        let mut watch = self.watch()?;
        loop {
            let table = self.known_table();
            let mut ahead = Ahead { kept: None, ..Ahead::default() };
            if table.is_none() || !watch.is_settled() {
                let types = table.as_ref().map(|table| table.types.clone());
                let is_head = table.is_some();
                let visitor = RecordVisitor::new(plan.clone(), types, watch.clone(), is_head);
                let mut tree = self.tree.open(visitor, interrupt)?;
                self.look_ahead(&mut tree, &watch, table.is_none(), &mut ahead, interrupt)?;
                if let Some(decided) = self.tree.decide(plan, &watch, interrupt)? {
                    watch = Arc::new(decided);
                    continue;
                }
            }
            watch.write(plan, &mut known);
            let table = match table {
                Some(table) => table,
                None => self.set_table(ahead.inference)?.0,
            };
            let types = table.types.requested.iter().copied();
            known.requested = plan.keys.paths.iter().cloned().zip(types).collect();
            known.found.clone_from(&table.types.found);
            return Ok(known);
        }
    }

    /// Begin to read; first read as much of the tree as the types of columns, the names of keys and the meanings of
    /// operands need.
    ///
    /// # Errors
    ///
    /// The root cannot be read; the caller cancels; a record cannot be read, and the options stop at the first; no
    /// record has a key, or a value of the kind that a condition compares with.
    pub fn read(&self, interrupt: Interrupt<'_>) -> Result<Reader, ScanError> {
        let mut watch = self.watch()?;
        loop {
            match self.begin(&watch, interrupt)? {
                Begun::Reader(reader) => return Ok(*reader),
                Begun::Again(decided) => watch = Arc::new(decided),
            }
        }
    }

    fn begin(&self, watch: &Arc<Watch>, interrupt: Interrupt<'_>) -> Result<Begun, ScanError> {
        let plan = &self.plan;
        let open = |types| {
            let is_head = self.head.is_some();
            let visitor = RecordVisitor::new(plan.clone(), types, watch.clone(), is_head);
            self.tree.open(visitor, interrupt)
        };
        let known = self.known_table();
        // The threads of an open tree may settle the watch before the next line.
        let is_settled = watch.is_settled();
        let mut tree = open(known.as_ref().map(|table| table.types.clone()))?;
        let mut ahead = Ahead::default();
        if known.is_none() || !is_settled {
            self.look_ahead(&mut tree, watch, known.is_none(), &mut ahead, interrupt)?;
            if let Some(decided) = self.tree.decide(plan, watch, interrupt)? {
                return Ok(Begun::Again(decided));
            }
        }
        let Ahead { inference, mut kept, records, .. } = ahead;
        let table = if let Some(table) = known {
            table
        } else {
            let (table, fits) = self.set_table(inference)?;
            kept = kept.filter(|_| fits);
            table
        };
        if kept.is_none() {
            tree = open(Some(table.types.clone()))?;
        }
        Ok(Begun::Reader(Box::new(Reader {
            plan: plan.clone(),
            table,
            tree,
            kept: kept.unwrap_or_default(),
            batch_size: self.batch_size,
            stop_at_error: self.stop_at_error,
            missing: self.head.unwrap_or(usize::MAX),
            reported: records,
            records: 0,
            pending: Pending::default(),
        })))
    }

    /// Read chunks until the watch is settled, or to the end to infer types.
    fn look_ahead(
        &self,
        tree: &mut Tree<RecordVisitor>,
        watch: &Watch,
        infers: bool,
        ahead: &mut Ahead,
        interrupt: Interrupt<'_>,
    ) -> Result<(), ScanError> {
        while infers || !watch.is_settled() {
            let Some(mut chunk) = tree.next(tree.reach(ahead.records, interrupt))? else { break };
            ahead.records += chunk.log.records;
            chunk.log.check(self.stop_at_error)?;
            if infers {
                ahead.inference.add(&chunk.configs);
            }
            ahead.bytes += chunk.size();
            if ahead.bytes > MAX_KEPT {
                ahead.kept = None;
            } else if let Some(kept) = &mut ahead.kept {
                kept.push_back(chunk);
            }
            tree.reach(ahead.records, interrupt).check()?;
        }
        Ok(())
    }

    /// Set the columns from inferred types, unless another reader has set them; return whether kept rows fit.
    fn set_table(&self, inference: SchemaInference) -> Result<(Arc<Table>, bool), ScanError> {
        let mut types = inference.decide(&self.plan.keys)?;
        for (index, types) in types.requested.iter_mut().enumerate() {
            // A key that only conditions use may have another type in a later scan.
            let source = ColumnSource::ConfigKey(index);
            if !self.plan.columns.iter().any(|column| column.source == source) {
                *types = JsonTypes::any();
            }
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = table.is_none();
        Ok((table.get_or_insert_with(|| Arc::new(Table::new(&self.plan, types))).clone(), fits))
    }
}

/// The beginning of a reading.
enum Begun {
    Reader(Box<Reader>),
    /// The tests to begin with again.
    Again(Watch),
}

/// The chunks that were read ahead of the first batch.
struct Ahead {
    inference: SchemaInference,
    /// `None` if they are too large.
    kept: Option<VecDeque<RowChunk>>,
    bytes: usize,
    records: u64,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { inference: SchemaInference::default(), kept: Some(VecDeque::new()), bytes: 0, records: 0 }
    }
}
