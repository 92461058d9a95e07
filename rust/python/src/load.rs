//! The load of one record.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use llem_store::load::{self, Limit, Record, RecordFault, check_name};
use llem_store::scan;
use llem_store::{Error, Interrupt};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::class_of;
use crate::interrupt::run;
use crate::location::Location;
use crate::scan::schema_of;

/// The check whether bytes are a record of a schema.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct RecordCheck(pub Arc<scan::RecordCheck>);

#[pymethods]
impl RecordCheck {
    /// Prepare the check; `record` is the schema of a record as JSON.
    #[new]
    fn new(record: &str) -> PyResult<Self> {
        let check = scan::RecordCheck::new(&schema_of(record)?);
        check.map(|check| Self(Arc::new(check))).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Return the reason why bytes are not a record, as a class and a phrase that continues the file's name; `None`
    /// where they are one.
    fn diagnose(&self, py: Python<'_>, content: &[u8]) -> PyResult<Option<Fault>> {
        let fault = run(py, |interrupt| diagnose(&self.0, content, interrupt))?;
        Ok(fault.as_ref().map(fault_of))
    }
}

/// Return the reason why bytes are not a record.
fn diagnose(
    check: &scan::RecordCheck,
    content: &[u8],
    interrupt: Interrupt<'_>,
) -> Result<Option<RecordFault>, Error> {
    match check.diagnose(content, interrupt) {
        Some(RecordFault::Interrupted) => Err(Error::Interrupted),
        fault => Ok(fault),
    }
}

/// The class of a fault, and its text.
pub type Fault = (&'static str, String);

pub fn fault_of(fault: &RecordFault) -> Fault {
    (class_of(fault), fault.to_string())
}

/// Copy bytes for Python; raise `MemoryError` where there is no memory.
pub fn to_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, bytes.len(), |copy| {
        copy.copy_from_slice(bytes);
        Ok(())
    })
}

type PyRecord<'py> = (OsString, Bound<'py, PyBytes>, bool, Option<Fault>);

/// Read and check a record of at most `max_bytes`: that at a path, of its file or its directory, or in the directory of an
/// object store. Return the file's path, its bytes, true where a sidecar is next to it, and the reason where it is not a
/// record.
#[pyfunction]
#[pyo3(signature = (path, check, max_bytes, *, failure=false))]
pub fn read<'py>(
    py: Python<'py>,
    path: Location,
    check: &RecordCheck,
    max_bytes: u64,
    failure: bool,
) -> PyResult<PyRecord<'py>> {
    let storage = path.of_kind(failure);
    let (record, fault) = run(py, |interrupt| {
        let record = load::read(&*storage, Path::new(""), Limit(max_bytes), interrupt)?;
        let fault = diagnose(&check.0, &record.bytes, interrupt)?;
        Ok::<_, Error>((record, fault))
    })?;
    let Record { path, bytes, has_sidecar } = record;
    Ok((path.into_os_string(), to_bytes(py, &bytes)?, has_sidecar, fault.as_ref().map(fault_of)))
}

/// Return the reason why the sidecar that a record names is missing; `None` where it is there.
#[pyfunction]
pub fn missing_sidecar(py: Python<'_>, record: Location, name: &str) -> PyResult<Option<String>> {
    let exists = run(py, |interrupt| {
        let entry = record.storage.find(record.storage.kind(), Path::new(""), interrupt)?;
        Ok::<_, Error>(entry.has_file(name))
    })?;
    let fault = check_name(name, || exists).err();
    Ok(fault.map(|fault| format!("names {name:?} as its sidecar, {fault}")))
}

/// Return the path of a result's sidecar, by the name that its record gives it.
#[pyfunction]
pub fn sidecar_path(py: Python<'_>, path: Location, max_bytes: u64) -> PyResult<OsString> {
    let path =
        run(py, |interrupt| load::sidecar_path(&*path.storage, Path::new(""), Limit(max_bytes), interrupt))?;
    Ok(path.into_os_string())
}
