//! The queue of a walk: units of work in the order of the tree, each waiting, taken by a thread, or done.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::crew::{SLOW_UNIT, ahead};

/// Maximum names of a unit on a disk that answers at once.
pub(super) const UNIT: usize = 64;

/// Names of one directory, relative to the root: those of a unit, or all that wait.
pub(super) struct WorkUnit {
    pub place: Arc<Path>,
    pub names: VecDeque<OsString>,
}

impl WorkUnit {
    pub fn new(place: &Path, names: Vec<OsString>) -> Self {
        Self { place: place.into(), names: names.into() }
    }

    /// Cut off the first names, where there are more than a unit has.
    fn cut(&mut self, most: usize) -> Option<Self> {
        let is_long = self.names.len() > most;
        is_long.then(|| Self { place: self.place.clone(), names: self.names.drain(..most).collect() })
    }
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

impl<C> Progress<C> {
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

impl Work {
    /// Return the number of names.
    pub fn names(&self) -> usize {
        match self {
            Self::Plan => 1,
            Self::Visit(unit) => unit.names.len(),
        }
    }
}

pub(super) struct Queue<C> {
    pub units: VecDeque<Progress<C>>,
    taken: u64,
    /// The threads that take units.
    pub threads: usize,
    /// How many units threads may visit ahead of the caller.
    pub ahead: usize,
    /// The same, while a walk whose caller may stop soon still begins.
    pub begun: usize,
    /// Maximum names of a unit that a thread takes.
    pub unit: usize,
    /// The threads that wait for a unit to visit.
    pub idle: usize,
}

impl<C> Queue<C> {
    pub fn new(units: VecDeque<Progress<C>>, begun: usize) -> Self {
        Self { units, taken: 0, threads: 0, ahead: 1, begun, unit: SLOW_UNIT, idle: 0 }
    }

    /// Let the threads visit twice as many units while the walk begins; return `true` where that lets them go on.
    pub fn widen(&mut self) -> bool {
        let begins = self.begun < self.ahead;
        self.begun = self.begun.saturating_mul(2);
        begins
    }

    /// Return `true` where another thread finds a unit to visit.
    pub fn has_work(&self) -> bool {
        self.units.iter().take(ahead(self.threads + 1).min(self.begun)).any(Progress::is_waiting)
    }

    /// Take the first waiting unit that is not too far ahead of the caller.
    pub fn take(&mut self) -> Option<(Work, u64)> {
        let index = self.units.iter().take(self.ahead.min(self.begun)).position(Progress::is_waiting)?;
        self.taken += 1;
        let unit = self.units.get_mut(index)?;
        if let Progress::Waiting(Work::Visit(names)) = unit
            && let Some(first) = names.cut(self.unit)
        {
            self.units.insert(index, Progress::Taken(self.taken));
            return Some((Work::Visit(first), self.taken));
        }
        match std::mem::replace(unit, Progress::Taken(self.taken)) {
            Progress::Waiting(work) => Some((work, self.taken)),
            _ => None,
        }
    }

    /// Replace a unit by its outcome. The units before it are few, so that this takes the same time in any tree.
    ///
    /// Return `true` where the caller may wait for it.
    pub fn put(&mut self, id: u64, outcome: Vec<Progress<C>>) -> bool {
        let index = self.units.iter().position(|unit| matches!(unit, Progress::Taken(taken) if *taken == id));
        if let Some(index) = index {
            self.units.remove(index);
            for unit in outcome.into_iter().rev() {
                self.units.insert(index, unit);
            }
        }
        index == Some(0)
    }
}

/// Divide the directories of results into units: neighbours in one directory.
pub(super) fn units_of<C>(places: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = Progress<C>> {
    let above_of = |place: &PathBuf| place.parent().map(Path::to_owned).unwrap_or_default();
    let mut places = places.peekable();
    std::iter::from_fn(move || {
        let above = above_of(places.peek()?);
        let mut names = Vec::new();
        while let Some(place) = places.next_if(|place| above_of(place) == above) {
            names.extend(place.file_name().map(OsString::from));
        }
        Some(Progress::Waiting(Work::Visit(WorkUnit::new(&above, names))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(names: usize) -> Queue<()> {
        let names = (0..names).map(|n| OsString::from(n.to_string())).collect();
        let unit = Progress::Waiting(Work::Visit(WorkUnit::new(Path::new("a"), names)));
        Queue { unit: UNIT, ahead: 8, ..Queue::new([unit].into(), usize::MAX) }
    }

    fn first(work: &Work) -> &str {
        match work {
            Work::Visit(unit) => unit.names[0].to_str().unwrap(),
            Work::Plan => "",
        }
    }

    #[test]
    fn take_cuts_the_names_of_a_directory_into_units() {
        let mut queue = queue(2 * UNIT + 1);
        let taken: Vec<_> = (0..4).map_while(|_| queue.take()).collect();
        let expected = [0, UNIT, 2 * UNIT].map(|n| n.to_string());
        assert_eq!(taken.iter().map(|(work, _)| first(work)).collect::<Vec<_>>(), expected);
        assert!(queue.units.iter().all(|unit| matches!(unit, Progress::Taken(_))));
    }

    #[test]
    fn take_far_ahead_of_the_caller_returns_none() {
        let mut queue = queue(9 * UNIT);
        queue.ahead = 4;
        assert_eq!((0..9).map_while(|_| queue.take()).count(), 4);
        assert_eq!(queue.units.len(), 5);
    }

    #[test]
    fn put_keeps_the_order_of_the_tree() {
        let mut queue = queue(3 * UNIT);
        let ids: Vec<u64> = (0..3).map_while(|_| queue.take()).map(|(_, id)| id).collect();
        let below = WorkUnit::new(Path::new("a/0"), vec!["x".into(), "y".into()]);
        queue.put(ids[1], vec![Progress::Done(()), Progress::Waiting(Work::Visit(below))]);
        queue.put(ids[0], Vec::new());
        assert!(matches!(queue.units[0], Progress::Done(())));
        assert_eq!(first(&queue.take().unwrap().0), "x");
        assert!(matches!(queue.units[2], Progress::Taken(id) if id == ids[2]));
    }
}
