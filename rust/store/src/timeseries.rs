//! Power traces: the standard columns as Arrow, reading and writing Parquet, and energy.

mod batches;
mod context;
mod convert;
mod declared;
mod energy;
mod file;
mod memory;
mod notes;
mod number;
mod read;
mod warnings;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, RecordBatchIterator,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

pub use batches::Batches;
pub use energy::{Power, SYSTEM, duration_s, per_gpu, per_gpu_until, total};
pub use file::TraceFile;
pub(crate) use memory::{Share, TraceMemory};
pub(crate) use notes::file_metadata;
pub use notes::{TraceNotes, gpu_names, with_notes};
pub(crate) use read::row_bytes;
pub use read::{MAX_BYTES, read, read_file};
pub use warnings::{clock_warnings, warnings};

use crate::error::{Error, Result};
use crate::fs::durable;
use crate::interrupt::Interrupt;
use crate::sidecar;

/// The columns of a power trace, one row a second and GPU, all of one length.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// Seconds from the start.
    pub timestamp_s: Vec<f64>,
    /// GPU; -1 is the whole system.
    pub gpu_index: Vec<i32>,
    /// Watts.
    pub power_w: Vec<Option<f32>>,
    /// Degrees Celsius.
    pub temperature_c: Vec<Option<f32>>,
    /// Mebibytes in use.
    pub memory_used_mb: Vec<Option<f32>>,
    /// Mebibytes in total.
    pub memory_total_mb: Vec<Option<f32>>,
    /// Percentage of busy streaming multiprocessors.
    pub sm_utilisation_pct: Vec<Option<f32>>,
    /// Bit mask of the reasons for a reduced clock.
    pub throttle_reasons: Vec<Option<i64>>,
}

/// Return the schema of `timeseries.parquet` as this package writes it.
#[must_use]
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("timestamp_s", DataType::Float64, false),
        Field::new("gpu_index", DataType::Int32, false),
        Field::new("power_w", DataType::Float32, true),
        Field::new("temperature_c", DataType::Float32, true),
        Field::new("memory_used_mb", DataType::Float32, true),
        Field::new("memory_total_mb", DataType::Float32, true),
        Field::new("sm_utilisation_pct", DataType::Float32, true),
        Field::new("throttle_reasons", DataType::Int64, true),
    ]))
}

impl TryFrom<Columns> for RecordBatch {
    type Error = ArrowError;

    /// Fails if the columns differ in length.
    fn try_from(columns: Columns) -> Result<Self, Self::Error> {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(columns.timestamp_s)),
            Arc::new(Int32Array::from(columns.gpu_index)),
            Arc::new(Float32Array::from(columns.power_w)),
            Arc::new(Float32Array::from(columns.temperature_c)),
            Arc::new(Float32Array::from(columns.memory_used_mb)),
            Arc::new(Float32Array::from(columns.memory_total_mb)),
            Arc::new(Float32Array::from(columns.sm_utilisation_pct)),
            Arc::new(Int64Array::from(columns.throttle_reasons)),
        ];
        Self::try_new(schema(), arrays)
    }
}

/// Add columns to a trace, after the standard ones.
pub fn with_columns(
    trace: &RecordBatch,
    columns: impl IntoIterator<Item = (String, ArrayRef)>,
) -> Result<RecordBatch, ArrowError> {
    let mut fields = trace.schema_ref().fields().to_vec();
    let mut arrays = trace.columns().to_vec();
    for (name, array) in columns {
        fields.push(Arc::new(Field::new(name, array.data_type().clone(), true)));
        arrays.push(array);
    }
    RecordBatch::try_new(
        Arc::new(Schema::new_with_metadata(fields, trace.schema_ref().metadata().clone())),
        arrays,
    )
}

/// Write a power trace as Parquet with zstd, and replace an existing file; see [`durable::replace`].
pub fn write(path: &Path, trace: &RecordBatch) -> Result<()> {
    let mut content = Vec::new();
    let reader = RecordBatchIterator::new([Ok(trace.clone())], trace.schema());
    let failed = |error: parquet::errors::ParquetError| Error::Stream { reason: error.to_string() };
    sidecar::encode(Box::new(reader), &mut content, Interrupt::NEVER, &failed)?;
    durable::replace(path, &content)
}

#[cfg(test)]
mod testing {
    use super::{Columns, RecordBatch};

    /// Return a trace of rows of time, GPU and power.
    pub fn trace(rows: &[(f64, i32, Option<f32>)]) -> RecordBatch {
        let columns = Columns {
            timestamp_s: rows.iter().map(|row| row.0).collect(),
            gpu_index: rows.iter().map(|row| row.1).collect(),
            power_w: rows.iter().map(|row| row.2).collect(),
            temperature_c: vec![None; rows.len()],
            memory_used_mb: vec![None; rows.len()],
            memory_total_mb: vec![None; rows.len()],
            sm_utilisation_pct: vec![None; rows.len()],
            throttle_reasons: vec![None; rows.len()],
        };
        columns.try_into().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convert_columns_of_different_lengths_fails() {
        let columns = Columns { timestamp_s: vec![0.0], ..Columns::default() };
        assert!(RecordBatch::try_from(columns).is_err());
        assert_eq!(RecordBatch::try_from(Columns::default()).unwrap().num_columns(), 8);
    }
}
