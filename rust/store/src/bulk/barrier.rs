//! A barrier: everything written before it is on the device after it.
//!
//! Two methods make one, with the same guarantee. [`FlushMethod::Fsync`] flushes every file and directory, many at
//! once, which a journal commits together. [`FlushMethod::Syncfs`] flushes the file system in one call: much
//! faster, but it waits for the data of every other program too.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::batch::{Committed, OpenRoot, Staged, bytes_of};
use crate::address_space::affordable;
use crate::error::{At, Step};
use crate::fs::dir::FileSystem;
use crate::save::Flush;

/// The system calls of a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushMethod {
    /// `fsync` of every file, then of every directory, from many threads.
    Fsync,
    /// One `syncfs`.
    Syncfs,
}

/// Flushes in flight at once: a journal commits together what waits for it.
const FLUSHERS: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// The stack of a thread that only flushes.
const FLUSHER_STACK: usize = 128 << 10;
/// Results below which they are flushed one by one: a `syncfs` has a cost of its own.
const FEW: usize = 8;
/// Dirty bytes of other programs above which `syncfs` is not used.
const FOREIGN: u64 = 32 << 20;
/// Dirty bytes of a result besides its content: directory blocks, inodes, the journal's copy of them.
const METADATA: u64 = 32 << 10;

/// The choice of the method for the next barrier.
#[derive(Debug)]
pub(super) struct FlushPolicy {
    wanted: Option<FlushMethod>,
    /// A `syncfs` has failed. It does not report whose error that was, so that it is not used again.
    failed: AtomicBool,
}

impl FlushPolicy {
    pub(super) fn new(wanted: Option<FlushMethod>) -> Self {
        Self { wanted, failed: AtomicBool::new(false) }
    }

    /// Return the file system to flush as a whole, where that is possible and faster.
    fn file_system<'r>(&self, root: &'r OpenRoot, results: usize, own: u64) -> Option<&'r FileSystem> {
        let file_system = root.file_system.as_ref()?;
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let use_syncfs = match self.wanted {
            Some(method) => method == FlushMethod::Syncfs,
            None => results >= FEW && dirty().is_some_and(|bytes| bytes.saturating_sub(own) <= FOREIGN),
        };
        use_syncfs.then_some(file_system)
    }
}

/// Put staged files and committed names on the device; each result keeps the result of its flush.
pub(super) fn barrier(policy: &FlushPolicy, staged: &mut [Staged], committed: &mut [Committed]) {
    let mut roots: Vec<Arc<OpenRoot>> = Vec::new();
    for root in staged.iter().map(|result| &result.root).chain(committed.iter().map(|result| &result.root)) {
        if !roots.iter().any(|known| Arc::ptr_eq(known, root)) {
            roots.push(root.clone());
        }
    }
    let results = staged.len() + committed.len();
    let own = bytes_of(staged).saturating_add((results as u64).saturating_mul(METADATA));
    // A root that was removed and created again may be on another file system.
    let file_system =
        if let [root] = roots.as_slice() { policy.file_system(root, results, own) } else { None };
    let Some(file_system) = file_system else {
        return flush_each(&roots, staged, committed);
    };
    let synced = file_system.sync().at(Step::Flush, || roots[0].path().to_owned());
    if let Err(error) = synced.and_then(|()| roots[0].check_alive()) {
        policy.failed.store(true, Ordering::Relaxed);
        for committed in committed {
            committed.result.mark_unconfirmed(error.copy());
        }
        for staged in staged.iter_mut() {
            staged.rewrite(&error);
        }
        flush_each(&roots, staged, &mut []);
    }
}

/// Flush every file and every directory, many at once, and then the root, once.
fn flush_each(roots: &[Arc<OpenRoot>], staged: &mut [Staged], committed: &mut [Committed]) {
    let files = staged.iter_mut().map(|staged| &mut staged.result as &mut dyn Flush);
    let directories = committed.iter_mut().map(|committed| &mut committed.result as &mut dyn Flush);
    flush_all(files.chain(directories).collect());
    for root in roots {
        let mut named = committed.iter_mut().filter(|result| Arc::ptr_eq(&result.root, root)).peekable();
        if named.peek().is_some()
            && let Err(error) = root.flush()
        {
            named.for_each(|committed| committed.result.mark_unconfirmed(error.copy()));
        }
    }
}

fn flush_all(results: Vec<&mut dyn Flush>) {
    let helpers = affordable(results.len().min(FLUSHERS.get()).saturating_sub(1));
    let results = Mutex::new(results.into_iter());
    let next = || results.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(result) = next() {
            result.flush();
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            // The threads that did start do the work.
            if thread::Builder::new().stack_size(FLUSHER_STACK).spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

/// Return the dirty bytes of the whole machine; `None` where the system does not report them.
fn dirty() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some(field("Dirty:")?.saturating_add(field("Writeback:")?).saturating_mul(1 << 10))
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
    fn flush_all_results_flushes_each_once() {
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
    fn dirty_on_linux_returns_bytes() {
        assert!(dirty().is_some());
    }
}
