//! The results of a storage location, visited and received in order.

use std::path::Path;
use std::sync::Arc;

use super::{Turn, Visit, Walk};
use crate::error::Result;
use crate::expected::Expected;
use crate::interrupt::Interrupt;
use crate::links::LinkLog;
use crate::storage::{Listing, Met, Records, Storage, Wanted};

/// A visit of all results of a storage location; it stops when dropped.
pub(crate) enum Tree<V: Visit> {
    /// Several threads walk a directory.
    Directory(Walk<V>),
    /// The thread of the caller visits what it receives.
    Stream(Stream<V>),
}

/// A visit of results that are received one by one.
pub(crate) struct Stream<V: Visit> {
    storage: Arc<dyn Storage>,
    visit: Arc<V>,
    records: Box<dyn Records>,
    links: Arc<LinkLog>,
    expected: Arc<Expected>,
    is_over: bool,
}

impl<V: Visit> Tree<V> {
    /// Begin to visit the results; follow symbolic links to directories, or count them.
    pub fn open(
        storage: &Arc<dyn Storage>,
        visit: Arc<V>,
        follow_links: bool,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        Self::of(storage, &Wanted::Records, visit, follow_links, interrupt)
    }

    /// Begin to visit the results that are wanted; see [`Self::open`].
    pub fn of(
        storage: &Arc<dyn Storage>,
        wanted: &Wanted,
        visit: Arc<V>,
        follow_links: bool,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        let kind = storage.kind();
        Ok(match storage.list(kind, wanted, interrupt)? {
            Listing::Directory(root) => Self::Directory(match wanted {
                Wanted::Part(part) => Walk::open_part(&root, part, kind, visit, follow_links, interrupt)?,
                Wanted::Records | Wanted::Names => Walk::open(&root, kind, visit, follow_links, interrupt)?,
            }),
            Listing::Stream(records, expected) => Self::Stream(Stream {
                expected,
                storage: storage.clone(),
                visit,
                records,
                links: Arc::default(),
                is_over: false,
            }),
        })
    }

    /// Return the root.
    pub fn root(&self) -> &Path {
        match self {
            Self::Directory(walk) => walk.root(),
            Self::Stream(stream) => stream.storage.root(),
        }
    }

    /// Return the symbolic links that the walk skips; complete at its end.
    pub fn links(&self) -> &Arc<LinkLog> {
        match self {
            Self::Directory(walk) => walk.links(),
            Self::Stream(stream) => &stream.links,
        }
    }

    /// Report with the next check that so many records are read, and how many there are.
    pub fn reach<'a>(&self, records: u64, interrupt: Interrupt<'a>) -> Interrupt<'a> {
        interrupt.at(records, self.expected().get())
    }

    /// Return the number of results to visit.
    pub fn expected(&self) -> &Expected {
        match self {
            Self::Directory(walk) => walk.expected(),
            Self::Stream(stream) => &stream.expected,
        }
    }

    /// Return the next chunk; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`](crate::Error::Interrupted) once the caller has cancelled, while this waits.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<V::Chunk>> {
        match self {
            Self::Directory(walk) => walk.next(interrupt),
            Self::Stream(stream) => stream.next(interrupt),
        }
    }
}

impl<V: Visit> Stream<V> {
    fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<V::Chunk>> {
        let mut chunk = self.visit.begin();
        while !self.is_over && !self.visit.is_full(&chunk) {
            match self.records.next(interrupt)? {
                Some(Met::Result(entry)) => {
                    self.visit.visit(&mut chunk, &*entry, Turn::only(interrupt));
                    interrupt.check()?;
                }
                Some(Met::Directory(found)) => self.visit.meet(&mut chunk, found),
                Some(Met::Failed(error)) => self.visit.fail(&mut chunk, error),
                None => self.is_over = true,
            }
        }
        self.visit.end(&mut chunk);
        Ok(Some(chunk).filter(|chunk| !self.is_over || !self.visit.is_empty(chunk)))
    }
}
