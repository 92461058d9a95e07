//! The removal of the leftovers of interrupted saves, next to active saves and other cleans.
//!
//! A directory is removed when it is a leftover (see [`crate::inspect`]) and nothing in it was written for the given
//! time, by the file system's clock. The steps are relative to open directories, so that no symlink is followed:
//!
//! 1. Look: no record, nothing that no save makes, old enough.
//! 2. Create `.trash-<random>` next to it, lock it, and rename the directory into it: of two cleans, one can.
//! 3. Look again. Remove the temporary files: a save that was about to rename one fails, and reports that nothing was
//!    saved. Rename a power trace out of the directory, to `.trace-<inode>/<name>` in the trash.
//! 4. Remove the directory: the system refuses where a record has appeared, and where it does not, none can any more.
//!    Only then the power trace goes, and the trash.
//!
//! Where a record, or anything else, has appeared by the second look or the removal, everything is put back.
//! `result.json` is never removed, and no power trace that a record may name. A cleaner that is stopped between 2
//! and 4 leaves a `.trash-` with all it took, and its lock is free; the next one finishes, or puts a result back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::SIDECAR;
use crate::error::{At, Result, Step};
use crate::fs::dir::{Dir, EntryKind, Nanos};
use crate::inspect::place::Place;
use crate::inspect::trash::{clock, finish, remove};
use crate::inspect::{Contents, Inspection, Status, TRASH, reason_of};
use crate::interrupt::Interrupt;

/// The outcome of a leftover, or its expected outcome in a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is removed.
    Removed,
    /// A result that was in the trash is where it was.
    Restored,
    /// It is not old enough, or its cleaner is active.
    Young,
    /// It is left as it was, for this reason.
    Kept(String),
}

/// A leftover of an interrupted save or clean.
#[derive(Debug)]
pub struct Leftover {
    /// The directory, relative to the root.
    pub directory: PathBuf,
    /// A description of the leftover.
    pub description: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// The options of a clean.
#[derive(Debug, Clone, Copy)]
pub struct CleanOptions {
    /// The age of a leftover: a younger one may belong to a save in progress.
    pub older_than: Duration,
    /// Report the leftovers without removing them.
    pub dry_run: bool,
}

/// Remove the leftovers of interrupted saves below a root.
///
/// A dry run creates and removes an empty directory next to a leftover, to read the file system's clock.
///
/// # Errors
///
/// The root cannot be read; [`Error::Interrupted`](crate::Error::Interrupted) between two leftovers, once the
/// caller has cancelled.
pub fn clean(root: &Path, options: CleanOptions, interrupt: Interrupt<'_>) -> Result<Vec<Leftover>> {
    let mut inspection = Inspection::of_leftovers(root, interrupt)?;
    let mut found = Vec::new();
    while let Some(batch) = inspection.next(interrupt)? {
        found.extend(
            batch.findings.into_iter().filter(|f| matches!(f.status, Status::Incomplete | Status::Stranded)),
        );
    }
    let CleanOptions { older_than, dry_run } = options;
    let older_than = Nanos::try_from(older_than.as_nanos()).unwrap_or(Nanos::MAX);
    let dir = Dir::open(root).at(Step::Read, || root.to_owned())?;
    let mut cleaner = Cleaner { root: dir, older_than, dry_run, clocks: HashMap::new() };
    let mut leftovers = Vec::new();
    for finding in found {
        interrupt.check()?;
        let outcome = match cleaner.clean(&finding.directory) {
            Ok(Some(outcome)) => outcome,
            // It is gone, or a result by now.
            Ok(None) => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => Outcome::Kept(reason_of(&error)),
        };
        leftovers.push(Leftover { directory: finding.directory, description: finding.problem, outcome });
    }
    Ok(leftovers)
}

struct Cleaner {
    root: Dir,
    older_than: Nanos,
    dry_run: bool,
    /// The time on the file systems of the directories that leftovers are in.
    clocks: HashMap<PathBuf, Nanos>,
}

impl Cleaner {
    fn clean(&mut self, directory: &Path) -> io::Result<Option<Outcome>> {
        let (Some(above), Some(name)) = (directory.parent(), directory.file_name()) else { return Ok(None) };
        let parent = self.root.open_dir_below(above)?;
        let dry_run = self.dry_run;
        clean_one(&parent, name, dry_run, &mut |newest| self.is_old(above, &parent, newest))
    }

    /// Return `true` where nothing was written for long enough.
    fn is_old(&mut self, above: &Path, parent: &Dir, newest: Nanos) -> io::Result<bool> {
        let now = match self.clocks.entry(above.to_owned()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(clock(parent)?),
        };
        Ok(now.saturating_sub(newest) >= self.older_than)
    }
}

/// Remove a leftover, or the trash of a stopped cleaner; return `None` where it is neither by now.
pub(super) fn clean_one<P: Place>(
    parent: &P,
    name: &OsStr,
    dry_run: bool,
    is_old: &mut dyn FnMut(Nanos) -> io::Result<bool>,
) -> io::Result<Option<Outcome>> {
    let dir = parent.open_dir(name)?;
    if name.as_encoded_bytes().starts_with(TRASH.as_bytes()) {
        return empty_trash(parent, name, &dir, dry_run, is_old).map(Some);
    }
    let contents = Contents::of(&dir)?;
    if contents.leftover(name).is_none() {
        return Ok(None);
    }
    if let Some(unknown) = contents.unknown() {
        return Ok(Some(kept_with(unknown)));
    }
    if !is_old(contents.newest(&dir)?)? {
        return Ok(Some(Outcome::Young));
    }
    if dry_run {
        return Ok(Some(Outcome::Removed));
    }
    remove(parent, name, &dir)
}

/// Finish an interrupted clean.
fn empty_trash<P: Place>(
    parent: &P,
    name: &OsStr,
    trash: &P,
    dry_run: bool,
    is_old: &mut dyn FnMut(Nanos) -> io::Result<bool>,
) -> io::Result<Outcome> {
    let locked = trash.try_lock();
    if matches!(locked, Ok(false)) {
        // Its cleaner is active.
        return Ok(Outcome::Young);
    }
    if !parent.holds(name, trash) {
        return Err(ErrorKind::NotFound.into());
    }
    let entries = trash.entries()?;
    let is_known = |(name, kind): &&(OsString, EntryKind)| match kind {
        EntryKind::Directory => true,
        EntryKind::File => name == SIDECAR,
        EntryKind::Other => false,
    };
    if let Some((unknown, _)) = entries.iter().find(|entry| !is_known(entry)) {
        return Ok(kept_with(unknown));
    }
    let (mut newest, mut holds_record) = (trash.modified()?, false);
    for (name, kind) in &entries {
        if *kind == EntryKind::Directory {
            let child = trash.open_dir(name)?;
            newest = newest.max(Contents::of(&child)?.newest(&child)?);
            holds_record |= child.has_record();
        }
    }
    if !is_old(newest)? {
        return Ok(Outcome::Young);
    }
    if dry_run {
        return Ok(if holds_record { Outcome::Restored } else { Outcome::Removed });
    }
    if locked.is_ok() {
        return finish(parent, name, trash);
    }
    // Without locks, the rename decides which of two cleaners takes it over.
    let ours = parent.unused_name();
    parent.move_to(name, parent, &ours)?;
    finish(parent, &ours, &parent.open_dir(&ours)?)
}

fn kept_with(unknown: &OsStr) -> Outcome {
    Outcome::Kept(format!("{} is not a file of the store", unknown.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing::{names, put};
    use std::fs;

    const NAME: &str = "gpt2_pytorch_2026-02-18T14-30";

    fn cleaned(root: &Path, seconds: u64, dry: bool) -> Vec<(String, Outcome)> {
        let options = CleanOptions { older_than: Duration::from_secs(seconds), dry_run: dry };
        let leftovers = clean(root, options, Interrupt::NEVER).unwrap();
        leftovers
            .into_iter()
            .map(|left| (left.directory.to_str().unwrap().to_owned(), left.outcome))
            .collect()
    }

    #[test]
    fn clean_removes_leftovers_and_keeps_the_rest() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        fs::create_dir(root.join(NAME)).unwrap();
        put(root, &format!("study/{NAME}/timeseries.parquet"), b"PAR1");
        put(root, "study/a/.result.json.tmp", b"half");
        put(root, "study/b/result.json", b"");
        put(root, "study/b/.result.json.tmp", b"");
        put(root, "c/.result.json.tmp", b"");
        put(root, "c/notes.txt", b"");
        put(root, "d/notes.txt", b"");
        let kept = Outcome::Kept("notes.txt is not a file of the store".into());
        for dry in [true, false] {
            let expected = [
                ("c".to_owned(), kept.clone()),
                (NAME.to_owned(), Outcome::Removed),
                ("study/a".to_owned(), Outcome::Removed),
                (format!("study/{NAME}"), Outcome::Removed),
            ];
            assert_eq!(cleaned(root, 0, dry), expected);
            assert_eq!(root.join(NAME).exists(), dry);
        }
        assert_eq!(names(root), ["c", "d", "study"]);
        assert_eq!(names(&root.join("study")), ["b"]);
        assert_eq!(names(&root.join("study/b")), [".result.json.tmp", "result.json"]);
    }

    #[test]
    fn clean_young_leftover_keeps_it() {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), "a/.result.json.tmp", b"");
        assert_eq!(cleaned(temp.path(), 3600, false), [("a".into(), Outcome::Young)]);
        assert_eq!(names(temp.path()), ["a"]);
    }

    #[test]
    fn clean_trash_restores_a_result_with_its_trace() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        put(root, ".trash-1/x/.result.json.tmp", b"");
        put(root, ".trash-2/y/result.json", b"{}");
        put(root, ".trash-2/timeseries.parquet", b"PAR1");
        put(root, "y/result.json", b"another");
        put(root, ".trash-3/timeseries.parquet", b"PAR1");
        put(root, ".trash-4/notes.txt", b"");
        let outcomes: Vec<_> = cleaned(root, 0, false).into_iter().map(|(_, outcome)| outcome).collect();
        let kept = Outcome::Kept("notes.txt is not a file of the store".into());
        assert_eq!(outcomes, [Outcome::Removed, Outcome::Restored, Outcome::Removed, kept]);
        assert_eq!(names(root), [".trash-4", "y", "y_1"]);
        assert_eq!(names(&root.join("y_1")), ["result.json", "timeseries.parquet"]);
        assert_eq!(fs::read(root.join("y/result.json")).unwrap(), b"another");
    }

    #[test]
    fn clean_trash_of_a_living_cleaner_leaves_it() {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), ".trash-1/x/.result.json.tmp", b"");
        let trash = Dir::open(&temp.path().join(".trash-1")).unwrap();
        if !trash.try_lock().is_ok_and(|locked| locked) {
            return;
        }
        for dry in [true, false] {
            assert_eq!(cleaned(temp.path(), 0, dry), [(".trash-1".into(), Outcome::Young)]);
        }
        drop(trash);
        assert_eq!(cleaned(temp.path(), 0, false), [(".trash-1".into(), Outcome::Removed)]);
    }

    #[cfg(unix)]
    #[test]
    fn clean_does_not_follow_symlinks() {
        let temp = tempfile::tempdir().unwrap();
        let (root, outside) = (temp.path().join("root"), temp.path().join("outside"));
        put(&outside, "a/.result.json.tmp", b"");
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("a"), root.join(NAME)).unwrap();
        assert!(cleaned(&root, 0, false).is_empty());
        let mut cleaner = Cleaner {
            root: Dir::open(&root).unwrap(),
            older_than: 0,
            dry_run: false,
            clocks: HashMap::new(),
        };
        for directory in ["link/a", NAME] {
            assert!(
                !matches!(cleaner.clean(Path::new(directory)), Ok(Some(Outcome::Removed))),
                "{directory}"
            );
        }
        assert!(outside.join("a/.result.json.tmp").exists());
    }
}
