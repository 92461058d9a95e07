//! Numbers of any type, and their exact conversion.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};

/// A number in a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Float(f64),
    Integer(i128),
    /// `digits` / 10^`scale`: a number with a fraction, or beyond 128 bits.
    Decimal {
        digits: i128,
        scale: i32,
    },
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Decimal { digits, scale } => write!(f, "{digits}e{}", -i64::from(*scale)),
        }
    }
}

/// Return the numbers of a column; `None` for a column of another type. A duration is a number of seconds.
pub(super) fn numbers(column: &ArrayRef) -> Option<Vec<Option<Number>>> {
    macro_rules! numbers {
        ($type:ty, $number:expr) => {
            column.as_primitive::<$type>().iter().map(|value| value.map($number)).collect()
        };
    }
    macro_rules! integers {
        ($type:ty) => {
            numbers!($type, |value| Number::Integer(value.into()))
        };
    }
    Some(match column.data_type() {
        DataType::Null => vec![None; column.len()],
        DataType::Float16 => numbers!(Float16Type, |value| Number::Float(value.into())),
        DataType::Float32 => numbers!(Float32Type, |value| Number::Float(value.into())),
        DataType::Float64 => numbers!(Float64Type, Number::Float),
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Decimal32(_, scale) => numbers!(Decimal32Type, |value| decimal(value.into(), *scale)),
        DataType::Decimal64(_, scale) => numbers!(Decimal64Type, |value| decimal(value.into(), *scale)),
        DataType::Decimal128(_, scale) => numbers!(Decimal128Type, |value| decimal(value, *scale)),
        DataType::Decimal256(_, scale) => numbers!(Decimal256Type, |value| wide_decimal(value, *scale)),
        DataType::Duration(TimeUnit::Second) => integers!(DurationSecondType),
        DataType::Duration(TimeUnit::Millisecond) => {
            numbers!(DurationMillisecondType, |value| decimal(value.into(), 3))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            numbers!(DurationMicrosecondType, |value| decimal(value.into(), 6))
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            numbers!(DurationNanosecondType, |value| decimal(value.into(), 9))
        }
        _ => return None,
    })
}

/// Return a decimal number; one without a fraction as an integer.
fn decimal(digits: i128, scale: i8) -> Number {
    let power = 10_i128.checked_pow(scale.unsigned_abs().into());
    let integer = match (scale, power) {
        _ if digits == 0 => Some(0),
        (..=0, Some(power)) => digits.checked_mul(power),
        (1.., Some(power)) if digits % power == 0 => Some(digits / power),
        _ => None,
    };
    integer.map_or(Number::Decimal { digits, scale: scale.into() }, Number::Integer)
}

/// Return a decimal number of up to 76 digits.
fn wide_decimal(mut digits: i256, scale: i8) -> Number {
    let (mut scale, mut is_exact) = (i32::from(scale), true);
    let ten = i256::from_i128(10);
    loop {
        match (digits.to_i128(), i8::try_from(scale)) {
            (Some(digits), Ok(scale)) if is_exact => return decimal(digits, scale),
            (Some(digits), _) => return Number::Decimal { digits, scale },
            // A digit after the 38th is beyond the precision of a float.
            (None, _) => {
                is_exact &= digits.wrapping_rem(ten) == i256::ZERO;
                digits = digits.wrapping_div(ten);
                scale -= 1;
            }
        }
    }
}

/// The powers of ten that are float64.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// The integers up to here are float64.
const EXACT: u128 = 1 << 53;

/// Return the number of bits from the first to the last that is set.
fn bits(value: i128) -> u32 {
    let value = value.unsigned_abs();
    if value == 0 { 0 } else { u128::BITS - value.leading_zeros() - value.trailing_zeros() }
}

/// Return the equal float64 of an integer, and the nearest of a fraction.
#[allow(clippy::cast_precision_loss, reason = "checked to be exact")]
pub(super) fn to_f64(number: Number) -> Option<f64> {
    match number {
        Number::Float(value) => Some(value),
        Number::Integer(value) => (bits(value) <= f64::MANTISSA_DIGITS).then_some(value as f64),
        Number::Decimal { scale: ..=0, .. } => None,
        Number::Decimal { digits, scale } => match POWERS.get(scale.unsigned_abs() as usize) {
            // The quotient of two exact numbers is rounded once.
            Some(power) if digits.unsigned_abs() <= EXACT => Some(digits as f64 / power),
            _ => number.to_string().parse().ok(),
        },
    }
}

/// Return the equal float32 of an integer, and the nearest of another number; `None` beyond the largest.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "integers are checked")]
pub(super) fn to_f32(number: Number) -> Option<f32> {
    match number {
        Number::Float(value) => Some(value as f32).filter(|near| near.is_infinite() == value.is_infinite()),
        Number::Integer(value) => (bits(value) <= f32::MANTISSA_DIGITS).then_some(value as f32),
        Number::Decimal { scale: ..=0, .. } => None,
        Number::Decimal { .. } => number.to_string().parse().ok().filter(|near: &f32| near.is_finite()),
    }
}

/// Return an integer, also from a float without a fraction: a pandas column with nulls has its integers so.
#[allow(clippy::cast_possible_truncation, clippy::float_cmp, reason = "checked to be exact")]
pub(super) fn to_integer<T: TryFrom<i128>>(number: Number) -> Option<T> {
    let integer = match number {
        Number::Float(value) => Some(value as i128).filter(|_| value.trunc() == value && value.is_finite()),
        Number::Integer(value) => Some(value),
        Number::Decimal { .. } => None,
    };
    integer?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn convert_number_out_of_range_returns_none() {
        assert_eq!(to_f64(Number::Integer(1 << 53)), Some(9_007_199_254_740_992.0));
        assert_eq!(to_f64(Number::Integer((1 << 53) + 1)), None);
        assert_eq!(to_f64(Number::Integer(1 << 80)), Some(2_f64.powi(80)));
        assert_eq!(to_f64(Number::Integer(i128::MAX)), None);
        assert_eq!(to_f32(Number::Float(1e39)), None);
        assert_eq!(to_f32(Number::Float(f64::INFINITY)), Some(f32::INFINITY));
        assert!(to_f32(Number::Float(f64::NAN)).unwrap().is_nan());
        assert_eq!(to_f32(Number::Integer((1 << 24) + 1)), None);
        assert_eq!(
            (to_integer(Number::Float(-1.0)), to_integer::<i32>(Number::Float(0.5))),
            (Some(-1), None)
        );
        assert_eq!(to_integer::<i64>(Number::Float(f64::NAN)), None);
        assert_eq!(to_integer::<i64>(Number::Integer(u64::MAX.into())), None);
        assert_eq!(to_integer::<i32>(Number::Integer(1 << 40)), None);
    }

    #[test]
    fn decimal_without_fraction_is_an_integer() {
        assert_eq!(to_integer::<i32>(decimal(70, 1)), Some(7));
        assert_eq!(to_integer::<i32>(decimal(7, -2)), Some(700));
        assert_eq!(to_integer::<i32>(decimal(75, 1)), None);
        assert_eq!(to_integer::<i32>(decimal(0, 127)), Some(0));
        assert_eq!(to_f64(decimal((1 << 53) + 1, 0)), None);
        assert_eq!(to_f64(decimal(((1 << 53) + 1) * 1000, 3)), None);
        assert_eq!((to_f64(decimal(1, -100)), to_f32(decimal(i128::MAX, -1))), (None, None));
    }

    #[test]
    fn wide_decimal_of_a_short_number_equals_it() {
        let power = |exponent| i256::from_i128(10).checked_pow(exponent).unwrap();
        let half = i256::from_i128(105).checked_mul(power(59)).unwrap();
        assert_eq!(to_f64(wide_decimal(half, 60)), Some(10.5));
        assert_eq!(to_f32(wide_decimal(i256::from_i128(-1), 76)), Some(-0.0));
        assert_eq!(to_f64(wide_decimal(power(76).wrapping_sub(i256::ONE), 0)), None);
        assert_eq!(to_integer::<i64>(wide_decimal(power(60), 58)), Some(100));
    }

    proptest! {
        #[test]
        fn decimal_returns_the_nearest_float(digits: i128, scale in 1_i8..39) {
            let text = format!("{digits}e-{scale}");
            if let Number::Decimal { .. } = decimal(digits, scale) {
                prop_assert_eq!(to_f64(decimal(digits, scale)), text.parse().ok());
                prop_assert_eq!(to_f32(decimal(digits, scale)), text.parse().ok());
            }
        }

        #[test]
        fn decimal_of_few_digits_returns_the_nearest_float(digits in -(1_i128 << 53)..(1 << 53), scale in 1_i8..30) {
            if let Number::Decimal { .. } = decimal(digits, scale) {
                prop_assert_eq!(to_f64(decimal(digits, scale)), format!("{digits}e-{scale}").parse().ok());
            }
        }

        #[test]
        fn integer_converts_to_an_equal_float_or_not_at_all(value: i64) {
            if let Some(float) = to_f64(Number::Integer(value.into())) {
                prop_assert_eq!(format!("{float:.0}"), value.to_string());
            } else {
                prop_assert!(value.unsigned_abs() > 1 << 53);
            }
        }
    }
}
