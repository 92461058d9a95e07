//! The configuration: keys that no schema knows become columns, their types those of their values.
//!
//! A key that holds an object stands for the keys in it. A value is kept as its JSON text until the types of all
//! values of its column are known.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, new_null_array};
use arrow_schema::{DataType, Field};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Key, fail, minify, text_of, without_place};

/// Keys that may become columns; a tree with more is not a table.
const MOST: usize = 10_000;
/// Levels of objects in a configuration.
const DEEPEST: usize = 256;

/// The keys that are wanted.
#[derive(Debug, Default)]
pub struct Keys {
    all: bool,
    wanted: Vec<Vec<String>>,
}

impl Keys {
    pub fn want_all(&mut self) {
        self.all = true;
    }

    /// Want one key, by its name in a table without the prefix; returns its column.
    pub fn want(&mut self, name: &str) -> Result<usize, String> {
        let segments = segments(name).ok_or_else(|| format!("{name:?} is not the name of a key"))?;
        Ok(self.wanted.iter().position(|other| *other == segments).unwrap_or_else(|| {
            self.wanted.push(segments);
            self.wanted.len() - 1
        }))
    }

    pub fn are_none(&self) -> bool {
        !self.all && self.wanted.is_empty()
    }
}

/// The name of a key in a table: a dot stands between levels, and a key that has one itself is quoted.
fn join(above: &str, key: &str) -> String {
    let plain = !key.is_empty() && !key.contains(['.', '"']);
    let key = if plain { Cow::from(key) } else { serde_json::Value::from(key).to_string().into() };
    if above.is_empty() { key.into_owned() } else { format!("{above}.{key}") }
}

fn segments(name: &str) -> Option<Vec<String>> {
    let (mut segments, mut rest) = (Vec::new(), name);
    loop {
        if rest.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            segments.push(values.next()?.ok()?);
            rest = rest.get(values.byte_offset()..)?;
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            segments.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None => return rest.is_empty().then_some(segments),
        }
    }
}

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

    #[must_use]
    fn and(self, other: Self) -> Self {
        Self {
            scalars: self.scalars | other.scalars,
            items: self.items | other.items,
            lists: self.lists || other.lists,
        }
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
    fn take(self, text: &str) -> bool {
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

fn is_not_finite(text: &str) -> bool {
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

/// The columns that the configurations of a tree become: the wanted ones, then those that occur.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Types {
    pub wanted: Vec<Kinds>,
    pub found: Vec<(Vec<String>, Kinds)>,
}

impl Types {
    /// Of columns that are all the texts of their values, whatever occurs.
    pub fn texts(keys: &Keys) -> Self {
        let any = Kinds { scalars: Kinds::OTHER, ..Kinds::default() };
        Self { wanted: vec![any; keys.wanted.len()], found: Vec::new() }
    }

    /// The name of a column that was found.
    pub fn name(segments: &[String]) -> String {
        segments.iter().fold(String::new(), |above, key| join(&above, key))
    }
}

/// The kinds of values of each column, over chunks that come one after the other.
#[derive(Debug, Default)]
pub struct Survey {
    wanted: Vec<Kinds>,
    found: Vec<(Vec<String>, Kinds)>,
    places: HashMap<Vec<String>, usize>,
}

impl Survey {
    pub fn add(&mut self, chunk: &Configs) {
        self.wanted.resize(chunk.wanted, Kinds::default());
        for (kinds, column) in self.wanted.iter_mut().zip(&chunk.columns) {
            *kinds = kinds.and(column.kinds);
        }
        for (path, column) in chunk.found() {
            let place = match self.places.get(path) {
                Some(place) => *place,
                // One too many is enough to tell.
                None if self.found.len() > MOST => continue,
                None => {
                    self.places.insert(path.clone(), self.found.len());
                    self.found.push((path.clone(), Kinds::default()));
                    self.found.len() - 1
                }
            };
            if let Some((_, kinds)) = self.found.get_mut(place) {
                *kinds = kinds.and(column.kinds);
            }
        }
    }

    /// Decide the types.
    ///
    /// # Errors
    ///
    /// What is wrong with the tree.
    pub fn decide(mut self, keys: &Keys) -> Result<Types, String> {
        self.wanted.resize(keys.wanted.len(), Kinds::default());
        if self.found.len() > MOST {
            return Err(format!(
                "the configurations of these results have more than {MOST} different keys; name the columns that \
                 you want"
            ));
        }
        // A key that is null here and holds an object there is the keys of that object.
        let parents: HashSet<&[String]> = self
            .found
            .iter()
            .flat_map(|(path, _)| (1..path.len()).filter_map(|length| path.get(..length)))
            .collect();
        let is_column = |(path, kinds): &&(Vec<String>, Kinds)| {
            *kinds != Kinds::default() || !parents.contains(path.as_slice())
        };
        Ok(Types { found: self.found.iter().filter(is_column).cloned().collect(), wanted: self.wanted })
    }
}

/// A place in a configuration.
#[derive(Debug, Default)]
struct Place {
    below: HashMap<Box<str>, usize>,
    wanted: Option<usize>,
    found: Option<usize>,
    /// The last record that it was seen in.
    seen: usize,
}

#[derive(Debug, Default)]
struct KeyColumn {
    kinds: Kinds,
    rows: Vec<u32>,
    ends: Vec<usize>,
    text: String,
}

/// The configurations of the results of a chunk.
#[derive(Debug)]
pub struct Configs {
    keys: Arc<Keys>,
    types: Option<Arc<Types>>,
    places: Vec<Place>,
    paths: Vec<Vec<String>>,
    columns: Vec<KeyColumn>,
    wanted: usize,
    records: usize,
}

impl Configs {
    /// With types, nothing is found that is not in them.
    pub fn new(keys: &Arc<Keys>, types: Option<&Arc<Types>>) -> Self {
        let mut configs = Self {
            keys: keys.clone(),
            types: types.cloned(),
            places: vec![Place::default()],
            paths: Vec::new(),
            columns: Vec::new(),
            wanted: keys.wanted.len(),
            records: 0,
        };
        for path in &keys.wanted {
            let column = configs.add_column();
            configs.place_of(path).wanted = Some(column);
        }
        if let Some(types) = types {
            for (path, _) in &types.found {
                let column = configs.add_column();
                configs.paths.push(path.clone());
                configs.place_of(path).found = Some(column);
            }
        }
        configs
    }

    fn add_column(&mut self) -> usize {
        self.columns.push(KeyColumn::default());
        self.columns.len() - 1
    }

    fn place_of(&mut self, path: &[String]) -> &mut Place {
        let mut at = 0;
        for key in path {
            at = match self.places[at].below.get(key.as_str()) {
                Some(below) => *below,
                None => self.add_place(at, key),
            };
        }
        &mut self.places[at]
    }

    fn add_place(&mut self, above: usize, key: &str) -> usize {
        let new = self.places.len();
        self.places.push(Place::default());
        self.places[above].below.insert(key.into(), new);
        new
    }

    fn found(&self) -> impl Iterator<Item = (&Vec<String>, &KeyColumn)> {
        self.paths.iter().zip(self.columns.iter().skip(self.wanted))
    }

    /// Read a configuration; its values are put in `values`, by their columns.
    pub fn read<'de>(
        &mut self,
        text: &'de str,
        values: &mut Vec<(usize, &'de str)>,
    ) -> Result<(), serde_json::Error> {
        self.records += 1;
        let mut path = Vec::new();
        self.read_object(0, text, &mut path, values)
    }

    fn read_object<'de>(
        &mut self,
        at: usize,
        text: &'de str,
        path: &mut Vec<String>,
        values: &mut Vec<(usize, &'de str)>,
    ) -> Result<(), serde_json::Error> {
        if path.len() > DEEPEST {
            return Err(fail(format!("effective_config is nested more than {DEEPEST} levels deep")));
        }
        for (key, value) in serde_json::from_str::<Members<'de>>(text).map_err(without_place)?.0 {
            let place = match self.places[at].below.get(&*key) {
                Some(place) => *place,
                None if self.grows() => self.add_place(at, &key),
                None => continue,
            };
            if self.places[place].seen == self.records {
                return Err(fail(format!("effective_config has the key {key:?} twice")));
            }
            self.places[place].seen = self.records;
            path.push(key.into_owned());
            if let Some(column) = self.places[place].wanted {
                values.push((column, value));
            }
            let is_object = value.starts_with('{') && value != "{}" && !is_empty_object(value);
            if is_object {
                self.read_object(place, value, path, values)?;
            } else if let Some(column) = self.places[place].found {
                values.push((column, value));
            } else if self.grows() {
                let column = self.add_column();
                self.paths.push(path.clone());
                self.places[place].found = Some(column);
                values.push((column, value));
            }
            path.pop();
        }
        Ok(())
    }

    /// Whether what occurs becomes a column.
    fn grows(&self) -> bool {
        self.keys.all && self.types.is_none() && self.paths.len() <= MOST
    }

    /// Why values that were read cannot be added, where types were decided before.
    pub fn misfit(&self, values: &[(usize, &str)]) -> Option<String> {
        let types = self.types.as_ref()?;
        let decided = |column: usize| match column.checked_sub(self.wanted) {
            None => types.wanted.get(column).copied(),
            Some(found) => types.found.get(found).map(|(_, decided)| *decided),
        };
        let (column, value) = values.iter().find(|(column, value)| {
            *value != "null" && decided(*column).is_some_and(|kinds| !kinds.take(value))
        })?;
        let path = self.keys.wanted.get(*column).or_else(|| self.paths.get(column - self.wanted))?;
        Some(format!(
            "effective_config.{} is {}, which does not fit what the other results had when the scan first looked; \
             scan anew",
            Types::name(path),
            excerpt(value)
        ))
    }

    /// Add values that were read, for a row.
    pub fn add(&mut self, row: usize, values: &[(usize, &str)]) {
        for (column, value) in values {
            if *value == "null" {
                continue;
            }
            let Some(column) = self.columns.get_mut(*column) else { continue };
            column.kinds = column.kinds.and(Kinds::of(value));
            column.rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            column.text.push_str(value);
            column.ends.push(column.text.len());
        }
    }

    /// Bytes in memory, roughly.
    pub fn size(&self) -> usize {
        self.columns.iter().map(|column| column.text.len() + 16 * column.rows.len()).sum()
    }

    /// The arrays of the columns, in the order of the types.
    pub fn arrays(&self, types: &Types, rows: usize) -> (Vec<ArrayRef>, Vec<ArrayRef>) {
        let wanted =
            self.columns.iter().zip(&types.wanted).map(|(column, kinds)| column.array(kinds.decide(), rows));
        let places: HashMap<&[String], &KeyColumn> =
            self.found().map(|(path, column)| (path.as_slice(), column)).collect();
        let found = types.found.iter().map(|(path, kinds)| match places.get(path.as_slice()) {
            Some(column) => column.array(kinds.decide(), rows),
            None => new_null_array(&kinds.decide().data_type(), rows),
        });
        (wanted.collect(), found.collect())
    }
}

fn is_empty_object(text: &str) -> bool {
    text.bytes().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(b'}')
}

/// The beginning of a value, for an error.
fn excerpt(value: &str) -> Cow<'_, str> {
    const LONGEST: usize = 40;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &value[..end]).into(),
        None => value.into(),
    }
}

impl KeyColumn {
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

    fn array(&self, kind: Type, rows: usize) -> ArrayRef {
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

    fn lists<B: arrow_array::builder::ArrayBuilder>(
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

/// The texts of the members of an object.
struct Members<'de>(Vec<(Cow<'de, str>, &'de str)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object in effective_config")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    members.push((key, map.next_value::<&'de RawValue>()?.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
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
