//! What a trace says of itself, in the metadata of its schema and of its file.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema};
use parquet::file::metadata::{FileMetaData, KeyValue};

/// A JSON list of texts: the warnings of the samples that the trace was made of.
const WARNINGS: &str = "llenergymeasure.warnings";
/// Present on a trace of a file without `gpu_index`.
const DEVICES: &str = "llenergymeasure.devices";
/// A JSON object: the energy of each GPU whose samples lie within one row, in joules.
const ENERGIES: &str = "llenergymeasure.energy_j";
/// A JSON object: the name of each GPU in the log that the trace was made of.
const NAMES: &str = "llenergymeasure.gpu_names";
/// A JSON object: for each GPU, the number of rows with a power, and the integral of the samples, in joules. A change
/// of the rows, as by a filter, ends the validity of the integral.
const INTEGRALS: &str = "llenergymeasure.integral_j";
const KEYS: [&str; 5] = [WARNINGS, DEVICES, ENERGIES, INTEGRALS, NAMES];
/// Maximum number of warnings that are kept: a file may claim any number.
const MAX_WARNINGS: usize = 100;
/// Maximum length of a warning; that of this package is shorter.
const MAX_BYTES: usize = 1000;

/// The notes of a trace.
#[derive(Debug, Default)]
pub(super) struct Notes(HashMap<String, String>);

impl Notes {
    /// Return the notes in a file's metadata.
    pub fn of_file(metadata: &FileMetaData) -> Self {
        let pairs = metadata.key_value_metadata().into_iter().flatten();
        let is_ours = |pair: &&KeyValue| KEYS.contains(&pair.key.as_str());
        Self(pairs.filter(is_ours).filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect())
    }

    /// Note that the file has no `gpu_index`.
    pub fn set_unknown_devices(&mut self) {
        self.0.insert(DEVICES.to_owned(), "unknown".to_owned());
    }

    /// Return the noted energies.
    pub fn energies(&self) -> NotedEnergies {
        energies_in(&self.0)
    }

    /// Add a value of each GPU, unless there is none.
    fn insert<T>(&mut self, key: &str, of_gpus: &BTreeMap<i32, T>, value: impl Fn(&T) -> serde_json::Value) {
        if !of_gpus.is_empty() {
            let values = of_gpus.iter().map(|(gpu, noted)| (gpu.to_string(), value(noted)));
            self.0.insert(key.to_owned(), values.collect::<serde_json::Value>().to_string());
        }
    }

    /// Attach the notes to a trace.
    pub fn attach(self, trace: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.0.is_empty() {
            return Ok(trace.clone());
        }
        let mut metadata = trace.schema_ref().metadata().clone();
        metadata.extend(self.0);
        trace
            .clone()
            .with_schema(Arc::new(Schema::new_with_metadata(trace.schema_ref().fields().clone(), metadata)))
    }
}

/// What the samples of a trace showed, and its rows do not.
#[derive(Debug, Clone, Default)]
pub struct TraceNotes {
    /// The reasons to doubt the samples; [`warnings`](super::warnings()) returns them first.
    pub warnings: Vec<String>,
    /// The energy of each GPU whose samples lie within one row, joules.
    pub energies: BTreeMap<i32, f64>,
    /// The number of rows of a GPU that have a power, and the integral of its samples, which were more, joules.
    pub integrals: BTreeMap<i32, (usize, f64)>,
    /// The name of each GPU in the log that the trace was made of.
    pub names: BTreeMap<i32, String>,
}

/// Attach notes to a trace.
pub fn with_notes(trace: &RecordBatch, given: &TraceNotes) -> Result<RecordBatch, ArrowError> {
    let TraceNotes { warnings, energies, integrals, names } = given;
    let mut notes = Notes::default();
    if !warnings.is_empty() {
        notes.0.insert(WARNINGS.to_owned(), serde_json::Value::from(&warnings[..]).to_string());
    }
    notes.insert(ENERGIES, energies, |energy| (*energy).into());
    notes.insert(INTEGRALS, integrals, |&(rows, energy)| serde_json::json!([rows, energy]));
    notes.insert(NAMES, names, |name| name.as_str().into());
    notes.attach(trace)
}

/// Return the name of each GPU that was attached to a trace.
#[must_use]
pub fn gpu_names(trace: &RecordBatch) -> BTreeMap<i32, String> {
    let text = trace.schema_ref().metadata().get(NAMES).map_or("{}", String::as_str);
    let mut names: BTreeMap<i32, String> = serde_json::from_str(text).unwrap_or_default();
    names.retain(|_, name| name.len() <= MAX_BYTES);
    names
}

/// The energies that a trace notes, by GPU, joules.
#[derive(Debug, Default)]
pub(super) struct NotedEnergies {
    of_one_row: BTreeMap<i32, f64>,
    of_rows: BTreeMap<i32, (usize, f64)>,
}

impl NotedEnergies {
    /// Return the noted energy of a GPU that has so many rows with a power.
    pub fn of(&self, gpu: i32, rows: usize) -> Option<f64> {
        let of_rows = self.of_rows.get(&gpu).filter(|noted| noted.0 == rows).map(|noted| noted.1);
        let energy = of_rows.or_else(|| self.of_one_row.get(&gpu).copied().filter(|_| rows == 1));
        energy.filter(|energy| energy.is_finite())
    }
}

/// Return the energies that were attached to a trace.
pub(super) fn attached_energies(trace: &RecordBatch) -> NotedEnergies {
    energies_in(trace.schema_ref().metadata())
}

fn energies_in(notes: &HashMap<String, String>) -> NotedEnergies {
    let text = |key| notes.get(key).map_or("{}", String::as_str);
    // An energy that is not finite is null in JSON.
    let of_one_row: BTreeMap<i32, Option<f64>> = serde_json::from_str(text(ENERGIES)).unwrap_or_default();
    let of_rows: BTreeMap<i32, (usize, Option<f64>)> =
        serde_json::from_str(text(INTEGRALS)).unwrap_or_default();
    NotedEnergies {
        of_one_row: of_one_row.into_iter().filter_map(|(gpu, energy)| Some((gpu, energy?))).collect(),
        of_rows: of_rows
            .into_iter()
            .filter_map(|(gpu, (rows, energy))| Some((gpu, (rows, energy?))))
            .collect(),
    }
}

/// Return the warnings that were attached to a trace.
pub(super) fn attached_warnings(trace: &RecordBatch) -> Vec<String> {
    let text = trace.schema_ref().metadata().get(WARNINGS).map_or("[]", String::as_str);
    let mut warnings: Vec<String> = serde_json::from_str(text).unwrap_or_default();
    warnings.truncate(MAX_WARNINGS);
    warnings.retain(|text| text.len() <= MAX_BYTES);
    warnings
}

/// Return whether a trace is of a file without `gpu_index`.
pub(super) fn has_unknown_devices(trace: &RecordBatch) -> bool {
    trace.schema_ref().metadata().contains_key(DEVICES)
}

/// Return the notes of a schema, for the metadata of a file.
pub(crate) fn file_metadata(schema: &Schema) -> Option<Vec<KeyValue>> {
    let note = |key: &str| Some(KeyValue::new(key.to_owned(), schema.metadata().get(key)?.clone()));
    let notes: Vec<_> = KEYS.into_iter().filter_map(note).collect();
    (!notes.is_empty()).then_some(notes)
}
