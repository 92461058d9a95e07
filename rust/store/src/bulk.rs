//! Many results: the steps of one save, with flushes that many share.
//!
//! A few threads stage results: each claims a directory and writes its files under temporary names. One of them
//! at a time leads: it takes what is staged, makes a barrier (everything written is on the device), gives the
//! staged files their names, and at the next barrier, when those names are on the device too, acknowledges
//! them. So each result lies between two barriers, as in a single save it lies between two flushes; the second
//! barrier of one batch is the first of the next, and staging goes on meanwhile.
//!
//! Each result is atomic alone; a batch is no transaction.

mod barrier;
mod batch;
mod engine;
mod queue;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use barrier::Engine;
use barrier::Gate;
use engine::{Shared, wait};
use queue::Queue;

use crate::error::{Error, Result, Step};
use crate::fs::durable::Durability;
use crate::interrupt::Interrupt;
use crate::save::Saved;
use crate::sidecar::Source;

/// Longer than anybody waits.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// One result to save.
pub struct Job {
    /// The name of the result's directory; `_1`, `_2`, ... are appended where it is taken.
    pub name: String,
    /// What `result.json` is to hold: compact JSON, which is [indented](crate::json::indent) on its way.
    pub record: Vec<u8>,
    /// The sidecar, and the record as it reads beside one.
    pub sidecar: Option<(Source, Vec<u8>)>,
    /// Bytes that the sidecar's source keeps in memory.
    pub weight: usize,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Job {
    fn size(&self) -> usize {
        let records = self.record.len() + self.sidecar.as_ref().map_or(0, |(_, beside)| beside.len());
        records.saturating_add(self.weight)
    }
}

/// How results are saved.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether to wait for the device.
    pub durability: Durability,
    /// Which engine makes the barriers; `None` for whichever is faster at the moment.
    pub engine: Option<Engine>,
    /// Results that may be under way, before another must wait.
    pub results: usize,
    /// And the bytes that they keep in memory. One that is larger goes alone.
    pub bytes: usize,
    /// Whether one caller hands over many and waits for all of them. Then a barrier may wait 20 ms for another
    /// result, and room is made by what is finished; [`Bulk::settle`] is not called.
    pub many: bool,
}

/// How long a caller waits for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until enough of the results before are finished.
    UntilFinished,
    /// Until it has also been told, by [`Bulk::settle`], what became of them.
    UntilSettled,
}

/// Saves results in threads of its own.
///
/// Dropped, it finishes what was submitted and tells nobody.
#[derive(Debug)]
pub struct Bulk {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What became of results since the last look.
#[derive(Debug)]
pub struct Finished {
    /// Tickets, and what became of each.
    pub outcomes: Vec<(u64, Result<Saved>)>,
    /// Whether nothing more will come: the engine is closed, and all that was submitted is accounted for.
    pub over: bool,
}

impl Bulk {
    /// An engine for one output directory, which its first result makes; so does it start the threads.
    #[must_use]
    pub fn new(root: PathBuf, options: Options) -> Self {
        let shared = Arc::new(Shared {
            gate: Gate::new(options.engine),
            durable: options.durability == Durability::Durable,
            root: Mutex::new(None),
            cancelled: AtomicBool::new(false),
            queue: Mutex::new(Queue::new(options)),
            work: Condvar::new(),
            news: Condvar::new(),
            room: Condvar::new(),
            path: root,
        });
        Self { shared, threads: Mutex::new(Vec::new()) }
    }

    /// Hand over a result under a ticket of the caller's; waits while too many are under way. Returns whether
    /// others are finished, for [`Bulk::finished`] to tell.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled while it waits; [`Error::Closed`]; and where not one
    /// thread could be started. The result is then not taken.
    pub fn submit(
        &self,
        ticket: u64,
        job: Job,
        patience: Patience,
        interrupt: Interrupt<'_>,
    ) -> Result<bool> {
        let mut queue = self.wait_for_room(job.size(), patience, interrupt)?;
        if queue.wants_thread() {
            self.start_thread(&mut queue)?;
        }
        queue.push(ticket, job);
        let (has_idle_thread, has_outcomes) = (queue.idle > 0, !queue.outcomes.is_empty());
        drop(queue);
        if has_idle_thread {
            self.shared.work.notify_one();
        }
        Ok(has_outcomes)
    }

    fn start_thread(&self, queue: &mut Queue) -> Result<()> {
        let worker = self.shared.clone();
        let named = thread::Builder::new().name(format!("llem-bulk-{}", queue.threads));
        match named.spawn(move || worker.serve()) {
            Ok(thread) => {
                queue.threads += 1;
                self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
                Ok(())
            }
            Err(error) if queue.threads == 0 => Err(Error::io(Step::Start, &self.shared.path, error)),
            Err(_) => Ok(()),
        }
    }

    /// Account for a result that was refused before it came here: it waits for room, and is to be settled as
    /// others are. The caller notes why, and then calls [`Bulk::refused`].
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

    /// Let whoever waits in [`Bulk::finished`] look why a result was refused.
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
            // Until it pays to come back: not once for each result that is finished.
            while !queue.closed && !queue.has_ample_room(size, patience) {
                queue = self.shared.wait_for_room(queue, interrupt)?;
            }
        }
        if queue.closed { Err(Error::Closed) } else { Ok(queue) }
    }

    /// What became of results since the last call; waits up to `timeout` for some.
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

    /// Note that those who wait for results have been told what became of them, which makes room for others.
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

    /// Take no more; what was submitted is finished.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        self.shared.news.notify_all();
        self.shared.room.notify_all();
    }

    /// Take no more, and undo what is not in place yet; what is in place is still flushed.
    pub fn cancel(&self) {
        let mut queue = self.shared.lock();
        // Under the lock: what is given its name after this is not, or is known to be.
        self.shared.cancelled.store(true, Ordering::Relaxed);
        let abandoned = queue.abandon_waiting();
        drop(queue);
        drop(abandoned);
        self.close();
    }

    /// The results that are in place, or may be at any moment, and are not acknowledged yet.
    #[must_use]
    pub fn in_place(&self) -> Vec<(u64, PathBuf)> {
        self.shared.lock().in_place()
    }

    /// Close, and wait for the threads to end.
    pub fn join(&self) {
        self.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // Nothing to learn: what a panic cost is among the outcomes.
            let _ = thread.join();
        }
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.close();
    }
}
