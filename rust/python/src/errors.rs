//! The conversion of the store's errors to Python exceptions.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::Path;

use llem_store::Error;
use llem_store::load::{FaultClass, RecordFault};
use llem_store::scan::{PlanError, RecordError, RecordErrorKind, ScanError};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyUserWarning, PyValueError};
use pyo3::prelude::*;

mod classes {
    use pyo3::import_exception;
    import_exception!(llenergymeasure.errors, PersistenceError);
    import_exception!(llenergymeasure.errors, ResultCorruptError);
    import_exception!(llenergymeasure.errors, ResultError);
    import_exception!(llenergymeasure.errors, SchemaVersionError);
    import_exception!(llenergymeasure.errors, SidecarError);
    import_exception!(llenergymeasure.results.types, TooManyKeysError);
}

/// POSIX's codes, for errors that have no code of their own.
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const ETIMEDOUT: i32 = of_network(110, 60);
const ECONNREFUSED: i32 = of_network(111, 61);
const ECONNABORTED: i32 = of_network(103, 53);
const EINVAL: i32 = 22;
const EIO: i32 = 5;
const EEXIST: i32 = 17;
const EISDIR: i32 = 21;
const EFBIG: i32 = 27;
const ENOMEM: i32 = 12;

/// Return a code of the network: each system has its own; those of Windows are BSD's plus 10000.
const fn of_network(linux: i32, bsd: i32) -> i32 {
    if cfg!(windows) {
        bsd + 10_000
    } else if cfg!(target_os = "linux") {
        linux
    } else {
        bsd
    }
}

/// An error with a Python exception of its own.
pub trait IntoPython {
    /// Return the exception.
    fn into_python(self, py: Python<'_>) -> PyErr;
}

impl IntoPython for Error {
    fn into_python(self, py: Python<'_>) -> PyErr {
        to_python(py, &self)
    }
}

impl IntoPython for ScanError {
    fn into_python(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Store(error) => to_python(py, &error),
            Self::Record(error) => record_error(py, &error),
            Self::Plan(error @ PlanError::TooManyKeys { .. }) => {
                classes::TooManyKeysError::new_err(error.to_string())
            }
            Self::Plan(error) => value_error(py, &error),
            error => escaped(py, &error).map_or_else(|raised| raised, PyRuntimeError::new_err),
        }
    }
}

/// Return the text of an error as one line that cannot steer a terminal: it may hold names from files.
///
/// The exceptions of `llenergymeasure.errors` escape their text themselves.
pub fn escaped(py: Python<'_>, error: &impl Display) -> PyResult<String> {
    py.import("llenergymeasure._escape")?.call_method1("escape", (error.to_string(),))?.extract()
}

/// Return a `ValueError` with the text of an error.
pub fn value_error(py: Python<'_>, error: &impl Display) -> PyErr {
    escaped(py, error).map_or_else(|raised| raised, PyValueError::new_err)
}

/// Return the exception for an error of the store.
pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    if matches!(error, Error::Interrupted) {
        return PyKeyboardInterrupt::new_err(());
    }
    let (result, sidecar) = match error {
        Error::Unconfirmed { result, sidecar, .. } => (result, sidecar),
        Error::Closed => return PyValueError::new_err("the writer is closed"),
        Error::DamagedTrace { .. } | Error::DamagedTable { .. } => {
            return classes::ResultCorruptError::new_err(error.to_string());
        }
        Error::NotATrace { .. } | Error::NotATable { .. } => {
            return classes::ResultError::new_err(error.to_string());
        }
        _ => return classes::PersistenceError::new_err(arguments(error, None)),
    };
    let exception = classes::PersistenceError::new_err(arguments(error, Some(result)));
    if let Some(sidecar) = sidecar {
        exception.set_cause(py, Some(sidecar_error(sidecar, result)));
    }
    exception
}

/// Return the exception for a result that was saved without its sidecar.
pub fn sidecar_error(error: &Error, result: &Path) -> PyErr {
    classes::SidecarError::new_err(arguments(error, Some(result)))
}

/// Return the exception for a file that is not a row of a scan.
pub fn record_error(py: Python<'_>, error: &RecordError) -> PyErr {
    match &error.kind {
        RecordErrorKind::Io(error) => to_python(py, error),
        RecordErrorKind::Fault(fault) => match fault.class() {
            FaultClass::Corrupt => classes::ResultCorruptError::new_err(error.to_string()),
            FaultClass::OtherSchemaLine => classes::SchemaVersionError::new_err(error.to_string()),
            FaultClass::Invalid => classes::ResultError::new_err(error.to_string()),
        },
        // Not an error of the record: Python issues the warning at the end of the reading.
        RecordErrorKind::Beyond(_) => PyUserWarning::new_err(error.to_string()),
    }
}

/// Return the name of a fault's class, as Python's `RecordCheck.diagnose` returns it.
pub fn class_of(fault: &RecordFault) -> &'static str {
    match fault.class() {
        FaultClass::Corrupt => "corrupt",
        FaultClass::OtherSchemaLine => "other_schema_line",
        FaultClass::Invalid => "invalid",
    }
}

/// Return `true` for an exception of the store: a signal handler in its constructor may raise another one.
pub fn is_ours(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<classes::PersistenceError>(py)
}

/// Paths as strings: a `pathlib.Path` is made by Python code, where a signal may raise, and then pyo3 panics.
type Arguments = (
    i32,
    String,
    Option<OsString>,
    &'static str,
    Option<OsString>,
    Option<u16>,
    Option<String>,
    Option<String>,
);

/// Return the arguments of `PersistenceError`: the last three are those of requests.
fn arguments(error: &Error, result: Option<&Path>) -> Arguments {
    let owned = |path: &Path| path.as_os_str().to_owned();
    let (path, id) = match error {
        Error::Unknown { result, id, .. } => (Some(owned(result)), Some(id.clone())),
        error => (error.path().map(owned), None),
    };
    let (status, request_id) = answer(error);
    (errno(error), reason(error), path, error.step().as_str(), result.map(owned), status, request_id, id)
}

/// Return the status and the number of the request that failed.
fn answer(error: &Error) -> (Option<u16>, Option<String>) {
    match error {
        Error::Remote { status, request_id, .. } => (*status, request_id.clone()),
        Error::Unconfirmed { cause, .. } | Error::Unknown { cause, .. } => answer(cause),
        _ => (None, None),
    }
}

fn errno(error: &Error) -> i32 {
    error.raw_os_error().unwrap_or_else(|| match error {
        Error::Io { source, .. } => errno_of(source.kind()),
        Error::Remote { kind, .. } => errno_of(*kind),
        Error::Unconfirmed { cause, .. } | Error::Unknown { cause, .. } => errno(cause),
        _ => EINVAL,
    })
}

fn errno_of(kind: io::ErrorKind) -> i32 {
    match kind {
        io::ErrorKind::InvalidInput => EINVAL,
        io::ErrorKind::NotFound => ENOENT,
        io::ErrorKind::IsADirectory => EISDIR,
        io::ErrorKind::FileTooLarge => EFBIG,
        io::ErrorKind::AlreadyExists => EEXIST,
        io::ErrorKind::OutOfMemory => ENOMEM,
        io::ErrorKind::PermissionDenied => EACCES,
        io::ErrorKind::TimedOut => ETIMEDOUT,
        io::ErrorKind::ConnectionRefused => ECONNREFUSED,
        io::ErrorKind::ConnectionAborted => ECONNABORTED,
        _ => EIO,
    }
}

/// Return the system's message, without the code and the path, which the exception has as attributes.
fn reason(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => {
            let said = source.to_string();
            match said.split_once(" (os error ") {
                Some((said, _)) => said.to_owned(),
                None => said,
            }
        }
        Error::Remote { reason, .. } => reason.clone(),
        Error::Unconfirmed { cause, .. } | Error::Unknown { cause, .. } => reason(cause),
        Error::NotParquet { reason, .. } => format!("not a Parquet file: {reason}"),
        Error::NotAFile { .. } => "not a regular file".to_owned(),
        Error::SourceChanged { .. } => "the file changed while it was copied".to_owned(),
        error => error.to_string(),
    }
}
