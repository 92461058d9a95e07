//! The verbs of `llem-store` on object stores.

#![forbid(unsafe_code)]

mod cache;
mod check;
mod clean;
mod client;
mod fault;
#[cfg(test)]
mod faulty;
mod fields;
mod http;
mod look;
mod open;
mod pace;
mod protocol;
mod read;
mod retries;
mod runtime;
mod save;
mod storage;

pub use cache::CacheOptions;
pub use check::{Report, SAVERS};
pub use look::Look;
pub use open::{OpenError, Options, Provide};
pub use retries::take_retries;
pub use save::Conditions;
pub use storage::ObjectStorage;
