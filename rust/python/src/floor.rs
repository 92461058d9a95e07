//! The floors of the benchmarks.

use std::path::PathBuf;

use llem_store::Durability;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::gate::detach;

/// Save as nothing can save for less, `count` times; returns the nanoseconds of each: see `llem_store::baseline`.
#[pyfunction]
#[pyo3(signature = (root, record, *, start, count, durable))]
pub fn floor(
    py: Python<'_>,
    root: PathBuf,
    record: PyBackedBytes,
    start: u64,
    count: u64,
    durable: bool,
) -> PyResult<Vec<u128>> {
    let durability = if durable { Durability::Durable } else { Durability::Relaxed };
    let suffixes = start..start.saturating_add(count);
    let times = detach(py, || llem_store::baseline::floor(&root, &record, suffixes, durability))?;
    Ok(times.iter().map(std::time::Duration::as_nanos).collect())
}

/// Open and read records in a number of threads; returns their bytes.
#[pyfunction]
pub fn read_floor(py: Python<'_>, records: Vec<PathBuf>, threads: usize) -> PyResult<u64> {
    Ok(detach(py, || llem_store::baseline::read(&records, threads))?)
}
