//! JSON text: indentation of a record, and helpers for reading it.

pub(crate) mod bytes;
pub mod compact;
pub(crate) mod cursor;
pub mod indent;
pub(crate) mod text;
