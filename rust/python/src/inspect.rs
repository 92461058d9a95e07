//! The check of a tree, and the removal of the leftovers of interrupted saves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use llem_store::inspect::clean::{CleanOptions, Outcome};
use llem_store::inspect::{self, CheckedRecord, Finding, Status, VerifyBatch, VerifyOptions};
use llem_store::links::LinkLog;
use llem_store::load::Limit;
use llem_store::timeseries::Power;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::interrupt::run;
use crate::load::{RecordCheck, to_bytes};
use crate::location::{Location, Place};
use crate::owned::ProcessOwned;
use crate::reader::{PyLinks, to_links};

/// A check of a tree in progress.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Inspection {
    tree: ProcessOwned<inspect::Inspection>,
    links: Arc<LinkLog>,
    root: PathBuf,
}

type Found = (&'static str, Place, String);
type Energies = Option<BTreeMap<i32, Option<f64>>>;
type Looked<'py> = (u64, u64, Vec<Found>, Vec<(Place, Bound<'py, PyBytes>, Energies)>);

#[pymethods]
impl Inspection {
    /// Begin to check a tree: `max_bytes` limits the size of a record, `max_trace_bytes` the memory of all power traces
    /// that are read at once.
    #[new]
    #[pyo3(signature = (root, check, *, deep, max_bytes, max_trace_bytes, follow_links=false))]
    #[allow(clippy::too_many_arguments, reason = "the stub documents the keywords")]
    fn new(
        py: Python<'_>,
        root: Location,
        check: &RecordCheck,
        deep: bool,
        max_bytes: u64,
        max_trace_bytes: u64,
        follow_links: bool,
    ) -> PyResult<Self> {
        let (check, limit) = (check.0.clone(), Limit(max_bytes));
        let options = VerifyOptions { check, deep, limit, max_trace_bytes, follow_links };
        let inspection = run(py, |interrupt| inspect::Inspection::open(&root.storage, options, interrupt))?;
        let root = root.storage.root().to_owned();
        Ok(Self { links: inspection.links(), tree: ProcessOwned::new(inspection), root })
    }

    /// The symbolic links that the check skips; complete at its end.
    #[getter]
    fn links(&self) -> PyLinks {
        to_links(self.links.skipped())
    }

    /// The number of results that the check expects; None where it is not known yet.
    #[getter]
    fn expected(&self) -> PyResult<Option<u64>> {
        self.tree.peek(inspect::Inspection::expected)
    }

    /// Return the findings in the next directories: the number of complete ones, and of failures; the status, path and problem of each
    /// other one; and, where the check is deep, the records to validate, with the energy of each GPU of their traces. `None` at the
    /// end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Looked<'py>>> {
        let batch = self.tree.with(py, |tree| run(py, |interrupt| tree.next(interrupt)))??;
        let Some(VerifyBatch { complete, failures, findings, records }) = batch else { return Ok(None) };
        let found = |Finding { status, directory, problem }| {
            (name_of(status), below(&self.root, &directory), problem)
        };
        let record = |CheckedRecord { directory, record, powers }| {
            let energies = |powers: BTreeMap<i32, Power>| {
                powers.into_iter().map(|(gpu, power)| (gpu, power.energy_j)).collect()
            };
            Ok((below(&self.root, &directory), to_bytes(py, &record)?, powers.map(energies)))
        };
        let findings = findings.into_iter().map(found).collect();
        Ok(Some((complete, failures, findings, records.into_iter().map(record).collect::<PyResult<_>>()?)))
    }
}

/// Return the path of a directory of a tree; that of the root is the root's own.
fn below(root: &Path, directory: &Path) -> Place {
    Place::new(if directory.as_os_str().is_empty() { root.to_owned() } else { root.join(directory) })
}

fn name_of(status: Status) -> &'static str {
    match status {
        Status::Incomplete => "incomplete",
        Status::Damaged | Status::Stranded => "damaged",
        Status::MissingSidecar => "missing_sidecars",
        Status::Foreign => "foreign",
        Status::Link => "links",
    }
}

type Left = (&'static str, Place, String, Option<String>);

/// Remove the leftovers of interrupted saves that are older than some seconds; return the outcome of each, its path,
/// its description, and the reason where it was kept.
#[pyfunction]
#[pyo3(signature = (root, seconds, *, dry_run))]
pub fn clean(py: Python<'_>, root: Location, seconds: f64, dry_run: bool) -> PyResult<Vec<Left>> {
    let age =
        Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let options = CleanOptions { older_than: age, dry_run };
    let leftovers = run(py, |interrupt| root.storage.clean(options, interrupt))?.into_iter().map(|left| {
        let (outcome, why) = match left.outcome {
            Outcome::Removed => ("removed", None),
            Outcome::Restored => ("restored", None),
            Outcome::Young => ("young", None),
            Outcome::Kept(why) => ("kept", Some(why)),
        };
        (outcome, below(root.storage.root(), &left.directory), left.description, why)
    });
    Ok(leftovers.collect())
}
