//! The plan of a scan: the fields to read of each record (projection pushdown), and the conditions on them.

use std::sync::Arc;

use serde_json::Value;

use super::column::{CONFIG, Column, ColumnSource, HAS_TIMESERIES, PATH, SAVED_AT, UTC};
use super::error::PlanError;
use super::filter::{Condition, Filter};
use super::keys::ConfigKeys;
use super::schema::{FieldSchema, FieldType, RecordSchema};
use crate::load::Limit;

const VERSION: &str = "schema_version";
const TIMESERIES: &str = "timeseries";

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
    /// A column or a condition needs the path of a result.
    pub(super) needs_path: bool,
    pub(super) limit: Limit,
}

/// A value that the plan keeps.
struct PlannedValue {
    path: String,
    field_type: FieldType,
    nullable: bool,
    listed: bool,
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
        conditions: Vec<Condition>,
        limit: Limit,
    ) -> Result<Self, PlanError> {
        let mut planner = Planner { values: Vec::new(), keys: ConfigKeys::default() };
        let names: Vec<&str> =
            columns.iter().map(String::as_str).chain(conditions.iter().map(|c| c.column.as_str())).collect();
        let record = planner.object(&schema.fields, "", Inherited::default(), &|path| {
            path == VERSION || names.iter().any(|name| *name == path || name.strip_suffix(UTC) == Some(path))
        });
        let columns = columns.iter().map(|name| planner.column(name)).collect::<Result<Vec<Column>, _>>()?;
        let filters = conditions
            .into_iter()
            .map(|condition| {
                let column = planner.column(&condition.column)?;
                condition.check(&column)
            })
            .collect::<Result<Vec<Filter>, _>>()?;
        let mut sources =
            columns.iter().map(|column| &column.source).chain(filters.iter().map(|filter| &filter.source));
        Ok(Self {
            version: schema.version.clone(),
            version_index: planner.find(VERSION).ok_or_else(|| PlanError::UnknownColumn(VERSION.into()))?,
            timeseries_index: planner.find(TIMESERIES),
            width: planner.values.len(),
            needs_path: sources.any(|source| *source == ColumnSource::Path),
            record,
            columns,
            filters,
            keys: Arc::new(planner.keys),
            limit,
        })
    }
}

/// The properties that a field takes over from the objects around it.
#[derive(Clone, Copy, Default)]
struct Inherited {
    nullable: bool,
    listed: bool,
}

struct Planner {
    values: Vec<PlannedValue>,
    keys: ConfigKeys,
}

impl Planner {
    fn object(
        &mut self,
        fields: &[FieldSchema],
        above: &str,
        inherited: Inherited,
        is_requested: &dyn Fn(&str) -> bool,
    ) -> ObjectPlan {
        let fields = fields.iter().map(|field| {
            let path = if above.is_empty() { field.name.clone() } else { format!("{above}.{}", field.name) };
            let before = self.values.len();
            let inherited = Inherited { nullable: inherited.nullable || field.nullable, ..inherited };
            let listed = inherited.listed;
            let action = match &field.field_type {
                FieldType::Config if above.is_empty() => FieldAction::Config,
                FieldType::Objects(_) if is_requested(&path) => self.keep(&path, FieldType::Json, inherited),
                FieldType::Objects(below) if !listed => {
                    let inherited = Inherited { listed: true, ..inherited };
                    match self.object(below, &path, inherited, is_requested) {
                        _ if self.values.len() == before => FieldAction::Skip,
                        object => FieldAction::Objects(object),
                    }
                }
                FieldType::Object(below) => match self.object(below, &path, inherited, is_requested) {
                    _ if self.values.len() == before => FieldAction::Skip,
                    object => FieldAction::Object(object),
                },
                FieldType::Config | FieldType::Floats | FieldType::Texts if listed && is_requested(&path) => {
                    self.keep(&path, FieldType::Json, inherited)
                }
                field_type if is_requested(&path) => self.keep(&path, field_type.clone(), inherited),
                _ => FieldAction::Skip,
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

    fn keep(&mut self, path: &str, field_type: FieldType, inherited: Inherited) -> FieldAction {
        let index = self.values.len();
        let Inherited { nullable, listed } = inherited;
        let value = PlannedValue { path: path.to_owned(), field_type: field_type.clone(), nullable, listed };
        self.values.push(value);
        FieldAction::Keep { index, field_type }
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.values.iter().position(|value| value.path == path)
    }

    fn column(&mut self, name: &str) -> Result<Column, PlanError> {
        let column = |source, field_type, nullable| Column {
            name: name.to_owned(),
            source,
            field_type,
            nullable,
            listed: false,
        };
        if let Some(key) = name.strip_prefix(CONFIG).and_then(|rest| rest.strip_prefix('.')) {
            return Ok(column(ColumnSource::ConfigKey(self.keys.request(key)?), FieldType::Json, true));
        }
        let instant = || {
            let index = self.find(name.strip_suffix(UTC)?)?;
            let PlannedValue { field_type, listed, .. } = &self.values[index];
            (*field_type == FieldType::Time && !listed).then_some(index)
        };
        Ok(match name {
            PATH => column(ColumnSource::Path, FieldType::Text, false),
            HAS_TIMESERIES => column(ColumnSource::HasTimeseries, FieldType::Bool, false),
            SAVED_AT => column(ColumnSource::SavedAt, FieldType::Time, true),
            CONFIG => {
                self.keys.request_all();
                column(ColumnSource::WholeConfig, FieldType::Json, true)
            }
            _ => match (self.find(name), instant()) {
                (Some(index), _) => {
                    let PlannedValue { field_type, nullable, listed, .. } = &self.values[index];
                    let column = column(ColumnSource::Field(index), field_type.clone(), *nullable);
                    Column { listed: *listed, ..column }
                }
                (None, Some(index)) => column(ColumnSource::Instant(index), FieldType::Time, true),
                (None, None) => return Err(PlanError::UnknownColumn(name.to_owned())),
            },
        })
    }
}
