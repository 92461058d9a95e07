//! The queue of a walk: units of work in the order of the tree, each waiting, taken by a thread, or done.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

/// Maximum names of a unit.
pub(super) const UNIT: usize = 64;

/// Names of one directory, relative to the root.
pub(super) struct WorkUnit {
    pub place: Arc<Path>,
    pub names: Vec<OsString>,
}

/// A task of a thread.
pub(super) enum Work {
    /// Plan which links to follow, and list the root.
    Plan,
    Visit(WorkUnit),
}

/// A unit of work, by its progress.
pub(super) enum Progress<C> {
    Waiting(Work),
    /// A thread visits it; the number identifies it.
    Taken(u64),
    Done(C),
}

pub(super) struct Queue<C> {
    pub units: VecDeque<Progress<C>>,
    pub taken: u64,
}

impl<C> Queue<C> {
    /// Take the first waiting unit that is not too far ahead of the caller.
    pub fn take(&mut self, ahead: usize) -> Option<(Work, u64)> {
        let unit = self.units.iter_mut().take(ahead).find(|unit| matches!(unit, Progress::Waiting(_)))?;
        self.taken += 1;
        match std::mem::replace(unit, Progress::Taken(self.taken)) {
            Progress::Waiting(work) => Some((work, self.taken)),
            _ => None,
        }
    }

    /// Replace a unit by its outcome.
    pub fn put(&mut self, id: u64, outcome: Vec<Progress<C>>) {
        let index = self.units.iter().position(|unit| matches!(unit, Progress::Taken(taken) if *taken == id));
        if let Some(index) = index {
            let after = self.units.split_off(index + 1);
            self.units.pop_back();
            self.units.extend(outcome);
            self.units.extend(after);
        }
    }
}

/// Divide the names of a directory into units.
pub(super) fn units<C>(
    place: &Arc<Path>,
    names: Vec<OsString>,
) -> impl Iterator<Item = Progress<C>> + use<C> {
    let mut names = names.into_iter().peekable();
    let place = place.clone();
    std::iter::from_fn(move || {
        names.peek()?;
        let unit = WorkUnit { place: place.clone(), names: names.by_ref().take(UNIT).collect() };
        Some(Progress::Waiting(Work::Visit(unit)))
    })
}
