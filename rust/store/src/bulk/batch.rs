//! The results of a batch, between the steps that each takes alone.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Job;
use super::barrier::Flush;
use crate::RECORD;
use crate::error::{At, Error, Result, Step};
use crate::fs::claim::{Claim, Names};
use crate::fs::dir::{Dir, FileSystem};
use crate::fs::durable::PendingFile;
use crate::fs::root::Root;
use crate::interrupt::Interrupt;
use crate::save::{Saved, Sidecar, commit, instead_of_exists, made_way, unconfirmed, write_record};
use crate::sidecar::{self, Checked, Source};

/// The output directory, open for many saves.
#[derive(Debug)]
pub(super) struct OpenRoot {
    root: Mutex<Root>,
    dir: Arc<Dir>,
    names: Names,
    /// The flush that failed: what was new then may be lost, whatever another flush says.
    failed: OnceLock<Error>,
    /// Opened before anything was written, so that it reports every error since; nobody else uses it.
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
            names: Names::default(),
            failed: OnceLock::new(),
        })
    }

    pub(super) fn claim(&self, name: &str) -> Result<Claim> {
        self.names.claim(&self.dir, OsStr::new(name))
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whether a path still leads here.
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

    /// Whether another descriptor of the directory may be trusted again: a flush of this one has failed, and no
    /// parent is left unflushed, which a descriptor opened later would know nothing of.
    pub(super) fn is_spent(&self) -> bool {
        self.failed.get().is_some()
            && !self.root.lock().unwrap_or_else(PoisonError::into_inner).owes_flushes()
    }

    fn keep(&self) {
        self.root.lock().unwrap_or_else(PoisonError::into_inner).keep();
    }
}

/// A result whose files are written in a directory of its own, under temporary names.
///
/// Dropped before it is published, it leaves nothing.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) ticket: u64,
    pub(super) root: Arc<OpenRoot>,
    /// The first flush of its files that failed.
    fate: Result<()>,
    // Before the claim, so that it is dropped before it: a directory is removed when it is empty.
    record: Option<PendingFile>,
    sidecar: Option<PendingFile>,
    became: Sidecar,
    claim: Claim,
    alone: Vec<u8>,
    beside: Vec<u8>,
    /// Where the sidecar can be had again.
    source: Option<PathBuf>,
}

/// A job that could not be staged, given back where it is still whole and may be yet.
pub(super) struct NotStaged {
    pub(super) error: Error,
    pub(super) job: Option<Box<Job>>,
}

impl Staged {
    /// Check the sidecar, claim a directory, and write the files.
    ///
    /// A job for which there are no descriptors is given back, unless this is its last try.
    pub(super) fn new(
        ticket: u64,
        job: Job,
        last_try: bool,
        claim: impl FnOnce(&str) -> Result<(Arc<OpenRoot>, Claim)>,
        interrupt: Interrupt<'_>,
    ) -> Result<Self, NotStaged> {
        let mut draft = Draft::new(job);
        match draft.write(last_try, claim, interrupt) {
            Ok(Written { record, sidecar, became, root, claim }) => {
                let Draft { record: alone, beside, path: source, .. } = draft;
                let record = Some(record);
                Ok(Self { ticket, root, fate: Ok(()), record, sidecar, became, claim, alone, beside, source })
            }
            Err(error) => {
                let again = !last_try && error.is_out_of_descriptors();
                Err(NotStaged { job: if again { draft.into_job() } else { None }, error })
            }
        }
    }

    /// Bytes that wait for the device.
    pub(super) fn size(&self) -> u64 {
        self.record.iter().chain(&self.sidecar).map(PendingFile::length).sum()
    }

    /// Where the record will be.
    pub(super) fn path(&self) -> PathBuf {
        self.claim.dir().path().join(RECORD)
    }

    fn write_record(&mut self, why: &Error) -> Result<()> {
        self.record = None;
        let content = if self.sidecar.is_some() { &self.beside } else { &self.alone };
        let record = write_record(&self.claim, content);
        self.record = Some(record.map_err(|error| instead_of_exists(error, why))?);
        Ok(())
    }

    /// Go on without the sidecar, with the record as it reads alone, in a new file.
    fn drop_sidecar(&mut self, error: Error) -> Result<()> {
        self.sidecar = None;
        self.write_record(&error)?;
        self.became = Sidecar::Failed(error);
        Ok(())
    }

    /// The same where the other files are flushed already.
    fn give_up_sidecar(&mut self, error: Error) -> Result<()> {
        self.drop_sidecar(error)?;
        self.flush_record()
    }

    fn flush_record(&mut self) -> Result<()> {
        self.record.as_mut().map_or(Ok(()), PendingFile::flush)
    }

    fn flush_files(&mut self) -> Result<()> {
        if let Some(Err(error)) = self.sidecar.as_mut().map(PendingFile::flush) {
            return self.give_up_sidecar(error);
        }
        match self.flush_record() {
            // Quotas and network file systems may say so only now.
            Err(error) if self.sidecar.is_some() && error.is_out_of_room() => {
                self.give_up_sidecar(made_way(&self.claim, &error))
            }
            flushed => flushed,
        }
    }

    fn rewrite_files(&mut self, why: &Error) -> Result<()> {
        if self.sidecar.take().is_some() {
            (self.sidecar, self.became) = match &self.source {
                Some(path) => {
                    let checked = sidecar::check(Source::File(path.clone()));
                    write_sidecar(&self.claim, &mut Some(checked), true, Interrupt::NEVER)?
                }
                // A stream is read once.
                None => (None, Sidecar::Failed(why.copy())),
            };
        }
        match self.write_record(why) {
            Err(error) if self.sidecar.is_some() && error.is_out_of_room() => {
                self.drop_sidecar(made_way(&self.claim, &error))
            }
            written => written,
        }
    }

    /// Write the files anew, to other files: what the device did not take is not in the old ones any more.
    pub(super) fn rewrite(&mut self, why: &Error) {
        self.fate = self.rewrite_files(why);
    }

    /// Give the files their names: from here on it is a result.
    pub(super) fn publish(mut self, durable: bool) -> (u64, Result<Committed>) {
        (self.ticket, self.try_publish(durable).map(|()| self.into_committed()))
    }

    fn try_publish(&mut self, durable: bool) -> Result<()> {
        std::mem::replace(&mut self.fate, Ok(()))?;
        if let Some(sidecar) = self.sidecar.take() {
            match sidecar::publish(sidecar) {
                Ok(()) => {
                    self.claim.holds(crate::SIDECAR);
                    self.became = Sidecar::Stored;
                }
                Err(error) if durable => self.give_up_sidecar(error)?,
                Err(error) => self.drop_sidecar(error)?,
            }
        }
        if let Some(record) = self.record.take() {
            commit(&mut self.claim, record)?;
            self.root.keep();
        }
        Ok(())
    }

    fn into_committed(self) -> Committed {
        Committed {
            ticket: self.ticket,
            root: self.root,
            fate: Ok(()),
            claim: self.claim,
            sidecar: self.became,
        }
    }
}

impl Flush for Staged {
    fn flush(&mut self) {
        if self.fate.is_ok() {
            self.fate = self.flush_files();
        }
    }
}

/// A job on its way to being staged; until its stream is read, it can be a job again.
struct Draft {
    name: String,
    record: Vec<u8>,
    beside: Vec<u8>,
    weight: usize,
    path: Option<PathBuf>,
    checked: Option<Result<Option<Checked>>>,
}

struct Written {
    record: PendingFile,
    sidecar: Option<PendingFile>,
    became: Sidecar,
    root: Arc<OpenRoot>,
    claim: Claim,
}

impl Draft {
    fn new(Job { name, record, sidecar, weight }: Job) -> Self {
        let (source, beside) = sidecar.unzip();
        let path = match &source {
            Some(Source::File(path)) => Some(path.clone()),
            _ => None,
        };
        let beside = beside.unwrap_or_default();
        Self { name, record, beside, weight, path, checked: source.map(sidecar::check) }
    }

    fn into_job(self) -> Option<Box<Job>> {
        let source = match (self.path, self.checked) {
            (Some(path), _) => Some(Source::File(path)),
            (None, None) => None,
            (None, Some(Ok(Some(Checked::Arrow(reader))))) => Some(Source::Arrow(reader)),
            (None, Some(Err(error))) => Some(Source::Failed(error)),
            (None, Some(Ok(_))) => return None,
        };
        let sidecar = source.map(|source| (source, self.beside));
        Some(Box::new(Job { name: self.name, record: self.record, sidecar, weight: self.weight }))
    }

    fn write(
        &mut self,
        last_try: bool,
        claim: impl FnOnce(&str) -> Result<(Arc<OpenRoot>, Claim)>,
        interrupt: Interrupt<'_>,
    ) -> Result<Written> {
        if let Some(Err(error)) = &self.checked
            && !last_try
            && error.is_out_of_descriptors()
        {
            return Err(error.copy());
        }
        let (root, claim) = claim(&self.name)?;
        let (mut sidecar, mut became) = write_sidecar(&claim, &mut self.checked, last_try, interrupt)?;
        let record = match write_record(&claim, if sidecar.is_some() { &self.beside } else { &self.record }) {
            Err(error) if sidecar.is_some() && error.is_out_of_room() => {
                sidecar = None;
                became = Sidecar::Failed(made_way(&claim, &error));
                write_record(&claim, &self.record).map_err(|again| instead_of_exists(again, &error))?
            }
            written => written?,
        };
        Ok(Written { record, sidecar, became, root, claim })
    }
}

/// Write a sidecar beside a record that is still to come; what is wrong with it is no reason not to, unless
/// that is a want of descriptors and there is another try.
fn write_sidecar(
    claim: &Claim,
    checked: &mut Option<Result<Option<Checked>>>,
    last_try: bool,
    interrupt: Interrupt<'_>,
) -> Result<(Option<PendingFile>, Sidecar)> {
    let written = match checked.take() {
        None => return Ok((None, Sidecar::None)),
        Some(Ok(None)) => return Ok((None, Sidecar::Missing)),
        Some(Ok(Some(source))) => {
            let mut source = Some(source);
            let written = sidecar::write(claim.dir(), &mut source, interrupt);
            *checked = Some(Ok(source));
            written
        }
        Some(Err(error)) => Err(error),
    };
    match written {
        Ok(pending) => Ok((Some(pending), Sidecar::Stored)),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) if !last_try && error.is_out_of_descriptors() => Err(error),
        Err(error) => Ok((None, Sidecar::Failed(error))),
    }
}

/// A result that is in place; whether it survives a power cut is for the next barrier to say.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) ticket: u64,
    pub(super) root: Arc<OpenRoot>,
    fate: Result<()>,
    claim: Claim,
    sidecar: Sidecar,
}

impl Committed {
    /// Note that a flush which this result relied on has failed.
    pub(super) fn doubt(&mut self, cause: &Error) {
        if self.fate.is_ok() {
            self.fate = Err(cause.copy());
        }
    }

    /// What is to be told of it.
    pub(super) fn finish(self) -> (u64, Result<Saved>) {
        let path = self.claim.dir().path().join(RECORD);
        let outcome = match (self.fate, self.sidecar) {
            (Ok(()), sidecar) => Ok(Saved { path, sidecar }),
            (Err(cause), sidecar) => Err(unconfirmed(path, cause, sidecar)),
        };
        (self.ticket, outcome)
    }
}

impl Flush for Committed {
    fn flush(&mut self) {
        let dir = self.claim.dir();
        self.fate = dir.sync().at(Step::FlushDirectory, || dir.path().to_owned());
    }
}
