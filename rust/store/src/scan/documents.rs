//! The records of a tree as bytes, read ahead of a caller that validates them.

use std::path::PathBuf;
use std::sync::Arc;

use super::check::RecordCheck;
use crate::SIDECAR;
use crate::address_space;
use crate::error::{At, Error, Result, Step};
use crate::interrupt::Interrupt;
use crate::links::LinkLog;
use crate::load::{Limit, RecordFault};
use crate::storage::{Entry, Storage};
use crate::walk::{CHUNK_BYTES, Tree, Turn, Visit};

/// How many times the bytes of a record are in memory while a caller validates it, next to the bytes themselves.
const RESULT_COPIES: u64 = 3;

/// A record on disk.
#[derive(Debug)]
pub struct Document {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// A `timeseries.parquet` lies next to the record.
    pub has_sidecar: bool,
    /// The reason why the bytes are not a record.
    pub fault: Option<RecordFault>,
}

/// A reader of the records of a tree, in order.
pub struct Documents(Tree<DocumentVisitor>);

struct DocumentVisitor {
    check: Arc<RecordCheck>,
    limit: Limit,
}

impl Documents {
    /// Begin to read and check the records of a location.
    pub fn open(
        storage: &Arc<dyn Storage>,
        check: Arc<RecordCheck>,
        limit: Limit,
        follow_links: bool,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        let visitor = Arc::new(DocumentVisitor { check, limit });
        Ok(Self(Tree::open(storage, visitor, follow_links, interrupt)?))
    }

    /// Return the symbolic links that the walk skips; complete at its end.
    #[must_use]
    pub fn links(&self) -> Arc<LinkLog> {
        self.0.links().clone()
    }

    /// Return the next dozens of records, or the errors of records and directories that cannot be read; `None` at the
    /// end.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled; [`Error::Io`] where the process has no room for results
    /// of the records.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<Vec<Result<Document>>>> {
        let Some(documents) = self.0.next(interrupt)? else { return Ok(None) };
        // The caller validates each with a library that may not report an allocation that fails.
        address_space::check((size(&documents) as u64).saturating_mul(RESULT_COPIES))
            .at(Step::Read, || self.0.root().to_owned())?;
        Ok(Some(documents))
    }
}

fn size(documents: &[Result<Document>]) -> usize {
    documents.iter().flatten().map(|document| document.bytes.len()).sum()
}

impl Visit for DocumentVisitor {
    type Chunk = Vec<Result<Document>>;

    fn begin(&self) -> Self::Chunk {
        Vec::new()
    }

    fn visit(&self, chunk: &mut Self::Chunk, entry: &dyn Entry, turn: Turn<'_>) {
        let mut bytes = Vec::new();
        chunk.push(entry.read(self.limit, &mut bytes).map(|()| {
            let fault = self.check.diagnose(&bytes, turn.interrupt);
            let has_sidecar = entry.has_file(SIDECAR);
            Document { path: entry.record_path(), bytes, has_sidecar, fault }
        }));
    }

    fn fail(&self, chunk: &mut Self::Chunk, error: Error) {
        chunk.push(Err(error));
    }

    fn is_full(&self, chunk: &Self::Chunk) -> bool {
        size(chunk) > CHUNK_BYTES
    }

    fn is_empty(&self, chunk: &Self::Chunk) -> bool {
        chunk.is_empty()
    }
}
