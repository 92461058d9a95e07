//! The root: opened once, created with its missing ancestors where it does not exist.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::error::{At, Error, Result, Step};
use crate::fs::dir::Dir;

/// A directory that this save created, in the parent whose flush makes its name durable.
#[derive(Debug)]
struct Made {
    parent: Arc<Dir>,
    name: OsString,
}

/// The root, and the directories that were created for it.
///
/// Dropped without [`Root::keep`], it removes the created directories that are still empty.
#[derive(Debug)]
pub struct Root {
    dir: Arc<Dir>,
    made: Vec<Made>,
    kept: bool,
}

impl Root {
    /// Open a directory; create it and every missing ancestor.
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
                // Another process created it meanwhile, and may have removed it again.
                // An entry that cannot be opened is a dangling symlink.
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

    /// Return the directory.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.dir
    }

    /// Flush the directory, then the parent of each created directory, innermost first.
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

    /// Return `true` while parents of created directories are not flushed.
    pub fn owes_flushes(&self) -> bool {
        !self.made.is_empty()
    }

    /// Fail where the file system stopped accepting changes, even after a successful flush.
    pub fn check_alive(&self) -> Result<()> {
        self.dir.check_alive().at(Step::FlushDirectory, || self.dir.path().to_owned())
    }

    /// Keep the created directories.
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
            // A directory that another process uses is not empty, and stays.
            let _ = made.parent.remove_dir(&made.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn open_or_make_creates_missing_ancestors() {
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
    fn drop_unkept_root_removes_created_directories() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("a")).unwrap();
        drop(Root::open_or_make(&temp.path().join("a/b/c")).unwrap());
        assert!(temp.path().join("a").is_dir() && !temp.path().join("a/b").exists());
    }

    #[test]
    fn drop_unkept_root_keeps_directories_in_use() {
        let temp = tempfile::tempdir().unwrap();
        let root = Root::open_or_make(&temp.path().join("a/b")).unwrap();
        fs::write(temp.path().join("a/b/theirs"), "").unwrap();
        drop(root);
        assert!(temp.path().join("a/b/theirs").exists());
    }

    #[test]
    fn open_or_make_through_file_names_it() {
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
    fn open_or_make_through_dangling_symlink_names_it() {
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
