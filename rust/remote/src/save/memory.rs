//! What a process knows from its saves: names that are taken, and the conditions of the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::protocol::Start;

/// Names whose next suffixes a process remembers.
const MAX_NAMES: usize = 4096;

/// What a process knows of a bucket from its saves.
#[derive(Debug, Default)]
pub struct Memory {
    names: Mutex<HashMap<(String, String), Taken>>,
    conditions: AtomicU8,
}

/// What is known of the suffixes of a name.
#[derive(Debug, Default)]
struct Taken {
    next: Start,
    /// The odd suffixes that a listing showed with a record and no sidecar.
    bare: BTreeSet<u64>,
}

/// What is known of a store's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// No save of this process has tried one.
    Unknown,
    /// The store has refused to create what exists.
    Honoured,
    /// The store has overwritten what exists.
    Ignored,
    /// The service is known to honour them.
    Known,
}

impl Memory {
    /// Return what is known of the conditions.
    pub fn conditions(&self) -> Conditions {
        match self.conditions.load(Ordering::Relaxed) {
            0 => Conditions::Unknown,
            1 => Conditions::Honoured,
            3 => Conditions::Known,
            _ => Conditions::Ignored,
        }
    }

    pub fn set_conditions(&self, conditions: Conditions) {
        self.conditions.store(conditions as u8, Ordering::Relaxed);
    }

    fn with<T>(&self, root: &str, base: &str, work: impl FnOnce(&mut Taken) -> T) -> T {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (root.to_owned(), base.to_owned());
        if names.len() >= MAX_NAMES && !names.contains_key(&name) {
            names.clear();
        }
        work(names.entry(name).or_default())
    }

    /// Return the next suffixes of a name; the other saves of this process get others. The wished one is kept where its
    /// parity fits, and no record is there without a sidecar.
    pub fn take(&self, root: &str, base: &str, with_sidecar: bool, wished: Option<u64>) -> Start {
        self.with(root, base, |Taken { next: start, bare }| {
            let fits = |wished: &u64| wished.is_multiple_of(2) != with_sidecar && !bare.contains(wished);
            let taken = Start { wished: wished.filter(fits), ..*start };
            match (taken.wished, with_sidecar) {
                (Some(_), _) => {}
                (None, true) => start.odd = start.odd.map(|odd| odd.saturating_add(2)),
                (None, false) => start.even = start.even.saturating_add(2),
            }
            taken
        })
    }

    /// Note the odd suffixes of a listing, with `true` for those that have a sidecar.
    pub fn note_listed(&self, root: &str, base: &str, odd: impl Iterator<Item = (u64, bool)>) {
        self.with(root, base, |Taken { next: start, bare }| {
            let mut next = start.odd.unwrap_or(1);
            for (suffix, has_sidecar) in odd {
                next = next.max(suffix.saturating_add(2));
                if !has_sidecar {
                    bare.insert(suffix);
                }
            }
            start.odd = Some(next);
        });
    }

    /// Note that a suffix is taken.
    pub fn note_taken(&self, root: &str, base: &str, suffix: u64) {
        let next = suffix.saturating_add(2);
        self.with(root, base, |Taken { next: start, .. }| match &mut start.odd {
            _ if suffix.is_multiple_of(2) => start.even = start.even.max(next),
            Some(odd) => *odd = (*odd).max(next),
            None => {}
        });
    }
}
