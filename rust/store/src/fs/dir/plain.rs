//! A directory known by its path, for platforms without `openat`: the same promises to other savers, but a
//! directory that is swapped for a symlink in mid-save is followed.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::interrupt::{Interrupt, Pace};

use super::{EntryKind, Identity, Leads, Link, Nanos, Subdirectories, leads_to_nothing};

/// A directory.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    /// Paths below this directory may lead through symlinks.
    follows: bool,
}

impl Dir {
    /// Check that a path is a directory, and keep it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let target = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        if !fs::metadata(target)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self { path: path.to_owned(), follows: false })
    }

    /// Let paths below this directory lead through symlinks to directories, for readers whose caller asked for it.
    pub fn following(self) -> Self {
        Self { follows: true, ..self }
    }

    /// Return the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Return `true` where a path leads to this directory.
    pub fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Create a directory; fail with `AlreadyExists` where any entry has the name.
    pub fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        fs::create_dir(self.path.join(name))
    }

    /// A directory in this one; a symlink is refused.
    pub fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        let path = self.path.join(name);
        if !fs::symlink_metadata(&path)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self { path, follows: false })
    }

    /// Remove an empty directory.
    pub fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    /// Create a file for writing; fail with `AlreadyExists` where any entry has the name.
    pub fn create_new(&self, name: &OsStr) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name))
    }

    /// Remove a file.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// Return `true` where any entry has the name, a dangling symlink too.
    pub fn is_taken(&self, name: &OsStr) -> io::Result<bool> {
        match fs::symlink_metadata(self.path.join(name)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Rename a file to a free name; fail with `AlreadyExists` rather than replace.
    ///
    /// The link refuses to replace on every file system that has links; where there are none, the check and
    /// the rename are two steps, alone in a directory that this save has claimed.
    pub fn publish(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match fs::hard_link(self.path.join(from), self.path.join(to)) {
            Ok(()) => {
                // Committed under its name; a temporary name that stays behind is never read.
                let _ = self.remove_file(from);
                Ok(())
            }
            Err(_) if !self.is_taken(from)? && self.is_taken(to)? => Ok(()),
            Err(_) if self.is_taken(to)? => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => self.replace(from, to),
        }
    }

    /// List the directories and the symlinks below this directory, in order; those that begin with a dot are hidden,
    /// and links to files are not listed.
    pub fn subdirectories(&self, below: &Path, interrupt: Interrupt<'_>) -> io::Result<Subdirectories> {
        let mut pace = Pace::new(interrupt);
        let mut found = Subdirectories::default();
        for entry in fs::read_dir(self.open_dir_below(below)?.path)? {
            pace.check_io()?;
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_dir() {
                found.names.push(name);
            } else if kind.is_symlink() {
                let leads = match fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_dir() => Leads::Directory,
                    Ok(_) => continue,
                    Err(_) => Leads::Nowhere,
                };
                found.links.push(Link { name, leads });
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
        for entry in fs::read_dir(&self.path)? {
            pace.check_io()?;
            let entry = entry?;
            let kind = match entry.file_type()? {
                kind if kind.is_file() => EntryKind::File,
                kind if kind.is_dir() => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            visit(&entry.file_name(), kind);
        }
        Ok(())
    }

    /// A directory at any depth below this one; a symlink is refused as the last name, unless this directory is
    /// [`following`](Dir::following).
    pub fn open_dir_below(&self, below: &Path) -> io::Result<Self> {
        if below.as_os_str().is_empty() || self.follows {
            Self::open(&self.path.join(below))
        } else {
            self.open_dir(below.as_os_str())
        }
    }

    /// Return the identity of the directory, as far as its resolved path shows it.
    pub fn identity(&self) -> io::Result<Identity> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        fs::canonicalize(&self.path)?.hash(&mut hasher);
        Ok((0, hasher.finish()))
    }

    /// When an entry was last added, renamed or removed.
    pub fn modified(&self) -> io::Result<Nanos> {
        modified(&fs::metadata(&self.path)?)
    }

    /// When what has a name was last written to; a symlink is not followed.
    pub fn modified_of(&self, name: &OsStr) -> io::Result<Nanos> {
        modified(&fs::symlink_metadata(self.path.join(name))?)
    }

    /// Return `true` where a name is that of a directory, as far as paths show.
    pub fn holds(&self, name: &OsStr, dir: &Self) -> bool {
        self.path.join(name) == dir.path
    }

    /// Return `true`: paths do not identify a directory that was renamed.
    pub fn is_same(&self, _other: &Self) -> bool {
        true
    }

    /// Fail: paths do not identify a directory.
    pub fn inode_number(&self) -> io::Result<u64> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Fail: a path has no lock.
    pub fn try_lock(&self) -> io::Result<bool> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Move a file or a directory into another directory, to a name that nothing has: a look and a rename.
    pub fn move_to(&self, from: &OsStr, target: &Self, to: &OsStr) -> io::Result<()> {
        let source = self.path.join(from);
        fs::symlink_metadata(&source)?;
        if target.is_taken(to)? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        fs::rename(source, target.path.join(to))
    }

    /// Open a file below this directory for reading, also through a symlink; return `None` where no entry has the name.
    pub fn open_file(&self, below: &Path) -> io::Result<Option<File>> {
        let path = self.path.join(below);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        match crate::sidecar::open_for_reading(&path) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => Err(leads_to_nothing()),
            opened => opened.map(Some),
        }
    }

    /// Return `true` where a path leads to a regular file, also through a symlink.
    pub fn has_file(&self, below: &Path) -> bool {
        self.path.join(below).is_file()
    }

    /// Rename a file, and replace a file of that name.
    pub fn replace(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Flush the directory's entries, where the platform can: Windows has no flush for directories.
    pub fn sync(&self) -> io::Result<()> {
        if cfg!(windows) { Ok(()) } else { File::open(&self.path)?.sync_all() }
    }
}

/// Close a file. Without a checked close, its errors are lost here; a flush before it has reported them.
pub fn close(file: File) -> io::Result<()> {
    drop(file);
    Ok(())
}

/// Fail: this platform may have no reads that leave the position of the file.
pub fn read_more(_: &File, _: &mut Vec<u8>) -> io::Result<usize> {
    Err(ErrorKind::Unsupported.into())
}

fn modified(metadata: &fs::Metadata) -> io::Result<Nanos> {
    let modified = metadata.modified()?;
    let nanos = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => Nanos::try_from(after.as_nanos()).unwrap_or(Nanos::MAX),
        Err(before) => -Nanos::try_from(before.duration().as_nanos()).unwrap_or(Nanos::MAX),
    };
    Ok(nanos)
}

/// Return `false`: a path that leads through a symlink is not refused here.
pub fn is_link(_error: &io::Error) -> bool {
    false
}
