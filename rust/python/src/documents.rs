//! The records of a tree as bytes, and the hashes of its configurations.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use llem_store::Error;
use llem_store::links::LinkLog;
use llem_store::load::Limit;
use llem_store::scan::{self, Completed, Document};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::to_python;
use crate::interrupt::run;
use crate::load::{Fault, RecordCheck, fault_of, to_bytes};
use crate::location::{Location, Place};
use crate::owned::ProcessOwned;
use crate::reader::{PathAndError, PyLinks, to_errors, to_links};
use crate::scan::schema_of;

/// The records of a tree, read ahead of a caller that validates them.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Documents {
    documents: ProcessOwned<scan::Documents>,
    links: Arc<LinkLog>,
}

type PyDocument<'py> = (Place, Option<Bound<'py, PyBytes>>, bool, Option<Fault>, Option<PyErr>);

#[pymethods]
impl Documents {
    #[new]
    #[pyo3(signature = (root, check, *, max_bytes, follow_links=false, failures=false))]
    fn new(
        py: Python<'_>,
        root: Location,
        check: &RecordCheck,
        max_bytes: u64,
        follow_links: bool,
        failures: bool,
    ) -> PyResult<Self> {
        let (check, storage) = (check.0.clone(), root.of_kind(failures));
        let documents = run(py, |interrupt| {
            scan::Documents::open(&storage, check, Limit(max_bytes), follow_links, interrupt)
        })?;
        Ok(Self { links: documents.links(), documents: ProcessOwned::new(documents) })
    }

    /// The symbolic links that the walk skips; complete at its end.
    #[getter]
    fn links(&self) -> PyLinks {
        to_links(self.links.skipped())
    }

    /// Return the next dozens of records: path, bytes or None, whether there is a sidecar, the reason why it is not a
    /// record, and the error of the read. None at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<PyDocument<'py>>>> {
        let documents =
            self.documents.with(py, |documents| run(py, |interrupt| documents.next(interrupt)))??;
        let convert = |document: Result<Document, Error>| match document {
            Ok(Document { path, bytes, has_sidecar, fault }) => match to_bytes(py, &bytes) {
                Ok(bytes) => (Place::new(path), Some(bytes), has_sidecar, fault.as_ref().map(fault_of), None),
                Err(error) => (Place::new(path), None, has_sidecar, None, Some(error)),
            },
            Err(error) => {
                let path = error.path().unwrap_or(Path::new("")).into();
                (path, None, false, None, Some(to_python(py, &error)))
            }
        };
        Ok(documents.map(|documents| documents.into_iter().map(convert).collect()))
    }
}

type Counted = (BTreeMap<String, u64>, u64, Vec<PathAndError>, PyLinks);

/// Return the hashes of the configurations below a root, with the number of each, the number of failures, the records that cannot be read, and the skipped links.
#[pyfunction]
#[pyo3(signature = (root, record, *, max_bytes, follow_links=false, failures=false))]
pub fn completed(
    py: Python<'_>,
    root: Location,
    record: &str,
    max_bytes: u64,
    follow_links: bool,
    failures: bool,
) -> PyResult<Counted> {
    let (schema, storage) = (schema_of(record)?, root.of_kind(failures));
    let Completed { hashes, failures, errors, links } =
        run(py, |interrupt| scan::completed(&storage, &schema, Limit(max_bytes), follow_links, interrupt))?;
    Ok((hashes, failures, to_errors(py, errors), to_links(links)))
}
