//! A cache of records: what was read once is not fetched again, while the listing shows the same object.
//!
//! An entry has the key, the size and the etag of an object, and its bytes, compressed. A reading writes what it
//! fetched to one new file, which is complete before it gets its name; a later reading joins the files where they
//! become many. Files are never changed, so that any number of processes share a cache, and a user may delete it at
//! any time. A damaged entry is a missing one.
//!
//! ```text
//! {directory}/{hash of the bucket's identity}/{random}.pack
//!   "LLEMPACK" 1, entries, index, length of the index (u64), hash of the index (8 bytes)
//! ```

mod pack;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::client::Found;
use pack::{Fresh, MAGIC, Pack, Place, hash_of, pack_files, write_pack};

/// Files above which a reading joins them.
const MANY: usize = 8;
/// Bytes of fetched records after which a file is written.
const FULL: usize = 32 << 20;
/// The settings of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// The directory, which is created where it is missing.
    pub directory: PathBuf,
    /// The most bytes of all files of a bucket.
    pub max_bytes: u64,
}

/// The cache of one bucket, open for a reading.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    max_bytes: u64,
    packs: Vec<Pack>,
    /// The place of each entry: its file, and its place in the file.
    known: HashMap<String, (usize, Place)>,
    fresh: Mutex<Fresh>,
}

impl Cache {
    /// Open the cache of a bucket.
    pub fn open(options: &CacheOptions, identity: &str) -> Arc<Self> {
        let mut name = String::new();
        for byte in hash_of(identity.as_bytes()) {
            let _ = write!(name, "{byte:02x}");
        }
        let directory = options.directory.join(name);
        let mut packs: Vec<(Pack, Vec<(String, Place)>)> =
            pack_files(&directory).into_iter().filter_map(|path| Pack::open(path).ok()).collect();
        packs.sort_by_key(|(pack, _)| pack.modified);
        let (mut known, mut open) = (HashMap::new(), Vec::new());
        for (pack, index) in packs {
            known.extend(index.into_iter().map(|(key, place)| (key, (open.len(), place))));
            open.push(pack);
        }
        Arc::new(Self {
            directory,
            max_bytes: options.max_bytes,
            packs: open,
            known,
            fresh: Mutex::default(),
        })
    }

    /// Return the bytes of an object that a listing shows.
    pub fn get(&self, key: &str, found: &Found) -> Option<Bytes> {
        let (pack, place) = self.known.get(key)?;
        if found.etag.as_deref() != Some(&place.etag) || found.size != place.size {
            return None;
        }
        self.packs.get(*pack)?.read(place)
    }

    /// Keep the bytes of an object.
    pub fn put(&self, key: &str, found: &Found, bytes: &Bytes) {
        let Some(etag) = &found.etag else { return };
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(compressed) = fresh.compress(bytes) else { return };
        let Ok(length) = u32::try_from(compressed.len()) else { return };
        let offset = (MAGIC.len() + fresh.bytes.len()) as u64;
        let hash = hash_of(bytes);
        let place = Place { etag: etag.clone(), size: bytes.len() as u64, offset, length, hash };
        fresh.entries.push((key.to_owned(), place));
        fresh.bytes.extend_from_slice(&compressed);
        if fresh.bytes.len() >= FULL {
            let full = std::mem::take(&mut *fresh);
            drop(fresh);
            self.write(&full);
        }
    }

    /// Write what was fetched, and keep the files few and within their bound; a failure costs the cache only.
    pub fn finish(&self) {
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        if fresh.entries.is_empty() {
            return;
        }
        self.write(&fresh);
        if pack_files(&self.directory).len() > MANY {
            self.join();
        }
        self.shrink();
    }

    fn write(&self, fresh: &Fresh) {
        // Without the file, the next reading fetches the records again.
        let _ = write_pack(&self.directory, fresh);
    }

    /// Write the entries of all files to one, and remove the others.
    fn join(&self) {
        let Ok(paths) =
            pack_files(&self.directory).into_iter().map(Pack::open).collect::<io::Result<Vec<_>>>()
        else {
            return;
        };
        let mut joined = Fresh::default();
        let mut last: HashMap<String, (usize, Place)> = HashMap::new();
        for (index, (_, entries)) in paths.iter().enumerate() {
            last.extend(entries.iter().cloned().map(|(key, place)| (key, (index, place))));
        }
        for (key, (index, place)) in last {
            let Some(compressed) = paths[index].0.raw(&place) else { continue };
            let offset = (MAGIC.len() + joined.bytes.len()) as u64;
            joined.bytes.extend_from_slice(&compressed);
            joined.entries.push((key, Place { offset, ..place }));
            if joined.bytes.len() as u64 > self.max_bytes {
                break;
            }
        }
        if write_pack(&self.directory, &joined).is_ok() {
            for (pack, _) in paths {
                let _ = fs::remove_file(pack.path);
            }
        }
    }

    /// Remove the oldest files beyond the bound.
    fn shrink(&self) {
        let opened = pack_files(&self.directory).into_iter().filter_map(|path| {
            let metadata = fs::metadata(&path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), path))
        });
        let mut files: Vec<_> = opened.collect();
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.max_bytes {
                break;
            }
            if fs::remove_file(path).is_ok() {
                bytes -= length;
            }
        }
    }
}

#[cfg(test)]
mod tests;
