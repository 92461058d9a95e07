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

mod queue;
mod turn;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::RECORD;
use crate::address_space::{self, affordable, part};
use crate::error::{At, Error, Result, Step};
use crate::fs::dir::{Dir, Leads, Subdirectories, is_link};
use crate::interrupt::Interrupt;
use crate::links::{LinkLog, LinkPlan};
pub(crate) use turn::Turn;

use queue::{Progress, Queue, UNIT, Work, WorkUnit, units};

/// Bytes after which a chunk of records should end.
pub(crate) const CHUNK_BYTES: usize = 8 << 20;
/// Names to visit for a unit before further directories below it become units of their own.
const BUDGET: usize = 4 * UNIT;
/// Maximum units for each thread ahead of the caller.
const AHEAD: usize = 6;
/// Bytes of a limited address space for each unit ahead.
const AHEAD_BYTES: u64 = 4 * CHUNK_BYTES as u64;
/// How many times a record is in memory at once: as bytes, as values, in a batch, as Python's bytes.
const RECORD_COPIES: u64 = 4;
/// Maximum threads: more do not help to read from a warm cache.
const THREADS: usize = 8;
/// Time between two checks of a waiting caller for its interrupt.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The treatment of each result.
pub(crate) trait Visit: Send + Sync + 'static {
    /// The outcome of consecutive results.
    type Chunk: Send;

    /// Begin a chunk.
    fn begin(&self) -> Self::Chunk;

    /// Add a result: the open root, the directory relative to it, and the open `result.json`.
    ///
    /// A visit that takes long checks the interrupt of its turn, and leaves the chunk as it is then.
    fn visit(&self, chunk: &mut Self::Chunk, root: &Dir, place: &Path, record: File, turn: Turn<'_>);

    /// Add a directory without a record, or the root, before the walk searches it.
    fn search(&self, _chunk: &mut Self::Chunk, _root: &Dir, _place: &Path, _interrupt: Interrupt<'_>) {}

    /// Add a symbolic link, relative to the root, that the walk does not follow.
    fn skip(&self, _chunk: &mut Self::Chunk, _link: &Path, _leads: Leads) {}

    /// Add the error of a result or directory that cannot be opened.
    fn fail(&self, chunk: &mut Self::Chunk, error: Error);

    /// Return whether the next result begins another chunk.
    fn is_full(&self, chunk: &Self::Chunk) -> bool;

    /// Return whether a chunk has nothing to report.
    fn is_empty(&self, chunk: &Self::Chunk) -> bool;
}

struct Shared<V: Visit> {
    visit: Arc<V>,
    root: Dir,
    links: Arc<LinkLog>,
    /// Empty until the plan is made, and where links are not followed.
    plan: OnceLock<LinkPlan>,
    ahead: usize,
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
}

/// A walk over a tree; it stops when dropped.
pub(crate) struct Tree<V: Visit> {
    shared: Arc<Shared<V>>,
    threads: Vec<JoinHandle<()>>,
}

impl<V: Visit> Tree<V> {
    /// Begin to visit the results below a root, and visit the root itself at once; follow symbolic links to
    /// directories, or count them.
    pub fn open(root: &Path, visit: Arc<V>, follow_links: bool, interrupt: Interrupt<'_>) -> Result<Self> {
        let dir = Dir::open(root).at(Step::Scan, || root.to_owned())?;
        let listed = match dir.subdirectories(Path::new(""), interrupt) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(Error::Interrupted),
            listed => listed.at(Step::Scan, || root.to_owned())?,
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let dir = if follow_links { dir.following() } else { dir };
        let mut first = visit.begin();
        visit.search(&mut first, &dir, Path::new(""), interrupt);
        interrupt.check()?;
        match dir.open_file(Path::new(RECORD)) {
            Ok(Some(record)) => {
                visit.visit(&mut first, &dir, Path::new(""), record, Turn::only(interrupt));
                interrupt.check()?;
            }
            Ok(None) => {}
            Err(error) => visit.fail(&mut first, Error::io(Step::Read, root.join(RECORD), error)),
        }
        let links = Arc::new(LinkLog::default());
        let mut waiting = VecDeque::new();
        if follow_links {
            waiting.push_back(Progress::Waiting(Work::Plan));
        } else {
            for link in listed.links {
                links.add(Path::new(&link.name), link.leads);
                visit.skip(&mut first, Path::new(&link.name), link.leads);
            }
            waiting.extend(units(&Arc::from(Path::new("")), listed.names));
        }
        if !visit.is_empty(&first) {
            waiting.push_front(Progress::Done(first));
        }
        let wanted = if waiting.is_empty() { 0 } else { affordable(threads).max(1) };
        let queue = Mutex::new(Queue { units: waiting, taken: 0 });
        let ahead = part(threads * AHEAD, AHEAD_BYTES);
        let shared = Arc::new(Shared {
            visit,
            root: dir,
            links,
            plan: OnceLock::new(),
            ahead,
            is_limited: address_space::is_limited(),
            exhausted: OnceLock::new(),
            closed: AtomicBool::new(false),
            queue,
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let mut tree = Self { shared, threads: Vec::new() };
        for n in 0..wanted {
            let worker = tree.shared.clone();
            match thread::Builder::new().name(format!("llem-scan-{n}")).spawn(move || worker.serve()) {
                Ok(thread) => tree.threads.push(thread),
                Err(error) if n == 0 => return Err(Error::io(Step::StartReading, root, error)),
                Err(_) => break,
            }
        }
        Ok(tree)
    }

    /// Return the root.
    pub fn root(&self) -> &Path {
        self.shared.root.path()
    }

    /// Return the symbolic links that the walk skips; complete at the end of the walk.
    pub fn links(&self) -> &Arc<LinkLog> {
        &self.shared.links
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
                    self.shared.work.notify_one();
                    return Ok(Some(chunk));
                }
                Some(other) => queue.units.push_front(other),
            }
            drop(self.shared.done.wait_timeout(queue, CHECK_INTERVAL));
            interrupt.check()?;
            queue = self.shared.lock();
        }
    }
}

impl<V: Visit> Drop for Tree<V> {
    fn drop(&mut self) {
        let queue = self.shared.lock();
        // The lock ensures that a waiting thread sees the flag or the notification.
        self.shared.closed.store(true, Ordering::Relaxed);
        drop(queue);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was already reported as an error.
            let _ = thread.join();
        }
    }
}

impl<V: Visit> Shared<V> {
    fn lock(&self) -> MutexGuard<'_, Queue<V::Chunk>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Return `true` where the caller waits for a unit.
    fn is_first(&self, id: u64) -> bool {
        matches!(self.lock().units.front(), Some(Progress::Taken(first)) if *first == id)
    }

    /// Visit units until none is left.
    fn serve(&self) {
        let mut queue = self.lock();
        loop {
            if self.closed.load(Ordering::Relaxed) || queue.units.is_empty() {
                // Other threads may wait for work.
                self.work.notify_all();
                return;
            }
            let Some((work, id)) = queue.take(self.ahead) else {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            let outcome = catch_unwind(AssertUnwindSafe(|| match &work {
                Work::Plan => self.make_plan(),
                Work::Visit(unit) => self.visit_unit(unit, id),
            }));
            let outcome = outcome.unwrap_or_else(|_| self.panicked(&work));
            queue = self.lock();
            queue.put(id, outcome);
            self.done.notify_all();
            self.work.notify_all();
        }
    }

    /// Plan which links to follow, and return the units of the root.
    fn make_plan(&self) -> Vec<Progress<V::Chunk>> {
        let plan = LinkPlan::new(&self.root, &|| self.closed.load(Ordering::Relaxed));
        // Only one thread takes this work.
        let _ = self.plan.set(plan);
        let mut visit = self.begin_unit(0);
        visit.list(Path::new("").to_owned(), true);
        visit.end_chunk();
        visit.outcome
    }

    fn begin_unit(&self, id: u64) -> UnitVisit<'_, V> {
        UnitVisit { shared: self, id, outcome: Vec::new(), chunk: self.visit.begin(), names: 0 }
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

    fn visit_unit(&self, unit: &WorkUnit, id: u64) -> Vec<Progress<V::Chunk>> {
        let mut visit = self.begin_unit(id);
        visit.enter_all(&unit.place, &unit.names);
        visit.end_chunk();
        visit.outcome
    }

    /// Report a panic, which is a bug of this crate or of a library.
    fn panicked(&self, work: &Work) -> Vec<Progress<V::Chunk>> {
        let mut chunk = self.visit.begin();
        let first = match work {
            Work::Plan => PathBuf::new(),
            Work::Visit(unit) => {
                unit.names.first().map_or(unit.place.to_path_buf(), |name| unit.place.join(name))
            }
        };
        let cause = io::Error::other("an internal error stopped the reading from here on; please report it");
        self.visit.fail(&mut chunk, Error::io(Step::Read, self.root.path().join(first), cause));
        vec![Progress::Done(chunk)]
    }
}

/// A visit of one unit.
struct UnitVisit<'s, V: Visit> {
    shared: &'s Shared<V>,
    id: u64,
    outcome: Vec<Progress<V::Chunk>>,
    chunk: V::Chunk,
    names: usize,
}

impl<V: Visit> UnitVisit<'_, V> {
    /// Visit directories of one directory, up to the first chunk that is full; the others become units.
    ///
    /// The caller should receive a chunk before the next begins: a visit may wait for the memory of the first.
    fn enter_all(&mut self, place: &Path, names: &[OsString]) {
        let Shared { visit, closed, .. } = self.shared;
        for (index, name) in names.iter().enumerate() {
            self.enter(place.join(name));
            if visit.is_full(&self.chunk) {
                self.end_chunk();
            }
            if !self.outcome.is_empty() || closed.load(Ordering::Relaxed) {
                self.postpone(place, names[index + 1..].to_vec());
                break;
            }
        }
    }

    /// Make units of directories that are not visited yet.
    fn postpone(&mut self, place: &Path, names: Vec<OsString>) {
        self.end_chunk();
        self.outcome.extend(units(&place.into(), names));
    }

    /// Visit a directory: a result, or a directory of directories.
    fn enter(&mut self, place: PathBuf) {
        let Shared { visit, root, .. } = self.shared;
        let record = place.join(RECORD);
        self.names += 1;
        match root.open_file(&record) {
            Ok(Some(file)) => {
                if let Err(error) = self.shared.check_room(&file) {
                    return self.shared.exhaust(error);
                }
                let closed = |_| self.shared.closed.load(Ordering::Relaxed);
                let is_first = || self.shared.is_first(self.id);
                let turn = Turn::new(Interrupt::new(&closed), &is_first);
                visit.visit(&mut self.chunk, root, &place, file, turn);
            }
            Ok(None) => {
                let closed = |_| self.shared.closed.load(Ordering::Relaxed);
                visit.search(&mut self.chunk, root, &place, Interrupt::new(&closed));
                self.list(place, false);
            }
            // The entry is not a directory any more.
            Err(error) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) if is_link(&error) && is_replaced(root, &place) => self.skip(&place, Leads::Directory),
            Err(error) => visit.fail(&mut self.chunk, Error::io(Step::Read, root.path().join(record), error)),
        }
    }

    /// Visit the directories in a directory, or make units of them where they are many.
    fn list(&mut self, place: PathBuf, is_root: bool) {
        let Shared { visit, root, .. } = self.shared;
        let closed = |_| self.shared.closed.load(Ordering::Relaxed);
        let listed = root.subdirectories(&place, Interrupt::new(&closed));
        match listed.map(|listed| self.select(&place, listed)) {
            Ok(names) if is_root || names.len() > UNIT || self.names + names.len() > BUDGET => {
                self.postpone(&place, names);
            }
            Ok(names) => self.enter_all(&place, &names),
            // It was removed, or renamed by a clean, after the listing; or the caller has left.
            Err(error) if is_gone(&error) || error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_link(&error) => self.skip(&place, Leads::Directory),
            Err(error) => visit.fail(&mut self.chunk, Error::io(Step::Scan, root.path().join(place), error)),
        }
    }

    /// Return the names of a directory that the walk enters, in order; note the links that it skips.
    fn select(&mut self, place: &Path, listed: Subdirectories) -> Vec<OsString> {
        let Subdirectories { mut names, links } = listed;
        let plan = self.shared.plan.get();
        if let Some(plan) = plan {
            names.retain(|name| plan.enters(&place.join(name)));
        }
        for link in links {
            let below = place.join(&link.name);
            match plan {
                Some(plan) if plan.follows(&below) => names.push(link.name),
                // Another path leads there.
                Some(_) if link.leads == Leads::Directory => {}
                _ => self.skip(&below, link.leads),
            }
        }
        if plan.is_some() {
            names.sort_unstable();
        }
        names
    }

    fn skip(&mut self, link: &Path, leads: Leads) {
        self.shared.links.add(link, leads);
        self.shared.visit.skip(&mut self.chunk, link, leads);
    }

    fn end_chunk(&mut self) {
        let visit = &self.shared.visit;
        if !visit.is_empty(&self.chunk) {
            let chunk = std::mem::replace(&mut self.chunk, visit.begin());
            self.outcome.push(Progress::Done(chunk));
        }
    }
}

/// Return `true` where a directory became a symbolic link after the listing.
fn is_replaced(root: &Dir, place: &Path) -> bool {
    root.open_dir_below(place).is_err_and(|error| is_link(&error))
}

/// Return `true` where no directory has the name any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
