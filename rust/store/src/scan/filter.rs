//! Predicate pushdown: conditions on columns, evaluated while records are parsed.
//!
//! As in SQL, null is neither equal nor unequal to a value, but a condition may compare with null itself. A value of
//! another type is unequal. NaN is unequal to everything.

use std::cmp::Ordering;

use super::column::{Column, ColumnSource};
use super::error::PlanError;
use super::schema::FieldType;

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
    /// Not null, and not equal to any item of a list.
    NotIn,
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer; for a time, microseconds since 1970.
    Int(i128),
    /// A number.
    Float(f64),
    /// A string.
    Text(String),
    /// The list of [`Comparison::In`] and [`Comparison::NotIn`].
    List(Vec<Operand>),
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
    pub source: ColumnSource,
    pub test: Test,
}

/// A comparison with an operand.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub comparison: Comparison,
    pub operand: Operand,
}

/// The value of a column in a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    /// A list, an object.
    Other,
}

impl Condition {
    /// Check that the column can be compared with the operand.
    pub(super) fn check(self, column: &Column) -> Result<Filter, PlanError> {
        let Self { column: name, comparison, operand } = self;
        let is_key = matches!(column.source, ColumnSource::ConfigKey(_));
        let holds = match column.field_type {
            _ if column.listed => return Err(PlanError::NotScalar(name)),
            _ if is_key => "JSON values",
            FieldType::Bool => "true or false",
            FieldType::Int | FieldType::Float => "numbers",
            FieldType::Time => "times",
            FieldType::Text => "strings",
            _ => return Err(PlanError::NotScalar(name)),
        };
        let fits = |operand: &Operand| match (operand, &column.field_type) {
            (Operand::Null, _) => matches!(
                comparison,
                Comparison::Equal | Comparison::NotEqual | Comparison::In | Comparison::NotIn
            ),
            (Operand::List(_), _) => false,
            _ if is_key => true,
            (Operand::Bool(_), field_type) => *field_type == FieldType::Bool,
            (Operand::Int(_), field_type) => {
                matches!(field_type, FieldType::Int | FieldType::Float | FieldType::Time)
            }
            (Operand::Float(_), field_type) => matches!(field_type, FieldType::Int | FieldType::Float),
            (Operand::Text(_), field_type) => *field_type == FieldType::Text,
        };
        let fit = match (comparison, &operand) {
            (Comparison::In | Comparison::NotIn, Operand::List(operands)) => operands.iter().all(fits),
            (Comparison::In | Comparison::NotIn, _) => false,
            (_, operand) => fits(operand),
        };
        if !fit {
            let operand = match (comparison, &operand) {
                (Comparison::In | Comparison::NotIn, Operand::List(_)) => "with the items of this list",
                (Comparison::In | Comparison::NotIn, _) => "by 'in' except with a list",
                (_, Operand::Null) => "with None except by == and !=",
                (_, Operand::List(_)) => "with a list except by 'in' and 'not in'",
                _ => "with a value of this type",
            };
            return Err(PlanError::Incomparable { column: name, operand, holds });
        }
        Ok(Filter { source: column.source.clone(), test: Test { comparison, operand } })
    }
}

impl Test {
    /// Return whether the operand is a number, or a list with one.
    pub fn has_number(&self) -> bool {
        let is_number = |operand: &Operand| matches!(operand, Operand::Int(_) | Operand::Float(_));
        match &self.operand {
            Operand::List(operands) => operands.iter().any(is_number),
            operand => is_number(operand),
        }
    }

    /// Return whether a value satisfies the comparison.
    pub fn holds(&self, cell: Cell<'_>) -> bool {
        match (self.comparison, &self.operand) {
            (Comparison::In, Operand::List(operands)) => operands.iter().any(|operand| equal(cell, operand)),
            (Comparison::NotIn, Operand::List(operands)) => {
                !matches!(cell, Cell::Null) && !operands.iter().any(|operand| equal(cell, operand))
            }
            (Comparison::NotEqual, Operand::Null) => !matches!(cell, Cell::Null),
            (Comparison::Equal, operand) => equal(cell, operand),
            (Comparison::NotEqual, operand) => !matches!(cell, Cell::Null) && !equal(cell, operand),
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

fn equal(cell: Cell<'_>, operand: &Operand) -> bool {
    matches!((cell, operand), (Cell::Null, Operand::Null)) || compare(cell, operand) == Some(Ordering::Equal)
}

fn compare(cell: Cell<'_>, operand: &Operand) -> Option<Ordering> {
    match (cell, operand) {
        (Cell::Bool(left), Operand::Bool(right)) => Some(left.cmp(right)),
        (Cell::Text(left), Operand::Text(right)) => Some(left.cmp(right.as_str())),
        (Cell::Int(left), Operand::Int(right)) => Some(left.cmp(right)),
        (Cell::Float(left), Operand::Float(right)) => left.partial_cmp(right),
        (Cell::Int(left), Operand::Float(right)) => compare_mixed(left, *right),
        (Cell::Float(left), Operand::Int(right)) => compare_mixed(*right, left).map(Ordering::reverse),
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
mod tests {
    use super::*;

    fn holds(cell: Cell<'_>, comparison: Comparison, operand: Operand) -> bool {
        Test { comparison, operand }.holds(cell)
    }

    #[test]
    fn compare_null_is_neither_equal_nor_unequal() {
        for comparison in
            [Comparison::Equal, Comparison::NotEqual, Comparison::Less, Comparison::GreaterOrEqual]
        {
            assert!(!holds(Cell::Null, comparison, Operand::Int(1)));
        }
        assert!(holds(Cell::Null, Comparison::Equal, Operand::Null));
        assert!(holds(Cell::Int(1), Comparison::NotEqual, Operand::Null));
        assert!(!holds(Cell::Null, Comparison::NotIn, Operand::List(vec![Operand::Int(1)])));
        assert!(holds(Cell::Null, Comparison::In, Operand::List(vec![Operand::Null])));
    }

    #[test]
    fn compare_integer_with_float_is_exact() {
        let large = (1_i128 << 53) + 1;
        assert!(holds(Cell::Int(large), Comparison::Greater, Operand::Float(9_007_199_254_740_992.0)));
        assert!(holds(Cell::Float(9_007_199_254_740_992.0), Comparison::Less, Operand::Int(large)));
        assert!(holds(Cell::Int(2), Comparison::Equal, Operand::Float(2.0)));
        assert!(holds(Cell::Float(f64::NAN), Comparison::NotEqual, Operand::Int(2)));
        assert!(!holds(Cell::Float(f64::NAN), Comparison::LessOrEqual, Operand::Float(f64::INFINITY)));
    }

    #[test]
    fn compare_different_types_is_unequal_and_unordered() {
        assert!(holds(Cell::Text("8"), Comparison::NotEqual, Operand::Int(8)));
        assert!(holds(Cell::Other, Comparison::NotIn, Operand::List(vec![Operand::Int(8)])));
        assert!(!holds(Cell::Text("8"), Comparison::Greater, Operand::Int(7)));
    }
}
