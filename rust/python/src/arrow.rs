//! Arrow data for Python: batches and schemas for any Arrow library, and plain values without one.

use std::sync::Arc;

use crate::errors::escaped;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, SchemaRef, TimeUnit};
use llem_store::scan::JSON_TEXTS;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyTuple};
use pyo3_arrow::ffi::{ArrayIterator, to_array_pycapsules, to_schema_pycapsule, to_stream_pycapsule};

/// The columns of a table: their names and types.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Schema(pub SchemaRef);

#[pymethods]
impl Schema {
    /// The names of the columns.
    #[getter]
    fn names(&self) -> Vec<&str> {
        self.0.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// The types of the columns, as Arrow names them.
    #[getter]
    fn types(&self) -> Vec<String> {
        self.0.fields().iter().map(|field| name_of(field.data_type())).collect()
    }

    /// The names of the columns whose texts are JSON values.
    #[getter]
    fn json_names(&self) -> Vec<&str> {
        let is_json = |field: &&FieldRef| field.metadata().contains_key(JSON_TEXTS);
        self.0.fields().iter().filter(is_json).map(|field| field.name().as_str()).collect()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, &*self.0)?)
    }

    fn __len__(&self) -> usize {
        self.0.fields().len()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let columns = self.names().into_iter().zip(self.types());
        let lines = columns.map(|(name, kind)| escaped(py, &format_args!("{name}: {kind}")));
        Ok(lines.collect::<PyResult<Vec<_>>>()?.join("\n"))
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Return the name of a type as pyarrow writes it.
fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "bool".into(),
        DataType::Utf8 => "string".into(),
        DataType::Float64 => "double".into(),
        DataType::Float32 => "float".into(),
        DataType::Timestamp(_, None) => "timestamp[us]".into(),
        DataType::Timestamp(_, Some(zone)) => format!("timestamp[us, tz={zone}]"),
        DataType::List(item) => format!("list<item: {}>", name_of(item.data_type())),
        other => other.to_string().to_lowercase(),
    }
}

/// Rows of a table.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Batch(pub RecordBatch);

#[pymethods]
impl Batch {
    #[getter]
    fn num_rows(&self) -> usize {
        self.0.num_rows()
    }

    #[getter]
    fn num_columns(&self) -> usize {
        self.0.num_columns()
    }

    #[getter]
    fn schema(&self) -> Schema {
        Schema(self.0.schema())
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.get_array_memory_size()
    }

    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __repr__(&self) -> String {
        format!("<Batch of {} rows and {} columns>", self.0.num_rows(), self.0.num_columns())
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // The protocol leaves the cast to the caller; that of pyo3-arrow turns misfits into nulls.
        let _ = requested_schema;
        let rows = StructArray::from(self.0.clone());
        Ok(to_array_pycapsules(py, row_field(&self.0.schema()), &rows, None)?)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema; // as __arrow_c_array__
        stream(py, &self.0.schema(), std::slice::from_ref(&self.0))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        self.schema().__arrow_c_schema__(py)
    }

    /// Return the values as lists, by column: times as `datetime`, lists as lists.
    fn to_pydict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        let epochs = Epochs::new(py)?;
        for (field, array) in self.0.schema().fields().iter().zip(self.0.columns()) {
            columns.set_item(field.name(), values(py, array, &epochs)?)?;
        }
        Ok(columns)
    }
}

/// Batches as one table.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[pymethods]
impl Table {
    #[new]
    fn new(schema: &Schema, batches: Vec<PyRef<'_, Batch>>) -> Self {
        Self { schema: schema.0.clone(), batches: batches.iter().map(|batch| batch.0.clone()).collect() }
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema; // as Batch
        stream(py, &self.schema, &self.batches)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, &*self.schema)?)
    }

    /// Return the table with other names of its columns.
    fn renamed(&self, names: Vec<String>) -> PyResult<Self> {
        let fields = self.schema.fields().iter().zip(&names);
        let fields: Vec<Field> = fields.map(|(field, name)| Field::clone(field).with_name(name)).collect();
        let schema: SchemaRef = Arc::new(arrow_schema::Schema::new(fields));
        let rename = |batch: &RecordBatch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)
        };
        let batches = self.batches.iter().map(rename).collect::<Result<_, _>>();
        let batches = batches.map_err(|error| PyTypeError::new_err(error.to_string()))?;
        Ok(Self { schema: schema.clone(), batches })
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Return batches as an Arrow stream.
pub fn stream<'py>(
    py: Python<'py>,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> PyResult<Bound<'py, PyCapsule>> {
    let rows: Vec<Result<ArrayRef, ArrowError>> =
        batches.iter().cloned().map(|batch| Ok(rows_of(batch))).collect();
    Ok(to_stream_pycapsule(py, Box::new(ArrayIterator::new(rows, row_field(schema))), None)?)
}

/// Return a batch as one array of its rows, for the stream interface.
pub fn rows_of(batch: RecordBatch) -> ArrayRef {
    Arc::new(StructArray::from(batch))
}

/// Return the field of such an array.
pub fn row_field(schema: &SchemaRef) -> FieldRef {
    Field::new_struct("", schema.fields().clone(), false).with_metadata(schema.metadata().clone()).into()
}

struct Epochs<'py> {
    naive: Bound<'py, PyAny>,
    aware: Bound<'py, PyAny>,
    timedelta: Bound<'py, PyAny>,
}

impl<'py> Epochs<'py> {
    fn new(py: Python<'py>) -> PyResult<Self> {
        let module = py.import("datetime")?;
        let naive = module.getattr("datetime")?.call1((1970, 1, 1))?;
        let keywords = PyDict::new(py);
        keywords.set_item("tzinfo", module.getattr("timezone")?.getattr("utc")?)?;
        let aware = naive.call_method("replace", (), Some(&keywords))?;
        Ok(Self { naive, aware, timedelta: module.getattr("timedelta")? })
    }

    fn time(&self, micros: i64, is_aware: bool) -> PyResult<Bound<'py, PyAny>> {
        let epoch = if is_aware { &self.aware } else { &self.naive };
        epoch.add(self.timedelta.call1((0, 0, micros))?)
    }
}

fn values<'py>(py: Python<'py>, array: &ArrayRef, epochs: &Epochs<'py>) -> PyResult<Bound<'py, PyList>> {
    macro_rules! primitives {
        ($kind:ty) => {
            PyList::new(py, array.as_primitive::<$kind>().iter())
        };
    }
    match array.data_type() {
        DataType::Boolean => PyList::new(py, array.as_boolean().iter()),
        DataType::Int32 => primitives!(Int32Type),
        DataType::Int64 => primitives!(Int64Type),
        DataType::UInt64 => primitives!(UInt64Type),
        DataType::Float32 => primitives!(Float32Type),
        DataType::Float64 => primitives!(Float64Type),
        DataType::Utf8 => PyList::new(py, array.as_string::<i32>().iter()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = array.as_primitive::<TimestampMicrosecondType>().iter();
            let times =
                times.map(|micros| micros.map(|micros| epochs.time(micros, zone.is_some())).transpose());
            PyList::new(py, times.collect::<PyResult<Vec<_>>>()?)
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>().iter();
            let lists = lists.map(|list| list.map(|list| values(py, &list, epochs)).transpose());
            PyList::new(py, lists.collect::<PyResult<Vec<_>>>()?)
        }
        other => Err(PyTypeError::new_err(format!("expected a column with Python values, got {other}"))),
    }
}
