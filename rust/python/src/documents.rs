//! The records of a tree as bytes, and the hashes of its configurations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use llem_store::Error;
use llem_store::load::Limit;
use llem_store::scan::{self, Completed, Document};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::to_python;
use crate::exit::detach;
use crate::interrupt::run;
use crate::owned::ProcessOwned;
use crate::reader::{PathAndError, to_errors};
use crate::scan::schema_of;

/// The records of a tree, read ahead of a caller that validates them.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Documents(ProcessOwned<scan::Documents>);

type PyDocument<'py> = (PathBuf, Option<Bound<'py, PyBytes>>, bool, Option<PyErr>);

#[pymethods]
impl Documents {
    #[new]
    #[pyo3(signature = (root, *, max_bytes))]
    fn new(py: Python<'_>, root: PathBuf, max_bytes: u64) -> PyResult<Self> {
        let documents = detach(py, || scan::Documents::open(&root, Limit(max_bytes)));
        documents.map(|documents| Self(ProcessOwned::new(documents))).map_err(|error| to_python(py, &error))
    }

    /// Return the next dozens of records: path, bytes or None, whether there is a sidecar, and error or None. None at
    /// the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<PyDocument<'py>>>> {
        let documents = self.0.with(py, |documents| run(py, |interrupt| documents.next(interrupt)))??;
        let convert = |document: Result<Document, Error>| match document {
            Ok(Document { path, bytes, has_sidecar }) => {
                (path, Some(PyBytes::new(py, &bytes)), has_sidecar, None)
            }
            Err(error) => {
                let path = error.path().map(Path::to_owned).unwrap_or_default();
                (path, None, false, Some(to_python(py, &error)))
            }
        };
        Ok(documents.map(|documents| documents.into_iter().map(convert).collect()))
    }
}

/// Return the hashes of the configurations below a root, and the records that cannot be read.
#[pyfunction]
#[pyo3(signature = (root, record, *, max_bytes))]
pub fn completed(
    py: Python<'_>,
    root: PathBuf,
    record: &str,
    max_bytes: u64,
) -> PyResult<(BTreeSet<String>, Vec<PathAndError>)> {
    let schema = schema_of(record)?;
    let Completed { hashes, errors } =
        run(py, |interrupt| scan::completed(&root, &schema, Limit(max_bytes), interrupt))?;
    Ok((hashes, to_errors(py, errors)))
}
