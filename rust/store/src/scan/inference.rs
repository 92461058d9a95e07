//! Schema inference for the configuration: the types of its columns are those of the values in a tree.

use std::collections::{HashMap, HashSet};

use super::config::{ConfigColumns, MAX_KEYS};
use super::error::PlanError;
use super::json_type::JsonTypes;
use super::keys::{ConfigKeys, ConfigTypes};

/// Schema inference: the JSON types that occur in each column, over chunks in order.
#[derive(Debug, Default)]
pub(super) struct SchemaInference {
    requested: Vec<JsonTypes>,
    found: Vec<(Vec<String>, JsonTypes)>,
    indexes: HashMap<Vec<String>, usize>,
    overflowed: bool,
}

impl SchemaInference {
    pub fn add(&mut self, chunk: &ConfigColumns) {
        self.overflowed |= chunk.overflowed();
        self.requested.resize(chunk.requested().len(), JsonTypes::default());
        for (types, column) in self.requested.iter_mut().zip(chunk.requested()) {
            *types = types.and(column.types);
        }
        for (path, column) in chunk.found().filter(|(_, column)| column.occurs) {
            let index = match self.indexes.get(path) {
                Some(index) => *index,
                // One key too many suffices for the error.
                None if self.found.len() > MAX_KEYS => continue,
                None => {
                    self.indexes.insert(path.clone(), self.found.len());
                    self.found.push((path.clone(), JsonTypes::default()));
                    self.found.len() - 1
                }
            };
            if let Some((_, types)) = self.found.get_mut(index) {
                *types = types.and(column.types);
            }
        }
    }

    /// Decide the types.
    ///
    /// # Errors
    ///
    /// [`PlanError::TooManyKeys`].
    pub fn decide(mut self, keys: &ConfigKeys) -> Result<ConfigTypes, PlanError> {
        self.requested.resize(keys.paths.len(), JsonTypes::default());
        if self.overflowed || self.found.len() > MAX_KEYS {
            return Err(PlanError::TooManyKeys { limit: MAX_KEYS });
        }
        // A key that is null in some records and an object in others stands for the keys of the object.
        let parents: HashSet<&[String]> = self
            .found
            .iter()
            .flat_map(|(path, _)| (1..path.len()).filter_map(|length| path.get(..length)))
            .collect();
        let is_column = |(path, types): &&(Vec<String>, JsonTypes)| {
            *types != JsonTypes::default() || !parents.contains(path.as_slice())
        };
        let mut found: Vec<_> = self.found.iter().filter(is_column).cloned().collect();
        let declared = |path: &[String], types: &mut JsonTypes| {
            if let Some(declared) = keys.declared_type(path) {
                *types = declared;
            }
        };
        for (path, types) in keys.paths.iter().zip(&mut self.requested) {
            declared(path, types);
        }
        for path in keys.optional.iter().filter(|_| keys.all) {
            let is_there = parents.contains(path.as_slice()) || found.iter().any(|(other, _)| other == path);
            if !is_there {
                found.push((path.clone(), JsonTypes::default()));
            }
        }
        for (path, types) in &mut found {
            declared(path, types);
        }
        Ok(ConfigTypes { requested: self.requested, found })
    }
}
