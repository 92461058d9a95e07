//! Many results saved in threads that know nothing of Python.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llem_store::bulk::{self, Engine, Finished, Job, Options, Patience};
use llem_store::save::{Saved, Sidecar};
use llem_store::{Durability, Error};
use pyo3::exceptions::{PyBaseException, PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::errors::{is_ours, sidecar_error, to_python};
use crate::gate::detach;
use crate::interrupt::run;
use crate::save::to_source;

/// An engine that saves results in threads of its own; it belongs to the process that made it.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Bulk {
    /// None once it is dropped.
    engine: Option<bulk::Bulk>,
    tickets: AtomicU64,
    /// Errors of results that the engine never saw.
    refused: Mutex<Vec<(u64, Py<PyAny>)>>,
    process: u32,
}

#[pymethods]
impl Bulk {
    #[new]
    #[pyo3(signature = (root, *, durable, max_results, max_bytes, many, engine=None))]
    fn new(
        root: PathBuf,
        durable: bool,
        max_results: usize,
        max_bytes: usize,
        many: bool,
        engine: Option<&str>,
    ) -> PyResult<Self> {
        let durability = if durable { Durability::Durable } else { Durability::Relaxed };
        let engine = match engine {
            None => None,
            Some("fsync") => Some(Engine::Fsync),
            Some("syncfs") => Some(Engine::Syncfs),
            Some(other) => {
                return Err(PyValueError::new_err(format!("engine is 'fsync' or 'syncfs', not {other:?}")));
            }
        };
        let options = Options { durability, engine, results: max_results, bytes: max_bytes, many };
        let engine = Some(bulk::Bulk::new(root, options));
        let tickets = AtomicU64::new(0);
        Ok(Self { engine, tickets, refused: Mutex::default(), process: std::process::id() })
    }

    /// A ticket that nobody has had.
    fn next_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Hand over a result, and put `entry` into `under_way` under its ticket, both or neither: a signal handler
    /// runs before or after, not between. Returns whether there is something to collect.
    #[pyo3(signature = (ticket, name, record, *, source=None, record_beside=None, under_way=None,
                        entry=None, patient=false))]
    #[allow(clippy::too_many_arguments, reason = "one flat call is the cheapest way across")]
    fn submit(
        &self,
        py: Python<'_>,
        ticket: u64,
        name: String,
        record: &[u8],
        source: Option<&Bound<'_, PyAny>>,
        record_beside: Option<&[u8]>,
        under_way: Option<&Bound<'_, PyDict>>,
        entry: Option<&Bound<'_, PyAny>>,
        patient: bool,
    ) -> PyResult<bool> {
        let engine = self.engine()?;
        let weight = source.map(weight).transpose()?.unwrap_or(0);
        let source = source.map(|source| to_source(py, source)).transpose()?;
        let sidecar = source.map(|source| (source, record_beside.unwrap_or(record).to_vec()));
        let job = Job { name, record: record.to_vec(), sidecar, weight };
        let patience = if patient { Patience::UntilSettled } else { Patience::UntilFinished };
        if let Some(under_way) = under_way {
            under_way.set_item(ticket, entry)?;
        }
        let submitted = run(py, |interrupt| engine.submit(ticket, job, patience, interrupt));
        if submitted.is_err()
            && let Some(under_way) = under_way
        {
            forget(under_way, ticket)?;
        }
        submitted
    }

    /// Account for a result that could not even be handed over: `collect` tells its error.
    #[pyo3(signature = (ticket, error, *, under_way, entry, patient))]
    #[allow(clippy::too_many_arguments, reason = "as submit")]
    fn refuse(
        &self,
        py: Python<'_>,
        ticket: u64,
        error: Py<PyAny>,
        under_way: &Bound<'_, PyDict>,
        entry: &Bound<'_, PyAny>,
        patient: bool,
    ) -> PyResult<()> {
        let engine = self.engine()?;
        under_way.set_item(ticket, entry)?;
        let patience = if patient { Patience::UntilSettled } else { Patience::UntilFinished };
        if let Err(refused) = run(py, |interrupt| engine.refuse(ticket, patience, interrupt)) {
            forget(under_way, ticket)?;
            return Err(refused);
        }
        self.lock_refused().push((ticket, error));
        detach(py, || engine.refused());
        Ok(())
    }

    /// Put what became of results into `outcomes`, by their tickets: the path, or the error. The tickets of
    /// those whose sidecar's source does not exist go into `missing`. False when no more will come.
    ///
    /// All of it is there when this returns, so that no signal can get between the two.
    fn collect(
        &self,
        py: Python<'_>,
        outcomes: &Bound<'_, PyDict>,
        missing: &Bound<'_, PyList>,
        seconds: f64,
    ) -> PyResult<bool> {
        let engine = self.engine()?;
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let Finished { outcomes: finished, over } = detach(py, || engine.finished(time));
        let refused = std::mem::take(&mut *self.lock_refused());
        for (ticket, error) in refused {
            outcomes.set_item(ticket, error)?;
        }
        let mut raised = None;
        for (ticket, outcome) in finished {
            match outcome {
                Ok(Saved { path, sidecar: Sidecar::Failed(error) }) => {
                    let value = exception(py, || sidecar_error(&error, &path), &mut raised);
                    outcomes.set_item(ticket, value)?;
                }
                Ok(Saved { path, sidecar }) => {
                    outcomes.set_item(ticket, path.into_os_string())?;
                    if matches!(sidecar, Sidecar::Missing) {
                        missing.append(ticket)?;
                    }
                }
                // Undone because the caller stopped: there is nothing to tell of it.
                Err(Error::Interrupted) => {}
                Err(error) => {
                    outcomes.set_item(ticket, exception(py, || to_python(py, &error), &mut raised))?;
                }
            }
        }
        raised.map_or(Ok(!over), Err)
    }

    /// Note that whoever waits for these results has been told.
    fn settle(&self, py: Python<'_>, tickets: Vec<u64>) -> PyResult<()> {
        let engine = self.engine()?;
        detach(py, || engine.settle(&tickets));
        Ok(())
    }

    /// Wait until every result whose ticket is below `mark` is settled.
    fn wait_settled(&self, py: Python<'_>, mark: u64) -> PyResult<()> {
        let engine = self.engine()?;
        run(py, |interrupt| engine.wait_settled(mark, interrupt))
    }

    /// Take no more; what was submitted is finished.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.engine()?;
        detach(py, || engine.close());
        Ok(())
    }

    /// Close, and wait for the threads to end.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.engine()?;
        detach(py, || engine.join());
        Ok(())
    }

    /// Take no more, and undo what is not in place yet.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.engine()?;
        detach(py, || engine.cancel());
        Ok(())
    }

    /// The results that are in place, and not known to be durable.
    fn in_place(&self, py: Python<'_>) -> PyResult<Vec<(u64, OsString)>> {
        let engine = self.engine()?;
        let places = detach(py, || engine.in_place());
        Ok(places.into_iter().map(|(ticket, path)| (ticket, path.into_os_string())).collect())
    }
}

impl Bulk {
    fn lock_refused(&self) -> MutexGuard<'_, Vec<(u64, Py<PyAny>)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine, in the process that has its threads.
    fn engine(&self) -> PyResult<&bulk::Bulk> {
        self.engine.as_ref().filter(|_| self.process == std::process::id()).ok_or_else(|| {
            PyRuntimeError::new_err(format!(
                "this writer belongs to process {}, and its threads did not come along into the fork; \
                 open another one here: ResultStore(...).writer()",
                self.process
            ))
        })
    }
}

/// Take back what was not taken; whoever gives up everything that is under way may have done so already.
fn forget(under_way: &Bound<'_, PyDict>, ticket: u64) -> PyResult<()> {
    under_way.call_method1("pop", (ticket, ())).map(drop)
}

/// Bytes that a table keeps in memory until it is written, by its own account; a guess where it gives none.
fn weight(source: &Bound<'_, PyAny>) -> PyResult<usize> {
    const GUESS: usize = 1 << 20;
    let told = || -> PyResult<usize> {
        if !source.hasattr("__arrow_c_stream__")? {
            return Ok(0);
        }
        match source.getattr_opt("nbytes")? {
            Some(bytes) => bytes.extract(), // pyarrow, arro3, our own
            None => source.call_method0("estimated_size")?.extract(), // polars
        }
    };
    match told() {
        Err(error) if error.is_instance_of::<PyException>(source.py()) => Ok(GUESS),
        told => told,
    }
}

/// Make an exception, whose constructor is Python's: what a signal handler raises in there is kept for later.
fn exception(py: Python<'_>, make: impl Fn() -> PyErr, raised: &mut Option<PyErr>) -> Py<PyBaseException> {
    // Handlers that raise do so once for each signal.
    for _ in 0..100 {
        let error = make();
        if is_ours(py, &error) {
            return error.into_value(py);
        }
        *raised = Some(error);
    }
    PyRuntimeError::new_err("the save failed, and so did the making of its error").into_value(py)
}

impl Drop for Bulk {
    fn drop(&mut self) {
        // In a fork, a lock of it may be held by a thread that is not there, and what it holds is the parent's
        // to undo.
        if self.process != std::process::id() {
            std::mem::forget(self.engine.take());
        }
    }
}
