//! The results of a batch: each with its ticket, and the root that they share.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::fs::claim::{Claim, SuffixCounter};
use crate::fs::dir::{Dir, FileSystem};
use crate::fs::durable::Durability;
use crate::fs::root::Root;
use crate::interrupt::Interrupt;
use crate::save::{self, NewResult, NewSidecar, Saved};
use crate::sidecar::{self, Checked, Source};

/// The root, open for many saves.
#[derive(Debug)]
pub(super) struct OpenRoot {
    root: Mutex<Root>,
    dir: Arc<Dir>,
    suffixes: SuffixCounter,
    /// The first failed flush: names that were new then may be lost, whatever a later flush reports.
    failed: OnceLock<Error>,
    /// Opened before any write, and by no other code, so that it reports every error since.
    pub(super) file_system: Option<FileSystem>,
}

impl OpenRoot {
    pub(super) fn open_or_make(path: &Path) -> Result<Self> {
        let root = Root::open_or_make(path)?;
        let dir = root.dir().clone();
        Ok(Self {
            file_system: dir.file_system(),
            root: Mutex::new(root),
            dir,
            suffixes: SuffixCounter::default(),
            failed: OnceLock::new(),
        })
    }

    pub(super) fn claim(&self, name: &str, interrupt: Interrupt<'_>) -> Result<Claim> {
        self.suffixes.claim(&self.dir, OsStr::new(name), interrupt)
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Return `true` where a path still leads here.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.dir.is_at(path)
    }

    pub(super) fn flush(&self) -> Result<()> {
        self.unless_failed(Root::flush)
    }

    pub(super) fn check_alive(&self) -> Result<()> {
        self.unless_failed(|root| root.check_alive())
    }

    fn unless_failed(&self, flush: impl FnOnce(&mut Root) -> Result<()>) -> Result<()> {
        if let Some(error) = self.failed.get() {
            return Err(error.copy());
        }
        flush(&mut self.root.lock().unwrap_or_else(PoisonError::into_inner)).map_err(|error| {
            let copy = error.copy();
            let _ = self.failed.set(error);
            copy
        })
    }

    /// Return `true` where a new descriptor of the directory may be trusted again: a flush of this one has failed,
    /// and no parent is left unflushed, which a later descriptor does not know.
    pub(super) fn is_spent(&self) -> bool {
        self.failed.get().is_some()
            && !self.root.lock().unwrap_or_else(PoisonError::into_inner).owes_flushes()
    }

    fn keep(&self) {
        self.root.lock().unwrap_or_else(PoisonError::into_inner).keep();
    }
}

/// A result of a batch, staged.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) ticket: u64,
    pub(super) root: Arc<OpenRoot>,
    pub(super) result: save::Staged<'static>,
    /// The file that gives the sidecar again.
    source: Option<PathBuf>,
}

/// A result of a batch, committed.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) ticket: u64,
    pub(super) root: Arc<OpenRoot>,
    pub(super) result: save::Committed,
}

/// A result that could not be staged; it is given back where it is intact and another try may succeed.
pub(super) struct NotStaged {
    pub(super) error: Error,
    pub(super) result: Option<Box<NewResult<'static>>>,
}

impl Staged {
    /// Check the sidecar, claim a directory, and write the files.
    ///
    /// A result for which there are no descriptors is given back, unless this is the `last_try`.
    pub(super) fn new(
        ticket: u64,
        result: NewResult<'static>,
        last_try: bool,
        claim: impl FnOnce(&str) -> Result<(Arc<OpenRoot>, Claim)>,
        interrupt: Interrupt<'_>,
    ) -> Result<Self, NotStaged> {
        let mut draft = Draft::new(result);
        match draft.stage(last_try, claim, interrupt) {
            Ok((root, result)) => Ok(Self { ticket, root, result, source: draft.path }),
            Err(error) => {
                let again = !last_try && error.is_out_of_descriptors();
                Err(NotStaged { result: if again { draft.into_result() } else { None }, error })
            }
        }
    }

    /// Write the files again, to new files, because the device lost the old ones.
    pub(super) fn rewrite(&mut self, why: &Error) {
        let source = self.source.clone().map(|path| sidecar::check(Source::File(path)));
        self.result.rewrite(source, why);
    }

    /// Give the files their names: this commits the result.
    pub(super) fn publish(self, durability: Durability) -> Result<Committed> {
        let result = self.result.publish(durability)?;
        self.root.keep();
        Ok(Committed { ticket: self.ticket, root: self.root, result })
    }
}

/// Return the bytes that wait for the device. A sparse source has any size.
pub(super) fn bytes_of(staged: &[Staged]) -> u64 {
    staged.iter().fold(0, |bytes, staged| bytes.saturating_add(staged.result.size()))
}

impl Committed {
    /// Return the ticket and the outcome.
    pub(super) fn finish(self) -> (u64, Result<Saved>) {
        (self.ticket, self.result.finish())
    }
}

/// A result whose sidecar is checked; until its stream is read, it can become a result again.
struct Draft {
    result: NewResult<'static>,
    with_sidecar: Cow<'static, [u8]>,
    memory: usize,
    path: Option<PathBuf>,
    checked: Option<Result<Option<Checked>>>,
}

impl Draft {
    fn new(mut result: NewResult<'static>) -> Self {
        let (source, with_sidecar, memory) = match result.sidecar.take() {
            Some(NewSidecar { source, record, memory }) => (Some(source), record, memory),
            None => (None, Cow::default(), 0),
        };
        let path = match &source {
            Some(Source::File(path)) => Some(path.clone()),
            _ => None,
        };
        Self { result, with_sidecar, memory, path, checked: source.map(sidecar::check) }
    }

    fn into_result(mut self) -> Option<Box<NewResult<'static>>> {
        let source = match (self.path, self.checked) {
            (Some(path), _) => Some(Source::File(path)),
            (None, None) => None,
            (None, Some(Ok(Some(Checked::Arrow(reader))))) => Some(Source::Arrow(reader)),
            (None, Some(Err(error))) => Some(Source::Failed(error)),
            (None, Some(Ok(_))) => return None,
        };
        let (record, memory) = (self.with_sidecar, self.memory);
        self.result.sidecar = source.map(|source| NewSidecar { source, record, memory });
        Some(Box::new(self.result))
    }

    fn stage(
        &mut self,
        last_try: bool,
        claim: impl FnOnce(&str) -> Result<(Arc<OpenRoot>, Claim)>,
        interrupt: Interrupt<'_>,
    ) -> Result<(Arc<OpenRoot>, save::Staged<'static>)> {
        if let Some(Err(error)) = &self.checked
            && !last_try
            && error.is_out_of_descriptors()
        {
            return Err(error.copy());
        }
        let (root, claim) = claim(&self.result.name)?;
        let contents = (take(&mut self.result.record), take(&mut self.with_sidecar));
        let mut staged = save::Staged::new(claim, self.result.kind, contents.0, contents.1);
        let written = staged.write_sidecar(&mut self.checked, last_try, interrupt);
        if let Err(error) = written.and_then(|()| staged.write_record()) {
            (self.result.record, self.with_sidecar) = staged.into_contents();
            return Err(error);
        }
        Ok((root, staged))
    }
}
