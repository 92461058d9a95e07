//! The baseline of the benchmarks: the bare system calls.

use std::path::PathBuf;

use llem_store::Durability;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::exit::detach;

/// Save a record `count` times with the bare system calls; return the nanoseconds of each save.
#[pyfunction]
#[pyo3(signature = (root, record, *, start, count, durable))]
pub fn baseline_save(
    py: Python<'_>,
    root: PathBuf,
    record: PyBackedBytes,
    start: u64,
    count: u64,
    durable: bool,
) -> PyResult<Vec<u128>> {
    let durability = if durable { Durability::Durable } else { Durability::Relaxed };
    let suffixes = start..start.saturating_add(count);
    let times = detach(py, || llem_store::baseline::save(&root, &record, suffixes, durability))?;
    Ok(times.iter().map(std::time::Duration::as_nanos).collect())
}

/// Open and read records in a number of threads; return the number of bytes.
#[pyfunction]
pub fn baseline_read(py: Python<'_>, records: Vec<PathBuf>, threads: usize) -> PyResult<u64> {
    Ok(detach(py, || llem_store::baseline::read(&records, threads))?)
}
