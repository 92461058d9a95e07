//! Checks of Parquet metadata before the `parquet` crate allocates anything for it.

pub(crate) mod footer;
pub(crate) mod pages;
mod shape;
mod source;
mod table;
mod thrift;

pub use source::{ParquetSource, ReadAt};
pub use table::{PlainTable, read as read_table};
