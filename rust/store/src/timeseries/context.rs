//! The file that an error names, and the errors of its decoder.

use std::path::PathBuf;

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

use crate::error::{Error, Result, Step};
use crate::parquet::footer::{ParquetFault, io_error};
use crate::unwind::catch_panic;

/// The file that an error names.
#[derive(Debug, Clone)]
pub(super) struct FileContext {
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

impl FileContext {
    pub(super) fn fault(&self, fault: ParquetFault) -> Error {
        match fault {
            ParquetFault::Io(source) => Error::io(Step::ReadTimeseries, &self.path, source),
            ParquetFault::Encrypted => self.not_a_trace(fault.to_string()),
            ParquetFault::Interrupted => Error::Interrupted,
            ParquetFault::Damage(reason) => self.damage(reason),
        }
    }

    /// Run a decoder of columns; its panic is damage to the file.
    pub(super) fn decode<T>(&self, decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
        let reason = match catch_panic(decode) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => match io_error(&error) {
                Some(source) => return Err(Error::io(Step::ReadTimeseries, &self.path, source)),
                None => error.to_string(),
            },
            Err(panic) => panic,
        };
        Err(self.damage(format!("its columns cannot be decoded: {reason}")))
    }

    pub(super) fn arrow(&self, error: ArrowError) -> Error {
        match error {
            ArrowError::IoError(_, source) if source.raw_os_error().is_some() => {
                Error::io(Step::ReadTimeseries, &self.path, source)
            }
            error => self.damage(format!("a page cannot be decoded: {error}")),
        }
    }

    pub(super) fn damage(&self, reason: impl Into<String>) -> Error {
        Error::DamagedTrace { path: self.path.clone(), size: self.size, reason: reason.into() }
    }

    pub(super) fn not_a_trace(&self, reason: String) -> Error {
        Error::NotATrace { path: self.path.clone(), size: self.size, reason }
    }
}
