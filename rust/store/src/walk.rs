//! The walk over a tree of results: several threads visit it, and the caller receives their chunks in order.
//!
//! Results may lie at any depth. The order is that of the bytes of names, directory by directory. The walk does not
//! search directories with a `result.json`, except the root. It does not follow symbolic links below the root, so
//! that it neither loops nor leaves the tree.
//!
//! A unit of work is a part of the names of one directory. The threads visit a limited number of units ahead of the
//! caller. A thread searches a directory without a result at once if it is small, and splits a large one into units
//! of its own, so that no unit takes long or grows large.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::RECORD;
use crate::error::{At, Error, Result, Step};
use crate::fs::dir::Dir;
use crate::interrupt::Interrupt;

/// Bytes after which a chunk of records should end.
pub(crate) const CHUNK_BYTES: usize = 8 << 20;
/// Maximum names of a unit.
const UNIT: usize = 64;
/// Names to visit for a unit before further directories below it become units of their own.
const BUDGET: usize = 4 * UNIT;
/// Maximum units for each thread ahead of the caller.
const AHEAD: usize = 6;
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
    fn visit(&self, chunk: &mut Self::Chunk, root: &Dir, place: &Path, record: File);

    /// Add a directory without a record, or the root, before the walk searches it.
    fn search(&self, _chunk: &mut Self::Chunk, _root: &Dir, _place: &Path) {}

    /// Add the error of a result or directory that cannot be opened.
    fn fail(&self, chunk: &mut Self::Chunk, error: Error);

    /// Return whether the next result begins another chunk.
    fn is_full(&self, chunk: &Self::Chunk) -> bool;

    /// Return whether a chunk has nothing to report.
    fn is_empty(&self, chunk: &Self::Chunk) -> bool;
}

/// Names of one directory, relative to the root.
struct WorkUnit {
    place: Arc<Path>,
    names: Vec<OsString>,
}

/// A unit of work, by its progress.
enum Progress<C> {
    Waiting(WorkUnit),
    /// A thread visits it; the number identifies it.
    Taken(u64),
    Done(C),
}

struct Queue<C> {
    units: VecDeque<Progress<C>>,
    taken: u64,
}

struct Shared<V: Visit> {
    visit: Arc<V>,
    root: Dir,
    ahead: usize,
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
    /// Begin to visit the results below a root.
    pub fn open(root: &Path, visit: Arc<V>) -> Result<Self> {
        let dir = Dir::open(root).at(Step::Scan, || root.to_owned())?;
        let names = dir.subdirectories(Path::new("")).at(Step::Scan, || root.to_owned())?;
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let mut first = visit.begin();
        visit.search(&mut first, &dir, Path::new(""));
        match dir.open_file(Path::new(RECORD)) {
            Ok(record) => visit.visit(&mut first, &dir, Path::new(""), record),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => visit.fail(&mut first, Error::io(Step::Read, root.join(RECORD), error)),
        }
        let mut waiting = VecDeque::new();
        if !visit.is_empty(&first) {
            waiting.push_back(Progress::Done(first));
        }
        waiting.extend(units(&Arc::from(Path::new("")), names).map(Progress::Waiting));
        let wanted = if waiting.is_empty() { 0 } else { threads };
        let queue = Mutex::new(Queue { units: waiting, taken: 0 });
        let ahead = threads * AHEAD;
        let shared = Arc::new(Shared {
            visit,
            root: dir,
            ahead,
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
                Err(error) if n == 0 => return Err(Error::io(Step::Start, root, error)),
                Err(_) => break,
            }
        }
        Ok(tree)
    }

    /// Return the next chunk; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled, while this waits.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<V::Chunk>> {
        let mut queue = self.shared.lock();
        loop {
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

    /// Visit units until none is left.
    fn serve(&self) {
        let mut queue = self.lock();
        loop {
            if self.closed.load(Ordering::Relaxed) || queue.units.is_empty() {
                // Other threads may wait for work.
                self.work.notify_all();
                return;
            }
            let Some((unit, id)) = queue.take(self.ahead) else {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            let outcome = catch_unwind(AssertUnwindSafe(|| self.visit_unit(&unit)));
            let outcome = outcome.unwrap_or_else(|_| self.panicked(&unit));
            queue = self.lock();
            queue.put(id, outcome);
            self.done.notify_all();
            self.work.notify_all();
        }
    }

    fn visit_unit(&self, unit: &WorkUnit) -> Vec<Progress<V::Chunk>> {
        let mut visit = UnitVisit { shared: self, outcome: Vec::new(), chunk: self.visit.begin(), names: 0 };
        let mut names = unit.names.iter();
        for name in names.by_ref() {
            visit.enter(unit.place.join(name));
            if self.visit.is_full(&visit.chunk) {
                visit.end_chunk();
            }
            // The caller should receive a chunk before the next begins.
            if !visit.outcome.is_empty() || self.closed.load(Ordering::Relaxed) {
                break;
            }
        }
        visit.end_chunk();
        let rest: Vec<OsString> = names.cloned().collect();
        if !rest.is_empty() {
            visit.outcome.push(Progress::Waiting(WorkUnit { place: unit.place.clone(), names: rest }));
        }
        visit.outcome
    }

    /// Report a panic, which is a bug of this crate or of a library.
    fn panicked(&self, unit: &WorkUnit) -> Vec<Progress<V::Chunk>> {
        let mut chunk = self.visit.begin();
        let first = unit.names.first().map_or_else(|| unit.place.to_path_buf(), |name| unit.place.join(name));
        let cause =
            std::io::Error::other("an internal error stopped the reading from here on; please report it");
        self.visit.fail(&mut chunk, Error::io(Step::Read, self.root.path().join(first), cause));
        vec![Progress::Done(chunk)]
    }
}

impl<C> Queue<C> {
    /// Take the first waiting unit that is not too far ahead of the caller.
    fn take(&mut self, ahead: usize) -> Option<(WorkUnit, u64)> {
        let unit = self.units.iter_mut().take(ahead).find(|unit| matches!(unit, Progress::Waiting(_)))?;
        self.taken += 1;
        match std::mem::replace(unit, Progress::Taken(self.taken)) {
            Progress::Waiting(unit) => Some((unit, self.taken)),
            _ => None,
        }
    }

    /// Replace a unit by its outcome.
    fn put(&mut self, id: u64, outcome: Vec<Progress<C>>) {
        let index = self.units.iter().position(|unit| matches!(unit, Progress::Taken(taken) if *taken == id));
        if let Some(index) = index {
            let after = self.units.split_off(index + 1);
            self.units.pop_back();
            self.units.extend(outcome);
            self.units.extend(after);
        }
    }
}

/// A visit of one unit.
struct UnitVisit<'s, V: Visit> {
    shared: &'s Shared<V>,
    outcome: Vec<Progress<V::Chunk>>,
    chunk: V::Chunk,
    names: usize,
}

impl<V: Visit> UnitVisit<'_, V> {
    /// Visit a directory: a result, or a directory of directories.
    fn enter(&mut self, place: PathBuf) {
        let Shared { visit, root, .. } = self.shared;
        let record = place.join(RECORD);
        self.names += 1;
        match root.open_file(&record) {
            Ok(file) => {
                if visit.is_full(&self.chunk) {
                    self.end_chunk();
                }
                visit.visit(&mut self.chunk, root, &place, file);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.search(place),
            // The entry is not a directory any more.
            Err(error) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) => visit.fail(&mut self.chunk, failed(Step::Read, root, &record, error)),
        }
    }

    fn search(&mut self, place: PathBuf) {
        let Shared { visit, root, .. } = self.shared;
        visit.search(&mut self.chunk, root, &place);
        match root.subdirectories(&place) {
            Ok(names) if names.len() > UNIT || self.names + names.len() > BUDGET => {
                self.end_chunk();
                self.outcome.extend(units(&place.into(), names).map(Progress::Waiting));
            }
            Ok(names) => names.into_iter().for_each(|name| self.enter(place.join(name))),
            // It was removed, or renamed by a clean, after the listing.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => visit.fail(&mut self.chunk, failed(Step::Scan, root, &place, error)),
        }
    }

    fn end_chunk(&mut self) {
        let visit = &self.shared.visit;
        if !visit.is_empty(&self.chunk) {
            let chunk = std::mem::replace(&mut self.chunk, visit.begin());
            self.outcome.push(Progress::Done(chunk));
        }
    }
}

fn units(place: &Arc<Path>, names: Vec<OsString>) -> impl Iterator<Item = WorkUnit> + use<> {
    let mut names = names.into_iter().peekable();
    let place = place.clone();
    std::iter::from_fn(move || {
        names.peek()?;
        Some(WorkUnit { place: place.clone(), names: names.by_ref().take(UNIT).collect() })
    })
}

/// Return the error of a path below the root; a symbolic link is rejected by the walk, not by the system.
pub(crate) fn failed(step: Step, root: &Dir, place: &Path, error: std::io::Error) -> Error {
    let path = root.path().join(place);
    let error = if path.is_symlink() {
        std::io::Error::new(ErrorKind::InvalidInput, "a symbolic link, which is not followed")
    } else {
        error
    };
    Error::io(step, path, error)
}
