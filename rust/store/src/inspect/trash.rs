//! The trash of a clean: the steps that remove one directory, and put it back where it became a result.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};

use super::clean::Outcome;
use super::{Contents, TRASH};
use crate::fs::dir::{Dir, Nanos};
use crate::{RECORD, SIDECAR};

/// Return the time of a file system: the modification time of a new directory.
pub(super) fn clock(parent: &Dir) -> io::Result<Nanos> {
    let (name, made) = make_trash(parent)?;
    let now = made.modified();
    parent.remove_dir(&name)?;
    now
}

pub(super) fn unused_name() -> OsString {
    format!("{TRASH}{:016x}", RandomState::new().hash_one(std::process::id())).into()
}

pub(super) fn make_trash(parent: &Dir) -> io::Result<(OsString, Dir)> {
    loop {
        let name = unused_name();
        match parent.make_dir(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let dir = parent.open_dir(&name)?;
                return Ok((name, dir));
            }
        }
    }
}

/// Remove a leftover that was looked at, unless it has become something else.
pub(super) fn remove(parent: &Dir, name: &OsStr, dir: &Dir) -> io::Result<Option<Outcome>> {
    let (trash_name, trash) = make_trash(parent)?;
    if let Err(error) = parent.move_to(name, &trash, name) {
        parent.remove_dir(&trash_name)?;
        return Err(error);
    }
    let moved = trash.open_dir(name);
    let disposed = match &moved {
        // Removed by its saver meanwhile, and claimed by another: that one is not ours to judge.
        Ok(moved) if !moved.is_same(dir) => Ok(false),
        Ok(moved) => dispose(&trash, name, moved),
        // It is not a directory any more.
        Err(_) => Ok(false),
    };
    if matches!(disposed, Ok(true)) {
        discard(parent, &trash_name, &trash, true)?;
        return Ok(Some(Outcome::Removed));
    }
    let is_result = moved.is_ok_and(|moved| has_record(&moved));
    restore(parent, &trash, name)?;
    discard(parent, &trash_name, &trash, false)?;
    disposed?;
    Ok((!is_result).then(|| Outcome::Kept("a file appeared in it meanwhile".into())))
}

/// Remove a directory in the trash; return `false`, with its content in place, where some of it is to be kept.
pub(super) fn dispose(trash: &Dir, name: &OsStr, dir: &Dir) -> io::Result<bool> {
    let removed = empty(trash, dir).and_then(|empty| {
        if !empty {
            return Ok(false);
        }
        match trash.remove_dir(name) {
            Ok(()) => Ok(true),
            // A record or another file has appeared.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    });
    if !matches!(removed, Ok(true)) {
        match trash.move_to(SIDECAR.as_ref(), dir, SIDECAR.as_ref()) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
                return Err(error);
            }
            _ => {}
        }
    }
    removed
}

/// Remove the files of a save from a directory; return `false` where it holds a record or other files.
pub(super) fn empty(trash: &Dir, dir: &Dir) -> io::Result<bool> {
    let contents = Contents::of(dir)?;
    if contents.record || contents.unknown().is_some() {
        return Ok(false);
    }
    let gone = |done: io::Result<()>| match done {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for temp in &contents.temps {
        gone(dir.remove_file(temp))?;
    }
    if contents.sidecar {
        // Not removed yet: a record that names it may appear until the directory is gone.
        gone(dir.move_to(SIDECAR.as_ref(), trash, SIDECAR.as_ref()))?;
    }
    Ok(true)
}

/// Put a directory back where it was, or under the next free suffix where its name was claimed meanwhile.
pub(super) fn restore(parent: &Dir, trash: &Dir, name: &OsStr) -> io::Result<()> {
    for suffix in 0_u64.. {
        let mut free = name.to_owned();
        if suffix > 0 {
            free.push(format!("_{suffix}"));
        }
        match trash.move_to(name, parent, &free) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // Another cleaner did.
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    // Its save has flushed the name that it had in the trash.
    trash.sync()?;
    parent.sync()
}

/// Remove the trash, and a power trace in it whose directory is gone.
pub(super) fn discard(parent: &Dir, name: &OsStr, trash: &Dir, is_dead: bool) -> io::Result<()> {
    if is_dead
        && let Err(error) = trash.remove_file(SIDECAR.as_ref())
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    match parent.remove_dir(name) {
        // Another clean has taken it, or a file appeared in it: the next clean reports it.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => Ok(()),
        outcome => outcome,
    }
}

/// Return `true` where an entry is called `result.json`, or may be.
pub(super) fn has_record(dir: &Dir) -> bool {
    dir.is_taken(RECORD.as_ref()).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing::{names, put};

    #[test]
    fn remove_with_new_record_puts_it_back() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        put(root, "x/timeseries.parquet", b"PAR1");
        put(root, "x/.result.json.tmp", b"");
        let parent = Dir::open(root).unwrap();
        let dir = parent.open_dir("x".as_ref()).unwrap();
        put(root, "x/result.json", b"{}");
        assert_eq!(remove(&parent, "x".as_ref(), &dir).unwrap(), None);
        assert_eq!(names(root), ["x"]);
        assert_eq!(names(&root.join("x")), [".result.json.tmp", "result.json", "timeseries.parquet"]);
        // After the second look: the trace is aside, and the removal is what finds it.
        let (name, trash) = make_trash(&parent).unwrap();
        parent.move_to("x".as_ref(), &trash, "x".as_ref()).unwrap();
        let moved = trash.open_dir("x".as_ref()).unwrap();
        moved.move_to(SIDECAR.as_ref(), &trash, SIDECAR.as_ref()).unwrap();
        assert!(!dispose(&trash, "x".as_ref(), &moved).unwrap());
        assert!(moved.is_taken(SIDECAR.as_ref()).unwrap() && moved.is_taken(RECORD.as_ref()).unwrap());
        restore(&parent, &trash, "x".as_ref()).unwrap();
        discard(&parent, &name, &trash, false).unwrap();
        assert_eq!(names(root), ["x"]);
    }
}
