//! The records of a tree as bytes, read ahead of a caller that validates them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::RecordCheck;
use crate::address_space;
use crate::error::{At, Error, Result, Step};
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;
use crate::links::LinkLog;
use crate::load::{Limit, RecordFault};
use crate::walk::{CHUNK_BYTES, Tree, Turn, Visit};
use crate::{RECORD, SIDECAR};

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
    /// Begin to read and check the records below a root.
    pub fn open(root: &Path, check: Arc<RecordCheck>, limit: Limit, follow_links: bool) -> Result<Self> {
        let visitor = Arc::new(DocumentVisitor { check, limit });
        Ok(Self(Tree::open(root, visitor, follow_links, Interrupt::NEVER)?))
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

    fn visit(&self, chunk: &mut Self::Chunk, root: &Dir, place: &Path, record: File, _: Turn<'_>) {
        let path = root.path().join(place).join(RECORD);
        let mut bytes = Vec::new();
        let read = record.metadata().and_then(|metadata| self.limit.read(&record, &metadata, &mut bytes));
        chunk.push(match read {
            Ok(()) => {
                let has_sidecar = root.has_file(&place.join(SIDECAR));
                let fault = self.check.diagnose(&bytes);
                Ok(Document { path, bytes, has_sidecar, fault })
            }
            Err(error) => Err(Error::io(Step::Read, path, error)),
        });
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
