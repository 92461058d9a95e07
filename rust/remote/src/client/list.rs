//! Listings: of all objects below a key, and of the names that begin with a base.

use std::collections::BTreeMap;

use futures_util::future::join;
use futures_util::{StreamExt, TryStreamExt};
use llem_store::{Result, SIDECAR, Step};
use object_store::path::Path as Key;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{ANSWER, Client, Found, PATIENCE};
use crate::http::noted;
use crate::pace::delay;
use crate::{retries, runtime};

/// Pages of a listing that wait for their reader.
const PAGES: usize = 4;
/// Objects of a page, at most.
const PAGE: usize = 1000;

/// Objects of a listing, by their keys below the root.
pub type Page = Vec<(String, Found)>;

impl Client {
    /// List the objects below a key of the root.
    pub async fn list(&self, below: &str) -> Result<BTreeMap<String, Found>> {
        let (sender, mut pages) = mpsc::channel(PAGES);
        let collect = async {
            let mut found = BTreeMap::new();
            while let Some(page) = pages.recv().await {
                found.extend(page);
            }
            found
        };
        let (listed, found) = join(self.list_to(below, sender), collect).await;
        listed.map(|()| found)
    }

    /// Begin to list the objects below the root on the runtime's thread.
    pub fn start_list(&self) -> Result<(Receiver<Page>, JoinHandle<Result<()>>)> {
        let (sender, pages) = mpsc::channel(PAGES);
        let client = self.clone();
        let task = runtime::handle()?.spawn(async move { client.list_to("", sender).await });
        Ok((pages, task))
    }

    /// Send the objects below a key of the root, in the order of the store, until no task receives them. An answer that
    /// breaks off is asked again from its last key.
    async fn list_to(&self, below: &str, sender: Sender<Page>) -> Result<()> {
        let base = self.key("")?;
        let prefix = self.key(below)?;
        let mut last: Option<Key> = None;
        let (mut progressed, mut attempt, mut is_renewed) = (Instant::now(), 0, false);
        loop {
            self.pace.wait().await;
            let before = last.clone();
            let listing = async {
                let listed = Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty());
                let pages = match &last {
                    Some(last) => self.store.list_with_offset(listed, last),
                    None => self.store.list(listed),
                };
                let mut pages = pages.ready_chunks(PAGE);
                // The time for one page.
                while let Some(page) = timeout(ANSWER, pages.next()).await.map_err(|_| None)? {
                    let mut found = Page::with_capacity(page.len());
                    let mut failure = None;
                    for meta in page {
                        match meta {
                            Ok(meta) => {
                                let own = meta.location.as_ref().strip_prefix(base.as_ref());
                                if let Some(own) = own.map(|own| own.trim_start_matches('/')) {
                                    found.push((own.to_owned(), Found::from(&meta)));
                                }
                                last = Some(meta.location);
                            }
                            Err(error) => failure = Some(error),
                        }
                    }
                    if sender.send(found).await.is_err() {
                        break;
                    }
                    failure.map_or(Ok(()), |error| Err(Some(error)))?;
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
                    return Ok(());
                }
                Err(None) => self.late(Step::Scan, below),
                Err(Some(error)) => self.failed(Step::Scan, below, &answered, &error)?,
            };
            if last != before {
                (progressed, attempt) = (Instant::now(), 0);
            }
            attempt += 1;
            let pause = delay(attempt);
            if progressed.elapsed() + pause > self.patience(&error, PATIENCE) {
                return Err(error);
            }
            retries::note(&error, pause);
            sleep(pause).await;
        }
    }

    /// Return `true` where there is an object in a directory.
    pub async fn has_directory(&self, below: &str) -> Result<bool> {
        let prefix = self.key(below)?;
        let look = || async { self.store.list(Some(&prefix)).try_next().await };
        let found = self.again(Step::Scan, below, ANSWER, look).await?;
        Ok(found.flatten().is_some())
    }

    /// Return the names in the root that begin with a base name, with `true` for those that have a sidecar.
    pub async fn names(&self, base: &str) -> Result<BTreeMap<String, bool>> {
        let (root, offset) = (self.key("")?, self.key(base)?);
        let listed = Some(&root).filter(|root| !root.as_ref().is_empty());
        let collect = || async {
            let mut names = BTreeMap::new();
            let mut pages = self.store.list_with_offset(listed, &offset);
            // The names come in the order of their bytes: those with the base are together.
            while let Some(meta) = pages.try_next().await? {
                let own = meta.location.as_ref().strip_prefix(root.as_ref()).unwrap_or_default();
                let own = own.trim_start_matches('/');
                let (name, file) = own.split_once('/').unwrap_or((own, ""));
                if !name.starts_with(base) {
                    break;
                }
                *names.entry(name.to_owned()).or_default() |= file == SIDECAR;
            }
            Ok(names)
        };
        Ok(self.again(Step::Claim, base, ANSWER, collect).await?.unwrap_or_default())
    }
}
