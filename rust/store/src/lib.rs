//! The store of `llenergymeasure`: each result is one directory, claimed without collisions, committed
//! atomically and flushed before it is acknowledged.
//!
//! ```text
//! output_dir/
//!   {model}_{backend}_{minute}[_n]/
//!     result.json            its presence is the commit mark
//!     timeseries.parquet     the power trace, when there is one
//! ```
//!
//! What holds, in the order in which it wins:
//!
//! 1. When [`save::save`] returns, a [`Durability::Durable`] result survives a crash of the process and a
//!    power cut, and nothing that existed was overwritten, whoever else saves: threads, processes, hosts.
//! 2. A reader sees a whole file or none, at every instant.
//! 3. What comes back is what went in: a record is [indented](json::indent) and never parsed, a sidecar copied.
//!
//! # Limits
//!
//! Durability ends where the device or file system lies about a flush: `nobarrier`, volatile overlays,
//! tmpfs, NFS exports with `async`. Directories cannot be flushed on Windows, where only the files are.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod bulk;
pub mod error;
pub mod export;
pub mod fs;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod inspect;
mod interrupt;
pub mod json;
pub mod load;
pub mod name;
mod parquet;
pub mod save;
pub mod scan;
pub mod sidecar;
pub mod store;
pub mod timeseries;
mod unwind;
mod walk;

pub use error::{Error, Result, Step};
pub use fs::durable::Durability;
pub use interrupt::Interrupt;
pub use store::Store;

/// The record's file name inside a result's directory.
pub const RECORD: &str = "result.json";
/// The sidecar's file name inside a result's directory.
pub const SIDECAR: &str = "timeseries.parquet";
