//! Arrow streams of other libraries.

use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchOptions, RecordBatchReader, StructArray};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

const STREAM: &CStr = c"arrow_array_stream";

/// A reader of an object with `__arrow_c_stream__`.
///
/// It differs from `pyo3_arrow`'s in columns of nulls alone: polars gives them a buffer, which they must not have, and
/// arrow-rs rejects that.
pub struct StreamReader {
    stream: FFI_ArrowArrayStream,
    schema: SchemaRef,
}

impl StreamReader {
    /// Begin to read the stream of an object.
    pub fn open(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = source.call_method0("__arrow_c_stream__")?.cast_into::<PyCapsule>()?;
        let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
        // SAFETY: a capsule of this name holds a stream; this moves it out, as the PyCapsule interface expects.
        let mut stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr()) };
        let invalid = |error: ArrowError| PyValueError::new_err(error.to_string());
        let schema = read_schema(&mut stream).map_err(invalid)?;
        Ok(Self { stream, schema })
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let get_next = self.stream.get_next.ok_or_else(was_read)?;
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: the stream is not released, and the array is empty.
        let code = unsafe { get_next(&raw mut self.stream, &raw mut array) };
        if code != 0 {
            return Err(last_error(&mut self.stream, code));
        }
        if array.is_released() {
            return Ok(None);
        }
        let data_type = DataType::Struct(self.schema.fields().clone());
        correct_nulls(&mut array, &data_type);
        // SAFETY: the producer describes the array with this type.
        let data = unsafe { from_ffi_and_data_type(array, data_type) }?;
        let options = RecordBatchOptions::new().with_row_count(Some(data.len()));
        let columns = StructArray::from(data).into_parts().1;
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map(Some)
    }
}

impl Iterator for StreamReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl RecordBatchReader for StreamReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

fn was_read() -> ArrowError {
    ArrowError::CDataInterface("the stream was read before".to_owned())
}

fn read_schema(stream: &mut FFI_ArrowArrayStream) -> Result<SchemaRef, ArrowError> {
    let get_schema = stream.get_schema.filter(|_| stream.release.is_some()).ok_or_else(was_read)?;
    let mut schema = FFI_ArrowSchema::empty();
    // SAFETY: the stream is not released, and the schema is empty.
    let code = unsafe { get_schema(ptr::from_mut(stream), &raw mut schema) };
    if code != 0 {
        return Err(last_error(stream, code));
    }
    Schema::try_from(&schema).map(Arc::new)
}

fn last_error(stream: &mut FFI_ArrowArrayStream, code: i32) -> ArrowError {
    let text = stream.get_last_error.and_then(|get_last_error| {
        // SAFETY: the last call of this stream failed.
        let text = unsafe { get_last_error(ptr::from_mut(stream)) };
        // SAFETY: a text of a producer ends in NUL, and lives until the next call.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    });
    ArrowError::CDataInterface(text.unwrap_or_else(|| format!("the stream failed with code {code}")))
}

/// Take the buffer from arrays of nulls.
fn correct_nulls(array: &mut FFI_ArrowArray, data_type: &DataType) {
    match data_type {
        DataType::Null => array.n_buffers = 0,
        DataType::Struct(fields) => {
            for (index, field) in fields.iter().enumerate() {
                correct_child(array, index, field.data_type());
            }
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => correct_child(array, 0, item.data_type()),
        _ => {}
    }
}

fn correct_child(array: &mut FFI_ArrowArray, index: usize, data_type: &DataType) {
    if index >= usize::try_from(array.n_children).unwrap_or(0) || array.children.is_null() {
        return;
    }
    // SAFETY: the array has this many pointers to children, which it owns.
    if let Some(child) = unsafe { (*array.children.add(index)).as_mut() } {
        correct_nulls(child, data_type);
    }
}
