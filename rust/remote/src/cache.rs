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

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use zstd::bulk::{Compressor, Decompressor};

use crate::client::Found;

const MAGIC: &[u8; 9] = b"LLEMPACK\x01";
const ENDING: &str = "pack";
/// Files above which a reading joins them.
const MANY: usize = 8;
/// Bytes of fetched records after which a file is written.
const FULL: usize = 32 << 20;
const LEVEL: i32 = 1;
/// Bytes of a hash that detects damage.
const HASH: usize = 8;
/// Maximum bytes of an index.
const MAX_INDEX: u64 = 1 << 30;

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

#[derive(Debug)]
struct Pack {
    path: PathBuf,
    file: Mutex<(File, Reused<Decompressor<'static>>)>,
    bytes: u64,
    modified: SystemTime,
}

#[derive(Debug, Clone)]
struct Place {
    etag: String,
    size: u64,
    offset: u64,
    length: u32,
    hash: [u8; HASH],
}

/// What was fetched since the last file was written.
#[derive(Debug, Default)]
struct Fresh {
    entries: Vec<(String, Place)>,
    bytes: Vec<u8>,
    compressor: Reused<Compressor<'static>>,
}

/// A context of the compressor, which takes longer to make than a record takes to compress.
struct Reused<T>(Option<T>);

impl<T> Default for Reused<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> fmt::Debug for Reused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reused")
    }
}

impl<T> Reused<T> {
    fn get(&mut self, make: impl FnOnce() -> io::Result<T>) -> Option<&mut T> {
        if self.0.is_none() {
            self.0 = make().ok();
        }
        self.0.as_mut()
    }
}

impl Fresh {
    fn compress(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.compressor.get(|| Compressor::new(LEVEL))?.compress(bytes).ok()
    }
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

impl Pack {
    /// Open a file, and read its index.
    fn open(path: PathBuf) -> io::Result<(Self, Vec<(String, Place)>)> {
        let mut file = File::open(&path)?;
        let metadata = file.metadata()?;
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let bytes = metadata.len();
        let tail = (8 + HASH) as u64;
        if bytes < MAGIC.len() as u64 + tail {
            return Err(damaged());
        }
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        file.seek(SeekFrom::Start(bytes - tail))?;
        let (mut length, mut hash) = ([0; 8], [0; HASH]);
        file.read_exact(&mut length)?;
        file.read_exact(&mut hash)?;
        let length = u64::from_le_bytes(length);
        let start = bytes.checked_sub(tail).and_then(|end| end.checked_sub(length)).ok_or_else(damaged)?;
        if &magic != MAGIC || length > MAX_INDEX {
            return Err(damaged());
        }
        file.seek(SeekFrom::Start(start))?;
        let mut index = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        file.read_exact(&mut index)?;
        if hash_of(&index) != hash {
            return Err(damaged());
        }
        let entries = decode(&index).ok_or_else(damaged)?;
        let modified = metadata.modified()?;
        Ok((Self { path, file: Mutex::new((file, Reused::default())), bytes: start, modified }, entries))
    }

    /// Return the compressed bytes of an entry.
    fn raw(&self, place: &Place) -> Option<Vec<u8>> {
        let end = place.offset.checked_add(u64::from(place.length))?;
        if end > self.bytes {
            return None;
        }
        let mut compressed = vec![0; usize::try_from(place.length).ok()?];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.0.seek(SeekFrom::Start(place.offset)).ok()?;
        file.0.read_exact(&mut compressed).ok()?;
        Some(compressed)
    }

    /// Return the bytes of an entry.
    fn read(&self, place: &Place) -> Option<Bytes> {
        let compressed = self.raw(place)?;
        let size = usize::try_from(place.size).ok()?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = file.1.get(Decompressor::new)?.decompress(&compressed, size).ok()?;
        drop(file);
        (bytes.len() as u64 == place.size && hash_of(&bytes) == place.hash).then(|| bytes.into())
    }
}

/// Write a file under a temporary name, and give it its own.
fn write_pack(directory: &Path, fresh: &Fresh) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = format!("{:016x}", u64::from_le_bytes(random));
    let (staged, last) = (directory.join(format!("{name}.tmp")), directory.join(format!("{name}.{ENDING}")));
    let index = encode(&fresh.entries);
    let written = File::create_new(&staged).and_then(|mut file| {
        file.write_all(MAGIC)?;
        file.write_all(&fresh.bytes)?;
        file.write_all(&index)?;
        file.write_all(&(index.len() as u64).to_le_bytes())?;
        file.write_all(&hash_of(&index))
    });
    let published = written.and_then(|()| fs::rename(&staged, last));
    if published.is_err() {
        let _ = fs::remove_file(&staged);
    }
    published
}

fn pack_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect()
}

fn hash_of(bytes: &[u8]) -> [u8; HASH] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|index| digest[index])
}

fn encode(entries: &[(String, Place)]) -> Vec<u8> {
    let mut index = Vec::new();
    for (key, place) in entries {
        for text in [key, &place.etag] {
            // A key has at most 1024 bytes, and an etag fewer.
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            index.extend(length.to_le_bytes());
            index.extend(&text.as_bytes()[..usize::from(length)]);
        }
        index.extend(place.size.to_le_bytes());
        index.extend(place.offset.to_le_bytes());
        index.extend(place.length.to_le_bytes());
        index.extend(place.hash);
    }
    index
}

fn decode(mut index: &[u8]) -> Option<Vec<(String, Place)>> {
    let mut entries = Vec::new();
    while !index.is_empty() {
        let (key, etag) = (take_text(&mut index)?, take_text(&mut index)?);
        let size = u64::from_le_bytes(take(&mut index)?);
        let offset = u64::from_le_bytes(take(&mut index)?);
        let length = u32::from_le_bytes(take(&mut index)?);
        entries.push((key, Place { etag, size, offset, length, hash: take(&mut index)? }));
    }
    Some(entries)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(take(bytes)?));
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(directory: &Path) -> CacheOptions {
        CacheOptions { directory: directory.to_owned(), max_bytes: 1 << 20 }
    }

    fn found(bytes: &[u8], etag: &str) -> Found {
        Found { size: bytes.len() as u64, etag: Some(etag.into()), modified: 0 }
    }

    fn fill(options: &CacheOptions, entries: &[(&str, &[u8])]) {
        let cache = Cache::open(options, "s3 bucket");
        for (key, bytes) in entries {
            cache.put(key, &found(bytes, "e"), &Bytes::copy_from_slice(bytes));
        }
        cache.finish();
    }

    #[test]
    fn get_returns_what_was_put_while_the_listing_shows_it() {
        let temp = tempfile::tempdir().unwrap();
        let options = options(temp.path());
        fill(&options, &[("a/result.json", b"one"), ("b/result.json", b"")]);
        let cache = Cache::open(&options, "s3 bucket");
        assert_eq!(cache.get("a/result.json", &found(b"one", "e")).as_deref(), Some(&b"one"[..]));
        assert_eq!(cache.get("b/result.json", &found(b"", "e")).as_deref(), Some(&b""[..]));
        for other in [found(b"one", "f"), found(b"two!", "e"), Found { etag: None, ..found(b"one", "e") }] {
            assert_eq!(cache.get("a/result.json", &other), None);
        }
        assert_eq!(Cache::open(&options, "s3 other").get("a/result.json", &found(b"one", "e")), None);
    }

    #[test]
    fn get_from_damaged_files_returns_none_or_the_truth() {
        let temp = tempfile::tempdir().unwrap();
        let options = options(temp.path());
        fill(&options, &[("a", b"the first record"), ("b", b"the second record")]);
        let path = pack_files(&Cache::open(&options, "s3 bucket").directory).remove(0);
        let whole = fs::read(&path).unwrap();
        let check = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let cache = Cache::open(&options, "s3 bucket");
            for (key, truth) in [("a", &b"the first record"[..]), ("b", b"the second record")] {
                let got = cache.get(key, &found(truth, "e"));
                assert!(got.is_none_or(|got| *got == *truth));
            }
        };
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 0x55;
            check(&changed);
            check(&whole[..index]);
        }
    }

    #[test]
    fn finish_joins_many_files_and_keeps_to_the_bound() {
        let temp = tempfile::tempdir().unwrap();
        let options = options(temp.path());
        for number in 0..2 * MANY {
            fill(&options, &[(&number.to_string(), format!("record {number}").as_bytes())]);
        }
        let cache = Cache::open(&options, "s3 bucket");
        assert!(cache.packs.len() <= MANY, "{}", cache.packs.len());
        for number in 0..2 * MANY {
            let truth = format!("record {number}");
            assert_eq!(
                cache.get(&number.to_string(), &found(truth.as_bytes(), "e")).as_deref(),
                Some(truth.as_bytes())
            );
        }
        let small = CacheOptions { max_bytes: 300, ..options };
        fill(&small, &[("last", b"last")]);
        let bytes: u64 =
            pack_files(&cache.directory).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(bytes <= 300, "{bytes}");
    }

    #[test]
    fn cache_without_a_directory_is_empty() {
        let options = options(Path::new("/dev/null/cache"));
        fill(&options, &[("a", b"x")]);
        assert_eq!(Cache::open(&options, "s3 bucket").get("a", &found(b"x", "e")), None);
    }
}
