//! The columns that names stand for, and the suggestions for unknown names.

use std::collections::BTreeSet;

use super::column::{CONFIG, Column};
use super::error::PlanError;
use super::keys;
use super::schema::{FieldType, RecordSchema};

/// Minimum similarity of a suggestion.
const MIN_SIMILARITY: f64 = 0.6;
/// Maximum suggestions in an error.
const MAX_SUGGESTIONS: usize = 5;
/// Maximum bytes of a name that are compared, since the time grows faster than they do.
const MAX_COMPARED: usize = 64;
/// The short prefix of a key of the configuration.
const SHORT_CONFIG: &str = "config.";

/// A column that a caller asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    /// The full name.
    pub name: String,
    /// The name in the table: the name as the caller wrote it, or the full name.
    pub label: String,
    /// The name as the caller wrote it.
    pub asked: String,
}

impl RecordSchema {
    /// Return the columns in order: the name, the type, and whether the column lies in a list of objects, so that a
    /// scan reads it only by its name.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &'static str, bool)> {
        self.columns.iter().map(|column| (&*column.name, column.type_name(), column.listed))
    }

    /// Return the full names of the columns that names stand for, without duplicates: an object stands for all of its
    /// columns, and a short name for the column that the schema gives it.
    ///
    /// # Errors
    ///
    /// A column is unknown, or two columns contain each other.
    pub fn find_columns(&self, names: &[String]) -> Result<Vec<String>, PlanError> {
        Ok(self.find_named(names, true)?.into_iter().map(|named| named.name).collect())
    }

    /// Return the columns that names stand for; see [`Self::find_columns`].
    pub(super) fn find_named(&self, names: &[String], in_full: bool) -> Result<Vec<Named>, PlanError> {
        let mut found = Vec::new();
        for name in names {
            found.append(&mut self.resolve(name)?);
        }
        if in_full {
            for named in &mut found {
                named.label.clone_from(&named.name);
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|named| seen.insert(named.label.clone()));
        for column in found.iter().filter_map(|named| self.column(&named.name)) {
            let inner = found.iter().find(|named| is_below(&named.name, &column.name));
            if let Some(inner) = inner.filter(|_| column.field_type == FieldType::Json) {
                return Err(PlanError::Overlap(column.name.clone(), inner.name.clone()));
            }
        }
        Ok(found)
    }

    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Return the columns that a name stands for: one, or those of an object.
    pub(super) fn resolve(&self, name: &str) -> Result<Vec<Named>, PlanError> {
        let full = self.full_name(name)?;
        if self.column(&full).is_some() || config_key(&full).is_some() {
            // Arrow's C interface ends a name at a NUL.
            let label = if name.contains('\0') { full.clone() } else { name.to_owned() };
            return Ok(vec![Named { name: full, label, asked: name.to_owned() }]);
        }
        let below: Vec<&Column> =
            self.columns.iter().filter(|column| is_below(&column.name, &full)).collect();
        let first = below.first().ok_or_else(|| self.unknown(name))?;
        // Columns of lists inside an object are read only by their names.
        let below = below.iter().filter(|column| column.listed == first.listed);
        let named = |name: &String| Named { name: name.clone(), label: name.clone(), asked: name.clone() };
        Ok(below.map(|column| named(&column.name)).collect())
    }

    /// Return the full name of a column or an object, which need not exist.
    fn full_name(&self, name: &str) -> Result<String, PlanError> {
        if self.column(name).is_some() {
            return Ok(name.to_owned());
        }
        if let Some((_, full)) = self.aliases.iter().find(|(alias, _)| alias == name) {
            return Ok(full.clone());
        }
        match config_key(name) {
            Some(key) => Ok(format!("{CONFIG}.{}", keys::name_of(&keys::parse(key)?))),
            None => Ok(name.to_owned()),
        }
    }

    /// Return the path of a key that a caller declares as optional; `None` for a column that every result has.
    pub(super) fn declared_key(&self, name: &str) -> Result<Option<Vec<String>>, PlanError> {
        let full = self.full_name(name)?;
        match config_key(&full) {
            Some(key) => keys::parse(key).map(Some),
            None if self
                .columns
                .iter()
                .any(|column| column.name == full || is_below(&column.name, &full)) =>
            {
                Ok(None)
            }
            None => Err(PlanError::NotAKey(name.to_owned())),
        }
    }

    pub(super) fn unknown(&self, name: &str) -> PlanError {
        let columns = || self.columns.iter().map(|column| &*column.name);
        let mut similar = most_similar(name, columns(), 3);
        let same_end = columns().filter(|other| other.rsplit_once('.').is_some_and(|(_, end)| end == name));
        similar.extend(same_end.filter(|other| !similar.contains(other)).collect::<Vec<_>>());
        similar.truncate(3);
        let aliases = self.aliases.iter().map(|(alias, _)| alias.as_str());
        similar.splice(..0, most_similar(name, aliases, 2));
        PlanError::UnknownColumn(name.to_owned(), similar.into_iter().map(str::to_owned).collect())
    }
}

/// Return the key of the configuration that a name stands for.
pub(super) fn config_key(name: &str) -> Option<&str> {
    let in_full = || name.strip_prefix(CONFIG)?.strip_prefix('.');
    name.strip_prefix(SHORT_CONFIG).or_else(in_full)
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

/// Add the keys of a tree that are similar to an unknown column to its error.
pub(super) fn suggest_keys(error: PlanError, paths: &[Vec<String>]) -> PlanError {
    let PlanError::UnknownColumn(name, mut similar) = error else { return error };
    let names = similar_keys(&name, paths);
    let is_same =
        |key: &String| config_key(key).is_some_and(|key| key == name || key.ends_with(&format!(".{name}")));
    let (same, others): (Vec<String>, Vec<String>) = names.into_iter().partition(is_same);
    similar.splice(..0, same);
    similar.extend(others);
    similar.truncate(MAX_SUGGESTIONS);
    PlanError::UnknownColumn(name, similar)
}

/// Return the error for a key that no record has.
pub(super) fn unknown_key(name: &str, paths: &[Vec<String>]) -> PlanError {
    let key = config_key(name).unwrap_or(name);
    let mut similar = similar_keys(name, paths);
    if key == "*" || key.ends_with(".*") {
        similar = vec![name[..name.len() - 2].to_owned()];
    } else if similar.is_empty() {
        let others = paths.iter().take(MAX_SUGGESTIONS);
        similar = others.map(|path| with_prefix_of(name, &keys::name_of(path))).collect();
    }
    PlanError::UnknownKey { name: name.to_owned(), similar }
}

/// Return the names of the keys most similar to a name, with its prefix.
fn similar_keys(name: &str, paths: &[Vec<String>]) -> Vec<String> {
    let key = config_key(name).unwrap_or(name);
    let last = key.rsplit('.').next().unwrap_or(key);
    let mut scored: Vec<(f64, String)> = paths
        .iter()
        .map(|path| {
            let other = keys::name_of(path);
            let end = path.last().and_then(|end| end.rsplit('.').next()).unwrap_or_default();
            let of_last = similarity_of_any_case(end, last);
            // The same name in another object is close, and never as close as the same path.
            (similarity_of_any_case(&other, key).max(of_last * 0.99), other)
        })
        .filter(|(score, _)| *score >= MIN_SIMILARITY)
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    scored.into_iter().take(3).map(|(_, key)| with_prefix_of(name, &key)).collect()
}

/// Return the name of a key, with the long prefix if another name has it.
fn with_prefix_of(name: &str, key: &str) -> String {
    match name.strip_prefix(CONFIG) {
        Some(rest) if rest.starts_with('.') => format!("{CONFIG}.{key}"),
        _ => format!("{SHORT_CONFIG}{key}"),
    }
}

fn similarity_of_any_case(one: &str, other: &str) -> f64 {
    similarity(&one.to_lowercase(), &other.to_lowercase())
}

/// Return the names most similar to an unknown one, the best first.
fn most_similar<'n>(unknown: &str, names: impl Iterator<Item = &'n str>, count: usize) -> Vec<&'n str> {
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (similarity(name, unknown), name))
        .filter(|(score, _)| *score >= MIN_SIMILARITY)
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0).then(other.1.cmp(one.1)));
    scored.into_iter().take(count).map(|(_, name)| name).collect()
}

/// Return the share of bytes in common blocks (Ratcliff and Obershelp), as Python's `difflib` computes it.
#[allow(clippy::cast_precision_loss, reason = "names are short")]
fn similarity(one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(|name| &name.as_bytes()[..name.len().min(MAX_COMPARED)]);
    2.0 * common(one, other) as f64 / (one.len() + other.len()).max(1) as f64
}

/// Return the length of the longest common block, and of those before it and after it.
fn common(one: &[u8], other: &[u8]) -> usize {
    let length = |(i, j): (usize, usize)| {
        one[i..].iter().zip(&other[j..]).take_while(|(left, right)| left == right).count()
    };
    let starts = (0..one.len()).flat_map(|i| (0..other.len()).map(move |j| (i, j)));
    // The last maximum in reverse is the first.
    match starts.rev().map(|start| (length(start), start)).max_by_key(|(length, _)| *length) {
        None | Some((0, _)) => 0,
        Some((length, (i, j))) => {
            length + common(&one[..i], &other[..j]) + common(&one[i + length..], &other[j + length..])
        }
    }
}
