//! The conversion of a column to its type in a table, which every reader of power traces shares.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};

use super::declared::Declared;
use super::number::{Number, numbers, to_f32, to_f64, to_integer};

/// A column of a table, and how a column of a file becomes one.
#[derive(Debug, Clone)]
pub(super) struct Conversion {
    name: String,
    declared: DataType,
    target: DataType,
    is_required: bool,
}

impl Conversion {
    /// Plan the conversion of a column to a type of a table, or return the reason why there is none.
    ///
    /// A column of a power trace has numbers: a duration is one only of seconds, and a boolean, a text or a list is
    /// none.
    pub fn new(name: &str, declared: Declared, target: &DataType, is_required: bool) -> Result<Self, String> {
        let fits = |declared: &DataType| match target {
            DataType::Boolean | DataType::Utf8 => declared == target || declared.is_null(),
            DataType::Timestamp(_, zone) => {
                matches!(declared, DataType::Timestamp(_, found) if found == zone) || declared.is_null()
            }
            DataType::Float64 => matches!(declared, DataType::Duration(_)) || is_number(declared),
            _ => is_number(declared),
        };
        match declared {
            Declared::Arrow(declared) if fits(&declared) => {
                Ok(Self { name: name.to_owned(), declared, target: target.clone(), is_required })
            }
            Declared::Arrow(time @ DataType::Timestamp(..)) if *target == DataType::Float64 => Err(format!(
                "its column {name} expects numbers, got {time}; write the seconds from the first time"
            )),
            declared => {
                let expected = match target {
                    DataType::Boolean => "booleans",
                    DataType::Utf8 => "texts",
                    DataType::Timestamp(..) => "timestamps of one zone",
                    _ => "numbers",
                };
                Err(format!("its column {name} expects {expected}, got {declared}"))
            }
        }
    }

    /// Convert rows, of which the first has a number in the file; or return the reason why they do not fit.
    pub fn convert(&self, column: &ArrayRef, first_row: u64) -> Result<ArrayRef, String> {
        let Self { name, declared, target, is_required } = self;
        if *is_required && column.logical_null_count() > 0 {
            return Err(format!("its column {name} has nulls"));
        }
        if column.data_type() == target && declared == target {
            return Ok(column.clone());
        }
        let column = with_declared_type(column, declared);
        match target {
            DataType::Float64 => self.numbers::<Float64Type>(&column, first_row, to_f64),
            DataType::Float32 => self.numbers::<Float32Type>(&column, first_row, to_f32),
            DataType::Int32 => self.numbers::<Int32Type>(&column, first_row, to_integer),
            DataType::Int64 => self.numbers::<Int64Type>(&column, first_row, to_integer),
            DataType::UInt64 => self.numbers::<UInt64Type>(&column, first_row, to_integer),
            DataType::Timestamp(..) if !column.data_type().is_null() => self.times(&column, first_row),
            _ if column.data_type().is_null() => Ok(new_null_array(target, column.len())),
            _ => Err(format!("its column {name} expects {target}, got {}", column.data_type())),
        }
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        column: &ArrayRef,
        first_row: u64,
        convert: impl Fn(Number) -> Option<T::Native>,
    ) -> Result<ArrayRef, String> {
        let numbers = numbers(column)
            .ok_or_else(|| format!("its column {} expects numbers, got {}", self.name, column.data_type()))?;
        let converted = numbers.into_iter().enumerate().map(|(row, number)| match number {
            None => Ok(None),
            Some(number) => {
                convert(number).map(Some).ok_or_else(|| self.misfit(number, first_row + row as u64))
            }
        });
        Ok(Arc::new(converted.collect::<Result<PrimitiveArray<T>, String>>()?))
    }

    /// Convert times to microseconds; nanoseconds may not have an equal.
    fn times(&self, column: &ArrayRef, first_row: u64) -> Result<ArrayRef, String> {
        if let Some(column) = column.as_primitive_opt::<TimestampNanosecondType>() {
            let is_finer = |value: Option<i64>| value.is_some_and(|nanos| nanos % 1000 != 0);
            if let Some(row) = column.iter().position(is_finer) {
                let nanos = format!("{} ns since 1970", column.value(row));
                return Err(self.misfit(nanos, first_row + row as u64));
            }
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let cast = cast_with_options(column, &self.target, &options);
        cast.map_err(|error| format!("its column {} expects {}: {error}", self.name, self.target))
    }

    fn misfit(&self, value: impl std::fmt::Display, row: u64) -> String {
        format!("its column {} expects {}, got {value} in row {row}", self.name, self.target)
    }
}

/// Return whether each value of a type is a number without a unit.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_null()
}

/// Return integers with the declared meaning.
fn with_declared_type(column: &ArrayRef, declared: &DataType) -> ArrayRef {
    let Some(integers) = column.as_primitive_opt::<Int64Type>() else { return column.clone() };
    let zoned = |zone: &Option<Arc<str>>, unit: TimeUnit| -> ArrayRef {
        let zone = zone.clone();
        match unit {
            TimeUnit::Second => {
                Arc::new(integers.reinterpret_cast::<TimestampSecondType>().with_timezone_opt(zone))
            }
            TimeUnit::Millisecond => {
                Arc::new(integers.reinterpret_cast::<TimestampMillisecondType>().with_timezone_opt(zone))
            }
            TimeUnit::Microsecond => {
                Arc::new(integers.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone))
            }
            TimeUnit::Nanosecond => {
                Arc::new(integers.reinterpret_cast::<TimestampNanosecondType>().with_timezone_opt(zone))
            }
        }
    };
    match declared {
        DataType::Duration(TimeUnit::Second) => Arc::new(integers.reinterpret_cast::<DurationSecondType>()),
        DataType::Duration(TimeUnit::Millisecond) => {
            Arc::new(integers.reinterpret_cast::<DurationMillisecondType>())
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            Arc::new(integers.reinterpret_cast::<DurationMicrosecondType>())
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            Arc::new(integers.reinterpret_cast::<DurationNanosecondType>())
        }
        DataType::Timestamp(unit, zone) => zoned(zone, *unit),
        _ => column.clone(),
    }
}

/// Return the type of another than the standard columns in a table; `None` if a scan does not read it.
pub(super) fn table_type(declared: &Declared) -> Option<DataType> {
    let Declared::Arrow(declared) = declared else { return None };
    Some(match declared {
        DataType::Null | DataType::Boolean | DataType::Int64 | DataType::UInt64 => declared.clone(),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::Utf8 => DataType::Utf8,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Duration(_) => DataType::Float64,
        number if number.is_numeric() => DataType::Float64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{BooleanArray, Decimal128Array, Float16Array, Int64Array, StringArray, UInt64Array};
    use arrow_array::{Date32Array, Float64Array, TimestampMillisecondArray};

    /// Convert a column whose type in Parquet is what its writer declared, or is declared to be another.
    fn converted(
        column: impl Array + 'static,
        declared: Option<DataType>,
        target: &DataType,
    ) -> Result<ArrayRef, String> {
        let column: ArrayRef = Arc::new(column);
        let declared = Declared::Arrow(declared.unwrap_or_else(|| column.data_type().clone()));
        Conversion::new("x", declared.on(column.data_type()), target, false)?.convert(&column, 100)
    }

    fn floats(array: &ArrayRef) -> Vec<f64> {
        array.as_primitive::<Float64Type>().values().to_vec()
    }

    #[test]
    fn convert_duration_of_any_unit_returns_seconds() {
        for (unit, second) in [
            (TimeUnit::Second, 1),
            (TimeUnit::Millisecond, 1_000),
            (TimeUnit::Microsecond, 1_000_000),
            (TimeUnit::Nanosecond, 1_000_000_000),
        ] {
            let declared = Some(DataType::Duration(unit));
            let integers = Int64Array::from(vec![0, second, -second * 7, second * 5 / 2 * (second / second)]);
            let seconds = floats(&converted(integers.clone(), declared.clone(), &DataType::Float64).unwrap());
            assert_eq!(seconds[..3], [0.0, 1.0, -7.0]);
            // A duration is no power.
            let error = converted(integers, declared, &DataType::Float32).unwrap_err();
            assert!(error.starts_with("its column x expects numbers, got Duration"), "{error}");
        }
        let nanos = Int64Array::from(vec![i64::MAX, 300_000_000]);
        let seconds =
            converted(nanos, Some(DataType::Duration(TimeUnit::Nanosecond)), &DataType::Float64).unwrap();
        assert_eq!(floats(&seconds), [9_223_372_036.854_776, 0.3]);
    }

    #[test]
    fn convert_other_than_numbers_names_the_type() {
        let said = |column: Result<ArrayRef, String>| column.unwrap_err();
        assert_eq!(
            said(converted(BooleanArray::from(vec![true]), None, &DataType::Int32)),
            "its column x expects numbers, got Boolean"
        );
        assert_eq!(
            said(converted(StringArray::from(vec!["1"]), None, &DataType::Float32)),
            "its column x expects numbers, got Utf8"
        );
        let times = TimestampMillisecondArray::from(vec![1]);
        assert!(said(converted(times, None, &DataType::Float64)).contains("expects numbers, got Timestamp"));
        let days = Int64Array::from(vec![1]);
        assert!(said(converted(days, Some(DataType::Date64), &DataType::Float64)).contains("Date64"));
        assert!(said(converted(Date32Array::from(vec![1]), None, &DataType::Float32)).contains("Date32"));
        let period = Declared::Extension("pandas.period".into()).on(&DataType::Int64);
        let error = Conversion::new("x", period, &DataType::Float64, true).unwrap_err();
        assert!(error.ends_with("got the extension type \"pandas.period\""), "{error}");
    }

    #[test]
    fn convert_value_out_of_range_names_its_row() {
        let said = |column: Result<ArrayRef, String>| column.unwrap_err();
        assert_eq!(
            said(converted(Float64Array::from(vec![1.0, 0.5]), None, &DataType::Int32)),
            "its column x expects Int32, got 0.5 in row 101"
        );
        assert_eq!(
            said(converted(Int64Array::from(vec![(1 << 53) + 1]), None, &DataType::Float64)),
            "its column x expects Float64, got 9007199254740993 in row 100"
        );
        assert!(
            said(converted(Float64Array::from(vec![1e300]), None, &DataType::Float32)).contains("got 1000")
        );
        assert!(
            said(converted(UInt64Array::from(vec![u64::MAX]), None, &DataType::Int64)).contains("row 100")
        );
        let decimals = Decimal128Array::from(vec![15, 20]).with_precision_and_scale(5, 1).unwrap();
        assert!(said(converted(decimals, None, &DataType::Int32)).contains("got 15e-1 in row 100"));
    }

    #[test]
    fn convert_numbers_of_any_type_keeps_their_value() {
        let decimals = Decimal128Array::from(vec![Some(105), None]).with_precision_and_scale(5, 1).unwrap();
        let powers = converted(decimals, None, &DataType::Float32).unwrap();
        assert_eq!(powers.as_primitive::<Float32Type>().iter().collect::<Vec<_>>(), [Some(10.5), None]);
        let half = Float16Array::from_iter_values([arrow_array::types::Float16Type::default_value()]);
        assert_eq!(floats(&converted(half, None, &DataType::Float64).unwrap()), [0.0]);
        let nulls = converted(arrow_array::NullArray::new(2), None, &DataType::Float32).unwrap();
        assert_eq!((nulls.null_count(), nulls.data_type()), (2, &DataType::Float32));
    }

    #[test]
    fn convert_times_to_microseconds_is_exact() {
        let target = DataType::Timestamp(TimeUnit::Microsecond, None);
        let nanos = |values| {
            converted(
                Int64Array::from(values),
                Some(DataType::Timestamp(TimeUnit::Nanosecond, None)),
                &target,
            )
        };
        let micros = nanos(vec![5_000]).unwrap();
        assert_eq!(micros.as_primitive::<TimestampMicrosecondType>().values(), &[5]);
        assert!(nanos(vec![5_000, 5_001]).unwrap_err().contains("got 5001 ns since 1970 in row 101"));
        let seconds = converted(
            Int64Array::from(vec![i64::MAX]),
            Some(DataType::Timestamp(TimeUnit::Second, None)),
            &target,
        );
        assert!(seconds.is_err());
    }
}
