//! The reader of a scan: it cuts the chunks of a walk into batches.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::plan::Plan;
use super::records::{RecordVisitor, RowChunk};
use super::table::Table;
use super::{RecordError, ScanBatch, ScanError};
use crate::address_space;
use crate::error::{At, Step};
use crate::interrupt::Interrupt;
use crate::links::LinkLog;
use crate::walk::{CHUNK_BYTES, Tree};

/// A reader of the batches of a [`Scan`](super::Scan).
pub struct Reader {
    pub(super) plan: Arc<Plan>,
    pub(super) table: Arc<Table>,
    pub(super) tree: Tree<RecordVisitor>,
    /// The chunks that schema inference has read.
    pub(super) kept: VecDeque<RowChunk>,
    pub(super) batch_size: usize,
    pub(super) stop_at_error: bool,
    /// The rows that the scan may still return.
    pub(super) missing: usize,
    /// Number of records that schema inference has reported.
    pub(super) reported: u64,
    pub(super) records: u64,
    pub(super) pending: Pending,
}

/// Rows for the next batches.
#[derive(Default)]
pub(super) struct Pending {
    chunks: VecDeque<RecordBatch>,
    rows: usize,
    bytes: usize,
    errors: Vec<RecordError>,
}

impl Reader {
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

    /// Return the next batch, which has fewer rows than the batch size if they are large; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`](super::Scan::read).
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<ScanBatch>, ScanError> {
        let wanted = self.batch_size.min(self.missing);
        if wanted == 0 {
            return Ok(None);
        }
        while self.pending.rows < wanted && self.pending.bytes <= CHUNK_BYTES {
            let chunk = match self.kept.pop_front() {
                Some(chunk) => Some(chunk),
                None => self.tree.next(self.reach(interrupt))?,
            };
            let Some(mut chunk) = chunk else {
                let is_end = self.pending.chunks.is_empty() && self.pending.errors.is_empty();
                return if is_end { Ok(None) } else { self.take_batch().map(Some) };
            };
            chunk.log.check(self.stop_at_error)?;
            self.records += chunk.log.records;
            self.pending.errors.append(&mut chunk.log.errors);
            if chunk.rows > 0 {
                self.pending.rows += chunk.rows;
                self.pending.bytes += chunk.size();
                self.pending.chunks.push_back(chunk.into_batch(&self.plan, &self.table)?);
            }
            self.reach(interrupt).check()?;
        }
        self.take_batch().map(Some)
    }

    fn reach<'a>(&self, interrupt: Interrupt<'a>) -> Interrupt<'a> {
        self.tree.reach(self.records.max(self.reported), interrupt)
    }

    fn take_batch(&mut self) -> Result<ScanBatch, ScanError> {
        address_space::check((self.pending.bytes as u64).saturating_mul(2))
            .at(Step::Read, || self.tree.root().to_owned())?;
        let Pending { chunks, rows, bytes, errors } = &mut self.pending;
        let (mut taken, mut missing) = (Vec::new(), self.batch_size.min(self.missing));
        while let Some(chunk) = chunks.pop_front() {
            if chunk.num_rows() > missing {
                chunks.push_front(chunk.slice(missing, chunk.num_rows() - missing));
                taken.push(chunk.slice(0, missing));
                break;
            }
            missing -= chunk.num_rows();
            taken.push(chunk);
            if missing == 0 {
                break;
            }
        }
        *rows = chunks.iter().map(RecordBatch::num_rows).sum();
        if chunks.is_empty() {
            *bytes = 0;
        }
        self.missing -= taken.iter().map(RecordBatch::num_rows).sum::<usize>();
        let rows = match taken.len() {
            1 => taken.swap_remove(0),
            _ => arrow_select::concat::concat_batches(&self.table.schema, &taken)?,
        };
        Ok(ScanBatch { rows, errors: std::mem::take(errors) })
    }
}
