//! The values of a column as JSON text.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::timestamp_us_to_datetime;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use serde::Serialize;

/// A column of a type that has a text form.
pub enum Values<'a> {
    Bool(&'a BooleanArray),
    Int(&'a Int64Array),
    Unsigned(&'a UInt64Array),
    /// Single precision, which has fewer digits.
    Single(&'a Float32Array),
    Float(&'a Float64Array),
    Text(&'a StringArray),
    /// Times with a suffix: `Z` for instants.
    Time(&'a TimestampMicrosecondArray, &'static str),
    List(&'a ListArray, Box<Values<'a>>),
}

/// Return the columns of a batch, cast to the nearest type with a text form.
pub fn with_text(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    batch.columns().iter().map(as_text).collect()
}

fn as_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let target = match array.data_type() {
        DataType::Boolean
        | DataType::Int64
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::List(_)
        | DataType::Timestamp(TimeUnit::Microsecond, _) => return Ok(array.clone()),
        other if other.is_signed_integer() => DataType::Int64,
        other if other.is_unsigned_integer() => DataType::UInt64,
        DataType::Float16 => DataType::Float32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => DataType::Utf8,
    };
    arrow_cast::cast(array, &target)
}

/// Return the values of columns.
pub fn columns(arrays: &[ArrayRef]) -> Result<Vec<Values<'_>>, ArrowError> {
    arrays.iter().map(|array| Values::of(array)).collect()
}

impl<'a> Values<'a> {
    fn of(array: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Int64 => Self::Int(array.as_primitive::<Int64Type>()),
            DataType::UInt64 => Self::Unsigned(array.as_primitive::<UInt64Type>()),
            DataType::Float32 => Self::Single(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>()),
            DataType::Utf8 => Self::Text(array.as_string::<i32>()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let zone = if zone.is_some() { "Z" } else { "" };
                Self::Time(array.as_primitive::<TimestampMicrosecondType>(), zone)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::List(list, Box::new(Self::of(list.values())?))
            }
            other => return Err(ArrowError::NotYetImplemented(format!("a column of {other} as text"))),
        })
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bool(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::Unsigned(array) => array.is_null(row),
            Self::Single(array) => array.is_null(row),
            Self::Float(array) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::Time(array, _) => array.is_null(row),
            Self::List(array, _) => array.is_null(row),
        }
    }

    /// Append a value as JSON as in a record: non-finite floats and times are strings.
    pub fn json(&self, row: usize, line: &mut Vec<u8>) {
        if self.is_null(row) {
            line.extend(b"null");
            return;
        }
        match self {
            Self::Text(array) => json_string(array.value(row), line),
            Self::Time(..) => quoted(line, |line| self.plain(row, line)),
            Self::Single(array) if !array.value(row).is_finite() => {
                quoted(line, |line| self.plain(row, line));
            }
            Self::Float(array) if !array.value(row).is_finite() => {
                quoted(line, |line| self.plain(row, line));
            }
            _ => self.plain(row, line),
        }
    }

    /// Append a value other than null as plain text; lists are JSON.
    pub fn plain(&self, row: usize, line: &mut Vec<u8>) {
        match self {
            Self::Bool(array) => line.extend(if array.value(row) { &b"true"[..] } else { b"false" }),
            Self::Int(array) => put(line, format_args!("{}", array.value(row))),
            Self::Unsigned(array) => put(line, format_args!("{}", array.value(row))),
            Self::Single(array) => float(array.value(row), f64::from(array.value(row)), line),
            Self::Float(array) => float(array.value(row), array.value(row), line),
            Self::Text(array) => line.extend(array.value(row).as_bytes()),
            Self::Time(array, zone) => match timestamp_us_to_datetime(array.value(row)) {
                Some(time) => put(line, format_args!("{time:?}{zone}")),
                // The time lies outside the calendar.
                None => put(line, format_args!("{}", array.value(row))),
            },
            Self::List(array, items) => {
                line.push(b'[');
                let offsets = array.value_offsets();
                let at = |place: usize| offsets.get(place).and_then(|offset| usize::try_from(*offset).ok());
                let (first, end) = (at(row).unwrap_or(0), at(row + 1).unwrap_or(0));
                for item in first..end {
                    if item > first {
                        line.push(b',');
                    }
                    items.json(item, line);
                }
                line.push(b']');
            }
        }
    }
}

/// Append a string as JSON.
pub fn json_string(text: &str, line: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(line, text);
}

/// Append a float with the shortest digits that identify it in its precision.
fn float(digits: impl Serialize, value: f64, line: &mut Vec<u8>) {
    if value.is_nan() {
        line.extend(b"NaN");
    } else if value.is_infinite() {
        line.extend(if value > 0.0 { &b"Infinity"[..] } else { b"-Infinity" });
    } else {
        let _ = serde_json::to_writer(line, &digits);
    }
}

fn quoted(line: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    line.push(b'"');
    write(line);
    line.push(b'"');
}

fn put(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = line.write_fmt(text);
}
