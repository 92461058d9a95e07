//! The requests that are sent again, for a log of the caller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use llem_store::Error;

/// Retries that are kept for a caller that does not ask for them.
const MOST: usize = 1000;

static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static IS_NOTED: AtomicBool = AtomicBool::new(false);

/// Note that a request failed, and is sent again after a pause.
pub fn note(error: &Error, pause: Duration) {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.len() < MOST {
        noted.push(format!("{error}; sent again after {} ms", pause.as_millis()));
    }
    IS_NOTED.store(true, Ordering::Release);
}

/// Take the retries of all requests of this process since the last call.
#[must_use]
pub fn take_retries() -> Vec<String> {
    if !IS_NOTED.swap(false, Ordering::Acquire) {
        return Vec::new();
    }
    std::mem::take(&mut *NOTED.lock().unwrap_or_else(PoisonError::into_inner))
}
