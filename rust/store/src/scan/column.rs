//! The values of rows become Arrow arrays.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, TimeUnit};

use super::plan::{Column, Kind, Origin};
use super::record::Slot;

/// Rows of a chunk, and that its columns have room for at first: the builders' own 1024 would be most of what a
/// scan has in memory.
pub const ROWS: usize = 64;

/// The type of a column that the schema knows.
pub fn data_type(column: &Column) -> DataType {
    let zone = matches!(column.origin, Origin::Instant(_) | Origin::SavedAt).then(|| "UTC".into());
    let scalar = match column.kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int => DataType::Int64,
        Kind::Float => DataType::Float64,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, zone),
        Kind::Floats => list_of(DataType::Float64),
        Kind::Texts => list_of(DataType::Utf8),
        _ => DataType::Utf8,
    };
    if column.listed { list_of(scalar) } else { scalar }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// The values of a column so far.
#[derive(Debug)]
pub enum Values {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Floats(ListBuilder<Float64Builder>),
    Texts(ListBuilder<StringBuilder>),
    Listed { items: Box<Values>, lengths: Vec<usize>, present: Vec<bool> },
}

impl Values {
    pub fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(ROWS)),
            DataType::Int64 => Self::Int(Int64Builder::with_capacity(ROWS)),
            DataType::Float64 => Self::Float(Float64Builder::with_capacity(ROWS)),
            DataType::Timestamp(_, zone) => {
                Self::Time(TimestampMicrosecondBuilder::with_capacity(ROWS).with_timezone_opt(zone.clone()))
            }
            _ => Self::Text(StringBuilder::with_capacity(ROWS, 0)),
        }
    }

    pub fn of(column: &Column) -> Self {
        match (column.listed, &column.kind) {
            (true, _) => {
                let item = Column { listed: false, ..column.clone() };
                let items = Box::new(Self::new(&data_type(&item)));
                Self::Listed { items, lengths: Vec::new(), present: Vec::new() }
            }
            (false, Kind::Floats) => Self::Floats(ListBuilder::new(Float64Builder::with_capacity(ROWS))),
            (false, Kind::Texts) => Self::Texts(ListBuilder::new(StringBuilder::with_capacity(ROWS, 0))),
            (false, _) => Self::new(&data_type(column)),
        }
    }

    /// Add a row's value; one of another kind counts as none, and does not occur.
    pub fn push(&mut self, slot: &Slot<'_>) {
        match (self, slot) {
            (Self::Bool(values), Slot::Bool(value)) => values.append_value(*value),
            (Self::Int(values), Slot::Int(value)) => values.append_value(*value),
            (Self::Float(values), Slot::Float(value)) => values.append_value(*value),
            (Self::Text(values), Slot::Text(value) | Slot::Json(value)) => values.append_value(value),
            (Self::Time(values), Slot::Time(value, _)) => values.append_value(*value),
            (Self::Floats(values), Slot::Floats(items)) => {
                values.values().append_slice(items);
                values.append(true);
            }
            (Self::Texts(values), Slot::Texts(items)) => {
                for item in items {
                    values.values().append_value(item);
                }
                values.append(true);
            }
            (Self::Listed { items, lengths, present }, slot) => {
                let (length, is_present) = match slot {
                    Slot::Items(slots) => {
                        for slot in slots {
                            items.push(slot);
                        }
                        (slots.len(), true)
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
            Self::Listed { .. } => self.push(&Slot::Null),
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
