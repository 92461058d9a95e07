//! The one place that asks Python, on behalf of a long operation, whether a signal arrived.

use std::cell::{Cell, RefCell};

use llem_store::{Interrupt, Reached};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::IntoPython;
use crate::exit::detach;

thread_local! {
    /// True in the main thread, the only one in which Python runs signal handlers; `None` until it is known.
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Look for the main thread at the import of the extension: the first import of `threading`, in any thread, takes
/// that thread for the main one.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    is_main_thread(module.py())?;
    let Some(register) = module.py().import("os")?.getattr_opt("register_at_fork")? else { return Ok(()) };
    let options = PyDict::new(module.py());
    options.set_item("after_in_child", wrap_pyfunction!(become_main_thread, module)?)?;
    register.call((), Some(&options)).map(drop)
}

/// Note that a fork made this thread the main thread of the new process.
#[pyfunction]
fn become_main_thread() {
    IS_MAIN.set(Some(true));
}

/// Return `true` in the main thread.
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    if let Some(is_main) = IS_MAIN.get() {
        return Ok(is_main);
    }
    let threading = py.import("threading")?;
    let is_main = threading.call_method0("current_thread")?.is(threading.call_method0("main_thread")?);
    IS_MAIN.set(Some(is_main));
    Ok(is_main)
}

/// Run a step of the store without the interpreter, but for signal handlers in the main thread.
pub fn run<T: Send, E: IntoPython + Send>(
    py: Python<'_>,
    step: impl FnOnce(Interrupt<'_>) -> Result<T, E> + Send,
) -> PyResult<T> {
    run_with_progress(py, None, step)
}

/// Run a step of the store, and call `progress` with the number of records read, and that of all once it is known.
pub fn run_with_progress<T: Send, E: IntoPython + Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    step: impl FnOnce(Interrupt<'_>) -> Result<T, E> + Send,
) -> PyResult<T> {
    let is_main = is_main_thread(py)?;
    let (outcome, raised) = detach(py, || {
        let (raised, reported) = (RefCell::new(None), Cell::new(0));
        let is_cancelled = |Reached { records, total }| {
            let progress = progress.filter(|_| records > reported.get());
            if raised.borrow().is_none() && (is_main || progress.is_some()) {
                reported.set(records);
                let asked = Python::attach(|py| {
                    py.check_signals()?;
                    progress.map_or(Ok(()), |progress| progress.call1(py, (records, total)).map(drop))
                });
                raised.replace(asked.err());
            }
            raised.borrow().is_some()
        };
        let outcome = step(Interrupt::new(&is_cancelled));
        (outcome, raised.into_inner())
    });
    log_retries(py);
    outcome.map_err(|error| raised.unwrap_or_else(|| error.into_python(py)))
}

/// Return `true` where a signal handler raised while another library reads a stream.
///
/// That library makes an error of its own of it, so that the interrupt is raised again, where Python goes on.
pub fn was_interrupted(py: Python<'_>) -> bool {
    let Err(raised) = py.check_signals() else { return false };
    raise_later(py, &raised);
    true
}

/// Raise an interrupt again, where Python goes on.
fn raise_later(py: Python<'_>, raised: &PyErr) {
    if raised.is_instance_of::<PyKeyboardInterrupt>(py) {
        let again = py.import("_thread").and_then(|module| module.call_method0("interrupt_main"));
        if let Err(error) = again {
            error.write_unraisable(py, None);
        }
    }
}

/// Log the requests that were sent again; an error of the log never hides the outcome of an operation.
pub fn log_retries(py: Python<'_>) {
    #[cfg(feature = "remote")]
    {
        let retries = llem_remote::take_retries();
        if retries.is_empty() {
            return;
        }
        let logged =
            py.import("llenergymeasure._log").and_then(|module| module.call_method1("log", (retries,)));
        if let Err(raised) = logged {
            raise_later(py, &raised);
        }
    }
    #[cfg(not(feature = "remote"))]
    let _ = py;
}
