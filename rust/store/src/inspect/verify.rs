//! The check of a tree: each directory is complete, damaged, incomplete or foreign.
//!
//! A directory with a valid `result.json` is complete. An incomplete one is the leftover of an interrupted save: it is
//! empty, or holds a power trace without a record, or the temporary files of a save. A damaged one has an invalid
//! record. A foreign one holds other files and no result at any depth. Directories of results have no status. A directory
//! with a `failure.json` and no `result.json` is a failure.
//!
//! An empty directory, and one with only a power trace, is incomplete only under a name that a save gives: any other
//! name may be that of a user's directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contents::Contents;
use super::place::Place;
use super::record;
use crate::RECORD;
use crate::error::{Error, Result};
use crate::fs::dir::{Dir, EntryKind, Leads};
use crate::interrupt::Interrupt;
use crate::links::LinkLog;
use crate::load::Limit;
use crate::scan::RecordCheck;
use crate::storage::{Entry, FoundDirectory, Storage};
use crate::store::Store;
use crate::timeseries::{Power, TraceMemory};
use crate::walk::{CHUNK_BYTES, Tree, Turn, Visit};

/// The prefix of the directories in which a clean puts what it is about to remove.
pub const TRASH: &str = ".trash-";
/// Findings of a chunk, after which another begins.
const MOST_EVENTS: usize = 1024;

/// The options of a check.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The check of the records.
    pub check: Arc<RecordCheck>,
    /// Read each sidecar to its last page, and return the records for validation.
    pub deep: bool,
    /// The size above which a file is not read as a record.
    pub limit: Limit,
    /// Follow symbolic links to directories, and enter each directory once.
    pub follow_links: bool,
    /// The memory of all power traces that a deep check reads at once, in bytes.
    pub max_trace_bytes: u64,
}

/// The status of a directory that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A save or a clean did not finish.
    Incomplete,
    /// Its record or its sidecar is invalid or cannot be read.
    Damaged,
    /// A result is in the trash of an interrupted clean.
    Stranded,
    /// Its record names a sidecar that is not there.
    MissingSidecar,
    /// It does not belong to the store.
    Foreign,
    /// It is a symbolic link that was not followed.
    Link,
}

/// A directory that is not complete.
#[derive(Debug)]
pub struct Finding {
    /// Its status.
    pub status: Status,
    /// The directory, relative to the root.
    pub directory: PathBuf,
    /// The problem, without the path.
    pub problem: String,
}

/// The findings in consecutive directories.
#[derive(Debug, Default)]
pub struct VerifyBatch {
    /// Results that are complete, and not among the records below.
    pub complete: u64,
    /// Failures, whose files are not read.
    pub failures: u64,
    /// The directories that are not complete.
    pub findings: Vec<Finding>,
    /// In a deep check: each record that passed so far, to be validated.
    pub records: Vec<CheckedRecord>,
}

/// A record that passed the check so far.
#[derive(Debug)]
pub struct CheckedRecord {
    /// Its directory, relative to the root.
    pub directory: PathBuf,
    /// Its content.
    pub record: Vec<u8>,
    /// The power and energy of each GPU in its power trace; `None` where it has none, or none that fits into memory.
    pub powers: Option<BTreeMap<i32, Power>>,
}

/// A check of a tree in progress.
pub struct Inspection {
    tree: Tree<Inspect>,
    root: PathBuf,
    /// Directories without a record on the way to where we are, outermost first.
    open: Vec<Open>,
}

/// A directory without a record, of which it is not known yet whether it holds results.
struct Open {
    directory: PathBuf,
    problem: String,
    holds_results: bool,
    foreign_below: Vec<Finding>,
}

struct Inspect {
    /// `None` where only the leftovers of interrupted saves and cleans matter.
    options: Option<VerifyOptions>,
    memory: TraceMemory,
}

enum Event {
    Complete(PathBuf),
    Failure(PathBuf),
    Record(CheckedRecord),
    Finding(Finding),
    Link(Finding),
    Failed(Error),
    Searched(PathBuf, String),
}

#[derive(Default)]
struct Chunk {
    events: Vec<Event>,
    bytes: usize,
    buffer: Vec<u8>,
}

impl Inspection {
    /// Begin to check a tree.
    pub fn open(
        storage: &Arc<dyn Storage>,
        options: VerifyOptions,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        Self::begin(storage, Some(options), interrupt)
    }

    /// Begin to look for leftovers, without reading records.
    pub(super) fn of_leftovers(root: &Path, interrupt: Interrupt<'_>) -> Result<Self> {
        Self::begin(&Store::at(root), None, interrupt)
    }

    fn begin(
        storage: &Arc<dyn Storage>,
        options: Option<VerifyOptions>,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        // A clean never follows a link.
        let follow_links = options.as_ref().is_some_and(|options| options.follow_links);
        let max_trace_bytes = options.as_ref().map_or(0, |options| options.max_trace_bytes);
        let visitor = Inspect { options, memory: TraceMemory::new(max_trace_bytes) };
        let tree = Tree::open(storage, Arc::new(visitor), follow_links, interrupt)?;
        Ok(Self { tree, root: storage.root().to_owned(), open: Vec::new() })
    }

    /// Return the symbolic links that the check skips; complete at its end.
    #[must_use]
    pub fn links(&self) -> Arc<LinkLog> {
        self.tree.links().clone()
    }

    /// Return the number of results that the check expects, once it is known.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.tree.expected().get()
    }

    /// Return the findings in the next directories; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<VerifyBatch>> {
        let mut batch = VerifyBatch::default();
        let Some(chunk) = self.tree.next(interrupt)? else {
            if self.open.is_empty() {
                return Ok(None);
            }
            while !self.open.is_empty() {
                self.close(&mut batch.findings);
            }
            return Ok(Some(batch));
        };
        for event in chunk.events {
            self.take(event, &mut batch);
        }
        Ok(Some(batch))
    }

    fn take(&mut self, event: Event, batch: &mut VerifyBatch) {
        match event {
            Event::Complete(directory) => {
                self.reach(&directory, true, batch);
                batch.complete += 1;
            }
            Event::Failure(directory) => {
                self.reach(&directory, true, batch);
                batch.failures += 1;
            }
            Event::Record(checked) => {
                self.reach(&checked.directory, true, batch);
                batch.records.push(checked);
            }
            Event::Finding(finding) => {
                self.reach(&finding.directory, true, batch);
                batch.findings.push(finding);
            }
            Event::Link(finding) => batch.findings.push(finding),
            Event::Failed(error) => {
                let path = error.path().unwrap_or(&self.root);
                let (dir, what) = if path.ends_with(RECORD) {
                    (path.parent().unwrap_or(path), RECORD)
                } else {
                    (path, "the directory")
                };
                let directory = dir.strip_prefix(&self.root).unwrap_or(dir).to_owned();
                self.reach(&directory, true, batch);
                let problem = format!("{what} cannot be read: {}", reason(&error));
                batch.findings.push(Finding { status: Status::Damaged, directory, problem });
            }
            Event::Searched(directory, problem) => {
                self.reach(&directory, false, batch);
                let holds_results = directory.as_os_str().is_empty();
                self.open.push(Open { directory, problem, holds_results, foreign_below: Vec::new() });
            }
        }
    }

    /// Leave the directories that a directory is not in, and note whether it makes those it is in hold results.
    fn reach(&mut self, directory: &Path, is_result: bool, batch: &mut VerifyBatch) {
        while self.open.last().is_some_and(|open| !directory.starts_with(&open.directory)) {
            self.close(&mut batch.findings);
        }
        if is_result {
            self.open.iter_mut().for_each(|open| open.holds_results = true);
        }
    }

    /// Close the innermost open directory; of nested foreign directories, report the outermost.
    fn close(&mut self, findings: &mut Vec<Finding>) {
        let Some(Open { directory, problem, holds_results, foreign_below }) = self.open.pop() else { return };
        let reported = if holds_results {
            foreign_below
        } else {
            vec![Finding { status: Status::Foreign, directory, problem }]
        };
        match self.open.last_mut() {
            Some(outer) => outer.foreign_below.extend(reported),
            None => findings.extend(reported),
        }
    }
}

impl Visit for Inspect {
    type Chunk = Chunk;

    fn begin(&self) -> Chunk {
        Chunk::default()
    }

    fn visit(&self, chunk: &mut Chunk, entry: &dyn Entry, turn: Turn<'_>) {
        let Some(VerifyOptions { check, deep, limit, .. }) = &self.options else { return };
        let mut buffer = std::mem::take(&mut chunk.buffer);
        let checked = match entry.read(*limit, &mut buffer) {
            Ok(()) => record::check(entry, &buffer, check, deep.then_some(&self.memory), turn),
            Err(error) => Err((Status::Damaged, format!("{RECORD} cannot be read: {}", reason(&error)))),
        };
        let is_damaged = matches!(checked, Err((Status::Damaged, _)));
        let directory = entry.place().to_owned();
        let powers = checked.unwrap_or_else(|(status, problem)| {
            chunk.events.push(Event::Finding(Finding { status, directory: directory.clone(), problem }));
            None
        });
        if *deep && !is_damaged {
            chunk.bytes +=
                buffer.len() + powers.as_ref().map_or(0, BTreeMap::len) * size_of::<(i32, Power)>();
            let record = std::mem::take(&mut buffer);
            chunk.events.push(Event::Record(CheckedRecord { directory, record, powers }));
        } else if !is_damaged {
            chunk.events.push(Event::Complete(directory));
        }
        chunk.buffer = buffer;
    }

    fn search(&self, chunk: &mut Chunk, root: &Dir, directory: &Path, interrupt: Interrupt<'_>) {
        // The walk reports a directory that cannot be listed.
        let Ok(dir) = root.open_dir_below(directory) else { return };
        let mut contents = Contents::default();
        let Ok(()) = dir.each_entry(interrupt, |name, kind| contents.add(name, kind)) else { return };
        chunk.look_at(directory, &contents);
        for trash in &contents.trash {
            let stranded = dir.open_dir(trash).is_ok_and(|trash| holds_record(&trash));
            let (status, problem) = if stranded {
                (
                    Status::Stranded,
                    "a result in the trash of a cleaner that was stopped; cleaning puts it back",
                )
            } else {
                (Status::Incomplete, "the trash of a cleaner that was stopped")
            };
            chunk.events.push(Event::Finding(Finding {
                status,
                directory: directory.join(trash),
                problem: problem.into(),
            }));
        }
    }

    fn meet(&self, chunk: &mut Chunk, FoundDirectory { place, files, directories }: FoundDirectory) {
        let mut contents = Contents::default();
        for name in files {
            contents.add(name.as_ref(), EntryKind::File);
        }
        for name in directories {
            contents.add(name.as_ref(), EntryKind::Directory);
        }
        chunk.look_at(&place, &contents);
    }

    fn skip(&self, chunk: &mut Chunk, link: &Path, leads: Leads) {
        let problem = match leads {
            Leads::Directory => "a symbolic link to a directory, which is not followed",
            Leads::Nowhere => "a symbolic link that cannot be followed",
        };
        let (directory, problem) = (link.to_owned(), problem.to_owned());
        chunk.events.push(Event::Link(Finding { status: Status::Link, directory, problem }));
    }

    fn fail(&self, chunk: &mut Chunk, error: Error) {
        chunk.events.push(Event::Failed(error));
    }

    fn is_full(&self, chunk: &Chunk) -> bool {
        chunk.events.len() >= MOST_EVENTS || chunk.bytes > CHUNK_BYTES
    }

    fn is_empty(&self, chunk: &Chunk) -> bool {
        chunk.events.is_empty()
    }
}

impl Chunk {
    /// Note a directory without a record.
    fn look_at(&mut self, directory: &Path, contents: &Contents) {
        let name = directory.file_name().unwrap_or(OsStr::new(""));
        self.events.push(match contents.leftover(name) {
            _ if contents.failure => Event::Failure(directory.to_owned()),
            Some(problem) if !name.is_empty() => Event::Finding(Finding {
                status: Status::Incomplete,
                directory: directory.to_owned(),
                problem,
            }),
            _ => Event::Searched(directory.to_owned(), contents.describe()),
        });
    }
}

/// Return `true` where a directory in the trash holds a record.
fn holds_record(trash: &Dir) -> bool {
    let holds = |name: &OsStr| trash.open_dir(name).is_ok_and(|dir| dir.has_record());
    let entries = trash.entries(Interrupt::NEVER).unwrap_or_default();
    entries.iter().any(|(name, kind)| *kind == EntryKind::Directory && holds(name))
}

/// Return the message of the system, without its code.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => reason_of(source),
        Error::Remote { reason, .. } => reason.clone(),
        error => error.to_string(),
    }
}

pub(crate) fn reason_of(error: &io::Error) -> String {
    let said = error.to_string();
    match said.split_once(" (os error ") {
        Some((said, _)) => said.to_owned(),
        None if error.kind() == ErrorKind::IsADirectory => "not a regular file".to_owned(),
        None => said,
    }
}

#[cfg(test)]
mod tests;
