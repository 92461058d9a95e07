//! The plan of a scan: the fields to read of each record (projection pushdown), and the conditions on them.

use std::sync::Arc;

use serde_json::Value;

use super::column::{CONFIG, Column, ColumnSource};
use super::error::PlanError;
use super::filter::{Condition, Filter};
use super::keys::ConfigKeys;
use super::names::config_key;
use super::schema::{FieldSchema, FieldType, RecordSchema, path_of};
use crate::load::Limit;

const VERSION: &str = "schema_version";
const TIMESERIES: &str = "timeseries";

/// The form of the column `effective_config` in a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConfigForm {
    /// A column for each key.
    #[default]
    Columns,
    /// One column of JSON texts.
    Json,
    /// No column.
    Omitted,
}

/// The treatment of a field's value.
#[derive(Debug)]
pub(super) enum FieldAction {
    /// Check that it is JSON.
    Skip,
    /// Keep it.
    Keep { index: usize, field_type: FieldType },
    /// Read an object.
    Object(ObjectPlan),
    /// Read a list of objects; each object adds an item to each value below the field.
    Objects(ObjectPlan),
    /// Keep the text of the configuration.
    Config,
}

/// The plan of a field.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub name: Box<str>,
    /// The name after the names of the objects around it.
    pub path: Box<str>,
    pub action: FieldAction,
    pub nullable: bool,
    pub default: Option<Value>,
    /// The indexes of the values at or below the field.
    pub indexes: Vec<usize>,
}

/// The plan of an object.
#[derive(Debug)]
pub(super) struct ObjectPlan {
    pub fields: Vec<FieldPlan>,
}

/// The values to read of each record.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The schema line.
    pub(super) version: String,
    pub(super) record: ObjectPlan,
    /// Number of values of a row.
    pub(super) width: usize,
    /// The index of the value of `schema_version`.
    pub(super) version_index: usize,
    /// The index of the value of `timeseries`, if it is requested.
    pub(super) timeseries_index: Option<usize>,
    pub(super) columns: Vec<Column>,
    pub(super) filters: Vec<Filter>,
    /// The requested keys of the configuration.
    pub(super) keys: Arc<ConfigKeys>,
    /// A column or a condition needs the configuration.
    pub(super) reads_config: bool,
    /// A column or a condition needs the path of a result.
    pub(super) needs_path: bool,
    pub(super) limit: Limit,
}

impl Plan {
    /// Resolve the names of columns and conditions.
    ///
    /// # Errors
    ///
    /// A name is unknown, or a condition does not fit its column.
    pub fn new(
        schema: &RecordSchema,
        columns: &[String],
        config: ConfigForm,
        conditions: Vec<Condition>,
        limit: Limit,
    ) -> Result<Self, PlanError> {
        let mut columns = schema.find_columns(columns, &[])?;
        if config == ConfigForm::Omitted {
            columns.retain(|name| name != CONFIG);
        }
        let mut planner = Planner {
            schema,
            config,
            requested: Vec::new(),
            values: Vec::new(),
            keys: ConfigKeys::default(),
        };
        planner.request(VERSION);
        columns.iter().chain(conditions.iter().map(|c| &c.column)).for_each(|name| planner.request(name));
        let record = planner.object(&schema.fields, "");
        let filters = conditions
            .into_iter()
            .map(|condition| {
                let column = planner.column(&condition.column)?;
                condition.check(&column)
            })
            .collect::<Result<Vec<Filter>, _>>()?;
        let columns = columns.iter().map(|name| planner.column(name)).collect::<Result<Vec<Column>, _>>()?;
        let mut sources =
            columns.iter().map(|column| &column.source).chain(filters.iter().map(|filter| &filter.source));
        Ok(Self {
            version: schema.version.clone(),
            version_index: planner.find(VERSION).ok_or_else(|| schema.unknown(VERSION, &[]))?,
            timeseries_index: planner.find(TIMESERIES),
            width: planner.values.len(),
            needs_path: sources.any(|source| *source == ColumnSource::Path),
            reads_config: !planner.keys.is_empty()
                || columns.iter().any(|column| column.source == ColumnSource::ConfigText),
            record,
            columns,
            filters,
            keys: Arc::new(planner.keys),
            limit,
        })
    }
}

struct Planner<'s> {
    schema: &'s RecordSchema,
    config: ConfigForm,
    /// The fields to keep, by the indexes of their columns in the schema.
    requested: Vec<usize>,
    /// The kept fields, in the order of their values.
    values: Vec<usize>,
    keys: ConfigKeys,
}

impl Planner<'_> {
    fn request(&mut self, name: &str) {
        if let Some(ColumnSource::Field(index) | ColumnSource::Instant(index)) =
            self.schema.column(name).map(|column| &column.source)
        {
            self.requested.push(*index);
        }
    }

    fn object(&mut self, fields: &[FieldSchema], above: &str) -> ObjectPlan {
        let schema = self.schema;
        let fields = fields.iter().map(|field| {
            let path = path_of(above, &field.name);
            let before = self.values.len();
            let columns = &schema.columns;
            let requested = self.requested.iter().copied().find(|&index| columns[index].name == path);
            let action = match (requested, &field.field_type) {
                (Some(index), _) => {
                    self.values.push(index);
                    FieldAction::Keep { index: before, field_type: columns[index].field_type.clone() }
                }
                (None, FieldType::Config) if above.is_empty() => FieldAction::Config,
                (None, FieldType::Object(below) | FieldType::Objects(below)) => {
                    match (self.object(below, &path), &field.field_type) {
                        _ if self.values.len() == before => FieldAction::Skip,
                        (object, FieldType::Object(_)) => FieldAction::Object(object),
                        (object, _) => FieldAction::Objects(object),
                    }
                }
                (None, _) => FieldAction::Skip,
            };
            FieldPlan {
                name: field.name.clone().into(),
                path: path.into(),
                action,
                nullable: field.nullable,
                default: field.default.clone(),
                indexes: (before..self.values.len()).collect(),
            }
        });
        ObjectPlan { fields: fields.collect() }
    }

    /// Return the index of a field's value in a row.
    fn find(&self, name: &str) -> Option<usize> {
        self.find_value(self.schema.columns.iter().position(|column| column.name == name)?)
    }

    fn find_value(&self, column: usize) -> Option<usize> {
        self.values.iter().position(|&other| other == column)
    }

    fn column(&mut self, name: &str) -> Result<Column, PlanError> {
        if let Some(key) = config_key(name) {
            let source = ColumnSource::ConfigKey(self.keys.request(key)?);
            return Ok(Column::scalar(name, source, FieldType::Json, true));
        }
        let Some(column) = self.schema.column(name) else {
            let below = self.schema.resolve(name, &[])?.into_iter().next().unwrap_or_default();
            return Err(PlanError::ObjectCondition(name.to_owned(), below.to_owned()));
        };
        // A field without a value lies in a list that is kept as one column.
        let value = |index| self.find_value(index).ok_or_else(|| PlanError::NotScalar(name.to_owned()));
        let source = match &column.source {
            ColumnSource::Field(index) => ColumnSource::Field(value(*index)?),
            ColumnSource::Instant(index) => ColumnSource::Instant(value(*index)?),
            other => other.clone(),
        };
        if source == ColumnSource::WholeConfig && self.config == ConfigForm::Json {
            return Ok(Column::scalar(name, ColumnSource::ConfigText, FieldType::Json, column.nullable));
        }
        if source == ColumnSource::WholeConfig {
            self.keys.request_all();
        }
        Ok(Column { source, ..column.clone() })
    }
}
