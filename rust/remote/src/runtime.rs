//! One runtime per process: a thread that does all I/O, made at first use.
//!
//! The thread does not exist in a fork, where a runtime that was used before would wait for ever
//! (<https://github.com/developmentseed/obstore/issues/441>): each process makes its own, and leaks the other.

use std::future::Future;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::process;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use llem_store::{Error, Interrupt, Result, Step};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// The time between two questions whether the caller has cancelled.
const LOOK: Duration = Duration::from_millis(50);
/// Attempts to take a lock that a fork may have left held.
const ATTEMPTS: usize = 100;

static RUNTIME: Mutex<Option<(u32, Handle)>> = Mutex::new(None);

/// A flag that a future can wait for: the caller has cancelled.
#[derive(Debug, Clone)]
pub struct Cancelled(watch::Receiver<bool>);

impl Cancelled {
    /// Return `true` once the caller has cancelled.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Wait until the caller cancels.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|is_set| *is_set).await.is_err() {
            // The caller left without cancelling.
            std::future::pending::<()>().await;
        }
    }
}

/// Return the runtime of this process.
///
/// # Errors
///
/// No thread can be started.
pub fn handle() -> Result<Handle> {
    for _ in 0..ATTEMPTS {
        if let Ok(mut known) = RUNTIME.try_lock() {
            if let Some((process, handle)) = &*known
                && *process == process::id()
            {
                return Ok(handle.clone());
            }
            let handle = start()?;
            // A handle to the runtime of the parent: its destructor may wait for a thread that is not here.
            mem::forget(known.replace((process::id(), handle.clone())));
            return Ok(handle);
        }
        thread::sleep(Duration::from_millis(1));
    }
    start()
}

fn start() -> Result<Handle> {
    let failed = |source| Error::Remote {
        step: Step::Claim,
        url: PathBuf::default(),
        status: None,
        request_id: None,
        kind: io::ErrorKind::OutOfMemory,
        reason: format!("the thread for requests cannot be started: {source}"),
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("llem-remote".into()).spawn(serve).map_err(failed)?;
    Ok(handle)
}

/// Run a future on the runtime's thread; drop it once the caller has cancelled.
///
/// # Errors
///
/// That of the future, or [`Error::Interrupted`].
pub fn block_on<T: Send + 'static>(
    future: impl Future<Output = Result<T>> + Send + 'static,
    interrupt: Interrupt<'_>,
) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let task = handle()?.spawn(async move { sender.send(future.await) });
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) if interrupt.is_cancelled() => {
                task.abort();
                return Err(Error::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(lost()),
        }
    }
}

/// Run a future that ends soon after its caller has cancelled, so that its outcome is not lost.
///
/// # Errors
///
/// That of the future.
pub fn block_on_to_the_end<T: Send + 'static, F>(
    make: impl FnOnce(Cancelled) -> F,
    interrupt: Interrupt<'_>,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (cancel, cancelled) = watch::channel(false);
    let future = make(Cancelled(cancelled));
    let (sender, receiver) = mpsc::sync_channel(1);
    let task = handle()?.spawn(async move { sender.send(future.await) });
    // It goes on by itself.
    drop(task);
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) => {
                if !*cancel.borrow() && interrupt.is_cancelled() {
                    let _ = cancel.send(true);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err(lost()),
        }
    }
}

/// Return the error of a future that panicked.
pub fn lost() -> Error {
    Error::Remote {
        step: Step::Read,
        url: PathBuf::default(),
        status: None,
        request_id: None,
        kind: io::ErrorKind::Other,
        reason: "an internal error stopped the request; please report it".into(),
    }
}
