//! An open directory: the seam between the store and the platform.
//!
//! Everything below the output directory is reached through a [`Dir`]. On Unix that is a descriptor, so a
//! name that is swapped for a symlink in the middle of a save changes nothing; elsewhere it is a path. The
//! two differ in this module alone.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;

use crate::interrupt::{Interrupt, Pace};

#[cfg(all(target_os = "linux", not(feature = "plain-dir")))]
mod linux;
#[cfg(any(not(unix), feature = "plain-dir"))]
mod plain;
#[cfg(all(unix, not(feature = "plain-dir")))]
mod unix;

#[cfg(any(not(unix), feature = "plain-dir"))]
pub use plain::{Dir, close, is_link, read_more};
#[cfg(all(unix, not(feature = "plain-dir")))]
pub use unix::{Dir, close, is_link, read_more};

#[cfg(all(target_os = "linux", not(feature = "plain-dir")))]
pub use linux::FileSystem;
#[cfg(any(not(target_os = "linux"), feature = "plain-dir"))]
pub use no_file_system::FileSystem;

/// The kind of a directory's entry; a symlink is [`EntryKind::Other`], wherever it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Nanoseconds since 1970, by the clock of a file system.
pub type Nanos = i128;

/// The device and inode of a directory; two paths that lead to one directory have the same.
pub type Identity = (u64, u64);

/// The directories and symlinks in a directory, in the order of their names.
#[derive(Debug, Default)]
pub struct Subdirectories {
    /// The names of the directories.
    pub names: Vec<OsString>,
    /// The symlinks that do not lead to files.
    pub links: Vec<Link>,
}

/// A symlink that does not lead to a file.
#[derive(Debug)]
pub struct Link {
    /// Its name.
    pub name: OsString,
    /// Where it leads.
    pub leads: Leads,
}

/// The target of a symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// A directory.
    Directory,
    /// Nothing, itself, or a place that this user cannot see.
    Nowhere,
}

impl Dir {
    /// List all entries, hidden ones too, in the order of their names' bytes.
    pub fn entries(&self, interrupt: Interrupt<'_>) -> io::Result<Vec<(OsString, EntryKind)>> {
        let mut entries = Vec::new();
        self.each_entry(interrupt, |name, kind| entries.push((name.to_owned(), kind)))?;
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(entries)
    }
}

impl Subdirectories {
    fn sort(&mut self, pace: &mut Pace<'_>) -> io::Result<()> {
        self.names = sorted(std::mem::take(&mut self.names), pace)?;
        self.links.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(())
    }
}

/// Names that are sorted, or merged, between two looks at the clock.
const RUN: usize = 4096;

/// Sort names; fail with `Interrupted` once the caller has cancelled, which the standard sort cannot.
fn sorted<T: Ord>(mut names: Vec<T>, pace: &mut Pace<'_>) -> io::Result<Vec<T>> {
    let mut runs = VecDeque::new();
    while !names.is_empty() {
        pace.check_io()?;
        let mut run = names.split_off(names.len().saturating_sub(RUN));
        run.sort_unstable();
        runs.push_back(run);
    }
    while runs.len() > 1 {
        if let (Some(one), Some(other)) = (runs.pop_front(), runs.pop_front()) {
            runs.push_back(merged(one, other, pace)?);
        }
    }
    Ok(runs.pop_front().unwrap_or_default())
}

fn merged<T: Ord>(one: Vec<T>, other: Vec<T>, pace: &mut Pace<'_>) -> io::Result<Vec<T>> {
    let mut both = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    while let (Some(first), Some(second)) = (one.peek(), other.peek()) {
        if both.len() % RUN == 0 {
            pace.check_io()?;
        }
        both.extend(if first <= second { one.next() } else { other.next() });
    }
    both.extend(one);
    both.extend(other);
    Ok(both)
}

/// Return the error of a symlink to a file that does not exist.
pub fn leads_to_nothing() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "a symbolic link that leads to nothing")
}

#[cfg(any(not(target_os = "linux"), feature = "plain-dir"))]
mod no_file_system {
    use std::io;

    use super::Dir;

    /// A file system that can be flushed as a whole: none on this platform.
    #[derive(Debug)]
    pub enum FileSystem {}

    impl FileSystem {
        /// Never called.
        pub fn sync(&self) -> io::Result<()> {
            match *self {}
        }
    }

    impl Dir {
        /// Report no failure: this platform has no check.
        pub fn check_alive(&self) -> io::Result<()> {
            Ok(())
        }

        /// Return `None`: no file system of this platform is known to report its errors in one flush.
        pub fn file_system(&self) -> Option<FileSystem> {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{ErrorKind, Write};

    fn opened() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn create_new_existing_file_fails() {
        let (temp, dir) = opened();
        close(dir.create_new("x".as_ref()).unwrap()).unwrap();
        assert_eq!(dir.create_new("x".as_ref()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(temp.path().join("x").is_file());
    }

    #[test]
    fn publish_to_taken_name_fails() {
        let (temp, dir) = opened();
        fs::write(temp.path().join("theirs"), "theirs").unwrap();
        dir.create_new("ours".as_ref()).unwrap().write_all(b"ours").unwrap();
        let error = dir.publish("ours".as_ref(), "theirs".as_ref()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(temp.path().join("theirs")).unwrap(), b"theirs");
        dir.publish("ours".as_ref(), "free".as_ref()).unwrap();
        assert_eq!(fs::read(temp.path().join("free")).unwrap(), b"ours");
        assert!(!temp.path().join("ours").exists());
    }

    #[test]
    fn publish_with_lost_answer_succeeds() {
        let (temp, dir) = opened();
        fs::write(temp.path().join("final"), "ours").unwrap();
        dir.publish("temp".as_ref(), "final".as_ref()).unwrap();
        assert_eq!(dir.publish("temp".as_ref(), "absent".as_ref()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn replace_taken_name_replaces_it() {
        let (temp, dir) = opened();
        fs::write(temp.path().join("old"), "old").unwrap();
        fs::write(temp.path().join("new"), "new").unwrap();
        dir.replace("new".as_ref(), "old".as_ref()).unwrap();
        assert_eq!(fs::read(temp.path().join("old")).unwrap(), b"new");
    }

    #[test]
    fn make_dir_twice_fails() {
        let (_temp, dir) = opened();
        dir.make_dir("d".as_ref()).unwrap();
        assert_eq!(dir.make_dir("d".as_ref()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(dir.is_taken("d".as_ref()).unwrap() && !dir.is_taken("e".as_ref()).unwrap());
        dir.open_dir("d".as_ref()).unwrap().sync().unwrap();
        dir.remove_dir("d".as_ref()).unwrap();
        assert!(!dir.is_taken("d".as_ref()).unwrap());
    }

    #[test]
    fn entries_returns_names_and_kinds_with_hidden_ones() {
        let (temp, dir) = opened();
        fs::create_dir(temp.path().join("b")).unwrap();
        fs::write(temp.path().join(".a"), "").unwrap();
        let expected = [(".a".into(), EntryKind::File), ("b".into(), EntryKind::Directory)];
        assert_eq!(dir.entries(Interrupt::NEVER).unwrap(), expected);
    }

    #[test]
    fn sorted_orders_names_of_many_runs() {
        for count in [0, 1, RUN, RUN + 1, 5 * RUN + 3] {
            let names: Vec<usize> = (0..count).map(|n| n * 7919 % count).collect();
            let mut expected = names.clone();
            expected.sort_unstable();
            assert_eq!(sorted(names, &mut Pace::new(Interrupt::NEVER)).unwrap(), expected);
        }
    }

    #[test]
    fn sorted_stops_once_the_caller_has_cancelled() {
        let names: Vec<usize> = (0..2 * RUN).rev().collect();
        let mut pace = Pace::new(Interrupt::new(&|_| true));
        assert!(pace.check_io().is_ok());
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(sorted(names, &mut pace).unwrap_err().kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn move_to_taken_name_fails() {
        let (temp, dir) = opened();
        for name in ["from", "to", "taken"] {
            dir.make_dir(name.as_ref()).unwrap();
        }
        let (from, to) = (dir.open_dir("from".as_ref()).unwrap(), dir.open_dir("to".as_ref()).unwrap());
        assert!(dir.holds("from".as_ref(), &from) && !dir.holds("to".as_ref(), &from));
        let error = dir.move_to("from".as_ref(), &dir, "taken".as_ref()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        dir.move_to("from".as_ref(), &to, "in".as_ref()).unwrap();
        assert!(temp.path().join("to/in").is_dir());
        let error = dir.move_to("from".as_ref(), &to, "in".as_ref()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(dir.open_dir_below("to/in".as_ref()).unwrap().entries(Interrupt::NEVER).unwrap().is_empty());
    }

    #[test]
    fn modified_returns_the_time_of_the_file_system() {
        let (temp, dir) = opened();
        fs::write(temp.path().join("x"), "").unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::new(5, 7000);
        fs::File::options().write(true).open(temp.path().join("x")).unwrap().set_modified(then).unwrap();
        assert_eq!(dir.modified_of("x".as_ref()).unwrap(), 5_000_007_000);
        assert!(dir.modified().unwrap() > 5_000_007_000);
    }

    #[test]
    fn is_at_own_path_returns_true() {
        let (temp, dir) = opened();
        assert!(dir.is_at(temp.path()) && !dir.is_at(&temp.path().join("elsewhere")));
    }

    #[test]
    fn sync_file_system_succeeds() {
        let (_temp, dir) = opened();
        if let Some(file_system) = dir.file_system() {
            file_system.sync().unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn open_dir_symlink_fails() {
        let (temp, dir) = opened();
        std::os::unix::fs::symlink(temp.path().join("nowhere"), temp.path().join("link")).unwrap();
        assert!(dir.is_taken("link".as_ref()).unwrap());
        dir.open_dir("link".as_ref()).err().unwrap();
        fs::create_dir(temp.path().join("real")).unwrap();
        std::os::unix::fs::symlink(temp.path().join("real"), temp.path().join("to-real")).unwrap();
        dir.open_dir("to-real".as_ref()).err().unwrap();
        dir.open_dir_below("to-real".as_ref()).err().unwrap();
        assert!(dir.entries(Interrupt::NEVER).unwrap().contains(&("link".into(), EntryKind::Other)));
    }
}
