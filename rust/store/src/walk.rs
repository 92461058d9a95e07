//! The walk over a tree of results: several threads visit it, and the caller receives their chunks in order.
//!
//! Results may lie at any depth. The order is that of the bytes of names, directory by directory. The walk does not
//! search directories with a `result.json`, except the root. It follows a symbolic link to a record, wherever that is.
//! It counts the links to directories and does not follow them, so that it neither loops nor leaves the tree; or it
//! follows them, and enters each directory once (see [`crate::links`]).
//!
//! A unit of work is a part of the names of one directory. The threads visit a limited number of units ahead of the
//! caller. A thread searches a directory without a result at once if it is small, and splits a large one into units
//! of its own, so that no unit takes long or grows large.

mod crew;
mod found;
mod queue;
mod root;
mod tree;
mod turn;
mod unit;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::address_space;
use crate::error::{At, Error, Result, Step};
use crate::expected::Expected;
use crate::fs::dir::{Dir, Leads};
use crate::interrupt::Interrupt;
use crate::kind::Kind;
use crate::links::{LinkLog, LinkPlan};
use crate::part::Part;
use crate::storage::{Entry, FoundDirectory};
pub(crate) use found::FoundRecord;
pub(crate) use tree::Tree;
pub(crate) use turn::Turn;

use queue::{Progress, Queue, Work, WorkUnit, units_of};
use root::visit_root;
use unit::UnitVisit;

/// Bytes after which a chunk of records should end.
pub(crate) const CHUNK_BYTES: usize = 8 << 20;
/// How many times a record is in memory at once: as bytes, as values, in a batch, as Python's bytes.
const RECORD_COPIES: u64 = 4;
/// Time between two checks of a waiting caller for its interrupt.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The treatment of each result.
pub(crate) trait Visit: Send + Sync + 'static {
    /// The outcome of consecutive results.
    type Chunk: Send;

    /// Begin a chunk.
    fn begin(&self) -> Self::Chunk;

    /// Add a result.
    ///
    /// A visit that takes long checks the interrupt of its turn, and leaves the chunk as it is then.
    fn visit(&self, chunk: &mut Self::Chunk, entry: &dyn Entry, turn: Turn<'_>);

    /// Add a directory without a record, or the root, before the walk searches it.
    fn search(&self, _chunk: &mut Self::Chunk, _root: &Dir, _place: &Path, _interrupt: Interrupt<'_>) {}

    /// Add a directory without a record, or the root, of a location that lists its contents.
    fn meet(&self, _chunk: &mut Self::Chunk, _found: FoundDirectory) {}

    /// Add a symbolic link, relative to the root, that the walk does not follow.
    fn skip(&self, _chunk: &mut Self::Chunk, _link: &Path, _leads: Leads) {}

    /// Add the error of a result or directory that cannot be opened.
    fn fail(&self, chunk: &mut Self::Chunk, error: Error);

    /// Return whether the caller may soon stop: the walk begins with one unit, and doubles the units ahead of the caller.
    fn may_stop(&self) -> bool {
        false
    }

    /// Return whether the next result begins another chunk.
    fn is_full(&self, chunk: &Self::Chunk) -> bool;

    /// End a chunk, which waits for the caller from here on.
    fn end(&self, _chunk: &mut Self::Chunk) {}

    /// Return whether a chunk has nothing to report.
    fn is_empty(&self, chunk: &Self::Chunk) -> bool;
}

struct Shared<V: Visit> {
    visit: Arc<V>,
    root: Dir,
    kind: Kind,
    /// The units are results of an earlier listing: no directory is searched.
    is_part: bool,
    links: Arc<LinkLog>,
    expected: Expected,
    /// Empty until the plan is made, and where links are not followed.
    plan: OnceLock<LinkPlan>,
    is_limited: bool,
    /// There was no address space for a record.
    exhausted: OnceLock<io::Error>,
    /// The caller dropped the tree.
    closed: AtomicBool,
    queue: Mutex<Queue<V::Chunk>>,
    /// Notified when there may be a unit to visit.
    work: Condvar,
    /// Notified when a unit is done.
    done: Condvar,
    /// Locked after the queue.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A walk over a directory; it stops when dropped.
pub(crate) struct Walk<V: Visit> {
    shared: Arc<Shared<V>>,
}

impl<V: Visit> Walk<V> {
    /// Begin to visit the results below a root, and visit the root itself at once; follow symbolic links to
    /// directories, or count them.
    pub fn open(
        root: &Path,
        kind: Kind,
        visit: Arc<V>,
        follow_links: bool,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        let dir = Dir::open(root).at(Step::Scan, || root.to_owned())?;
        let listed = match dir.subdirectories(Path::new(""), interrupt) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(Error::Interrupted),
            listed => listed.at(Step::Scan, || root.to_owned())?,
        };
        let dir = if follow_links { dir.following() } else { dir };
        let mut first = visit.begin();
        visit.search(&mut first, &dir, Path::new(""), interrupt);
        interrupt.check()?;
        let expected = Expected::default();
        expected.add(visit_root(&dir, kind, &*visit, &mut first, interrupt)?);
        let links = Arc::new(LinkLog::default());
        let mut waiting = VecDeque::new();
        if follow_links {
            waiting.push_back(Progress::Waiting(Work::Plan));
        } else {
            for link in listed.links {
                links.add(Path::new(&link.name), link.leads);
                visit.skip(&mut first, Path::new(&link.name), link.leads);
            }
            expected.add(listed.names.len());
            expected.end();
            if !listed.names.is_empty() {
                waiting.push_back(Progress::Waiting(Work::Visit(WorkUnit::new(Path::new(""), listed.names))));
            }
        }
        Ok(Self::start((dir, kind), visit, first, waiting, links, expected, false))
    }

    /// Begin to visit the results of a part, and list nothing.
    pub fn open_part(
        root: &Path,
        part: &Part,
        kind: Kind,
        visit: Arc<V>,
        follow_links: bool,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        let dir = Dir::open(root).at(Step::Scan, || root.to_owned())?;
        let dir = if follow_links { dir.following() } else { dir };
        let mut first = visit.begin();
        let mut places = part.iter().map(|(place, _)| place).peekable();
        if places.next_if(|place| place.as_os_str().is_empty()).is_some() {
            visit_root(&dir, kind, &*visit, &mut first, interrupt)?;
        }
        let waiting = units_of(places).collect();
        let expected = Expected::default();
        expected.add(part.len());
        expected.end();
        Ok(Self::start((dir, kind), visit, first, waiting, Arc::default(), expected, true))
    }

    /// Start the threads that visit units, behind the chunk of the root.
    fn start(
        (root, kind): (Dir, Kind),
        visit: Arc<V>,
        mut first: V::Chunk,
        mut waiting: VecDeque<Progress<V::Chunk>>,
        links: Arc<LinkLog>,
        expected: Expected,
        is_part: bool,
    ) -> Self {
        visit.end(&mut first);
        if !visit.is_empty(&first) {
            waiting.push_front(Progress::Done(first));
        }
        let wanted = if waiting.is_empty() { 0 } else { address_space::affordable(crew::usual()).max(1) };
        let begun = if visit.may_stop() { 1 } else { usize::MAX };
        let queue = Mutex::new(Queue::new(waiting, begun));
        let shared = Arc::new(Shared {
            visit,
            root,
            kind,
            is_part,
            links,
            expected,
            plan: OnceLock::new(),
            is_limited: address_space::is_limited(),
            exhausted: OnceLock::new(),
            closed: AtomicBool::new(false),
            queue,
            work: Condvar::new(),
            done: Condvar::new(),
            threads: Mutex::default(),
        });
        shared.hire(&mut shared.lock(), wanted);
        Self { shared }
    }

    /// Return the root.
    pub fn root(&self) -> &Path {
        self.shared.root.path()
    }

    /// Return the symbolic links that the walk skips; complete at the end of the walk.
    pub fn links(&self) -> &Arc<LinkLog> {
        &self.shared.links
    }

    /// Return the number of results that the walk expects.
    pub fn expected(&self) -> &Expected {
        &self.shared.expected
    }

    /// Return the next chunk; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled, while this waits.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<V::Chunk>> {
        let mut queue = self.shared.lock();
        loop {
            if let Some(error) = self.shared.exhausted.get() {
                let error = io::Error::new(error.kind(), error.to_string());
                return Err(Error::io(Step::Read, self.shared.root.path(), error));
            }
            match queue.units.pop_front() {
                None => return Ok(None),
                Some(Progress::Done(chunk)) => {
                    let begins = queue.widen();
                    self.shared.offer(&queue, begins);
                    return Ok(Some(chunk));
                }
                Some(other) => queue.units.push_front(other),
            }
            if queue.threads == 0 {
                drop(queue);
                self.shared.serve_here(interrupt)?;
            } else {
                drop(self.shared.done.wait_timeout(queue, CHECK_INTERVAL));
                interrupt.check()?;
            }
            queue = self.shared.lock();
        }
    }
}

impl<V: Visit> Drop for Walk<V> {
    fn drop(&mut self) {
        let queue = self.shared.lock();
        // The lock ensures that a waiting thread sees the flag or the notification.
        self.shared.closed.store(true, Ordering::Relaxed);
        drop(queue);
        self.shared.work.notify_all();
        // No thread starts another one any more.
        for thread in std::mem::take(&mut *self.shared.lock_threads()) {
            // A panic was already reported as an error.
            let _ = thread.join();
        }
    }
}

impl<V: Visit> Shared<V> {
    fn lock(&self) -> MutexGuard<'_, Queue<V::Chunk>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Return `true` where the caller waits for a unit.
    fn is_first(&self, id: u64) -> bool {
        matches!(self.lock().units.front(), Some(Progress::Taken(first)) if *first == id)
    }

    /// Visit units until none is left.
    fn serve(self: &Arc<Self>) {
        let mut queue = self.lock();
        loop {
            if self.closed.load(Ordering::Relaxed) || queue.units.is_empty() {
                // Other threads may wait for work.
                self.work.notify_all();
                return;
            }
            let Some((work, id)) = queue.take() else {
                queue.idle += 1;
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
                continue;
            };
            drop(queue);
            let watch = crew::Watch::begin();
            let outcome = self.perform(&work, id, Interrupt::new(&|_| self.closed.load(Ordering::Relaxed)));
            let is_slow = watch.is_slow(work.names());
            queue = self.lock();
            let opens = outcome.iter().any(Progress::is_waiting);
            // A notification is a system call, also where no thread waits.
            if queue.put(id, outcome) {
                self.done.notify_all();
            }
            self.offer(&queue, opens);
            if !self.closed.load(Ordering::Relaxed) && !self.adapt(&mut queue, is_slow) {
                return;
            }
        }
    }

    /// Wake threads that wait for work: one for the unit that came within reach, or all for many units.
    fn offer(&self, queue: &Queue<V::Chunk>, many: bool) {
        match queue.idle {
            0 => {}
            _ if many => self.work.notify_all(),
            _ => self.work.notify_one(),
        }
    }

    /// Visit the next unit in the thread of the caller.
    fn serve_here(&self, interrupt: Interrupt<'_>) -> Result<()> {
        let taken = self.lock().take();
        let Some((work, id)) = taken else { return Ok(()) };
        let is_cancelled = |_| self.closed.load(Ordering::Relaxed) || interrupt.is_cancelled();
        let outcome = self.perform(&work, id, Interrupt::new(&is_cancelled));
        let cancelled = interrupt.check();
        // An interrupted unit has a part of its results: it is queued again, for a caller that goes on.
        let outcome = if cancelled.is_err() { vec![Progress::Waiting(work)] } else { outcome };
        self.lock().put(id, outcome);
        cancelled
    }

    fn perform(&self, work: &Work, id: u64, interrupt: Interrupt<'_>) -> Vec<Progress<V::Chunk>> {
        let visit = || UnitVisit::begin(self, id, interrupt);
        let outcome = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Plan => visit().plan(),
            Work::Visit(unit) => visit().run(unit),
        }));
        outcome.unwrap_or_else(|_| self.panicked(work))
    }

    /// Fail where the address space has no room for the copies of a record; its own read fails for a larger one.
    fn check_room(&self, record: &File) -> io::Result<()> {
        if !self.is_limited {
            return Ok(());
        }
        address_space::check_copies(record.metadata()?.len(), RECORD_COPIES)
    }

    /// Stop the walk: its next chunk is this error.
    fn exhaust(&self, error: io::Error) {
        let _ = self.exhausted.set(error);
        self.closed.store(true, Ordering::Relaxed);
        self.done.notify_all();
    }

    /// Report a panic, which is a bug of this crate or of a library.
    fn panicked(&self, work: &Work) -> Vec<Progress<V::Chunk>> {
        let mut chunk = self.visit.begin();
        let first = match work {
            Work::Plan => PathBuf::new(),
            Work::Visit(unit) => {
                unit.names.front().map_or(unit.place.to_path_buf(), |name| unit.place.join(name))
            }
        };
        let cause = io::Error::other("an internal error stopped the reading from here on; please report it");
        self.visit.fail(&mut chunk, Error::io(Step::Read, self.root.path().join(first), cause));
        vec![Progress::Done(chunk)]
    }
}
