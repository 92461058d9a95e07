//! The entries of a directory.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::super::{EntryKind, Leads, Link, Subdirectories};
use super::{Dir, OPEN_DIR};
use crate::interrupt::{Interrupt, Pace};

impl Dir {
    /// List the directories and the symlinks below this directory, in the order of their names' bytes; those that
    /// begin with a dot are hidden, and links to files are not listed.
    pub fn subdirectories(&self, below: &Path, interrupt: Interrupt<'_>) -> io::Result<Subdirectories> {
        let mut pace = Pace::new(interrupt);
        let fd = self.open_dir_below(below)?.fd;
        let mut found = Subdirectories::default();
        let mut listing = rustix::fs::Dir::new(fd)?;
        while let Some(entry) = listing.read() {
            pace.check_io()?;
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(b".") {
                continue;
            }
            let name = OsStr::from_bytes(name);
            let kind = match entry.file_type() {
                // Some file systems do not report the kind of an entry.
                FileType::Unknown => match kind_of(listing.fd()?, name)? {
                    Some(kind) => kind,
                    None => continue,
                },
                kind => kind,
            };
            match kind {
                FileType::Directory => found.names.push(name.to_owned()),
                FileType::Symlink => found.links.extend(link(listing.fd()?, name)),
                _ => {}
            }
        }
        found.sort(&mut pace)?;
        Ok(found)
    }

    /// Visit all entries, hidden ones too, in any order; fail with `Interrupted` once the caller has cancelled.
    pub fn each_entry(
        &self,
        interrupt: Interrupt<'_>,
        mut visit: impl FnMut(&OsStr, EntryKind),
    ) -> io::Result<()> {
        let mut pace = Pace::new(interrupt);
        // A new descriptor: the position of a listing is shared by all users of one.
        let fd = self.open_below(Path::new(""), OPEN_DIR)?;
        for entry in rustix::fs::Dir::new(fd)? {
            pace.check_io()?;
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = OsStr::from_bytes(name);
            let kind = match entry.file_type() {
                FileType::Unknown => match kind_of(&self.fd, name)? {
                    Some(kind) => kind,
                    None => continue,
                },
                kind => kind,
            };
            let kind = match kind {
                FileType::RegularFile => EntryKind::File,
                FileType::Directory => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            visit(name, kind);
        }
        Ok(())
    }
}

/// Return the kind of an entry without following it; `None` where it is gone.
fn kind_of(dir: impl AsFd, name: &OsStr) -> io::Result<Option<FileType>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(Some(FileType::from_raw_mode(status.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Describe a symlink that does not lead to a file.
fn link(dir: impl AsFd, name: &OsStr) -> Option<Link> {
    let leads = match rustix::fs::statat(dir, name, AtFlags::empty()) {
        Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Directory => Leads::Directory,
        Ok(_) => return None,
        Err(_) => Leads::Nowhere,
    };
    Some(Link { name: name.to_owned(), leads })
}
