//! The errors of a store: every I/O error carries its step and its path.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The outcome of a step of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A step of a save or a load, named in the errors it causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Opening the root.
    OpenOutputDir,
    /// Creating the root or one of its ancestors.
    MakeOutputDir,
    /// Creating and opening the directory of one result.
    Claim,
    /// Opening and checking the file that a sidecar is copied from.
    ReadSource,
    /// Creating a temporary file.
    Create,
    /// Writing a temporary file.
    Write,
    /// Flushing a temporary file to the device.
    Flush,
    /// Closing a temporary file.
    Close,
    /// Renaming a temporary file to its final name.
    Commit,
    /// Flushing a directory whose entries changed.
    FlushDirectory,
    /// Reading a record.
    Read,
    /// Listing the directories of a tree of results.
    Scan,
    /// Reading a power trace.
    ReadTimeseries,
}

impl Step {
    /// The step's stable name, as Python's `PersistenceError.step` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenOutputDir => "open_output_dir",
            Self::MakeOutputDir => "make_output_dir",
            Self::Claim => "claim",
            Self::ReadSource => "read_source",
            Self::Create => "create",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Close => "close",
            Self::Commit => "commit",
            Self::FlushDirectory => "flush_directory",
            Self::Read => "read",
            Self::Scan => "scan",
            Self::ReadTimeseries => "read_timeseries",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of a save, a sidecar or a load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed before anything was committed.
    #[error("{step} {}: {source}", path.display())]
    Io {
        /// The failed step.
        step: Step,
        /// The path of the step.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The record is in place and complete, but the flush that makes it durable failed. Saving again
    /// makes a second copy; flushing again would report success without being one.
    #[error("{} is in place, but its flush failed: {cause}", result.display())]
    Unconfirmed {
        /// The committed record.
        result: PathBuf,
        /// The flush that failed.
        cause: Box<Error>,
        /// The error of the sidecar, where that failed too.
        sidecar: Option<Box<Error>>,
    },
    /// A request to an object store failed.
    #[error("{step} {}: {reason}", url.display())]
    Remote {
        /// The failed step.
        step: Step,
        /// The URL of the object or prefix.
        url: PathBuf,
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// The request's number in the logs of the service.
        request_id: Option<String>,
        /// The kind of the failure.
        kind: io::ErrorKind,
        /// A sentence with the remedy.
        reason: String,
    },
    /// It is not known whether the record is in place: no answer came, and a lost request may still arrive.
    #[error("{} may be in place, or may appear later: {cause}", result.display())]
    Unknown {
        /// The URL of the record.
        result: PathBuf,
        /// The number by which the record can be found to be of this save.
        id: String,
        /// The last failure.
        cause: Box<Error>,
    },
    /// The source of a sidecar is not a Parquet file.
    #[error("{} is not a Parquet file ({size} bytes): {reason}", path.display())]
    NotParquet {
        /// The source.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The fault.
        reason: String,
    },
    /// The source of a sidecar is a directory, a pipe, a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The source.
        path: PathBuf,
    },
    /// The source of a sidecar was written to while it was copied.
    #[error("{} changed while it was copied", path.display())]
    SourceChanged {
        /// The source.
        path: PathBuf,
    },
    /// A power trace is not a complete Parquet file.
    #[error("{} ({size} bytes) is not a complete power trace: {reason}", path.display())]
    DamagedTrace {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The fault.
        reason: String,
    },
    /// A Parquet file holds something else than a power trace.
    #[error("{} ({size} bytes) is not a power trace: {reason}", path.display())]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The unexpected or missing content.
        reason: String,
    },
    /// A Parquet file that is read as a table is not complete.
    #[error("{} ({size} bytes) is not a complete Parquet file: {reason}", path.display())]
    DamagedTable {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The fault.
        reason: String,
    },
    /// A complete Parquet file cannot be read as a table.
    #[error("{} ({size} bytes) cannot be read as a table: {reason}", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The content that is not supported.
        reason: String,
    },
    /// An Arrow stream failed, or holds what Parquet cannot.
    #[error("the Arrow stream cannot be written as Parquet: {reason}")]
    Stream {
        /// The error of the stream or the encoder.
        reason: String,
    },
    /// An object is not a source of a sidecar.
    #[error("{reason}")]
    NotASource {
        /// The expected and the actual type.
        reason: String,
    },
    /// The caller cancelled.
    #[error("interrupted")]
    Interrupted,
    /// The bulk save is closed.
    #[error("closed")]
    Closed,
}

impl Error {
    pub(crate) fn io(step: Step, path: impl Into<PathBuf>, source: io::Error) -> Self {
        // A reader of an object passes its error through a library that knows those of the system only.
        match source.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) => Self::Io { step, path: path.into(), source },
        }
    }

    /// Return the same error for another result.
    #[must_use]
    pub fn copy(&self) -> Self {
        match self {
            Self::Io { step, path, source } => {
                let source = match source.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::new(source.kind(), source.to_string()),
                };
                Self::io(*step, path.clone(), source)
            }
            Self::Remote { step, url, status, request_id, kind, reason } => Self::Remote {
                step: *step,
                url: url.clone(),
                status: *status,
                request_id: request_id.clone(),
                kind: *kind,
                reason: reason.clone(),
            },
            other => {
                let path = other.path().unwrap_or(Path::new("")).to_owned();
                Self::io(other.step(), path, io::Error::other(other.to_string()))
            }
        }
    }

    /// Return the operating system's code of the error, where it has one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Unconfirmed { cause, .. } => cause.raw_os_error(),
            _ => None,
        }
    }

    /// Return `true` where the process or the system has no more descriptors.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        cfg!(unix) && matches!(self.raw_os_error(), Some(ENFILE | EMFILE))
    }

    /// Return `true` where the disk or the user's quota is full.
    pub(crate) fn is_out_of_room(&self) -> bool {
        self.is_io(io::ErrorKind::StorageFull) || self.is_io(io::ErrorKind::QuotaExceeded)
    }

    /// Return the failed step.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::Io { step, .. } | Self::Remote { step, .. } => *step,
            Self::Unconfirmed { cause, .. } | Self::Unknown { cause, .. } => cause.step(),
            Self::NotParquet { .. } | Self::NotAFile { .. } | Self::NotASource { .. } => Step::ReadSource,
            Self::DamagedTrace { .. } | Self::NotATrace { .. } => Step::ReadTimeseries,
            Self::DamagedTable { .. } | Self::NotATable { .. } => Step::Read,
            Self::SourceChanged { .. } | Self::Stream { .. } | Self::Interrupted | Self::Closed => {
                Step::Write
            }
        }
    }

    /// Return the path of the failed step.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Remote { url: path, .. }
            | Self::NotParquet { path, .. }
            | Self::NotAFile { path }
            | Self::DamagedTrace { path, .. }
            | Self::NotATrace { path, .. }
            | Self::DamagedTable { path, .. }
            | Self::NotATable { path, .. }
            | Self::SourceChanged { path } => Some(path),
            Self::Unconfirmed { cause, .. } | Self::Unknown { cause, .. } => cause.path(),
            Self::Stream { .. } | Self::NotASource { .. } | Self::Interrupted | Self::Closed => None,
        }
    }

    /// Return `true` for an I/O error of a kind.
    #[must_use]
    pub fn is_io(&self, kind: io::ErrorKind) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == kind,
            Self::Remote { kind: found, .. } => *found == kind,
            _ => false,
        }
    }
}

/// Attaches a step and a path to the result of a system call.
pub(crate) trait At<T> {
    fn at(self, step: Step, path: impl FnOnce() -> PathBuf) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, step: Step, path: impl FnOnce() -> PathBuf) -> Result<T> {
        self.map_err(|source| Error::io(step, path(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_io_error_names_step_path_and_reason() {
        let error = Error::io(Step::Write, "/x/y", io::Error::from_raw_os_error(28));
        assert!(error.to_string().starts_with("write /x/y: "));
        assert_eq!(error.raw_os_error(), Some(28));
        assert_eq!(error.step(), Step::Write);
        assert_eq!(error.path(), Some(Path::new("/x/y")));
    }

    #[test]
    fn unconfirmed_error_keeps_the_flush_as_its_cause() {
        let cause = Error::io(Step::FlushDirectory, "/x", io::Error::from_raw_os_error(5));
        let error =
            Error::Unconfirmed { result: "/x/result.json".into(), cause: cause.into(), sidecar: None };
        assert_eq!(error.raw_os_error(), Some(5));
        assert_eq!(error.step(), Step::FlushDirectory);
        assert!(error.to_string().contains("/x/result.json is in place"));
    }
}
