//! What is under way, and what is to be done next.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::batch::{Committed, Staged};
use super::{Job, Options, Patience};
use crate::error::{Error, Result};
use crate::save::{Saved, Sidecar, unconfirmed};

/// Threads: one leads, the others stage.
const THREADS: usize = 3;
/// Results that a leader does not wait beyond.
const BATCH: usize = 128;
/// And their bytes.
const BATCH_BYTES: u64 = 16 << 20;
/// How long a leader waits for another result after the last one.
const LINGER: Duration = Duration::from_micros(150);
/// How long a staged result waits for others, at most.
const HOLD: Duration = Duration::from_millis(20);
/// Descriptors of a result that is staged: its directory and its files.
const DESCRIPTORS: usize = 3;

#[derive(Debug)]
pub(super) struct Queue {
    options: Options,
    /// Results that may be in hand at once: that there are descriptors for, lately and at all.
    most_in_hand: usize,
    most_ever: usize,
    waiting: VecDeque<Waiting>,
    /// Results that threads are staging.
    pub(super) staging: usize,
    staged: Vec<Staged>,
    staged_since: Option<Instant>,
    /// Results that the leader has, where there is one.
    led: Option<usize>,
    pub(super) committed: Vec<Committed>,
    pub(super) outcomes: Vec<(u64, Result<Saved>)>,
    /// Every result that was submitted and is not finished, and their bytes.
    under_way: HashMap<u64, UnderWay>,
    bytes: usize,
    /// The last result that arrived found nothing under way: nobody is known to follow it.
    alone: bool,
    arrived: Option<Instant>,
    pub(super) closed: bool,
    /// Results whose callers have not been told what became of them, where they are told one by one.
    pub(super) unsettled: BTreeSet<u64>,
    /// Callers that wait for room, or for all before them: nothing comes from them meanwhile.
    pub(super) crowd: usize,
    /// Callers that wait to be told what became of results.
    pub(super) listeners: usize,
    /// Results that never came here: that callers are still to note, and whether any were noted since the last
    /// look.
    pub(super) refusing: usize,
    pub(super) refused: bool,
    /// Threads there are, and those that have nothing to do.
    pub(super) threads: usize,
    pub(super) idle: usize,
}

#[derive(Debug)]
pub(super) struct Waiting {
    ticket: u64,
    job: Job,
    /// Nothing was under way when it came.
    first: bool,
}

#[derive(Debug)]
struct UnderWay {
    size: usize,
    /// Where the record is in place, or may be at any moment.
    path: Option<PathBuf>,
}

/// What a thread does next.
pub(super) enum Next {
    Stage {
        ticket: u64,
        job: Job,
        first: bool,
    },
    Lead(Vec<Staged>, Vec<Committed>),
    /// Wait to be told; so long at most.
    Wait(Option<Duration>),
    End,
}

impl Queue {
    pub(super) fn new(options: Options) -> Self {
        let most = (descriptors() / 2 / DESCRIPTORS).max(1);
        Self {
            options,
            most_in_hand: most,
            most_ever: most,
            waiting: VecDeque::new(),
            staging: 0,
            staged: Vec::new(),
            staged_since: None,
            led: None,
            committed: Vec::new(),
            outcomes: Vec::new(),
            under_way: HashMap::new(),
            bytes: 0,
            alone: false,
            arrived: None,
            closed: false,
            unsettled: BTreeSet::new(),
            crowd: 0,
            listeners: 0,
            refusing: 0,
            refused: false,
            threads: 0,
            idle: 0,
        }
    }

    pub(super) fn has_room(&self, size: usize, patience: Patience) -> bool {
        self.fits(size, patience, self.options.results, self.options.bytes)
    }

    /// Whether so much is finished that a caller who found no room should come back.
    pub(super) fn has_ample_room(&self, size: usize, patience: Patience) -> bool {
        let Options { results, bytes, .. } = self.options;
        self.fits(size, patience, results - results / 4, bytes - bytes / 4)
    }

    fn fits(&self, size: usize, patience: Patience, results: usize, bytes: usize) -> bool {
        let pending = match patience {
            Patience::UntilSettled => self.unsettled.len(),
            Patience::UntilFinished => self.under_way.len(),
        };
        pending == 0 || (pending < results && self.bytes.saturating_add(size) <= bytes)
    }

    /// Whether one more result needs another thread: to stage it, or to be left to lead.
    pub(super) fn wants_thread(&self) -> bool {
        let busy = self.staging + usize::from(self.led.is_some());
        self.threads < THREADS && (self.idle <= self.waiting.len() || busy + 1 >= self.threads)
    }

    pub(super) fn push(&mut self, ticket: u64, job: Job) {
        let first = self.under_way.is_empty();
        self.alone = first && !self.options.many;
        self.arrived = Some(Instant::now());
        self.bytes = self.bytes.saturating_add(job.size());
        self.under_way.insert(ticket, UnderWay { size: job.size(), path: None });
        if !self.options.many {
            self.unsettled.insert(ticket);
        }
        self.waiting.push_back(Waiting { ticket, job, first });
    }

    /// Put back a result for which there were no descriptors, until others have given theirs back.
    pub(super) fn take_back(&mut self, ticket: u64, job: Job) {
        self.most_in_hand = self.others_in_hand().max(1);
        self.waiting.push_front(Waiting { ticket, job, first: false });
    }

    /// End a batch; others may have given descriptors back meanwhile.
    pub(super) fn end_batch(&mut self) {
        self.led = None;
        self.most_in_hand = self.most_in_hand.saturating_mul(2).min(self.most_ever);
    }

    pub(super) fn stage(&mut self, staged: Staged) {
        self.staged_since.get_or_insert_with(Instant::now);
        self.staged.push(staged);
    }

    /// Note that staged results are about to be given their names.
    pub(super) fn expect_in_place(&mut self, staged: &[Staged]) {
        for staged in staged {
            if let Some(result) = self.under_way.get_mut(&staged.ticket) {
                result.path = Some(staged.path());
            }
        }
    }

    pub(super) fn finish(&mut self, ticket: u64, outcome: Result<Saved>) {
        if let Some(UnderWay { size, .. }) = self.under_way.remove(&ticket) {
            self.bytes = self.bytes.saturating_sub(size);
            self.outcomes.push((ticket, outcome));
        }
    }

    /// Finish a result of which no more is known than how far it had come.
    pub(super) fn lose(&mut self, ticket: u64, error: Error) {
        let path = self.under_way.get(&ticket).and_then(|result| result.path.clone());
        let path = path.filter(|path| path.exists());
        let error = match path {
            Some(path) => unconfirmed(path, error, Sidecar::None),
            None => error,
        };
        self.finish(ticket, Err(error));
    }

    /// Give up what nobody has begun; whoever drops it does so without the lock, since a stream may want another
    /// lock for that.
    pub(super) fn abandon_waiting(&mut self) -> VecDeque<Waiting> {
        let abandoned = std::mem::take(&mut self.waiting);
        for waiting in &abandoned {
            self.finish(waiting.ticket, Err(Error::Interrupted));
        }
        abandoned
    }

    pub(super) fn in_place(&self) -> Vec<(u64, PathBuf)> {
        let under_way = self.under_way.iter();
        under_way.filter_map(|(ticket, result)| Some((*ticket, result.path.clone()?))).collect()
    }

    /// Whether nothing is left to stage.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.staging == 0
    }

    pub(super) fn is_over(&self) -> bool {
        self.closed && self.under_way.is_empty() && self.refusing == 0
    }

    fn in_hand(&self) -> usize {
        self.staging + self.staged.len() + self.committed.len() + self.led.unwrap_or(0)
    }

    /// Results in hand beside the one that asks.
    pub(super) fn others_in_hand(&self) -> usize {
        self.in_hand() - 1
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
            && let Some(Waiting { ticket, job, first }) = self.waiting.pop_front()
        {
            self.staging += 1;
            return Next::Stage { ticket, job, first };
        }
        if self.is_over() { Next::End } else { Next::Wait(due) }
    }

    /// Whether a thread may stage another result: there are descriptors for it, and a thread is left to lead, since
    /// a result may take as long to stage as its stream likes.
    fn may_stage(&self) -> bool {
        let leaderless = self.led.is_none() && !(self.staged.is_empty() && self.committed.is_empty());
        self.in_hand() < self.most_in_hand
            && !(leaderless && self.threads > 1 && self.staging + 1 >= self.threads)
    }

    /// How long until a barrier should be made, as things are; `None` where there is nothing to make one for, or
    /// one is being made.
    fn until_barrier(&self) -> Option<Duration> {
        if self.led.is_some() || (self.staged.is_empty() && self.committed.is_empty()) {
            return None;
        }
        let bytes = || self.staged.iter().map(Staged::size).sum::<u64>();
        if self.staged.len() >= BATCH || bytes() >= BATCH_BYTES {
            return Some(Duration::ZERO);
        }
        let can_stage = !self.waiting.is_empty() && self.may_stage();
        if can_stage || self.staging > 0 {
            return Some(left(HOLD, self.staged_since.or(self.arrived)));
        }
        if self.alone || self.closed || self.crowd > 0 || !self.waiting.is_empty() {
            return Some(Duration::ZERO);
        }
        Some(left(if self.options.many { HOLD } else { LINGER }, self.arrived))
    }
}

fn left(most: Duration, since: Option<Instant>) -> Duration {
    since.map_or(Duration::ZERO, |since| most.saturating_sub(since.elapsed()))
}

/// Descriptors that the process may have.
#[cfg(unix)]
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn descriptors() -> usize {
    512
}
