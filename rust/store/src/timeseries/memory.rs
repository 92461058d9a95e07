//! The bound of the memory of all power traces that are read at once.

use std::process;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::walk::{CHUNK_BYTES, Turn};

/// Time between two attempts to get memory.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Memory that several reads share.
///
/// A trace may have half of it. The first visit of a walk may use what the others leave, and the others a quarter: the
/// caller receives the first before them, so that it must not wait for memory that they hold. The last quarter is that of
/// the rows before the trace in its chunk; see [`TraceMemory::chunk_bytes`].
#[derive(Debug, Clone)]
pub(crate) struct TraceMemory {
    used: Arc<AtomicU64>,
    limit: u64,
}

/// Bytes of a read, until dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: TraceMemory,
    bytes: u64,
}

/// The reason why a read has no memory.
#[derive(Debug)]
pub(crate) enum NoMemory {
    /// It needs more than one trace may have; the reason.
    TooLarge(String),
    /// The caller cancelled.
    Interrupted,
}

impl TraceMemory {
    /// Return the memory of one scan or check, in bytes.
    pub fn new(limit: u64) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Return the memory of this process for reads of single traces.
    pub fn of_process(limit: u64) -> Self {
        static USED: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);
        static PROCESS: AtomicU32 = AtomicU32::new(0);
        // The reads of other threads do not go on in a fork.
        if PROCESS.swap(process::id(), Ordering::Relaxed) != process::id() {
            USED.store(0, Ordering::Relaxed);
        }
        Self { used: USED.clone(), limit }
    }

    /// Return the maximum bytes of one trace.
    fn most(&self) -> u64 {
        self.limit / 2
    }

    /// Return the bytes after which a chunk takes no more traces.
    pub fn chunk_bytes(&self) -> u64 {
        (CHUNK_BYTES as u64).min(self.limit / 4)
    }

    /// Check that one trace may have some bytes.
    pub fn check(&self, bytes: u64) -> Result<(), NoMemory> {
        let (most, limit) = (self.most(), self.limit);
        if bytes <= most {
            return Ok(());
        }
        Err(NoMemory::TooLarge(format!(
            "it takes {bytes} bytes of memory or more; the limit is {most}, half of the {limit} bytes for all traces that \
             are read at once; raise max_trace_bytes or LLEM_MAX_TRACE_BYTES"
        )))
    }

    /// Wait until some bytes are free.
    ///
    /// A read that holds a share and waits for more must be one of a walk, where the first does not wait for others.
    pub fn acquire(&self, bytes: u64, turn: Turn<'_>) -> Result<Share, NoMemory> {
        let mut share = Share { memory: self.clone(), bytes: 0 };
        share.grow(bytes, turn)?;
        Ok(share)
    }
}

impl Share {
    /// Wait until some more bytes are free.
    pub fn grow(&mut self, bytes: u64, turn: Turn<'_>) -> Result<(), NoMemory> {
        let memory = &self.memory;
        memory.check(self.bytes.saturating_add(bytes))?;
        loop {
            let most = if turn.is_first() { memory.limit } else { memory.limit / 4 };
            let grown = memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= most)
            });
            if grown.is_ok() {
                self.bytes += bytes;
                return Ok(());
            }
            if turn.interrupt.is_cancelled() {
                return Err(NoMemory::Interrupted);
            }
            thread::sleep(RETRY_INTERVAL);
        }
    }

    /// Give some bytes back.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let less = |used: u64| Some(used.saturating_sub(bytes));
        // Never fails: the update always has a value.
        let _ = self.memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;

    #[test]
    fn acquire_of_the_first_succeeds_next_to_the_others() {
        let memory = TraceMemory::new(1000);
        let cancelled = Interrupt::new(&|_| true);
        let (first, other) = (Turn::new(cancelled, &|| true), Turn::new(cancelled, &|| false));
        let others = [memory.acquire(100, other).unwrap(), memory.acquire(150, other).unwrap()];
        assert!(matches!(memory.acquire(1, other), Err(NoMemory::Interrupted)));
        let mut share = memory.acquire(450, first).unwrap();
        share.grow(50, first).unwrap();
        assert!(matches!(share.grow(1, first), Err(NoMemory::TooLarge(_))));
        assert!(matches!(memory.acquire(251, first), Err(NoMemory::Interrupted)));
        drop(others);
        assert!(matches!(memory.acquire(1, other), Err(NoMemory::Interrupted)));
        share.shrink(400);
        drop(memory.acquire(100, other).unwrap());
        drop(share);
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn check_beyond_the_limit_names_the_parameter() {
        let Err(NoMemory::TooLarge(reason)) = TraceMemory::new(1000).check(501) else { panic!() };
        assert!(reason.contains("takes 501 bytes") && reason.contains("the limit is 500"), "{reason}");
        assert!(reason.contains("LLEM_MAX_TRACE_BYTES"), "{reason}");
    }
}
