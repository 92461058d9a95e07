//! Inference of the type of a column from the JSON types of its values.
//!
//! A column keeps the JSON texts of its values until its type is known.

use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array};
use arrow_schema::DataType;

use super::column::list_of;
use super::kinds::Kinds;
use crate::json::text::{items, minify, text_of};

/// The JSON types that occur among values, as sets of bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct JsonTypes {
    /// The types of values outside lists.
    scalars: u16,
    /// The types of list items.
    items: u16,
    lists: bool,
}

impl JsonTypes {
    const BOOL: u16 = 1;
    /// A signed 64-bit integer.
    const INT: u16 = 1 << 1;
    /// A larger, unsigned 64-bit integer.
    const UNSIGNED: u16 = 1 << 2;
    const NEGATIVE: u16 = 1 << 3;
    /// An integer that no float equals.
    const INEXACT: u16 = 1 << 4;
    const FLOAT: u16 = 1 << 5;
    const TEXT: u16 = 1 << 6;
    /// The name of a non-finite float.
    const NOT_FINITE: u16 = 1 << 7;
    /// An object, a list within a list, or an integer beyond 64 bits.
    const OTHER: u16 = 1 << 8;

    fn of(text: &str) -> Self {
        if text.starts_with('[') {
            let items = items(text).filter(|item| *item != "null");
            Self { items: items.fold(0, |types, item| types | scalar_type(item)), lists: true, scalars: 0 }
        } else {
            Self { scalars: scalar_type(text), ..Self::default() }
        }
    }

    /// Return the union of two sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            scalars: self.scalars | other.scalars,
            items: self.items | other.items,
            lists: self.lists || other.lists,
        }
    }

    /// Return the set that only JSON text holds.
    pub fn any() -> Self {
        Self { scalars: Self::OTHER, ..Self::default() }
    }

    /// Return the set of the values that a column of a named type holds; `None` for an unknown name.
    pub fn named(name: &str) -> Option<Self> {
        let scalars = |name: &str| {
            Some(match name {
                "bool" => Self::BOOL,
                "int64" => Self::INT | Self::NEGATIVE | Self::INEXACT,
                "uint64" => Self::INT | Self::UNSIGNED | Self::INEXACT,
                "double" | "float64" => Self::INT | Self::NEGATIVE | Self::FLOAT | Self::NOT_FINITE,
                "string" => Self::TEXT,
                _ => return None,
            })
        };
        let item = name.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>'));
        if name == "json" {
            return Some(Self::any());
        }
        match item.map(|item| item.trim_start_matches("item: ")) {
            None => Some(Self { scalars: scalars(name)?, ..Self::default() }),
            Some("bool" | "uint64") => None,
            Some(item) => Some(Self { items: scalars(item)?, lists: true, scalars: 0 }),
        }
    }

    /// Return the kinds of values that may be among these types.
    pub fn kinds(self) -> Kinds {
        let has = |types: u16, scalars: u16, kind: Kinds| {
            if scalars & types != 0 { kind } else { Kinds::default() }
        };
        let number = Self::INT | Self::UNSIGNED | Self::NEGATIVE | Self::INEXACT | Self::FLOAT;
        let kinds = has(Self::BOOL, self.scalars, Kinds::BOOL)
            .and(has(number, self.scalars, Kinds::NUMBER))
            .and(has(Self::NOT_FINITE, self.scalars, Kinds::NOT_FINITE))
            // A column of texts also takes the names of non-finite floats.
            .and(has(Self::TEXT, self.scalars, Kinds::TEXT.and(Kinds::NOT_FINITE)))
            .and(has(
                Self::OTHER,
                self.scalars,
                Kinds::NUMBER.and(Kinds::LIST).and(Kinds::TEXTS).and(Kinds::OBJECT),
            ));
        let list = if self.lists { Kinds::LIST } else { Kinds::default() };
        kinds.and(list).and(has(Self::TEXT, self.items, Kinds::TEXTS))
    }

    pub fn bits(self) -> (u16, u16, bool) {
        (self.scalars, self.items, self.lists)
    }

    pub fn from_bits((scalars, items, lists): (u16, u16, bool)) -> Self {
        Self { scalars, items, lists }
    }

    /// Return the column type that holds all of them.
    pub fn column_type(self) -> ColumnType {
        match (self.lists, self.scalars) {
            (false, scalars) => column_type(scalars),
            (true, 0) => match column_type(self.items) {
                ColumnType::Int => ColumnType::Ints,
                ColumnType::Float => ColumnType::Floats,
                ColumnType::Text => ColumnType::Texts,
                _ => ColumnType::Json,
            },
            (true, _) => ColumnType::Json,
        }
    }

    /// Return whether a value leaves the column type as it is.
    pub fn admits(self, text: &str) -> bool {
        let known = self.column_type();
        known == ColumnType::Json || self.and(Self::of(text)).column_type() == known
    }
}

/// Return the type of a value outside a list, as a set of bits.
fn scalar_type(text: &str) -> u16 {
    match text.as_bytes().first() {
        Some(b't' | b'f') => JsonTypes::BOOL,
        Some(b'"') if is_not_finite(text) => JsonTypes::NOT_FINITE,
        Some(b'"') => JsonTypes::TEXT,
        Some(b'{' | b'[') | None => JsonTypes::OTHER,
        _ if text.contains(['.', 'e', 'E']) => JsonTypes::FLOAT,
        _ => integer_type(text),
    }
}

fn integer_type(text: &str) -> u16 {
    let sign = if text.starts_with('-') { JsonTypes::NEGATIVE } else { 0 };
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the loss is checked")]
    let exact = |integer: i128| if (integer as f64) as i128 == integer { 0 } else { JsonTypes::INEXACT };
    match (text.parse::<i64>(), text.parse::<u64>()) {
        (Ok(number), _) => sign | JsonTypes::INT | exact(number.into()),
        (_, Ok(number)) => JsonTypes::UNSIGNED | exact(number.into()),
        _ => JsonTypes::OTHER,
    }
}

/// Return the column type that holds all types of a set.
fn column_type(types: u16) -> ColumnType {
    let only = |allowed: u16| types & !allowed == 0;
    let integers = JsonTypes::INT | JsonTypes::NEGATIVE | JsonTypes::UNSIGNED;
    if types == 0 {
        ColumnType::Json
    } else if only(JsonTypes::BOOL) {
        ColumnType::Bool
    } else if only(JsonTypes::INT | JsonTypes::NEGATIVE | JsonTypes::INEXACT) {
        ColumnType::Int
    } else if only(JsonTypes::INT | JsonTypes::UNSIGNED | JsonTypes::INEXACT) {
        ColumnType::Unsigned
    } else if only(JsonTypes::TEXT | JsonTypes::NOT_FINITE) {
        ColumnType::Text
    } else if only(integers | JsonTypes::FLOAT | JsonTypes::NOT_FINITE) {
        ColumnType::Float
    } else {
        ColumnType::Json
    }
}

/// Return whether a JSON text is the name of a non-finite float.
pub(super) fn is_not_finite(text: &str) -> bool {
    matches!(text, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"")
}

/// The type of a column of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Bool,
    Int,
    Unsigned,
    Float,
    Text,
    Ints,
    Floats,
    Texts,
    /// The JSON text of each value: they differ in type, are objects, or are integers beyond 64 bits.
    Json,
}

impl ColumnType {
    pub fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Float => DataType::Float64,
            Self::Text | Self::Json => DataType::Utf8,
            Self::Ints => list_of(DataType::Int64),
            Self::Floats => list_of(DataType::Float64),
            Self::Texts => list_of(DataType::Utf8),
        }
    }
}

/// The JSON texts of a column, and the types that occur among them.
#[derive(Debug, Default)]
pub(super) struct JsonColumn {
    pub types: JsonTypes,
    /// A row has a value, or null.
    pub occurs: bool,
    rows: Vec<u32>,
    ends: Vec<usize>,
    text: String,
}

impl JsonColumn {
    /// Append a row's value; rows come in order, and null is not a value.
    pub fn push(&mut self, row: usize, text: &str) {
        self.occurs = true;
        if text == "null" {
            return;
        }
        self.types = self.types.and(JsonTypes::of(text));
        self.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Return the approximate bytes in memory.
    pub fn size(&self) -> usize {
        self.text.len() + 16 * self.rows.len()
    }

    fn values(&self, rows: usize) -> impl Iterator<Item = Option<&str>> {
        let mut start = 0;
        let mut present = self.rows.iter().zip(&self.ends).map(move |(row, end)| {
            let text = self.text.get(start..*end).unwrap_or_default();
            start = *end;
            (*row as usize, text)
        });
        let mut next = present.next();
        (0..rows).map(move |row| match next {
            Some((at, text)) if at == row => {
                next = present.next();
                Some(text)
            }
            _ => None,
        })
    }

    /// Build the array of all rows, of a type that holds the values.
    pub fn array(&self, column_type: ColumnType, rows: usize) -> ArrayRef {
        let values = self.values(rows);
        match column_type {
            ColumnType::Bool => {
                Arc::new(values.map(|value| value.map(|text| text == "true")).collect::<BooleanArray>())
            }
            ColumnType::Int => {
                Arc::new(values.map(|value| value?.parse::<i64>().ok()).collect::<Int64Array>())
            }
            ColumnType::Unsigned => {
                Arc::new(values.map(|value| value?.parse::<u64>().ok()).collect::<UInt64Array>())
            }
            ColumnType::Float => Arc::new(values.map(|value| float_of(value?)).collect::<Float64Array>()),
            ColumnType::Text => Arc::new(values.map(|value| value.map(text_of)).collect::<StringArray>()),
            ColumnType::Json => Arc::new(values.map(|value| value.map(minify)).collect::<StringArray>()),
            ColumnType::Ints => {
                let mut builder = ListBuilder::new(Int64Builder::new());
                self.lists(rows, &mut builder, |items, text| {
                    items.append_option(text.and_then(|text| text.parse().ok()));
                })
            }
            ColumnType::Floats => {
                let mut builder = ListBuilder::new(Float64Builder::new());
                self.lists(rows, &mut builder, |items, text| items.append_option(text.and_then(float_of)))
            }
            ColumnType::Texts => {
                let mut builder = ListBuilder::new(StringBuilder::new());
                self.lists(rows, &mut builder, |items, text| items.append_option(text.map(text_of)))
            }
        }
    }

    fn lists<B: ArrayBuilder>(
        &self,
        rows: usize,
        builder: &mut ListBuilder<B>,
        append: impl Fn(&mut B, Option<&str>),
    ) -> ArrayRef {
        for value in self.values(rows) {
            if let Some(text) = value {
                for item in items(text) {
                    append(builder.values(), (item != "null").then_some(item));
                }
            }
            builder.append(value.is_some());
        }
        Arc::new(builder.finish())
    }
}

/// Parse a number, or the name of a non-finite float.
pub(super) fn float_of(text: &str) -> Option<f64> {
    match text {
        "\"NaN\"" => Some(f64::NAN),
        "\"Infinity\"" => Some(f64::INFINITY),
        "\"-Infinity\"" => Some(f64::NEG_INFINITY),
        number => number.parse().ok(),
    }
}
