//! A file that is complete or absent, and its flushes.
//!
//! A file is written under a temporary name, flushed, and renamed. Without the flush *before* the rename, a
//! power cut leaves a record of length zero under its final name; without the flush of the directory *after*
//! it, the name itself is lost. Both are inside this module's two types, so no caller can forget one.
//!
//! A failed flush is never tried again: the kernel drops the dirty pages it could not write and reports
//! success the second time (measured on ext4, xfs and btrfs).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{At, Error, Result, Step};
use crate::fs::dir::{self, Dir};

/// The policy for flushes: wait for the device, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything is flushed before the save returns: it survives a power cut.
    Durable,
    /// Nothing is flushed: atomic for readers and across crashes of the process, not across a power cut.
    Relaxed,
}

/// A file under a temporary name. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct PendingFile {
    dir: Arc<Dir>,
    name: OsString,
    file: Option<File>,
    length: u64,
    published: bool,
}

impl PendingFile {
    /// Create the temporary file; it must not exist.
    pub fn create(dir: &Arc<Dir>, name: &OsStr) -> Result<Self> {
        let file = dir.create_new(name).at(Step::Create, || dir.path().join(name))?;
        Ok(Self { dir: dir.clone(), name: name.to_owned(), file: Some(file), length: 0, published: false })
    }

    /// Return the path of the temporary file.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// Return the open file.
    pub fn file(&mut self) -> Result<&mut File> {
        let Self { dir, name, file, .. } = self;
        file.as_mut().ok_or_else(|| {
            let closed = io::Error::new(ErrorKind::InvalidInput, "the file is closed");
            Error::io(Step::Write, dir.path().join(name), closed)
        })
    }

    /// Write all of the content.
    pub fn write(&mut self, content: &[u8]) -> Result<()> {
        let written = self.file()?.write_all(content);
        written.at(Step::Write, || self.path())
    }

    /// Check that the file has the length it should have.
    pub fn check_length(&mut self, length: u64) -> Result<()> {
        // The kernel's end of the file, not the sum of what the writes reported.
        let end = self.file()?.seek(SeekFrom::End(0));
        let end = end.at(Step::Write, || self.path())?;
        if end == length {
            self.length = length;
            return Ok(());
        }
        let said = format!("expected {length} bytes in the file, got {end}");
        Err(Error::io(Step::Write, self.path(), io::Error::new(ErrorKind::WriteZero, said)))
    }

    /// Return the length that was checked last.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Flush the file to the device. A failure is final: the content must be written again, to another file.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.file()?.sync_all();
        flushed.at(Step::Flush, || self.path())
    }

    /// Close the file, and report the error of the close.
    pub fn close(&mut self) -> Result<()> {
        let closed = self.file.take().map_or(Ok(()), dir::close);
        closed.at(Step::Close, || self.path())
    }

    /// Flush the file, where it is to be durable, and close it.
    pub fn seal(&mut self, durability: Durability) -> Result<()> {
        if durability == Durability::Durable {
            self.flush()?;
        }
        self.close()
    }

    /// Close the file, unless it is closed, and rename it to a free name.
    pub fn publish(mut self, name: &OsStr) -> Result<()> {
        self.close()?;
        self.dir.publish(&self.name, name).at(Step::Commit, || self.dir.path().join(name))?;
        self.published = true;
        Ok(())
    }

    /// Rename the sealed file, and replace a file of that name.
    pub fn replace(mut self, name: &OsStr) -> Result<()> {
        self.dir.replace(&self.name, name).at(Step::Commit, || self.dir.path().join(name))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.published {
            let _ = self.dir.remove_file(&self.name);
        }
    }
}

/// Replace a file atomically and durably: flush the file, rename it, and flush its directory.
///
/// The new file has mode 0666 under the umask. A symlink is replaced, not followed.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    replace_with(path, |pending| {
        pending.write(content)?;
        Ok(content.len() as u64)
    })
}

/// Replace a file as [`replace`] does, with content that `write` writes; it returns the number of bytes.
pub fn replace_with<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut PendingFile) -> std::result::Result<u64, E>,
) -> std::result::Result<(), E> {
    let Some(name) = path.file_name() else {
        return Err(Error::io(Step::Create, path, ErrorKind::InvalidInput.into()).into());
    };
    let parent = path.parent().unwrap_or(Path::new(""));
    let dir = Arc::new(Dir::open(parent).at(Step::OpenOutputDir, || parent.to_owned())?);
    let mut pending = create_unique(&dir)?;
    let length = write(&mut pending)?;
    pending.check_length(length)?;
    pending.seal(Durability::Durable)?;
    pending.replace(name)?;
    dir.sync().and_then(|()| dir.check_alive()).map_err(|source| {
        let cause = Error::io(Step::FlushDirectory, parent, source).into();
        Error::Unconfirmed { result: path.to_owned(), cause, sidecar: None }.into()
    })
}

/// Create a hidden temporary file under a name that is unique in the directory.
fn create_unique(dir: &Arc<Dir>) -> Result<PendingFile> {
    loop {
        let name = format!(".llem-{:016x}.tmp", RandomState::new().hash_one(std::process::id()));
        match PendingFile::create(dir, name.as_ref()) {
            Err(error) if error.is_io(ErrorKind::AlreadyExists) => {}
            created => return created,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn publish_makes_the_complete_file_appear() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        let mut pending = PendingFile::create(&dir, ".x.tmp".as_ref()).unwrap();
        pending.write(b"whole").unwrap();
        assert_eq!(names(temp.path()), [".x.tmp"]);
        pending.check_length(5).unwrap();
        pending.seal(Durability::Durable).unwrap();
        pending.publish("x".as_ref()).unwrap();
        assert_eq!(names(temp.path()), ["x"]);
        assert_eq!(fs::read(temp.path().join("x")).unwrap(), b"whole");
    }

    #[test]
    fn drop_unpublished_file_removes_it() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        PendingFile::create(&dir, ".x.tmp".as_ref()).unwrap().write(b"half").unwrap();
        assert!(names(temp.path()).is_empty());
    }

    #[test]
    fn check_length_of_short_file_fails() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Dir::open(temp.path()).unwrap());
        let mut pending = PendingFile::create(&dir, ".x.tmp".as_ref()).unwrap();
        pending.write(b"half").unwrap();
        let error = pending.check_length(8).unwrap_err();
        assert!(error.to_string().contains("expected 8 bytes in the file, got 4"), "{error}");
    }

    #[test]
    fn replace_existing_file_has_new_content() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("manifest.json");
        for content in [&b"old and long"[..], b"new", b""] {
            replace(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(names(temp.path()), ["manifest.json"]);
    }

    #[test]
    fn replace_failed_keeps_the_old_file() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("directory");
        fs::create_dir(&path).unwrap();
        let error = replace(&path, b"x").unwrap_err();
        assert_eq!((error.step(), error.path()), (Step::Commit, Some(path.as_path())));
        assert_eq!(names(temp.path()), ["directory"]);
        assert!(replace(Path::new("/"), b"x").is_err());
        assert!(replace(&temp.path().join("absent/file"), b"x").unwrap_err().is_io(ErrorKind::NotFound));
    }
}
