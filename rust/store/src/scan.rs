//! A tree of results becomes a table: read in parallel, in Arrow batches, in a fixed order.
//!
//! Each `result.json` is one row. What is asked for is taken out of it, the rest is checked to be JSON and skipped.
//! The types of columns are those of the schema; those of the configuration, which has none, are inferred over
//! the whole tree, which takes a pass over it before the first batch. What that pass reads is kept and not
//! read again, unless it is too much to keep.

mod column;
mod completed;
mod config;
mod documents;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzed;
mod kinds;
mod plan;
mod record;
mod records;
mod traces;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};

pub use completed::completed;
pub use documents::{Document, Documents};
pub use filter::{Comparison, Condition, Operand};
pub use plan::{Plan, RecordSchema};
pub(crate) use records::CHUNK_BYTES;
pub use traces::{EXPERIMENT, TraceReader, TraceScan};

use crate::walk::Tree;
use column::data_type;
use config::{Survey, Types};
use kinds::Kinds;
use plan::Origin;
use records::{Chunk, Records};

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::load::RecordFault;

/// Bytes of what a first pass has read that are kept, so that there is no second.
const KEEP: usize = 64 << 20;

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
    /// It is not a record of this schema line.
    Fault(RecordFault),
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, size, trouble } = self;
        let path = path.display();
        match trouble {
            Trouble::Io(error) => write!(f, "{error}"),
            Trouble::Fault(fault) => write!(f, "{path} ({size} bytes) {fault}"),
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
    pub fn read(&self, interrupt: Interrupt<'_>) -> Result<Reader, ScanError> {
        let known = self.known();
        let visit =
            Records { plan: self.plan.clone(), types: known.as_ref().map(|table| table.types.clone()) };
        let mut tree = Tree::open(&self.root, Arc::new(visit))?;
        let plan = self.plan.clone();
        let (mut kept, mut told) = (VecDeque::new(), 0);
        let table = if let Some(table) = known {
            table
        } else {
            let surveyed = self.survey(&mut tree, interrupt)?;
            told = surveyed.records;
            if let Some(chunks) = surveyed.kept {
                kept = chunks;
            } else {
                let types = Some(surveyed.table.types.clone());
                tree = Tree::open(&self.root, Arc::new(Records { plan: plan.clone(), types }))?;
            }
            surveyed.table
        };
        Ok(Reader {
            plan,
            table,
            tree,
            kept,
            strict: self.strict,
            told,
            records: 0,
            pending: Pending::default(),
        })
    }

    fn survey(&self, tree: &mut Tree<Records>, interrupt: Interrupt<'_>) -> Result<Surveyed, ScanError> {
        let (mut survey, mut kept, mut bytes, mut records) = (Survey::default(), Some(VecDeque::new()), 0, 0);
        while let Some(mut chunk) = tree.next(interrupt.at(records))? {
            records += chunk.log.records;
            if self.strict && !chunk.log.bad.is_empty() {
                return Err(ScanError::Bad(chunk.log.bad.swap_remove(0)));
            }
            survey.add(&chunk.configs);
            bytes += chunk.size();
            if bytes > KEEP {
                kept = None;
            } else if let Some(kept) = &mut kept {
                chunk.log.buffer = Vec::new();
                kept.push_back(chunk);
            }
            interrupt.at(records).check()?;
        }
        let mut types = survey.decide(&self.plan.keys).map_err(ScanError::Shape)?;
        for (wanted, kinds) in types.wanted.iter_mut().enumerate() {
            // A key that is only asked about may be of any kind later, too.
            if !self.plan.columns.iter().any(|column| column.origin == Origin::Config(wanted)) {
                *kinds = Kinds::any();
            }
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // Another reader may have found the columns meanwhile: what was read here may not fit them.
        let kept = kept.filter(|_| table.is_none());
        let table = table.get_or_insert_with(|| Arc::new(Table::new(&self.plan, types))).clone();
        Ok(Surveyed { table, kept, records })
    }
}

/// What a first pass has found.
struct Surveyed {
    table: Arc<Table>,
    kept: Option<VecDeque<Chunk>>,
    records: u64,
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
    /// Results that the caller was told of before.
    told: u64,
    records: u64,
    pending: Pending,
}

/// Rows that were read and are not handed on yet.
#[derive(Default)]
struct Pending {
    batches: VecDeque<RecordBatch>,
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

    /// The next rows, as many as the batch size, or fewer where they are large; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`].
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<Part>, ScanError> {
        while self.pending.rows < self.plan.batch_size && self.pending.bytes <= CHUNK_BYTES {
            let records = self.records.max(self.told);
            let chunk = match self.kept.pop_front() {
                Some(chunk) => Some(chunk),
                None => self.tree.next(interrupt.at(records))?,
            };
            let Some(mut chunk) = chunk else {
                let is_over = self.pending.batches.is_empty() && self.pending.bad.is_empty();
                return if is_over { Ok(None) } else { self.part().map(Some) };
            };
            if self.strict && !chunk.log.bad.is_empty() {
                return Err(ScanError::Bad(chunk.log.bad.swap_remove(0)));
            }
            self.records += chunk.log.records;
            self.pending.bad.append(&mut chunk.log.bad);
            if chunk.rows > 0 {
                self.pending.rows += chunk.rows;
                self.pending.bytes += chunk.size();
                self.pending.batches.push_back(chunk.into_batch(&self.plan, &self.table)?);
            }
            interrupt.at(self.records.max(self.told)).check()?;
        }
        self.part().map(Some)
    }

    fn part(&mut self) -> Result<Part, ScanError> {
        let Pending { batches, rows, bytes, bad } = &mut self.pending;
        let (mut taken, mut wanted) = (Vec::new(), self.plan.batch_size);
        while let Some(batch) = batches.pop_front() {
            if batch.num_rows() > wanted {
                batches.push_front(batch.slice(wanted, batch.num_rows() - wanted));
                taken.push(batch.slice(0, wanted));
                break;
            }
            wanted -= batch.num_rows();
            taken.push(batch);
            if wanted == 0 {
                break;
            }
        }
        *rows = batches.iter().map(RecordBatch::num_rows).sum();
        if batches.is_empty() {
            *bytes = 0;
        }
        let batch = match taken.len() {
            1 => taken.swap_remove(0),
            _ => arrow_select::concat::concat_batches(&self.table.schema, &taken)?,
        };
        Ok(Part { batch, bad: std::mem::take(bad) })
    }
}
