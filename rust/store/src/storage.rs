//! A storage location: what a directory and a prefix of a bucket have in common.
//!
//! A [`Storage`] claims and commits results, lists them, opens one, and removes leftovers. Everything else of this crate
//! (names, records, checks of sidecars, scans, verification) works on top of that, so that it exists once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::expected::Expected;
use crate::inspect::clean::{CleanOptions, Leftover};
use crate::interrupt::Interrupt;
use crate::kind::Kind;
use crate::load::Limit;
use crate::parquet::ParquetSource;
use crate::part::Part;
use crate::save::{NewResult, SaveOptions, Saved};

/// A place where results are stored.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Return the root: a path, or the URL of a prefix without a slash at its end.
    fn root(&self) -> &Path;

    /// Return the kind of the records that readers see.
    fn kind(&self) -> Kind {
        Kind::Result
    }

    /// Claim a name for a result, and commit it; see [`crate::save::save`].
    ///
    /// # Errors
    ///
    /// [`Error::Unconfirmed`] and [`Error::Unknown`] where the record
    /// is in place or may be; every other error means that this save left no record.
    fn save(&self, result: NewResult<'_>, options: SaveOptions, interrupt: Interrupt<'_>) -> Result<Saved>;

    /// Begin to read the records of a kind.
    ///
    /// # Errors
    ///
    /// The root cannot be listed.
    fn list(&self, kind: Kind, wanted: &Wanted, interrupt: Interrupt<'_>) -> Result<Listing>;

    /// Find one record of a kind by its directory, relative to the root.
    ///
    /// # Errors
    ///
    /// The directory has no record, or it cannot be looked for.
    fn find(&self, kind: Kind, place: &Path, interrupt: Interrupt<'_>) -> Result<Box<dyn Entry>>;

    /// Open a Parquet file by its path relative to the root; the empty path is the root itself.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be opened.
    fn open(&self, file: &Path, interrupt: Interrupt<'_>) -> Result<ParquetSource>;

    /// Remove the leftovers of interrupted saves.
    ///
    /// # Errors
    ///
    /// The root cannot be listed.
    fn clean(&self, options: CleanOptions, interrupt: Interrupt<'_>) -> Result<Vec<Leftover>>;
}

/// The results that a reader wants.
#[derive(Debug, Clone, Default)]
pub enum Wanted {
    /// All, and most of their records.
    #[default]
    Records,
    /// All, and few of their records: a location fetches none ahead.
    Names,
    /// Those of an earlier listing, and their records.
    Part(Arc<Part>),
}

/// The results of a storage.
pub enum Listing {
    /// A directory, which several threads walk.
    Directory(PathBuf),
    /// A reader that meets one after the other, and the number of results that it expects.
    Stream(Box<dyn Records>, Arc<Expected>),
}

/// The results of a storage, in the order of the components of their paths.
pub trait Records: Send {
    /// Return the next result or directory; `None` at the end.
    ///
    /// # Errors
    ///
    /// The listing cannot go on; [`Error::Interrupted`] once the caller has cancelled.
    fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<Met>>;
}

/// A directory that a reader meets.
pub enum Met {
    /// A result.
    Result(Box<dyn Entry + Send>),
    /// A directory without a record.
    Directory(FoundDirectory),
    /// The error of a result that cannot be read.
    Failed(Error),
}

/// A directory without a record, which a reader meets before the directories in it.
#[derive(Debug)]
pub struct FoundDirectory {
    /// The directory, relative to the root.
    pub place: PathBuf,
    /// The names of the files in it. The reader of a listing may meet a large directory of directories before all of
    /// its names are known: then it has the first ones.
    pub files: Vec<String>,
    /// The names of the directories in it, or the first ones.
    pub directories: Vec<String>,
}

impl FoundDirectory {
    /// Return `true` where one of the known files has a name.
    #[must_use]
    pub fn has_file(&self, name: &str) -> bool {
        self.files.iter().any(|file| file == name)
    }
}

/// A result that a reader meets: its record, and the files next to it.
pub trait Entry {
    /// Return the directory of the result, relative to the root.
    fn place(&self) -> &Path;

    /// Return the kind of the record.
    fn kind(&self) -> Kind;

    /// Return the path or URL of the record.
    fn record_path(&self) -> PathBuf {
        self.path_of(self.kind().file())
    }

    /// Return the path or URL of a file in the directory.
    fn path_of(&self, name: &str) -> PathBuf;

    /// Read the record, if it is not too large.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn read(&self, limit: Limit, buffer: &mut Vec<u8>) -> Result<()>;

    /// Return the bytes of the record.
    ///
    /// # Errors
    ///
    /// The file system does not tell.
    fn size(&self) -> Result<u64>;

    /// Return the time of the record's save, in microseconds since 1970.
    ///
    /// # Errors
    ///
    /// The file system does not tell.
    fn saved_at(&self) -> Result<i64>;

    /// Return what the location must know to read the result of a [`Part`] without a question.
    fn note(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Return `true` where a regular file of a name lies next to the record.
    fn has_file(&self, name: &str) -> bool;

    /// Open a file next to the record; `None` where there is none.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    fn open(&self, name: &str) -> Result<Option<ParquetSource>>;
}
