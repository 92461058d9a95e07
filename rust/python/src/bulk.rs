//! A bulk save, whose threads do not run Python.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use llem_store::bulk::{self, BulkOptions, Finished, FlushMethod, Patience};
use llem_store::save::{NewResult, NewSidecar, Saved, Sidecar};
use llem_store::{Durability, Error, Kind};
use pyo3::exceptions::{PyBaseException, PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::errors::{is_ours, sidecar_error, to_python};
use crate::exit::detach;
use crate::interrupt::{log_retries, run};
use crate::location::Location;
use crate::save::to_source;

/// A bulk save in progress, with threads of its own; it belongs to the process that created it.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Bulk {
    /// None once it is dropped.
    save: Option<bulk::Bulk>,
    tickets: AtomicU64,
    /// Errors of results that were never submitted.
    refused: Mutex<Vec<(u64, Py<PyAny>)>>,
    process: u32,
}

#[pymethods]
impl Bulk {
    #[new]
    #[pyo3(signature = (root, *, durable, max_results, max_bytes, is_batch, flush_method=None))]
    fn new(
        root: Location,
        durable: bool,
        max_results: usize,
        max_bytes: usize,
        is_batch: bool,
        flush_method: Option<&str>,
    ) -> PyResult<Self> {
        let durability = if durable { Durability::Durable } else { Durability::Relaxed };
        let flush_method = match flush_method {
            None => None,
            Some("fsync") => Some(FlushMethod::Fsync),
            Some("syncfs") => Some(FlushMethod::Syncfs),
            Some(other) => {
                let message = format!("flush_method: expected 'fsync' or 'syncfs', got {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let options = BulkOptions { durability, flush_method, max_results, max_bytes, is_batch };
        let save = Some(match root {
            Location { directory: Some(root), .. } => bulk::Bulk::new(root, options),
            Location { storage, .. } => bulk::Bulk::over(storage, options),
        });
        let tickets = AtomicU64::new(0);
        Ok(Self { save, tickets, refused: Mutex::default(), process: std::process::id() })
    }

    /// Return a new ticket.
    fn next_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Submit a result and put `entry` into `in_flight` under its ticket, both or neither: a signal handler runs before
    /// or after, not between. Return true where `collect` has outcomes.
    #[pyo3(signature = (ticket, name, record, *, source=None, record_with_sidecar=None, suffix=None, in_flight=None,
                        entry=None, patient=false))]
    #[allow(clippy::too_many_arguments, reason = "one flat call is the cheapest way across")]
    fn submit(
        &self,
        py: Python<'_>,
        ticket: u64,
        name: String,
        record: &[u8],
        source: Option<&Bound<'_, PyAny>>,
        record_with_sidecar: Option<&[u8]>,
        suffix: Option<u64>,
        in_flight: Option<&Bound<'_, PyDict>>,
        entry: Option<&Bound<'_, PyAny>>,
        patient: bool,
    ) -> PyResult<bool> {
        let save = self.save()?;
        let memory = source.map(memory_of).transpose()?.unwrap_or(0);
        let source = source.map(|source| to_source(py, source)).transpose()?;
        let with_sidecar = record_with_sidecar.unwrap_or(record);
        let sidecar =
            source.map(|source| NewSidecar { source, record: with_sidecar.to_vec().into(), memory });
        let result = NewResult {
            name: name.into(),
            kind: Kind::Result,
            record: record.to_vec().into(),
            sidecar,
            suffix,
        };
        let patience = if patient { Patience::UntilSettled } else { Patience::UntilFinished };
        if let Some(in_flight) = in_flight {
            in_flight.set_item(ticket, entry)?;
        }
        let submitted = run(py, |interrupt| save.submit(ticket, result, patience, interrupt));
        if submitted.is_err()
            && let Some(in_flight) = in_flight
        {
            forget(in_flight, ticket)?;
        }
        submitted
    }

    /// Account for a result that could not be submitted: `collect` reports its error.
    #[pyo3(signature = (ticket, error, *, in_flight, entry, patient))]
    #[allow(clippy::too_many_arguments, reason = "as submit")]
    fn refuse(
        &self,
        py: Python<'_>,
        ticket: u64,
        error: Py<PyAny>,
        in_flight: &Bound<'_, PyDict>,
        entry: &Bound<'_, PyAny>,
        patient: bool,
    ) -> PyResult<()> {
        let save = self.save()?;
        in_flight.set_item(ticket, entry)?;
        let patience = if patient { Patience::UntilSettled } else { Patience::UntilFinished };
        if let Err(refused) = run(py, |interrupt| save.refuse(ticket, patience, interrupt)) {
            forget(in_flight, ticket)?;
            return Err(refused);
        }
        self.lock_refused().push((ticket, error));
        detach(py, || save.refused());
        Ok(())
    }

    /// Put outcomes into `outcomes` by ticket, a path or an error; the tickets of results whose sidecar's source does
    /// not exist into `missing`; and tickets with sentences on what is wrong with a sidecar into `notes`. Return false
    /// when no more outcomes follow.
    ///
    /// All are complete when this returns, so that no signal handler runs between the two.
    fn collect(
        &self,
        py: Python<'_>,
        outcomes: &Bound<'_, PyDict>,
        missing: &Bound<'_, PyList>,
        notes: &Bound<'_, PyList>,
        seconds: f64,
    ) -> PyResult<bool> {
        let save = self.save()?;
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let Finished { outcomes: finished, over } = detach(py, || save.finished(time));
        log_retries(py);
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
                    match sidecar {
                        Sidecar::Missing => missing.append(ticket)?,
                        Sidecar::Stored(found) => {
                            for note in found {
                                notes.append((ticket, note))?;
                            }
                        }
                        _ => {}
                    }
                }
                // Undone because the caller cancelled: there is no outcome.
                Err(Error::Interrupted) => {}
                Err(error) => {
                    outcomes.set_item(ticket, exception(py, || to_python(py, &error), &mut raised))?;
                }
            }
        }
        raised.map_or(Ok(!over), Err)
    }

    /// Note that the outcomes of these results were reported.
    fn settle(&self, py: Python<'_>, tickets: Vec<u64>) -> PyResult<()> {
        let save = self.save()?;
        detach(py, || save.settle(&tickets));
        Ok(())
    }

    /// Wait until every result whose ticket is below `mark` is settled.
    fn wait_settled(&self, py: Python<'_>, mark: u64) -> PyResult<()> {
        let save = self.save()?;
        run(py, |interrupt| save.wait_settled(mark, interrupt))
    }

    /// Accept no more results; finish the submitted ones.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let save = self.save()?;
        detach(py, || save.close());
        Ok(())
    }

    /// Close, and wait for the threads to end.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        let save = self.save()?;
        detach(py, || save.join());
        Ok(())
    }

    /// Accept no more results, and undo those that are not in place.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let save = self.save()?;
        detach(py, || save.cancel());
        Ok(())
    }

    /// Return the results that are in place and not confirmed.
    fn in_place(&self, py: Python<'_>) -> PyResult<Vec<(u64, OsString)>> {
        let save = self.save()?;
        let places = detach(py, || save.in_place());
        Ok(places.into_iter().map(|(ticket, path)| (ticket, path.into_os_string())).collect())
    }
}

impl Bulk {
    fn lock_refused(&self) -> MutexGuard<'_, Vec<(u64, Py<PyAny>)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Return the bulk save, in the process that has its threads.
    fn save(&self) -> PyResult<&bulk::Bulk> {
        self.save.as_ref().filter(|_| self.process == std::process::id()).ok_or_else(|| {
            PyRuntimeError::new_err(format!(
                "this writer belongs to process {}, and its threads did not come along into the fork; \
                 open another one here: ResultStore(...).writer()",
                self.process
            ))
        })
    }
}

/// Remove the entry of a result that was not submitted; an abandoned writer may have removed it already.
fn forget(in_flight: &Bound<'_, PyDict>, ticket: u64) -> PyResult<()> {
    in_flight.call_method1("pop", (ticket, ())).map(drop)
}

/// Return the bytes that a table keeps in memory until it is written, as it reports them, or a guess.
fn memory_of(source: &Bound<'_, PyAny>) -> PyResult<usize> {
    const GUESS: usize = 1 << 20;
    let reported = || -> PyResult<usize> {
        if !source.hasattr("__arrow_c_stream__")? {
            return Ok(0);
        }
        match source.getattr_opt("nbytes")? {
            Some(bytes) => bytes.extract(), // pyarrow, arro3, our own
            None => source.call_method0("estimated_size")?.extract(), // polars
        }
    };
    match reported() {
        Err(error) if error.is_instance_of::<PyException>(source.py()) => Ok(GUESS),
        reported => reported,
    }
}

/// Create an exception. Its constructor runs Python code: keep for later what a signal handler raises in it.
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
        // In a fork, a thread that does not exist may hold a lock, and the parent undoes its results.
        if self.process != std::process::id() {
            std::mem::forget(self.save.take());
        }
    }
}
