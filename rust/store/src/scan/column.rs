//! The columns of a table whose types the schema of a record determines.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};

use super::schema::FieldType;

/// The column of all keys of the configuration.
pub(super) const CONFIG: &str = "effective_config";
/// The column of the `experiment_id` of a record.
pub const EXPERIMENT: &str = "experiment_id";
/// The column of a result's directory, relative to the root.
pub(super) const PATH: &str = "path";
/// The column of whether a sidecar lies next to the record.
pub(super) const HAS_TIMESERIES: &str = "has_timeseries";
/// The column of the record's modification time.
pub(super) const SAVED_AT: &str = "saved_at";
/// The column of the sha256 of the record's bytes, in hex digits. No table has it unless it is asked for.
pub(super) const RECORD_SHA256: &str = "record_sha256";
/// The suffix of the column of instants that belongs to a column of times.
pub(super) const UTC: &str = ".utc";

/// The source of a column's values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ColumnSource {
    Path,
    HasTimeseries,
    SavedAt,
    RecordSha256,
    /// A field, by the index of its value in a row; in a schema, by the index of its column.
    Field(usize),
    /// The instant of a time, by the same index.
    Instant(usize),
    /// A key of the configuration, by its index among the requested keys.
    ConfigKey(usize),
    /// All keys of the configuration.
    WholeConfig,
    /// The JSON text of the configuration.
    ConfigText,
}

impl ColumnSource {
    /// Return the index of the key among the requested keys.
    pub fn key(&self) -> Option<usize> {
        match self {
            Self::ConfigKey(index) => Some(*index),
            _ => None,
        }
    }
}

/// A column of a schema, or one that a scan reads.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// The full name.
    pub name: String,
    /// The name in the table and in errors: as the caller wrote it, or the full name.
    pub label: String,
    pub source: ColumnSource,
    pub field_type: FieldType,
    pub nullable: bool,
    /// The field lies in a list of objects, so that each value is a list.
    pub listed: bool,
}

impl Column {
    /// Return a column that is not in a list of objects.
    pub fn scalar(name: &str, source: ColumnSource, field_type: FieldType, nullable: bool) -> Self {
        Self { name: name.to_owned(), label: name.to_owned(), source, field_type, nullable, listed: false }
    }

    /// Return the Arrow type of a column that is not of the configuration.
    pub fn data_type(&self) -> DataType {
        let is_utc = matches!(self.source, ColumnSource::Instant(_) | ColumnSource::SavedAt);
        let zone = is_utc.then(|| "UTC".into());
        let item = match self.field_type {
            FieldType::Bool => DataType::Boolean,
            FieldType::Int => DataType::Int64,
            FieldType::Float => DataType::Float64,
            FieldType::Time => DataType::Timestamp(TimeUnit::Microsecond, zone),
            FieldType::Floats => list_of(DataType::Float64),
            FieldType::Texts => list_of(DataType::Utf8),
            _ => DataType::Utf8,
        };
        if self.listed { list_of(item) } else { item }
    }

    /// Return the name in errors: a key of the configuration as the caller wrote it, and any other column in full.
    pub fn shown(&self) -> &str {
        if self.is_config() { &self.label } else { &self.name }
    }

    /// Return the name of the type; a time in UTC is an instant.
    pub fn type_name(&self) -> &'static str {
        match self.source {
            ColumnSource::Instant(_) | ColumnSource::SavedAt => "instant",
            _ => self.field_type.name(),
        }
    }

    pub fn is_config(&self) -> bool {
        matches!(self.source, ColumnSource::ConfigKey(_) | ColumnSource::WholeConfig)
    }
}

pub(super) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}
