//! One record read.

use std::ffi::OsString;
use std::path::PathBuf;

use llem_store::load::{self, Limit, Record};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::to_python;
use crate::gate::detach;

/// Read a record of at most so many bytes by its file or its directory: the file's path, its bytes, and whether a
/// sidecar is beside it.
#[pyfunction]
pub fn read(py: Python<'_>, path: PathBuf, max_bytes: u64) -> PyResult<(OsString, Bound<'_, PyBytes>, bool)> {
    let Record { path, bytes, has_sidecar } =
        detach(py, || load::read(&path, Limit(max_bytes))).map_err(|error| to_python(py, &error))?;
    Ok((path.into_os_string(), PyBytes::new(py, &bytes), has_sidecar))
}

/// Why bytes are no JSON document, or None where they are one.
#[pyfunction]
pub fn diagnose(py: Python<'_>, content: &[u8]) -> Option<String> {
    detach(py, || load::diagnose(content))
}
