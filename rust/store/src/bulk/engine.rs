//! The threads of many saves: what they share, and what each does.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::barrier::{Gate, barrier};
use super::batch::{Committed, NotStaged, OpenRoot, Staged};
use super::queue::{Next, Queue};
use super::{Job, Patience};
use crate::error::{Error, Result, Step};
use crate::fs::claim::Claim;
use crate::interrupt::Interrupt;
use crate::save::{Saved, while_root_vanishes};

/// How often somebody who waits looks whether to go on waiting.
const LOOK: Duration = Duration::from_millis(50);
/// Outcomes that a waiting caller is woken for while more are under way.
const WORTH_WAKING: usize = 32;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) durable: bool,
    pub(super) gate: Gate,
    pub(super) root: Mutex<Option<Arc<OpenRoot>>>,
    pub(super) cancelled: AtomicBool,
    pub(super) queue: Mutex<Queue>,
    /// Told when there may be something to stage or to flush.
    pub(super) work: Condvar,
    /// Told when results are finished.
    pub(super) news: Condvar,
    /// Told when more results may come.
    pub(super) room: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Wait for a change that may make room, and look whether to go on waiting.
    pub(super) fn wait_for_room<'q>(
        &'q self,
        mut queue: MutexGuard<'q, Queue>,
        interrupt: Interrupt<'_>,
    ) -> Result<MutexGuard<'q, Queue>> {
        queue.crowd += 1;
        if queue.idle > 0 {
            self.work.notify_one();
        }
        queue = wait(&self.room, queue, Some(LOOK));
        queue.crowd -= 1;
        drop(queue);
        interrupt.check()?;
        Ok(self.lock())
    }

    /// What each thread does.
    pub(super) fn serve(&self) {
        let mut queue = self.lock();
        loop {
            match queue.next() {
                Next::Stage { ticket, job, first } => {
                    drop(queue);
                    if first {
                        self.check_root();
                    }
                    let done = catch_unwind(AssertUnwindSafe(|| self.stage(ticket, job)));
                    queue = self.lock();
                    queue.staging -= 1;
                    match done {
                        Ok(Stage::Staged(staged)) => queue.stage(*staged),
                        Ok(Stage::Finished(outcome)) => queue.finish(ticket, outcome),
                        Ok(Stage::TakenBack) => {}
                        Err(_) => self.disown(&mut queue, [ticket]),
                    }
                    self.tell(&queue);
                }
                Next::Lead(staged, committed) => {
                    drop(queue);
                    let tickets: Vec<u64> = staged
                        .iter()
                        .map(|result| result.ticket)
                        .chain(committed.iter().map(|result| result.ticket))
                        .collect();
                    let done = catch_unwind(AssertUnwindSafe(|| self.lead(staged, committed)));
                    queue = self.lock();
                    queue.end_batch();
                    match done {
                        Ok(committed) => queue.committed = committed,
                        Err(_) => self.disown(&mut queue, tickets),
                    }
                    self.tell(&queue);
                    self.work.notify_all();
                }
                Next::Wait(time) => {
                    queue.idle += 1;
                    queue = wait(&self.work, queue, time);
                    queue.idle -= 1;
                }
                Next::End => {
                    // Whoever keeps the engine for its outcomes keeps no directory open.
                    *self.root.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    self.work.notify_all();
                    self.news.notify_all();
                    return;
                }
            }
        }
    }

    /// Write a result's files; without flushes to wait for, it is in place at once.
    fn stage(&self, ticket: u64, mut job: Job) -> Stage {
        let mut last_try = false;
        loop {
            let claim = |name: &str| self.claim(name);
            match Staged::new(ticket, job, last_try, claim, Interrupt::new(&|_| self.is_cancelled())) {
                Ok(staged) if self.durable => return Stage::Staged(Box::new(staged)),
                Ok(staged) => return Stage::Finished(self.publish_one(staged)),
                Err(NotStaged { error, job: None }) => return Stage::Finished(Err(error)),
                Err(NotStaged { job: Some(again), .. }) => {
                    let mut queue = self.lock();
                    if queue.others_in_hand() > 0 {
                        queue.take_back(ticket, *again);
                        return Stage::TakenBack;
                    }
                    (job, last_try) = (*again, true);
                }
            }
        }
    }

    /// Forget an output directory that was moved away, since what is saved from now on belongs where the path
    /// leads, and one whose flush has failed, since the next flush of that descriptor would not know.
    fn check_root(&self) {
        let mut open = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        open.take_if(|root| root.is_spent() || !root.is_at(&self.path));
    }

    /// Make a barrier for what is staged and what is in place; acknowledge the one, and give the other its names.
    fn lead(&self, mut staged: Vec<Staged>, mut committed: Vec<Committed>) -> Vec<Committed> {
        if self.is_cancelled() {
            self.undo(std::mem::take(&mut staged));
        }
        barrier(&self.gate, &mut staged, &mut committed);
        self.check_root();
        // Descriptors are closed outside the lock.
        let acknowledged: Vec<_> = committed.into_iter().map(Committed::finish).collect();
        let mut queue = self.lock();
        for (ticket, outcome) in acknowledged {
            queue.finish(ticket, outcome);
        }
        if queue.listeners > 0 && !queue.outcomes.is_empty() {
            self.news.notify_all();
        }
        self.tell(&queue);
        drop(queue);
        self.publish(staged)
    }

    /// Give staged files their names, unless that is not wanted any more.
    fn publish(&self, staged: Vec<Staged>) -> Vec<Committed> {
        if !self.expect_in_place(&staged) {
            self.undo(staged);
            return Vec::new();
        }
        let mut in_place = Vec::with_capacity(staged.len());
        for staged in staged {
            match staged.publish(self.durable) {
                (_, Ok(committed)) => in_place.push(committed),
                (ticket, Err(error)) => self.lock().finish(ticket, Err(error)),
            }
        }
        in_place
    }

    /// The same for a result that no flush follows.
    fn publish_one(&self, staged: Staged) -> Result<Saved> {
        if !self.expect_in_place(std::slice::from_ref(&staged)) {
            return Err(Error::Interrupted);
        }
        let (_, committed) = staged.publish(self.durable);
        committed?.finish().1
    }

    /// Note that results are about to be in place; false where that is not wanted any more.
    fn expect_in_place(&self, staged: &[Staged]) -> bool {
        let mut queue = self.lock();
        let wanted = !self.is_cancelled();
        if wanted {
            queue.expect_in_place(staged);
        }
        wanted
    }

    fn undo(&self, staged: Vec<Staged>) {
        for staged in staged {
            let ticket = staged.ticket;
            drop(staged);
            self.lock().finish(ticket, Err(Error::Interrupted));
        }
    }

    /// Claim a directory, in the output directory that is open already or in one that is opened or made now.
    fn claim(&self, name: &str) -> Result<(Arc<OpenRoot>, Claim)> {
        while_root_vanishes(|| {
            let root = {
                let mut open = self.root.lock().unwrap_or_else(PoisonError::into_inner);
                match &*open {
                    Some(root) => root.clone(),
                    None => open.insert(Arc::new(OpenRoot::open_or_make(&self.path)?)).clone(),
                }
            };
            match root.claim(name) {
                Ok(claim) => Ok((root, claim)),
                Err(error) => {
                    if error.is_io(ErrorKind::NotFound) {
                        let mut open = self.root.lock().unwrap_or_else(PoisonError::into_inner);
                        open.take_if(|open| Arc::ptr_eq(open, &root));
                    }
                    Err(error)
                }
            }
        })
    }

    /// Account for results that a panic has cost: none may be waited for in vain.
    fn disown(&self, queue: &mut Queue, tickets: impl IntoIterator<Item = u64>) {
        for ticket in tickets {
            let cause = io::Error::other("the store failed in a way that was not foreseen");
            queue.lose(ticket, Error::io(Step::Flush, &self.path, cause));
        }
    }

    /// Wake whoever waits for what has happened; to wake nobody is a system call, too.
    fn tell(&self, queue: &Queue) {
        let is_worth_waking = || queue.outcomes.len() >= WORTH_WAKING || queue.is_idle();
        if queue.listeners > 0 && !queue.outcomes.is_empty() && is_worth_waking() {
            self.news.notify_all();
        }
        if queue.crowd > 0 && queue.has_ample_room(0, Patience::UntilFinished) {
            self.room.notify_all();
        }
    }
}

/// What came of staging a result.
enum Stage {
    Staged(Box<Staged>),
    Finished(Result<Saved>),
    /// There are no descriptors for it now.
    TakenBack,
}

/// Wait to be told, or for a time.
pub(super) fn wait<'q>(
    told: &Condvar,
    queue: MutexGuard<'q, Queue>,
    time: Option<Duration>,
) -> MutexGuard<'q, Queue> {
    match time {
        Some(time) => told.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0,
        None => told.wait(queue).unwrap_or_else(PoisonError::into_inner),
    }
}
