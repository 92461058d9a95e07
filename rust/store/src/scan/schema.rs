//! The fields of a record, as the caller describes them.

use serde_json::{Map, Value};

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

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldSchema {
    pub name: String,
    pub field_type: FieldType,
    pub nullable: bool,
    /// The value of an absent field; `None` if the field is required.
    pub default: Option<Value>,
}

/// The schema of a record: the names and types of its fields.
#[derive(Debug, Clone)]
pub struct RecordSchema {
    pub(super) fields: Vec<FieldSchema>,
    pub(super) version: String,
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
    /// Parse a schema from JSON: a list of objects with `name`, `kind`, and optionally `nullable`, `default` and
    /// `fields`. The default of `schema_version` is the schema line of the records.
    ///
    /// # Errors
    ///
    /// The description is invalid.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        let fields = parse_fields(&serde_json::from_str(text)?)?;
        let version =
            fields.iter().find(|field| field.name == VERSION).and_then(|field| field.default.as_ref());
        let version = version
            .and_then(Value::as_str)
            .ok_or(SchemaError::Form { expected: "schema_version with a default" })?
            .to_owned();
        Ok(Self { fields, version })
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
        "bool" => FieldType::Bool,
        "int" => FieldType::Int,
        "float" => FieldType::Float,
        "text" => FieldType::Text,
        "time" => FieldType::Time,
        "floats" => FieldType::Floats,
        "texts" => FieldType::Texts,
        "json" => FieldType::Json,
        "config" => FieldType::Config,
        "object" => FieldType::Object(below(object)?),
        "objects" => FieldType::Objects(below(object)?),
        other => return Err(SchemaError::UnknownType(other.to_owned())),
    };
    Ok(FieldSchema {
        name: text("name", "a field with a name")?.to_owned(),
        field_type,
        nullable: object.get("nullable") == Some(&Value::Bool(true)),
        default: object.get("default").cloned(),
    })
}
