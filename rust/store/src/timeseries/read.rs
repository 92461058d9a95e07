//! Reading a power trace into memory, in the standard columns and types.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::PrimitiveBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch, new_null_array};
use arrow_schema::DataType;

use super::batches::{Batches, TraceFile};
use super::schema;
use crate::error::Result;

/// Every integer up to here is a float64.
const EXACT: i128 = 1 << 53;

/// Read the standard columns of a Parquet file; see [`schema`].
///
/// A file without `gpu_index` is of GPU 0; other absent columns are null. Numbers of other types are converted if
/// they fit.
///
/// # Errors
///
/// [`Error::DamagedTrace`](crate::Error::DamagedTrace) if the file is incomplete;
/// [`Error::NotATrace`](crate::Error::NotATrace) if it lacks `timestamp_s` or `power_w`, has a value that does not
/// fit its column, or has more than 2^25 rows.
///
/// # Examples
///
/// ```
/// use arrow_array::RecordBatch;
/// use llem_store::timeseries::{self, Columns};
///
/// # let temp = tempfile::tempdir()?;
/// # let path = temp.path().join("timeseries.parquet");
/// let columns = Columns {
///     timestamp_s: vec![0.0, 1.0],
///     gpu_index: vec![0, 0],
///     power_w: vec![Some(250.0), Some(251.0)],
///     temperature_c: vec![None; 2],
///     memory_used_mb: vec![None; 2],
///     memory_total_mb: vec![None; 2],
///     sm_utilisation_pct: vec![None; 2],
///     throttle_reasons: vec![None; 2],
/// };
/// timeseries::write(&path, &RecordBatch::try_from(columns)?)?;
/// let trace = timeseries::read(&path)?;
/// assert_eq!(trace.num_rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: &Path) -> Result<RecordBatch> {
    let file = TraceFile::open(path)?;
    for required in ["timestamp_s", "power_w"] {
        if !file.has_column(required) {
            return Err(file.not_a_trace(format!("it has no column {required}")));
        }
    }
    file.check_rows()?;
    let mut notes = file.notes();
    if !file.has_column("gpu_index") {
        notes.set_unknown_devices();
    }
    let schema = schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut batches = file.batches(&names)?;
    let mut columns = ColumnBuilders::default();
    while let Some(batch) = batches.next() {
        let batch = batch?;
        columns.append(&batch).map_err(|reason| batches.not_a_trace(reason))?;
    }
    let trace = columns.finish(&batches)?;
    notes.attach(&trace).map_err(|error| batches.not_a_trace(error.to_string()))
}

/// Builders of the standard columns.
#[derive(Default)]
struct ColumnBuilders {
    rows: usize,
    timestamp_s: PrimitiveBuilder<Float64Type>,
    gpu_index: PrimitiveBuilder<Int32Type>,
    floats: [PrimitiveBuilder<Float32Type>; 5],
    throttle_reasons: PrimitiveBuilder<Int64Type>,
}

const FLOATS: [&str; 5] =
    ["power_w", "temperature_c", "memory_used_mb", "memory_total_mb", "sm_utilisation_pct"];

impl ColumnBuilders {
    /// Append a batch, or return the reason why it is not one of a power trace.
    fn append(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let rows = batch.num_rows();
        let or_nulls = |name: &str| {
            batch.column_by_name(name).cloned().unwrap_or_else(|| new_null_array(&DataType::Null, rows))
        };
        let gpu_index = match batch.column_by_name("gpu_index") {
            Some(column) => column.clone(),
            None => Arc::new(Int32Array::from(vec![0; rows])),
        };
        let timestamp_s = or_nulls("timestamp_s");
        for (name, column) in [("timestamp_s", &timestamp_s), ("gpu_index", &gpu_index)] {
            if column.logical_null_count() > 0 {
                return Err(format!("its column {name} has nulls"));
            }
        }
        append(&mut self.timestamp_s, "timestamp_s", &timestamp_s, self.rows, to_f64)?;
        append(&mut self.gpu_index, "gpu_index", &gpu_index, self.rows, to_i32)?;
        for (builder, name) in self.floats.iter_mut().zip(FLOATS) {
            append(builder, name, &or_nulls(name), self.rows, to_f32)?;
        }
        let throttle_reasons = or_nulls("throttle_reasons");
        append(&mut self.throttle_reasons, "throttle_reasons", &throttle_reasons, self.rows, to_i64)?;
        self.rows += rows;
        Ok(())
    }

    fn finish(mut self, batches: &Batches) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(self.timestamp_s.finish()), Arc::new(self.gpu_index.finish())];
        columns.extend(self.floats.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(Arc::new(self.throttle_reasons.finish()));
        RecordBatch::try_new(schema(), columns).map_err(|error| batches.not_a_trace(error.to_string()))
    }
}

/// A number in a file.
#[derive(Debug, Clone, Copy)]
enum Number {
    Float(f64),
    Integer(i128),
}

/// Append a column of any numeric type after `rows` rows.
fn append<T: ArrowPrimitiveType>(
    builder: &mut PrimitiveBuilder<T>,
    name: &str,
    column: &ArrayRef,
    rows: usize,
    convert: impl Fn(Number) -> Option<T::Native>,
) -> Result<(), String> {
    if let Some(column) = column.as_primitive_opt::<T>() {
        builder.append_array(column);
        return Ok(());
    }
    let Some(numbers) = numbers(column) else {
        return Err(format!("its column {name} expects numbers, got {}", column.data_type()));
    };
    for (row, number) in numbers.into_iter().enumerate() {
        match number.map(|number| convert(number).ok_or(number)).transpose() {
            Ok(value) => builder.append_option(value),
            Err(value) => {
                let (row, expected) = (rows + row, T::DATA_TYPE);
                return Err(format!("its column {name} expects {expected}, got {value} in row {row}"));
            }
        }
    }
    Ok(())
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
        }
    }
}

fn numbers(column: &ArrayRef) -> Option<Vec<Option<Number>>> {
    macro_rules! numbers {
        ($kind:ident, $type:ty) => {
            column.as_primitive::<$type>().iter().map(|v| v.map(|v| Number::$kind(v.into()))).collect()
        };
    }
    Some(match column.data_type() {
        DataType::Null => vec![None; column.len()],
        DataType::Float16 => numbers!(Float, Float16Type),
        DataType::Float32 => numbers!(Float, Float32Type),
        DataType::Float64 => numbers!(Float, Float64Type),
        DataType::Int8 => numbers!(Integer, Int8Type),
        DataType::Int16 => numbers!(Integer, Int16Type),
        DataType::Int32 => numbers!(Integer, Int32Type),
        DataType::Int64 => numbers!(Integer, Int64Type),
        DataType::UInt8 => numbers!(Integer, UInt8Type),
        DataType::UInt16 => numbers!(Integer, UInt16Type),
        DataType::UInt32 => numbers!(Integer, UInt32Type),
        DataType::UInt64 => numbers!(Integer, UInt64Type),
        _ => return None,
    })
}

#[allow(clippy::cast_precision_loss, reason = "checked to be exact")]
fn to_f64(number: Number) -> Option<f64> {
    match number {
        Number::Float(value) => Some(value),
        Number::Integer(value) => (-EXACT..=EXACT).contains(&value).then_some(value as f64),
    }
}

/// Return the nearest float32; `None` for a finite number beyond the largest.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "rounding is intended")]
fn to_f32(number: Number) -> Option<f32> {
    match number {
        Number::Float(value) => Some(value as f32).filter(|near| near.is_infinite() == value.is_infinite()),
        Number::Integer(value) => Some(value as f32),
    }
}

fn to_i32(number: Number) -> Option<i32> {
    to_integer(number)?.try_into().ok()
}

fn to_i64(number: Number) -> Option<i64> {
    to_integer(number)?.try_into().ok()
}

/// Return an integer, also from a float without a fraction: a pandas column with nulls has its integers so.
#[allow(clippy::cast_possible_truncation, clippy::float_cmp, reason = "checked to be exact")]
fn to_integer(number: Number) -> Option<i128> {
    match number {
        Number::Float(value) => Some(value as i128).filter(|_| value.trunc() == value && value.is_finite()),
        Number::Integer(value) => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{self as timeseries, write};
    use super::*;
    use crate::error::Error;
    use crate::sidecar;
    use arrow_array::RecordBatchIterator;
    use proptest::prelude::*;
    use std::fs;

    fn trace(rows: u16) -> RecordBatch {
        let length = usize::from(rows);
        let columns = timeseries::Columns {
            timestamp_s: (0..rows).map(f64::from).collect(),
            gpu_index: vec![3; length],
            power_w: (0..rows).map(|row| (row % 7 != 0).then_some(f32::from(row) + 0.5)).collect(),
            temperature_c: vec![None; length],
            memory_used_mb: vec![Some(1.0); length],
            memory_total_mb: vec![Some(81920.0); length],
            sm_utilisation_pct: vec![None; length],
            throttle_reasons: vec![Some(i64::MAX); length],
        };
        columns.try_into().unwrap()
    }

    #[test]
    fn read_returns_the_written_trace() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        for rows in [0, 1, 40_000] {
            write(&path, &trace(rows)).unwrap();
            assert_eq!(read(&path).unwrap(), trace(rows));
        }
    }

    #[test]
    fn batches_hold_the_requested_columns_that_exist() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(40_000)).unwrap();
        let file = TraceFile::open(&path).unwrap();
        assert_eq!(
            (file.rows(), file.has_column("gpu_index"), file.has_column("fan_pct")),
            (40_000, true, false)
        );
        let batches = file.batches(&["power_w", "fan_pct", "timestamp_s"]).unwrap();
        let schema = batches.schema().clone();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["timestamp_s", "power_w"]);
        let rows: Vec<_> = batches.map(|batch| batch.unwrap().num_rows()).collect();
        assert_eq!(rows, [16_384, 16_384, 7_232]);
    }

    #[test]
    fn read_truncated_file_reports_damage() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(600)).unwrap();
        let complete = fs::read(&path).unwrap();
        for cut in (0..complete.len()).filter(|cut| cut % 31 == 0 || complete.len() - cut < 64) {
            fs::write(&path, &complete[..cut]).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, Error::DamagedTrace { .. }), "{cut}: {error}");
        }
    }

    #[test]
    fn read_claimed_rows_unlike_the_pages_reports_damage() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(40)).unwrap();
        let mut content = fs::read(&path).unwrap();
        // The number of rows of the row group, zigzag, is the last such field of the footer.
        let at = content.windows(2).rposition(|field| field == [0x16, 80]).unwrap() + 1;
        for (claimed, reason) in [(78, "claims 39"), (82, "claims 41"), (1, "a negative number of rows")] {
            content[at] = claimed;
            fs::write(&path, &content).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, Error::DamagedTrace { .. }), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn convert_number_out_of_range_returns_none() {
        assert_eq!(to_f64(Number::Integer(1 << 53)), Some(9_007_199_254_740_992.0));
        assert_eq!(to_f64(Number::Integer((1 << 53) + 1)), None);
        assert_eq!(to_f32(Number::Float(1e39)), None);
        assert_eq!(to_f32(Number::Float(f64::INFINITY)), Some(f32::INFINITY));
        assert!(to_f32(Number::Float(f64::NAN)).unwrap().is_nan());
        assert_eq!((to_i32(Number::Float(-1.0)), to_i32(Number::Float(0.5))), (Some(-1), None));
        assert_eq!((to_i64(Number::Float(f64::NAN)), to_i64(Number::Integer(u64::MAX.into()))), (None, None));
    }

    proptest! {
        #[test]
        fn read_changed_bytes_does_not_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
        ) {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("x.parquet");
            let mut bytes = Vec::new();
            let rows = RecordBatchIterator::new([Ok(trace(100))], schema());
            sidecar::encode(Box::new(rows), &mut bytes, crate::Interrupt::NEVER, &|error| panic!("{error}")).unwrap();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            fs::write(&path, &bytes).unwrap();
            match read(&path) {
                Ok(batch) => prop_assert_eq!(batch.schema(), schema()),
                Err(Error::DamagedTrace { .. } | Error::NotATrace { .. }) => {}
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
