//! The check of a store: races for one key, and each request that a store needs.
//!
//! A store that looks for an object and then creates it refuses a second PUT, and still lets several of many concurrent
//! PUTs win. Only a race finds that.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, join_all, select};
use llem_store::{Error, Interrupt, Result, Step};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, Put};
use crate::fault::plain;
use crate::pace::delay;
use crate::runtime::{Cancelled, block_on_to_the_end};
use crate::save::random_u64;

/// Savers of one key in a race.
pub const SAVERS: usize = 16;
/// Races of a check, at most.
const RACES: usize = 8;
/// Races that a slow store runs at least.
const LEAST_RACES: usize = 3;
/// The time after which a slow store runs no further race.
const LONG: Duration = Duration::from_secs(20);
/// Attempts of a request that gets no answer.
const ATTEMPTS: u32 = 5;
/// The bytes of an object: a larger one takes longer, so that more of its rivals are in flight.
const SIZE: usize = 16 << 10;
/// The time in which a check that was cancelled removes its objects.
const GRACE: Duration = Duration::from_secs(1);
const CLEANUP: Duration = Duration::from_secs(60);

/// The outcome of a check.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// A second PUT of one key replaced the object.
    pub overwrites: bool,
    /// The races with an outcome.
    pub races: usize,
    /// The winners of a race, at most.
    pub winners: usize,
    /// The number of a save came back with its object.
    pub keeps_metadata: bool,
    /// A listing showed the objects that were there.
    pub lists_at_once: bool,
    /// The requests that the credentials do not allow, or that fail, with the reasons.
    pub lacks: BTreeMap<&'static str, String>,
    /// The objects that the check could not remove.
    pub left: Vec<String>,
}

/// Check a store with objects of its own, below a prefix that no reader enters; remove them.
///
/// # Errors
///
/// No object can be created; or the caller has cancelled.
pub fn check(client: &Client, interrupt: Interrupt<'_>) -> Result<Report> {
    let client = client.clone();
    block_on_to_the_end(|cancelled| checked(client, cancelled), interrupt)
}

async fn checked(client: Client, mut cancelled: Cancelled) -> Result<Report> {
    let mut trial = Trial {
        client: &client,
        prefix: format!(".llem-check-{:016x}", random_u64()),
        keys: Vec::new(),
        report: Report::default(),
    };
    let (outcome, time) = {
        let run = std::pin::pin!(trial.run());
        match select(run, std::pin::pin!(cancelled.wait())).await {
            Either::Left((outcome, _)) => (outcome, CLEANUP),
            Either::Right(_) => (Err(Error::Interrupted), GRACE),
        }
    };
    let cleanup = timeout(time, trial.clean()).await;
    outcome?;
    let Trial { keys, mut report, .. } = trial;
    match cleanup {
        Ok(left) => report.left = left,
        Err(_) => report.left = keys.iter().map(|key| url(&client, key)).collect(),
    }
    Ok(report)
}

fn url(client: &Client, key: &str) -> String {
    client.url_of(key).display().to_string()
}

/// A check in progress.
struct Trial<'c> {
    client: &'c Client,
    prefix: String,
    /// The keys that it may have created.
    keys: Vec<String>,
    report: Report,
}

impl Trial<'_> {
    async fn run(&mut self) -> Result<()> {
        let key = self.new_key();
        let (id, other) = (new_id(), new_id());
        if let Put::Exists = self.put(&key, &id).await? {
            let reason = "the store refuses to create an object that does not exist";
            return Err(plain(
                Step::Claim,
                self.client.url_of(&key),
                std::io::ErrorKind::Unsupported,
                reason,
            ));
        }
        self.report.overwrites = matches!(self.put(&key, &other).await?, Put::Created);
        let owner = if self.report.overwrites { &other } else { &id };
        self.read(&key, owner).await;
        // The winners of a store that overwrites are all.
        let started = Instant::now();
        for race in 0..RACES {
            let is_slow = race >= LEAST_RACES && started.elapsed() > LONG;
            if self.report.overwrites || self.report.winners > 1 || is_slow {
                break;
            }
            self.race().await?;
        }
        Ok(())
    }

    fn new_key(&mut self) -> String {
        let key = format!("{}/{}", self.prefix, self.keys.len());
        self.keys.push(key.clone());
        key
    }

    /// Create an object; a request without an answer is sent again, and finds its own object.
    async fn put(&self, key: &str, id: &str) -> Result<Put> {
        let mut attempt = 0;
        let mut is_in_doubt = false;
        loop {
            let error = match self.client.put_create(key, content(id), id).await {
                Put::Exists if is_in_doubt && self.owner(key).await.as_deref() == Some(id) => {
                    return Ok(Put::Created);
                }
                answer @ (Put::Created | Put::Exists) => return Ok(answer),
                Put::Refused(error) => return Err(error),
                Put::Conflict => None,
                Put::NotSent(error) => Some(error),
                Put::Lost(error) => {
                    is_in_doubt = true;
                    Some(error)
                }
            };
            attempt += 1;
            if attempt == ATTEMPTS {
                return Err(error.unwrap_or_else(|| {
                    let said = "the store answers that another request for the key is in progress";
                    plain(Step::Claim, self.client.url_of(key), std::io::ErrorKind::ResourceBusy, said)
                }));
            }
            sleep(delay(attempt)).await;
        }
    }

    async fn owner(&self, key: &str) -> Option<String> {
        self.client.owner(key).await.ok().flatten().flatten()
    }

    /// Send each request that reads.
    async fn read(&mut self, key: &str, id: &str) {
        match self.client.owner(key).await {
            Ok(Some(owner)) => self.report.keeps_metadata = owner.as_deref() == Some(id),
            Ok(None) => self.lack("HEAD", "it does not find an object that was created"),
            Err(error) => self.lack("HEAD", &said(error)),
        }
        let absent = format!("{}/absent", self.prefix);
        if !self.report.lacks.contains_key("HEAD")
            && let Err(error) = self.client.head(Step::Read, &absent).await
        {
            self.lack("HEAD of an absent object", &said(error));
        }
        match self.client.get(Step::Read, key, None, SIZE as u64).await {
            Ok(Some((bytes, _))) if bytes == content(id) => {}
            Ok(Some(_)) => self.lack("GET", "it returns other bytes than were put"),
            Ok(None) => self.lack("GET", "it does not find an object that was created"),
            Err(error) => self.lack("GET", &said(error)),
        }
        match self.client.list(&self.prefix).await {
            Ok(listed) => self.report.lists_at_once = listed.contains_key(key),
            Err(error) => self.lack("LIST", &said(error)),
        }
    }

    fn lack(&mut self, request: &'static str, reason: &str) {
        self.report.lacks.insert(request, reason.to_owned());
    }

    /// Let many savers create one object at the same time, and count those that did.
    async fn race(&mut self) -> Result<()> {
        let key = self.new_key();
        let ids: Vec<String> = (0..SAVERS).map(|_| new_id()).collect();
        let client = self.client;
        let puts = ids.iter().map(|id| client.put_create(&key, content(id), id));
        let mut winners = Vec::new();
        let mut lost = 0;
        for (id, answer) in ids.iter().zip(join_all(puts).await) {
            match answer {
                Put::Created => winners.push(id),
                Put::Lost(_) => lost += 1,
                Put::Refused(error) => return Err(error),
                Put::Exists | Put::Conflict | Put::NotSent(_) => {}
            }
        }
        let mut count = winners.len();
        if self.report.keeps_metadata {
            let owner = self.owner(&key).await;
            let is_of_a_winner = owner.as_ref().is_some_and(|owner| winners.contains(&owner));
            // The object of an acknowledged PUT is gone, or it is that of a PUT without an answer.
            if owner.is_some() && !is_of_a_winner && (count > 0 || lost > 0) {
                count += 1;
            }
        }
        if count > 0 {
            self.report.races += 1;
            self.report.winners = self.report.winners.max(count);
        }
        Ok(())
    }

    /// Remove the objects; return the URLs of those that remain.
    async fn clean(&mut self) -> Vec<String> {
        let client = self.client;
        let removed = join_all(self.keys.iter().map(|key| remove(client, key))).await;
        let failed = self.keys.iter().zip(removed).filter_map(|(key, removed)| Some((key, removed.err()?)));
        let mut left = Vec::new();
        for (key, error) in failed {
            left.push(url(client, key));
            self.report.lacks.insert("DELETE", said(error));
        }
        left
    }
}

/// Remove an object that no other save creates, so that the request may be sent again.
async fn remove(client: &Client, key: &str) -> Result<()> {
    let mut attempt = 0;
    loop {
        let removed = client.delete_once(Step::Scan, key).await;
        attempt += 1;
        let is_final = match &removed {
            Ok(()) => true,
            Err(Error::Remote { status, .. }) => {
                status.is_some_and(|status| status < 500 && status != 429 && status != 408)
            }
            Err(_) => false,
        };
        if is_final || attempt == ATTEMPTS {
            return removed;
        }
        sleep(delay(attempt)).await;
    }
}

fn new_id() -> String {
    format!("{:016x}{:016x}", random_u64(), random_u64())
}

fn content(id: &str) -> Bytes {
    id.repeat(SIZE / id.len()).into()
}

/// Return the reason of an error, without the URL.
fn said(error: Error) -> String {
    if let Error::Remote { reason, .. } = error { reason } else { error.to_string() }
}
