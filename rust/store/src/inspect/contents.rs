//! The contents of a directory without a record.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;

use super::TRASH;
use super::place::Place;
use crate::fs::dir::{EntryKind, Nanos};
use crate::{FAILURE, Kind, RECORD, SIDECAR, name, sidecar};

/// The temporary files of saves.
const TEMPS: [&str; 3] = [Kind::Result.temp(), Kind::Failure.temp(), sidecar::TEMP];

/// The entries of a directory, by what they mean to a store.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// An entry is called `result.json` or `failure.json`.
    pub record: bool,
    /// An entry is called `failure.json`.
    pub failure: bool,
    /// There is a `timeseries.parquet`.
    pub sidecar: bool,
    /// Temporary files of a save.
    pub temps: BTreeSet<OsString>,
    /// The trash of cleans.
    pub trash: BTreeSet<OsString>,
    /// The first of the other directories, which may be a million.
    directory: Option<OsString>,
    /// The first of the entries that no save creates.
    other: Option<OsString>,
}

impl Contents {
    /// List a directory.
    pub fn of(dir: &impl Place) -> io::Result<Self> {
        let mut contents = Self::default();
        dir.entries()?.iter().for_each(|(name, kind)| contents.add(name, *kind));
        Ok(contents)
    }

    /// Sort an entry of the directory; entries come in any order.
    pub fn add(&mut self, name: &OsStr, kind: EntryKind) {
        match (name.to_str(), kind) {
            (Some(RECORD), _) => self.record = true,
            (Some(FAILURE), _) => (self.record, self.failure) = (true, true),
            (Some(SIDECAR), EntryKind::File) => self.sidecar = true,
            (Some(text), EntryKind::File) if TEMPS.contains(&text) => _ = self.temps.insert(name.to_owned()),
            (Some(text), EntryKind::Directory) if text.starts_with(TRASH) => {
                self.trash.insert(name.to_owned());
            }
            (_, EntryKind::Directory) => keep_first(&mut self.directory, name),
            _ => keep_first(&mut self.other, name),
        }
    }

    /// Describe the directory as a leftover; `None` where it is not one.
    pub fn leftover(&self, name: &OsStr) -> Option<String> {
        if self.record || self.directory.is_some() || !self.trash.is_empty() {
            return None;
        }
        let is_given = name.to_str().is_some_and(name::is_given);
        let left = match (self.temps.is_empty(), self.sidecar) {
            (false, _) => "temporary files of a save, and no record",
            (true, true) if is_given => "a power trace, and no record",
            (true, false) if is_given && self.other.is_none() => "an empty directory",
            _ => return None,
        };
        Some(match self.unknown() {
            Some(other) => format!("{left}, next to {}, which no save creates", other.display()),
            None => left.to_owned(),
        })
    }

    /// Return an entry that no save creates.
    pub fn unknown(&self) -> Option<&OsStr> {
        let mut unknown = self.other.iter().chain(&self.directory).chain(&self.trash);
        unknown.next().map(OsString::as_os_str)
    }

    /// Describe the contents.
    pub fn describe(&self) -> String {
        let first = self.other.iter().chain(&self.temps).chain(&self.directory).next();
        match first {
            Some(first) => format!("no result, but {}", first.display()),
            None if self.sidecar => "no result, but a power trace".to_owned(),
            None => "an empty directory that no save made".to_owned(),
        }
    }

    /// Return the last time that the directory or a file in it was written.
    pub fn newest(&self, dir: &impl Place) -> io::Result<Nanos> {
        let mut newest = dir.modified()?;
        let sidecar = self.sidecar.then_some(OsStr::new(SIDECAR));
        for name in self.temps.iter().map(OsString::as_os_str).chain(sidecar) {
            match dir.modified_of(name) {
                Ok(modified) => newest = newest.max(modified),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }
}

fn keep_first(first: &mut Option<OsString>, name: &OsStr) {
    if first.as_deref().is_none_or(|first| name < first) {
        *first = Some(name.to_owned());
    }
}
