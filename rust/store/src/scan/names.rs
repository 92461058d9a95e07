//! The columns that names stand for, and the suggestions for unknown names.

use std::collections::BTreeSet;

use super::column::{CONFIG, Column};
use super::error::PlanError;
use super::schema::{FieldType, RecordSchema};

/// Minimum similarity of a suggestion.
const MIN_SIMILARITY: f64 = 0.6;

impl RecordSchema {
    /// Return the columns in order: the name, the type, and whether the column lies in a list of objects, so that a
    /// scan reads it only by its name.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &'static str, bool)> {
        self.columns.iter().map(|column| (&*column.name, column.type_name(), column.listed))
    }

    /// Return the columns that names stand for, without duplicates: an object stands for all of its columns. `aliases`
    /// are further names to suggest in an error.
    ///
    /// # Errors
    ///
    /// A column is unknown, or two columns contain each other.
    pub fn find_columns(&self, names: &[String], aliases: &[String]) -> Result<Vec<String>, PlanError> {
        let mut found = Vec::new();
        for name in names {
            found.append(&mut self.resolve(name, aliases)?);
        }
        let mut seen = BTreeSet::new();
        found.retain(|name| seen.insert(*name));
        for column in found.iter().filter_map(|name| self.column(name)) {
            let inner = found.iter().find(|name| is_below(name, &column.name));
            if let Some(inner) = inner.filter(|_| column.field_type == FieldType::Json) {
                return Err(PlanError::Overlap(column.name.clone(), (*inner).to_owned()));
            }
        }
        Ok(found.into_iter().map(str::to_owned).collect())
    }

    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Return the names of the columns that a name stands for: itself, or those of an object.
    pub(super) fn resolve<'n>(
        &'n self,
        name: &'n str,
        aliases: &[String],
    ) -> Result<Vec<&'n str>, PlanError> {
        if self.column(name).is_some() || config_key(name).is_some() {
            return Ok(vec![name]);
        }
        let below: Vec<&Column> = self.columns.iter().filter(|column| is_below(&column.name, name)).collect();
        let first = below.first().ok_or_else(|| self.unknown(name, aliases))?;
        // Columns of lists inside an object are read only by their names.
        Ok(below.iter().filter(|column| column.listed == first.listed).map(|column| &*column.name).collect())
    }

    pub(super) fn unknown(&self, name: &str, aliases: &[String]) -> PlanError {
        let columns = || self.columns.iter().map(|column| &*column.name);
        let mut similar = most_similar(name, columns(), 3);
        let same_end = columns().filter(|other| other.rsplit_once('.').is_some_and(|(_, end)| end == name));
        similar.extend(same_end.filter(|other| !similar.contains(other)).collect::<Vec<_>>());
        similar.truncate(3);
        similar.splice(..0, most_similar(name, aliases.iter().map(String::as_str), 2));
        PlanError::UnknownColumn(name.to_owned(), similar.into_iter().map(str::to_owned).collect())
    }
}

/// Return the key of the configuration that a name stands for.
pub(super) fn config_key(name: &str) -> Option<&str> {
    name.strip_prefix(CONFIG)?.strip_prefix('.')
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
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
    2.0 * common(one.as_bytes(), other.as_bytes()) as f64 / (one.len() + other.len()).max(1) as f64
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
