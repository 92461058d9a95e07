//! The trash of a clean: the steps that remove one directory, and put it back where it became a result.
//!
//! A trash holds the directory under its own name, and its power trace as `.trace-<inode>/<name>`: a trace names the
//! directory that it belongs to, wherever that is by now. The cleaner that made a trash holds a lock on it, so that no
//! other one takes it over before that cleaner has ended. Where the file system has no lock, only a trash that is old
//! enough is taken over; a living cleaner works for milliseconds.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::clean::Outcome;
use super::place::Place;
use super::{Contents, TRASH};
use crate::SIDECAR;
use crate::fs::dir::{EntryKind, Nanos};

/// The prefix of the directory in a trash that holds a power trace; a hidden name, which no leftover has.
const TRACE: &str = ".trace-";
/// Attempts to make a trash that other cleaners remove before it is locked.
const ATTEMPTS: usize = 100;

/// Return the time of a file system: the modification time of a new directory.
pub(super) fn clock<P: Place>(parent: &P) -> io::Result<Nanos> {
    let (name, made) = make_trash(parent)?;
    let now = made.modified();
    unless_gone(parent.remove_dir(&name))?;
    now
}

/// Make a trash that belongs to this cleaner until it is dropped.
pub(super) fn make_trash<P: Place>(parent: &P) -> io::Result<(OsString, P)> {
    for _ in 0..ATTEMPTS {
        let name = parent.unused_name();
        match parent.make_dir(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        match parent.open_dir(&name) {
            // Another cleaner takes a trash without a lock for that of a stopped one.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(trash) if trash.try_lock().unwrap_or(true) && parent.holds(&name, &trash) => {
                return Ok((name, trash));
            }
            Ok(_) => unless_gone(parent.remove_dir(&name))?,
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("other cleaners removed every directory that this one made; clean again"))
}

/// Remove a leftover that was looked at, unless it has become something else.
pub(super) fn remove<P: Place>(parent: &P, name: &OsStr, dir: &P) -> io::Result<Option<Outcome>> {
    let (trash_name, trash) = make_trash(parent)?;
    if let Err(error) = parent.move_to(name, &trash, name) {
        unless_gone(parent.remove_dir(&trash_name))?;
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
        remove_trash(parent, &trash_name)?;
        return Ok(Some(Outcome::Removed));
    }
    let is_result = moved.is_ok_and(|moved| moved.has_record());
    restore(parent, &trash, name)?;
    remove_trash(parent, &trash_name)?;
    disposed?;
    Ok((!is_result).then(|| Outcome::Kept("a file appeared in it meanwhile".into())))
}

/// Finish the work of a cleaner that was stopped: remove the directories of its trash or put them back, and then the
/// power traces whose directory is gone.
pub(super) fn finish<P: Place>(parent: &P, trash_name: &OsStr, trash: &P) -> io::Result<Outcome> {
    let mut outcome = Outcome::Removed;
    for name in directories(trash)?.iter().filter(|name| !is_trace(name)) {
        if !dispose(trash, name, &trash.open_dir(name)?)? {
            restore(parent, trash, name)?;
            outcome = Outcome::Restored;
        }
    }
    for trace in directories(trash)?.iter().filter(|name| is_trace(name)) {
        let traces = trash.open_dir(trace)?;
        for (name, _) in traces.entries()? {
            match owner(parent, Some(&name), inode_of(trace))? {
                Owner::Found(dir) => {
                    unless_gone(traces.move_to(&name, &dir, SIDECAR.as_ref()))?;
                    dir.sync()?;
                    outcome = Outcome::Restored;
                }
                Owner::Possible(lacking) => return Ok(kept_for(&lacking)),
                Owner::None => unless_gone(traces.remove_file(&name))?,
            }
        }
        unless_gone(trash.remove_dir(trace))?;
    }
    // Earlier versions put the trace next to its directory.
    if trash.is_taken(SIDECAR.as_ref())? {
        match owner(parent, None, None)? {
            Owner::Possible(lacking) => return Ok(kept_for(&lacking)),
            _ => unless_gone(trash.remove_file(SIDECAR.as_ref()))?,
        }
    }
    remove_trash(parent, trash_name)?;
    Ok(outcome)
}

/// Remove a directory in the trash; return `false`, with its content in place, where some of it is to be kept.
fn dispose<P: Place>(trash: &P, name: &OsStr, dir: &P) -> io::Result<bool> {
    let removed = empty(trash, name, dir).and_then(|empty| {
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
    let traces = open_traces(trash, dir)?;
    if matches!(removed, Ok(true)) {
        // No record can appear in a removed directory.
        if let Some((traces_name, traces)) = traces {
            unless_gone(traces.remove_file(name))?;
            unless_gone(trash.remove_dir(&traces_name))?;
        }
        return removed;
    }
    let mut put_back = unless_taken(trash.move_to(SIDECAR.as_ref(), dir, SIDECAR.as_ref()))?;
    if let Some((traces_name, traces)) = traces {
        put_back |= unless_taken(traces.move_to(name, dir, SIDECAR.as_ref()))?;
        let _ = trash.remove_dir(&traces_name);
    }
    if put_back {
        dir.sync()?;
    }
    removed
}

/// Remove the files of a save from a directory; return `false` where it holds a record or other files.
fn empty<P: Place>(trash: &P, name: &OsStr, dir: &P) -> io::Result<bool> {
    let contents = Contents::of(dir)?;
    if contents.record || contents.unknown().is_some() {
        return Ok(false);
    }
    for temp in &contents.temps {
        unless_gone(dir.remove_file(temp))?;
    }
    if contents.sidecar {
        // Not removed yet: a record that names it may appear until the directory is gone.
        let traces_name = traces_name(dir);
        match trash.make_dir(&traces_name) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let traces = trash.open_dir(&traces_name)?;
        match dir.move_to(SIDECAR.as_ref(), &traces, name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            moved => unless_gone(moved)?,
        }
    }
    Ok(true)
}

/// Put a directory back where it was, or under the next free suffix where its name was claimed meanwhile.
fn restore<P: Place>(parent: &P, trash: &P, name: &OsStr) -> io::Result<()> {
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

/// The directory that a power trace in the trash belongs to.
enum Owner<P> {
    /// It is this one, which has no power trace.
    Found(P),
    /// A record of that name lacks a power trace; its directory is another one, as far as inodes show.
    Possible(OsString),
    /// No record can miss it.
    None,
}

/// Find the directory of a power trace by the name that it had and its inode; without a name, any directory may be.
fn owner<P: Place>(parent: &P, name: Option<&OsStr>, inode: Option<u64>) -> io::Result<Owner<P>> {
    let mut possible = Owner::None;
    for entry in directories(parent)? {
        if let Some(name) = name.filter(|_| entry.as_encoded_bytes().starts_with(TRASH.as_bytes())) {
            // Not put back yet.
            if parent.open_dir(&entry).is_ok_and(|other| other.is_taken(name).unwrap_or(true)) {
                possible = Owner::Possible(Path::new(&entry).join(name).into());
            }
            continue;
        }
        if name.is_some_and(|name| !is_named(&entry, name)) {
            continue;
        }
        let Ok(dir) = parent.open_dir(&entry) else { continue };
        if inode.is_some() && dir.inode().ok() == inode && !dir.is_taken(SIDECAR.as_ref())? {
            return Ok(Owner::Found(dir));
        }
        if dir.lacks_sidecar() {
            possible = Owner::Possible(entry);
        }
    }
    Ok(possible)
}

/// Return `true` for a name, and for a name with the suffix that [`restore`] adds where it is taken.
fn is_named(entry: &OsStr, name: &OsStr) -> bool {
    match entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes()) {
        Some([]) => true,
        Some([b'_', digits @ ..]) => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn kept_for(lacking: &OsStr) -> Outcome {
    let lacking = lacking.display();
    Outcome::Kept(format!(
        "it has a power trace, which may be the one that {lacking} lacks; clean again, or move it there"
    ))
}

fn traces_name<P: Place>(dir: &P) -> OsString {
    format!("{TRACE}{:x}", dir.inode().unwrap_or(0)).into()
}

fn inode_of(traces_name: &OsStr) -> Option<u64> {
    u64::from_str_radix(traces_name.to_str()?.strip_prefix(TRACE)?, 16).ok()
}

fn is_trace(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TRACE.as_bytes())
}

/// Open the directory in a trash that holds the power trace of another one; `None` where there is none.
fn open_traces<P: Place>(trash: &P, dir: &P) -> io::Result<Option<(OsString, P)>> {
    let name = traces_name(dir);
    match trash.open_dir(&name) {
        Ok(traces) => Ok(Some((name, traces))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn directories<P: Place>(dir: &P) -> io::Result<Vec<OsString>> {
    let entries = dir.entries()?.into_iter();
    Ok(entries.filter(|(_, kind)| *kind == EntryKind::Directory).map(|(name, _)| name).collect())
}

fn remove_trash<P: Place>(parent: &P, name: &OsStr) -> io::Result<()> {
    match parent.remove_dir(name) {
        // A file appeared in it: the next clean reports it.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => unless_gone(removed),
    }
}

fn unless_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Return `false` where there was nothing to move, or no room for it.
fn unless_taken(moved: io::Result<()>) -> io::Result<bool> {
    match moved {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => Ok(false),
        moved => moved.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RECORD;
    use crate::fs::dir::Dir;
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
        let traces = traces_name(&moved);
        trash.make_dir(&traces).unwrap();
        moved.move_to(SIDECAR.as_ref(), &trash.open_dir(&traces).unwrap(), "x".as_ref()).unwrap();
        assert!(!dispose(&trash, "x".as_ref(), &moved).unwrap());
        assert!(moved.is_taken(SIDECAR.as_ref()).unwrap() && moved.is_taken(RECORD.as_ref()).unwrap());
        restore(&parent, &trash, "x".as_ref()).unwrap();
        remove_trash(&parent, &name).unwrap();
        assert_eq!(names(root), ["x"]);
    }
    const NAMES_A_TRACE: &[u8] = b"{\"timeseries\": \"timeseries.parquet\"}";

    /// Put a trace into the trash of a stopped cleaner, and finish its work.
    fn finished(root: &Path, trace: &str) -> Outcome {
        put(root, trace, b"PAR1");
        let parent = Dir::open(root).unwrap();
        finish(&parent, ".trash-1".as_ref(), &parent.open_dir(".trash-1".as_ref()).unwrap()).unwrap()
    }

    #[test]
    fn finish_trace_of_a_restored_result_puts_it_back() {
        for name in ["x", "x_1"] {
            let temp = tempfile::tempdir().unwrap();
            let root = temp.path();
            put(root, &format!("{name}/result.json"), NAMES_A_TRACE);
            let restored = Dir::open(&root.join(name)).unwrap();
            let Ok(inode) = restored.inode_number() else { return };
            assert_eq!(finished(root, &format!(".trash-1/.trace-{inode:x}/x")), Outcome::Restored);
            assert_eq!((names(root), names(&root.join(name)).len()), (vec![name.to_owned()], 2));
        }
    }

    #[test]
    fn finish_trace_while_a_record_of_its_name_lacks_one_keeps_it() {
        for (trace, record) in [
            (".trash-1/.trace-1/x", "x/result.json"),
            (".trash-1/.trace-1/x", "x_12/result.json"),
            (".trash-1/.trace-1/x", ".trash-2/x/result.json"),
            (".trash-1/timeseries.parquet", "y/result.json"),
        ] {
            let temp = tempfile::tempdir().unwrap();
            put(temp.path(), record, NAMES_A_TRACE);
            assert!(matches!(finished(temp.path(), trace), Outcome::Kept(_)), "{record}");
            assert!(temp.path().join(trace).exists(), "{record}");
        }
    }

    #[test]
    fn finish_trace_that_no_record_lacks_removes_it() {
        for (record, content) in [
            ("y/result.json", NAMES_A_TRACE),
            ("x-1/result.json", NAMES_A_TRACE),
            ("x/result.json", b"{}"),
            ("x/.result.json.tmp", b""),
        ] {
            let temp = tempfile::tempdir().unwrap();
            put(temp.path(), record, content);
            assert_eq!(finished(temp.path(), ".trash-1/.trace-1/x"), Outcome::Removed, "{record}");
            assert!(!temp.path().join(".trash-1").exists(), "{record}");
        }
    }
}
