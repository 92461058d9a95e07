//! Listings: of all objects below a key, and of the names that begin with a base.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use llem_store::{Result, Step};
use object_store::path::Path as Key;
use tokio::time::{Instant, sleep, timeout};

use super::{ANSWER, Client, Found, PATIENCE};
use crate::http::noted;
use crate::pace::delay;

impl Client {
    /// List the objects below a key of the root, by their keys below the root. An answer that breaks off is asked again
    /// from its last key.
    pub async fn list(&self, below: &str) -> Result<BTreeMap<String, Found>> {
        let base = self.key("")?;
        let prefix = self.key(below)?;
        let mut found = BTreeMap::new();
        let mut last: Option<Key> = None;
        let (mut progressed, mut attempt, mut is_renewed) = (Instant::now(), 0, false);
        loop {
            self.pace.wait().await;
            let before = found.len();
            let listing = async {
                let listed = Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty());
                let mut pages = match &last {
                    Some(last) => self.store.list_with_offset(listed, last),
                    None => self.store.list(listed),
                };
                // The time between two objects: that for one page.
                while let Some(meta) =
                    timeout(ANSWER, pages.try_next()).await.map_err(|_| None)?.map_err(Some)?
                {
                    let own = meta.location.as_ref().strip_prefix(base.as_ref());
                    if let Some(own) = own.map(|own| own.trim_start_matches('/')) {
                        found.insert(own.to_owned(), Found::from(&meta));
                    }
                    last = Some(meta.location);
                }
                Ok::<_, Option<object_store::Error>>(())
            };
            let (listed, answered) = noted(listing).await;
            self.pace.note_clock(answered.date);
            if !is_renewed && self.renews(&answered) {
                is_renewed = true;
                continue;
            }
            let error = match listed {
                Ok(()) => {
                    self.pace.succeed();
                    return Ok(found);
                }
                Err(None) => self.late(Step::Scan, below),
                Err(Some(error)) => self.failed(Step::Scan, below, &answered, &error)?,
            };
            if found.len() > before {
                (progressed, attempt) = (Instant::now(), 0);
            }
            attempt += 1;
            let pause = delay(attempt);
            if progressed.elapsed() + pause > self.patience(&error, PATIENCE) {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// Return the names in the root that begin with a base name.
    pub async fn names(&self, base: &str) -> Result<BTreeSet<String>> {
        let (root, offset) = (self.key("")?, self.key(base)?);
        let listed = Some(&root).filter(|root| !root.as_ref().is_empty());
        let collect = || async {
            let mut names = BTreeSet::new();
            let mut pages = self.store.list_with_offset(listed, &offset);
            // The names come in the order of their bytes: those with the base are together.
            while let Some(meta) = pages.try_next().await? {
                let own = meta.location.as_ref().strip_prefix(root.as_ref()).unwrap_or_default();
                let name = own.trim_start_matches('/').split('/').next().unwrap_or_default();
                if !name.starts_with(base) {
                    break;
                }
                names.insert(name.to_owned());
            }
            Ok(names)
        };
        Ok(self.again(Step::Claim, base, ANSWER, collect).await?.unwrap_or_default())
    }
}
