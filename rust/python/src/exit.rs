//! The guard of the way back into the interpreter, which closes when the interpreter ends.
//!
//! Python before 3.14 ends a thread that returns to a finalised interpreter, through all frames on its stack; the
//! process dies where these are Rust frames. Only daemon threads live that long, as a rule, and no code waits for
//! them: a thread that is outside stays outside.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

static CLOSED: AtomicBool = AtomicBool::new(false);
/// Threads that passed the guard and are not back in Python yet.
static RETURNING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// True in the thread that ends the interpreter, which may always return.
    static LAST: Cell<bool> = const { Cell::new(false) };
}

/// Run work that needs no interpreter without it.
pub fn detach<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> T) -> T {
    let (outcome, _back) = py.detach(|| {
        let outcome = work();
        (outcome, ExitGuard::begin())
    });
    outcome
}

/// The time that a thread waits for the end of the process. Later, an exit function must be waiting for this thread.
const PATIENCE: Duration = Duration::from_secs(5);

/// A thread on its way back into Python.
struct ExitGuard;

impl ExitGuard {
    /// Pass the guard; where it is closed, return only if the process goes on.
    fn begin() -> Self {
        RETURNING.fetch_add(1, Ordering::SeqCst);
        let guard = Self;
        if CLOSED.load(Ordering::SeqCst) && !LAST.get() {
            drop(guard);
            thread::sleep(PATIENCE);
            CLOSED.store(false, Ordering::SeqCst);
            return Self::begin();
        }
        guard
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        RETURNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Close the guard, and wait for the threads that passed it.
#[pyfunction]
fn close(py: Python<'_>) {
    LAST.set(true);
    CLOSED.store(true, Ordering::SeqCst);
    // They need the interpreter for a moment. A fork leaves behind counts of threads that do not exist.
    for _ in 0..1000 {
        if RETURNING.load(Ordering::SeqCst) == 0 {
            break;
        }
        py.detach(|| thread::sleep(Duration::from_millis(1)));
    }
}

/// Close the guard at the end of the interpreter. The first registered function runs last, so that most other exit
/// functions may still wait for threads that save.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    if module.py().version_info() >= (3, 14) {
        return Ok(());
    }
    let close = wrap_pyfunction!(close, module)?;
    module.py().import("atexit")?.call_method1("register", (close,)).map(drop)
}
