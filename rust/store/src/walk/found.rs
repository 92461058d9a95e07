//! A result that a walk meets in a directory.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{At, Error, Result, Step};
use crate::fs::dir::Dir;
use crate::kind::Kind;
use crate::load::{Limit, modified_micros};
use crate::parquet::ParquetSource;
use crate::storage::Entry;

/// An open record, and its directory.
pub(crate) struct FoundRecord<'r> {
    /// The open root.
    pub root: &'r Dir,
    /// The directory relative to the root.
    pub place: &'r Path,
    /// The kind of the record.
    pub kind: Kind,
    pub record: File,
}

impl Entry for FoundRecord<'_> {
    fn place(&self) -> &Path {
        self.place
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.root.path().join(self.place).join(name)
    }

    fn read(&self, limit: Limit, buffer: &mut Vec<u8>) -> Result<()> {
        limit.read_usual(&self.record, buffer).at(Step::Read, || self.record_path())
    }

    fn size(&self) -> Result<u64> {
        let metadata = self.record.metadata().at(Step::Read, || self.record_path())?;
        Ok(metadata.len())
    }

    fn saved_at(&self) -> Result<i64> {
        let modified = self.record.metadata().and_then(|metadata| modified_micros(&metadata));
        modified.at(Step::Read, || self.record_path())
    }

    fn has_file(&self, name: &str) -> bool {
        self.root.has_file(&self.place.join(name))
    }

    fn open(&self, name: &str) -> Result<Option<ParquetSource>> {
        let opened = match self.root.open_file(&self.place.join(name)) {
            Ok(Some(file)) => ParquetSource::of_file(file).map(Some),
            Ok(None) => Ok(None),
            // A link to nothing is no file, as for every other reader.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        opened.map_err(|error| Error::io(Step::ReadTimeseries, self.path_of(name), error))
    }
}
