//! A store of measurement results on a file system.
//!
//! A store is a root directory. Each result is one directory in it, claimed without collisions, committed atomically
//! and flushed before the save returns. [`Store`] has the verbs: save, bulk save, load, scan, verify, clean.
//!
//! ```text
//! root/
//!   {model}_{backend}_{minute}[_n]/
//!     result.json            the record; its presence is the commit mark
//!     timeseries.parquet     the sidecar: the power trace, if there is one
//! ```
//!
//! # Guarantees
//!
//! In the order of precedence:
//!
//! 1. When a [`Durability::Durable`] save returns, the result survives a crash of the process and a power cut. A save
//!    never overwrites a result, even when other threads, processes or hosts save at the same time.
//! 2. At every instant, a reader sees a complete file or none.
//! 3. A load returns what was saved: a record is [indented](json::indent) without being parsed, a sidecar is copied.
//!
//! # Limits
//!
//! Durability ends where the device or file system reports a flush that did not happen: `nobarrier`, volatile
//! overlays, tmpfs, NFS exports with `async`. Windows has no flush for directories: only files are flushed there.

#![forbid(unsafe_code)]

mod address_space;
pub mod baseline;
pub mod bulk;
mod error;
mod expected;
pub mod export;
mod fs;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod inspect;
mod interrupt;
pub mod json;
mod kind;
pub mod links;
pub mod load;
pub mod name;
mod parquet;
pub mod part;
pub mod save;
pub mod scan;
mod sidecar;
mod storage;
mod store;
pub mod timeseries;
mod unwind;
mod walk;

pub use error::{Error, Result, Step};
pub use expected::Expected;
pub use fs::durable::{Durability, replace as replace_file};
pub use interrupt::{Interrupt, Reached};
pub use kind::{Failures, Kind};
pub use parquet::{ParquetSource, PlainTable, ReadAt, read_table};
pub use storage::{Entry, FoundDirectory, Listing, Met, Records, Storage, Wanted};
pub use store::Store;

/// The record's file name inside a result's directory.
pub const RECORD: &str = "result.json";
/// The file name of the record of a failure inside its directory.
pub const FAILURE: &str = "failure.json";
/// The sidecar's file name inside a result's directory.
pub const SIDECAR: &str = "timeseries.parquet";
