//! Which results are wanted: a column compared with a value, on the way through the parser.
//!
//! As in SQL, null is neither equal nor unequal to a value; that it is null can be asked for. A value of another
//! kind is unequal. NaN is unequal to everything.

use std::cmp::Ordering;

use super::plan::{Column, Kind, Origin};

/// How a column is compared.
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
    /// Equal to one of a list.
    In,
    /// Equal to none of a list.
    NotIn,
}

/// What a column is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer; of a time, microseconds since 1970.
    Int(i128),
    /// A number.
    Float(f64),
    /// A string.
    Text(String),
    /// Values to be in, or not in.
    List(Vec<Operand>),
}

/// A condition as it was given.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The column's name.
    pub column: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub operand: Operand,
}

/// A condition that fits its column.
#[derive(Debug)]
pub struct Filter {
    pub origin: Origin,
    pub test: Test,
}

/// What is asked of a value.
#[derive(Debug, Clone)]
pub struct Test {
    pub comparison: Comparison,
    pub operand: Operand,
}

/// The value of a column in a row.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    /// A list, an object.
    Other,
}

impl Condition {
    /// Check that the condition makes sense for its column.
    pub fn on(self, column: &Column) -> Result<Filter, String> {
        let Self { column: name, comparison, operand } = self;
        if column.listed
            || matches!(column.origin, Origin::AllConfig)
            || !is_scalar(&column.kind, &column.origin)
        {
            return Err(format!("{name} holds lists or JSON, which a condition does not compare"));
        }
        let fits = |operand: &Operand| match (operand, &column.kind) {
            (Operand::Null, _) => matches!(
                comparison,
                Comparison::Equal | Comparison::NotEqual | Comparison::In | Comparison::NotIn
            ),
            (Operand::List(_), _) => false,
            _ if matches!(column.origin, Origin::Config(_)) => true,
            (Operand::Bool(_), kind) => *kind == Kind::Bool,
            (Operand::Int(_), kind) => matches!(kind, Kind::Int | Kind::Float | Kind::Time),
            (Operand::Float(_), kind) => matches!(kind, Kind::Int | Kind::Float),
            (Operand::Text(_), kind) => *kind == Kind::Text,
        };
        let fit = match (comparison, &operand) {
            (Comparison::In | Comparison::NotIn, Operand::List(operands)) => operands.iter().all(fits),
            (Comparison::In | Comparison::NotIn, _) => false,
            (_, operand) => fits(operand),
        };
        if !fit {
            let what = match (comparison, &operand) {
                (Comparison::In | Comparison::NotIn, Operand::List(_)) => "with what is in the list",
                (Comparison::In | Comparison::NotIn, _) => "by 'in' but with a list",
                (_, Operand::Null) => "with None but by == and !=",
                (_, Operand::List(_)) => "with a list but by 'in' and 'not in'",
                _ => "with a value of another kind",
            };
            return Err(format!(
                "{name} cannot be compared {what}: it holds {}",
                holds(&column.kind, column)
            ));
        }
        Ok(Filter { origin: column.origin.clone(), test: Test { comparison, operand } })
    }
}

fn is_scalar(kind: &Kind, origin: &Origin) -> bool {
    matches!(origin, Origin::Config(_))
        || matches!(kind, Kind::Bool | Kind::Int | Kind::Float | Kind::Text | Kind::Time)
}

fn holds(kind: &Kind, column: &Column) -> &'static str {
    match kind {
        _ if matches!(column.origin, Origin::Config(_)) => "JSON values",
        Kind::Bool => "true or false",
        Kind::Int | Kind::Float => "numbers",
        Kind::Time => "times",
        _ => "strings",
    }
}

impl Test {
    /// Whether it is a number that is asked for.
    pub fn is_about_numbers(&self) -> bool {
        let is_number = |operand: &Operand| matches!(operand, Operand::Int(_) | Operand::Float(_));
        match &self.operand {
            Operand::List(operands) => operands.iter().any(is_number),
            operand => is_number(operand),
        }
    }

    /// Whether a row with this value is wanted.
    pub fn holds(&self, cell: Cell<'_>) -> bool {
        match (self.comparison, &self.operand) {
            (Comparison::In, Operand::List(operands)) => operands.iter().any(|operand| equal(cell, operand)),
            (Comparison::NotIn, Operand::List(operands)) => {
                let may_be = !matches!(cell, Cell::Null);
                may_be && !operands.iter().any(|operand| equal(cell, operand))
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

/// An integer against a float, exactly: a float that the integer is rounded to may still differ from it.
fn compare_mixed(integer: i128, float: f64) -> Option<Ordering> {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "and what is lost is looked at"
    )]
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
    fn null_is_neither_equal_nor_unequal_to_a_value() {
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
    fn integers_and_floats_compare_exactly() {
        let large = (1_i128 << 53) + 1;
        assert!(holds(Cell::Int(large), Comparison::Greater, Operand::Float(9_007_199_254_740_992.0)));
        assert!(holds(Cell::Float(9_007_199_254_740_992.0), Comparison::Less, Operand::Int(large)));
        assert!(holds(Cell::Int(2), Comparison::Equal, Operand::Float(2.0)));
        assert!(holds(Cell::Float(f64::NAN), Comparison::NotEqual, Operand::Int(2)));
        assert!(!holds(Cell::Float(f64::NAN), Comparison::LessOrEqual, Operand::Float(f64::INFINITY)));
    }

    #[test]
    fn values_of_different_kinds_are_unequal_and_not_ordered() {
        assert!(holds(Cell::Text("8"), Comparison::NotEqual, Operand::Int(8)));
        assert!(holds(Cell::Other, Comparison::NotIn, Operand::List(vec![Operand::Int(8)])));
        assert!(!holds(Cell::Text("8"), Comparison::Greater, Operand::Int(7)));
    }
}
