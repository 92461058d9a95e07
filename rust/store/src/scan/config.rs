//! The configurations of a chunk of results: each key is a column, and a key with an object stands for its keys.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, new_null_array};

use super::json_type::JsonColumn;
use super::keys::{ConfigKeys, ConfigTypes, name_of};
use crate::json::text::{check_escapes, fail, members};

/// Maximum number of keys that become columns.
pub(super) const MAX_KEYS: usize = 10_000;
/// Maximum nesting of objects in a configuration.
const MAX_DEPTH: usize = 256;

/// The columns of the configurations of a chunk.
#[derive(Debug)]
pub(super) struct ConfigColumns {
    keys: Arc<ConfigKeys>,
    types: Option<Arc<ConfigTypes>>,
    nodes: Vec<KeyNode>,
    /// The paths of the found keys.
    paths: Vec<Vec<String>>,
    /// The columns of the requested keys, then of the found keys.
    columns: Vec<JsonColumn>,
    overflowed: bool,
    /// A new key does not become a column.
    is_frozen: bool,
}

/// A key in the tree of keys.
#[derive(Debug, Default)]
struct KeyNode {
    below: HashMap<Box<str>, usize>,
    requested: Option<usize>,
    found: Option<usize>,
}

/// The values of one configuration: the indexes of their columns, and their JSON texts.
pub(super) type ConfigValues<'de> = Vec<(usize, &'de str)>;

impl ConfigColumns {
    /// Begin a chunk. Known types fix the columns; otherwise each key that occurs becomes a column.
    pub fn new(keys: &Arc<ConfigKeys>, types: Option<&Arc<ConfigTypes>>) -> Self {
        let mut configs = Self {
            keys: keys.clone(),
            types: types.cloned(),
            nodes: vec![KeyNode::default()],
            paths: Vec::new(),
            columns: Vec::new(),
            overflowed: false,
            is_frozen: false,
        };
        for path in &keys.paths {
            let column = configs.add_column();
            configs.node_of(path).requested = Some(column);
        }
        for (path, _) in types.iter().flat_map(|types| &types.found) {
            let column = configs.add_column();
            configs.paths.push(path.clone());
            configs.node_of(path).found = Some(column);
        }
        configs
    }

    fn add_column(&mut self) -> usize {
        self.columns.push(JsonColumn::default());
        self.columns.len() - 1
    }

    fn node_of(&mut self, path: &[String]) -> &mut KeyNode {
        let mut node = 0;
        for key in path {
            node = match self.nodes[node].below.get(key.as_str()) {
                Some(below) => *below,
                None => self.add_node(node, key),
            };
        }
        &mut self.nodes[node]
    }

    fn add_node(&mut self, above: usize, key: &str) -> usize {
        let node = self.nodes.len();
        self.nodes.push(KeyNode::default());
        self.nodes[above].below.insert(key.into(), node);
        node
    }

    /// Return the columns of the requested keys.
    pub fn requested(&self) -> &[JsonColumn] {
        &self.columns[..self.keys.paths.len()]
    }

    /// Return the paths and columns of the found keys.
    pub fn found(&self) -> impl Iterator<Item = (&Vec<String>, &JsonColumn)> {
        self.paths.iter().zip(&self.columns[self.keys.paths.len()..])
    }

    /// Return whether a key was left out because there are too many.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Parse a configuration and append its values.
    pub fn read<'de>(
        &mut self,
        text: &'de str,
        values: &mut ConfigValues<'de>,
    ) -> Result<(), serde_json::Error> {
        check_escapes(text)?;
        self.read_object(0, text, &mut Vec::new(), values)
    }

    /// Parse a configuration, and return the values of the requested keys; no key becomes a column.
    pub fn look<'de>(&mut self, text: &'de str) -> Result<ConfigValues<'de>, serde_json::Error> {
        let mut values = Vec::new();
        let is_frozen = std::mem::replace(&mut self.is_frozen, true);
        let read = self.read(text, &mut values);
        self.is_frozen = is_frozen;
        read.map(|()| values)
    }

    fn read_object<'de>(
        &mut self,
        above: usize,
        text: &'de str,
        path: &mut Vec<String>,
        values: &mut ConfigValues<'de>,
    ) -> Result<(), serde_json::Error> {
        if path.len() > MAX_DEPTH {
            return Err(fail(format!("effective_config is nested more than {MAX_DEPTH} levels deep")));
        }
        for (key, value) in members(text, "an object in effective_config")? {
            let node = match self.nodes[above].below.get(&*key) {
                Some(node) => *node,
                None if self.grows() => self.add_node(above, &key),
                None => {
                    self.overflowed |= self.keys.all && self.types.is_none() && !self.is_frozen;
                    continue;
                }
            };
            path.push(key.into_owned());
            if let Some(column) = self.nodes[node].requested {
                values.push((column, value));
            }
            let is_object = value.starts_with('{') && !is_empty_object(value);
            if is_object {
                self.read_object(node, value, path, values)?;
            } else if let Some(column) = self.nodes[node].found {
                values.push((column, value));
            } else if self.grows() {
                let column = self.add_column();
                self.paths.push(path.clone());
                self.nodes[node].found = Some(column);
                values.push((column, value));
            }
            path.pop();
        }
        Ok(())
    }

    /// Return whether a new key becomes a column.
    fn grows(&self) -> bool {
        self.keys.all && self.types.is_none() && !self.is_frozen && self.paths.len() <= MAX_KEYS
    }

    /// Return the reason why parsed values do not fit the known types.
    pub fn misfit(&self, values: &[(usize, &str)]) -> Option<String> {
        if self.types.is_none() && self.keys.declared.is_empty() {
            return None;
        }
        let requested = self.keys.paths.len();
        let path_of = |column: usize| match column.checked_sub(requested) {
            None => self.keys.paths.get(column),
            Some(found) => self.paths.get(found),
        };
        let known = |column: usize| match (&self.types, column.checked_sub(requested)) {
            (None, _) => self.keys.declared_type(path_of(column)?),
            (Some(types), None) => types.requested.get(column).copied(),
            (Some(types), Some(found)) => types.found.get(found).map(|(_, types)| *types),
        };
        let (column, value) = values.iter().find(|(column, value)| {
            *value != "null" && known(*column).is_some_and(|types| !types.admits(value))
        })?;
        let path = path_of(*column)?;
        let expected = match self.keys.declared_type(path) {
            Some(_) => "the type that was given for it; give another type, or none",
            None => "the values when the scan first read the tree; scan again",
        };
        let (name, value) = (name_of(path), excerpt(value));
        Some(format!("effective_config.{name} is {value}, which does not fit {expected}"))
    }

    /// Add the values of a row.
    pub fn add(&mut self, row: usize, values: &[(usize, &str)]) {
        for (column, value) in values {
            if let Some(column) = self.columns.get_mut(*column) {
                column.push(row, value);
            }
        }
    }

    /// Return the approximate bytes in memory.
    pub fn size(&self) -> usize {
        self.columns.iter().map(JsonColumn::size).sum()
    }

    /// Build the arrays of the requested and of the found keys, in the order of the types.
    pub fn arrays(&self, types: &ConfigTypes, rows: usize) -> (Vec<ArrayRef>, Vec<ArrayRef>) {
        let requested = self.requested().iter().zip(&types.requested);
        let requested = requested.map(|(column, types)| column.array(types.column_type(), rows));
        let columns: HashMap<&[String], &JsonColumn> =
            self.found().map(|(path, column)| (path.as_slice(), column)).collect();
        let found = types.found.iter().map(|(path, types)| match columns.get(path.as_slice()) {
            Some(column) => column.array(types.column_type(), rows),
            None => new_null_array(&types.column_type().data_type(), rows),
        });
        (requested.collect(), found.collect())
    }
}

fn is_empty_object(text: &str) -> bool {
    text.bytes().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(b'}')
}

/// Return the beginning of a value, for an error.
fn excerpt(value: &str) -> Cow<'_, str> {
    const LONGEST: usize = 40;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &value[..end]).into(),
        None => value.into(),
    }
}
