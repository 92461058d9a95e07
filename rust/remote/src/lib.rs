//! The verbs of `llem-store` on object stores.

#![forbid(unsafe_code)]

mod client;
mod fault;
mod http;
mod open;
mod pace;
mod read;
mod runtime;
mod storage;

pub use open::{OpenError, Options, Provide};
pub use storage::ObjectStorage;
