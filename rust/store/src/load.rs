//! One record read back, and the reason where it cannot be.

mod fault;

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub use fault::{FaultClass, NameFault, Position, RecordFault, check_name};
pub(crate) use fault::{Header, diagnose};

use crate::SIDECAR;
use crate::error::{At, Result, Step};
use crate::fs::dir::read_more;
use crate::interrupt::Interrupt;
use crate::kind::Kind;
use crate::parquet::ParquetSource;
use crate::sidecar::open_for_reading;
use crate::storage::{Entry, Storage};

/// The largest size of a record in bytes: a reader keeps all of it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Default for Limit {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Limit {
    /// The default.
    pub const USUAL: Self = Self(256 << 20);

    /// Fail where a record is too large.
    ///
    /// # Errors
    ///
    /// The reason, of the kind [`ErrorKind::FileTooLarge`].
    pub fn check(self, size: u64) -> io::Result<()> {
        let Self(most) = self;
        if size <= most {
            return Ok(());
        }
        let said = format!(
            "{size} bytes are too many for a record, of which {most} are read at most; \
             max_record_bytes raises that, or LLEM_MAX_RECORD_BYTES in the environment"
        );
        Err(io::Error::new(ErrorKind::FileTooLarge, said))
    }

    /// Read an open record as [`Self::read`] does, without asking for its size where it has a usual one.
    pub(crate) fn read_usual(self, file: &File, buffer: &mut Vec<u8>) -> io::Result<()> {
        /// Room for a usual record.
        const ROOM: usize = 1 << 16;
        buffer.clear();
        let has_room = buffer.try_reserve_exact(ROOM).is_ok();
        while has_room && buffer.len() < buffer.capacity() {
            match read_more(file, buffer) {
                Ok(0) if buffer.is_empty() => break,
                Ok(0) => return self.check(buffer.len() as u64),
                Ok(_) => {}
                // Not a regular file, or an error that the read below meets again.
                Err(_) => break,
            }
        }
        self.read(file, &file.metadata()?, buffer)
    }

    /// Read an open record, if it is a regular file and not too large.
    pub(crate) fn read(self, mut file: &File, metadata: &Metadata, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        if metadata.is_dir() {
            return Err(io::Error::new(ErrorKind::IsADirectory, "not a regular file"));
        }
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let size = metadata.len();
        self.check(size)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // A limit may be more than there is memory, and an allocation that fails otherwise ends the process.
        buffer.try_reserve_exact(size).map_err(|_| {
            io::Error::new(ErrorKind::OutOfMemory, format!("there is no memory for its {size} bytes"))
        })?;
        // A record never changes: when as much is read as there was, there is no more to ask for.
        buffer.resize(size, 0);
        let mut read = 0;
        while read < buffer.len() {
            match file.read(&mut buffer[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(read);
        Ok(())
    }
}

/// A record as it is on disk.
#[derive(Debug)]
pub struct Record {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// A `timeseries.parquet` lies next to it.
    pub has_sidecar: bool,
}

/// An open record, found by its path.
pub(crate) struct OpenRecord {
    place: PathBuf,
    kind: Kind,
    path: PathBuf,
    file: File,
    metadata: Metadata,
}

impl OpenRecord {
    /// Open a record by its file, or by the directory that holds it.
    pub fn open(root: &Path, place: &Path, kind: Kind) -> Result<Self> {
        let mut path = if place.as_os_str().is_empty() { root.to_owned() } else { root.join(place) };
        let mut file = open_for_reading(&path).at(Step::Read, || path.clone())?;
        let mut metadata = file.metadata().at(Step::Read, || path.clone())?;
        if metadata.is_dir() {
            path.push(kind.file());
            file = open_for_reading(&path).at(Step::Read, || path.clone())?;
            metadata = file.metadata().at(Step::Read, || path.clone())?;
        }
        Ok(Self { place: place.to_owned(), kind, path, file, metadata })
    }
}

impl Entry for OpenRecord {
    fn place(&self) -> &Path {
        &self.place
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn path_of(&self, name: &str) -> PathBuf {
        if name == self.kind.file() { self.path.clone() } else { self.path.with_file_name(name) }
    }

    fn read(&self, limit: Limit, buffer: &mut Vec<u8>) -> Result<()> {
        limit.read(&self.file, &self.metadata, buffer).at(Step::Read, || self.path.clone())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.metadata.len())
    }

    fn saved_at(&self) -> Result<i64> {
        modified_micros(&self.metadata).at(Step::Read, || self.path.clone())
    }

    fn has_file(&self, name: &str) -> bool {
        self.path_of(name).is_file()
    }

    fn open(&self, name: &str) -> Result<Option<ParquetSource>> {
        let path = self.path_of(name);
        match open_for_reading(&path).and_then(ParquetSource::of_file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => opened.at(Step::ReadTimeseries, || path).map(Some),
        }
    }
}

/// Return the modification time of a file, in microseconds since 1970.
pub(crate) fn modified_micros(metadata: &Metadata) -> io::Result<i64> {
    Ok(match metadata.modified()?.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    })
}

/// Read a record by its directory below the root of a location.
///
/// The empty path is the root; the root of a [`Store`](crate::Store) may also be the path of a record.
///
/// # Errors
///
/// The record cannot be read.
pub fn read(storage: &dyn Storage, place: &Path, limit: Limit, interrupt: Interrupt<'_>) -> Result<Record> {
    let entry = storage.find(storage.kind(), place, interrupt)?;
    let mut bytes = Vec::new();
    entry.read(limit, &mut bytes)?;
    Ok(Record { path: entry.record_path(), bytes, has_sidecar: entry.has_file(SIDECAR) })
}

/// Return the path of a result's sidecar, by the name that its record gives it.
///
/// A record that names no sidecar, or a path, and one that is not JSON, leads to `timeseries.parquet`.
///
/// # Errors
///
/// The record cannot be read.
pub fn sidecar_path(
    storage: &dyn Storage,
    place: &Path,
    limit: Limit,
    interrupt: Interrupt<'_>,
) -> Result<PathBuf> {
    let entry = storage.find(storage.kind(), place, interrupt)?;
    let mut bytes = Vec::new();
    entry.read(limit, &mut bytes)?;
    let named = Header::read(&bytes).ok().and_then(|header| header.sidecar);
    let named = named.filter(|name| check_name(name, || true).is_ok());
    Ok(entry.path_of(named.as_deref().unwrap_or(SIDECAR)))
}

#[cfg(test)]
mod tests {
    use super::{Limit, Record, SIDECAR};
    use crate::RECORD;
    use crate::error::Result;
    use crate::interrupt::Interrupt;
    use crate::store::Store;
    use std::fs;
    use std::io::ErrorKind;
    use std::path::Path;

    fn read(path: &Path, limit: Limit) -> Result<Record> {
        super::read(&Store::new(path), Path::new(""), limit, Interrupt::NEVER)
    }

    #[test]
    fn read_by_file_or_directory_returns_the_record() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(RECORD);
        fs::write(&path, b"{}").unwrap();
        for by in [&path, temp.path()] {
            let record = read(by, Limit::USUAL).unwrap();
            assert_eq!((record.path, record.bytes, record.has_sidecar), (path.clone(), b"{}".into(), false));
        }
        fs::write(temp.path().join(SIDECAR), b"").unwrap();
        assert!(read(&path, Limit::USUAL).unwrap().has_sidecar);
    }

    #[test]
    fn read_missing_or_irregular_file_names_it() {
        let temp = tempfile::tempdir().unwrap();
        let error = read(temp.path(), Limit::USUAL).unwrap_err();
        assert!(error.is_io(ErrorKind::NotFound));
        assert_eq!(error.path(), Some(temp.path().join(RECORD).as_path()));
        fs::create_dir(temp.path().join(RECORD)).unwrap();
        assert!(read(temp.path(), Limit::USUAL).unwrap_err().is_io(ErrorKind::IsADirectory));
    }

    #[test]
    fn read_above_the_limit_fails() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(RECORD);
        fs::write(&path, b"{}").unwrap();
        assert_eq!(read(&path, Limit(2)).unwrap().bytes, b"{}");
        let error = read(&path, Limit(1)).unwrap_err();
        assert!(error.is_io(ErrorKind::FileTooLarge));
        for said in [path.to_str().unwrap(), ": 2 bytes", "of which 1 are", "max_record_bytes"] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn read_usual_of_any_size_returns_all_bytes() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(RECORD);
        let mut buffer = Vec::new();
        for size in [0, 1, 9000, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000, 9000] {
            let content: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            fs::write(&path, &content).unwrap();
            let file = fs::File::open(&path).unwrap();
            Limit(u64::from(size)).read_usual(&file, &mut buffer).unwrap();
            assert!(buffer == content, "{size}");
            if let Some(less) = size.checked_sub(1) {
                let error = Limit(less.into()).read_usual(&file, &mut buffer).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{size}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn read_usual_of_what_is_no_regular_file_fails() {
        use std::io::Write;
        use std::os::fd::OwnedFd;
        let (pipe, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"{}").unwrap();
        let mut files = vec![fs::File::from(OwnedFd::from(pipe))];
        files.extend(["/dev/null", "/dev/zero", "/"].map(|path| fs::File::open(path).unwrap()));
        for file in files {
            let error = Limit::USUAL.read_usual(&file, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
    }
}
