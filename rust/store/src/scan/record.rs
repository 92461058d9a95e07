//! Projection pushdown: a record is checked against its schema, and parsed into the planned values.
//!
//! Every reader decides by this check whether a file is a record: a scan of any columns, `completed`, `verify` and a
//! load. A record as a save writes it costs little more than the comparison of its names with those of the schema.

use serde_json::Value;

use super::plan::{FieldForm, FieldPlan, Kept, ObjectPlan, Plan};
use super::schema::{FieldLimits, FieldType};
use super::value::{FieldValue, describe, parse_time};
use crate::interrupt::Interrupt;
use crate::json::cursor::{Cursor, Digits, FEW_DIGITS, Refusal};
use crate::json::text::minify;
use crate::load::{RecordFault, diagnose};

/// The values of a record.
#[derive(Debug)]
pub(super) struct ParsedRecord<'de> {
    pub values: Vec<FieldValue<'de>>,
    /// The text of the configuration.
    pub config: Option<&'de str>,
    /// The first kept field whose integer has more than 64 bits; its value is null.
    pub beyond: Option<Box<str>>,
}

/// Check a record of the schema line of a plan, and parse its planned fields.
///
/// # Errors
///
/// The reason why the bytes are not a record, or [`RecordFault::Interrupted`].
pub(super) fn read<'de>(
    bytes: &'de [u8],
    plan: &Plan,
    interrupt: Interrupt<'de>,
) -> Result<ParsedRecord<'de>, RecordFault> {
    let reason = match parse(bytes, plan, interrupt) {
        Ok(record) => match record.values.get(plan.version_index) {
            Some(FieldValue::Text(version)) if **version == *plan.version => return Ok(record),
            _ => Refusal::new("it names no schema line"),
        },
        Err(reason) if reason.is_cancelled() => return Err(RecordFault::Interrupted),
        Err(reason) => reason,
    };
    Err(match diagnose(bytes, &plan.version) {
        None | Some(RecordFault::Invalid(_)) => RecordFault::Invalid(reason.to_string()),
        Some(fault) => fault,
    })
}

/// Check a record of any schema line, and parse its planned fields.
pub(super) fn parse<'de>(
    bytes: &'de [u8],
    plan: &Plan,
    interrupt: Interrupt<'de>,
) -> Result<ParsedRecord<'de>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(Refusal::new)?;
    let record = ParsedRecord { values: vec![FieldValue::Null; plan.width], config: None, beyond: None };
    let mut parser = Parser { cursor: Cursor::new(text, interrupt), record };
    if parser.cursor.peek() != b'{' {
        return Err(Refusal::new("expected a JSON object"));
    }
    parser.object(&plan.record, None)?;
    parser.cursor.end()?;
    Ok(parser.record)
}

struct Parser<'de> {
    cursor: Cursor<'de>,
    record: ParsedRecord<'de>,
}

impl<'de> Parser<'de> {
    /// Parse an object, from its brace; `above` is its field, or `None` for the record itself.
    fn object(&mut self, plan: &ObjectPlan, above: Option<&FieldPlan>) -> Result<(), Refusal> {
        self.cursor.literal("{")?;
        // Fields are mostly in the order of the schema.
        let (mut seen, mut next) = (0_u64, 0);
        let mut is_open = true;
        while is_open {
            let index = match plan.fields.get(next) {
                Some(field) if self.cursor.eat(&field.written) => next,
                _ if seen == 0 && self.cursor.is_closed(b'}') => break,
                _ => self.find(plan, next, above)?,
            };
            let field = &plan.fields[index];
            if seen & (1 << index) != 0 {
                return Err(Refusal::new(format_args!("it has {} twice", field.path)));
            }
            seen |= 1 << index;
            next = index + 1;
            self.field(field)?;
            is_open = self.cursor.has_next(b'}')?;
        }
        if seen.count_ones() as usize == plan.fields.len() {
            return Ok(());
        }
        for (index, field) in plan.fields.iter().enumerate() {
            if seen & (1 << index) == 0 {
                let Some(default) = &field.default else {
                    return Err(Refusal::new(format_args!("it lacks {}", field.path)));
                };
                set_default(field, default, &mut self.record);
            }
        }
        Ok(())
    }

    /// Take a key, and return the index of its field.
    fn find(&mut self, plan: &ObjectPlan, next: usize, above: Option<&FieldPlan>) -> Result<usize, Refusal> {
        let key = self.cursor.key()?.decode();
        let found = match plan.fields.get(next) {
            Some(field) if *field.name == *key => Some(next),
            _ => plan.fields.iter().position(|field| *field.name == *key),
        };
        found.ok_or_else(|| match above {
            None => Refusal::new(format_args!("unknown field {}", key.escape_debug())),
            Some(field) => Refusal::new(format_args!("unknown field {}.{}", field.path, key.escape_debug())),
        })
    }

    #[inline]
    fn field(&mut self, field: &FieldPlan) -> Result<(), Refusal> {
        let first = self.cursor.peek();
        let start = self.cursor.place();
        if first == b'n' && field.nullable {
            self.cursor.literal("null")?;
            set_null(field, &mut self.record);
            return Ok(());
        }
        match (&field.form, first) {
            (FieldForm::Value(field_type), _) => {
                let builds = field.kept.is_some_and(|kept| !kept.as_json);
                let value = self.value(field, field_type, first, builds)?;
                if let Some(kept) = field.kept.filter(|_| builds) {
                    self.record.values[kept.index] = value;
                }
            }
            (FieldForm::Config, b'{') => {
                self.cursor.skip(0).map_err(|reason| reason.within(&field.path))?;
                // The configuration of the record itself; that of a process has a longer path.
                if *field.name == *field.path {
                    self.record.config = Some(self.cursor.since(start));
                }
            }
            (FieldForm::Object(plan), b'{') => self.object(plan, Some(field))?,
            (FieldForm::Objects(plan), b'[') => self.objects(plan, field)?,
            (form, _) => {
                let expected = match form {
                    FieldForm::Objects(_) => "a list of objects",
                    _ => "an object",
                };
                return Err(self.mismatch(start, expected, &field.path));
            }
        }
        if let Some(Kept { index, as_json: true }) = field.kept {
            self.record.values[index] = FieldValue::Json(minify(self.cursor.since(start)));
        }
        Ok(())
    }

    /// Parse a value that is not null, unless any JSON may stand there; without `builds`, only check it.
    #[inline]
    fn value(
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

    /// Parse a list of objects, from its bracket.
    fn objects(&mut self, plan: &ObjectPlan, field: &FieldPlan) -> Result<(), Refusal> {
        self.cursor.literal("[")?;
        let indexes: &[usize] = if field.kept.is_some() { &[] } else { &field.indexes };
        let mut items: Vec<Vec<FieldValue<'de>>> = vec![Vec::new(); indexes.len()];
        let mut is_open = !self.cursor.is_closed(b']');
        while is_open {
            if self.cursor.peek() != b'{' {
                return Err(self.mismatch(self.cursor.place(), "an object", &field.path));
            }
            self.object(plan, Some(field))?;
            for (items, index) in items.iter_mut().zip(indexes) {
                items.push(std::mem::take(&mut self.record.values[*index]));
            }
            is_open = self.cursor.has_next(b']')?;
        }
        for (items, index) in items.into_iter().zip(indexes) {
            self.record.values[*index] = FieldValue::Items(items);
        }
        Ok(())
    }

    /// Return the refusal of a value of another type, at its start or end.
    #[cold]
    fn mismatch(&mut self, start: usize, expected: &str, path: &str) -> Refusal {
        if self.cursor.place() == start
            && let Err(invalid) = self.cursor.skip(0)
        {
            return invalid.within(path);
        }
        let found = excerpt(self.cursor.since(start));
        Refusal::new(format_args!("expected {expected} in {path}, got {found}"))
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

/// Return the beginning of a value, for an error.
fn excerpt(value: &str) -> String {
    const LONGEST: usize = 40;
    let value = minify(value);
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.into_owned(),
    }
}

fn set_null(field: &FieldPlan, record: &mut ParsedRecord<'_>) {
    for index in &field.indexes {
        record.values[*index] = FieldValue::Null;
    }
}

/// Set the values of an absent field.
fn set_default(field: &FieldPlan, default: &Value, record: &mut ParsedRecord<'_>) {
    if field.indexes.is_empty() {
        return;
    }
    match (&field.form, field.kept, default) {
        (_, _, Value::Null) => set_null(field, record),
        (_, Some(Kept { index, as_json: true }), default) => {
            record.values[index] = FieldValue::Json(default.to_string().into());
        }
        (FieldForm::Value(field_type), Some(Kept { index, .. }), default) => {
            record.values[index] = default_of(field_type, default);
        }
        (FieldForm::Object(plan), _, Value::Object(_)) => {
            for below in &plan.fields {
                set_default(below, below.default.as_ref().unwrap_or(&Value::Null), record);
            }
        }
        (FieldForm::Objects(_), _, Value::Array(_)) => {
            for index in &field.indexes {
                record.values[*index] = FieldValue::Items(Vec::new());
            }
        }
        _ => set_null(field, record),
    }
}

fn default_of(field_type: &FieldType, default: &Value) -> FieldValue<'static> {
    match (field_type, default) {
        (FieldType::Json, value) => FieldValue::Json(value.to_string().into()),
        (FieldType::Floats, _) => FieldValue::Floats(Vec::new()),
        (FieldType::Texts, _) => FieldValue::Texts(Vec::new()),
        (_, Value::Bool(value)) => FieldValue::Bool(*value),
        (FieldType::Int, value) => value.as_i64().map_or(FieldValue::Null, FieldValue::Int),
        (_, Value::Number(number)) => number.as_f64().map_or(FieldValue::Null, FieldValue::Float),
        (_, Value::String(text)) => FieldValue::Text(text.clone().into()),
        _ => FieldValue::Null,
    }
}
