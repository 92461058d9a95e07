//! The removal of sidecars without a record.
//!
//! A save that stopped between its two objects leaves one, and a lost request may make one at any later time. So only an
//! old one goes, by the clock of the store: no save waits that long for its record.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use llem_store::inspect::clean::{CleanOptions, Leftover, Outcome};
use llem_store::{Interrupt, RECORD, Result, SIDECAR, Step, name};

use crate::client::Client;
use crate::runtime::block_on;

/// Remove the sidecars without a record.
pub fn clean(client: &Client, options: CleanOptions, interrupt: Interrupt<'_>) -> Result<Vec<Leftover>> {
    let CleanOptions { older_than, dry_run } = options;
    let owned = client.clone();
    let listed = block_on(async move { owned.list("").await }, interrupt)?;
    let mut leftovers = Vec::new();
    for (key, found) in &listed {
        let Some(directory) = key.strip_suffix(SIDECAR).and_then(|above| above.strip_suffix('/')) else {
            continue;
        };
        let is_given = directory.rsplit('/').next().is_some_and(name::is_given);
        if !is_given || listed.contains_key(&format!("{directory}/{RECORD}")) {
            continue;
        }
        let outcome = if age(client, found.modified) < older_than {
            Outcome::Young
        } else if dry_run {
            Outcome::Removed
        } else {
            remove(client, directory, interrupt)?
        };
        let description = "a power trace, and no record".into();
        leftovers.push(Leftover { directory: directory.into(), description, outcome });
    }
    Ok(leftovers)
}

/// Return the age of an object, by the clock of the store.
fn age(client: &Client, modified: i64) -> Duration {
    let local = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = client.pace.now().unwrap_or_else(|| i64::try_from(local.as_micros()).unwrap_or(i64::MAX));
    Duration::from_micros(u64::try_from(now.saturating_sub(modified)).unwrap_or(0))
}

/// Remove a sidecar, unless a record has appeared.
fn remove(client: &Client, directory: &str, interrupt: Interrupt<'_>) -> Result<Outcome> {
    let (client, directory) = (client.clone(), directory.to_owned());
    let removal = async move {
        if client.head(Step::Scan, &format!("{directory}/{RECORD}")).await?.is_some() {
            return Ok(Outcome::Kept("a record has appeared".into()));
        }
        let removed = client.delete_once(Step::Scan, &format!("{directory}/{SIDECAR}")).await;
        Ok(removed.map_or_else(|error| Outcome::Kept(error.to_string()), |()| Outcome::Removed))
    };
    block_on(removal, interrupt)
}
