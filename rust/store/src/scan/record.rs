//! Projection pushdown: a record is checked against its schema, and parsed into the planned values.
//!
//! Every reader decides by this check whether a file is a record: a scan of any columns, `completed`, `verify` and a
//! load. A record as a save writes it costs little more than the comparison of its names with those of the schema.

mod absent;
mod config;
mod single;

use super::plan::{FieldForm, FieldPlan, Kept, ObjectPlan, Plan};
use super::template::{Draft, Memory, Template};
use super::value::FieldValue;
use crate::interrupt::Interrupt;
use crate::json::cursor::{Cursor, Refusal};
use crate::json::text::minify;
use crate::load::{RecordFault, diagnose};
use absent::{set_default, set_null};

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
    memory: Option<&mut Memory>,
    interrupt: Interrupt<'de>,
) -> Result<ParsedRecord<'de>, RecordFault> {
    let reason = match parse(bytes, plan, memory, interrupt) {
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
    mut memory: Option<&mut Memory>,
    interrupt: Interrupt<'de>,
) -> Result<ParsedRecord<'de>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(Refusal::new)?;
    let record = ParsedRecord { values: vec![FieldValue::Null; plan.width], config: None, beyond: None };
    let (template, draft) = memory.as_deref_mut().map_or((None, None), Memory::prepare);
    let mut parser = Parser { cursor: Cursor::new(text, interrupt), record, template, draft, same: 0 };
    if parser.cursor.peek() != b'{' {
        return Err(Refusal::new("expected a JSON object"));
    }
    parser.object(&plan.record, None)?;
    parser.cursor.end()?;
    let Parser { record, draft, same, .. } = parser;
    match (memory, draft) {
        (Some(memory), Some(draft)) => memory.keep(text, draft),
        (Some(memory), None) => memory.note(same, text.len()),
        (None, _) => {}
    }
    Ok(record)
}

struct Parser<'de, 't> {
    cursor: Cursor<'de>,
    record: ParsedRecord<'de>,
    /// An earlier record, whose bytes need no second check.
    template: Option<&'t Template>,
    /// The template that this record will be.
    draft: Option<Draft>,
    /// The bytes that were the same as in the template.
    same: usize,
}

impl<'de> Parser<'de, '_> {
    /// Parse an object, from its brace; `above` is its field, or `None` for the record itself.
    fn object(&mut self, plan: &ObjectPlan, above: Option<&FieldPlan>) -> Result<(), Refusal> {
        self.cursor.literal("{")?;
        // Fields are mostly in the order of the schema.
        let (mut seen, mut next) = (0_u64, 0);
        let known = plan.number.and_then(|number| Some((self.template?, self.template?.places(number))));
        let (mut places, mut is_ordered) = (Vec::new(), true);
        let mut is_open = true;
        while is_open {
            if let Some((template, known)) = known
                && let Some(gap_end) = plan.gap_ends.get(next)
                && *gap_end > next
            {
                let (count, bytes) = template.common(known, next..*gap_end, self.cursor.rest());
                let fields = mask(next..next + count);
                if seen & fields == 0 {
                    seen |= fields;
                    next += count;
                    self.same += bytes;
                    self.cursor.take(bytes);
                    if next == plan.fields.len() {
                        break;
                    }
                }
            }
            if self.draft.is_some() && plan.number.is_some() {
                places.push(place_of(self.cursor.place()));
            }
            let index = match plan.fields.get(next) {
                Some(field) if self.cursor.eat(&field.written) => next,
                _ if seen == 0 && self.cursor.is_closed(b'}') => break,
                _ => self.find(plan, next, above)?,
            };
            let field = &plan.fields[index];
            if seen & (1 << index) != 0 {
                return Err(Refusal::new(format_args!("it has {} twice", field.path)));
            }
            is_ordered &= index == next;
            seen |= 1 << index;
            next = index + 1;
            self.field(field)?;
            is_open = self.cursor.has_next(b'}')?;
        }
        if seen.count_ones() as usize == plan.fields.len() {
            if let (Some(draft), Some(number)) = (&mut self.draft, plan.number)
                && is_ordered
            {
                places.push(place_of(self.cursor.place()));
                draft.note(number, places);
            }
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
            (FieldForm::Value(field_type), _) => match field.kept {
                Some(Kept { index, as_json: false }) => {
                    self.record.values[index] = self.value(field, field_type, first, true)?;
                }
                _ => self.check(field, field_type, first)?,
            },
            (FieldForm::Config, b'{') => {
                // The configuration of the record itself; that of a process has a longer path.
                let is_own = *field.name == *field.path;
                let checked = if is_own { self.config() } else { self.cursor.skip(0) };
                checked.map_err(|reason| reason.within(&field.path))?;
                if is_own {
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

/// Return a place in a record as a template keeps it; a record with larger ones is no template.
fn place_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Return the bits of some fields of an object.
#[inline]
fn mask(fields: std::ops::Range<usize>) -> u64 {
    let below = |end: usize| if end < 64 { (1 << end) - 1 } else { u64::MAX };
    below(fields.end) & !below(fields.start)
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

#[cfg(test)]
mod tests;
