//! The output directory: opened once, made with its missing ancestors where it was not there.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::error::{At, Error, Result, Step};
use crate::fs::dir::Dir;

/// A directory that this save had to make, in the parent whose flush makes its name durable.
#[derive(Debug)]
struct Made {
    parent: Arc<Dir>,
    name: OsString,
}

/// The output directory, and what had to be made to have it.
///
/// Dropped without [`Root::keep`], it removes the directories that it made and that are still empty.
#[derive(Debug)]
pub struct Root {
    dir: Arc<Dir>,
    made: Vec<Made>,
    kept: bool,
}

impl Root {
    /// Open a directory; make it, and every missing ancestor, where it is not there.
    pub fn open_or_make(path: &Path) -> Result<Self> {
        match Dir::open(path) {
            Ok(dir) => Ok(Self { dir: Arc::new(dir), made: Vec::new(), kept: false }),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path, error),
            Err(error) => Err(Error::io(Step::OpenOutputDir, path, error)),
        }
    }

    fn make(path: &Path, not_found: std::io::Error) -> Result<Self> {
        let Some(parent) = path.parent() else {
            return Err(Error::io(Step::OpenOutputDir, path, not_found));
        };
        let mut root = Self::open_or_make(parent)?;
        // A path that ends in `..` has no name of its own to make: its parent was all that was missing.
        if let Some(name) = path.file_name() {
            let parent = root.dir.clone();
            let made = match parent.make_dir(name) {
                Ok(()) => true,
                // Somebody else made it between our look and our call, and may by now have removed it again.
                // What has the name and cannot be opened is a dangling symlink.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if Dir::open(path).is_err() && parent.is_taken(name).unwrap_or(true) {
                        return Err(Error::io(Step::MakeOutputDir, path, error));
                    }
                    false
                }
                Err(error) => return Err(Error::io(Step::MakeOutputDir, path, error)),
            };
            if made {
                root.made.push(Made { parent, name: name.to_owned() });
            }
        }
        root.dir = Arc::new(Dir::open(path).at(Step::OpenOutputDir, || path.to_owned())?);
        Ok(root)
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Flush the directory, then the parent of each directory that had to be made, innermost first.
    ///
    /// The parents of a root that is kept are flushed once.
    pub fn flush(&mut self) -> Result<()> {
        let parents = self.made.iter().rev().map(|made| &made.parent);
        for dir in std::iter::once(&self.dir).chain(parents) {
            dir.sync().at(Step::FlushDirectory, || dir.path().to_owned())?;
        }
        self.check_alive()?;
        if self.kept {
            self.made.clear();
        }
        Ok(())
    }

    /// Whether parents of directories that had to be made are still to be flushed.
    #[must_use]
    pub fn owes_flushes(&self) -> bool {
        !self.made.is_empty()
    }

    /// Fail where the file system has stopped taking changes, whatever a flush said.
    pub fn check_alive(&self) -> Result<()> {
        self.dir.check_alive().at(Step::FlushDirectory, || self.dir.path().to_owned())
    }

    /// Leave what was made where it is.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for made in self.made.iter().rev() {
            // A directory that somebody else has put something into is not empty, and stays.
            let _ = made.parent.remove_dir(&made.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn missing_ancestors_are_made_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b/../c/d");
        let mut root = Root::open_or_make(&path).unwrap();
        root.keep();
        assert_eq!(root.made.len(), 4, "the parents to flush are known after the commit");
        root.flush().unwrap();
        drop(root);
        assert!(temp.path().join("a/c/d").is_dir());
    }

    #[test]
    fn what_was_made_for_nothing_goes_away_and_what_was_there_stays() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("a")).unwrap();
        drop(Root::open_or_make(&temp.path().join("a/b/c")).unwrap());
        assert!(temp.path().join("a").is_dir() && !temp.path().join("a/b").exists());
    }

    #[test]
    fn what_somebody_else_uses_is_not_taken_away() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open_or_make(&temp.path().join("a/b")).unwrap();
        fs::write(temp.path().join("a/b/theirs"), "").unwrap();
        drop(root);
        assert!(temp.path().join("a/b/theirs").exists());
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("sub")] {
            let error = Root::open_or_make(&path).unwrap_err();
            assert!(error.is_io(ErrorKind::NotADirectory), "{error}");
            assert!(error.path().unwrap().starts_with(&file));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_symlink_in_the_way_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let link = temp.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [link.clone(), link.join("sub")] {
            let error = Root::open_or_make(&path).unwrap_err();
            assert!(error.is_io(ErrorKind::AlreadyExists), "{error}");
            assert_eq!(error.path(), Some(link.as_path()));
        }
    }
}
