//! The steps that single and bulk saves share: stage, flush, publish, confirm.
//!
//! A single save publishes the sidecar before it writes the record; a bulk save writes both, and publishes both
//! after a barrier. The steps, and what each does when it fails, are the same.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::{Saved, Sidecar};
use crate::SIDECAR;
use crate::error::{At, Error, Result, Step};
use crate::fs::claim::Claim;
use crate::fs::durable::{Durability, PendingFile};
use crate::interrupt::Interrupt;
use crate::json::indent::indented;
use crate::kind::Kind;
use crate::sidecar::{self, Checked};

/// A step that puts something on the device, and remembers how that went.
pub(crate) trait Flush: Send {
    /// Flush once; a failure is final.
    fn flush(&mut self);
}

/// A result whose files are written in its own directory, under temporary names.
///
/// Dropped before it is committed, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Staged<'a> {
    // The files are dropped before the claim: only an empty directory can be removed.
    record: Option<PendingFile>,
    pending_sidecar: Option<PendingFile>,
    /// [`Sidecar::Stored`] as soon as the sidecar is written.
    sidecar: Sidecar,
    /// The first failed flush of its files.
    flush_result: Result<()>,
    claim: Claim,
    kind: Kind,
    without_sidecar: Cow<'a, [u8]>,
    with_sidecar: Cow<'a, [u8]>,
}

impl<'a> Staged<'a> {
    /// Begin to stage a result in a claimed directory; the record reads differently with a sidecar.
    pub fn new(
        claim: Claim,
        kind: Kind,
        without_sidecar: Cow<'a, [u8]>,
        with_sidecar: Cow<'a, [u8]>,
    ) -> Self {
        Self {
            record: None,
            pending_sidecar: None,
            sidecar: Sidecar::None,
            flush_result: Ok(()),
            claim,
            kind,
            without_sidecar,
            with_sidecar,
        }
    }

    /// Remove what is staged, and return the contents of the record: without a sidecar, and with one.
    pub fn into_contents(self) -> (Cow<'a, [u8]>, Cow<'a, [u8]>) {
        (self.without_sidecar, self.with_sidecar)
    }

    /// Return the bytes that wait for the device.
    pub fn size(&self) -> u64 {
        let files = self.record.iter().chain(&self.pending_sidecar);
        files.fold(0, |bytes, file| bytes.saturating_add(file.length()))
    }

    /// Return the final path of the record.
    pub fn path(&self) -> PathBuf {
        self.claim.dir().path().join(self.kind.file())
    }

    /// Write the sidecar. A failure becomes part of the outcome, since it must not cost the result.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`]; a lack of descriptors, unless this is the `last_try`.
    pub fn write_sidecar(
        &mut self,
        source: &mut Option<Result<Option<Checked>>>,
        last_try: bool,
        interrupt: Interrupt<'_>,
    ) -> Result<()> {
        let written = match source.take() {
            None => return Ok(()),
            Some(Ok(None)) => {
                self.sidecar = Sidecar::Missing;
                return Ok(());
            }
            Some(Ok(Some(checked))) => {
                let mut checked = Some(checked);
                let written = sidecar::write(self.claim.dir(), &mut checked, interrupt);
                *source = Some(Ok(checked));
                written
            }
            Some(Err(error)) => Err(error),
        };
        self.sidecar = match written {
            Ok((pending, notes)) => {
                self.pending_sidecar = Some(pending);
                Sidecar::Stored(notes)
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) if !last_try && error.is_out_of_descriptors() => return Err(error),
            Err(error) => Sidecar::Failed(error),
        };
        Ok(())
    }

    /// Flush the sidecar; without it where that fails.
    pub fn flush_sidecar(&mut self) -> Result<()> {
        match self.pending_sidecar.as_mut().map_or(Ok(()), PendingFile::flush) {
            Err(error) => self.drop_sidecar(error),
            flushed => flushed,
        }
    }

    /// Give the sidecar its name; without it where that fails.
    pub fn publish_sidecar(&mut self, durability: Durability) -> Result<()> {
        let Some(pending) = self.pending_sidecar.take() else { return Ok(()) };
        match sidecar::publish(pending) {
            Ok(()) => {
                self.claim.holds(SIDECAR);
                Ok(())
            }
            Err(error) => {
                self.drop_sidecar(error)?;
                match (&mut self.record, durability) {
                    (Some(record), Durability::Durable) => record.flush(),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Write the record, indented.
    pub fn write_record(&mut self) -> Result<()> {
        match self.create_record() {
            Err(error) if self.has_sidecar() && error.is_out_of_room() => self.evict_sidecar(&error),
            written => written,
        }
    }

    /// Flush the record: quotas and network file systems may report only now that there is no room.
    pub fn flush_record(&mut self) -> Result<()> {
        self.finish_record(PendingFile::flush)
    }

    /// Flush the record, where it is to be durable, and close it.
    pub fn seal_record(&mut self, durability: Durability) -> Result<()> {
        self.finish_record(|record| record.seal(durability))
    }

    fn finish_record(&mut self, finish: impl Fn(&mut PendingFile) -> Result<()>) -> Result<()> {
        match self.record.as_mut().map_or(Ok(()), &finish) {
            Err(error) if self.has_sidecar() && error.is_out_of_room() => {
                self.evict_sidecar(&error)?;
                self.record.as_mut().map_or(Ok(()), finish)
            }
            finished => finished,
        }
    }

    /// Give the files their names, the record last: this commits the result.
    pub fn publish(mut self, durability: Durability) -> Result<Committed> {
        std::mem::replace(&mut self.flush_result, Ok(()))?;
        self.publish_sidecar(durability)?;
        let Some(record) = self.record.take() else {
            return Err(Error::io(Step::Commit, self.path(), ErrorKind::NotFound.into()));
        };
        record.publish(self.kind.file().as_ref())?;
        self.claim.keep();
        Ok(Committed { flush_result: Ok(()), claim: self.claim, kind: self.kind, sidecar: self.sidecar })
    }

    /// Write the files again, to new files, because the device lost the old ones; `source` gives the sidecar again.
    pub fn rewrite(&mut self, source: Option<Result<Option<Checked>>>, why: &Error) {
        self.flush_result = self.rewrite_files(source, why);
    }

    fn rewrite_files(&mut self, mut source: Option<Result<Option<Checked>>>, why: &Error) -> Result<()> {
        if self.pending_sidecar.take().is_some() {
            // A stream is read only once.
            self.sidecar = Sidecar::Failed(why.copy());
            self.write_sidecar(&mut source, true, Interrupt::NEVER)?;
        }
        self.record = None;
        self.write_record().map_err(|error| instead_of_exists(error, why))
    }

    fn has_sidecar(&self) -> bool {
        matches!(self.sidecar, Sidecar::Stored(_))
    }

    fn create_record(&mut self) -> Result<()> {
        self.record = None;
        let content = if self.has_sidecar() { &self.with_sidecar } else { &self.without_sidecar };
        let content = indented(content);
        let mut pending = PendingFile::create(self.claim.dir(), self.kind.temp().as_ref())?;
        pending.write(&content)?;
        pending.check_length(content.len() as u64)?;
        self.record = Some(pending);
        Ok(())
    }

    /// Remove a sidecar that left no room for its record, and write the record again: the result has priority.
    fn evict_sidecar(&mut self, error: &Error) -> Result<()> {
        self.record = None;
        let cause =
            error.raw_os_error().map_or_else(|| ErrorKind::StorageFull.into(), io::Error::from_raw_os_error);
        let is_published = self.pending_sidecar.take().is_none();
        if is_published && self.claim.take_back(SIDECAR).is_err() {
            return Err(error.copy());
        }
        self.sidecar = Sidecar::Failed(Error::io(error.step(), self.claim.dir().path().join(SIDECAR), cause));
        self.create_record().map_err(|again| instead_of_exists(again, error))
    }

    /// Go on without a sidecar that failed; a record that is written already names it, and is written again.
    fn drop_sidecar(&mut self, error: Error) -> Result<()> {
        self.pending_sidecar = None;
        let why = error.copy();
        self.sidecar = Sidecar::Failed(error);
        if self.record.is_none() {
            return Ok(());
        }
        self.create_record().map_err(|again| instead_of_exists(again, &why))
    }
}

/// Return the reason for a rewrite where the old file could not be removed: no other saver uses the directory.
fn instead_of_exists(error: Error, why: &Error) -> Error {
    if error.is_io(ErrorKind::AlreadyExists) { why.copy() } else { error }
}

impl Flush for Staged<'_> {
    fn flush(&mut self) {
        if self.flush_result.is_ok() {
            self.flush_result = self.flush_sidecar().and_then(|()| self.flush_record());
        }
    }
}

/// A committed result, which survives a power cut once its names are flushed.
#[derive(Debug)]
pub(crate) struct Committed {
    flush_result: Result<()>,
    claim: Claim,
    kind: Kind,
    sidecar: Sidecar,
}

impl Committed {
    /// Return `true` while no flush has failed.
    pub fn is_flushed(&self) -> bool {
        self.flush_result.is_ok()
    }

    /// Note that a flush of a directory above the result failed; the first failure counts.
    pub fn mark_unconfirmed(&mut self, cause: Error) {
        if self.flush_result.is_ok() {
            self.flush_result = Err(cause);
        }
    }

    /// Return the outcome of the save.
    pub fn finish(self) -> Result<Saved> {
        let path = self.claim.dir().path().join(self.kind.file());
        match self.flush_result {
            Ok(()) => Ok(Saved { path, sidecar: self.sidecar }),
            Err(cause) => Err(unconfirmed(path, cause, self.sidecar)),
        }
    }
}

impl Flush for Committed {
    fn flush(&mut self) {
        let dir = self.claim.dir();
        self.flush_result = dir.sync().at(Step::FlushDirectory, || dir.path().to_owned());
    }
}

/// Return the error for a committed result whose flush failed.
pub(crate) fn unconfirmed(result: PathBuf, cause: Error, sidecar: Sidecar) -> Error {
    let sidecar = if let Sidecar::Failed(error) = sidecar { Some(error.into()) } else { None };
    Error::Unconfirmed { result, cause: cause.into(), sidecar }
}
