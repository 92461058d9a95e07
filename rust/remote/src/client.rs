//! Requests to one bucket: each is sent once, or again until a deadline.

mod list;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use llem_store::{Error, Result, Step};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::fault::{self, Effect};
use crate::http::{Answered, noted};
use crate::pace::{Pace, delay};
use crate::retries;

pub use list::Page;

/// The name of the metadata that holds the number of a save: letters only, since Ceph changes `_`, and Azure forbids `-`.
const SAVE_ID: &str = "llemsaveid";
/// The time that a request may take, besides that for its bytes.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes that a slow network carries in a second.
const SLOWEST: u64 = 1 << 20;
/// The time in which a store that never answered is tried again.
const FIRST_CONTACT: Duration = Duration::from_secs(3);
/// The time in which a request that reads is sent again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one bucket, and a root in it.
#[derive(Debug, Clone)]
pub struct Client {
    pub store: Arc<dyn ObjectStore>,
    /// The URL of the root, without a slash at its end.
    pub url: Arc<str>,
    /// The key of the root; empty for the bucket.
    pub prefix: Arc<str>,
    pub pace: Arc<Pace>,
    pub turns: Arc<Turns>,
    /// Present where the credentials come from a function of the caller.
    pub renewal: Option<Arc<Renewal>>,
    /// The address of a service that is not known to honour the conditions of requests.
    pub unknown_service: Option<Arc<str>>,
}

/// The wish for other credentials, since the store says that these have expired.
#[derive(Debug, Default)]
pub struct Renewal(AtomicBool);

impl Renewal {
    /// Return `true` once after each wish.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The steps that one save of a process takes alone.
#[derive(Debug, Default)]
pub struct Turns {
    /// The first save tests the store; the others wait for its outcome.
    pub first: Mutex<()>,
    /// The first save with a sidecar lists the names.
    pub list: Mutex<()>,
}

/// The answer to a request that creates an object.
#[derive(Debug)]
pub enum Put {
    /// The object was created.
    Created,
    /// An object has the key.
    Exists,
    /// Another request for the key was in progress, and this one had no effect.
    Conflict,
    /// The store refused it, without an effect.
    Refused(Error),
    /// It never reached the store.
    NotSent(Error),
    /// No answer came, or one after which it may have its effect.
    Lost(Error),
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub size: u64,
    pub etag: Option<String>,
    /// Microseconds since 1970, by the clock of the store.
    pub modified: i64,
}

impl From<&ObjectMeta> for Found {
    fn from(meta: &ObjectMeta) -> Self {
        // Some services have the quotes in a header only.
        let etag = meta.e_tag.as_deref().map(|etag| etag.trim_matches('"').to_owned());
        Self { size: meta.size, etag, modified: meta.last_modified.timestamp_micros() }
    }
}

impl Client {
    /// Return a client of a store in memory, with its root at `root`.
    #[cfg(test)]
    pub fn of(store: Arc<dyn ObjectStore>) -> Self {
        let (pace, turns) = (Arc::default(), Arc::default());
        let (url, prefix) = ("s3://bucket/root".into(), "root".into());
        Self {
            store,
            url,
            prefix,
            pace,
            turns,
            renewal: None,
            unknown_service: Some("http://127.0.0.1".into()),
        }
    }

    /// Return the URL of a key below the root, as errors name it; the empty key is the root.
    pub fn url_of(&self, key: &str) -> PathBuf {
        if key.is_empty() { PathBuf::from(&*self.url) } else { format!("{}/{key}", self.url).into() }
    }

    /// Return a key below the root as one in the bucket.
    pub fn whole_key(&self, below: &str) -> String {
        match (&*self.prefix, below) {
            ("", below) => below.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, below) => format!("{prefix}/{below}"),
        }
    }

    fn key(&self, below: &str) -> Result<Key> {
        Key::parse(self.whole_key(below)).map_err(|_| Error::Remote {
            step: Step::Read,
            url: self.url_of(below),
            status: None,
            request_id: None,
            kind: std::io::ErrorKind::InvalidInput,
            reason: "a name is empty, \".\" or \"..\"".into(),
        })
    }

    /// Create an object, if its key is free: one request, which is not sent again.
    pub async fn put_create(&self, below: &str, bytes: Bytes, id: &str) -> Put {
        let key = match self.key(below) {
            Ok(key) => key,
            Err(error) => return Put::Refused(error),
        };
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(SAVE_ID.into()), id.to_owned().into());
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        let time = ANSWER + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        let put = || timeout(time, self.store.put_opts(&key, bytes.clone().into(), options.clone()));
        self.pace.wait().await;
        let (mut sent, mut answered) = noted(put()).await;
        if self.renews(&answered) {
            (sent, answered) = noted(put()).await;
        }
        let said = match sent {
            Ok(Ok(_)) => {
                self.pace.succeed();
                return Put::Created;
            }
            Ok(Err(object_store::Error::AlreadyExists { .. })) if answered.status.is_none() => {
                return Put::Exists;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => return Put::Lost(self.late(Step::Commit, below)),
        };
        match (answered.status, answered.code.as_deref()) {
            (Some(StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED), _)
            | (Some(StatusCode::CONFLICT), Some("BlobAlreadyExists")) => return Put::Exists,
            (Some(StatusCode::CONFLICT), _) => return Put::Conflict,
            _ => {}
        }
        let error = fault::error(Step::Commit, self.url_of(below), &answered, &said);
        match fault::effect(&answered) {
            Effect::Refused => Put::Refused(error),
            Effect::NotSent => Put::NotSent(error),
            Effect::SlowDown => {
                self.pace.slow_down();
                Put::Lost(error)
            }
            Effect::Lost => Put::Lost(error),
        }
    }

    /// Return the number of the save that created an object, if it has one; `None` where there is no object.
    pub async fn owner(&self, below: &str) -> Result<Option<Option<String>>> {
        let key = self.key(below)?;
        let options = || GetOptions { head: true, ..GetOptions::default() };
        let found = self.again(Step::Claim, below, ANSWER, || self.store.get_opts(&key, options())).await?;
        let of_save = |attributes: &Attributes| {
            let id = attributes.get(&Attribute::Metadata(SAVE_ID.into()));
            id.map(|value| value.as_ref().to_owned())
        };
        Ok(found.map(|found| of_save(&found.attributes)))
    }

    /// Look for an object.
    pub async fn head(&self, step: Step, below: &str) -> Result<Option<Found>> {
        let key = self.key(below)?;
        let found = self.again(step, below, ANSWER, || self.store.head(&key)).await?;
        Ok(found.as_ref().map(Found::from))
    }

    /// Read an object, or a range of it; `None` where there is none.
    pub async fn get(
        &self,
        step: Step,
        below: &str,
        range: Option<GetRange>,
        size: u64,
    ) -> Result<Option<(Bytes, Found)>> {
        let key = self.key(below)?;
        let time = ANSWER + Duration::from_secs(size / SLOWEST);
        let read = || async {
            let options = GetOptions { range: range.clone(), ..GetOptions::default() };
            let got = self.store.get_opts(&key, options).await?;
            let found = Found::from(&got.meta);
            Ok((got.bytes().await?, found))
        };
        self.again(step, below, time, read).await
    }

    /// Read a range of an object.
    pub async fn get_range(&self, step: Step, below: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let size = range.end - range.start;
        let got = self.get(step, below, Some(GetRange::Bounded(range)), size).await?;
        Ok(got.map(|(bytes, _)| bytes))
    }

    /// Remove an object: one request, which is not sent again. A second one could land on an object that another save
    /// created meanwhile.
    pub async fn delete_once(&self, step: Step, below: &str) -> Result<()> {
        let key = self.key(below)?;
        self.pace.wait().await;
        let (sent, answered) = noted(timeout(ANSWER, self.store.delete(&key))).await;
        match sent {
            Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => {
                self.pace.succeed();
                Ok(())
            }
            Ok(Err(error)) => Err(fault::error(step, self.url_of(below), &answered, &error.to_string())),
            Err(_) => Err(self.late(step, below)),
        }
    }

    /// Return the time in which a request is sent again: a store that never answered may not exist.
    pub fn patience(&self, error: &Error, usual: Duration) -> Duration {
        if fault::is_unreachable(error) && !self.pace.has_answered() { FIRST_CONTACT } else { usual }
    }

    /// Send a request that changes nothing, or that may be repeated, until it has an answer; `None` for "not found".
    async fn again<T, F>(
        &self,
        step: Step,
        below: &str,
        time: Duration,
        request: impl Fn() -> F,
    ) -> Result<Option<T>>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let started = Instant::now();
        let (mut attempt, mut is_renewed) = (0, false);
        loop {
            self.pace.wait().await;
            let (sent, answered) = noted(timeout(time, request())).await;
            if !is_renewed && self.renews(&answered) {
                is_renewed = true;
                continue;
            }
            let error = match sent {
                Ok(Ok(value)) => {
                    self.pace.succeed();
                    return Ok(Some(value));
                }
                Ok(Err(object_store::Error::NotFound { .. }))
                    if answered.code.as_deref() != Some("NoSuchBucket") =>
                {
                    return Ok(None);
                }
                Ok(Err(error)) => self.failed(step, below, &answered, &error)?,
                Err(_) => self.late(step, below),
            };
            attempt += 1;
            let pause = delay(attempt);
            if started.elapsed() + pause > self.patience(&error, PATIENCE) {
                return Err(error);
            }
            retries::note(&error, pause);
            sleep(pause).await;
        }
    }

    /// Return `true` for a request to be sent again with other credentials, since these have expired.
    fn renews(&self, answered: &Answered) -> bool {
        let renewal = self.renewal.as_ref().filter(|_| fault::is_expired(answered));
        renewal.inspect(|renewal| renewal.0.store(true, Ordering::Relaxed)).is_some()
    }

    /// Return the error of a request that can be sent again.
    ///
    /// # Errors
    ///
    /// It cannot.
    fn failed(
        &self,
        step: Step,
        below: &str,
        answered: &Answered,
        error: &object_store::Error,
    ) -> Result<Error> {
        let fault = fault::error(step, self.url_of(below), answered, &error.to_string());
        match fault::effect(answered) {
            Effect::Refused => Err(fault),
            Effect::SlowDown => {
                self.pace.slow_down();
                Ok(fault)
            }
            Effect::NotSent | Effect::Lost => Ok(fault),
        }
    }

    fn late(&self, step: Step, below: &str) -> Error {
        let answered = Answered {
            failure: Some(object_store::client::HttpErrorKind::Timeout),
            host: "the store".into(),
            ..Answered::default()
        };
        fault::error(step, self.url_of(below), &answered, "")
    }

    /// Return a client of another root in the same bucket.
    pub fn at(&self, url: &str, prefix: &str) -> Self {
        Self { url: url.into(), prefix: prefix.into(), ..self.clone() }
    }
}

/// Return a path relative to the root as a key.
///
/// # Errors
///
/// It is not UTF-8, which no key of a result is.
pub fn key_of(place: &Path) -> Option<String> {
    let names = place.components().map(|component| component.as_os_str().to_str());
    names.collect::<Option<Vec<_>>>().map(|names| names.join("/"))
}
