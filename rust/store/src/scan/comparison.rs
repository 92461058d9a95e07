//! Comparisons of the values of rows with an operand.
//!
//! `==` selects the rows that show a value and `!=` all others, null included: NaN equals NaN, and null equals null. A
//! value of another kind is unequal. The order compares numbers with numbers, texts with texts and times with times;
//! null and NaN have no order. The negation of an order selects all other rows, as `!=` does.
//!
//! A record holds a non-finite float by its name. It is a number, or a text in a column of texts without numbers
//! ([`Kinds::names_are_texts`](super::kinds::Kinds::names_are_texts)); its name and its number equal it in any column.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::json_type::{float_of, is_not_finite};
use super::operand::Operand;
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
    /// All rows that are not less: also null, NaN, and values of another kind.
    NotLess,
    /// All rows that are not less or equal.
    NotLessOrEqual,
    /// All rows that are not greater.
    NotGreater,
    /// All rows that are not greater or equal.
    NotGreaterOrEqual,
    /// Equal to an item of a list.
    In,
    /// Not equal to any item of a list.
    NotIn,
    /// A text, or a text of a list, contains the operand; the case of letters does not count.
    Contains,
}

impl Comparison {
    pub(super) fn takes_list(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }

    /// Return the comparison whose negation this is.
    fn negated(self) -> Option<Self> {
        match self {
            Self::NotLess => Some(Self::Less),
            Self::NotLessOrEqual => Some(Self::LessOrEqual),
            Self::NotGreater => Some(Self::Greater),
            Self::NotGreaterOrEqual => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }

    /// Return whether values in this order satisfy `<`, `<=`, `>` or `>=`.
    fn admits(self, order: Option<Ordering>) -> bool {
        match (self, order) {
            (Self::Less, Some(Ordering::Less)) | (Self::Greater, Some(Ordering::Greater)) => true,
            (Self::LessOrEqual, Some(order)) => order != Ordering::Greater,
            (Self::GreaterOrEqual, Some(order)) => order != Ordering::Less,
            _ => false,
        }
    }

    pub(super) fn is_equality(self) -> bool {
        self.takes_list() || matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// A comparison with an operand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Test {
    pub comparison: Comparison,
    pub operand: Operand,
    /// The names of non-finite floats are texts for the order and for `~`, and not numbers.
    pub names_are_texts: bool,
}

/// The value of a column in a row.
#[derive(Debug, Clone)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// A non-finite float, and its name.
    NotFinite(f64, &'a str),
    Text(Cow<'a, str>),
    /// The JSON text of a list or an object.
    Json(&'a str),
    /// A list.
    List(Vec<Cell<'a>>),
    Other,
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
    pub fn new(comparison: Comparison, operand: Operand) -> Self {
        Self { comparison, operand, names_are_texts: false }
    }

    /// Return whether a value satisfies the comparison.
    pub fn holds(&self, cell: &Cell<'_>) -> bool {
        let is_in = |operands: &[Operand]| operands.iter().any(|operand| equal(cell, operand));
        match (self.comparison, &self.operand) {
            (Comparison::In, Operand::List(operands)) => is_in(operands),
            (Comparison::NotIn, Operand::List(operands)) => !is_in(operands),
            (Comparison::Equal, operand) => equal(cell, operand),
            (Comparison::NotEqual, operand) => !equal(cell, operand),
            (Comparison::Contains, Operand::Text(part)) => {
                contains(cell, &folded(part), self.names_are_texts)
            }
            (comparison, operand) => {
                let order = self.order(cell, operand);
                comparison.negated().map_or_else(|| comparison.admits(order), |other| !other.admits(order))
            }
        }
    }

    fn order(&self, cell: &Cell<'_>, operand: &Operand) -> Option<Ordering> {
        match (cell, operand) {
            (Cell::NotFinite(_, name), Operand::Text(text)) if self.names_are_texts => {
                Some((*name).cmp(text))
            }
            (Cell::NotFinite(..), _) if self.names_are_texts => None,
            _ => compare(cell, operand),
        }
    }
}

fn equal(cell: &Cell<'_>, operand: &Operand) -> bool {
    match (cell, operand) {
        (Cell::Null, Operand::Null) => true,
        (Cell::Float(left) | Cell::NotFinite(left, _), Operand::Float(right)) if left.is_nan() => {
            right.is_nan()
        }
        (Cell::NotFinite(_, name), Operand::Text(text)) => name == text,
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
fn contains(cell: &Cell<'_>, part: &str, names_are_texts: bool) -> bool {
    match cell {
        Cell::Text(text) => folded(text).contains(part),
        Cell::NotFinite(_, name) => names_are_texts && folded(name).contains(part),
        Cell::Json(text) => {
            text.starts_with('[')
                && items(text).any(|item| contains(&Cell::of_json(item), part, names_are_texts))
        }
        Cell::List(cells) => cells.iter().any(|cell| contains(cell, part, names_are_texts)),
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
        (Cell::Int(left), Operand::Int(right)) => Some(left.cmp(right)),
        (Cell::Float(left) | Cell::NotFinite(left, _), Operand::Float(right)) => left.partial_cmp(right),
        (Cell::Int(left), Operand::Float(right)) => compare_mixed(*left, *right),
        (Cell::Float(left) | Cell::NotFinite(left, _), Operand::Int(right)) => {
            compare_mixed(*right, *left).map(Ordering::reverse)
        }
        // Of texts: `Condition::check` lets no other list be compared with a number.
        (Cell::List(items), Operand::Int(count)) => i128::try_from(items.len()).ok().map(|n| n.cmp(count)),
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
