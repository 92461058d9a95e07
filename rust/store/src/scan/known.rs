//! What a scan found in the whole tree, for the scans of its parts: they have the same columns and tests.

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::json_type::{ColumnType, JsonTypes};
use super::keys::{ConfigKeys, ConfigTypes};
use super::kinds::Kinds;

/// The types of the columns of the configuration, and the kinds of values that decide the meanings of operands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// The types of the requested keys.
    pub(super) requested: Vec<(Vec<String>, JsonTypes)>,
    /// The types of the keys that occur.
    pub(super) found: Vec<(Vec<String>, JsonTypes)>,
    /// The kinds of values under the requested keys.
    pub(super) kinds: Vec<(Vec<String>, u16)>,
    /// For each condition: a row shows the typed text itself.
    pub(super) shown: Vec<bool>,
}

impl Known {
    /// Return the text that [`Known::from_json`] takes.
    #[must_use]
    pub fn to_json(&self) -> String {
        let typed = |columns: &[(Vec<String>, JsonTypes)]| -> Vec<Value> {
            columns.iter().map(|(path, types)| json!([path, types.bits()])).collect()
        };
        let kinds: Vec<Value> = self.kinds.iter().map(|(path, bits)| json!([path, bits])).collect();
        json!({
            "requested": typed(&self.requested),
            "found": typed(&self.found),
            "kinds": kinds,
            "shown": self.shown,
        })
        .to_string()
    }

    /// Parse the text of [`Known::to_json`]; `None` for any other.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let typed = |name: &str| -> Option<Vec<(Vec<String>, JsonTypes)>> {
            let columns = Vec::<(Vec<String>, (u16, u16, bool))>::deserialize(value.get(name)?).ok()?;
            Some(columns.into_iter().map(|(path, bits)| (path, JsonTypes::from_bits(bits))).collect())
        };
        Some(Self {
            requested: typed("requested")?,
            found: typed("found")?,
            kinds: Vec::deserialize(value.get("kinds")?).ok()?,
            shown: Vec::deserialize(value.get("shown")?).ok()?,
        })
    }

    /// Return the kinds of values that may be under a key: those that were met until they sufficed for the conditions,
    /// and those of its column's type. A column of JSON texts admits all kinds, so that its type adds none.
    pub(super) fn kinds_of(&self, path: &Vec<String>) -> Kinds {
        let met = self.kinds.iter().find(|(other, _)| other == path).map(|(_, bits)| Kinds::from_bits(*bits));
        let column = self.requested.iter().chain(&self.found).find(|(other, _)| other == path);
        let typed = column.filter(|(_, types)| met.is_none() || types.column_type() != ColumnType::Json);
        met.unwrap_or_default().and(typed.map_or(Kinds::default(), |(_, types)| types.kinds()))
    }

    /// Return the types of the columns of a scan that has some of the columns, or all.
    pub(super) fn types_of(&self, keys: &ConfigKeys) -> ConfigTypes {
        let all = || self.requested.iter().chain(&self.found);
        let type_of = |path: &Vec<String>| all().find(|(other, _)| other == path).map(|(_, types)| *types);
        ConfigTypes {
            requested: keys
                .paths
                .iter()
                .map(|path| keys.declared_type(path).or_else(|| type_of(path)).unwrap_or_else(JsonTypes::any))
                .collect(),
            found: if keys.all { self.found.clone() } else { Vec::new() },
        }
    }
}
