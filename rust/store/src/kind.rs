//! The kinds of records: each has a file name of its own, whose presence commits the directory.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::fs::dir::Dir;
use crate::inspect::clean::{CleanOptions, Leftover};
use crate::interrupt::Interrupt;
use crate::parquet::ParquetSource;
use crate::save::{NewResult, SaveOptions, Saved};
use crate::storage::{Entry, Listing, Storage, Wanted};
use crate::{FAILURE, RECORD};

/// The kind of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A result, in `result.json`.
    #[default]
    Result,
    /// A run that failed, in `failure.json`.
    Failure,
}

impl Kind {
    /// Return the name of the file.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Result => RECORD,
            Self::Failure => FAILURE,
        }
    }

    /// Return the temporary name of the file while a save writes it.
    #[must_use]
    pub const fn temp(self) -> &'static str {
        match self {
            Self::Result => ".result.json.tmp",
            Self::Failure => ".failure.json.tmp",
        }
    }

    /// Return `true` where a directory holds a record of a kind that goes before this one: a directory with both
    /// files is a result.
    pub fn yields(self, has_file: impl FnOnce(&str) -> bool) -> bool {
        self == Self::Failure && has_file(RECORD)
    }

    pub(crate) fn yields_in(self, root: &Dir, place: &Path) -> bool {
        self.yields(|name| root.has_file(&place.join(name)))
    }
}

/// A storage whose readers see its failures in place of its results.
#[derive(Debug)]
pub struct Failures(pub Arc<dyn Storage>);

impl Storage for Failures {
    fn root(&self) -> &Path {
        self.0.root()
    }

    fn kind(&self) -> Kind {
        Kind::Failure
    }

    fn save(&self, result: NewResult<'_>, options: SaveOptions, interrupt: Interrupt<'_>) -> Result<Saved> {
        self.0.save(result, options, interrupt)
    }

    fn list(&self, kind: Kind, wanted: &Wanted, interrupt: Interrupt<'_>) -> Result<Listing> {
        self.0.list(kind, wanted, interrupt)
    }

    fn find(&self, kind: Kind, place: &Path, interrupt: Interrupt<'_>) -> Result<Box<dyn Entry>> {
        self.0.find(kind, place, interrupt)
    }

    fn open(&self, file: &Path, interrupt: Interrupt<'_>) -> Result<ParquetSource> {
        self.0.open(file, interrupt)
    }

    fn clean(&self, options: CleanOptions, interrupt: Interrupt<'_>) -> Result<Vec<Leftover>> {
        self.0.clean(options, interrupt)
    }
}
