//! Values that no schema knows: which kinds occur, the type that holds them all, and the array that they become.
//!
//! A value is kept as its JSON text until the type of its column is known.

use std::fmt;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder, UInt64Builder,
};
use arrow_schema::{DataType, Field};
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::text::{minify, text_of};

/// Which kinds of values occur, as sets of bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Of values that are no lists.
    scalars: u16,
    /// Of the items of lists.
    items: u16,
    lists: bool,
}

impl Kinds {
    const BOOL: u16 = 1;
    /// An integer of 64 bits with a sign.
    const INT: u16 = 1 << 1;
    /// A larger one, of 64 bits without.
    const UNSIGNED: u16 = 1 << 2;
    const NEGATIVE: u16 = 1 << 3;
    /// An integer that no float is equal to.
    const INEXACT: u16 = 1 << 4;
    const FLOAT: u16 = 1 << 5;
    const TEXT: u16 = 1 << 6;
    /// A float that is not finite, by its name.
    const NOT_FINITE: u16 = 1 << 7;
    /// An object, a list in a list, an integer that no column holds.
    const OTHER: u16 = 1 << 8;

    fn of(text: &str) -> Self {
        if text.starts_with('[') {
            let items = items(text).into_iter().filter(|item| *item != "null");
            Self { items: items.fold(0, |kinds, item| kinds | kind(item)), lists: true, scalars: 0 }
        } else {
            Self { scalars: kind(text), ..Self::default() }
        }
    }

    /// The kinds of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            scalars: self.scalars | other.scalars,
            items: self.items | other.items,
            lists: self.lists || other.lists,
        }
    }

    /// Whatever occurs, which JSON text alone holds.
    pub fn any() -> Self {
        Self { scalars: Self::OTHER, ..Self::default() }
    }

    /// The type that holds all of them.
    pub fn decide(self) -> Type {
        match (self.lists, self.scalars) {
            (false, scalars) => decide(scalars),
            (true, 0) => match decide(self.items) {
                Type::Int => Type::Ints,
                Type::Float => Type::Floats,
                Type::Text => Type::Texts,
                _ => Type::Json,
            },
            (true, _) => Type::Json,
        }
    }

    /// Whether a value fits the type that was decided before it was seen.
    pub fn take(self, text: &str) -> bool {
        let decided = self.decide();
        decided == Type::Json || self.and(Self::of(text)).decide() == decided
    }
}

/// The kind of one value that is no list, as a set of bits.
fn kind(text: &str) -> u16 {
    match text.as_bytes().first() {
        Some(b't' | b'f') => Kinds::BOOL,
        Some(b'"') if is_not_finite(text) => Kinds::NOT_FINITE,
        Some(b'"') => Kinds::TEXT,
        Some(b'{' | b'[') | None => Kinds::OTHER,
        _ if text.contains(['.', 'e', 'E']) => Kinds::FLOAT,
        _ => kind_of_integer(text),
    }
}

fn kind_of_integer(text: &str) -> u16 {
    let sign = if text.starts_with('-') { Kinds::NEGATIVE } else { 0 };
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "whether any is lost")]
    let exact = |integer: i128| if (integer as f64) as i128 == integer { 0 } else { Kinds::INEXACT };
    match (text.parse::<i64>(), text.parse::<u64>()) {
        (Ok(number), _) => sign | Kinds::INT | exact(number.into()),
        (_, Ok(number)) => Kinds::UNSIGNED | exact(number.into()),
        _ => Kinds::OTHER,
    }
}

/// The type that holds all kinds of a set.
fn decide(kinds: u16) -> Type {
    let only = |allowed: u16| kinds & !allowed == 0;
    let integers = Kinds::INT | Kinds::NEGATIVE | Kinds::UNSIGNED;
    if kinds == 0 {
        Type::Json
    } else if only(Kinds::BOOL) {
        Type::Bool
    } else if only(Kinds::INT | Kinds::NEGATIVE | Kinds::INEXACT) {
        Type::Int
    } else if only(Kinds::INT | Kinds::UNSIGNED | Kinds::INEXACT) {
        Type::Unsigned
    } else if only(Kinds::TEXT | Kinds::NOT_FINITE) {
        Type::Text
    } else if only(integers | Kinds::FLOAT | Kinds::NOT_FINITE) {
        Type::Float
    } else {
        Type::Json
    }
}

pub fn is_not_finite(text: &str) -> bool {
    matches!(text, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"")
}

/// The type of a column of values from the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int,
    Unsigned,
    Float,
    Text,
    Ints,
    Floats,
    Texts,
    /// The text of each value: they differ in kind, or are objects, or integers of more than 64 bits.
    Json,
}

impl Type {
    pub fn data_type(self) -> DataType {
        let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Float => DataType::Float64,
            Self::Text | Self::Json => DataType::Utf8,
            Self::Ints => list(DataType::Int64),
            Self::Floats => list(DataType::Float64),
            Self::Texts => list(DataType::Utf8),
        }
    }
}

/// Values of some rows, and which kinds occur among them.
#[derive(Debug, Default)]
pub struct Untyped {
    pub kinds: Kinds,
    /// Some row has it, if only as null.
    pub occurs: bool,
    rows: Vec<u32>,
    ends: Vec<usize>,
    text: String,
}

impl Untyped {
    /// Add a row's value; rows come in order, and null is no value.
    pub fn push(&mut self, row: usize, text: &str) {
        self.occurs = true;
        if text == "null" {
            return;
        }
        self.kinds = self.kinds.and(Kinds::of(text));
        self.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    /// Bytes in memory, roughly.
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

    /// The array of all rows, of a type that holds what occurs.
    pub fn array(&self, kind: Type, rows: usize) -> ArrayRef {
        match kind {
            Type::Bool => {
                let mut builder = BooleanBuilder::with_capacity(rows);
                self.values(rows).for_each(|value| builder.append_option(value.map(|text| text == "true")));
                Arc::new(builder.finish())
            }
            Type::Int => {
                let mut builder = Int64Builder::with_capacity(rows);
                self.values(rows)
                    .for_each(|value| builder.append_option(value.and_then(|text| text.parse().ok())));
                Arc::new(builder.finish())
            }
            Type::Unsigned => {
                let mut builder = UInt64Builder::with_capacity(rows);
                self.values(rows)
                    .for_each(|value| builder.append_option(value.and_then(|text| text.parse().ok())));
                Arc::new(builder.finish())
            }
            Type::Float => {
                let mut builder = Float64Builder::with_capacity(rows);
                self.values(rows).for_each(|value| builder.append_option(value.and_then(float_of)));
                Arc::new(builder.finish())
            }
            Type::Text => {
                let mut builder = StringBuilder::with_capacity(rows, self.text.len());
                self.values(rows).for_each(|value| builder.append_option(value.map(text_of)));
                Arc::new(builder.finish())
            }
            Type::Json => {
                let mut builder = StringBuilder::with_capacity(rows, self.text.len());
                self.values(rows).for_each(|value| builder.append_option(value.map(minify)));
                Arc::new(builder.finish())
            }
            Type::Ints => {
                let mut builder = ListBuilder::new(Int64Builder::new());
                self.lists(rows, &mut builder, |items, text| {
                    items.append_option(text.and_then(|text| text.parse().ok()));
                })
            }
            Type::Floats => {
                let mut builder = ListBuilder::new(Float64Builder::new());
                self.lists(rows, &mut builder, |items, text| items.append_option(text.and_then(float_of)))
            }
            Type::Texts => {
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

/// A number, or one that is not finite by its name.
pub fn float_of(text: &str) -> Option<f64> {
    match text {
        "\"NaN\"" => Some(f64::NAN),
        "\"Infinity\"" => Some(f64::INFINITY),
        "\"-Infinity\"" => Some(f64::NEG_INFINITY),
        number => number.parse().ok(),
    }
}

fn items(text: &str) -> Vec<&str> {
    serde_json::from_str::<Items<'_>>(text).map(|items| items.0).unwrap_or_default()
}

/// The texts of the items of a list.
struct Items<'de>(Vec<&'de str>);

impl<'de> serde::Deserialize<'de> for Items<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element::<&'de RawValue>()? {
                    items.push(item.get());
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(List)
    }
}
