//! The queue of a walk: units of work in the order of the tree, each waiting, taken by a thread, or done.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Maximum names of a unit that a thread takes.
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
    fn cut(&mut self) -> Option<Self> {
        let is_long = self.names.len() > UNIT;
        is_long.then(|| Self { place: self.place.clone(), names: self.names.drain(..UNIT).collect() })
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

pub(super) struct Queue<C> {
    pub units: VecDeque<Progress<C>>,
    pub taken: u64,
}

impl<C> Queue<C> {
    /// Take the first waiting unit that is not too far ahead of the caller.
    pub fn take(&mut self, ahead: usize) -> Option<(Work, u64)> {
        let is_waiting = |unit: &Progress<C>| matches!(unit, Progress::Waiting(_));
        let index = self.units.iter().take(ahead).position(is_waiting)?;
        self.taken += 1;
        let unit = self.units.get_mut(index)?;
        if let Progress::Waiting(Work::Visit(names)) = unit
            && let Some(first) = names.cut()
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
    pub fn put(&mut self, id: u64, outcome: Vec<Progress<C>>) {
        let index = self.units.iter().position(|unit| matches!(unit, Progress::Taken(taken) if *taken == id));
        if let Some(index) = index {
            self.units.remove(index);
            for unit in outcome.into_iter().rev() {
                self.units.insert(index, unit);
            }
        }
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
        Queue { units: [unit].into(), taken: 0 }
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
        let taken: Vec<_> = (0..4).map_while(|_| queue.take(8)).collect();
        let expected = [0, UNIT, 2 * UNIT].map(|n| n.to_string());
        assert_eq!(taken.iter().map(|(work, _)| first(work)).collect::<Vec<_>>(), expected);
        assert!(queue.units.iter().all(|unit| matches!(unit, Progress::Taken(_))));
    }

    #[test]
    fn take_far_ahead_of_the_caller_returns_none() {
        let mut queue = queue(9 * UNIT);
        assert_eq!((0..9).map_while(|_| queue.take(4)).count(), 4);
        assert_eq!(queue.units.len(), 5);
    }

    #[test]
    fn put_keeps_the_order_of_the_tree() {
        let mut queue = queue(3 * UNIT);
        let ids: Vec<u64> = (0..3).map_while(|_| queue.take(8)).map(|(_, id)| id).collect();
        let below = WorkUnit::new(Path::new("a/0"), vec!["x".into(), "y".into()]);
        queue.put(ids[1], vec![Progress::Done(()), Progress::Waiting(Work::Visit(below))]);
        queue.put(ids[0], Vec::new());
        assert!(matches!(queue.units[0], Progress::Done(())));
        assert_eq!(first(&queue.take(8).unwrap().0), "x");
        assert!(matches!(queue.units[2], Progress::Taken(id) if id == ids[2]));
    }
}
