//! The values of fields, and their conversion from JSON.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use speedate::{Date, DateTime, MicrosecondsPrecisionOverflowBehavior, TimeConfig};

use super::schema::FieldType;
use crate::json::text::{check_escapes, minify};

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
    /// Return the instant of a time with a zone, in microseconds since 1970.
    pub fn instant(&self) -> Option<i64> {
        match self {
            Self::Time(micros, Some(offset)) => micros.checked_sub(i64::from(*offset) * 1_000_000),
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

/// A deserializer of a field's value.
pub(super) struct ValueSeed<'p> {
    pub path: &'p str,
    pub nullable: bool,
    pub field_type: &'p FieldType,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = FieldValue<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FieldValue<'de>, D::Error> {
        if *self.field_type != FieldType::Json {
            return deserializer.deserialize_any(self);
        }
        let text = <&'de RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        check_escapes(text).map_err(D::Error::custom)?;
        Ok(if text == "null" { FieldValue::Null } else { FieldValue::Json(minify(text)) })
    }
}

impl ValueSeed<'_> {
    fn text<'de, E: serde::de::Error>(&self, text: Cow<'de, str>) -> Result<FieldValue<'de>, E> {
        match (self.field_type, &*text) {
            (FieldType::Text, _) => Ok(FieldValue::Text(text)),
            (FieldType::Float, "NaN") => Ok(FieldValue::Float(f64::NAN)),
            (FieldType::Float, "Infinity") => Ok(FieldValue::Float(f64::INFINITY)),
            (FieldType::Float, "-Infinity") => Ok(FieldValue::Float(f64::NEG_INFINITY)),
            (FieldType::Time, text) => time(text).ok_or_else(|| {
                E::custom(format_args!("{} expects an ISO 8601 time, got {text:?}", self.path))
            }),
            (_, text) => Err(E::invalid_type(serde::de::Unexpected::Str(text), self)),
        }
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = FieldValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field_type {
            FieldType::Bool => "true or false",
            FieldType::Int => "an integer",
            FieldType::Float => "a number",
            FieldType::Text => "a string",
            FieldType::Time => "an ISO 8601 time",
            FieldType::Floats => "a list of numbers",
            FieldType::Texts => "a list of strings",
            _ => "JSON",
        };
        write!(f, "{what} in {}", self.path)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        if self.nullable {
            Ok(FieldValue::Null)
        } else {
            Err(E::invalid_type(serde::de::Unexpected::Unit, &self))
        }
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.field_type {
            FieldType::Bool => Ok(FieldValue::Bool(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        match self.field_type {
            FieldType::Int => Ok(FieldValue::Int(value)),
            #[allow(clippy::cast_precision_loss, reason = "loading rounds to the nearest float, too")]
            FieldType::Float => Ok(FieldValue::Float(value as f64)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        match (self.field_type, i64::try_from(value)) {
            (_, Ok(value)) => self.visit_i64(value),
            #[allow(clippy::cast_precision_loss, reason = "as visit_i64")]
            (FieldType::Float, Err(_)) => Ok(FieldValue::Float(value as f64)),
            (FieldType::Int, Err(_)) => Err(E::custom(format_args!(
                "{} is {value}; a table holds signed integers of 64 bits",
                self.path
            ))),
            (_, Err(_)) => Err(E::invalid_type(serde::de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        /// From here on, a float may differ from the integer that was written.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self.field_type {
            FieldType::Float => Ok(FieldValue::Float(value)),
            #[allow(clippy::cast_possible_truncation, reason = "it has no fraction and is small")]
            FieldType::Int if value.fract() == 0.0 && value.abs() < EXACT => {
                Ok(FieldValue::Int(value as i64))
            }
            FieldType::Int if value.abs() >= EXACT => Err(E::custom(format_args!(
                "{} is {value:e}; a table holds signed integers of 64 bits",
                self.path
            ))),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
        self.text(Cow::Borrowed(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        self.text(Cow::Owned(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let item = match self.field_type {
            FieldType::Floats => FieldType::Float,
            FieldType::Texts => FieldType::Text,
            _ => return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
        };
        let path = format!("{}[]", self.path);
        let (mut floats, mut texts) = (Vec::new(), Vec::new());
        while let Some(value) =
            list.next_element_seed(ValueSeed { path: &path, nullable: false, field_type: &item })?
        {
            match value {
                FieldValue::Float(value) => floats.push(value),
                FieldValue::Text(value) => texts.push(value),
                _ => {}
            }
        }
        Ok(if item == FieldType::Float { FieldValue::Floats(floats) } else { FieldValue::Texts(texts) })
    }
}

/// Parse a time as pydantic does: digits beyond the microsecond are cut off, and a number is seconds (or, if large,
/// milliseconds) since 1970 in UTC.
fn time(text: &str) -> Option<FieldValue<'static>> {
    let config = TimeConfig {
        microseconds_precision_overflow_behavior: MicrosecondsPrecisionOverflowBehavior::Truncate,
        ..TimeConfig::default()
    };
    let value = if let Ok(time) = DateTime::parse_bytes_rfc3339_with_config(text.as_bytes(), &config) {
        let micros = time.timestamp().checked_mul(1_000_000)?.checked_add(time.time.microsecond.into())?;
        FieldValue::Time(micros, time.time.tz_offset)
    } else if let Ok(date) = Date::parse_str_rfc3339(text) {
        FieldValue::Time(date.timestamp().checked_mul(1_000_000)?, None)
    } else {
        let time = DateTime::parse_str(text).ok()?;
        let micros = time.timestamp().checked_mul(1_000_000)?.checked_add(time.time.microsecond.into())?;
        FieldValue::Time(micros, Some(0))
    };
    matches!(value, FieldValue::Time(micros, _) if TIMES.contains(&micros)).then_some(value)
}

/// The years 1 to 9999, the range of a Python `datetime`, in microseconds since 1970.
pub(super) const TIMES: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
