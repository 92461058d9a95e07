//! Inspection of a store: check it for damage, and remove the leftovers of interrupted saves.

pub mod clean;
mod contents;
mod record;
mod trash;
mod verify;

pub(crate) use contents::Contents;
pub use verify::{Depth, Finding, Inspection, Status, TRASH, VerifyBatch};
pub(crate) use verify::{reason, reason_of};
