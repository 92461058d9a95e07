//! The power trace next to a record: a Parquet file checked and copied, or written from an Arrow stream.

mod columns;
mod encode;
mod file;

use std::fmt;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatchReader;
use parquet::errors::ParquetError;
use parquet::file::reader::Length;

use self::columns::{WritableColumns, not_a_trace};
pub(crate) use self::encode::{Counted, encode, encode_error, parquet_writer};
pub(crate) use self::file::{SourceFile, open_for_reading};
use crate::SIDECAR;
use crate::error::{At, Error, Result, Step};
use crate::fs::dir::Dir;
use crate::fs::durable::PendingFile;
use crate::interrupt::Interrupt;
use crate::parquet::ParquetSource;
use crate::parquet::footer::{self, ParquetFault};
use crate::unwind::catch_panic;

pub(crate) const TEMP: &str = ".timeseries.parquet.tmp";
const COPY_BUFFER: usize = 1 << 20;
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
mod tests;
