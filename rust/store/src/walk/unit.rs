//! The visit of one unit: its results, and the directories that become units of their own.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::queue::{Progress, UNIT, Work, WorkUnit};
use super::{FoundRecord, Shared, Turn, Visit};
use crate::error::{Error, Step};
use crate::fs::dir::{Dir, Leads, Subdirectories, is_link};
use crate::interrupt::Interrupt;
use crate::links::LinkPlan;

/// Names to visit for a unit before further directories below it become units of their own.
const BUDGET: usize = 4 * UNIT;

/// A visit of one unit.
pub(super) struct UnitVisit<'s, V: Visit> {
    shared: &'s Shared<V>,
    id: u64,
    interrupt: Interrupt<'s>,
    outcome: Vec<Progress<V::Chunk>>,
    chunk: V::Chunk,
    names: usize,
    /// Kept for the path of the next directory, and of its record.
    place: PathBuf,
    record: PathBuf,
}

impl<'s, V: Visit> UnitVisit<'s, V> {
    pub fn begin(shared: &'s Shared<V>, id: u64, interrupt: Interrupt<'s>) -> Self {
        Self {
            shared,
            id,
            interrupt,
            outcome: Vec::new(),
            chunk: shared.visit.begin(),
            names: 0,
            place: PathBuf::new(),
            record: PathBuf::new(),
        }
    }

    /// Plan which links to follow, and return the units of the root.
    pub fn plan(mut self) -> Vec<Progress<V::Chunk>> {
        let plan = LinkPlan::new(&self.shared.root, &|| self.interrupt.is_cancelled());
        if self.interrupt.is_cancelled() {
            return Vec::new();
        }
        // Only one thread takes this work.
        let _ = self.shared.plan.set(plan);
        self.list(Path::new("").to_owned(), true);
        self.shared.expected.end();
        self.end()
    }

    /// Visit the directories of a unit.
    pub fn run(mut self, unit: &WorkUnit) -> Vec<Progress<V::Chunk>> {
        self.enter_all(&unit.place, unit.names.iter());
        self.end()
    }

    fn end(mut self) -> Vec<Progress<V::Chunk>> {
        self.end_chunk();
        self.shared.visit.end(&mut self.chunk);
        self.outcome
    }

    /// Visit directories of one directory, up to the first chunk that is full; the others become units.
    ///
    /// The caller should receive a chunk before the next begins: a visit may wait for the memory of the first.
    fn enter_all<'n>(&mut self, place: &Path, mut names: impl Iterator<Item = &'n OsString>) {
        let visit = &self.shared.visit;
        while let Some(name) = names.next() {
            let mut below = std::mem::take(&mut self.place);
            below.clear();
            below.push(place);
            below.push(name);
            self.enter(&below);
            self.place = below;
            if visit.is_full(&self.chunk) {
                self.end_chunk();
            }
            if !self.outcome.is_empty() || self.interrupt.is_cancelled() {
                self.postpone(place, names.cloned().collect());
                break;
            }
        }
    }

    /// Queue directories that are not visited yet.
    fn postpone(&mut self, place: &Path, names: Vec<OsString>) {
        self.end_chunk();
        if !names.is_empty() {
            self.outcome.push(Progress::Waiting(Work::Visit(WorkUnit::new(place, names))));
        }
    }

    /// Visit a directory: a result, or a directory of directories.
    fn enter(&mut self, place: &Path) {
        let Shared { visit, root, kind, .. } = self.shared;
        let kind = *kind;
        self.record.clear();
        self.record.push(place);
        self.record.push(kind.file());
        self.names += 1;
        match root.open_file(&self.record) {
            // No reader enters a result.
            Ok(_) if kind.yields_in(root, place) => self.shared.expected.replace(0),
            Ok(Some(file)) => {
                if let Err(error) = self.shared.check_room(&file) {
                    return self.shared.exhaust(error);
                }
                let is_first = || self.shared.is_first(self.id);
                let turn = Turn::new(self.interrupt, &is_first);
                visit.visit(&mut self.chunk, &FoundRecord { root, place, kind, record: file }, turn);
            }
            Ok(None) if self.shared.is_part => self.report_unlisted(place),
            Ok(None) => {
                visit.search(&mut self.chunk, root, place, self.interrupt);
                self.list(place.to_owned(), false);
            }
            // The entry is not a directory any more.
            Err(error) if error.kind() == ErrorKind::NotADirectory => self.shared.expected.replace(0),
            Err(error) if is_link(&error) && is_replaced(root, place) => self.skip(place, Leads::Directory),
            Err(error) => {
                visit.fail(&mut self.chunk, Error::io(Step::Read, root.path().join(&self.record), error));
            }
        }
    }

    /// Report a directory that could not be listed; a result that was removed after the listing is no error.
    fn report_unlisted(&mut self, place: &Path) {
        let Shared { visit, root, .. } = self.shared;
        match root.subdirectories(place, self.interrupt) {
            Err(error) if is_gone(&error) || error.kind() == ErrorKind::Interrupted => {}
            Err(error) => visit.fail(&mut self.chunk, Error::io(Step::Scan, root.path().join(place), error)),
            Ok(_) => {}
        }
    }

    /// Visit the directories in a directory, or make units of them where they are many.
    fn list(&mut self, place: PathBuf, is_root: bool) {
        let Shared { visit, root, .. } = self.shared;
        let listed = root.subdirectories(&place, self.interrupt);
        let names = listed.map(|listed| self.select(&place, listed));
        let below = names.as_ref().map_or(0, Vec::len);
        if is_root {
            self.shared.expected.add(below);
        } else {
            self.shared.expected.replace(below);
        }
        match names {
            Ok(names) if is_root || names.len() > UNIT || self.names + names.len() > BUDGET => {
                self.postpone(&place, names);
            }
            Ok(names) => self.enter_all(&place, names.iter()),
            // It was removed, or renamed by a clean, after the listing; or the caller has left.
            Err(error) if is_gone(&error) || error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_link(&error) => self.skip(&place, Leads::Directory),
            Err(error) => visit.fail(&mut self.chunk, Error::io(Step::Scan, root.path().join(place), error)),
        }
    }

    /// Return the names of a directory that the walk enters, in order; note the links that it skips.
    fn select(&mut self, place: &Path, listed: Subdirectories) -> Vec<OsString> {
        let Subdirectories { mut names, links } = listed;
        let plan = self.shared.plan.get();
        if let Some(plan) = plan {
            names.retain(|name| plan.enters(&place.join(name)));
        }
        for link in links {
            let below = place.join(&link.name);
            match plan {
                Some(plan) if plan.follows(&below) => names.push(link.name),
                // Another path leads there.
                Some(_) if link.leads == Leads::Directory => {}
                _ => self.skip(&below, link.leads),
            }
        }
        if plan.is_some() {
            names.sort_unstable();
        }
        names
    }

    fn skip(&mut self, link: &Path, leads: Leads) {
        self.shared.links.add(link, leads);
        self.shared.visit.skip(&mut self.chunk, link, leads);
    }

    fn end_chunk(&mut self) {
        let visit = &self.shared.visit;
        if !visit.is_empty(&self.chunk) {
            visit.end(&mut self.chunk);
            let chunk = std::mem::replace(&mut self.chunk, visit.begin());
            self.outcome.push(Progress::Done(chunk));
        }
    }
}

/// Return `true` where a directory became a symbolic link after the listing.
fn is_replaced(root: &Dir, place: &Path) -> bool {
    root.open_dir_below(place).is_err_and(|error| is_link(&error))
}

/// Return `true` where no directory has the name any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
