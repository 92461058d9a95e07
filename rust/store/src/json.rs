//! JSON text: indentation of a record, and helpers for reading it.

pub mod compact;
pub mod indent;
pub(crate) mod text;
