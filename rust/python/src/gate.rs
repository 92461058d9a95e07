//! The way back into the interpreter, which is shut when the interpreter ends.
//!
//! A thread that comes back then is ended by Python before 3.14, through all that lies on its stack; where that is
//! Rust, the process dies of it. As a rule only daemon threads live that long, and nobody waits for them: those that
//! are outside stay there.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

static SHUT: AtomicBool = AtomicBool::new(false);
/// Threads that have passed the gate, and have not come back to Python yet.
static PASSING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this is the thread that ends the interpreter, which may go in and out to the last.
    static LAST: Cell<bool> = const { Cell::new(false) };
}

/// Release the interpreter for some work that needs none of it.
pub fn detach<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> T) -> T {
    let (outcome, _back) = py.detach(|| {
        let outcome = work();
        (outcome, Passing::begin())
    });
    outcome
}

/// How long a thread waits at the gate for the end of the process. When it is still there, some function that is called
/// at the exit waits for this thread, or for one like it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A thread on its way back.
struct Passing;

impl Passing {
    /// Pass the gate; whoever finds it shut does not return, unless the process goes on.
    fn begin() -> Self {
        PASSING.fetch_add(1, Ordering::SeqCst);
        let passing = Self;
        if SHUT.load(Ordering::SeqCst) && !LAST.get() {
            drop(passing);
            thread::sleep(PATIENCE);
            SHUT.store(false, Ordering::SeqCst);
            return Self::begin();
        }
        passing
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        PASSING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Shut the gate, and let those in who are passing it.
#[pyfunction]
fn shut(py: Python<'_>) {
    LAST.set(true);
    SHUT.store(true, Ordering::SeqCst);
    // They need the interpreter for it. It takes them no time, but for those whom a fork has left behind.
    for _ in 0..1000 {
        if PASSING.load(Ordering::SeqCst) == 0 {
            break;
        }
        py.detach(|| thread::sleep(Duration::from_millis(1)));
    }
}

/// Have the gate shut at the end of the interpreter. What is registered first is called last: most other functions that
/// are called then may still wait for threads that save.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    if module.py().version_info() >= (3, 14) {
        return Ok(());
    }
    let shut = wrap_pyfunction!(shut, module)?;
    module.py().import("atexit")?.call_method1("register", (shut,)).map(drop)
}
