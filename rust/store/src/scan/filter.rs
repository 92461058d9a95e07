//! Predicate pushdown: conditions on columns, evaluated while records are parsed.
//!
//! `==` selects the rows that show a value and `!=` all others, null included: NaN equals NaN, and null equals null. A
//! value of another kind is unequal. The order compares numbers with numbers, texts with texts and times with times;
//! null and NaN have no order.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::column::{Column, ColumnSource};
use super::error::PlanError;
use super::json_type::{float_of, is_not_finite};
use super::kinds::Kinds;
use super::operand::{ABSENT, Operand, is_null, meanings, of_field, span};
use super::schema::FieldType;
use super::value::FieldValue;
use crate::json::text::{items, text_of};

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// Equal to an item of a list.
    In,
    /// Not equal to any item of a list.
    NotIn,
    /// A text, or a text of a list, contains the operand; the case of letters does not count.
    Contains,
}

impl Comparison {
    fn takes_list(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }

    fn is_equality(self) -> bool {
        self.takes_list() || matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// A condition on a column.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The column's name.
    pub column: String,
    /// The operator.
    pub comparison: Comparison,
    /// The right side.
    pub operand: Operand,
}

/// A condition that was checked against its column.
#[derive(Debug)]
pub(super) struct Filter {
    pub column: String,
    pub source: ColumnSource,
    /// The test, for the likeliest meaning of a typed operand.
    pub test: Test,
    /// The typed text, if the values of the column decide its meaning.
    pub typed: Option<String>,
}

/// A comparison with an operand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Test {
    pub comparison: Comparison,
    pub operand: Operand,
}

/// The value of a column in a row.
#[derive(Debug, Clone)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// A non-finite float, by its name: a number and a text.
    NotFinite(f64, &'a str),
    Text(Cow<'a, str>),
    /// The JSON text of a list or an object.
    Json(&'a str),
    /// A list.
    List(Vec<Cell<'a>>),
    Other,
}

impl Condition {
    /// Check that the column can be compared with the operand.
    pub(super) fn check(self, column: &Column) -> Result<Filter, PlanError> {
        let is_key = matches!(column.source, ColumnSource::ConfigKey(_));
        let (test, typed) = if is_key {
            self.check_key(column)?
        } else {
            (self.check_field(column)?, self.typed_null(column))
        };
        Ok(Filter { column: column.shown().to_owned(), source: column.source.clone(), test, typed })
    }

    fn check_key(&self, column: &Column) -> Result<(Test, Option<String>), PlanError> {
        let Self { comparison, operand, .. } = self;
        let test_of = |operand| Test { comparison: *comparison, operand };
        let Operand::Typed(text) = operand else {
            self.check_form(column, "JSON values")?;
            return Ok((test_of(operand.clone()), None));
        };
        if *comparison == Comparison::Contains {
            return Ok((test_of(Operand::Text(text.clone())), None));
        }
        let first = if comparison.is_equality() && is_null(text) {
            Operand::Null
        } else {
            meanings(text).swap_remove(0)
        };
        Ok((test_of(first), Some(text.clone()).filter(|text| text != ABSENT)))
    }

    fn check_field(&self, column: &Column) -> Result<Test, PlanError> {
        let Self { comparison, operand, .. } = self;
        let holds_texts =
            matches!((&column.field_type, column.listed), (FieldType::Text, _) | (FieldType::Texts, false));
        if *comparison == Comparison::Contains {
            let (Operand::Text(text) | Operand::Typed(text)) = operand else {
                return Err(self.misfit(column, "strings"));
            };
            if !holds_texts {
                return Err(PlanError::NotText(column.shown().to_owned()));
            }
            return Ok(Test { comparison: *comparison, operand: Operand::Text(text.clone()) });
        }
        let is_list = column.listed || matches!(column.field_type, FieldType::Texts | FieldType::Floats);
        let typed_list = match operand {
            Operand::Typed(text) if is_list => meanings(text).into_iter().next(),
            _ => None,
        };
        let operand = typed_list.as_ref().unwrap_or(operand);
        let holds = match column.field_type {
            _ if is_list => "lists",
            FieldType::Bool => "true or false",
            FieldType::Int | FieldType::Float => "numbers",
            FieldType::Time => "times",
            FieldType::Text => "strings",
            _ => {
                return Err(PlanError::NotScalar { column: column.shown().to_owned(), is_searchable: false });
            }
        };
        if is_list
            && !matches!((comparison, operand), (Comparison::Equal | Comparison::NotEqual, Operand::List(_)))
        {
            return Err(PlanError::NotScalar {
                column: column.shown().to_owned(),
                is_searchable: holds_texts,
            });
        }
        self.check_form(column, holds)?;
        let operand = match operand {
            Operand::List(operands) => {
                let each = operands.iter().map(|operand| self.convert(column, operand, is_list, holds));
                Operand::List(each.collect::<Result<_, _>>()?)
            }
            operand => self.convert(column, operand, false, holds)?,
        };
        Ok(Test { comparison: *comparison, operand })
    }

    /// Return an operand, or an item of a list of them, as a value of the column's type.
    fn convert(
        &self,
        column: &Column,
        operand: &Operand,
        is_item: bool,
        holds: &'static str,
    ) -> Result<Operand, PlanError> {
        let is_instant = matches!(column.source, ColumnSource::Instant(_) | ColumnSource::SavedAt);
        let field_type = &column.field_type;
        let fits = match (operand, field_type) {
            (Operand::Typed(text), FieldType::Text)
                if is_null(text) && !(column.nullable && self.comparison.is_equality()) =>
            {
                return Ok(Operand::Text(text.clone()));
            }
            (Operand::Typed(text), _) => {
                let operand = of_field(column.shown(), field_type, is_instant, text)?;
                if operand != Operand::Null || self.comparison.is_equality() {
                    return Ok(operand);
                }
                false
            }
            (Operand::Text(text), FieldType::Time) => return span(column.shown(), text, is_instant, false),
            (Operand::Null, _) => self.comparison.is_equality(),
            (Operand::List(_) | Operand::Object(_), _) => false,
            (Operand::Bool(_), field_type) => *field_type == FieldType::Bool,
            (Operand::Int(_), field_type) => {
                matches!(field_type, FieldType::Int | FieldType::Float | FieldType::Floats | FieldType::Time)
            }
            (Operand::Float(_), field_type) => {
                matches!(field_type, FieldType::Int | FieldType::Float | FieldType::Floats)
            }
            (Operand::Text(_), field_type) => {
                *field_type == FieldType::Text || (is_item && *field_type == FieldType::Texts)
            }
            (Operand::Span(..), field_type) => *field_type == FieldType::Time,
        };
        if fits { Ok(operand.clone()) } else { Err(self.misfit(column, holds)) }
    }

    /// Check that a list is on the right of `in`, and nothing but a value on the right of an order.
    fn check_form(&self, column: &Column, holds: &'static str) -> Result<(), PlanError> {
        let Self { comparison, operand, .. } = self;
        let is_list = matches!(operand, Operand::List(_) | Operand::Object(_));
        let is_right = match comparison {
            Comparison::In | Comparison::NotIn => is_list,
            Comparison::Equal | Comparison::NotEqual => {
                !is_list || holds == "lists" || matches!(column.source, ColumnSource::ConfigKey(_))
            }
            Comparison::Contains => matches!(operand, Operand::Text(_)),
            _ => !is_list && *operand != Operand::Null,
        };
        if is_right { Ok(()) } else { Err(self.misfit(column, holds)) }
    }

    fn misfit(&self, column: &Column, holds: &'static str) -> PlanError {
        let operand = match (self.comparison, &self.operand) {
            (Comparison::In | Comparison::NotIn, Operand::List(_)) => "with the items of this list",
            (Comparison::In | Comparison::NotIn, _) => "by 'in' except with a list",
            (Comparison::Contains, _) => "by '~' except with a text",
            (_, Operand::Null) => "with None except by == and !=",
            (_, Operand::Typed(text)) if is_null(text) => "with None except by == and !=",
            (_, Operand::List(_)) => "with a list except by 'in' and 'not in'",
            _ => "with a value of this type",
        };
        PlanError::Incomparable { column: column.shown().to_owned(), operand, holds }
    }

    /// Return a typed text that stands for null, unless a row of this column shows it.
    fn typed_null(&self, column: &Column) -> Option<String> {
        match &self.operand {
            Operand::Typed(text)
                if is_null(text)
                    && text != ABSENT
                    && column.nullable
                    && column.field_type == FieldType::Text
                    && self.comparison.is_equality() =>
            {
                Some(text.clone())
            }
            _ => None,
        }
    }
}

impl Filter {
    /// Return whether further values cannot change the test, nor show that its operand does not fit.
    pub fn is_settled(&self, kinds: Kinds, is_shown: bool) -> bool {
        let is_key = matches!(self.source, ColumnSource::ConfigKey(_));
        match (&self.typed, &self.test) {
            (Some(_), Test { operand: Operand::Null, .. }) => is_shown,
            (_, Test { comparison: Comparison::Contains, .. }) => {
                !is_key || kinds.has(Kinds::TEXT.and(Kinds::TEXTS))
            }
            (_, Test { comparison, operand: Operand::List(operands) }) if comparison.takes_list() => {
                !is_key || operands.iter().all(|operand| is_sure(operand, kinds))
            }
            (_, Test { operand, .. }) => !is_key || is_sure(operand, kinds),
        }
    }

    /// Return the test that the values of the column leave.
    ///
    /// # Errors
    ///
    /// The column has values, but none of the operand's kind.
    pub fn decide(&self, kinds: Kinds, is_shown: bool) -> Result<Test, PlanError> {
        let comparison = self.test.comparison;
        let test_of = |operand: Operand| Test { comparison, operand };
        match &self.typed {
            Some(text) if self.test.operand == Operand::Null => {
                Ok(if is_shown { test_of(Operand::Text(text.clone())) } else { self.test.clone() })
            }
            _ if !matches!(self.source, ColumnSource::ConfigKey(_)) || kinds.is_null() => {
                Ok(self.test.clone())
            }
            Some(text) => {
                let fitting = meanings(text).into_iter().find(|operand| operand.is_meant(kinds));
                fitting.map(test_of).ok_or_else(|| self.misfit(kinds, &Operand::Typed(text.clone())))
            }
            None if comparison == Comparison::Contains => {
                let is_text = kinds.has(Kinds::TEXT.and(Kinds::TEXTS).and(Kinds::NOT_FINITE));
                if is_text { Ok(self.test.clone()) } else { Err(PlanError::NotText(self.column.clone())) }
            }
            None => {
                let operands = match &self.test.operand {
                    Operand::List(operands) if comparison.takes_list() => operands,
                    operand => std::slice::from_ref(operand),
                };
                match operands.iter().find(|operand| !operand.fits(kinds)) {
                    None => Ok(self.test.clone()),
                    Some(operand) => Err(self.misfit(kinds, operand)),
                }
            }
        }
    }

    fn misfit(&self, kinds: Kinds, operand: &Operand) -> PlanError {
        PlanError::Misfit { column: self.column.clone(), holds: kinds.words(), got: operand.words() }
    }
}

/// Return whether an operand fits, however many values follow.
fn is_sure(operand: &Operand, kinds: Kinds) -> bool {
    match operand {
        Operand::Text(_) => kinds.has(Kinds::TEXT),
        Operand::Int(_) | Operand::Float(_) => kinds.has(Kinds::NUMBER),
        operand => operand.fits(kinds),
    }
}

impl<'a> Cell<'a> {
    /// Return the value of a JSON text.
    pub fn of_json(text: &'a str) -> Self {
        match text.as_bytes().first() {
            None | Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') if is_not_finite(text) => {
                float_of(text).map_or(Self::Null, |value| Self::NotFinite(value, &text[1..text.len() - 1]))
            }
            Some(b'"') => Self::Text(text_of(text)),
            Some(b'[' | b'{') => Self::Json(text),
            Some(_) => match (text.parse(), text.parse()) {
                (Ok(integer), _) => Self::Int(integer),
                (_, Ok(float)) => Self::Float(float),
                _ => Self::Other,
            },
        }
    }

    /// Return the value of a field.
    pub fn of_field(value: &'a FieldValue<'_>) -> Self {
        match value {
            FieldValue::Null => Self::Null,
            FieldValue::Bool(value) => Self::Bool(*value),
            FieldValue::Int(value) | FieldValue::Time(value, _) => Self::Int((*value).into()),
            FieldValue::Float(value) => Self::Float(*value),
            FieldValue::Text(text) => Self::Text(Cow::Borrowed(text)),
            FieldValue::Floats(items) => Self::List(items.iter().map(|item| Self::Float(*item)).collect()),
            FieldValue::Texts(items) => {
                Self::List(items.iter().map(|item| Self::Text(Cow::Borrowed(item))).collect())
            }
            FieldValue::Items(items) => Self::List(items.iter().map(Self::of_field).collect()),
            FieldValue::Json(_) => Self::Other,
        }
    }
}

impl Test {
    /// Return whether a value satisfies the comparison.
    pub fn holds(&self, cell: &Cell<'_>) -> bool {
        let is_in = |operands: &[Operand]| operands.iter().any(|operand| equal(cell, operand));
        match (self.comparison, &self.operand) {
            (Comparison::In, Operand::List(operands)) => is_in(operands),
            (Comparison::NotIn, Operand::List(operands)) => !is_in(operands),
            (Comparison::Equal, operand) => equal(cell, operand),
            (Comparison::NotEqual, operand) => !equal(cell, operand),
            (Comparison::Contains, Operand::Text(part)) => contains(cell, &folded(part)),
            (comparison, operand) => match (comparison, compare(cell, operand)) {
                (Comparison::Less, Some(Ordering::Less)) | (Comparison::Greater, Some(Ordering::Greater)) => {
                    true
                }
                (Comparison::LessOrEqual, Some(order)) => order != Ordering::Greater,
                (Comparison::GreaterOrEqual, Some(order)) => order != Ordering::Less,
                _ => false,
            },
        }
    }
}

fn equal(cell: &Cell<'_>, operand: &Operand) -> bool {
    match (cell, operand) {
        (Cell::Null, Operand::Null) => true,
        (Cell::Float(left) | Cell::NotFinite(left, _), Operand::Float(right)) if left.is_nan() => {
            right.is_nan()
        }
        (Cell::Json(text), Operand::List(operands)) => {
            text.starts_with('[') && all_equal(items(text).map(Cell::of_json), operands)
        }
        (Cell::Json(text), Operand::Object(operands)) => {
            let members: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(text).ok();
            members.is_some_and(|members| {
                members.len() == operands.len()
                    && members.iter().zip(operands).all(|((key, value), (name, operand))| {
                        key == name && equal(&Cell::of_json(value.get()), operand)
                    })
            })
        }
        (Cell::List(cells), Operand::List(operands)) => all_equal(cells.iter().cloned(), operands),
        _ => compare(cell, operand) == Some(Ordering::Equal),
    }
}

fn all_equal<'a>(mut cells: impl Iterator<Item = Cell<'a>>, operands: &[Operand]) -> bool {
    let mut operands = operands.iter();
    loop {
        match (cells.next(), operands.next()) {
            (None, None) => return true,
            (Some(cell), Some(operand)) if equal(&cell, operand) => {}
            _ => return false,
        }
    }
}

/// Return whether a text, or a text of a list, contains a folded text.
fn contains(cell: &Cell<'_>, part: &str) -> bool {
    match cell {
        Cell::Text(text) => folded(text).contains(part),
        Cell::NotFinite(_, name) => folded(name).contains(part),
        Cell::Json(text) => {
            text.starts_with('[') && items(text).any(|item| contains(&Cell::of_json(item), part))
        }
        Cell::List(cells) => cells.iter().any(|cell| contains(cell, part)),
        _ => false,
    }
}

/// Return a text without the case of its letters.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Compare a value with an operand of the same kind; `None` if they have no order.
fn compare(cell: &Cell<'_>, operand: &Operand) -> Option<Ordering> {
    match (cell, operand) {
        (Cell::Bool(left), Operand::Bool(right)) => Some(left.cmp(right)),
        (Cell::Text(left), Operand::Text(right)) => Some((**left).cmp(right)),
        (Cell::NotFinite(_, left), Operand::Text(right)) => Some((*left).cmp(right)),
        (Cell::Int(left), Operand::Int(right)) => Some(left.cmp(right)),
        (Cell::Float(left) | Cell::NotFinite(left, _), Operand::Float(right)) => left.partial_cmp(right),
        (Cell::Int(left), Operand::Float(right)) => compare_mixed(*left, *right),
        (Cell::Float(left) | Cell::NotFinite(left, _), Operand::Int(right)) => {
            compare_mixed(*right, *left).map(Ordering::reverse)
        }
        (Cell::Int(left), Operand::Span(from, to)) => Some(if left < from {
            Ordering::Less
        } else if left < to {
            Ordering::Equal
        } else {
            Ordering::Greater
        }),
        _ => None,
    }
}

/// Compare an integer with a float exactly: the float that the integer rounds to may still differ from it.
fn compare_mixed(integer: i128, float: f64) -> Option<Ordering> {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the loss is checked")]
    match (integer as f64).partial_cmp(&float) {
        Some(Ordering::Equal) => Some(integer.cmp(&(float as i128))),
        order => order,
    }
}

#[cfg(test)]
mod tests;
