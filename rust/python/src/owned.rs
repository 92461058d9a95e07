//! Values that the threads of one process share, such as readers with threads of their own.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::exit::detach;

/// The error of a fork of the process that began to read.
pub const IN_A_FORK: &str =
    "this scan belongs to another process, and its threads do not exist in the fork; scan again here";

/// A value that belongs to the process that made it, and that one thread uses at a time.
pub struct ProcessOwned<T> {
    /// `None` while a thread uses the value, and once it was taken.
    value: Mutex<Option<T>>,
    process: u32,
}

impl<T: Send> ProcessOwned<T> {
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(Some(value)), process: std::process::id() }
    }

    pub fn process(&self) -> u32 {
        self.process
    }

    /// Use the value, which no other thread can do meanwhile.
    pub fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> PyResult<R> {
        self.check_process()?;
        let mut value = detach(py, || self.lock().take());
        let outcome = value.as_mut().map(work).ok_or_else(unavailable);
        if value.is_some() {
            *self.lock() = value;
        }
        outcome
    }

    /// Look at the value, in any process.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> PyResult<R> {
        self.lock().as_ref().map(look).ok_or_else(unavailable)
    }

    /// Take the value for good.
    pub fn take(&self) -> PyResult<T> {
        self.check_process()?;
        self.lock().take().ok_or_else(unavailable)
    }

    fn check_process(&self) -> PyResult<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(IN_A_FORK))
    }
}

impl<T> ProcessOwned<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for ProcessOwned<T> {
    fn drop(&mut self) {
        // A fork has no threads to join, and one of them may hold a lock.
        if self.process != std::process::id()
            && let Ok(mut value) = self.value.try_lock()
        {
            mem::forget(value.take());
        }
    }
}

fn unavailable() -> PyErr {
    PyRuntimeError::new_err("scan already consumed as a stream, or in use by another thread")
}
