//! Parts of a tree, which Python passes to other processes.

use std::path::PathBuf;
use std::sync::Arc;

use llem_store::Wanted;
use llem_store::part::{self, Listed, Weight};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple, PyType};

use crate::interrupt::run;
use crate::location::Location;
use crate::reader::{PyLinks, to_links};

/// Results of one listing, which a scan reads without another listing.
#[pyclass(frozen, eq, hash, module = "llenergymeasure._store")]
#[derive(PartialEq, Eq, Hash)]
pub struct Part(Arc<part::Part>);

#[pymethods]
impl Part {
    #[new]
    fn new(encoded: &[u8]) -> PyResult<Self> {
        let part = part::Part::from_bytes(encoded);
        part.map(|part| Self(Arc::new(part))).ok_or_else(|| {
            PyValueError::new_err("expected the bytes of a part of a tree; pickle the part again")
        })
    }

    /// Return the directories of the results, relative to the root.
    fn places(&self) -> Vec<PathBuf> {
        self.0.iter().map(|(place, _)| place).collect()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!("<Part of {} results>", self.0.len())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, Bound<'py, PyTuple>) {
        let bytes = PyBytes::new(py, self.0.as_bytes());
        let arguments = PyTuple::new(py, [bytes]).unwrap_or_else(|_| PyTuple::empty(py));
        (py.get_type::<Self>(), arguments)
    }
}

impl Part {
    /// Return the results that a scan reads: those of a part, or all.
    pub fn wanted(part: Option<&Self>) -> Wanted {
        part.map_or(Wanted::Records, |part| Wanted::Part(part.0.clone()))
    }

    /// Return the newest results of a listing.
    pub fn newest(listed: &Listed, count: usize) -> Self {
        Self(Arc::new(listed.newest(count)))
    }

    /// Divide a listing into parts.
    pub fn split(listed: &Listed, parts: usize) -> Vec<Self> {
        listed.split(parts).into_iter().map(|part| Self(Arc::new(part))).collect()
    }
}

/// Count the results and failures below a root without reading them; return the newest results, the newest first, and the
/// skipped links, too.
#[pyfunction]
#[pyo3(signature = (root, newest, *, follow_links=false))]
pub fn count(
    py: Python<'_>,
    root: Location,
    newest: usize,
    follow_links: bool,
) -> PyResult<(usize, u64, Part, PyLinks)> {
    let listed = run(py, |interrupt| {
        Listed::of(&root.storage, &Wanted::Names, Weight::Time, follow_links, interrupt)
    })?;
    let part = py.detach(|| Part::newest(&listed, newest));
    Ok((listed.part.len(), listed.failures, part, to_links(listed.links)))
}

/// Return the weight of a name.
pub fn to_weight(by: &str) -> PyResult<Weight> {
    match by {
        "count" => Ok(Weight::Count),
        "bytes" => Ok(Weight::Bytes),
        other => Err(PyValueError::new_err(format!("by expects \"count\" or \"bytes\", got {other:?}"))),
    }
}
