//! The save of one result, and the steps of a save for other writers of files.

use std::ffi::OsString;
#[cfg(feature = "remote")]
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use llem_store::save::{NewResult, NewSidecar, SaveOptions, Saved, Sidecar, Source, claim_directory};
use llem_store::{Durability, Error, Kind, json, name, replace_file};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};

use crate::errors::{sidecar_error, to_python};
use crate::exit::detach;
use crate::interrupt::run;
use crate::location::Location;
use crate::stream::StreamReader;

/// Return the legal name of a result's directory; see `llem_store::name`.
#[pyfunction]
pub fn directory_name(model: &str, backend: &str, timestamp: &str) -> String {
    name::directory_name(model, backend, timestamp)
}

/// Return the name of a failure's directory, from the name that its result would have.
#[pyfunction]
pub fn failure_name(name: &str) -> String {
    name::failure_name(name)
}

/// Return the name of a result's directory without its suffix; `None` where a save did not give the name.
#[pyfunction]
pub fn given_base(name: OsString) -> Option<String> {
    name.to_str().and_then(name::given_base).map(str::to_owned)
}

/// Return JSON without white space outside its strings.
#[pyfunction]
pub fn compact<'py>(py: Python<'py>, content: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &detach(py, || json::compact::compact(content)))
}

/// Save one result or failure; return the name of its directory, false where the sidecar's source does not exist, and sentences on
/// what is wrong with the sidecar.
#[pyfunction]
#[pyo3(signature = (root, name, record, *, source=None, record_with_sidecar=None, failure=false, durable))]
#[allow(clippy::too_many_arguments, reason = "one flat call is the cheapest way across")]
pub fn save(
    py: Python<'_>,
    root: Location,
    name: &str,
    record: PyBackedBytes,
    source: Option<&Bound<'_, PyAny>>,
    record_with_sidecar: Option<PyBackedBytes>,
    failure: bool,
    durable: bool,
) -> PyResult<(OsString, bool, Vec<String>)> {
    let source = source.map(|source| to_source(py, source)).transpose()?;
    let with_sidecar = record_with_sidecar.as_deref().unwrap_or(&record).into();
    let sidecar = source.map(|source| NewSidecar { source, record: with_sidecar, memory: 0 });
    let durability = if durable { Durability::Durable } else { Durability::Relaxed };
    let result = NewResult {
        name: name.into(),
        kind: kind_of(failure),
        record: (&*record).into(),
        sidecar,
        suffix: None,
    };
    let options = SaveOptions { durability };
    let Saved { path, sidecar } = run(py, |interrupt| root.storage.save(result, options, interrupt))?;
    let (sidecar_found, notes) = match sidecar {
        Sidecar::None => (true, Vec::new()),
        Sidecar::Stored(notes) => (true, notes),
        Sidecar::Missing => (false, Vec::new()),
        Sidecar::Failed(error) => return Err(sidecar_error(&error, &path)),
    };
    let name = path.parent().and_then(Path::file_name).unwrap_or_default();
    Ok((name.to_owned(), sidecar_found, notes))
}

/// Return the kind of a record to save.
const fn kind_of(is_failure: bool) -> Kind {
    if is_failure { Kind::Failure } else { Kind::Result }
}

/// Convert a path or an Arrow stream. Any other object, or a failure, becomes a source that fails, since it must not
/// cost the result; only an interrupt is an error here.
pub fn to_source(py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Source> {
    let failed = |reason| Ok(Source::Failed(Error::NotASource { reason }));
    match read_source(source) {
        Ok(Some(source)) => Ok(source),
        Ok(None) => failed(format!(
            "timeseries_source must be a path or a table with __arrow_c_stream__, not {}",
            source.get_type().qualname().map_or_else(|_| "this".to_owned(), |name| name.to_string())
        )),
        Err(error) if error.is_instance_of::<PyException>(py) => failed(error.to_string()),
        Err(error) => Err(error),
    }
}

fn read_source(source: &Bound<'_, PyAny>) -> PyResult<Option<Source>> {
    #[cfg(feature = "remote")]
    if let Ok(object) = source.cast::<crate::remote::ObjectStorage>() {
        let storage = object.get().storage();
        let opened = run(source.py(), |interrupt| match storage.open(Path::new(""), interrupt) {
            Err(error) if error.is_io(ErrorKind::NotFound) => Ok(None),
            opened => opened.map(Some),
        })?;
        let object = opened.map(|opened| Source::Object(opened, storage.root().to_owned()));
        return Ok(Some(object.unwrap_or(Source::Absent)));
    }
    if source.hasattr("__arrow_c_stream__")? {
        Ok(Some(Source::Arrow(Box::new(StreamReader::open(source)?))))
    } else if source.is_instance_of::<PyString>() || source.hasattr("__fspath__")? {
        Ok(Some(Source::File(source.extract()?)))
    } else {
        Ok(None)
    }
}

/// Claim `base`, `base_1`, ... in a directory, which is created where it is missing.
#[pyfunction]
pub fn claim(py: Python<'_>, parent: PathBuf, base: OsString) -> PyResult<PathBuf> {
    run(py, |interrupt| claim_directory(&parent, &base, interrupt))
}

/// Replace a file durably and atomically.
#[pyfunction]
pub fn replace(py: Python<'_>, path: PathBuf, content: PyBackedBytes) -> PyResult<()> {
    detach(py, || replace_file(&path, &content)).map_err(|error| to_python(py, &error))
}
