//! The number of threads of a walk: as many as there are processors, and more while they wait for the disk.
//!
//! A cold cache or a network file system answers a call after a millisecond, so that a thread sleeps most of its time.
//! A walk that notices this takes smaller units and doubles its threads; they leave once the disk answers at once.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::queue::{Queue, UNIT};
use super::{Shared, Visit};
use crate::address_space::{affordable, part};

/// Maximum threads on a disk that answers at once: more do not help to read from a warm cache.
const FAST: usize = 8;
/// Maximum threads on a slow disk: so many calls are in flight.
const SLOW: usize = 32;
/// Maximum names of a unit while the disk is slow or not known yet, so that all threads have one.
pub(super) const SLOW_UNIT: usize = 8;
/// Maximum units for each thread ahead of the caller.
const AHEAD: usize = 6;
/// Bytes of a limited address space for each unit ahead.
const AHEAD_BYTES: u64 = 4 * super::CHUNK_BYTES as u64;

/// Return the threads to begin with.
pub(super) fn usual() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(FAST)
}

/// Return how many units threads may visit ahead of the caller.
pub(super) fn ahead(threads: usize) -> usize {
    part(threads.max(1) * AHEAD, AHEAD_BYTES)
}

/// The clock of one unit: did its thread sleep?
pub(super) struct Watch {
    began: Instant,
    used: Option<Used>,
}

/// The resources that a thread has used.
struct Used {
    processor: Duration,
    /// How often the thread waited, for the disk or for another thread.
    waits: u64,
}

impl Watch {
    pub fn begin() -> Self {
        Self { began: Instant::now(), used: Used::now() }
    }

    /// Return `true` where the thread slept for most of the unit, at least every second name.
    ///
    /// A thread that waits for a processor does not sleep.
    pub fn is_slow(&self, names: usize) -> bool {
        let (Some(before), Some(after)) = (&self.used, Used::now()) else { return false };
        let waits = after.waits.saturating_sub(before.waits);
        let processor = after.processor.saturating_sub(before.processor);
        waits >= (names as u64 / 2).max(1) && self.began.elapsed() > 3 * processor
    }
}

impl Used {
    #[cfg(target_os = "linux")]
    fn now() -> Option<Self> {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Some(Self {
            processor: Duration::from_micros(micros.try_into().ok()?),
            waits: usage.voluntary_context_switches().try_into().ok()?,
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn now() -> Option<Self> {
        None
    }
}

impl<V: Visit> Shared<V> {
    /// Start threads, as far as the system allows; the queue is locked.
    pub(super) fn hire(self: &Arc<Self>, queue: &mut Queue<V::Chunk>, wanted: usize) {
        // A thread that has left keeps its stack until its handle is gone.
        self.lock_threads().retain(|thread| !thread.is_finished());
        for _ in 0..wanted {
            let worker = self.clone();
            let name = format!("llem-scan-{}", queue.threads);
            // The threads that started do the work, or the caller where none did.
            let Ok(thread) = thread::Builder::new().name(name).spawn(move || worker.serve()) else { break };
            self.lock_threads().push(thread);
            queue.threads += 1;
        }
        queue.ahead = ahead(queue.threads);
    }

    /// Adapt to the disk after a unit; return `false` where its thread is not needed any more.
    pub(super) fn adapt(self: &Arc<Self>, queue: &mut Queue<V::Chunk>, is_slow: bool) -> bool {
        queue.unit = if is_slow { SLOW_UNIT } else { UNIT };
        if is_slow && queue.threads < SLOW && queue.has_work() {
            self.hire(queue, affordable(queue.threads.min(SLOW - queue.threads)));
        } else if !is_slow && queue.threads > usual() {
            queue.threads -= 1;
            queue.ahead = ahead(queue.threads);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RECORD;
    use crate::error::Error;
    use crate::interrupt::Interrupt;
    use crate::storage::Entry;
    use crate::walk::{Turn, Walk};
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A visit that sleeps as on a slow disk, and counts the visits at once.
    #[derive(Default)]
    struct Sleeper {
        now: AtomicUsize,
        most: AtomicUsize,
        sleeps: bool,
    }

    impl Visit for Sleeper {
        type Chunk = Vec<PathBuf>;

        fn begin(&self) -> Self::Chunk {
            Vec::new()
        }

        fn visit(&self, chunk: &mut Self::Chunk, entry: &dyn Entry, _: Turn<'_>) {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            if self.sleeps {
                thread::sleep(Duration::from_millis(2));
            }
            chunk.push(entry.place().to_owned());
            self.now.fetch_sub(1, Ordering::SeqCst);
        }

        fn fail(&self, _: &mut Self::Chunk, error: Error) {
            panic!("{error}");
        }

        fn is_full(&self, _: &Self::Chunk) -> bool {
            false
        }

        fn is_empty(&self, chunk: &Self::Chunk) -> bool {
            chunk.is_empty()
        }
    }

    /// Walk over many results in the order of their names; return the most visits at once.
    fn visits_at_once(sleeps: bool) -> usize {
        let temp = tempfile::tempdir().unwrap();
        let names: Vec<PathBuf> = (0..600).map(|n| format!("{n:03}").into()).collect();
        for name in &names {
            fs::create_dir(temp.path().join(name)).unwrap();
            fs::write(temp.path().join(name).join(RECORD), b"{}").unwrap();
        }
        let visit = Arc::new(Sleeper { sleeps, ..Sleeper::default() });
        let mut walk =
            Walk::open(temp.path(), crate::Kind::Result, visit.clone(), false, Interrupt::NEVER).unwrap();
        let mut found = Vec::new();
        while let Some(chunk) = walk.next(Interrupt::NEVER).unwrap() {
            found.extend(chunk);
        }
        assert_eq!(found, names);
        visit.most.load(Ordering::SeqCst)
    }

    #[test]
    fn walk_over_a_slow_disk_visits_more_at_once() {
        let most = visits_at_once(true);
        let expected = if Used::now().is_some() { usual() + 1..=SLOW } else { 1..=usual() };
        assert!(expected.contains(&most), "{most}");
    }

    #[test]
    fn walk_over_a_fast_disk_visits_in_order() {
        assert!(visits_at_once(false) <= SLOW);
    }

    #[test]
    fn watch_of_a_thread_that_sleeps_is_slow() {
        if Used::now().is_none() {
            return;
        }
        let watch = Watch::begin();
        for _ in 0..4 {
            thread::sleep(Duration::from_millis(2));
        }
        assert!(watch.is_slow(8));
        assert!(!watch.is_slow(64));
    }

    #[test]
    fn watch_of_a_thread_that_computes_is_not_slow() {
        let watch = Watch::begin();
        let until = Instant::now() + Duration::from_millis(20);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        assert!(!watch.is_slow(64));
    }
}
