//! The fields of a record, as the caller describes them.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::column::{Column, ColumnSource, HAS_TIMESERIES, PATH, RECORD_SHA256, SAVED_AT, UTC};

const VERSION: &str = "schema_version";
/// Maximum fields of an object: a bit each records which of them occurred.
const MAX_FIELDS: usize = u64::BITS as usize;

/// The type of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldType {
    Bool,
    /// An integer of 64 bits.
    Int,
    /// A number, or the name of a non-finite float.
    Float,
    Text,
    /// An ISO 8601 time, with a zone or without.
    Time,
    /// A list of numbers.
    Floats,
    /// A list of strings.
    Texts,
    /// Any JSON value; a table holds its text.
    Json,
    /// The configuration: an object whose keys no schema lists.
    Config,
    /// An object with fields.
    Object(Vec<FieldSchema>),
    /// A list of objects with fields.
    Objects(Vec<FieldSchema>),
}

/// The types without fields, by their names.
const TYPES: [(&str, FieldType); 9] = [
    ("bool", FieldType::Bool),
    ("int", FieldType::Int),
    ("float", FieldType::Float),
    ("text", FieldType::Text),
    ("time", FieldType::Time),
    ("floats", FieldType::Floats),
    ("texts", FieldType::Texts),
    ("json", FieldType::Json),
    ("config", FieldType::Config),
];

impl FieldType {
    /// Return the name of a type without fields.
    pub fn name(&self) -> &'static str {
        TYPES.iter().find(|(_, field_type)| field_type == self).map_or("object", |(name, _)| name)
    }
}

/// The limits of a field's value beyond its type.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FieldLimits {
    /// The possible texts; none if any text is possible.
    pub choices: Vec<String>,
    /// The number of items of a list.
    pub length: Option<usize>,
    /// The least number, which NaN is not above.
    pub minimum: Option<f64>,
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldSchema {
    pub name: String,
    pub field_type: FieldType,
    pub limits: FieldLimits,
    pub nullable: bool,
    /// The value of an absent field; `None` if the field is required.
    pub default: Option<Value>,
}

/// The schema of a record: the names and types of its fields.
#[derive(Debug, Clone)]
pub struct RecordSchema {
    pub(super) fields: Vec<FieldSchema>,
    /// The columns of a table of records, in order.
    pub(super) columns: Vec<Column>,
    pub(super) version: String,
    /// Short names, each with the full name of a column.
    pub(super) aliases: Vec<(String, String)>,
}

/// The reason why a description of a schema is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The description is not JSON.
    #[error("expected a schema as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A part of the description has another form.
    #[error("expected {expected} in the schema of a record")]
    Form {
        /// The missing part.
        expected: &'static str,
    },
    /// A field has an unknown type.
    #[error("unknown type {0:?} in the schema of a record")]
    UnknownType(String),
}

impl RecordSchema {
    /// Parse a schema from JSON: a list of objects with `name`, `kind`, and optionally `nullable`, `default`, `fields`,
    /// and the limits `choices` (of a text), `length` (of a list) and `minimum` (of a number); or an object of such a
    /// list, `fields`, and a list of pairs, `aliases`: a short name and the column that it stands for. The default of
    /// `schema_version` is the schema line of the records.
    ///
    /// # Errors
    ///
    /// The description is invalid.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        let description: Value = serde_json::from_str(text)?;
        let (fields, aliases) = match &description {
            Value::Object(parts) => (parts.get("fields"), parts.get("aliases")),
            fields => (Some(fields), None),
        };
        let fields = parse_fields(fields.unwrap_or(&Value::Null))?;
        let aliases = aliases.map(Vec::deserialize).transpose()?.unwrap_or_default();
        let version =
            fields.iter().find(|field| field.name == VERSION).and_then(|field| field.default.as_ref());
        let version = version
            .and_then(Value::as_str)
            .ok_or(SchemaError::Form { expected: "schema_version with a default" })?
            .to_owned();
        let mut columns = vec![Column::scalar(PATH, ColumnSource::Path, FieldType::Text, false)];
        add_columns(&mut columns, &fields, "", false, false);
        columns.push(Column::scalar(HAS_TIMESERIES, ColumnSource::HasTimeseries, FieldType::Bool, false));
        columns.push(Column::scalar(SAVED_AT, ColumnSource::SavedAt, FieldType::Time, true));
        columns.push(Column::scalar(RECORD_SHA256, ColumnSource::RecordSha256, FieldType::Text, false));
        Ok(Self { fields, columns, version, aliases })
    }
}

/// Return the dotted path of a field of an object.
pub(super) fn path_of(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn add_columns(columns: &mut Vec<Column>, fields: &[FieldSchema], above: &str, nullable: bool, listed: bool) {
    for field in fields {
        let (name, nullable) = (path_of(above, &field.name), nullable || field.nullable);
        let field_type = match &field.field_type {
            FieldType::Object(below) => {
                add_columns(columns, below, &name, nullable, listed);
                continue;
            }
            FieldType::Objects(_) => FieldType::Json,
            FieldType::Config | FieldType::Floats | FieldType::Texts if listed => FieldType::Json,
            other => other.clone(),
        };
        let index = columns.len();
        let source = match field_type {
            FieldType::Config if above.is_empty() => ColumnSource::WholeConfig,
            _ => ColumnSource::Field(index),
        };
        // An integer beyond 64 bits is null.
        let nullable_column = nullable || field_type == FieldType::Int;
        let column = Column::scalar(&name, source, field_type, nullable_column);
        let has_instant = column.field_type == FieldType::Time && !listed;
        columns.push(Column { listed, ..column });
        if has_instant {
            let source = ColumnSource::Instant(index);
            columns.push(Column::scalar(&(name.clone() + UTC), source, FieldType::Time, true));
        }
        if let FieldType::Objects(below) = &field.field_type
            && !listed
        {
            add_columns(columns, below, &name, nullable, true);
        }
    }
}

fn parse_fields(value: &Value) -> Result<Vec<FieldSchema>, SchemaError> {
    let fields = value
        .as_array()
        .filter(|fields| fields.len() <= MAX_FIELDS)
        .ok_or(SchemaError::Form { expected: "a list of up to 64 fields" })?;
    fields.iter().map(parse_field).collect()
}

fn parse_field(value: &Value) -> Result<FieldSchema, SchemaError> {
    let object = value.as_object().ok_or(SchemaError::Form { expected: "a field as an object" })?;
    let text =
        |key: &str, expected| object.get(key).and_then(Value::as_str).ok_or(SchemaError::Form { expected });
    let below = |object: &Map<String, Value>| parse_fields(object.get("fields").unwrap_or(&Value::Null));
    let field_type = match text("kind", "a field with a kind")? {
        "object" => FieldType::Object(below(object)?),
        "objects" => FieldType::Objects(below(object)?),
        other => TYPES
            .into_iter()
            .find_map(|(name, field_type)| (name == other).then_some(field_type))
            .ok_or_else(|| SchemaError::UnknownType(other.to_owned()))?,
    };
    let choices = object.get("choices").and_then(Value::as_array).into_iter().flatten();
    let limits = FieldLimits {
        choices: choices.filter_map(Value::as_str).map(str::to_owned).collect(),
        length: object.get("length").and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok()),
        minimum: object.get("minimum").and_then(Value::as_f64),
    };
    Ok(FieldSchema {
        name: text("name", "a field with a name")?.to_owned(),
        field_type,
        limits,
        nullable: object.get("nullable") == Some(&Value::Bool(true)),
        default: object.get("default").cloned(),
    })
}
