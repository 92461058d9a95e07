//! A barrier: all that was written before it is on the device after it.
//!
//! Two engines make one, and promise the same. [`Engine::Fsync`] flushes every file and directory, many at once,
//! which a journal commits together. [`Engine::Syncfs`] flushes the file system in one call: faster by far, but
//! everybody's data with it, so that it waits for whatever others have written.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::batch::{Committed, OpenRoot, Staged};
use crate::error::{At, Step};
use crate::fs::dir::FileSystem;

/// How a barrier is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `fsync` of every file, then of every directory, from many threads.
    Fsync,
    /// One `syncfs`.
    Syncfs,
}

/// Flushes in flight at once: a journal takes in what waits while it commits.
const FLUSHERS: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Fewer results than this are flushed one by one: a `syncfs` has a price of its own.
const FEW: usize = 8;
/// Bytes that others may have waiting for the device before a `syncfs` is out of the question.
const FOREIGN: u64 = 32 << 20;
/// What a result leaves dirty beside its bytes: directory blocks, inodes, the journal's copy of them.
const METADATA: u64 = 32 << 10;

/// What can be flushed on its own, and remembers how that went.
pub(super) trait Flush: Send {
    fn flush(&mut self);
}

/// Which engine makes the next barrier.
#[derive(Debug)]
pub(super) struct Gate {
    wanted: Option<Engine>,
    /// A `syncfs` has failed: whose error it was it does not say, so that it is not asked again.
    failed: AtomicBool,
}

impl Gate {
    pub(super) fn new(wanted: Option<Engine>) -> Self {
        Self { wanted, failed: AtomicBool::new(false) }
    }

    /// The file system to flush as a whole, where that is possible and pays.
    fn open<'r>(&self, root: &'r OpenRoot, results: usize, own: u64) -> Option<&'r FileSystem> {
        let file_system = root.file_system.as_ref()?;
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let open = match self.wanted {
            Some(engine) => engine == Engine::Syncfs,
            None => results >= FEW && dirty().is_some_and(|bytes| bytes.saturating_sub(own) <= FOREIGN),
        };
        open.then_some(file_system)
    }
}

/// Put staged files and committed names on the device; each result remembers what failed of it.
pub(super) fn barrier(gate: &Gate, staged: &mut [Staged], committed: &mut [Committed]) {
    let mut roots: Vec<Arc<OpenRoot>> = Vec::new();
    for root in staged.iter().map(|result| &result.root).chain(committed.iter().map(|result| &result.root)) {
        if !roots.iter().any(|known| Arc::ptr_eq(known, root)) {
            roots.push(root.clone());
        }
    }
    let results = staged.len() + committed.len();
    let own = staged.iter().map(Staged::size).sum::<u64>() + results as u64 * METADATA;
    // An output directory that was removed and made again may be on another file system.
    let file_system = if let [root] = roots.as_slice() { gate.open(root, results, own) } else { None };
    let Some(file_system) = file_system else {
        return flush_each(&roots, staged, committed);
    };
    let synced = file_system.sync().at(Step::Flush, || roots[0].path().to_owned());
    if let Err(error) = synced.and_then(|()| roots[0].check_alive()) {
        gate.failed.store(true, Ordering::Relaxed);
        for result in committed {
            result.doubt(&error);
        }
        for result in staged.iter_mut() {
            result.rewrite(&error);
        }
        flush_each(&roots, staged, &mut []);
    }
}

/// Flush every file and every directory, many at once, and then the output directory, once.
fn flush_each(roots: &[Arc<OpenRoot>], staged: &mut [Staged], committed: &mut [Committed]) {
    let files = staged.iter_mut().map(|result| result as &mut dyn Flush);
    let directories = committed.iter_mut().map(|result| result as &mut dyn Flush);
    flush_all(files.chain(directories).collect());
    for root in roots {
        let mut named = committed.iter_mut().filter(|result| Arc::ptr_eq(&result.root, root)).peekable();
        if named.peek().is_some()
            && let Err(error) = root.flush()
        {
            named.for_each(|result| result.doubt(&error));
        }
    }
}

fn flush_all(results: Vec<&mut dyn Flush>) {
    let helpers = results.len().min(FLUSHERS.get()).saturating_sub(1);
    let results = Mutex::new(results.into_iter());
    let next = || results.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(result) = next() {
            result.flush();
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            // Where there are no more threads to be had, those that there are do it.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

/// Bytes of the whole machine that wait for a device; `None` where the system does not tell.
fn dirty() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((field("Dirty:")? + field("Writeback:")?) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    struct Counted<'a>(&'a AtomicUsize, bool);

    impl Flush for Counted<'_> {
        fn flush(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            self.1 = true;
        }
    }

    #[test]
    fn everything_is_flushed_exactly_once() {
        for count in [0, 1, 2, 63, 64, 65, 500] {
            let flushes = AtomicUsize::new(0);
            let mut results: Vec<_> = (0..count).map(|_| Counted(&flushes, false)).collect();
            flush_all(results.iter_mut().map(|result| result as &mut dyn Flush).collect());
            assert!(results.iter().all(|result| result.1));
            assert_eq!(flushes.load(Ordering::Relaxed), count);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_tells_what_is_dirty() {
        assert!(dirty().is_some());
    }
}
