//! A prefix of a bucket as a storage location.

use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use llem_store::inspect::clean::{CleanOptions, Leftover};
use llem_store::save::{NewResult, SaveOptions, Saved};
use llem_store::{Entry, Interrupt, Kind, Listing, ParquetSource, Result, Storage, Wanted};

use crate::cache::{Cache, CacheOptions};
use crate::check::{Report, check};
use crate::clean::clean;
use crate::client::{Client, key_of};
use crate::look::{Look, get, look};
use crate::open::{OpenError, Options, Place, Provide, open};
use crate::read::{Fetched, Listed, Object};
use crate::save::{Conditions, Memory, resolve, save};

/// Attempts to take a lock that a fork may have left held.
const ATTEMPTS: usize = 100;

/// A prefix of a bucket.
///
/// It makes its client at the first request of a process: a fork cannot use the connections of its parent.
#[derive(Clone)]
pub struct ObjectStorage {
    /// The URL of the root.
    root: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    provide: Option<Arc<Provide>>,
    memory: Arc<Memory>,
    unknown_service: Option<Arc<str>>,
    client: Mutex<Option<(u32, Client)>>,
    cache: OnceLock<CacheOptions>,
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage").field("root", &self.root).finish_non_exhaustive()
    }
}

impl ObjectStorage {
    /// Describe the store at a URL; send nothing.
    ///
    /// # Errors
    ///
    /// The URL or an option is not valid.
    pub fn new(url: &str, options: Options, provide: Option<Arc<Provide>>) -> Result<Self, OpenError> {
        let client = open(url, &options, provide.clone())?;
        let (root, unknown_service) = (client.url_of(""), client.unknown_service.clone());
        let client = Mutex::new(Some((process::id(), client)));
        let memory = Arc::default();
        let cache = OnceLock::new();
        Ok(Self {
            root,
            shared: Arc::new(Shared { options, provide, memory, unknown_service, client, cache }),
        })
    }

    /// Keep the records that readers of this bucket fetch.
    #[must_use]
    pub fn with_cache(self, options: CacheOptions) -> Self {
        // The first options count.
        let _ = self.shared.cache.set(options);
        self
    }

    /// Return the cache of the bucket; `None` where readers keep nothing.
    fn cache(&self) -> Option<Arc<Cache>> {
        let options = self.shared.cache.get()?;
        let place = Place::of(self.url()).ok()?;
        let is_of_service = |name: &str| {
            let name = name.to_lowercase();
            ["endpoint", "account_name", "emulator"].iter().any(|part| name.contains(part))
        };
        // One name is another bucket at another endpoint.
        let own = self.shared.options.iter().map(|(name, value)| (name.clone(), value.clone()));
        let variables =
            std::env::vars().filter(|(name, _)| name.starts_with("AWS") || name.starts_with("AZURE"));
        let service: Vec<_> = own.chain(variables).filter(|(name, _)| is_of_service(name)).collect();
        Some(Cache::open(options, &format!("{:?} {} {service:?}", place.service, place.bucket)))
    }

    /// Return another root in the same bucket.
    ///
    /// # Errors
    ///
    /// The URL is not valid, or is in another bucket.
    pub fn at(&self, url: &str) -> Result<Self, OpenError> {
        let (own, other) = (Place::of(self.url())?, Place::of(url)?);
        if (own.service, own.bucket) != (other.service, other.bucket) {
            return Self::new(url, self.shared.options.clone(), self.shared.provide.clone());
        }
        Ok(Self { root: url.trim_end_matches('/').into(), shared: self.shared.clone() })
    }

    /// Return the URL of the root.
    #[must_use]
    pub fn url(&self) -> &str {
        // It was made of one.
        self.root.to_str().unwrap_or_default()
    }

    /// Return what this process knows of the store's conditions from its saves.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        match self.shared.memory.conditions() {
            Conditions::Unknown if self.shared.unknown_service.is_none() => Conditions::Known,
            conditions => conditions,
        }
    }

    /// Look for the record of a save whose outcome was unknown; return `true` where it is in place.
    ///
    /// # Errors
    ///
    /// The store cannot be asked.
    pub fn resolve(&self, id: &str, interrupt: Interrupt<'_>) -> Result<bool> {
        resolve(&self.client(), String::new(), id, interrupt)
    }

    /// Check what the store promises: see [`Report`].
    ///
    /// # Errors
    ///
    /// No object can be created; or the caller has cancelled.
    pub fn check(&self, interrupt: Interrupt<'_>) -> Result<Report> {
        let report = check(&self.client(), interrupt)?;
        self.shared.memory.set_conditions(if report.overwrites {
            Conditions::Ignored
        } else {
            Conditions::Honoured
        });
        Ok(report)
    }

    /// Return the address of a service that is not known to honour the conditions of requests, as
    /// `http://127.0.0.1:9000`; `None` for one that is.
    #[must_use]
    pub fn unknown_service(&self) -> Option<&str> {
        self.shared.unknown_service.as_deref()
    }

    /// Look for objects by their keys below the root; `None` is one that is absent.
    ///
    /// # Errors
    ///
    /// The store cannot be asked.
    pub fn look(&self, keys: Vec<String>, interrupt: Interrupt<'_>) -> Result<Vec<Option<Look>>> {
        look(&self.client(), keys, interrupt)
    }

    /// Return the bytes of the object at the URL; `None` where it is absent.
    ///
    /// # Errors
    ///
    /// The store cannot be asked.
    pub fn get(&self, size: u64, interrupt: Interrupt<'_>) -> Result<Option<Bytes>> {
        get(&self.client(), size, interrupt)
    }

    /// Return the client of this process.
    pub(crate) fn client(&self) -> Client {
        let prefix = Place::of(self.url()).map_or("", |place| place.prefix);
        for _ in 0..ATTEMPTS {
            if let Ok(mut known) = self.shared.client.try_lock() {
                if let Some((process, client)) = &*known
                    && *process == process::id()
                {
                    return client.at(self.url(), prefix);
                }
                let Ok(client) = open(self.url(), &self.shared.options, self.shared.provide.clone()) else {
                    break;
                };
                // Its connections belong to the parent.
                mem::forget(known.replace((process::id(), client.clone())));
                return client;
            }
            thread::sleep(Duration::from_millis(1));
        }
        unreachable!("a client that was made once cannot be made again")
    }

    /// Return the root of the directory that a path names: of a result, or of its record.
    fn without_record(&self, file: &str) -> (Client, String) {
        let client = self.client();
        match self.url().strip_suffix(file).and_then(|above| above.strip_suffix('/')) {
            Some(above) => {
                let prefix =
                    client.prefix.strip_suffix(file).unwrap_or_default().trim_end_matches('/').to_owned();
                (client.at(above, &prefix), above.to_owned())
            }
            None => (client, self.url().to_owned()),
        }
    }
}

impl Storage for ObjectStorage {
    fn root(&self) -> &Path {
        &self.root
    }

    fn save(&self, result: NewResult<'_>, options: SaveOptions, interrupt: Interrupt<'_>) -> Result<Saved> {
        // Every object is durable once the store has acknowledged it.
        let SaveOptions { .. } = options;
        save(&self.client(), &self.shared.memory, result, interrupt)
    }

    fn list(&self, kind: Kind, wanted: &Wanted, interrupt: Interrupt<'_>) -> Result<Listing> {
        let listed = Listed::begin(&self.client(), self.cache(), kind, wanted, interrupt)?;
        let expected = listed.expected();
        Ok(Listing::Stream(Box::new(listed), expected))
    }

    fn find(&self, kind: Kind, place: &Path, interrupt: Interrupt<'_>) -> Result<Box<dyn Entry>> {
        let (client, _) = self.without_record(kind.file());
        let key = key_of(place).unwrap_or_default();
        Ok(Box::new(Fetched::find(&client, kind, place, &key, interrupt)?))
    }

    fn open(&self, file: &Path, interrupt: Interrupt<'_>) -> Result<ParquetSource> {
        let key = key_of(file).unwrap_or_default();
        Ok(ParquetSource::Object(Arc::new(Object::find(&self.client(), key, interrupt)?)))
    }

    fn clean(&self, options: CleanOptions, interrupt: Interrupt<'_>) -> Result<Vec<Leftover>> {
        clean(&self.client(), options, interrupt)
    }
}
