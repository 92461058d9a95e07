//! A Parquet file on a disk that becomes a sidecar.

use std::fs::{File, FileTimes, Metadata};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{copy_object, notes_of};
use crate::error::{At, Error, Result, Step};
use crate::fs::dir::leads_to_nothing;
use crate::fs::durable::PendingFile;
use crate::interrupt::Interrupt;
use crate::parquet::ParquetSource;

/// Bytes copied between two checks for a cancelled caller.
const COPY_BYTES: u64 = 4 << 20;

/// An open Parquet file, as it was when it was checked.
#[derive(Debug)]
pub struct SourceFile {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    /// What is wrong with it as a power trace.
    pub notes: Vec<String>,
}

impl SourceFile {
    /// Open and check a file; `None` where it does not exist.
    pub fn open(path: PathBuf) -> Result<Option<Self>> {
        let file = match open_for_reading(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io(Step::ReadSource, path, error)),
        };
        let metadata = file.metadata().at(Step::ReadSource, || path.clone())?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path });
        }
        let (size, modified) = (metadata.len(), modified(&metadata));
        let file = Arc::new(file);
        let notes = notes_of(&ParquetSource::File(file.clone(), size), &path)?;
        Ok(Some(Self { file, path, size, modified, notes }))
    }

    /// Read the whole file.
    pub fn read_into(&self, bytes: &mut Vec<u8>, interrupt: Interrupt<'_>) -> Result<()> {
        let source = ParquetSource::File(self.file.clone(), self.size);
        copy_object(&source, &self.path, bytes, interrupt)?;
        self.check_unchanged()
    }

    fn check_unchanged(&self) -> Result<()> {
        let metadata = self.file.metadata().at(Step::ReadSource, || self.path.clone())?;
        if (metadata.len(), modified(&metadata)) == (self.size, self.modified) {
            return Ok(());
        }
        Err(Error::SourceChanged { path: self.path.clone() })
    }

    /// Copy the file, sharing its blocks where the file system can, and keep its modification time.
    pub fn copy_into(&mut self, pending: &mut PendingFile, interrupt: Interrupt<'_>) -> Result<u64> {
        let temp = pending.path();
        let target = pending.file()?;
        if !reflink(&self.file, target) {
            (&*self.file).rewind().at(Step::ReadSource, || self.path.clone())?;
            loop {
                interrupt.check()?;
                // On Linux this is `copy_file_range`, and from the offset reached, `sendfile` or read and write.
                match io::copy(&mut (&*self.file).take(COPY_BYTES), target) {
                    Ok(0) => break,
                    Ok(_) => {}
                    // A signal interrupted `copy`: both files are at the offset reached.
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(Error::io(Step::Write, temp, error)),
                }
            }
        }
        self.check_unchanged()?;
        if let Some(modified) = self.modified {
            let times = FileTimes::new().set_modified(modified);
            target.set_times(times).at(Step::Write, || temp.clone())?;
        }
        Ok(self.size)
    }
}

fn modified(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

/// Open a file, also through a symlink; do not block on a FIFO.
pub(crate) fn open_for_reading(path: &Path) -> io::Result<File> {
    open(path).map_err(|error| {
        let is_dangling = error.kind() == ErrorKind::NotFound && path.is_symlink();
        if is_dangling { leads_to_nothing() } else { error }
    })
}

fn open(path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?.into())
    }
    #[cfg(not(unix))]
    File::open(path)
}

/// Share the source's blocks with the target; return `false` where the file system cannot.
#[cfg(target_os = "linux")]
fn reflink(source: &File, target: &File) -> bool {
    rustix::fs::ioctl_ficlone(target, source).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn reflink(_source: &File, _target: &File) -> bool {
    false
}
