//! One file of the cache: entries, and their index at its end.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use zstd::bulk::{Compressor, Decompressor};

use crate::fields::take;

pub const MAGIC: &[u8; 9] = b"LLEMPACK\x01";
const ENDING: &str = "pack";
const LEVEL: i32 = 1;
/// Bytes of a hash that detects damage.
const HASH: usize = 8;
/// Maximum bytes of an index.
const MAX_INDEX: u64 = 1 << 30;

#[derive(Debug)]
pub struct Pack {
    pub path: PathBuf,
    file: Mutex<(File, Reused<Decompressor<'static>>)>,
    bytes: u64,
    pub modified: SystemTime,
}

#[derive(Debug, Clone)]
pub struct Place {
    pub etag: String,
    pub size: u64,
    pub offset: u64,
    pub length: u32,
    pub hash: [u8; HASH],
}

/// What was fetched since the last file was written.
#[derive(Debug, Default)]
pub struct Fresh {
    pub entries: Vec<(String, Place)>,
    pub bytes: Vec<u8>,
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
    pub fn compress(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.compressor.get(|| Compressor::new(LEVEL))?.compress(bytes).ok()
    }
}

impl Pack {
    /// Open a file, and read its index.
    pub fn open(path: PathBuf) -> io::Result<(Self, Vec<(String, Place)>)> {
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
    pub fn raw(&self, place: &Place) -> Option<Vec<u8>> {
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
    pub fn read(&self, place: &Place) -> Option<Bytes> {
        let compressed = self.raw(place)?;
        let size = usize::try_from(place.size).ok()?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = file.1.get(Decompressor::new)?.decompress(&compressed, size).ok()?;
        drop(file);
        (bytes.len() as u64 == place.size && hash_of(&bytes) == place.hash).then(|| bytes.into())
    }
}

/// Write a file under a temporary name, and give it its own.
pub fn write_pack(directory: &Path, fresh: &Fresh) -> io::Result<()> {
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

/// Return the files of a directory.
pub fn pack_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect()
}

/// Return a hash that detects damage.
pub fn hash_of(bytes: &[u8]) -> [u8; HASH] {
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

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(take(bytes)?));
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}
