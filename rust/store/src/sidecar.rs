//! The power trace next to a record: a Parquet file checked and copied, or written from an Arrow stream.

mod columns;
mod encode;

use std::fmt;
use std::fs::{File, FileTimes, Metadata};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow_array::RecordBatchReader;
use parquet::errors::ParquetError;
use parquet::file::reader::Length;

use self::columns::{WritableColumns, not_a_trace};
pub(crate) use self::encode::{Counted, encode, encode_error, parquet_writer};
use crate::SIDECAR;
use crate::error::{At, Error, Result, Step};
use crate::fs::dir::{Dir, leads_to_nothing};
use crate::fs::durable::PendingFile;
use crate::interrupt::Interrupt;
use crate::parquet::ParquetSource;
use crate::parquet::footer::{self, ParquetFault};
use crate::unwind::catch_panic;

pub(crate) const TEMP: &str = ".timeseries.parquet.tmp";
const COPY_BUFFER: usize = 1 << 20;
/// Bytes copied between two checks for a cancelled caller.
const COPY_BYTES: u64 = 4 << 20;

/// The source of a sidecar.
pub enum Source {
    /// A Parquet file, copied byte for byte.
    File(PathBuf),
    /// Record batches, written as Parquet with zstd.
    Arrow(Box<dyn RecordBatchReader + Send>),
    /// A Parquet file in another location, copied byte for byte; errors name its path or URL.
    Object(ParquetSource, PathBuf),
    /// A source that does not exist.
    Absent,
    /// A source that failed before it reached the store.
    Failed(Error),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Arrow(reader) => f.debug_tuple("Arrow").field(&reader.schema()).finish(),
            Self::Object(_, path) => f.debug_tuple("Object").field(path).finish(),
            Self::Absent => f.write_str("Absent"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

/// A source that passed every check that is possible before a file is created.
pub enum Checked {
    /// A regular file with a Parquet footer that can be read.
    File(SourceFile),
    /// Record batches, which may fail when they are read.
    Arrow(Box<dyn RecordBatchReader + Send>),
    /// A file in another location with a Parquet footer that can be read, and what is wrong with it as a power trace.
    Object(ParquetSource, PathBuf, Vec<String>),
}

/// An open Parquet file, as it was when it was checked.
#[derive(Debug)]
pub struct SourceFile {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    /// What is wrong with it as a power trace.
    notes: Vec<String>,
}

/// Check a source; return `None` where the file does not exist.
pub fn check(source: Source) -> Result<Option<Checked>> {
    match source {
        Source::File(path) => Ok(SourceFile::open(path)?.map(Checked::File)),
        Source::Arrow(reader) => Ok(Some(Checked::Arrow(reader))),
        Source::Object(source, path) => {
            let notes = notes_of(&source, &path)?;
            Ok(Some(Checked::Object(source, path, notes)))
        }
        Source::Absent => Ok(None),
        Source::Failed(error) => Err(error),
    }
}

/// Return the bytes of a sidecar for a location that stores it by one request, and sentences on what is wrong with it;
/// `None` where the source does not exist.
///
/// # Errors
///
/// The source cannot be read or written as Parquet; [`Error::Interrupted`] once the caller has cancelled.
pub fn to_bytes(source: Source, interrupt: Interrupt<'_>) -> Result<Option<(Vec<u8>, Vec<String>)>> {
    let Some(checked) = check(source)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let notes = match checked {
        Checked::File(source) => {
            source.read_into(&mut bytes, interrupt)?;
            source.notes
        }
        Checked::Object(source, path, notes) => {
            copy_object(&source, &path, &mut bytes, interrupt)?;
            notes
        }
        Checked::Arrow(reader) => {
            let (columns, notes) = WritableColumns::new(reader)?;
            encode_safely(|| {
                let failed = |error: &ParquetError| Error::Stream { reason: error.to_string() };
                encode(Box::new(columns), &mut bytes, interrupt, &|error| failed(&error))
            })?;
            notes
        }
    };
    Ok(Some((bytes, notes)))
}

/// Run the encoder, which panics on types that it does not support; that must not cost the result.
fn encode_safely<T>(encode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_panic(encode).unwrap_or_else(|said| {
        let reason = format!("a column has a type that Parquet has no place for ({said})");
        Err(Error::Stream { reason })
    })
}

/// Copy a file of another location.
fn copy_object(
    source: &ParquetSource,
    path: &Path,
    target: &mut impl Write,
    interrupt: Interrupt<'_>,
) -> Result<u64> {
    source.fetch(interrupt)?;
    let mut offset = 0;
    let mut buffer = vec![0; COPY_BUFFER];
    while offset < source.len() {
        interrupt.check()?;
        let length = usize::try_from(source.len() - offset).unwrap_or(usize::MAX).min(buffer.len());
        source.read_at(offset, &mut buffer[..length]).at(Step::ReadSource, || path.to_owned())?;
        target.write_all(&buffer[..length]).at(Step::Write, || path.to_owned())?;
        offset += length as u64;
    }
    Ok(offset)
}

/// Check the footer of a source; return sentences on what is wrong with it as a power trace.
fn notes_of(source: &ParquetSource, path: &Path) -> Result<Vec<String>> {
    match footer::read(source) {
        Ok(metadata) => {
            let columns = metadata.file_metadata().schema_descr().root_schema().get_fields();
            Ok(not_a_trace(columns.iter().map(|column| column.name())).into_iter().collect())
        }
        // A file with an encrypted footer is one too.
        Err(ParquetFault::Encrypted) => Ok(Vec::new()),
        Err(ParquetFault::Interrupted) => Err(Error::Interrupted),
        Err(ParquetFault::Io(error)) => Err(Error::io(Step::ReadSource, path, error)),
        Err(ParquetFault::Damage(reason)) => {
            Err(Error::NotParquet { path: path.to_owned(), size: source.len(), reason })
        }
    }
}

/// Write a checked source into a claimed directory, under a temporary name, for [`publish`].
///
/// This takes the source once the file is created, and returns sentences on what is wrong with the sidecar, too.
pub fn write(
    dir: &Arc<Dir>,
    source: &mut Option<Checked>,
    interrupt: Interrupt<'_>,
) -> Result<(PendingFile, Vec<String>)> {
    let mut pending = PendingFile::create(dir, TEMP.as_ref())?;
    let (length, notes) = match source.take() {
        Some(Checked::File(mut source)) => (source.copy_into(&mut pending, interrupt)?, source.notes),
        Some(Checked::Arrow(reader)) => {
            let (columns, notes) = WritableColumns::new(reader)?;
            let length = encode_safely(|| encode_into(Box::new(columns), &mut pending, interrupt))?;
            (length, notes)
        }
        Some(Checked::Object(source, path, notes)) => {
            let mut file = pending.file()?;
            (copy_object(&source, &path, &mut file, interrupt)?, notes)
        }
        None => return Err(Error::NotASource { reason: "the source was read before".into() }),
    };
    pending.check_length(length)?;
    Ok((pending, notes))
}

/// Give a written sidecar its name.
pub fn publish(pending: PendingFile) -> Result<()> {
    pending.publish(SIDECAR.as_ref())
}

impl SourceFile {
    fn open(path: PathBuf) -> Result<Option<Self>> {
        let file = match open_for_reading(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io(Step::ReadSource, path, error)),
        };
        let metadata = file.metadata().at(Step::ReadSource, || path.clone())?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path });
        }
        let (size, modified) = (metadata.len(), modified(&metadata));
        let file = Arc::new(file);
        let notes = notes_of(&ParquetSource::File(file.clone(), size), &path)?;
        Ok(Some(Self { file, path, size, modified, notes }))
    }

    /// Read the whole file.
    fn read_into(&self, bytes: &mut Vec<u8>, interrupt: Interrupt<'_>) -> Result<()> {
        let source = ParquetSource::File(self.file.clone(), self.size);
        copy_object(&source, &self.path, bytes, interrupt)?;
        self.check_unchanged()
    }

    fn check_unchanged(&self) -> Result<()> {
        let metadata = self.file.metadata().at(Step::ReadSource, || self.path.clone())?;
        if (metadata.len(), modified(&metadata)) == (self.size, self.modified) {
            return Ok(());
        }
        Err(Error::SourceChanged { path: self.path.clone() })
    }

    /// Copy the file, sharing its blocks where the file system can, and keep its modification time.
    fn copy_into(&mut self, pending: &mut PendingFile, interrupt: Interrupt<'_>) -> Result<u64> {
        let temp = pending.path();
        let target = pending.file()?;
        if !reflink(&self.file, target) {
            (&*self.file).rewind().at(Step::ReadSource, || self.path.clone())?;
            loop {
                interrupt.check()?;
                // On Linux this is `copy_file_range`, and from the offset reached, `sendfile` or read and write.
                match io::copy(&mut (&*self.file).take(COPY_BYTES), target) {
                    Ok(0) => break,
                    Ok(_) => {}
                    // A signal interrupted `copy`: both files are at the offset reached.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(Error::io(Step::Write, temp, error)),
                }
            }
        }
        self.check_unchanged()?;
        if let Some(modified) = self.modified {
            let times = FileTimes::new().set_modified(modified);
            target.set_times(times).at(Step::Write, || temp.clone())?;
        }
        Ok(self.size)
    }
}

fn modified(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

/// Open a file, also through a symlink; do not block on a FIFO.
pub(crate) fn open_for_reading(path: &Path) -> io::Result<File> {
    open(path).map_err(|error| {
        let is_dangling = error.kind() == ErrorKind::NotFound && path.is_symlink();
        if is_dangling { leads_to_nothing() } else { error }
    })
}

fn open(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?.into())
    }
    #[cfg(not(unix))]
    File::open(path)
}

/// Share the source's blocks with the target; return `false` where the file system cannot.
#[cfg(target_os = "linux")]
fn reflink(source: &File, target: &File) -> bool {
    rustix::fs::ioctl_ficlone(target, source).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn reflink(_source: &File, _target: &File) -> bool {
    false
}

/// Write record batches as Parquet; return the length of the file.
fn encode_into(
    reader: Box<dyn RecordBatchReader + Send>,
    pending: &mut PendingFile,
    interrupt: Interrupt<'_>,
) -> Result<u64> {
    let temp = pending.path();
    let mut counted = Counted { writer: BufWriter::new(pending.file()?), length: 0 };
    encode(reader, &mut counted, interrupt, &|error| encode_error(&temp, &error))?;
    counted.flush().at(Step::Write, || temp.clone())?;
    Ok(counted.length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeseries::Columns;
    use arrow_array::{RecordBatch, RecordBatchIterator};
    use arrow_schema::ArrowError;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::Compression;
    use parquet::errors::ParquetError;
    use std::fs;

    fn trace(seconds: u32) -> RecordBatch {
        let rows = seconds as usize;
        let columns = Columns {
            timestamp_s: (0..seconds).map(f64::from).collect(),
            gpu_index: vec![0; rows],
            power_w: vec![Some(250.5); rows],
            temperature_c: vec![None; rows],
            memory_used_mb: vec![None; rows],
            memory_total_mb: vec![Some(81920.0); rows],
            sm_utilisation_pct: vec![None; rows],
            throttle_reasons: vec![Some(1 << 40); rows],
        };
        columns.try_into().unwrap()
    }

    fn stream(batches: Vec<Result<RecordBatch, ArrowError>>) -> Source {
        Source::Arrow(Box::new(RecordBatchIterator::new(batches, crate::timeseries::schema())))
    }

    fn write_into(path: &Path, source: Source) -> Result<()> {
        let dir = Arc::new(Dir::open(path).unwrap());
        publish(write(&dir, &mut check(source)?, Interrupt::NEVER)?.0)
    }

    fn parquet_file(path: &Path) -> PathBuf {
        fs::create_dir(path).unwrap();
        write_into(path, stream(vec![Ok(trace(600))])).unwrap();
        path.join(SIDECAR)
    }

    fn reason(bytes: &[u8]) -> String {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        fs::write(&path, bytes).unwrap();
        check(Source::File(path)).err().unwrap().to_string()
    }

    #[test]
    fn write_arrow_stream_reads_back_from_parquet() {
        let temp = tempfile::tempdir().unwrap();
        write_into(temp.path(), stream(vec![Ok(trace(3)), Ok(trace(2))])).unwrap();
        let file = File::open(temp.path().join(SIDECAR)).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let codec = builder.metadata().row_group(0).column(0).compression();
        assert!(matches!(codec, Compression::ZSTD(_)));
        let rows: usize = builder.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, 5);
    }

    #[test]
    fn write_file_keeps_bytes_and_modification_time() {
        let temp = tempfile::tempdir().unwrap();
        let source = parquet_file(&temp.path().join("source"));
        let then = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let times = FileTimes::new().set_modified(then);
        File::options().write(true).open(&source).unwrap().set_times(times).unwrap();
        write_into(temp.path(), Source::File(source.clone())).unwrap();
        let copy = temp.path().join(SIDECAR);
        assert_eq!(fs::read(&copy).unwrap(), fs::read(&source).unwrap());
        assert_eq!(fs::metadata(&copy).unwrap().modified().unwrap(), then);
    }

    #[test]
    fn check_invalid_parquet_names_the_fault() {
        assert!(reason(b"").contains("(0 bytes): the file is empty"));
        assert!(reason(b"PAR1").contains("too short"));
        assert!(reason(b"timestamp_s,power_w\n").contains("does not begin with"));
        assert!(reason(b"PAR1 and then the disk was full").contains("truncated"));
        assert!(reason(b"PAR1\xff\xff\xff\x7fPAR1").contains("footer cannot be read"));
        assert!(reason(b"PAR1\0\0\0\0\x04\0\0\0PAR1").contains("footer cannot be read"));
    }

    #[test]
    fn check_missing_source_returns_none() {
        let temp = tempfile::tempdir().unwrap();
        assert!(check(Source::File(temp.path().join("absent"))).unwrap().is_none());
    }

    #[test]
    fn check_directory_returns_error() {
        let temp = tempfile::tempdir().unwrap();
        let error = check(Source::File(temp.path().to_owned())).err().unwrap();
        assert!(matches!(error, Error::NotAFile { .. }), "{error}");
    }

    #[test]
    fn write_changed_source_fails() {
        let temp = tempfile::tempdir().unwrap();
        let source = parquet_file(&temp.path().join("source"));
        let mut checked = check(Source::File(source.clone())).unwrap();
        File::options().append(true).open(&source).unwrap().write_all(b"more").unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        let error = write(&dir, &mut checked, Interrupt::NEVER).unwrap_err();
        assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn write_broken_stream_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let broken = Err(ArrowError::ComputeError("the sensor went away".into()));
        let error = write_into(temp.path(), stream(vec![Ok(trace(3)), broken])).unwrap_err();
        assert!(error.to_string().contains("the sensor went away"), "{error}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn write_cancelled_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let mut checked = check(stream(vec![Ok(trace(3))])).unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        let error = write(&dir, &mut checked, Interrupt::new(&|_| true)).unwrap_err();
        assert!(matches!(error, Error::Interrupted));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn encode_error_full_disk_keeps_its_code() {
        let full = ParquetError::from(io::Error::from_raw_os_error(28));
        assert_eq!(encode_error(Path::new("/x"), &full).raw_os_error(), Some(28));
    }
}
