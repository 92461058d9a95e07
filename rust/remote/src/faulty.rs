//! A store in memory that loses, repeats and delays answers, for tests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::StatusCode;
use object_store::client::HttpErrorKind;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::http::{Answered, note};

/// The behaviour of a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Percent of PUTs without a clear answer.
    pub puts: u64,
    /// Percent of GETs and HEADs without an answer.
    pub gets: u64,
    /// It ignores the conditions of PUTs.
    pub overwrites: bool,
    /// It looks for an object, and creates it some time later.
    pub races: bool,
    /// It drops the metadata of objects.
    pub drops_metadata: bool,
    /// It refuses requests of these kinds.
    pub refuses: Refused,
    /// It refuses PUTs of sidecars.
    pub refuses_sidecars: bool,
    /// No request reaches it.
    pub is_unreachable: bool,
}

/// The kinds of requests that a role may not send.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refused {
    pub heads: bool,
    pub gets: bool,
    pub lists: bool,
    pub deletes: bool,
}

/// Requests by their kinds.
#[derive(Debug, Default)]
pub struct Counts {
    pub puts: AtomicU64,
    pub gets: AtomicU64,
    pub lists: AtomicU64,
    pub deletes: AtomicU64,
}

impl Counts {
    pub fn all(&self) -> [u64; 4] {
        [&self.puts, &self.gets, &self.lists, &self.deletes].map(|count| count.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Default)]
pub struct Faulty {
    pub inner: Arc<InMemory>,
    pub faults: Faults,
    pub counts: Counts,
    random: AtomicU64,
}

impl Faulty {
    pub fn new(faults: Faults) -> Arc<Self> {
        Arc::new(Self { faults, ..Self::default() })
    }

    /// Return a number below 100.
    fn dice(&self) -> u64 {
        let mut x = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % 100
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn answered<T>(status: StatusCode) -> Result<T> {
    note(Answered { status: Some(status), ..Answered::default() });
    Err(Error::Generic { store: "Faulty", source: status.as_str().into() })
}

fn silent<T>(kind: HttpErrorKind) -> Result<T> {
    note(Answered { failure: Some(kind), ..Answered::default() });
    Err(Error::Generic { store: "Faulty", source: "no answer".into() })
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.counts.puts.fetch_add(1, Ordering::Relaxed);
        // No PUT is unconditional.
        assert_eq!(options.mode, PutMode::Create);
        let Faults { puts, overwrites, refuses_sidecars, is_unreachable, .. } = self.faults;
        if is_unreachable {
            return silent(HttpErrorKind::Connect);
        }
        if refuses_sidecars && key.filename() == Some(llem_store::SIDECAR) {
            return answered(StatusCode::FORBIDDEN);
        }
        let mut mode = if overwrites { PutMode::Overwrite } else { PutMode::Create };
        if self.faults.races && self.inner.head(key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            mode = PutMode::Overwrite;
        }
        let attributes =
            if self.faults.drops_metadata { Attributes::new() } else { options.attributes.clone() };
        let options = PutOptions { mode, attributes, ..options };
        let (inner, key) = (self.inner.clone(), key.clone());
        if self.dice() >= puts {
            return inner.put_opts(&key, payload, options).await;
        }
        match self.dice() % 6 {
            0 => {
                let _ = inner.put_opts(&key, payload, options).await;
                answered(StatusCode::INTERNAL_SERVER_ERROR)
            }
            1 => {
                let _ = inner.put_opts(&key, payload, options).await;
                silent(HttpErrorKind::Interrupted)
            }
            2 => silent(HttpErrorKind::Interrupted),
            3 => answered(StatusCode::SERVICE_UNAVAILABLE),
            4 => answered(StatusCode::CONFLICT),
            _ => {
                let delay = Duration::from_millis(self.dice() * 3);
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = inner.put_opts(&key, payload, options).await;
                });
                silent(HttpErrorKind::Timeout)
            }
        }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        answered(StatusCode::NOT_IMPLEMENTED)
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.counts.gets.fetch_add(1, Ordering::Relaxed);
        if self.faults.is_unreachable {
            return silent(HttpErrorKind::Connect);
        }
        let Refused { heads, gets, .. } = self.faults.refuses;
        if if options.head { heads } else { gets } {
            return answered(StatusCode::FORBIDDEN);
        }
        if self.dice() < self.faults.gets {
            return silent(HttpErrorKind::Interrupted);
        }
        self.inner.get_opts(key, options).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.counts.deletes.fetch_add(1, Ordering::Relaxed);
        if self.faults.refuses.deletes {
            return keys.then(|_| async { answered(StatusCode::FORBIDDEN) }).boxed();
        }
        self.inner.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counts.lists.fetch_add(1, Ordering::Relaxed);
        if self.faults.refuses.lists {
            return futures_util::stream::once(async { answered(StatusCode::FORBIDDEN) }).boxed();
        }
        // The real stores list in the order of the keys.
        let listed = self.inner.list(prefix);
        futures_util::stream::once(async move {
            let mut all: Vec<_> = listed.collect().await;
            all.sort_by_key(|meta| meta.as_ref().ok().map(|meta| meta.location.clone()));
            futures_util::stream::iter(all)
        })
        .flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        answered(StatusCode::NOT_IMPLEMENTED)
    }
}
