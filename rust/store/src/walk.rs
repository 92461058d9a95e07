//! A tree of results, visited by several threads and told in order.
//!
//! Results may lie at any depth. The order is that of the names' bytes, directory by directory. What a directory
//! with a `result.json` holds is its own and not searched; the root alone is searched in any case. Symlinks below
//! the root are not followed, so that there are no loops and no way out.
//!
//! The tree is taken in units of some names of one directory. Threads visit units ahead of the caller, but not
//! far; the caller takes what came of them in order. A directory that turns out to hold no result is searched on
//! the spot where little is found, and becomes units of its own where it is much, so that no unit takes long or
//! grows large.

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

/// Names in a unit.
const UNIT: usize = 64;
/// Names that are visited for a unit, before what else is found below it becomes units of its own.
const BUDGET: usize = 4 * UNIT;
/// Units for each thread that may be visited before the caller takes them.
const AHEAD: usize = 6;
/// Threads, at most: reading from a warm cache, more do not help.
const THREADS: usize = 8;
/// How often a caller who waits looks whether to go on waiting.
const LOOK: Duration = Duration::from_millis(50);

/// What is done with each result.
pub trait Visit: Send + Sync + 'static {
    /// What comes of some results that follow each other.
    type Chunk: Send;

    /// Begin a chunk.
    fn begin(&self) -> Self::Chunk;

    /// Take in a result: its directory, open, and its `result.json`, open.
    fn visit(&self, chunk: &mut Self::Chunk, root: &Dir, place: &Path, record: File);

    /// Take in a directory that has no record and is searched for some; the root in any case. What is in it
    /// follows.
    fn search(&self, _chunk: &mut Self::Chunk, _root: &Dir, _place: &Path) {}

    /// Take in a result, or a directory, that cannot be opened.
    fn fail(&self, chunk: &mut Self::Chunk, error: Error);

    /// Whether the next result should begin another chunk.
    fn is_full(&self, chunk: &Self::Chunk) -> bool;

    /// Whether nothing was taken in.
    fn is_empty(&self, chunk: &Self::Chunk) -> bool;
}

/// Some names of one directory, relative to the root.
struct Unit {
    place: Arc<Path>,
    names: Vec<OsString>,
}

enum Slot<C> {
    Waiting(Unit),
    Taken(u64),
    Visited(C),
}

struct Queue<C> {
    slots: VecDeque<Slot<C>>,
    taken: u64,
}

struct Shared<V: Visit> {
    visit: Arc<V>,
    root: Dir,
    ahead: usize,
    /// The caller has gone.
    closed: AtomicBool,
    queue: Mutex<Queue<V::Chunk>>,
    /// Told when there may be a unit to visit.
    work: Condvar,
    /// Told when a unit was visited.
    news: Condvar,
}

/// A tree that is being visited; dropped, it stops.
pub struct Tree<V: Visit> {
    shared: Arc<Shared<V>>,
    threads: Vec<JoinHandle<()>>,
}

impl<V: Visit> Tree<V> {
    /// Begin to visit the results below a directory.
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
        let mut slots = VecDeque::new();
        if !visit.is_empty(&first) {
            slots.push_back(Slot::Visited(first));
        }
        slots.extend(units(&Arc::from(Path::new("")), names).map(Slot::Waiting));
        let wanted = if slots.is_empty() { 0 } else { threads };
        let queue = Mutex::new(Queue { slots, taken: 0 });
        let ahead = threads * AHEAD;
        let shared = Arc::new(Shared {
            visit,
            root: dir,
            ahead,
            closed: AtomicBool::new(false),
            queue,
            work: Condvar::new(),
            news: Condvar::new(),
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

    /// What came of the next results; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled, while this waits.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<V::Chunk>> {
        let mut queue = self.shared.lock();
        loop {
            match queue.slots.pop_front() {
                None => return Ok(None),
                Some(Slot::Visited(chunk)) => {
                    self.shared.work.notify_one();
                    return Ok(Some(chunk));
                }
                Some(other) => {
                    queue.slots.push_front(other);
                    queue =
                        self.shared.news.wait_timeout(queue, LOOK).unwrap_or_else(PoisonError::into_inner).0;
                    drop(queue);
                    interrupt.check()?;
                    queue = self.shared.lock();
                }
            }
        }
    }
}

impl<V: Visit> Drop for Tree<V> {
    fn drop(&mut self) {
        let queue = self.shared.lock();
        // Under the lock: whoever waits for work has not looked yet, or is told.
        self.shared.closed.store(true, Ordering::Relaxed);
        drop(queue);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A panic has been told of as an error.
            let _ = thread.join();
        }
    }
}

impl<V: Visit> Shared<V> {
    fn lock(&self) -> MutexGuard<'_, Queue<V::Chunk>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each thread does.
    fn serve(&self) {
        let mut queue = self.lock();
        loop {
            if self.closed.load(Ordering::Relaxed) || queue.slots.is_empty() {
                // Whoever else waits for work is not to wait for ever.
                self.work.notify_all();
                return;
            }
            let Some((unit, id)) = queue.take(self.ahead) else {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            let came = catch_unwind(AssertUnwindSafe(|| self.visit_unit(&unit)));
            let came = came.unwrap_or_else(|_| self.lost(&unit));
            queue = self.lock();
            queue.put(id, came);
            self.news.notify_all();
            self.work.notify_all();
        }
    }

    fn visit_unit(&self, unit: &Unit) -> Vec<Slot<V::Chunk>> {
        let mut visited = Visited { shared: self, came: Vec::new(), chunk: self.visit.begin(), names: 0 };
        let mut names = unit.names.iter();
        for name in names.by_ref() {
            visited.enter(unit.place.join(name));
            if self.visit.is_full(&visited.chunk) {
                visited.end_chunk();
            }
            // What came so far is taken before more is read.
            if !visited.came.is_empty() || self.closed.load(Ordering::Relaxed) {
                break;
            }
        }
        visited.end_chunk();
        let rest: Vec<OsString> = names.cloned().collect();
        if !rest.is_empty() {
            visited.came.push(Slot::Waiting(Unit { place: unit.place.clone(), names: rest }));
        }
        visited.end()
    }

    /// Tell that a unit met a mistake of ours, or of a library.
    fn lost(&self, unit: &Unit) -> Vec<Slot<V::Chunk>> {
        let mut chunk = self.visit.begin();
        let first = unit.names.first().map_or_else(|| unit.place.to_path_buf(), |name| unit.place.join(name));
        let cause = std::io::Error::other("reading from here on failed in a way that was not foreseen");
        self.visit.fail(&mut chunk, Error::io(Step::Read, self.root.path().join(first), cause));
        vec![Slot::Visited(chunk)]
    }
}

impl<C> Queue<C> {
    /// The first unit that nobody has, unless that is too far ahead.
    fn take(&mut self, ahead: usize) -> Option<(Unit, u64)> {
        let slot = self.slots.iter_mut().take(ahead).find(|slot| matches!(slot, Slot::Waiting(_)))?;
        self.taken += 1;
        match std::mem::replace(slot, Slot::Taken(self.taken)) {
            Slot::Waiting(unit) => Some((unit, self.taken)),
            _ => None,
        }
    }

    /// Put what came of a unit in its place.
    fn put(&mut self, id: u64, came: Vec<Slot<C>>) {
        let place = self.slots.iter().position(|slot| matches!(slot, Slot::Taken(taken) if *taken == id));
        if let Some(place) = place {
            let after = self.slots.split_off(place + 1);
            self.slots.pop_back();
            self.slots.extend(came);
            self.slots.extend(after);
        }
    }
}

struct Visited<'s, V: Visit> {
    shared: &'s Shared<V>,
    came: Vec<Slot<V::Chunk>>,
    chunk: V::Chunk,
    names: usize,
}

impl<V: Visit> Visited<'_, V> {
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
            // What was thought to be a directory is none.
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
                self.came.extend(units(&place.into(), names).map(Slot::Waiting));
            }
            Ok(names) => names.into_iter().for_each(|name| self.enter(place.join(name))),
            // It was removed, or renamed by whoever cleans, after it was listed.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => visit.fail(&mut self.chunk, failed(Step::Scan, root, &place, error)),
        }
    }

    fn end_chunk(&mut self) {
        let visit = &self.shared.visit;
        if !visit.is_empty(&self.chunk) {
            let chunk = std::mem::replace(&mut self.chunk, visit.begin());
            self.came.push(Slot::Visited(chunk));
        }
    }

    fn end(mut self) -> Vec<Slot<V::Chunk>> {
        self.end_chunk();
        self.came
    }
}

fn units(place: &Arc<Path>, names: Vec<OsString>) -> impl Iterator<Item = Unit> + use<> {
    let mut names = names.into_iter().peekable();
    let place = place.clone();
    std::iter::from_fn(move || {
        names.peek()?;
        Some(Unit { place: place.clone(), names: names.by_ref().take(UNIT).collect() })
    })
}

/// An error of a path below the root. That a symlink is not followed is our choice, not the system's fault.
pub(super) fn failed(step: Step, root: &Dir, place: &Path, error: std::io::Error) -> Error {
    let path = root.path().join(place);
    let error = if path.is_symlink() {
        std::io::Error::new(ErrorKind::InvalidInput, "a symbolic link, which is not followed")
    } else {
        error
    };
    Error::io(step, path, error)
}
