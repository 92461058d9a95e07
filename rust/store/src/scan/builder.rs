//! Builders of the Arrow arrays of columns.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field};

use super::column::Column;
use super::schema::FieldType;
use super::value::FieldValue;

/// Rows of a chunk, and initial capacity of its columns: the builders' own 1024 would dominate a scan's memory.
pub const CHUNK_ROWS: usize = 64;

/// A builder of a column, by its type.
#[derive(Debug)]
pub enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Floats(ListBuilder<Float64Builder>),
    Texts(ListBuilder<StringBuilder>),
    Listed { items: Box<ColumnBuilder>, lengths: Vec<usize>, present: Vec<bool> },
}

impl ColumnBuilder {
    fn of_type(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(CHUNK_ROWS)),
            DataType::Int64 => Self::Int(Int64Builder::with_capacity(CHUNK_ROWS)),
            DataType::Float64 => Self::Float(Float64Builder::with_capacity(CHUNK_ROWS)),
            DataType::Timestamp(_, zone) => Self::Time(
                TimestampMicrosecondBuilder::with_capacity(CHUNK_ROWS).with_timezone_opt(zone.clone()),
            ),
            _ => Self::Text(StringBuilder::with_capacity(CHUNK_ROWS, 0)),
        }
    }

    pub fn new(column: &Column) -> Self {
        match (column.listed, &column.field_type) {
            (true, _) => {
                let item = Column { listed: false, ..column.clone() };
                let items = Box::new(Self::of_type(&item.data_type()));
                Self::Listed { items, lengths: Vec::new(), present: Vec::new() }
            }
            (false, FieldType::Floats) => {
                Self::Floats(ListBuilder::new(Float64Builder::with_capacity(CHUNK_ROWS)))
            }
            (false, FieldType::Texts) => {
                Self::Texts(ListBuilder::new(StringBuilder::with_capacity(CHUNK_ROWS, 0)))
            }
            (false, _) => Self::of_type(&column.data_type()),
        }
    }

    /// Append a row's value; null for a value of another type, which a plan rules out.
    pub fn push(&mut self, value: &FieldValue<'_>) {
        match (self, value) {
            (Self::Bool(values), FieldValue::Bool(value)) => values.append_value(*value),
            (Self::Int(values), FieldValue::Int(value)) => values.append_value(*value),
            (Self::Float(values), FieldValue::Float(value)) => values.append_value(*value),
            (Self::Text(values), FieldValue::Text(value) | FieldValue::Json(value)) => {
                values.append_value(value);
            }
            (Self::Time(values), FieldValue::Time(value, _)) => values.append_value(*value),
            (Self::Floats(values), FieldValue::Floats(items)) => {
                values.values().append_slice(items);
                values.append(true);
            }
            (Self::Texts(values), FieldValue::Texts(items)) => {
                for item in items {
                    values.values().append_value(item);
                }
                values.append(true);
            }
            (Self::Listed { items, lengths, present }, value) => {
                let (length, is_present) = match value {
                    FieldValue::Items(values) => {
                        for value in values {
                            items.push(value);
                        }
                        (values.len(), true)
                    }
                    _ => (0, false),
                };
                lengths.push(length);
                present.push(is_present);
            }
            (values, _) => values.push_null(),
        }
    }

    pub fn push_null(&mut self) {
        match self {
            Self::Bool(values) => values.append_null(),
            Self::Int(values) => values.append_null(),
            Self::Float(values) => values.append_null(),
            Self::Text(values) => values.append_null(),
            Self::Time(values) => values.append_null(),
            Self::Floats(values) => values.append(false),
            Self::Texts(values) => values.append(false),
            Self::Listed { .. } => self.push(&FieldValue::Null),
        }
    }

    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(values) => ArrayBuilder::finish(values),
            Self::Int(values) => ArrayBuilder::finish(values),
            Self::Float(values) => ArrayBuilder::finish(values),
            Self::Text(values) => ArrayBuilder::finish(values),
            Self::Time(values) => ArrayBuilder::finish(values),
            Self::Floats(values) => ArrayBuilder::finish(values),
            Self::Texts(values) => ArrayBuilder::finish(values),
            Self::Listed { items, lengths, present } => {
                let items = items.finish();
                let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
                let offsets = OffsetBuffer::from_lengths(std::mem::take(lengths));
                let nulls = NullBuffer::from(std::mem::take(present));
                Arc::new(ListArray::new(field, offsets, items, Some(nulls)))
            }
        }
    }
}
