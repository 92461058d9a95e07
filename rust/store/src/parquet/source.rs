//! The bytes of a Parquet file, wherever they are.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use crate::error::Result;
use crate::interrupt::Interrupt;

/// Bytes that are read from any offset.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// Return the number of bytes.
    fn size(&self) -> u64;

    /// Fetch all bytes, before a reader needs most of them.
    ///
    /// # Errors
    ///
    /// The bytes cannot be read; [`Error::Interrupted`](crate::Error::Interrupted) once the caller has cancelled.
    fn fetch(&self, interrupt: Interrupt<'_>) -> Result<()>;

    /// Fill a buffer from an offset.
    ///
    /// # Errors
    ///
    /// The bytes cannot be read, or there are fewer. The error of a request has an [`Error`](crate::Error) inside.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// An open file, or an object in a bucket.
#[derive(Debug, Clone)]
pub enum ParquetSource {
    /// A regular file, and its size.
    File(Arc<File>, u64),
    /// An object.
    Object(Arc<dyn ReadAt>),
}

impl ParquetSource {
    /// Return an open file as a source.
    ///
    /// # Errors
    ///
    /// The file cannot be asked for its size, or is not a regular file.
    pub fn of_file(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let kind =
                if metadata.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
            return Err(io::Error::new(kind, "not a regular file"));
        }
        Ok(Self::File(Arc::new(file), metadata.len()))
    }

    /// Fetch all bytes of an object.
    pub(crate) fn fetch(&self, interrupt: Interrupt<'_>) -> Result<()> {
        match self {
            Self::File(..) => Ok(()),
            Self::Object(object) => object.fetch(interrupt),
        }
    }

    /// Fill a buffer from an offset.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file, _) => {
                let mut file = &**file;
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(buffer)
            }
            Self::Object(object) => object.read_at(offset, buffer),
        }
    }
}

impl Length for ParquetSource {
    fn len(&self) -> u64 {
        match self {
            Self::File(_, size) => *size,
            Self::Object(object) => object.size(),
        }
    }
}

impl ChunkReader for ParquetSource {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> ParquetResult<ChunkRead> {
        match self {
            Self::File(file, _) => file.get_read(start).map(ChunkRead::File),
            Self::Object(object) => {
                Ok(ChunkRead::Object(BufReader::new(Following { object: object.clone(), offset: start })))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<bytes::Bytes> {
        match self {
            Self::File(file, _) => file.get_bytes(start, length),
            Self::Object(object) => {
                let mut bytes = vec![0; length];
                object.read_at(start, &mut bytes).map_err(|error| ParquetError::External(error.into()))?;
                Ok(bytes.into())
            }
        }
    }
}

/// The bytes of a source from an offset on.
#[derive(Debug)]
pub enum ChunkRead {
    /// Of a file.
    File(BufReader<File>),
    /// Of an object.
    Object(BufReader<Following>),
}

impl Read for ChunkRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(reader) => reader.read(buffer),
            Self::Object(reader) => reader.read(buffer),
        }
    }
}

/// A reader of an object that follows its own offset.
#[derive(Debug)]
pub struct Following {
    object: Arc<dyn ReadAt>,
    offset: u64,
}

impl Read for Following {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.object.size().saturating_sub(self.offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.object.read_at(self.offset, &mut buffer[..length])?;
        self.offset += length as u64;
        Ok(length)
    }
}
