//! Linux: the health of a file system, and its flush as a whole.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::{Errno, retry_on_intr};

use super::unix::{Dir, OPEN_DIR};

const EXT4: u64 = 0xEF53;
const XFS: u64 = 0x5846_5342;
const BTRFS: u64 = 0x9123_683E;
const F2FS: u64 = 0xF2F5_2010;
const OVERLAY: u64 = 0x794C_7630;

impl Dir {
    /// Ask whether the file system still takes changes, after a flush that found nothing to do.
    ///
    /// When the device fails in a commit of another process, the file system aborts, and a later flush has nothing to
    /// commit and reports success (seen on ext4, xfs and btrfs). A change meets the abort: the first one starts a
    /// transaction, which makes ext4 notice, and the second is refused. Network file systems are not asked, since it
    /// would cost two messages.
    pub fn check_alive(&self) -> io::Result<()> {
        if !matches!(self.magic(), Some(EXT4 | XFS | BTRFS | F2FS | OVERLAY)) {
            return Ok(());
        }
        let touch = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        };
        for _ in 0..2 {
            // Any other error, such as a lack of permission, shows nothing.
            if let Err(error @ (Errno::IO | Errno::ROFS)) =
                retry_on_intr(|| rustix::fs::futimens(&self.fd, &touch))
            {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The kind of the file system.
    fn magic(&self) -> Option<u64> {
        #[allow(clippy::cast_sign_loss, reason = "a magic number, in a type that differs between platforms")]
        rustix::fs::fstatfs(&self.fd).ok().map(|status| status.f_type as u64 & 0xFFFF_FFFF)
    }

    /// A descriptor of the file system that the directory is on, where one call flushes all of it and reports
    /// what went wrong since the descriptor was opened.
    ///
    /// Known of ext4, xfs and btrfs, since Linux 5.17. An overlay flushes, but keeps to itself the errors of
    /// the file system under it; FUSE answers at once and does nothing.
    pub fn file_system(&self) -> Option<FileSystem> {
        if !matches!(self.magic(), Some(EXT4 | XFS | BTRFS)) || kernel() < (5, 17) {
            return None;
        }
        rustix::fs::openat(&self.fd, ".", OPEN_DIR, Mode::empty()).ok().map(FileSystem)
    }
}

/// A file system that can be flushed as a whole.
#[derive(Debug)]
pub struct FileSystem(OwnedFd);

impl FileSystem {
    /// Flush everything on the file system. As with [`Dir::sync`], a failure is final.
    pub fn sync(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::syncfs(&self.0))?)
    }
}

/// The kernel's version, `(6, 1)` for `6.1.0-18-amd64`.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
