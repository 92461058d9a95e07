//! The usual columns of a power trace, handed to any Arrow reader.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StructArray};
use arrow_schema::Field;
use llem_store::timeseries::Columns;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};

/// A power trace in memory, one row a second and GPU.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Timeseries(RecordBatch);

#[pymethods]
impl Timeseries {
    #[new]
    #[pyo3(signature = (*, timestamp_s, gpu_index, power_w, temperature_c=None, memory_used_mb=None,
                        memory_total_mb=None, sm_utilisation_pct=None, throttle_reasons=None))]
    #[allow(clippy::too_many_arguments, reason = "one for each column")]
    fn new(
        timestamp_s: Vec<f64>,
        gpu_index: Vec<i32>,
        power_w: Vec<Option<f32>>,
        temperature_c: Option<Vec<Option<f32>>>,
        memory_used_mb: Option<Vec<Option<f32>>>,
        memory_total_mb: Option<Vec<Option<f32>>>,
        sm_utilisation_pct: Option<Vec<Option<f32>>>,
        throttle_reasons: Option<Vec<Option<i64>>>,
    ) -> PyResult<Self> {
        let rows = timestamp_s.len();
        let or_nulls = |column: Option<Vec<Option<f32>>>| column.unwrap_or_else(|| vec![None; rows]);
        let columns = Columns {
            timestamp_s,
            gpu_index,
            power_w,
            temperature_c: or_nulls(temperature_c),
            memory_used_mb: or_nulls(memory_used_mb),
            memory_total_mb: or_nulls(memory_total_mb),
            sm_utilisation_pct: or_nulls(sm_utilisation_pct),
            throttle_reasons: throttle_reasons.unwrap_or_else(|| vec![None; rows]),
        };
        let batch =
            RecordBatch::try_from(columns).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self(batch))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let rows: ArrayRef = Arc::new(StructArray::from(self.0.clone()));
        let field = Field::new_struct("", self.0.schema().fields().clone(), false);
        let stream = ArrayIterator::new([Ok(rows)], field.into());
        Ok(to_stream_pycapsule(py, Box::new(stream), requested_schema)?)
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.get_array_memory_size()
    }

    fn __len__(&self) -> usize {
        self.0.num_rows()
    }
}
