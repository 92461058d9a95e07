//! Reading: a listing, and the records in its order, fetched ahead of the caller.

mod listing;
mod note;
mod order;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use futures_util::{Stream, StreamExt};
use llem_store::load::Limit;
use llem_store::{
    Entry, Error, Expected, FoundDirectory, Interrupt, Kind, Met, ParquetSource, ReadAt, Records, Result,
    SIDECAR, Step, Wanted,
};
use object_store::GetRange;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::cache::Cache;
use crate::client::{Client, Found, key_of};
use crate::fault::plain;
use crate::runtime::{self, block_on};

use listing::{Directories, HELD};
use note::{note, noted};
use order::Directory;

/// Requests in flight.
const REQUESTS: usize = 64;
/// Kibibytes of records that are fetched ahead of the caller.
const AHEAD: usize = 64 << 10;
/// The largest record that is fetched ahead, in bytes.
const LARGEST_AHEAD: u64 = 8 << 20;
/// Bytes of the end of a sidecar that are read at once: they hold its footer.
const TAIL: u64 = 64 << 10;
const LOOK: Duration = Duration::from_millis(20);

type Files = BTreeMap<String, Found>;

/// The results of a listing, with their records.
pub struct Listed {
    received: Receiver<Result<Ahead>>,
    expected: Arc<Expected>,
    task: JoinHandle<()>,
    cache: Option<Arc<Cache>>,
}

/// A directory, and its part of what is fetched ahead.
type Ahead = (Met, Option<OwnedSemaphorePermit>);

impl Listed {
    /// Begin to list the objects of a root unless they are those of a part, and to fetch the records that are wanted.
    ///
    /// # Errors
    ///
    /// The root cannot be listed.
    pub fn begin(
        client: &Client,
        cache: Option<Arc<Cache>>,
        kind: Kind,
        wanted: &Wanted,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        if let Wanted::Part(part) = wanted {
            let results: Vec<_> =
                part.iter().filter_map(|(place, note)| Some((key_of(&place)?, noted(note)?))).collect();
            let expected = Expected::default();
            expected.add(results.len());
            expected.end();
            return Self::over(
                stream::iter(results.into_iter().map(Ok)),
                expected.into(),
                client,
                cache,
                kind,
                true,
            );
        }
        let fetches = !matches!(wanted, Wanted::Names);
        let directories = Directories::begin(client, kind, HELD, interrupt)?;
        let expected = directories.expected();
        Self::over(in_order(directories), expected, client, cache, kind, fetches)
    }

    /// Return the number of results of the listing.
    pub fn expected(&self) -> Arc<Expected> {
        self.expected.clone()
    }

    fn over(
        listed: impl Stream<Item = Result<(String, Directory)>> + Send + 'static,
        expected: Arc<Expected>,
        client: &Client,
        cache: Option<Arc<Cache>>,
        kind: Kind,
        fetches: bool,
    ) -> Result<Self> {
        let (sender, received) = mpsc::channel();
        let (client, kept) = (client.clone(), cache.clone());
        let task = runtime::handle()?.spawn(async move {
            let room = Arc::new(Semaphore::new(AHEAD));
            let met = listed
                .map(|found| async {
                    let (place, found) = match found {
                        Ok(found) => found,
                        Err(error) => return Some(Err(error)),
                    };
                    meet(&client, kept.as_deref(), &room, kind, place, found, fetches).await.map(Ok)
                })
                .buffered(REQUESTS);
            let mut met = std::pin::pin!(met);
            while let Some(met) = met.next().await {
                // The caller may have left.
                if met.is_some_and(|met| sender.send(met).is_err()) {
                    break;
                }
            }
        });
        Ok(Self { received, expected, task, cache })
    }
}

impl Records for Listed {
    fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<Met>> {
        loop {
            match self.received.recv_timeout(LOOK) {
                Ok(met) => return met.map(|(met, _)| Some(met)),
                Err(RecvTimeoutError::Timeout) => interrupt.check()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(cache) = &self.cache {
            cache.finish();
        }
    }
}

/// Return the directories of a listing.
fn in_order(directories: Directories) -> impl Stream<Item = Result<(String, Directory)>> + Send {
    stream::try_unfold(directories, |mut directories| async {
        Ok(directories.next().await?.map(|found| (found, directories)))
    })
}

/// Fetch the record of a directory, if it has one; `None` where it was removed after the listing.
async fn meet(
    client: &Client,
    cache: Option<&Cache>,
    room: &Arc<Semaphore>,
    kind: Kind,
    place: String,
    found: Directory,
    fetches: bool,
) -> Option<Ahead> {
    let Directory { files, directories } = found;
    // The semaphore is never closed.
    let kibibytes = |count: u32| async move { room.clone().acquire_many_owned(count).await.ok() };
    let is_other = kind.yields(|name| files.contains_key(name));
    let Some(record) = files.get(kind.file()).cloned().filter(|_| !is_other) else {
        let files = files.into_keys().collect();
        let found = FoundDirectory { place: place.into(), files, directories };
        return Some((Met::Directory(found), kibibytes(1).await));
    };
    let mut entry =
        Fetched { client: client.clone(), place: place.into(), kind, record, files, bytes: None, room: None };
    if fetches && entry.record.size <= LARGEST_AHEAD {
        let size = u32::try_from(entry.record.size >> 10).unwrap_or(u32::MAX).saturating_add(1);
        entry.room = kibibytes(size).await;
        let key = entry.key_of(kind.file());
        // The whole key, since other roots of the bucket may show the same object.
        let whole = client.whole_key(&key);
        entry.bytes = cache.and_then(|cache| cache.get(&whole, &entry.record));
        if entry.bytes.is_none() {
            match client.get(Step::Read, &key, None, entry.record.size).await {
                Ok(Some((bytes, found))) => {
                    if let Some(cache) = cache {
                        cache.put(&whole, &found, &bytes);
                    }
                    entry.bytes = Some(bytes);
                }
                Ok(None) => return None,
                Err(error) => return Some((Met::Failed(error), kibibytes(1).await)),
            }
        }
    }
    let waits = if entry.room.is_none() { kibibytes(1).await } else { None };
    Some((Met::Result(Box::new(entry)), waits))
}

/// A result of a listing.
pub struct Fetched {
    client: Client,
    place: PathBuf,
    kind: Kind,
    record: Found,
    files: Files,
    /// The record; `None` where it is large, and not fetched yet.
    bytes: Option<Bytes>,
    /// Its part of what is fetched ahead, given back with it.
    room: Option<OwnedSemaphorePermit>,
}

impl Fetched {
    /// Find one result by its directory.
    pub fn find(
        client: &Client,
        kind: Kind,
        place: &Path,
        key: &str,
        interrupt: Interrupt<'_>,
    ) -> Result<Self> {
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
        let (record, sidecar) = (below(kind.file()), below(SIDECAR));
        let (owned, missing) = (client.clone(), client.url_of(&record));
        let found = async move {
            let both = futures_util::future::join(
                owned.get(Step::Read, &record, None, LARGEST_AHEAD),
                owned.head(Step::Read, &sidecar),
            );
            let (record, sidecar) = both.await;
            Ok((record?, sidecar?))
        };
        let (record, sidecar) = block_on(found, interrupt)?;
        let (bytes, record) = record.ok_or_else(|| absent(Step::Read, missing))?;
        let files = sidecar.map(|found| (SIDECAR.to_owned(), found)).into_iter().collect();
        let (client, place) = (client.clone(), place.to_owned());
        Ok(Self { client, place, kind, record, files, bytes: Some(bytes), room: None })
    }

    fn key_of(&self, name: &str) -> String {
        // The place was made of a key.
        match self.place.to_str().unwrap_or_default() {
            "" => name.to_owned(),
            place => format!("{place}/{name}"),
        }
    }
}

impl Entry for Fetched {
    fn place(&self) -> &Path {
        &self.place
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.client.url_of(&self.key_of(name))
    }

    fn read(&self, limit: Limit, buffer: &mut Vec<u8>) -> Result<()> {
        let url = || self.record_path();
        limit.check(self.record.size).map_err(|error| remote(Step::Read, url(), &error))?;
        let bytes = if let Some(bytes) = &self.bytes {
            bytes.clone()
        } else {
            let (client, key, size) = (self.client.clone(), self.key_of(self.kind.file()), self.record.size);
            let got =
                block_on(async move { client.get(Step::Read, &key, None, size).await }, Interrupt::NEVER)?;
            got.ok_or_else(|| absent(Step::Read, url()))?.0
        };
        buffer.clear();
        let no_memory = io::Error::new(io::ErrorKind::OutOfMemory, "there is no memory for its bytes");
        buffer.try_reserve_exact(bytes.len()).map_err(|_| remote(Step::Read, url(), &no_memory))?;
        buffer.extend_from_slice(&bytes);
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.record.size)
    }

    fn saved_at(&self) -> Result<i64> {
        Ok(self.record.modified)
    }

    fn note(&self) -> Vec<u8> {
        note(&self.files)
    }

    fn has_file(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn open(&self, name: &str) -> Result<Option<ParquetSource>> {
        let Some(found) = self.files.get(name) else { return Ok(None) };
        let object = Object::open(&self.client, self.key_of(name), found.size, Interrupt::NEVER)?;
        Ok(Some(ParquetSource::Object(Arc::new(object))))
    }
}

/// An object that is read by ranges: its end at first, and then all of it.
#[derive(Debug)]
pub struct Object {
    client: Client,
    key: String,
    size: u64,
    /// The bytes from an offset to the end.
    known: Mutex<(u64, Bytes)>,
}

impl Object {
    /// Open an object of a known size.
    fn open(client: &Client, key: String, size: u64, interrupt: Interrupt<'_>) -> Result<Self> {
        let start = size.saturating_sub(TAIL);
        let tail = if size == 0 { Bytes::new() } else { fetch(client, &key, start..size, interrupt)? };
        Ok(Self { client: client.clone(), key, size, known: Mutex::new((start, tail)) })
    }

    /// Find an object, and open it.
    pub fn find(client: &Client, key: String, interrupt: Interrupt<'_>) -> Result<Self> {
        let (owned, below) = (client.clone(), key.clone());
        if client.url.starts_with("az://") {
            // Azure has no ranges that count from the end.
            let found = block_on(async move { owned.head(Step::ReadTimeseries, &below).await }, interrupt)?;
            let found = found.ok_or_else(|| absent(Step::ReadTimeseries, client.url_of(&key)))?;
            return Self::open(client, key, found.size, interrupt);
        }
        let range = Some(GetRange::Suffix(TAIL));
        let got = async move { owned.get(Step::ReadTimeseries, &below, range, TAIL).await };
        let got = block_on(got, interrupt)?;
        let (tail, found) = got.ok_or_else(|| absent(Step::ReadTimeseries, client.url_of(&key)))?;
        let start = found.size.saturating_sub(tail.len() as u64);
        Ok(Self { client: client.clone(), key, size: found.size, known: Mutex::new((start, tail)) })
    }

    fn fetch_all(&self, interrupt: Interrupt<'_>) -> Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 > 0 {
            *known = (0, fetch(&self.client, &self.key, 0..self.size, interrupt)?);
        }
        Ok(())
    }

    fn copy(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset.checked_sub(known.0)?).ok()?;
        buffer.copy_from_slice(known.1.get(start..start.checked_add(buffer.len())?)?);
        Some(())
    }
}

impl ReadAt for Object {
    fn size(&self) -> u64 {
        self.size
    }

    fn fetch(&self, interrupt: Interrupt<'_>) -> Result<()> {
        self.fetch_all(interrupt)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.copy(offset, buffer).is_some() {
            return Ok(());
        }
        let fetched = self.fetch_all(Interrupt::NEVER);
        fetched.map_err(|error| {
            let kind = if let Error::Remote { kind, .. } = &error { *kind } else { io::ErrorKind::Other };
            io::Error::new(kind, error)
        })?;
        self.copy(offset, buffer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn fetch(client: &Client, key: &str, range: std::ops::Range<u64>, interrupt: Interrupt<'_>) -> Result<Bytes> {
    let (owned, below) = (client.clone(), key.to_owned());
    let got = async move { owned.get_range(Step::ReadTimeseries, &below, range).await };
    block_on(got, interrupt)?.ok_or_else(|| absent(Step::ReadTimeseries, client.url_of(key)))
}

/// Return the error of an object that is not there.
fn absent(step: Step, url: PathBuf) -> Error {
    remote(step, url, &io::Error::new(io::ErrorKind::NotFound, "there is no such object"))
}

/// Return an error that no request caused.
fn remote(step: Step, url: PathBuf, error: &io::Error) -> Error {
    plain(step, url, error.kind(), error.to_string())
}
