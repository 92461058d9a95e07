//! The queue of a bulk save: the results in flight, and the next task of a thread.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::batch::{Committed, Staged, bytes_of};
use super::{BulkOptions, Patience, memory_of};
use crate::address_space::{affordable, part};
use crate::error::{Error, Result};
use crate::save::{NewResult, Saved, Sidecar, unconfirmed};

/// Results for which a leader waits at most.
const BATCH: usize = 128;
/// And their bytes.
const BATCH_BYTES: u64 = 16 << 20;
/// The time that a leader waits for another result after the last one.
const LINGER: Duration = Duration::from_micros(150);
/// The longest time that a staged result waits for others.
const HOLD: Duration = Duration::from_millis(20);
/// Bytes of a limited address space for each byte in flight: a result is in memory several times.
const IN_FLIGHT: u64 = 16;
/// Descriptors of a result that is staged: its directory and its files.
const DESCRIPTORS: usize = 3;

#[derive(Debug)]
pub(super) struct Queue {
    options: BulkOptions,
    /// Results that may be staged at once, by the descriptors that are free now.
    max_in_flight: usize,
    /// The same by the descriptors that the process may have.
    most_in_flight: usize,
    waiting: VecDeque<Waiting>,
    /// Results that threads are staging.
    pub(super) staging: usize,
    staged: Vec<Staged>,
    staged_since: Option<Instant>,
    /// Results that the leader has, if there is one.
    led: Option<usize>,
    pub(super) committed: Vec<Committed>,
    pub(super) outcomes: Vec<(u64, Result<Saved>)>,
    /// Every result that was submitted and is not finished, and their bytes.
    unfinished: HashMap<u64, Unfinished>,
    bytes: usize,
    /// The last result arrived in an idle queue: none is known to follow it.
    is_single: bool,
    arrived: Option<Instant>,
    pub(super) closed: bool,
    /// Results whose outcome was not reported yet, where outcomes are reported one by one.
    pub(super) unsettled: BTreeSet<u64>,
    /// Callers that wait for room, or for all results before them: they submit nothing meanwhile.
    pub(super) waiting_for_room: usize,
    /// Callers that wait for outcomes.
    pub(super) listeners: usize,
    /// Refused results whose errors are still to be noted by their callers.
    pub(super) refusing: usize,
    /// An error of a refused result was noted since the last call of `finished`.
    pub(super) refused: bool,
    /// The most threads that the address space has room for.
    most_threads: usize,
    /// Threads, and those of them that are idle.
    pub(super) threads: usize,
    pub(super) idle: usize,
}

#[derive(Debug)]
pub(super) struct Waiting {
    ticket: u64,
    result: NewResult<'static>,
    /// The queue was idle when it arrived.
    first: bool,
}

#[derive(Debug)]
struct Unfinished {
    size: usize,
    /// The path of the record, once it is or may be in place.
    path: Option<PathBuf>,
}

/// The next task of a thread.
pub(super) enum Next {
    Stage {
        ticket: u64,
        result: NewResult<'static>,
        first: bool,
    },
    Lead(Vec<Staged>, Vec<Committed>),
    /// Wait for a notification, at most for this time.
    Wait(Option<Duration>),
    End,
}

impl Queue {
    pub(super) fn new(mut options: BulkOptions, threads: usize) -> Self {
        options.max_bytes = part(options.max_bytes, IN_FLIGHT);
        let most = (descriptors() / 2 / DESCRIPTORS).max(1);
        Self {
            options,
            max_in_flight: most,
            most_in_flight: most,
            waiting: VecDeque::new(),
            staging: 0,
            staged: Vec::new(),
            staged_since: None,
            led: None,
            committed: Vec::new(),
            outcomes: Vec::new(),
            unfinished: HashMap::new(),
            bytes: 0,
            is_single: false,
            arrived: None,
            closed: false,
            unsettled: BTreeSet::new(),
            waiting_for_room: 0,
            listeners: 0,
            refusing: 0,
            refused: false,
            most_threads: affordable(threads).max(1),
            threads: 0,
            idle: 0,
        }
    }

    pub(super) fn has_room(&self, size: usize, patience: Patience) -> bool {
        self.fits(size, patience, self.options.max_results, self.options.max_bytes)
    }

    /// Return `true` once a quarter of the queue is free, so that a waiting caller wakes once, not per result.
    pub(super) fn has_ample_room(&self, size: usize, patience: Patience) -> bool {
        let BulkOptions { max_results: results, max_bytes: bytes, .. } = self.options;
        self.fits(size, patience, results - results / 4, bytes - bytes / 4)
    }

    fn fits(&self, size: usize, patience: Patience, results: usize, bytes: usize) -> bool {
        let pending = match patience {
            Patience::UntilSettled => self.unsettled.len(),
            Patience::UntilFinished => self.unfinished.len(),
        };
        pending == 0 || (pending < results && self.bytes.saturating_add(size) <= bytes)
    }

    /// Return `true` where one more result needs another thread, to stage it or to lead.
    pub(super) fn wants_thread(&self) -> bool {
        let busy = self.staging + usize::from(self.led.is_some());
        self.threads < self.most_threads && (self.idle <= self.waiting.len() || busy + 1 >= self.threads)
    }

    pub(super) fn push(&mut self, ticket: u64, result: NewResult<'static>) {
        let first = self.unfinished.is_empty();
        self.is_single = first && !self.options.is_batch;
        self.arrived = Some(Instant::now());
        self.bytes = self.bytes.saturating_add(memory_of(&result));
        self.unfinished.insert(ticket, Unfinished { size: memory_of(&result), path: None });
        if !self.options.is_batch {
            self.unsettled.insert(ticket);
        }
        self.waiting.push_back(Waiting { ticket, result, first });
    }

    /// Put back a result for which there were no descriptors, until others have closed theirs.
    pub(super) fn take_back(&mut self, ticket: u64, result: NewResult<'static>) {
        self.max_in_flight = self.others_in_flight().max(1);
        self.waiting.push_front(Waiting { ticket, result, first: false });
    }

    /// End a batch; other results may have closed descriptors meanwhile.
    pub(super) fn end_batch(&mut self) {
        self.led = None;
        self.max_in_flight = self.max_in_flight.saturating_mul(2).min(self.most_in_flight);
    }

    pub(super) fn stage(&mut self, staged: Staged) {
        self.staged_since.get_or_insert_with(Instant::now);
        self.staged.push(staged);
    }

    pub(super) fn is_unfinished(&self, ticket: u64) -> bool {
        self.unfinished.contains_key(&ticket)
    }

    /// Note that the record of a result may be in place from now on.
    pub(super) fn expect_in_place(&mut self, ticket: u64, path: PathBuf) {
        if let Some(result) = self.unfinished.get_mut(&ticket) {
            result.path = Some(path);
        }
    }

    pub(super) fn finish(&mut self, ticket: u64, outcome: Result<Saved>) {
        if let Some(Unfinished { size, .. }) = self.unfinished.remove(&ticket) {
            self.bytes = self.bytes.saturating_sub(size);
            self.outcomes.push((ticket, outcome));
        }
    }

    /// Finish a result that an internal error lost; its record may be in place.
    pub(super) fn lose(&mut self, ticket: u64, error: Error) {
        let path = self.unfinished.get(&ticket).and_then(|result| result.path.clone());
        let path = path.filter(|path| path.exists());
        let error = match path {
            Some(path) => unconfirmed(path, error, Sidecar::None),
            None => error,
        };
        self.finish(ticket, Err(error));
    }

    /// Abandon the results that wait to be staged.
    ///
    /// Drop them without the lock: a stream may take another lock in its destructor.
    pub(super) fn abandon_waiting(&mut self) -> VecDeque<Waiting> {
        let abandoned = std::mem::take(&mut self.waiting);
        for waiting in &abandoned {
            self.finish(waiting.ticket, Err(Error::Interrupted));
        }
        abandoned
    }

    pub(super) fn in_place(&self) -> Vec<(u64, PathBuf)> {
        let unfinished = self.unfinished.iter();
        unfinished.filter_map(|(ticket, result)| Some((*ticket, result.path.clone()?))).collect()
    }

    /// Return `true` where nothing is left to stage.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.staging == 0
    }

    pub(super) fn is_over(&self) -> bool {
        self.closed && self.unfinished.is_empty() && self.refusing == 0
    }

    fn in_flight(&self) -> usize {
        self.staging + self.staged.len() + self.committed.len() + self.led.unwrap_or(0)
    }

    /// Return the results in flight without the one that the calling thread stages.
    pub(super) fn others_in_flight(&self) -> usize {
        self.in_flight() - 1
    }

    pub(super) fn next(&mut self) -> Next {
        let due = self.until_barrier();
        if due == Some(Duration::ZERO) {
            let (staged, committed) = (std::mem::take(&mut self.staged), std::mem::take(&mut self.committed));
            self.staged_since = None;
            self.led = Some(staged.len() + committed.len());
            return Next::Lead(staged, committed);
        }
        if self.may_stage()
            && let Some(Waiting { ticket, result, first }) = self.waiting.pop_front()
        {
            self.staging += 1;
            return Next::Stage { ticket, result, first };
        }
        if self.is_over() { Next::End } else { Next::Wait(due) }
    }

    /// Return `true` where there are descriptors for another result, and a thread is left to lead: a stream may take
    /// any time to stage.
    fn may_stage(&self) -> bool {
        let leaderless = self.led.is_none() && !(self.staged.is_empty() && self.committed.is_empty());
        self.in_flight() < self.max_in_flight
            && !(leaderless && self.threads > 1 && self.staging + 1 >= self.threads)
    }

    /// Return the time until the next barrier; `None` where there is nothing to flush, or a barrier is in progress.
    fn until_barrier(&self) -> Option<Duration> {
        if self.led.is_some() || (self.staged.is_empty() && self.committed.is_empty()) {
            return None;
        }
        if self.staged.len() >= BATCH || bytes_of(&self.staged) >= BATCH_BYTES {
            return Some(Duration::ZERO);
        }
        let can_stage = !self.waiting.is_empty() && self.may_stage();
        if can_stage || self.staging > 0 {
            return Some(remaining(HOLD, self.staged_since.or(self.arrived)));
        }
        if self.is_single || self.closed || self.waiting_for_room > 0 || !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        Some(remaining(if self.options.is_batch { HOLD } else { LINGER }, self.arrived))
    }
}

fn remaining(most: Duration, since: Option<Instant>) -> Duration {
    since.map_or(Duration::ZERO, |since| most.saturating_sub(since.elapsed()))
}

/// Return the number of descriptors that the process may have.
#[cfg(unix)]
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn descriptors() -> usize {
    512
}
