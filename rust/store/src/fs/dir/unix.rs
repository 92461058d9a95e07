//! A directory held open: every call is relative to its descriptor.

mod entries;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Identity, Nanos, leads_to_nothing};

pub(super) const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    pub(super) fd: OwnedFd,
    path: PathBuf,
    /// Paths below this directory may lead through symlinks.
    follows: bool,
}

impl Dir {
    /// Open a directory by path; a symlink is followed here.
    pub fn open(path: &Path) -> io::Result<Self> {
        // The kernel does not accept the empty path as the current directory.
        let target = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let fd = retry_on_intr(|| rustix::fs::open(target, OPEN_DIR, Mode::empty()))?;
        Ok(Self { fd, path: path.to_owned(), follows: false })
    }

    /// Let paths below this directory lead through symlinks to directories, for readers whose caller asked for it.
    pub fn following(self) -> Self {
        Self { follows: true, ..self }
    }

    /// Return the path of the directory when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Create a directory, 0777 under the umask; fail with `AlreadyExists` where any entry has the name.
    pub fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)))?)
    }

    /// Open a directory in this one; a symlink is refused.
    pub fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        let fd =
            retry_on_intr(|| rustix::fs::openat(&self.fd, name, OPEN_DIR | OFlags::NOFOLLOW, Mode::empty()))?;
        Ok(Self { fd, path: self.path.join(name), follows: false })
    }

    /// Remove an empty directory.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Create a file for writing, 0666 under the umask; fail with `AlreadyExists` where any entry has the name.
    pub fn create_new(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        Ok(retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, mode))?.into())
    }

    /// Remove a file.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Return `true` where any entry has the name, a dangling symlink too.
    pub fn is_taken(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Rename a file to a free name; fail with `AlreadyExists` rather than replace.
    ///
    /// A network file system may carry out a rename and lose the answer. A source that is gone and a target
    /// that is there mean that it did: no other save writes into a claimed directory.
    pub fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // NFS, FUSE, old ZFS: no such flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.publish_by_link(from, to),
            Err(_) if !self.is_taken(from)? && self.is_taken(to)? => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// [`Dir::publish`] where the kernel has no rename that refuses to replace.
    fn publish_by_link(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EXIST) if self.inode(from)? == self.inode(to)? => {}
            Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
            // No hard links either. The directory is this save's own claim, so a plain rename meets no one.
            Err(_) if self.is_taken(to)? => return Err(Errno::EXIST.into()),
            Err(_) => return self.replace(from, to),
        }
        // The record is committed under its name; a temporary name that stays behind is never read.
        let _ = self.remove_file(from);
        Ok(())
    }

    fn inode(&self, name: &OsStr) -> io::Result<Identity> {
        Ok(identity(&rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Return `true` where a path leads to this directory.
    pub fn is_at(&self, path: &Path) -> bool {
        let target = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match (rustix::fs::fstat(&self.fd), rustix::fs::stat(target)) {
            (Ok(here), Ok(there)) => identity(&here) == identity(&there),
            _ => false,
        }
    }

    /// Rename a file, and replace a file of that name.
    pub fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Open a directory at any depth below this one; a symlink is refused unless this directory is
    /// [`following`](Dir::following): as the last name everywhere, and as any name on Linux.
    pub fn open_dir_below(&self, below: &Path) -> io::Result<Self> {
        let last = if self.follows { OFlags::empty() } else { OFlags::NOFOLLOW };
        let fd = self.open_below(below, OPEN_DIR | last)?;
        Ok(Self { fd, path: self.path.join(below), follows: false })
    }

    /// Return the identity of the directory.
    pub fn identity(&self) -> io::Result<Identity> {
        Ok(identity(&rustix::fs::fstat(&self.fd)?))
    }

    /// When an entry was last added, renamed or removed.
    pub fn modified(&self) -> io::Result<Nanos> {
        Ok(modified(&rustix::fs::fstat(&self.fd)?))
    }

    /// When what has a name was last written to; a symlink is not followed.
    pub fn modified_of(&self, name: &OsStr) -> io::Result<Nanos> {
        Ok(modified(&rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Return `true` where a name is that of an open directory.
    pub fn holds(&self, name: &OsStr, dir: &Self) -> bool {
        let there = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        match (there, rustix::fs::fstat(&dir.fd)) {
            (Ok(there), Ok(here)) => identity(&there) == identity(&here),
            _ => false,
        }
    }

    /// Return `true` where another open directory is this one, even after a rename.
    pub fn is_same(&self, other: &Self) -> bool {
        match (rustix::fs::fstat(&self.fd), rustix::fs::fstat(&other.fd)) {
            (Ok(one), Ok(other)) => identity(&one) == identity(&other),
            _ => false,
        }
    }

    /// Return the number that identifies this directory on its file system, under any name.
    pub fn inode_number(&self) -> io::Result<u64> {
        Ok(identity(&rustix::fs::fstat(&self.fd)?).1)
    }

    /// Lock the directory until this is dropped; return `false` where another process or thread has it locked.
    ///
    /// # Errors
    ///
    /// The file system has no locks for directories (NFS).
    pub fn try_lock(&self) -> io::Result<bool> {
        match retry_on_intr(|| rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive)) {
            Err(Errno::WOULDBLOCK) => Ok(false),
            locked => Ok(locked.map(|()| true)?),
        }
    }

    /// Move a file or a directory into another directory, to a name that nothing has; fails with
    /// `AlreadyExists` rather than replace a file, or a directory that holds anything.
    pub fn move_to(&self, from: &OsStr, target: &Self, to: &OsStr) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.fd, from, &target.fd, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(Errno::NOTEMPTY) => return Err(Errno::EXIST.into()),
            answer => return Ok(answer?),
        }
        // No such flag here: an empty directory that another process creates meanwhile is replaced.
        if target.is_taken(to)? {
            return Err(Errno::EXIST.into());
        }
        Ok(rustix::fs::renameat(&self.fd, from, &target.fd, to)?)
    }

    /// Open a file below this directory for reading; return `None` where no entry has the name. Do not block on a FIFO.
    ///
    /// A symlink as the last name is followed, wherever it leads; other symlinks as in [`Dir::open_dir_below`].
    pub fn open_file(&self, below: &Path) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match self.open_below(below, flags | OFlags::NOFOLLOW) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if is_link(&error) => self.open_link(below, flags).map(Some),
            Err(error) => Err(error),
        }
    }

    fn open_link(&self, below: &Path, flags: OFlags) -> io::Result<File> {
        let (parent, name) = (below.parent().unwrap_or(Path::new("")), below.file_name().unwrap_or_default());
        let parent = self.open_dir_below(parent)?;
        match retry_on_intr(|| rustix::fs::openat(&parent.fd, name, flags, Mode::empty())) {
            Ok(fd) => Ok(fd.into()),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(leads_to_nothing()),
            Err(error) => Err(error.into()),
        }
    }

    fn open_below(&self, below: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        #[cfg(target_os = "linux")]
        if !self.follows {
            use rustix::fs::ResolveFlags;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match retry_on_intr(|| rustix::fs::openat2(&self.fd, below, flags, Mode::empty(), resolve)) {
                // An old kernel, or a sandbox that has not heard of the call.
                Err(Errno::NOSYS | Errno::PERM) => {}
                answer => return Ok(answer?),
            }
        }
        Ok(retry_on_intr(|| rustix::fs::openat(&self.fd, below, flags, Mode::empty()))?)
    }

    /// Return `true` where a path leads to a regular file, also through a symlink.
    pub fn has_file(&self, below: &Path) -> bool {
        rustix::fs::statat(&self.fd, below, AtFlags::empty())
            .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::RegularFile)
    }

    /// Flush the directory's entries to the device. A failure is final: another try would report success
    /// without having written anything.
    pub fn sync(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.fd))?)
    }
}

/// Append what a file has behind the bytes of a buffer, as far as the buffer has room; return the number of bytes.
///
/// The position of the file stays. A pipe has none, and fails.
pub fn read_more(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let place = buffer.len() as u64;
    Ok(retry_on_intr(|| rustix::io::pread(file, rustix::buffer::spare_capacity(buffer), place))?)
}

#[allow(clippy::cast_lossless, clippy::unnecessary_cast, reason = "types that differ between platforms")]
fn modified(status: &rustix::fs::Stat) -> Nanos {
    status.st_mtime as Nanos * 1_000_000_000 + status.st_mtime_nsec as Nanos
}

#[allow(clippy::useless_conversion, reason = "the types differ between platforms")]
fn identity(stat: &rustix::fs::Stat) -> Identity {
    (stat.st_dev.try_into().unwrap_or(u64::MAX), stat.st_ino.into())
}

/// Return `true` for the error of an open that refuses a symlink. FreeBSD has a code of its own.
pub fn is_link(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::MLINK))
}

/// Close a file and report what the close says: quotas and network file systems may speak up only here.
pub fn close(file: File) -> io::Result<()> {
    match nix::unistd::close(OwnedFd::from(file)) {
        // The descriptor is gone either way, and whether the data is safe is the flush's to say.
        Ok(()) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn publish_by_link_to_taken_name_fails() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        fs::write(temp.path().join("ours"), "ours").unwrap();
        fs::write(temp.path().join("theirs"), "theirs").unwrap();
        let error = dir.publish_by_link("ours".as_ref(), "theirs".as_ref()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(temp.path().join("theirs")).unwrap(), b"theirs");
        dir.publish_by_link("ours".as_ref(), "free".as_ref()).unwrap();
        assert_eq!(fs::read(temp.path().join("free")).unwrap(), b"ours");
        assert!(!temp.path().join("ours").exists());
    }

    #[test]
    fn publish_by_link_with_lost_answer_succeeds() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        fs::write(temp.path().join("temp"), "ours").unwrap();
        fs::hard_link(temp.path().join("temp"), temp.path().join("final")).unwrap();
        dir.publish_by_link("temp".as_ref(), "final".as_ref()).unwrap();
        assert!(!temp.path().join("temp").exists());
    }

    #[test]
    fn create_new_after_rename_follows_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open(temp.path()).unwrap();
        root.make_dir("claimed".as_ref()).unwrap();
        let dir = root.open_dir("claimed".as_ref()).unwrap();
        fs::rename(temp.path().join("claimed"), temp.path().join("moved")).unwrap();
        fs::create_dir(temp.path().join("trap")).unwrap();
        std::os::unix::fs::symlink("trap", temp.path().join("claimed")).unwrap();
        close(dir.create_new("file".as_ref()).unwrap()).unwrap();
        assert!(temp.path().join("moved/file").exists());
        assert!(!temp.path().join("trap/file").exists());
    }
}
