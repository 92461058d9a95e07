//! The values of fields, and their conversion from JSON.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use speedate::{Date, DateTime, MicrosecondsPrecisionOverflowBehavior, TimeConfig};

use super::schema::FieldType;

/// The value of a field in a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum FieldValue<'de> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'de, str>),
    /// Microseconds since 1970 in local time, and the offset from UTC in seconds.
    Time(i64, Option<i32>),
    Floats(Vec<f64>),
    Texts(Vec<Cow<'de, str>>),
    Json(Cow<'de, str>),
    /// The values of the objects of a list.
    Items(Vec<FieldValue<'de>>),
}

impl FieldValue<'_> {
    /// Return the instant of a time with a zone, in microseconds since 1970; `None` beyond a Python `datetime`.
    pub fn instant(&self) -> Option<i64> {
        match self {
            Self::Time(micros, Some(offset)) => {
                micros.checked_sub(i64::from(*offset) * 1_000_000).filter(|micros| TIMES.contains(micros))
            }
            _ => None,
        }
    }

    /// Return the approximate bytes of the value beyond a fixed size.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Floats(items) => 8 * items.len(),
            Self::Texts(items) => items.iter().map(|item| 4 + item.len()).sum(),
            Self::Items(items) => items.iter().map(|item| 8 + item.size()).sum(),
            _ => 0,
        }
    }
}

/// Return the values of a type in words, with an article.
pub(super) fn describe(field_type: &FieldType) -> &'static str {
    match field_type {
        FieldType::Bool => "true or false",
        FieldType::Int => "an integer",
        FieldType::Float => "a number",
        FieldType::Text => "a string",
        FieldType::Time => "an ISO 8601 time",
        FieldType::Floats => "a list of numbers",
        FieldType::Texts => "a list of strings",
        FieldType::Objects(_) => "a list of objects",
        FieldType::Config | FieldType::Object(_) => "an object",
        FieldType::Json => "JSON",
    }
}

/// Parse an ISO 8601 time or date, of the years 1 to 9999; digits beyond the microsecond are cut off.
///
/// The forms are those that pydantic accepts, but without numbers of seconds since 1970.
pub(super) fn parse_time(text: &str) -> Option<FieldValue<'static>> {
    let config = TimeConfig {
        microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
        ..TimeConfig::default()
    };
    let value = if let Ok(time) = DateTime::parse_bytes_rfc3339_with_config(text.as_bytes(), &config) {
        let micros = time.timestamp().checked_mul(1_000_000)?.checked_add(time.time.microsecond.into())?;
        FieldValue::Time(micros, time.time.tz_offset)
    } else {
        let date = Date::parse_str_rfc3339(text).ok()?;
        FieldValue::Time(date.timestamp().checked_mul(1_000_000)?, None)
    };
    matches!(value, FieldValue::Time(micros, _) if TIMES.contains(&micros)).then_some(value)
}

/// The years 1 to 9999, the range of a Python `datetime`, in microseconds since 1970.
pub(super) const TIMES: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
