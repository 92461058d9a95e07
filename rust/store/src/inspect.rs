//! Inspection of a store: check it for damage, and remove the leftovers of interrupted saves.

pub mod clean;
mod contents;
mod record;
mod trash;
mod verify;

pub(crate) use contents::Contents;
pub use verify::{Finding, Inspection, Status, VerifyBatch, VerifyOptions};
pub(crate) use verify::{TRASH, reason, reason_of};
