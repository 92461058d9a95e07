//! The load of one record.

use std::ffi::OsString;
use std::path::PathBuf;

use llem_store::load::{self, Limit, Record, check_name};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{class_of, to_python};
use crate::exit::detach;

/// Read a record of at most `max_bytes` by its file or its directory: return the file's path, its bytes, and true
/// where a sidecar is next to it.
#[pyfunction]
pub fn read(py: Python<'_>, path: PathBuf, max_bytes: u64) -> PyResult<(OsString, Bound<'_, PyBytes>, bool)> {
    let Record { path, bytes, has_sidecar } =
        detach(py, || load::read(&path, Limit(max_bytes))).map_err(|error| to_python(py, &error))?;
    Ok((path.into_os_string(), to_bytes(py, &bytes)?, has_sidecar))
}

/// Copy bytes for Python; raise `MemoryError` where there is no memory.
pub fn to_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, bytes.len(), |copy| {
        copy.copy_from_slice(bytes);
        Ok(())
    })
}

/// Return the reason why bytes are not a record of a schema line, as a class and a phrase that continues the file's
/// name; `None` where they are a JSON object of it.
#[pyfunction]
pub fn diagnose(py: Python<'_>, content: &[u8], schema_line: &str) -> Option<(&'static str, String)> {
    let fault = detach(py, || load::diagnose(content, schema_line))?;
    Some((class_of(&fault), fault.to_string()))
}

/// Return the reason why the sidecar that a record names is missing; `None` where it is there.
#[pyfunction]
pub fn missing_sidecar(record: PathBuf, name: &str) -> Option<String> {
    let fault = check_name(name, || record.with_file_name(name).is_file()).err()?;
    Some(format!("names {name:?} as its sidecar, {fault}"))
}

/// Return the path of a result's sidecar, by the name that its record gives it.
#[pyfunction]
pub fn sidecar_path(py: Python<'_>, path: PathBuf, max_bytes: u64) -> PyResult<OsString> {
    let sidecar = detach(py, || load::sidecar_path(&path, Limit(max_bytes)));
    sidecar.map(PathBuf::into_os_string).map_err(|error| to_python(py, &error))
}
