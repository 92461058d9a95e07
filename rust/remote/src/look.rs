//! Single objects: their sizes and tags, and their bytes.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use llem_store::{Interrupt, Result, Step};

use crate::client::Client;
use crate::runtime::block_on;

/// Requests in flight.
const REQUESTS: usize = 32;

/// An object's size and tag.
pub type Look = (u64, Option<String>);

/// Look for objects by their keys below the root; `None` is one that is absent.
pub fn look(client: &Client, keys: Vec<String>, interrupt: Interrupt<'_>) -> Result<Vec<Option<Look>>> {
    let client = client.clone();
    let looks = async move {
        let found = stream::iter(keys).map(|key| {
            let client = client.clone();
            async move { client.head(Step::Read, &key).await }
        });
        let look = found.buffered(REQUESTS).map_ok(|found| found.map(|found| (found.size, found.etag)));
        look.try_collect().await
    };
    block_on(looks, interrupt)
}

/// Read the object at the root; `None` where it is absent.
pub fn get(client: &Client, size: u64, interrupt: Interrupt<'_>) -> Result<Option<Bytes>> {
    let client = client.clone();
    let got = block_on(async move { client.get(Step::ReadTimeseries, "", None, size).await }, interrupt)?;
    Ok(got.map(|(bytes, _)| bytes))
}
