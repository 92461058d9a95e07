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
const KEYS: [&str; 3] = [WARNINGS, DEVICES, ENERGIES];
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

    /// Return the noted energy of each GPU, joules.
    pub fn energies(&self) -> BTreeMap<i32, f64> {
        energies_in(&self.0)
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

/// Attach to a trace what its samples showed and its rows do not: warnings, which [`warnings`](super::warnings())
/// returns first, and the energy, in joules, of each GPU whose samples lie within one row.
pub fn with_notes(
    trace: &RecordBatch,
    warnings: &[String],
    energies: &BTreeMap<i32, f64>,
) -> Result<RecordBatch, ArrowError> {
    let mut notes = Notes::default();
    if !warnings.is_empty() {
        notes.0.insert(WARNINGS.to_owned(), serde_json::Value::from(warnings).to_string());
    }
    if !energies.is_empty() {
        let energies = energies.iter().map(|(gpu, energy)| (gpu.to_string(), *energy));
        notes.0.insert(ENERGIES.to_owned(), energies.collect::<serde_json::Value>().to_string());
    }
    notes.attach(trace)
}

/// Return the energies that were attached to a trace.
pub(super) fn attached_energies(trace: &RecordBatch) -> BTreeMap<i32, f64> {
    energies_in(trace.schema_ref().metadata())
}

fn energies_in(notes: &HashMap<String, String>) -> BTreeMap<i32, f64> {
    let text = notes.get(ENERGIES).map_or("{}", String::as_str);
    // An energy that is not finite is null in JSON.
    let energies: BTreeMap<i32, Option<f64>> = serde_json::from_str(text).unwrap_or_default();
    energies.into_iter().filter_map(|(gpu, energy)| Some((gpu, energy?))).collect()
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
