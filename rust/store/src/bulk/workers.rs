//! The threads of a bulk save: one leads a batch, the others stage results.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Patience;
use super::barrier::{FlushPolicy, barrier};
use super::batch::{Committed, NotStaged, OpenRoot, Staged};
use super::queue::{Next, Queue};
use crate::error::{Error, Result, Step};
use crate::fs::claim::Claim;
use crate::fs::durable::Durability;
use crate::interrupt::Interrupt;
use crate::save::{NewResult, SaveOptions, Saved, while_root_vanishes};
use crate::storage::Storage;

/// The interval at which a waiting caller checks whether to go on.
const LOOK: Duration = Duration::from_millis(50);
/// Outcomes for which a waiting caller is woken while more are in flight.
const WORTH_WAKING: usize = 32;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: PathBuf,
    /// The location, where it is not the directory `path`.
    pub(super) storage: Option<Arc<dyn Storage>>,
    pub(super) durability: Durability,
    pub(super) policy: FlushPolicy,
    pub(super) root: Mutex<Option<Arc<OpenRoot>>>,
    pub(super) cancelled: AtomicBool,
    pub(super) queue: Mutex<Queue>,
    /// Notified when there may be something to stage or to flush.
    pub(super) work: Condvar,
    /// Notified when results are finished.
    pub(super) news: Condvar,
    /// Notified when there may be room for more results.
    pub(super) room: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Wait for room, and check whether the caller has cancelled.
    pub(super) fn wait_for_room<'q>(
        &'q self,
        mut queue: MutexGuard<'q, Queue>,
        interrupt: Interrupt<'_>,
    ) -> Result<MutexGuard<'q, Queue>> {
        queue.waiting_for_room += 1;
        if queue.idle > 0 {
            self.work.notify_one();
        }
        queue = wait(&self.room, queue, Some(LOOK));
        queue.waiting_for_room -= 1;
        drop(queue);
        interrupt.check()?;
        Ok(self.lock())
    }

    /// Stage results and lead batches until the queue ends.
    pub(super) fn serve(&self) {
        drop(self.serve_while(self.lock(), |_| true));
    }

    /// Save a result in the thread of its caller, since no other could be started.
    pub(super) fn serve_here<'q>(
        &'q self,
        mut queue: MutexGuard<'q, Queue>,
        ticket: u64,
    ) -> MutexGuard<'q, Queue> {
        // No flush waits for more results: the caller waits for this one.
        queue.waiting_for_room += 1;
        queue = self.serve_while(queue, |queue| queue.is_unfinished(ticket));
        queue.waiting_for_room -= 1;
        queue
    }

    /// Stage results and lead batches while a condition holds, until the queue ends.
    fn serve_while<'q>(
        &'q self,
        mut queue: MutexGuard<'q, Queue>,
        goes_on: impl Fn(&Queue) -> bool,
    ) -> MutexGuard<'q, Queue> {
        while goes_on(&queue) {
            match queue.next() {
                Next::Stage { ticket, result, first } => {
                    drop(queue);
                    if first {
                        self.check_root();
                    }
                    let done = catch_unwind(AssertUnwindSafe(|| self.stage(ticket, result)));
                    queue = self.lock();
                    queue.staging -= 1;
                    match done {
                        Ok(Stage::Staged(staged)) => queue.stage(*staged),
                        Ok(Stage::Finished(outcome)) => queue.finish(ticket, outcome),
                        Ok(Stage::TakenBack) => {}
                        Err(_) => self.lose(&mut queue, [ticket]),
                    }
                    self.notify(&queue);
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
                        Err(_) => self.lose(&mut queue, tickets),
                    }
                    self.notify(&queue);
                    self.work.notify_all();
                }
                Next::Wait(time) => {
                    queue.idle += 1;
                    queue = wait(&self.work, queue, time);
                    queue.idle -= 1;
                }
                Next::End => {
                    // A caller may keep the writer for its outcomes, which need no open directory.
                    self.close_root();
                    self.work.notify_all();
                    self.news.notify_all();
                    break;
                }
            }
        }
        queue
    }

    pub(super) fn close_root(&self) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Write a result's files; publish them at once where no flush follows.
    fn stage(&self, ticket: u64, mut result: NewResult<'static>) -> Stage {
        if let Some(storage) = &self.storage {
            return Stage::Finished(self.save(&**storage, ticket, result));
        }
        let mut last_try = false;
        loop {
            let claim = |name: &str| self.claim(name);
            match Staged::new(ticket, result, last_try, claim, Interrupt::new(&|_| self.is_cancelled())) {
                Ok(staged) if self.durability == Durability::Durable => {
                    return Stage::Staged(Box::new(staged));
                }
                Ok(staged) => return Stage::Finished(self.publish_one(staged)),
                Err(NotStaged { error, result: None }) => return Stage::Finished(Err(error)),
                Err(NotStaged { result: Some(again), .. }) => {
                    let mut queue = self.lock();
                    if queue.others_in_flight() > 0 {
                        queue.take_back(ticket, *again);
                        return Stage::TakenBack;
                    }
                    (result, last_try) = (*again, true);
                }
            }
        }
    }

    /// Save a result in a location that needs no barrier.
    fn save(&self, storage: &dyn Storage, ticket: u64, result: NewResult<'static>) -> Result<Saved> {
        let mut queue = self.lock();
        if self.is_cancelled() {
            return Err(Error::Interrupted);
        }
        queue.expect_in_place(ticket, self.path.join(&*result.name).join(result.kind.file()));
        drop(queue);
        let options = SaveOptions { durability: self.durability };
        storage.save(result, options, Interrupt::new(&|_| self.is_cancelled()))
    }

    /// Close a root that was moved away, since later results belong where the path leads, and one whose flush
    /// failed, since the next flush of that descriptor would report success.
    fn check_root(&self) {
        let mut open = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        open.take_if(|root| root.is_spent() || !root.is_at(&self.path));
    }

    /// Make a barrier for staged and committed results; publish the former, and acknowledge the latter.
    fn lead(&self, mut staged: Vec<Staged>, mut committed: Vec<Committed>) -> Vec<Committed> {
        if self.is_cancelled() {
            self.undo(std::mem::take(&mut staged));
        }
        barrier(&self.policy, &mut staged, &mut committed);
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
        self.notify(&queue);
        drop(queue);
        self.publish(staged)
    }

    /// Publish staged results, unless the caller has cancelled.
    fn publish(&self, staged: Vec<Staged>) -> Vec<Committed> {
        if !self.expect_in_place(&staged) {
            self.undo(staged);
            return Vec::new();
        }
        let mut in_place = Vec::with_capacity(staged.len());
        for staged in staged {
            let ticket = staged.ticket;
            match staged.publish(self.durability) {
                Ok(committed) => in_place.push(committed),
                Err(error) => self.lock().finish(ticket, Err(error)),
            }
        }
        in_place
    }

    /// Publish one result that no flush follows.
    fn publish_one(&self, staged: Staged) -> Result<Saved> {
        if !self.expect_in_place(std::slice::from_ref(&staged)) {
            return Err(Error::Interrupted);
        }
        staged.publish(self.durability)?.finish().1
    }

    /// Note that results are about to be in place; return false where the caller has cancelled.
    fn expect_in_place(&self, staged: &[Staged]) -> bool {
        let mut queue = self.lock();
        let wanted = !self.is_cancelled();
        if wanted {
            for staged in staged {
                queue.expect_in_place(staged.ticket, staged.result.path());
            }
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

    /// Claim a directory in the open root; open or create the root first where it is not open.
    fn claim(&self, name: &str) -> Result<(Arc<OpenRoot>, Claim)> {
        while_root_vanishes(|| {
            let root = {
                let mut open = self.root.lock().unwrap_or_else(PoisonError::into_inner);
                match &*open {
                    Some(root) => root.clone(),
                    None => open.insert(Arc::new(OpenRoot::open_or_make(&self.path)?)).clone(),
                }
            };
            match root.claim(name, Interrupt::new(&|_| self.is_cancelled())) {
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

    /// Finish results that a panic has cost, so that no caller waits for them.
    fn lose(&self, queue: &mut Queue, tickets: impl IntoIterator<Item = u64>) {
        for ticket in tickets {
            let cause = io::Error::other("an internal error of the store; please report it");
            queue.lose(ticket, Error::io(Step::Flush, &self.path, cause));
        }
    }

    /// Wake the callers that wait for this change; a wake without a waiter is a system call too.
    fn notify(&self, queue: &Queue) {
        let is_worth_waking = || queue.outcomes.len() >= WORTH_WAKING || queue.is_idle();
        if queue.listeners > 0 && !queue.outcomes.is_empty() && is_worth_waking() {
            self.news.notify_all();
        }
        if queue.waiting_for_room > 0 && queue.has_ample_room(0, Patience::UntilFinished) {
            self.room.notify_all();
        }
    }
}

/// The outcome of staging a result.
enum Stage {
    Staged(Box<Staged>),
    Finished(Result<Saved>),
    /// The queue has it again, since there are no descriptors for it now.
    TakenBack,
}

/// Wait for a notification, or for a time.
pub(super) fn wait<'q>(
    notified: &Condvar,
    queue: MutexGuard<'q, Queue>,
    time: Option<Duration>,
) -> MutexGuard<'q, Queue> {
    match time {
        Some(time) => notified.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0,
        None => notified.wait(queue).unwrap_or_else(PoisonError::into_inner),
    }
}
