//! A Parquet file of any columns, for Python.

use std::path::PathBuf;

use llem_store::PlainTable;
use pyo3::prelude::*;

use crate::arrow::Batch;
use crate::interrupt::run;

/// Batches, the names and types of skipped columns, and the pairs in the footer.
type Read = (Vec<Batch>, Vec<(String, String)>, Vec<(String, String)>);

/// Read the columns of a Parquet file into memory, as plain types.
#[pyfunction]
pub fn read_table(py: Python<'_>, path: PathBuf, max_bytes: u64) -> PyResult<Read> {
    let table = run(py, |interrupt| llem_store::read_table(&path, max_bytes, interrupt))?;
    let PlainTable { batches, skipped, metadata } = table;
    Ok((batches.into_iter().map(Batch).collect(), skipped, metadata))
}
