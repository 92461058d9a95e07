//! Power traces for Python, for any Arrow library and for Parquet.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, PrimitiveArray, RecordBatch, StringArray};
use llem_store::timeseries::{self, Columns, Power, TraceFile, TraceNotes};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyFloat, PyInt};

use crate::arrow::stream;
use crate::errors::to_python;
use crate::exit::detach;
use crate::interrupt::run;
use crate::location::Location;

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
        timestamp_s: &Bound<'_, PyAny>,
        gpu_index: &Bound<'_, PyAny>,
        power_w: &Bound<'_, PyAny>,
        temperature_c: Option<&Bound<'_, PyAny>>,
        memory_used_mb: Option<&Bound<'_, PyAny>>,
        memory_total_mb: Option<&Bound<'_, PyAny>>,
        sm_utilisation_pct: Option<&Bound<'_, PyAny>>,
        throttle_reasons: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let timestamp_s = column(timestamp_s, "timestamp_s", &plain_float, "to_number")?;
        let rows = timestamp_s.len();
        let quantity = |values: &Bound<'_, PyAny>, name| column(values, name, &plain_float32, "to_float32");
        let or_nulls = |values: Option<&Bound<'_, PyAny>>, name| {
            values.map_or_else(|| Ok(vec![None; rows]), |values| quantity(values, name))
        };
        let plain_mask = |value: &Bound<'_, PyAny>| plain_integer(value).map(Some);
        let masks = |values| column(values, "throttle_reasons", &plain_mask, "to_mask");
        let columns = Columns {
            timestamp_s,
            gpu_index: column(gpu_index, "gpu_index", &plain_integer, "gpu_number")?,
            power_w: quantity(power_w, "power_w")?,
            temperature_c: or_nulls(temperature_c, "temperature_c")?,
            memory_used_mb: or_nulls(memory_used_mb, "memory_used_mb")?,
            memory_total_mb: or_nulls(memory_total_mb, "memory_total_mb")?,
            sm_utilisation_pct: or_nulls(sm_utilisation_pct, "sm_utilisation_pct")?,
            throttle_reasons: throttle_reasons.map_or_else(|| Ok(vec![None; rows]), masks)?,
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
        let _ = requested_schema; // as Batch
        stream(py, &self.0.schema(), std::slice::from_ref(&self.0))
    }

    #[getter]
    fn timestamp_s(&self) -> Vec<f64> {
        self.column::<Float64Type>(0).values().to_vec()
    }

    #[getter]
    fn gpu_index(&self) -> Vec<i32> {
        self.column::<Int32Type>(1).values().to_vec()
    }

    #[getter]
    fn power_w(&self) -> Vec<Option<f32>> {
        self.column::<Float32Type>(2).iter().collect()
    }

    #[getter]
    fn temperature_c(&self) -> Vec<Option<f32>> {
        self.column::<Float32Type>(3).iter().collect()
    }

    #[getter]
    fn memory_used_mb(&self) -> Vec<Option<f32>> {
        self.column::<Float32Type>(4).iter().collect()
    }

    #[getter]
    fn memory_total_mb(&self) -> Vec<Option<f32>> {
        self.column::<Float32Type>(5).iter().collect()
    }

    #[getter]
    fn sm_utilisation_pct(&self) -> Vec<Option<f32>> {
        self.column::<Float32Type>(6).iter().collect()
    }

    #[getter]
    fn throttle_reasons(&self) -> Vec<Option<i64>> {
        self.column::<Int64Type>(7).iter().collect()
    }

    #[getter]
    fn energy_j(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(timeseries::total(&self.powers(py)?).energy_j)
    }

    #[getter]
    fn energy_per_gpu_j(&self, py: Python<'_>) -> PyResult<BTreeMap<i32, Option<f64>>> {
        Ok(self.powers(py)?.into_iter().map(|(gpu, power)| (gpu, power.energy_j)).collect())
    }

    #[getter]
    fn mean_power_w(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        Ok(timeseries::total(&self.powers(py)?).mean_w)
    }

    #[getter]
    fn duration_s(&self) -> f64 {
        timeseries::duration_s(self.column::<Float64Type>(0))
    }

    #[getter]
    fn warnings(&self, py: Python<'_>) -> Vec<String> {
        detach(py, || timeseries::warnings(&self.0))
    }

    #[getter]
    fn gpu_names(&self) -> BTreeMap<i32, String> {
        timeseries::gpu_names(&self.0)
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.get_array_memory_size()
    }

    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let powers = self.powers(py)?;
        let gpus: Vec<i32> = powers.keys().copied().collect();
        let Power { energy_j, mean_w, .. } = timeseries::total(&powers);
        let rows = self.0.num_rows();
        let mut said = format!("<Timeseries: {rows} rows, gpu_index {gpus:?}, {:.1} s", self.duration_s());
        // Writing to a string does not fail.
        if let Some(energy) = energy_j {
            let _ = write!(said, ", {energy:.1} J");
        }
        if let Some(mean) = mean_w {
            let _ = write!(said, ", {mean:.1} W on average");
        }
        Ok(said + ">")
    }
}

/// Convert a column; `plain` converts a number of Python, and a function of `results._values` any other value, which
/// Python would read as a number without its unit, or refuses it.
fn column<T>(
    values: &Bound<'_, PyAny>,
    name: &str,
    plain: &dyn Fn(&Bound<'_, PyAny>) -> Option<T>,
    other: &str,
) -> PyResult<Vec<T>>
where
    T: for<'py> FromPyObjectOwned<'py, Error = PyErr>,
{
    let mut column = Vec::with_capacity(values.len().unwrap_or(0));
    for (row, value) in values.try_iter()?.enumerate() {
        let value = value?;
        column.push(match plain(&value) {
            Some(number) => number,
            None => convert(&value, other, format!("{name} of row {row}"))?.extract()?,
        });
    }
    Ok(column)
}

/// Call a function of `results._values`; `what` names the value in its error.
fn convert<'py>(value: &Bound<'py, PyAny>, function: &str, what: String) -> PyResult<Bound<'py, PyAny>> {
    let module = value.py().import("llenergymeasure.results._values")?;
    module.getattr("named")?.call1((module.getattr(function)?, value, what))
}

fn plain_float(value: &Bound<'_, PyAny>) -> Option<f64> {
    let is_plain = value.is_exact_instance_of::<PyFloat>() || value.is_exact_instance_of::<PyInt>();
    is_plain.then(|| value.extract().ok()).flatten()
}

/// Return the nearest float32, and null for `None`; `None` for a number beyond the largest.
#[allow(clippy::cast_possible_truncation, reason = "rounding is intended")]
#[allow(clippy::option_option, reason = "a null is a value of the column")]
fn plain_float32(value: &Bound<'_, PyAny>) -> Option<Option<f32>> {
    if value.is_none() {
        return Some(None);
    }
    let number = plain_float(value)?;
    let near = number as f32;
    (near.is_infinite() == number.is_infinite()).then_some(Some(near))
}

fn plain_integer<T>(value: &Bound<'_, PyAny>) -> Option<T>
where
    T: for<'py> FromPyObjectOwned<'py, Error = PyErr>,
{
    value.is_exact_instance_of::<PyInt>().then(|| value.extract().ok()).flatten()
}

impl Timeseries {
    /// Integrate the power; Ctrl-C stops it.
    fn powers(&self, py: Python<'_>) -> PyResult<BTreeMap<i32, Power>> {
        run(py, |interrupt| timeseries::per_gpu_until(&self.0, interrupt))
    }

    /// Return a column by its index in the schema, which every trace has.
    fn column<T: ArrowPrimitiveType>(&self, place: usize) -> &PrimitiveArray<T> {
        self.0.column(place).as_primitive()
    }
}

/// Read a power trace from a Parquet file with `timestamp_s` and `power_w`.
///
/// All reads of the process share `max_bytes` of memory.
#[pyfunction]
pub fn read_timeseries(py: Python<'_>, path: Location, max_bytes: u64) -> PyResult<Timeseries> {
    let trace = run(py, |interrupt| {
        let source = path.storage.open(Path::new(""), interrupt)?;
        timeseries::read_file(&TraceFile::from_source(source, path.storage.root())?, max_bytes, interrupt)
    });
    trace.map(Timeseries)
}

/// Write a power trace as Parquet with more columns and with notes, and replace an existing file atomically.
#[pyfunction]
#[pyo3(signature = (path, trace, extra=Vec::new(), warnings=Vec::new(), energies=BTreeMap::new()))]
pub fn write_timeseries(
    py: Python<'_>,
    path: PathBuf,
    trace: &Timeseries,
    extra: Vec<(String, ExtraColumn)>,
    warnings: Vec<String>,
    energies: BTreeMap<i32, f64>,
) -> PyResult<()> {
    let extra = extra.into_iter().map(|(name, column)| (name, column.into()));
    let notes = TraceNotes { warnings, energies, ..TraceNotes::default() };
    let trace = timeseries::with_columns(&trace.0, extra)
        .and_then(|trace| timeseries::with_notes(&trace, &notes))
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    detach(py, || timeseries::write(&path, &trace)).map_err(|error| to_python(py, &error))
}

/// Return a power trace with notes on the log that it was made of.
#[pyfunction]
pub fn noted_timeseries(
    trace: &Timeseries,
    warnings: Vec<String>,
    integrals: BTreeMap<i32, (usize, f64)>,
    names: BTreeMap<i32, String>,
) -> PyResult<Timeseries> {
    let notes = TraceNotes { warnings, integrals, names, ..TraceNotes::default() };
    let attached = timeseries::with_notes(&trace.0, &notes);
    attached.map(Timeseries).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Return sentences on clocks that step back among samples, in the order of the readings.
#[pyfunction]
pub fn clock_warnings(py: Python<'_>, timestamp_s: Vec<f64>, gpu_index: Vec<i32>) -> Vec<String> {
    detach(py, || timeseries::clock_warnings(&timestamp_s, &gpu_index))
}

/// A column that a sampler adds. A boolean is a number to Python, and so comes first.
#[derive(FromPyObject)]
pub enum ExtraColumn {
    Booleans(Vec<Option<bool>>),
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

impl From<ExtraColumn> for ArrayRef {
    fn from(column: ExtraColumn) -> Self {
        match column {
            // Without a value, any type fits; that of most columns joins with other traces.
            ExtraColumn::Booleans(values) if values.iter().all(Option::is_none) => {
                Arc::new(Float64Array::new_null(values.len()))
            }
            ExtraColumn::Booleans(values) => Arc::new(BooleanArray::from(values)),
            ExtraColumn::Numbers(values) => Arc::new(Float64Array::from(values)),
            ExtraColumn::Texts(values) => Arc::new(StringArray::from(values)),
        }
    }
}
