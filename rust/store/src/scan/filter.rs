//! Conditions on columns, checked against the columns and the values under the keys of the configuration.

use super::column::{Column, ColumnSource};
use super::comparison::{Comparison, Test};
use super::error::PlanError;
use super::kinds::Kinds;
use super::operand::{ABSENT, Operand, is_null, meaning, meanings, of_field, searched, span};
use super::schema::FieldType;

const NOT_NULL: &str = "with None except by == and !=";
const NOT_IN_ORDER: &str = "with a list or an object except by ==, !=, 'in' and 'not in'";

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
        let Operand::Typed(text) = operand else {
            self.check_form(column, "JSON values")?;
            return Ok((Test::new(*comparison, operand.clone()), None));
        };
        if *comparison == Comparison::Contains {
            return Ok((Test::new(*comparison, searched(text)), None));
        }
        let first = if is_null(text) && (comparison.is_equality() || text == ABSENT) {
            Operand::Null
        } else {
            meanings(text).swap_remove(0)
        };
        if first == Operand::Null && !comparison.is_equality() {
            return Err(self.misfit(column, "JSON values"));
        }
        Ok((Test::new(*comparison, first), Some(text.clone()).filter(|text| text != ABSENT)))
    }

    fn check_field(&self, column: &Column) -> Result<Test, PlanError> {
        let Self { comparison, operand, .. } = self;
        let holds_texts =
            matches!((&column.field_type, column.listed), (FieldType::Text, _) | (FieldType::Texts, false));
        if *comparison == Comparison::Contains {
            let operand = match operand {
                Operand::Text(text) => Operand::Text(text.clone()),
                Operand::Typed(text) => searched(text),
                _ => return Err(self.misfit(column, "strings")),
            };
            if !holds_texts {
                return Err(PlanError::NotText(column.shown().to_owned()));
            }
            return Ok(Test::new(*comparison, operand));
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
        if column.field_type == FieldType::Texts
            && !column.listed
            && let Some(count) = count_of(*comparison, operand)
        {
            return Ok(Test::new(*comparison, count));
        }
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
        Ok(Test::new(*comparison, operand))
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
            Comparison::In | Comparison::NotIn => matches!(operand, Operand::List(_)),
            Comparison::Equal | Comparison::NotEqual => {
                !is_list || holds == "lists" || matches!(column.source, ColumnSource::ConfigKey(_))
            }
            Comparison::Contains => matches!(operand, Operand::Text(_)),
            _ => !is_list && *operand != Operand::Null,
        };
        if is_right { Ok(()) } else { Err(self.misfit(column, holds)) }
    }

    fn misfit(&self, column: &Column, holds: &'static str) -> PlanError {
        let is_key = matches!(column.source, ColumnSource::ConfigKey(_));
        let operand = match (self.comparison, &self.operand) {
            (Comparison::In | Comparison::NotIn, Operand::List(_)) => "with the items of this list",
            (Comparison::In | Comparison::NotIn, _) => "by 'in' except with a list",
            (Comparison::Contains, _) => "by '~' except with a text",
            (_, Operand::Null) => NOT_NULL,
            (_, Operand::Typed(text)) if is_null(text) => NOT_NULL,
            (_, Operand::List(_) | Operand::Object(_)) if is_key => NOT_IN_ORDER,
            (_, Operand::List(_)) => "with a list except by 'in' and 'not in'",
            _ => "with a value of this type",
        };
        PlanError::Incomparable { column: column.shown().to_owned(), operand, holds: holds.to_owned() }
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

/// Return an operand that compares with the number of texts, as tables print a list of them.
fn count_of(comparison: Comparison, operand: &Operand) -> Option<Operand> {
    match operand {
        Operand::Int(_) if !comparison.takes_list() => Some(operand.clone()),
        Operand::Text(text) if text == ABSENT => Some(Operand::Int(0)),
        Operand::List(operands) if comparison.takes_list() && !operands.is_empty() => {
            operands.iter().all(|operand| matches!(operand, Operand::Int(_))).then(|| operand.clone())
        }
        _ => None,
    }
}

impl Filter {
    /// Return whether further values cannot change the test, nor show that its operand does not fit.
    pub fn is_settled(&self, kinds: Kinds, is_shown: bool) -> bool {
        let is_key = matches!(self.source, ColumnSource::ConfigKey(_));
        let Test { comparison, operand, .. } = &self.test;
        match operand {
            Operand::Null if self.typed.is_some() => {
                if is_key {
                    !kinds.are_texts()
                } else {
                    is_shown
                }
            }
            _ if !is_key => true,
            // Numbers decide that the names of non-finite floats are no texts.
            Operand::Text(_) if !comparison.is_equality() => {
                kinds.has(Kinds::NUMBER) && kinds.has(Kinds::TEXT)
            }
            Operand::List(operands) if comparison.takes_list() => {
                operands.iter().all(|operand| is_sure(operand, kinds))
            }
            operand => is_sure(operand, kinds),
        }
    }

    /// Return the test that the values of the column leave.
    ///
    /// # Errors
    ///
    /// The column has values, but none of the operand's kind.
    pub fn decide(&self, kinds: Kinds, is_shown: bool) -> Result<Test, PlanError> {
        let Test { comparison, operand, .. } = &self.test;
        let is_key = matches!(self.source, ColumnSource::ConfigKey(_));
        if let (Some(text), Operand::Null) = (&self.typed, operand) {
            // A column of other kinds shows such a text in quotes, so that the bare word is null.
            let is_text = is_shown && (!is_key || kinds.are_texts());
            return Ok(if is_text {
                Test::new(*comparison, Operand::Text(text.clone()))
            } else {
                self.test.clone()
            });
        }
        if !is_key || kinds.is_null() {
            return Ok(self.test.clone());
        }
        let meant = self.typed.as_deref().map(|text| meaning(text, kinds));
        let operand = meant.as_ref().unwrap_or(operand);
        if *comparison == Comparison::Contains {
            if !kinds.with_decided_names().has(Kinds::TEXT.and(Kinds::TEXTS)) {
                return Err(PlanError::NotText(self.column.clone()));
            }
        } else {
            let operands = match operand {
                Operand::List(operands) if comparison.takes_list() => operands,
                operand => std::slice::from_ref(operand),
            };
            let fits = |operand: &&Operand| operand.fits(kinds, comparison.is_equality());
            if let Some(operand) = operands.iter().find(|operand| !fits(operand)) {
                return Err(self.misfit(kinds, operand));
            }
            self.check_order(kinds, operand)?;
        }
        let mut test = Test::new(*comparison, operand.clone());
        test.names_are_texts = !comparison.is_equality() && kinds.names_are_texts();
        Ok(test)
    }

    /// Check that an operand of an order is a single value.
    fn check_order(&self, kinds: Kinds, operand: &Operand) -> Result<(), PlanError> {
        let is_null = self.typed.as_deref().is_some_and(is_null) && !kinds.are_texts();
        let words = match operand {
            _ if self.test.comparison.is_equality() => return Ok(()),
            _ if is_null => NOT_NULL,
            Operand::List(_) | Operand::Object(_) => NOT_IN_ORDER,
            _ => return Ok(()),
        };
        Err(PlanError::Incomparable { column: self.column.clone(), operand: words, holds: kinds.words() })
    }

    fn misfit(&self, kinds: Kinds, operand: &Operand) -> PlanError {
        let got = match &self.typed {
            Some(text) => Operand::Typed(text.clone()).words(),
            None => operand.words(),
        };
        PlanError::Misfit { column: self.column.clone(), holds: kinds.words(), got }
    }
}

/// Return whether an operand fits, however many values follow.
fn is_sure(operand: &Operand, kinds: Kinds) -> bool {
    match operand {
        Operand::Text(_) => kinds.has(Kinds::TEXT),
        Operand::Int(_) | Operand::Float(_) => kinds.has(Kinds::NUMBER),
        operand => operand.fits(kinds, true),
    }
}
