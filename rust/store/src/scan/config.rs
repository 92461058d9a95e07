//! The configuration: keys that no schema knows become columns, their types those of their values.
//!
//! A key that holds an object stands for the keys in it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, new_null_array};
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::kinds::{Kinds, Untyped};
use crate::json::text::{Key, check_escapes, fail, without_place};

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

/// The columns that the configurations of a tree become: the wanted ones, then those that occur.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Types {
    pub wanted: Vec<Kinds>,
    pub found: Vec<(Vec<String>, Kinds)>,
}

impl Types {
    /// Of columns that are all the texts of their values, whatever occurs.
    pub fn texts(keys: &Keys) -> Self {
        Self { wanted: vec![Kinds::any(); keys.wanted.len()], found: Vec::new() }
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
    overflowed: bool,
}

impl Survey {
    pub fn add(&mut self, chunk: &Configs) {
        self.overflowed |= chunk.overflowed;
        self.wanted.resize(chunk.wanted, Kinds::default());
        for (kinds, column) in self.wanted.iter_mut().zip(&chunk.columns) {
            *kinds = kinds.and(column.kinds);
        }
        for (path, column) in chunk.found().filter(|(_, column)| column.occurs) {
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
        if self.overflowed || self.found.len() > MOST {
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

/// The configurations of the results of a chunk.
#[derive(Debug)]
pub struct Configs {
    keys: Arc<Keys>,
    types: Option<Arc<Types>>,
    places: Vec<Place>,
    paths: Vec<Vec<String>>,
    columns: Vec<Untyped>,
    wanted: usize,
    records: usize,
    /// A key was left out, since there are too many.
    overflowed: bool,
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
            overflowed: false,
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
        self.columns.push(Untyped::default());
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

    fn found(&self) -> impl Iterator<Item = (&Vec<String>, &Untyped)> {
        self.paths.iter().zip(self.columns.iter().skip(self.wanted))
    }

    /// Read a configuration; its values are put in `values`, by their columns.
    pub fn read<'de>(
        &mut self,
        text: &'de str,
        values: &mut Vec<(usize, &'de str)>,
    ) -> Result<(), serde_json::Error> {
        check_escapes(text)?;
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
                None => {
                    self.overflowed |= self.keys.all && self.types.is_none();
                    continue;
                }
            };
            if self.places[place].seen == self.records {
                return Err(fail(format!("effective_config has the key {key:?} twice")));
            }
            self.places[place].seen = self.records;
            path.push(key.into_owned());
            if let Some(column) = self.places[place].wanted {
                values.push((column, value));
            }
            let is_object = value.starts_with('{') && !is_empty_object(value);
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
            if let Some(column) = self.columns.get_mut(*column) {
                column.push(row, value);
            }
        }
    }

    /// Bytes in memory, roughly.
    pub fn size(&self) -> usize {
        self.columns.iter().map(Untyped::size).sum()
    }

    /// The arrays of the columns, in the order of the types.
    pub fn arrays(&self, types: &Types, rows: usize) -> (Vec<ArrayRef>, Vec<ArrayRef>) {
        let wanted =
            self.columns.iter().zip(&types.wanted).map(|(column, kinds)| column.array(kinds.decide(), rows));
        let places: HashMap<&[String], &Untyped> =
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
