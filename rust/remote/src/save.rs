//! The save of one result: the requests that its machine wants, until a deadline.

mod memory;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use llem_store::json::indent::indented;
use llem_store::save::{NewResult, NewSidecar, Saved, Sidecar, to_bytes};
use llem_store::{Error, Interrupt, Kind, Result, SIDECAR, Step};
use tokio::time::{Instant, sleep};

pub use memory::{Conditions, Memory};

use crate::client::{Client, Put};
use crate::fault::plain;
use crate::pace::delay;
use crate::protocol::{Answer, Machine, Outcome, Part, Protocol, Request, SaveId, suffix_of, suffixed};
use crate::retries;
use crate::runtime::{Cancelled, block_on_to_the_end};

/// The time in which requests without an answer are sent again.
const PATIENCE: Duration = Duration::from_secs(120);
/// The objects of a result.
struct Objects {
    base: String,
    kind: Kind,
    record: Bytes,
    record_with_sidecar: Bytes,
    sidecar: Bytes,
}

impl Objects {
    fn key(&self, suffix: u64, part: Part) -> String {
        let name = suffixed(&self.base, suffix);
        format!("{name}/{}", if part == Part::Record { self.kind.file() } else { SIDECAR })
    }

    fn bytes(&self, part: Part, with_sidecar: bool) -> Bytes {
        match (part, with_sidecar) {
            (Part::Sidecar, _) => self.sidecar.clone(),
            (Part::Record, true) => self.record_with_sidecar.clone(),
            (Part::Record, false) => self.record.clone(),
        }
    }
}

/// The end of a save, and the failures on its way.
struct Ended {
    outcome: Outcome,
    /// The last failure of a request.
    failure: Option<Error>,
    /// The failure that cost the sidecar.
    sidecar_failure: Option<Error>,
    is_cancelled: bool,
    /// The key of a sidecar that may remain without a record.
    orphan: Option<String>,
    /// The objects were removed again, since the store overwrites.
    is_removed: bool,
}

/// Save one result.
pub fn save(
    client: &Client,
    memory: &Arc<Memory>,
    result: NewResult<'_>,
    interrupt: Interrupt<'_>,
) -> Result<Saved> {
    let NewResult { name, kind, record, sidecar, suffix } = result;
    let (mut objects, mut found) = (
        Objects {
            base: name.into_owned(),
            kind,
            record: indented(&record).into(),
            record_with_sidecar: Bytes::new(),
            sidecar: Bytes::new(),
        },
        Sidecar::None,
    );
    let mut with_sidecar = false;
    if let Some(NewSidecar { source, record, .. }) = sidecar {
        match to_bytes(source, interrupt) {
            Ok(Some((bytes, notes))) => {
                objects.sidecar = bytes.into();
                objects.record_with_sidecar = indented(&record).into();
                (found, with_sidecar) = (Sidecar::Stored(notes), true);
            }
            Ok(None) => found = Sidecar::Missing,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => found = Sidecar::Failed(error),
        }
    }
    interrupt.check()?;
    let base = objects.base.clone();
    let id = random_id();
    let start = memory.take(&client.url, &base, with_sidecar, suffix);
    let machine = Machine::<Protocol>::new(id, with_sidecar, start);
    let (driven, shared) = (client.clone(), memory.clone());
    let drive = |cancelled| drive(driven, shared, machine, objects, cancelled);
    let ended = block_on_to_the_end(drive, interrupt)?;
    let suffix = match ended.outcome {
        Outcome::Saved { suffix, .. } | Outcome::Overwritten { suffix, .. } | Outcome::Unknown { suffix } => {
            suffix
        }
        Outcome::Failed => start.even,
    };
    if ended.outcome != Outcome::Failed {
        memory.note_taken(&client.url, &base, suffix);
    }
    let path = client.url_of(&format!("{}/{}", suffixed(&base, suffix), kind.file()));
    finish(client, ended, path, id, found)
}

const OVERWRITES: &str = "the store overwrites an object that it is asked to create only if there is none, so that results could be \
                          lost; use another store, or another version of it";

fn finish(client: &Client, ended: Ended, path: PathBuf, id: SaveId, found: Sidecar) -> Result<Saved> {
    let Ended { outcome, failure, sidecar_failure, is_cancelled, orphan, is_removed } = ended;
    let orphan = orphan.map(|key| client.url_of(&key));
    let failure = || {
        if is_cancelled {
            return Error::Interrupted;
        }
        failure.unwrap_or_else(|| {
            let said = "the store did not answer in time";
            plain(Step::Commit, client.url_of(""), std::io::ErrorKind::TimedOut, said)
        })
    };
    match outcome {
        Outcome::Saved { with_sidecar, .. } => {
            let sidecar = match (found, sidecar_failure) {
                (Sidecar::Stored(_), Some(error)) if !with_sidecar => {
                    Sidecar::Failed(with_orphan(error, orphan))
                }
                (found, _) => found,
            };
            Ok(Saved { path, sidecar })
        }
        Outcome::Overwritten { .. } => {
            let cause = plain(Step::Commit, path.clone(), std::io::ErrorKind::Unsupported, OVERWRITES);
            if is_removed {
                return Err(cause);
            }
            Err(Error::Unconfirmed { result: path, cause: cause.into(), sidecar: None })
        }
        Outcome::Failed => Err(with_orphan(failure(), orphan)),
        Outcome::Unknown { .. } => {
            Err(Error::Unknown { result: path, id: format!("{id:032x}"), cause: failure().into() })
        }
    }
}

/// Name a sidecar that a save may leave in an error of that save.
fn with_orphan(mut error: Error, orphan: Option<PathBuf>) -> Error {
    if let (Error::Remote { reason, .. }, Some(orphan)) = (&mut error, orphan) {
        let _ = write!(reason, "; {} may remain, until it is cleaned", orphan.display());
    }
    error
}

/// Send the requests of a machine until it ends, its deadline passes, or its caller cancels.
async fn drive(
    client: Client,
    memory: Arc<Memory>,
    mut machine: Machine<Protocol>,
    objects: Objects,
    mut cancelled: Cancelled,
) -> Result<Ended> {
    let until = Instant::now() + PATIENCE + Duration::from_secs(objects.sidecar.len() as u64 >> 20);
    let started = Instant::now();
    let (mut failure, mut sidecar_failure, mut attempt) = (None, None, 0);
    let mut turn = None;
    if client.unknown_service.is_none() && memory.conditions() == Conditions::Unknown {
        memory.set_conditions(Conditions::Known);
    }
    if memory.conditions() == Conditions::Unknown {
        let first = std::pin::pin!(client.turns.first.lock());
        let stopped = std::pin::pin!(stopped(&mut cancelled, until));
        match select(first, stopped).await {
            Either::Left((first, _)) => turn = Some(first),
            Either::Right(_) => drop(machine.abandon()),
        }
    }
    match memory.conditions() {
        Conditions::Unknown => machine = machine.with_probe(true),
        Conditions::Honoured | Conditions::Known => turn = None,
        Conditions::Ignored => {
            return Err(plain(Step::Claim, client.url_of(""), std::io::ErrorKind::Unsupported, OVERWRITES));
        }
    }
    while let Some(request) = machine.next() {
        let had_sidecar = machine.with_sidecar();
        let (answer, error) = {
            let sent = std::pin::pin!(send(&client, &memory, &objects, request, machine.id()));
            let stopped = std::pin::pin!(stopped(&mut cancelled, until));
            match select(sent, stopped).await {
                Either::Left((answered, _)) => answered,
                Either::Right(_) => {
                    machine.abandon();
                    break;
                }
            }
        };
        if machine.is_probing() && answer == Answer::Exists {
            memory.set_conditions(Conditions::Honoured);
        }
        let goes_on = matches!(answer, Answer::Lost | Answer::NotSent | Answer::Conflict);
        attempt = if goes_on { attempt + 1 } else { 0 };
        let pause = delay(attempt);
        let is_out_of = |error: &Error| started.elapsed() + pause > client.patience(error, PATIENCE);
        let is_unreachable = answer == Answer::NotSent && error.as_ref().is_some_and(is_out_of);
        if let Some(error) = error.as_ref().filter(|_| goes_on && !is_unreachable) {
            retries::note(error, pause);
        }
        machine.answer(answer, random_u64());
        if had_sidecar && !machine.with_sidecar() {
            sidecar_failure = error;
        } else if error.is_some() {
            failure = error;
        }
        if is_unreachable {
            machine.abandon();
        } else if goes_on {
            let rest = std::pin::pin!(sleep(pause));
            let stopped = std::pin::pin!(stopped(&mut cancelled, until));
            if let Either::Right(_) = select(rest, stopped).await {
                machine.abandon();
                break;
            }
        }
    }
    let outcome = machine.outcome().unwrap_or(Outcome::Failed);
    let mut is_removed = false;
    if let Outcome::Overwritten { suffix, with_sidecar } = outcome {
        memory.set_conditions(Conditions::Ignored);
        // No save to this store is acknowledged, so that no result is lost.
        let (record, sidecar) = (objects.key(suffix, Part::Record), objects.key(suffix, Part::Sidecar));
        is_removed = client.delete_once(Step::Commit, &record).await.is_ok()
            && (!with_sidecar || client.delete_once(Step::Commit, &sidecar).await.is_ok());
    }
    drop(turn);
    let is_cancelled = cancelled.is_set();
    let orphan = machine.orphan().map(|suffix| objects.key(suffix, Part::Sidecar));
    Ok(Ended { outcome, failure, sidecar_failure, is_cancelled, orphan, is_removed })
}

async fn stopped(cancelled: &mut Cancelled, until: Instant) {
    let cancelled = std::pin::pin!(cancelled.wait());
    let late = std::pin::pin!(tokio::time::sleep_until(until));
    select(cancelled, late).await;
}

/// Send a request once, and return its answer, with the error that it stands for.
async fn send(
    client: &Client,
    memory: &Memory,
    objects: &Objects,
    request: Request,
    id: SaveId,
) -> (Answer, Option<Error>) {
    match request {
        Request::List { wished } => match list(client, memory, &objects.base, wished).await {
            Ok(listed) => (listed, None),
            Err(error) => (Answer::Refused, Some(error)),
        },
        Request::Put { suffix, part, with_sidecar } => {
            let bytes = objects.bytes(part, with_sidecar);
            match client.put_create(&objects.key(suffix, part), bytes, &format!("{id:032x}")).await {
                Put::Created => (Answer::Done, None),
                Put::Exists => (Answer::Exists, None),
                Put::Conflict => (Answer::Conflict, None),
                Put::Refused(error) => (Answer::Refused, Some(error)),
                Put::NotSent(error) => (Answer::NotSent, Some(error)),
                Put::Lost(error) => (Answer::Lost, Some(error)),
            }
        }
        Request::Head { suffix, part } => match client.owner(&objects.key(suffix, part)).await {
            Ok(Some(owner)) => {
                let owner = owner.and_then(|owner| SaveId::from_str_radix(&owner, 16).ok());
                (Answer::Owner(owner), None)
            }
            Ok(None) => (Answer::Absent, None),
            Err(error) => (Answer::Refused, Some(error)),
        },
        Request::Delete { suffix } => {
            match client.delete_once(Step::Claim, &objects.key(suffix, Part::Sidecar)).await {
                Ok(()) => (Answer::Done, None),
                Err(error) => (Answer::Refused, Some(error)),
            }
        }
    }
}

/// Find the odd suffixes of a name that this save may not take; list the names once in a process.
async fn list(client: &Client, memory: &Memory, base: &str, wished: Option<u64>) -> Result<Answer> {
    let _turn = client.turns.list.lock().await;
    let mut start = memory.take(&client.url, base, true, wished);
    if start.odd.is_none() {
        let names = client.names(base).await?;
        let suffixes = names.iter().filter_map(|(name, has)| Some((suffix_of(base, name)?, *has)));
        memory.note_listed(&client.url, base, suffixes.filter(|(suffix, _)| !suffix.is_multiple_of(2)));
        start = memory.take(&client.url, base, true, wished);
    }
    let largest = start.odd.and_then(|odd| odd.checked_sub(2));
    Ok(Answer::Listed { largest, wished_is_bare: start.wished.is_none() })
}

/// Look for the record of a save whose outcome was unknown; return `true` where it is in place.
pub fn resolve(client: &Client, key: String, id: &str, interrupt: Interrupt<'_>) -> Result<bool> {
    let (client, id) = (client.clone(), id.to_owned());
    let owner = async move { client.owner(&key).await };
    let owner = crate::runtime::block_on(owner, interrupt)?;
    Ok(owner.flatten().is_some_and(|owner| owner == id))
}

pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers, all savers take the same steps, and still no name twice.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn random_id() -> SaveId {
    (SaveId::from(random_u64()) << 64) | SaveId::from(random_u64())
}
