//! Single values, and lists of them.

use super::Parser;
use crate::json::cursor::{Digits, FEW_DIGITS, Refusal};
use crate::json::text::minify;
use crate::scan::plan::FieldPlan;
use crate::scan::schema::{FieldLimits, FieldType};
use crate::scan::value::{FieldValue, describe, parse_time};

impl<'de> Parser<'de, '_> {
    /// Check a value that is not wanted.
    #[inline]
    pub(super) fn check(
        &mut self,
        field: &FieldPlan,
        field_type: &FieldType,
        first: u8,
    ) -> Result<(), Refusal> {
        let start = self.cursor.place();
        match (field_type, first) {
            (FieldType::Float, b'-' | b'0'..=b'9')
                if field.limits.minimum.is_none_or(|least| least == 0.0 && first != b'-') =>
            {
                let digits = self.cursor.number().map_err(|reason| reason.within(&field.path))?;
                if digits.text.len() > FEW_DIGITS {
                    float(digits, &field.limits, true, &field.path)?;
                }
                Ok(())
            }
            (FieldType::Text, b'"') if field.limits.choices.is_empty() => self.cursor.skip_string().map(drop),
            (FieldType::Bool, b't') => self.cursor.literal("true"),
            (FieldType::Bool, b'f') => self.cursor.literal("false"),
            _ => {
                debug_assert_eq!(self.cursor.place(), start);
                self.value(field, field_type, first, false).map(drop)
            }
        }
    }

    /// Parse a value that is not null, unless any JSON may stand there; without `builds`, only check it.
    #[inline]
    pub(super) fn value(
        &mut self,
        field: &FieldPlan,
        field_type: &FieldType,
        first: u8,
        builds: bool,
    ) -> Result<FieldValue<'de>, Refusal> {
        let start = self.cursor.place();
        let limits = &field.limits;
        match (field_type, first) {
            (FieldType::Float, b'-' | b'0'..=b'9') => {
                let digits = self.cursor.number().map_err(|reason| reason.within(&field.path))?;
                float(digits, limits, builds, &field.path).map(FieldValue::Float)
            }
            (FieldType::Float, b'"') => {
                let value = match self.cursor.string()?.plain() {
                    Some("NaN") => f64::NAN,
                    Some("Infinity") => f64::INFINITY,
                    Some("-Infinity") => f64::NEG_INFINITY,
                    _ => return Err(self.mismatch(start, describe(field_type), &field.path)),
                };
                check_minimum(value, limits, &field.path).map(FieldValue::Float)
            }
            (FieldType::Text, b'"') if !builds && limits.choices.is_empty() => {
                self.cursor.skip_string().map(|_| FieldValue::Null)
            }
            (FieldType::Text, b'"') => {
                let text = self.cursor.string()?;
                if !limits.choices.is_empty()
                    && !limits.choices.iter().any(|choice| *choice == *text.decode())
                {
                    let choices = limits.choices.join(", ");
                    return Err(self.mismatch(start, &format!("one of {choices}"), &field.path));
                }
                Ok(if builds { FieldValue::Text(text.decode()) } else { FieldValue::Null })
            }
            (FieldType::Int, b'-' | b'0'..=b'9') => {
                let digits = self.cursor.number().map_err(|reason| reason.within(&field.path))?;
                if digits.is_integer && !builds {
                    return Ok(FieldValue::Null);
                }
                match integer(digits) {
                    Some(FieldValue::Null) => {
                        self.record.beyond.get_or_insert_with(|| field.path.clone());
                        Ok(FieldValue::Null)
                    }
                    Some(value) => Ok(value),
                    None => Err(self.mismatch(start, describe(field_type), &field.path)),
                }
            }
            (FieldType::Bool, b't') => self.cursor.literal("true").map(|()| FieldValue::Bool(true)),
            (FieldType::Bool, b'f') => self.cursor.literal("false").map(|()| FieldValue::Bool(false)),
            (FieldType::Time, b'"') => {
                let text = self.cursor.string()?;
                match parse_time(&text.decode()) {
                    Some(time) => Ok(time),
                    None => Err(self.mismatch(start, describe(field_type), &field.path)),
                }
            }
            (FieldType::Floats, b'[') => self.list(field, &FieldType::Float, builds),
            (FieldType::Texts, b'[') if !builds => {
                if !field.seen.take(&mut self.cursor) {
                    self.list(field, &FieldType::Text, false)?;
                    field.seen.note(self.cursor.since(start));
                }
                Ok(FieldValue::Null)
            }
            (FieldType::Texts, b'[') => self.list(field, &FieldType::Text, true),
            (FieldType::Json, _) => {
                self.cursor.skip(0).map_err(|reason| reason.within(&field.path))?;
                Ok(match self.cursor.since(start) {
                    "null" => FieldValue::Null,
                    text if builds => FieldValue::Json(minify(text)),
                    _ => FieldValue::Null,
                })
            }
            _ => Err(self.mismatch(start, describe(field_type), &field.path)),
        }
    }

    /// Parse a list of numbers or of strings, from its bracket.
    fn list(
        &mut self,
        field: &FieldPlan,
        item_type: &FieldType,
        builds: bool,
    ) -> Result<FieldValue<'de>, Refusal> {
        let start = self.cursor.place();
        self.cursor.literal("[")?;
        let (mut floats, mut texts, mut length) = (Vec::new(), Vec::new(), 0);
        let mut is_open = !self.cursor.is_closed(b']');
        while is_open {
            self.cursor.eat(&field.written_item);
            let first = self.cursor.peek();
            length += 1;
            if !builds && first == b'"' && *item_type == FieldType::Text {
                self.cursor.skip_string()?;
            } else {
                match self.value(field, item_type, first, builds)? {
                    FieldValue::Float(value) if builds => floats.push(value),
                    FieldValue::Text(value) => texts.push(value),
                    _ => {}
                }
            }
            is_open = self.cursor.has_next(b']')?;
        }
        if let Some(expected) = field.limits.length.filter(|expected| *expected != length) {
            return Err(self.mismatch(start, &format!("{expected} numbers"), &field.path));
        }
        Ok(match item_type {
            FieldType::Float => FieldValue::Floats(floats),
            _ => FieldValue::Texts(texts),
        })
    }
}

#[inline]
fn float(digits: Digits<'_>, limits: &FieldLimits, builds: bool, path: &str) -> Result<f64, Refusal> {
    if !builds && limits.minimum.is_none() && digits.text.len() <= FEW_DIGITS {
        return Ok(0.0);
    }
    let value = digits.to_float();
    if value.is_infinite() {
        let length = digits.text.len();
        return Err(Refusal::new(format_args!(
            "expected a number in {path}, got an integer of {length} digits, which no 64-bit float holds"
        )));
    }
    check_minimum(value, limits, path)
}

/// Return an integer, which may be written as a float without a fraction; `None` for another number.
///
/// An integer beyond 64 bits is null: a row cannot hold it.
#[inline]
fn integer(digits: Digits<'_>) -> Option<FieldValue<'static>> {
    /// From here on, a float may differ from the integer that was written.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if digits.is_integer {
        return Some(digits.text.parse().map_or(FieldValue::Null, FieldValue::Int));
    }
    let value = digits.to_float();
    #[allow(clippy::cast_possible_truncation, reason = "it has no fraction and is small")]
    (value.fract() == 0.0 && value.abs() < EXACT).then_some(FieldValue::Int(value as i64))
}

#[inline]
fn check_minimum(value: f64, limits: &FieldLimits, path: &str) -> Result<f64, Refusal> {
    match limits.minimum {
        Some(minimum) if value.is_nan() || value < minimum => {
            Err(Refusal::new(format_args!("expected a number of at least {minimum} in {path}, got {value}")))
        }
        _ => Ok(value),
    }
}
