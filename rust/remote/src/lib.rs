//! The verbs of `llem-store` on object stores.

#![forbid(unsafe_code)]

mod client;
mod fault;
mod http;
mod pace;
pub mod protocol;
mod runtime;
