//! Many results: the steps of one save, with flushes that many results share (group commit).
//!
//! A few threads stage results: each claims a directory and writes its files under temporary names. One thread at
//! a time leads: it takes the staged results, makes a barrier (everything written is on the device), publishes
//! them, and acknowledges them after the next barrier, when their names are on the device too. Each result lies
//! between two barriers, as it lies between two flushes in a single save. The second barrier of a batch is the
//! first of the next one, and staging goes on meanwhile.
//!
//! Each result is atomic by itself; a batch is not a transaction.

mod barrier;
mod batch;
mod queue;
mod workers;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use barrier::FlushMethod;
use barrier::FlushPolicy;
use queue::Queue;
use workers::{Shared, wait};

use crate::address_space;
use crate::error::{At, Error, Result, Step};
use crate::fs::durable::Durability;
use crate::interrupt::Interrupt;
use crate::save::{NewResult, Saved};
use crate::storage::Storage;

/// Threads in a directory: one leads, the others stage.
const THREADS: usize = 3;
/// Threads in another location: each waits for the answer to a request.
const REQUESTS: usize = 64;
/// The stack of such a thread, which encodes a sidecar, too.
const SAVER_STACK: usize = 1 << 20;
/// A timeout that no caller outlives, and that the clock can represent.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Return the bytes that a result keeps in memory.
fn memory_of(result: &NewResult<'_>) -> usize {
    let sidecar =
        result.sidecar.as_ref().map_or(0, |sidecar| sidecar.record.len().saturating_add(sidecar.memory));
    result.record.len().saturating_add(sidecar)
}

/// The options of a bulk save.
#[derive(Debug, Clone, Copy)]
pub struct BulkOptions {
    /// The policy for flushes.
    pub durability: Durability,
    /// The method of the barriers; `None` for the faster one at the moment.
    pub flush_method: Option<FlushMethod>,
    /// The results in flight above which the caller waits (backpressure).
    pub max_results: usize,
    /// The bytes in flight above which the caller waits; a larger result is saved by itself.
    pub max_bytes: usize,
    /// One caller submits all results and waits for all of them: a barrier may wait 20 ms for another result, and
    /// [`Bulk::settle`] is not called.
    pub is_batch: bool,
}

impl Default for BulkOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Durable,
            flush_method: None,
            max_results: 1024,
            max_bytes: 64 << 20,
            is_batch: true,
        }
    }
}

/// The condition for which a caller waits, where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Enough of the earlier results are finished.
    UntilFinished,
    /// Enough of the earlier results are finished, and their outcomes reported: see [`Bulk::settle`].
    UntilSettled,
}

/// A bulk save in progress, with threads of its own.
///
/// Dropped, it finishes the submitted results without a report.
#[derive(Debug)]
pub struct Bulk {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The outcomes since the last call of [`Bulk::finished`].
#[derive(Debug)]
pub struct Finished {
    /// Tickets, each with its outcome.
    pub outcomes: Vec<(u64, Result<Saved>)>,
    /// No more outcomes follow: the save is closed, and every submitted result is finished.
    pub over: bool,
}

impl Bulk {
    /// Prepare a bulk save in a directory; its first result creates the root and starts the threads.
    #[must_use]
    pub fn new(root: PathBuf, options: BulkOptions) -> Self {
        Self::begin(root, None, options)
    }

    /// Prepare a bulk save in a location that is no directory: each thread saves one result after the other.
    #[must_use]
    pub fn over(storage: Arc<dyn Storage>, options: BulkOptions) -> Self {
        Self::begin(storage.root().to_owned(), Some(storage), options)
    }

    fn begin(root: PathBuf, storage: Option<Arc<dyn Storage>>, options: BulkOptions) -> Self {
        let threads = if storage.is_some() { REQUESTS } else { THREADS };
        let shared = Arc::new(Shared {
            storage,
            policy: FlushPolicy::new(options.flush_method),
            durability: options.durability,
            root: Mutex::new(None),
            cancelled: AtomicBool::new(false),
            queue: Mutex::new(Queue::new(options, threads)),
            work: Condvar::new(),
            news: Condvar::new(),
            room: Condvar::new(),
            path: root,
        });
        Self { shared, threads: Mutex::new(Vec::new()) }
    }

    /// Submit a result under a ticket of the caller; wait while too many are in flight. Return `true` where
    /// [`Bulk::finished`] has outcomes.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled while it waits; [`Error::Closed`]; and where the
    /// address space has no room for the result. The result is then not submitted.
    pub fn submit(
        &self,
        ticket: u64,
        result: NewResult<'static>,
        patience: Patience,
        interrupt: Interrupt<'_>,
    ) -> Result<bool> {
        let size = memory_of(&result);
        let mut queue = self.wait_for_room(size, patience, interrupt)?;
        address_space::check((size as u64).saturating_mul(4)).at(Step::Write, || self.shared.path.clone())?;
        if queue.wants_thread() {
            self.start_thread(&mut queue);
        }
        queue.push(ticket, result);
        if queue.threads == 0 {
            queue = self.shared.serve_here(queue, ticket);
        }
        let (has_idle_thread, has_outcomes) = (queue.idle > 0, !queue.outcomes.is_empty());
        drop(queue);
        if has_idle_thread {
            self.shared.work.notify_one();
        }
        Ok(has_outcomes)
    }

    /// Start a thread if the system allows it; without any, the caller of each result saves it.
    fn start_thread(&self, queue: &mut Queue) {
        let worker = self.shared.clone();
        let mut named = thread::Builder::new().name(format!("llem-bulk-{}", queue.threads));
        if self.shared.storage.is_some() {
            named = named.stack_size(SAVER_STACK);
        }
        if let Ok(thread) = named.spawn(move || worker.serve()) {
            queue.threads += 1;
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
    }

    /// Account for a result that the caller refused: it waits for room, and is settled, like the others. The caller
    /// notes its error, and then calls [`Bulk::refused`].
    ///
    /// # Errors
    ///
    /// As [`Bulk::submit`].
    pub fn refuse(&self, ticket: u64, patience: Patience, interrupt: Interrupt<'_>) -> Result<()> {
        let mut queue = self.wait_for_room(0, patience, interrupt)?;
        queue.unsettled.insert(ticket);
        queue.refusing += 1;
        Ok(())
    }

    /// Wake the caller in [`Bulk::finished`], so that it reports the error of a refused result.
    pub fn refused(&self) {
        let mut queue = self.shared.lock();
        queue.refusing -= 1;
        queue.refused = true;
        self.shared.news.notify_all();
    }

    fn wait_for_room(
        &self,
        size: usize,
        patience: Patience,
        interrupt: Interrupt<'_>,
    ) -> Result<MutexGuard<'_, Queue>> {
        let mut queue = self.shared.lock();
        if !queue.closed && !queue.has_room(size, patience) {
            // Wake once a quarter of the queue is free, not per result.
            while !queue.closed && !queue.has_ample_room(size, patience) {
                queue = self.shared.wait_for_room(queue, interrupt)?;
            }
        }
        if queue.closed { Err(Error::Closed) } else { Ok(queue) }
    }

    /// Return the outcomes since the last call; wait up to `timeout` for some.
    #[must_use]
    pub fn finished(&self, timeout: Duration) -> Finished {
        let mut queue = self.shared.lock();
        let until = Instant::now() + timeout.min(LONG);
        while queue.outcomes.is_empty() && !queue.refused && !queue.is_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue.listeners += 1;
            queue = wait(&self.shared.news, queue, Some(left));
            queue.listeners -= 1;
        }
        queue.refused = false;
        Finished { outcomes: std::mem::take(&mut queue.outcomes), over: queue.is_over() }
    }

    /// Note that the outcomes of results were reported to their callers, which makes room for others.
    pub fn settle(&self, tickets: &[u64]) {
        let mut queue = self.shared.lock();
        for ticket in tickets {
            queue.unsettled.remove(ticket);
        }
        self.shared.room.notify_all();
    }

    /// Wait until every result whose ticket is below `mark` is settled.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled.
    pub fn wait_settled(&self, mark: u64, interrupt: Interrupt<'_>) -> Result<()> {
        let mut queue = self.shared.lock();
        while queue.unsettled.first().is_some_and(|first| *first < mark) {
            queue = self.shared.wait_for_room(queue, interrupt)?;
        }
        Ok(())
    }

    /// Accept no more results; finish the submitted ones.
    pub fn close(&self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        let is_threadless = queue.threads == 0;
        drop(queue);
        if is_threadless {
            self.shared.close_root();
        }
        self.shared.work.notify_all();
        self.shared.news.notify_all();
        self.shared.room.notify_all();
    }

    /// Accept no more results, undo those that are not in place, and flush those that are.
    pub fn cancel(&self) {
        let mut queue = self.shared.lock();
        // Under the lock, so that every result is either undone or known to be in place.
        self.shared.cancelled.store(true, Ordering::Relaxed);
        let abandoned = queue.abandon_waiting();
        drop(queue);
        drop(abandoned);
        self.close();
    }

    /// Return the results that are in place, or may be at any moment, and are not acknowledged yet.
    #[must_use]
    pub fn in_place(&self) -> Vec<(u64, PathBuf)> {
        self.shared.lock().in_place()
    }

    /// Close, and wait for the threads to end.
    pub fn join(&self) {
        self.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The results that a panic cost are among the outcomes.
            let _ = thread.join();
        }
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.close();
    }
}
