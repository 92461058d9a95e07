//! The columns of a stream that Parquet can hold, and the signs that a file is not a power trace.

use std::io;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions, RecordBatchReader, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};

use crate::error::{Error, Result};
use crate::timeseries;
use crate::unwind::catch_panic;

/// The column without which a sidecar is not a power trace.
const TIME: &str = "timestamp_s";
/// Maximum columns that a warning names.
const MAX_NAMED: usize = 10;

/// A stream without the columns that Parquet cannot hold.
pub(super) struct WritableColumns {
    reader: Box<dyn RecordBatchReader + Send>,
    schema: SchemaRef,
    /// The index of each column in the stream.
    indices: Vec<usize>,
}

impl WritableColumns {
    /// Select the columns of a stream; return sentences on the other ones, too.
    pub fn new(reader: Box<dyn RecordBatchReader + Send>) -> Result<(Self, Vec<String>)> {
        let source = reader.schema();
        let (mut indices, mut fields, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for (index, field) in source.fields().iter().enumerate() {
            let (name, data_type) = (field.name(), field.data_type());
            match writable_field(field) {
                Some(writable) => {
                    if !data_type.is_null() && writable.data_type() != data_type {
                        let stored = writable.data_type();
                        notes.push(format!(
                            "its column {name:?} was stored as {stored}: Parquet has no place for {data_type}"
                        ));
                    }
                    indices.push(index);
                    fields.push(writable);
                }
                None => notes.push(format!(
                    "its column {name:?} was left out: Parquet has no place for its type {data_type}"
                )),
            }
        }
        if fields.is_empty() && !source.fields().is_empty() {
            return Err(Error::Stream { reason: notes.swap_remove(0) });
        }
        notes.extend(not_a_trace(fields.iter().map(|field| field.name().as_str())));
        let schema = Arc::new(Schema::new_with_metadata(fields, source.metadata().clone()));
        Ok((Self { reader, schema, indices }, notes))
    }

    fn select(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let columns = self.indices.iter().zip(self.schema.fields()).map(|(index, field)| {
            let column = batch.column(*index);
            if column.data_type() == field.data_type() {
                return Ok(column.clone());
            }
            cast_with_options(column, field.data_type(), &options)
        });
        let columns = columns.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}

impl Iterator for WritableColumns {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.and_then(|batch| self.select(&batch)))
    }
}

impl RecordBatchReader for WritableColumns {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Return a sentence on a file that is not a power trace, which has columns of these names.
pub(super) fn not_a_trace<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    if names.contains(&TIME) {
        return None;
    }
    let mut found: Vec<String> = names.iter().take(MAX_NAMED).map(|name| format!("{name:?}")).collect();
    if names.len() > MAX_NAMED {
        found.push(format!("{} more", names.len() - MAX_NAMED));
    }
    let found = if found.is_empty() { "no columns".to_owned() } else { found.join(", ") };
    Some(format!("it is not a power trace: expected a column {TIME:?}, got {found}"))
}

/// Return the column that Parquet stores for a column; `None` if it has no place for it.
fn writable_field(field: &FieldRef) -> Option<FieldRef> {
    let of_type = |data_type: &DataType| Arc::new(field.as_ref().clone().with_data_type(data_type.clone()));
    match field.data_type() {
        // A sensor that the device lacks: frames know no type for a column of nulls alone.
        DataType::Null => match timeseries::schema().field_with_name(field.name()) {
            Ok(usual) => Some(of_type(usual.data_type())),
            Err(_) => Some(field.clone()),
        },
        DataType::Dictionary(_, values) if !is_writable(field) => {
            let plain = match values.as_ref() {
                DataType::Utf8View => &DataType::Utf8,
                DataType::BinaryView => &DataType::Binary,
                other => other,
            };
            Some(of_type(plain)).filter(|plain| is_writable(plain))
        }
        _ => is_writable(field).then(|| field.clone()),
    }
}

/// Return whether Parquet has a place for a column. The encoder knows only when it writes one, and may panic.
fn is_writable(field: &Field) -> bool {
    let data_type = field.data_type();
    if data_type.is_integer()
        || data_type.is_floating()
        || matches!(data_type, DataType::Utf8 | DataType::Boolean)
    {
        return true;
    }
    let schema = Schema::new(vec![field.clone()]);
    let converts = catch_panic(|| ArrowSchemaConverter::new().convert(&schema).is_ok());
    converts == Ok(true)
        && leaf_types(data_type).into_iter().all(|leaf| catch_panic(|| writes(leaf)) == Ok(true))
}

/// Return whether the encoder writes a null of a type.
fn writes(data_type: &DataType) -> bool {
    let schema = Arc::new(Schema::new(vec![Field::new("x", data_type.clone(), true)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![new_null_array(data_type, 1)]);
    let Ok(batch) = batch else { return false };
    let Ok(mut writer) = ArrowWriter::try_new(io::sink(), schema, None) else { return false };
    writer.write(&batch).is_ok() && writer.close().is_ok()
}

/// Return the types of the values in a type.
fn leaf_types(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => leaf_types(item.data_type()),
        DataType::Struct(fields) => fields.iter().flat_map(|field| leaf_types(field.data_type())).collect(),
        leaf => vec![leaf],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, UInt8Type};
    use arrow_array::{
        ArrayRef, DictionaryArray, Float64Array, RecordBatchIterator, StringViewArray, UInt8Array,
    };
    use arrow_schema::IntervalUnit;

    fn selected(columns: Vec<(&str, ArrayRef)>) -> (RecordBatch, Vec<String>) {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        );
        let batch = batch.unwrap();
        let schema = batch.schema();
        let reader = Box::new(RecordBatchIterator::new([Ok(batch)], schema));
        let (mut columns, notes) = WritableColumns::new(reader).unwrap();
        (columns.next().unwrap().unwrap(), notes)
    }

    fn times() -> (&'static str, ArrayRef) {
        ("timestamp_s", Arc::new(Float64Array::from(vec![0.0, 1.0])))
    }

    #[test]
    fn select_column_that_parquet_cannot_hold_leaves_it_out() {
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        let (batch, notes) = selected(vec![times(), ("wait", new_null_array(&interval, 2))]);
        assert_eq!(batch.num_columns(), 1);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("\"wait\" was left out"), "{notes:?}");
    }

    #[test]
    fn select_dictionary_of_views_stores_texts() {
        let values = Arc::new(StringViewArray::from(vec!["prefill", "decode"]));
        let phases = DictionaryArray::<UInt8Type>::new(UInt8Array::from(vec![1, 0]), values);
        let (batch, notes) = selected(vec![times(), ("phase", Arc::new(phases))]);
        let stored = batch.column(1);
        let texts: Vec<String> = match stored.data_type() {
            DataType::Utf8 => stored.as_string::<i32>().iter().flatten().map(str::to_owned).collect(),
            other => panic!("{other}"),
        };
        assert_eq!(texts, ["decode", "prefill"]);
        assert!(notes[0].contains("\"phase\" was stored as Utf8"), "{notes:?}");
    }

    #[test]
    fn select_nulls_of_a_usual_column_takes_its_type() {
        let nulls = |rows| -> ArrayRef { new_null_array(&DataType::Null, rows) };
        let (batch, notes) = selected(vec![times(), ("temperature_c", nulls(2)), ("note", nulls(2))]);
        assert_eq!(batch.column(1).as_primitive::<Float32Type>().null_count(), 2);
        assert!(batch.column(2).data_type().is_null() && notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn not_a_trace_names_the_columns() {
        assert_eq!(not_a_trace(["power_w", "timestamp_s"].into_iter()), None);
        let said = not_a_trace(["time", "watts"].into_iter()).unwrap();
        assert!(said.ends_with("expected a column \"timestamp_s\", got \"time\", \"watts\""), "{said}");
        assert!(not_a_trace(std::iter::repeat_n("x", 99)).unwrap().ends_with("\"x\", 89 more"));
        assert!(not_a_trace(std::iter::empty()).unwrap().ends_with("got no columns"));
    }

    #[test]
    fn is_writable_asks_the_encoder_for_nested_types() {
        let item = |data_type| Arc::new(Field::new("item", data_type, false));
        let is_writable = |data_type| is_writable(&Field::new("x", data_type, false));
        assert!(is_writable(DataType::List(item(DataType::Int8))));
        assert!(is_writable(DataType::Struct(vec![item(DataType::Utf8View)].into())));
        assert!(!is_writable(DataType::List(item(DataType::Interval(IntervalUnit::MonthDayNano)))));
        assert!(!is_writable(DataType::Struct(Vec::<Field>::new().into())));
    }
}
