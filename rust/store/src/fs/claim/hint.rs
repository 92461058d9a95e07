//! The hint from which the search for a free suffix begins.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{LAST, suffixed};
use crate::fs::dir::Dir;

/// The last suffix that this process claimed under a name, in one atomic word.
///
/// It has no lock that a fork could leave held, and does not grow: names that share a cell evict each other. A lost
/// or wrong word costs probes, never a result.
pub(super) struct Hint {
    cell: &'static AtomicU64,
    tag: u64,
}

const SUFFIX_BITS: u32 = 32;
const CELLS: usize = 1024;
static HINTS: [AtomicU64; CELLS] = [const { AtomicU64::new(0) }; CELLS];

impl Hint {
    pub(super) fn of(root: &Path, base: &OsStr) -> Self {
        let mut hasher = DefaultHasher::new();
        (root, base).hash(&mut hasher);
        let hash = hasher.finish();
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is below CELLS")]
        let cell = &HINTS[(hash % CELLS as u64) as usize];
        // Never zero, so that an empty cell matches no name.
        Self { cell, tag: (hash >> SUFFIX_BITS) | 1 }
    }

    /// Return the suffix to begin with: after the last one, unless its directory was deleted, which frees its name.
    pub(super) fn start(&self, root: &Dir, base: &OsStr) -> u64 {
        match self.last() {
            Some(last) if root.is_taken(&suffixed(base, last)).unwrap_or(false) => last + 1,
            _ => 0,
        }
    }

    fn last(&self) -> Option<u64> {
        let word = self.cell.load(Ordering::Relaxed);
        (word >> SUFFIX_BITS == self.tag).then_some(word & LAST)
    }

    pub(super) fn set(&self, suffix: u64) {
        let suffix = suffix.min(LAST);
        self.cell.store((self.tag << SUFFIX_BITS) | suffix, Ordering::Relaxed);
    }
}
