//! An open directory: the seam between the store and the platform.
//!
//! Everything below the output directory is reached through a [`Dir`]. On Unix that is a descriptor, so a
//! name that is swapped for a symlink in the middle of a save changes nothing; elsewhere it is a path. The
//! two differ in this module alone.

#[cfg(any(not(unix), feature = "plain-dir"))]
mod plain;
#[cfg(all(unix, not(feature = "plain-dir")))]
mod unix;

#[cfg(any(not(unix), feature = "plain-dir"))]
pub use plain::{Dir, FileSystem, close};
#[cfg(all(unix, not(feature = "plain-dir")))]
pub use unix::{Dir, FileSystem, close};

#[cfg(any(not(target_os = "linux"), feature = "plain-dir"))]
mod no_file_system {
    /// There is none.
    #[derive(Debug)]
    pub enum FileSystem {}

    impl FileSystem {
        /// Never called.
        pub fn sync(&self) -> std::io::Result<()> {
            match *self {}
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
    fn a_file_is_never_opened_over_another() {
        let (temp, dir) = opened();
        close(dir.create_new("x".as_ref()).unwrap()).unwrap();
        assert_eq!(dir.create_new("x".as_ref()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(temp.path().join("x").is_file());
    }

    #[test]
    fn publishing_never_replaces_what_is_there() {
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
    fn a_rename_whose_answer_was_lost_counts_as_done() {
        let (temp, dir) = opened();
        fs::write(temp.path().join("final"), "ours").unwrap();
        dir.publish("temp".as_ref(), "final".as_ref()).unwrap();
        assert_eq!(dir.publish("temp".as_ref(), "absent".as_ref()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn replacing_replaces() {
        let (temp, dir) = opened();
        fs::write(temp.path().join("old"), "old").unwrap();
        fs::write(temp.path().join("new"), "new").unwrap();
        dir.replace("new".as_ref(), "old".as_ref()).unwrap();
        assert_eq!(fs::read(temp.path().join("old")).unwrap(), b"new");
    }

    #[test]
    fn a_directory_is_made_once() {
        let (_temp, dir) = opened();
        dir.make_dir("d".as_ref()).unwrap();
        assert_eq!(dir.make_dir("d".as_ref()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(dir.is_taken("d".as_ref()).unwrap() && !dir.is_taken("e".as_ref()).unwrap());
        dir.open_dir("d".as_ref()).unwrap().sync().unwrap();
        dir.remove_dir("d".as_ref()).unwrap();
        assert!(!dir.is_taken("d".as_ref()).unwrap());
    }

    #[test]
    fn a_directory_knows_where_it_is() {
        let (temp, dir) = opened();
        assert!(dir.is_at(temp.path()) && !dir.is_at(&temp.path().join("elsewhere")));
    }

    #[test]
    fn a_file_system_that_is_flushed_as_a_whole_is_flushed() {
        let (_temp, dir) = opened();
        if let Some(file_system) = dir.file_system() {
            file_system.sync().unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_is_not_followed_into_and_counts_as_taken() {
        let (temp, dir) = opened();
        std::os::unix::fs::symlink(temp.path().join("nowhere"), temp.path().join("link")).unwrap();
        assert!(dir.is_taken("link".as_ref()).unwrap());
        dir.open_dir("link".as_ref()).err().unwrap();
        fs::create_dir(temp.path().join("real")).unwrap();
        std::os::unix::fs::symlink(temp.path().join("real"), temp.path().join("to-real")).unwrap();
        dir.open_dir("to-real".as_ref()).err().unwrap();
    }
}
