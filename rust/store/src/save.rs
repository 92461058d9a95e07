//! One result: stage, flush, publish, confirm.
//!
//! The order is the guarantee. The sidecar is complete before the record exists; the record is flushed before it
//! gets its name; its directory and every directory above it are flushed before the save returns. A failure
//! before the commit leaves nothing; a failure after it leaves the complete record, and reports that.
//!
//! [`NewResult`], [`SaveOptions`] and [`Saved`] mention no file system, so that a store on object storage can
//! implement the same verb.

mod staged;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fs::claim::{Claim, claim};
use crate::fs::durable::Durability;
use crate::fs::root::Root;
use crate::interrupt::Interrupt;
use crate::kind::Kind;
use crate::sidecar;
pub use crate::sidecar::{Source, to_bytes};
pub(crate) use staged::{Committed, Flush, Staged, unconfirmed};

/// Attempts to create a root that other savers remove between its opening and the claim.
const VANISHED_ROOTS: u64 = 64;

/// A result to save.
#[derive(Debug)]
pub struct NewResult<'a> {
    /// The name of the result's directory, one component; `_1`, `_2`, ... are appended where it is taken.
    pub name: Cow<'a, str>,
    /// The kind of the record, which names its file.
    pub kind: Kind,
    /// The content of the record: compact JSON, which is [indented](crate::json::indent) as it is written.
    pub record: Cow<'a, [u8]>,
    /// The power trace, if the result has one.
    pub sidecar: Option<NewSidecar<'a>>,
    /// The suffix to try first, on an object store where its parity fits; a directory takes the next one that is free.
    pub suffix: Option<u64>,
}

impl<'a> NewResult<'a> {
    /// Describe a result without a sidecar.
    pub fn new(name: impl Into<Cow<'a, str>>, record: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { name: name.into(), kind: Kind::Result, record: record.into(), sidecar: None, suffix: None }
    }
}

/// The power trace of a result to save.
#[derive(Debug)]
pub struct NewSidecar<'a> {
    /// The source of the trace.
    pub source: Source,
    /// The content of `result.json` with the sidecar: it names the file.
    pub record: Cow<'a, [u8]>,
    /// The bytes that the source keeps in memory until it is written.
    pub memory: usize,
}

/// The options of a save.
#[derive(Debug, Clone, Copy)]
pub struct SaveOptions {
    /// The policy for flushes.
    pub durability: Durability,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { durability: Durability::Durable }
    }
}

/// A saved result.
#[derive(Debug)]
pub struct Saved {
    /// The committed record.
    pub path: PathBuf,
    /// The outcome of the sidecar.
    pub sidecar: Sidecar,
}

/// The outcome of a sidecar.
#[derive(Debug)]
pub enum Sidecar {
    /// The result has no sidecar.
    None,
    /// The sidecar is in place; sentences on what is wrong with it as a power trace.
    Stored(Vec<String>),
    /// The source does not exist.
    Missing,
    /// The sidecar could not be stored; the record could.
    Failed(Error),
}

/// Save one result in a root, which is created with its ancestors where it is missing.
///
/// The save checks `interrupt` in a long search for a free name, while it writes a sidecar, and once before the
/// commit; a cancelled save leaves nothing.
///
/// # Errors
///
/// [`Error::Unconfirmed`] when the record is in place, but a flush after its commit failed; every other error
/// means that this save left nothing. A failed sidecar is not an error of the save: see [`Saved::sidecar`].
pub fn save(
    root: &Path,
    result: NewResult<'_>,
    options: SaveOptions,
    interrupt: Interrupt<'_>,
) -> Result<Saved> {
    let SaveOptions { durability } = options;
    let (source, with_sidecar) = match result.sidecar {
        Some(NewSidecar { source, record, .. }) => (Some(source), record),
        None => (None, Cow::Borrowed(&[][..])),
    };
    let mut checked = source.map(sidecar::check);
    let (mut root, claim) = claim_in(root, OsStr::new(&*result.name), interrupt)?;
    let mut staged = Staged::new(claim, result.kind, result.record, with_sidecar);
    staged.write_sidecar(&mut checked, true, interrupt)?;
    if durability == Durability::Durable {
        staged.flush_sidecar()?;
    }
    staged.publish_sidecar(durability)?;
    staged.write_record()?;
    staged.seal_record(durability)?;
    interrupt.check()?;
    let mut committed = staged.publish(durability)?;
    root.keep();
    if durability == Durability::Durable {
        committed.flush();
        if committed.is_flushed()
            && let Err(cause) = root.flush()
        {
            committed.mark_unconfirmed(cause);
        }
    }
    committed.finish()
}

/// Claim `name`, `name_1`, ... in a root, which is created where it is missing; return the path of the directory.
///
/// # Errors
///
/// The root cannot be opened or created, or the directory cannot be created; [`Error::Interrupted`] in a long search
/// for a free name, once the caller has cancelled.
pub fn claim_directory(root: &Path, name: &OsStr, interrupt: Interrupt<'_>) -> Result<PathBuf> {
    let (mut root, mut claim) = claim_in(root, name, interrupt)?;
    claim.keep();
    root.keep();
    Ok(claim.dir().path().to_owned())
}

/// Open a root, created where it is missing, and claim a directory in it.
fn claim_in(root: &Path, name: &OsStr, interrupt: Interrupt<'_>) -> Result<(Root, Claim)> {
    while_root_vanishes(|| {
        let root = Root::open_or_make(root)?;
        let claim = claim(root.dir(), name, interrupt)?;
        Ok((root, claim))
    })
}

/// Try again where the root was removed before the claim: another saver gave up on a directory that it created.
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
