//! One result: claim, sidecar, commit, flush.
//!
//! The order is the guarantee. The sidecar is whole before the record can exist; the record is flushed before
//! it gets its name; its directory and every name above it are flushed before the caller hears of it. What
//! fails before the commit leaves nothing; what fails after it leaves the whole record and says so.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{At, Error, Result, Step};
use crate::fs::claim::{Claim, claim};
use crate::fs::durable::{Durability, PendingFile};
use crate::fs::root::Root;
use crate::interrupt::Interrupt;
use crate::json::indent::indented;
use crate::sidecar::{self, Checked, Source};
use crate::{RECORD, SIDECAR};

pub(crate) const TEMP: &str = ".result.json.tmp";
/// How often an output directory that vanishes between its opening and the claim is made again.
const VANISHED_ROOTS: u64 = 64;

/// One result to save.
pub struct Save<'a> {
    /// The directory that holds the results; made with its ancestors where it is missing.
    pub root: &'a Path,
    /// The name of the result's directory, one component; `_1`, `_2`, ... are appended where it is taken.
    pub name: &'a str,
    /// What `result.json` is to hold: compact JSON, which is [indented](crate::json::indent) on its way.
    pub record: &'a [u8],
    /// The sidecar, and the record as it reads beside one.
    pub sidecar: Option<(Source, &'a [u8])>,
    /// Whether to wait for the device.
    pub durability: Durability,
}

/// A result that was saved.
#[derive(Debug)]
pub struct Saved {
    /// The committed `result.json`.
    pub path: PathBuf,
    /// What became of the sidecar.
    pub sidecar: Sidecar,
}

/// What became of a sidecar.
#[derive(Debug)]
pub enum Sidecar {
    /// None was asked for.
    None,
    /// It is in place.
    Stored,
    /// Its source does not exist.
    Missing,
    /// It could not be stored; the record could.
    Failed(Error),
}

/// Save one result; when this returns `Ok`, it is as safe as its [`Durability`] says.
///
/// `interrupt` is asked while a sidecar is written and once just before the commit; a save that is told to
/// stop then leaves nothing.
///
/// # Errors
///
/// [`Error::Unconfirmed`] when the record is in place and a flush after its commit failed; every other error
/// means that nothing of this save is there. A failed sidecar is not an error of the save: it is in
/// [`Saved::sidecar`].
pub fn save(request: Save<'_>, interrupt: Interrupt<'_>) -> Result<Saved> {
    let Save { root, name, record, sidecar, durability } = request;
    let (source, record_beside) = match sidecar {
        Some((source, record)) => (Some(sidecar::check(source)), record),
        None => (None, record),
    };
    let (mut root, mut claim) = claim_in(root, OsStr::new(name))?;
    let mut sidecar = store_sidecar(&mut claim, source, durability, interrupt)?;
    let beside = matches!(sidecar, Sidecar::Stored);
    let pending = match seal_record(&claim, if beside { record_beside } else { record }, durability) {
        Err(error) if beside && error.is_out_of_room() => {
            if claim.take_back(SIDECAR).is_err() {
                return Err(error);
            }
            sidecar = Sidecar::Failed(made_way(&claim, &error));
            seal_record(&claim, record, durability).map_err(|again| instead_of_exists(again, &error))?
        }
        sealed => sealed?,
    };
    interrupt.check()?;
    commit(&mut claim, pending)?;
    root.keep();

    let path = claim.dir().path().join(RECORD);
    if durability == Durability::Durable
        && let Err(cause) = flush(&claim, &mut root)
    {
        return Err(unconfirmed(path, cause, sidecar));
    }
    Ok(Saved { path, sidecar })
}

/// Write a record into a claimed directory, indented, under a temporary name.
pub(crate) fn write_record(claim: &Claim, record: &[u8]) -> Result<PendingFile> {
    let record = indented(record);
    let mut pending = PendingFile::create(claim.dir(), TEMP.as_ref())?;
    pending.write(&record)?;
    pending.check_length(record.len() as u64)?;
    Ok(pending)
}

fn seal_record(claim: &Claim, record: &[u8], durability: Durability) -> Result<PendingFile> {
    let mut pending = write_record(claim, record)?;
    pending.seal(durability)?;
    Ok(pending)
}

/// The reason why a file is written anew, where the old one is still in the way: the directory is nobody else's, so it
/// could not even be removed.
pub(crate) fn instead_of_exists(error: Error, why: &Error) -> Error {
    if error.is_io(ErrorKind::AlreadyExists) { why.copy() } else { error }
}

/// What is told of a sidecar that left its record no room, and was removed: the result comes first.
pub(crate) fn made_way(claim: &Claim, error: &Error) -> Error {
    let why =
        error.raw_os_error().map_or_else(|| ErrorKind::StorageFull.into(), io::Error::from_raw_os_error);
    Error::io(error.step(), claim.dir().path().join(SIDECAR), why)
}

/// Give a record that was written, and flushed where it is to last, its name: from here on it is a result.
pub(crate) fn commit(claim: &mut Claim, pending: PendingFile) -> Result<()> {
    pending.publish(RECORD.as_ref())?;
    claim.keep();
    Ok(())
}

/// The error for a result that is in place and whose flush failed.
pub(crate) fn unconfirmed(result: PathBuf, cause: Error, sidecar: Sidecar) -> Error {
    let sidecar = if let Sidecar::Failed(error) = sidecar { Some(error.into()) } else { None };
    Error::Unconfirmed { result, cause: cause.into(), sidecar }
}

/// Open an output directory, made where it is missing, and claim a directory in it.
pub fn claim_in(root: &Path, name: &OsStr) -> Result<(Root, Claim)> {
    while_root_vanishes(|| {
        let root = Root::open_or_make(root)?;
        let claim = claim(root.dir(), name)?;
        Ok((root, claim))
    })
}

/// Try again where the output directory was removed between its opening and the claim: another saver has given
/// up on the directory that it had made.
pub(crate) fn while_root_vanishes<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempts = 0;
    loop {
        match attempt() {
            Err(error) if error.is_io(ErrorKind::NotFound) && attempts < VANISHED_ROOTS => {
                attempts += 1;
                // Longer each time, so that two savers that undo each other fall out of step.
                thread::sleep(Duration::from_micros(10 * attempts));
            }
            outcome => return outcome,
        }
    }
}

/// Store the sidecar, if there is one to store. Whatever is wrong with it is no reason not to save the result;
/// only an interrupt is.
fn store_sidecar(
    claim: &mut Claim,
    source: Option<Result<Option<Checked>>>,
    durability: Durability,
    interrupt: Interrupt<'_>,
) -> Result<Sidecar> {
    let stored = match source {
        None => return Ok(Sidecar::None),
        Some(Ok(None)) => return Ok(Sidecar::Missing),
        Some(Ok(source @ Some(_))) => {
            sidecar::write(claim.dir(), &mut { source }, interrupt).and_then(|mut pending| {
                if durability == Durability::Durable {
                    pending.flush()?;
                }
                sidecar::publish(pending)
            })
        }
        Some(Err(error)) => Err(error),
    };
    match stored {
        Ok(()) => {
            claim.holds(SIDECAR);
            Ok(Sidecar::Stored)
        }
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => Ok(Sidecar::Failed(error)),
    }
}

/// Flush the names that the commit made: the record's, the directory's, and those of the ancestors made.
fn flush(claim: &Claim, root: &mut Root) -> Result<()> {
    claim.dir().sync().at(Step::FlushDirectory, || claim.dir().path().to_owned())?;
    root.flush()
}
