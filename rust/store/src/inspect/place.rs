//! The operations of a clean on a directory. A test has directories in memory, to step through every interleaving.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;

use super::TRASH;
use crate::fs::dir::{Dir, EntryKind, Nanos};
use crate::interrupt::Interrupt;
use crate::load::{Header, Limit};
use crate::{FAILURE, RECORD, SIDECAR};

/// An open directory, as [`Dir`] describes its methods.
pub(crate) trait Place: Sized {
    fn make_dir(&self, name: &OsStr) -> io::Result<()>;
    fn open_dir(&self, name: &OsStr) -> io::Result<Self>;
    fn remove_dir(&self, name: &OsStr) -> io::Result<()>;
    fn remove_file(&self, name: &OsStr) -> io::Result<()>;
    fn move_to(&self, from: &OsStr, target: &Self, to: &OsStr) -> io::Result<()>;
    fn entries(&self) -> io::Result<Vec<(OsString, EntryKind)>>;
    fn is_taken(&self, name: &OsStr) -> io::Result<bool>;
    fn modified(&self) -> io::Result<Nanos>;
    fn modified_of(&self, name: &OsStr) -> io::Result<Nanos>;
    fn holds(&self, name: &OsStr, dir: &Self) -> bool;
    fn is_same(&self, other: &Self) -> bool;
    fn inode(&self) -> io::Result<u64>;
    fn try_lock(&self) -> io::Result<bool>;
    fn sync(&self) -> io::Result<()>;

    /// Return `true` where an entry is called `result.json` or `failure.json`, or may be.
    fn has_record(&self) -> bool;

    /// Return `true` where the record names a `timeseries.parquet` that is not there, or may do so.
    fn lacks_sidecar(&self) -> bool;

    /// Return a name for a trash that no other cleaner uses.
    fn unused_name(&self) -> OsString;
}

impl Place for Dir {
    fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        self.make_dir(name)
    }

    fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        self.open_dir(name)
    }

    fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        self.remove_dir(name)
    }

    fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        self.remove_file(name)
    }

    fn move_to(&self, from: &OsStr, target: &Self, to: &OsStr) -> io::Result<()> {
        self.move_to(from, target, to)
    }

    fn entries(&self) -> io::Result<Vec<(OsString, EntryKind)>> {
        self.entries(Interrupt::NEVER)
    }

    fn is_taken(&self, name: &OsStr) -> io::Result<bool> {
        self.is_taken(name)
    }

    fn modified(&self) -> io::Result<Nanos> {
        self.modified()
    }

    fn modified_of(&self, name: &OsStr) -> io::Result<Nanos> {
        self.modified_of(name)
    }

    fn holds(&self, name: &OsStr, dir: &Self) -> bool {
        self.holds(name, dir)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.is_same(other)
    }

    fn inode(&self) -> io::Result<u64> {
        self.inode_number()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.try_lock()
    }

    fn sync(&self) -> io::Result<()> {
        self.sync()
    }

    fn has_record(&self) -> bool {
        [RECORD, FAILURE].iter().any(|file| self.is_taken(file.as_ref()).unwrap_or(true))
    }

    fn lacks_sidecar(&self) -> bool {
        if !self.is_taken(RECORD.as_ref()).unwrap_or(true) || self.is_taken(SIDECAR.as_ref()).unwrap_or(false)
        {
            return false;
        }
        let mut bytes = Vec::new();
        let read = self.open_file(Path::new(RECORD)).and_then(|record| {
            let record = record.ok_or(io::ErrorKind::NotFound)?;
            let metadata = record.metadata()?;
            Limit::USUAL.read(&record, &metadata, &mut bytes)
        });
        // A record that cannot be read may name one.
        read.is_err() || Header::read(&bytes).is_ok_and(|header| header.sidecar.as_deref() == Some(SIDECAR))
    }

    fn unused_name(&self) -> OsString {
        format!("{TRASH}{:016x}", RandomState::new().hash_one(std::process::id())).into()
    }
}
