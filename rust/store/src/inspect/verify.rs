//! What is whole in a tree, what is half-made, and what is somebody else's.
//!
//! A directory with a whole `result.json` is complete. One that a save made and did not finish is incomplete: it
//! holds nothing, or a power trace without a record, or the temporary files of a save. One whose record is not
//! whole is damaged. One that holds other things and no result at any depth is foreign. Directories that hold
//! results are none of these.
//!
//! An empty directory, and one with a power trace alone, tell that a save made them by their name only: any
//! other name is somebody's who may want to keep what is there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contents::Contents;
use super::record;
use crate::RECORD;
use crate::error::{Error, Result};
use crate::fs::dir::{Dir, EntryKind};
use crate::interrupt::Interrupt;
use crate::load::Limit;
use crate::walk::{CHUNK_BYTES, Tree, Visit};

/// What the names of directories begin with in which a cleaner puts what it is about to remove.
pub const TRASH: &str = ".trash-";
/// Findings of a chunk, after which another begins.
const MOST_EVENTS: usize = 1024;

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depth {
    /// What a save, or a cleaner, did not finish.
    Leftovers,
    /// And whether each record is a whole JSON object of this schema line, and its sidecar there.
    Records(String),
    /// And each sidecar to its last page; records are handed on.
    Everything(String),
}

/// What is wrong with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A save did not finish, or a cleaner.
    Incomplete,
    /// Its record or its sidecar is not whole, or it cannot be read.
    Damaged,
    /// A result is in the trash, where a cleaner was stopped.
    Stranded,
    /// Its record names a sidecar that is not there.
    MissingSidecar,
    /// It is not the store's.
    Foreign,
}

/// A directory with which something is wrong.
#[derive(Debug)]
pub struct Finding {
    /// What it is.
    pub status: Status,
    /// The directory, relative to the root.
    pub place: PathBuf,
    /// What is wrong, without the path.
    pub problem: String,
}

/// What came of some directories that follow each other.
#[derive(Debug, Default)]
pub struct VerifyBatch {
    /// Results that are complete, and not among the records below.
    pub complete: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Of [`Depth::Everything`]: each record that is whole so far, with its directory, still to be validated.
    pub records: Vec<(PathBuf, Vec<u8>)>,
}

/// A tree that is being inspected.
pub struct Inspection {
    tree: Tree<Inspect>,
    root: PathBuf,
    /// Directories without a record on the way to where we are, outermost first.
    open: Vec<Open>,
}

/// A directory without a record, of which it is not known yet whether it holds results.
struct Open {
    place: PathBuf,
    problem: String,
    holds_results: bool,
    foreign_below: Vec<Finding>,
}

struct Inspect {
    depth: Depth,
    limit: Limit,
}

enum Event {
    Complete(PathBuf),
    Record(PathBuf, Vec<u8>),
    Finding(Finding),
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
    /// Begin to look at a tree.
    pub fn open(root: &Path, depth: Depth, limit: Limit) -> Result<Self> {
        let tree = Tree::open(root, Arc::new(Inspect { depth, limit }))?;
        Ok(Self { tree, root: root.to_owned(), open: Vec::new() })
    }

    /// What came of the next directories; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] once the caller has cancelled.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<VerifyBatch>> {
        let mut part = VerifyBatch::default();
        let Some(chunk) = self.tree.next(interrupt)? else {
            if self.open.is_empty() {
                return Ok(None);
            }
            while !self.open.is_empty() {
                self.close(&mut part.findings);
            }
            return Ok(Some(part));
        };
        for event in chunk.events {
            self.take(event, &mut part);
        }
        Ok(Some(part))
    }

    fn take(&mut self, event: Event, part: &mut VerifyBatch) {
        match event {
            Event::Complete(place) => {
                self.reach(&place, true, part);
                part.complete += 1;
            }
            Event::Record(place, bytes) => {
                self.reach(&place, true, part);
                part.records.push((place, bytes));
            }
            Event::Finding(finding) => {
                self.reach(&finding.place, true, part);
                part.findings.push(finding);
            }
            Event::Failed(error) => {
                let path = error.path().unwrap_or(&self.root);
                let (dir, what) = if path.ends_with(RECORD) {
                    (path.parent().unwrap_or(path), RECORD)
                } else {
                    (path, "the directory")
                };
                let place = dir.strip_prefix(&self.root).unwrap_or(dir).to_owned();
                self.reach(&place, true, part);
                let problem = format!("{what} cannot be read: {}", reason(&error));
                part.findings.push(Finding { status: Status::Damaged, place, problem });
            }
            Event::Searched(place, problem) => {
                self.reach(&place, false, part);
                let holds_results = place.as_os_str().is_empty();
                self.open.push(Open { place, problem, holds_results, foreign_below: Vec::new() });
            }
        }
    }

    /// Leave the directories that a place is not in, and note whether it makes those it is in hold results.
    fn reach(&mut self, place: &Path, is_result: bool, part: &mut VerifyBatch) {
        while self.open.last().is_some_and(|open| !place.starts_with(&open.place)) {
            self.close(&mut part.findings);
        }
        if is_result {
            self.open.iter_mut().for_each(|open| open.holds_results = true);
        }
    }

    /// Judge the innermost open directory. Of foreign ones in each other, the outermost is told.
    fn close(&mut self, findings: &mut Vec<Finding>) {
        let Some(Open { place, problem, holds_results, foreign_below }) = self.open.pop() else { return };
        let told = if holds_results {
            foreign_below
        } else {
            vec![Finding { status: Status::Foreign, place, problem }]
        };
        match self.open.last_mut() {
            Some(outer) => outer.foreign_below.extend(told),
            None => findings.extend(told),
        }
    }
}

impl Visit for Inspect {
    type Chunk = Chunk;

    fn begin(&self) -> Chunk {
        Chunk::default()
    }

    fn visit(&self, chunk: &mut Chunk, root: &Dir, place: &Path, record: File) {
        let (version, deep) = match &self.depth {
            Depth::Leftovers => return,
            Depth::Records(version) => (version, false),
            Depth::Everything(version) => (version, true),
        };
        let mut buffer = std::mem::take(&mut chunk.buffer);
        let read = record.metadata().and_then(|metadata| self.limit.read(&record, &metadata, &mut buffer));
        let checked = match read {
            Ok(()) => record::check(root, place, &buffer, version, deep),
            Err(error) => Err((Status::Damaged, format!("{RECORD} cannot be read: {}", reason_of(&error)))),
        };
        let is_damaged = matches!(checked, Err((Status::Damaged, _)));
        if let Err((status, problem)) = checked {
            chunk.events.push(Event::Finding(Finding { status, place: place.to_owned(), problem }));
        }
        if deep && !is_damaged {
            chunk.bytes += buffer.len();
            chunk.events.push(Event::Record(place.to_owned(), std::mem::take(&mut buffer)));
        } else if !is_damaged {
            chunk.events.push(Event::Complete(place.to_owned()));
        }
        chunk.buffer = buffer;
    }

    fn search(&self, chunk: &mut Chunk, root: &Dir, place: &Path) {
        // What cannot be listed is told of by whoever searches it.
        let Ok(dir) = root.open_dir_below(place) else { return };
        let Ok(contents) = Contents::of(&dir) else { return };
        let name = place.file_name().unwrap_or(OsStr::new(""));
        chunk.events.push(match contents.leftover(name) {
            Some(problem) if !name.is_empty() => {
                Event::Finding(Finding { status: Status::Incomplete, place: place.to_owned(), problem })
            }
            _ => Event::Searched(place.to_owned(), contents.describe()),
        });
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
                place: place.join(trash),
                problem: problem.into(),
            }));
        }
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

/// Whether a directory in the trash holds a record.
fn holds_record(trash: &Dir) -> bool {
    let holds =
        |name: &OsStr| trash.open_dir(name).is_ok_and(|dir| dir.is_taken(RECORD.as_ref()).unwrap_or(true));
    let entries = trash.entries().unwrap_or_default();
    entries.iter().any(|(name, kind)| *kind == EntryKind::Directory && holds(name))
}

/// What the system says, without its code.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => reason_of(source),
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
mod tests {
    use super::*;
    use std::fs;

    const NAME: &str = "gpt2_pytorch_2026-02-18T14-30";

    fn seen(root: &Path) -> (u64, Vec<(Status, String, String)>) {
        let mut inspection = Inspection::open(root, Depth::Records("2.0".into()), Limit::USUAL).unwrap();
        let (mut complete, mut found) = (0, Vec::new());
        while let Some(part) = inspection.next(Interrupt::NEVER).unwrap() {
            complete += part.complete;
            let told = |f: Finding| (f.status, f.place.to_str().unwrap().to_owned(), f.problem);
            found.extend(part.findings.into_iter().map(told));
        }
        (complete, found)
    }

    fn put(root: &Path, path: &str, content: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn each_kind_is_told_apart_and_directories_of_results_are_none() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        put(root, "study/a/result.json", b"{\"schema_version\": \"2.0\"}");
        put(root, "study/b/result.json", b"");
        put(root, "study/plots/png/x.png", b"");
        put(root, &format!("study/{NAME}/timeseries.parquet"), b"");
        put(root, "study/c/.result.json.tmp", b"");
        fs::create_dir(root.join(format!("{NAME}_7"))).unwrap();
        put(root, "notes/n.txt", b"");
        put(root, "traces/timeseries.parquet", b"");
        let (complete, found) = seen(root);
        assert_eq!(complete, 1);
        let mut kinds: Vec<_> = found.iter().map(|(kind, place, _)| (place.as_str(), *kind)).collect();
        kinds.sort_by_key(|(place, _)| *place);
        let given = (format!("{NAME}_7"), format!("study/{NAME}"));
        let expected = [
            (given.0.as_str(), Status::Incomplete),
            ("notes", Status::Foreign),
            ("study/b", Status::Damaged),
            ("study/c", Status::Incomplete),
            (given.1.as_str(), Status::Incomplete),
            ("study/plots", Status::Foreign),
            ("traces", Status::Foreign),
        ];
        assert_eq!(kinds, expected, "{found:?}");
    }

    #[test]
    fn damage_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for (name, content, said) in [
            ("a", &b""[..], "result.json (0 bytes) is not a complete result: the file is empty"),
            ("b", &[0; 3], "only NUL bytes"),
            ("c", b"{\"a\": [1,", "truncated"),
            ("d", b"[]", "expected a JSON object, got an array"),
            ("e", b"{\"schema_version\": \"3.1\"}", "schema line \"2.0\", got \"3.1\""),
            ("f", b"{\"a\": \"\xff\"}", "not UTF-8"),
        ] {
            put(root, &format!("{name}/result.json"), content);
            let (_, found) = seen(&root.join(name));
            assert!(found[0].2.contains(said), "{found:?}");
        }
        fs::create_dir_all(root.join("g/result.json")).unwrap();
        assert!(seen(&root.join("g")).1[0].2.contains("not a regular file"));
    }

    #[test]
    fn a_sidecar_that_is_named_and_not_there_is_missed() {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), "a/result.json", b"{\"timeseries\": \"x.parquet\"}");
        put(temp.path(), "b/result.json", b"{\"timeseries\": \"../a/result.json\"}");
        let (complete, found) = seen(temp.path());
        assert_eq!(complete, 2);
        assert!(found.iter().all(|(kind, ..)| *kind == Status::MissingSidecar), "{found:?}");
        assert!(found[1].2.contains("not a file name"), "{found:?}");
        put(temp.path(), "a/x.parquet", b"");
        assert_eq!(seen(temp.path()).1.len(), 1);
    }
}
