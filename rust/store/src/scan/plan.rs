//! The plan of a scan: the fields to read of each record (projection pushdown), and the conditions on them.

use std::sync::Arc;

use serde_json::Value;

use super::column::{CONFIG, Column, ColumnSource};
use super::error::PlanError;
use super::filter::{Condition, Filter};
use super::json_type::JsonTypes;
use super::keys::ConfigKeys;
use super::names::{Named, config_key};
use super::schema::{FieldLimits, FieldSchema, FieldType, RecordSchema, path_of};
use super::seen::Seen;
use crate::load::Limit;

const VERSION: &str = "schema_version";
pub(super) const TIMESERIES: &str = "timeseries";

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

/// The form that the value of a field must have.
#[derive(Debug)]
pub(super) enum FieldForm {
    /// A single value, a list of single values, or any JSON value.
    Value(FieldType),
    /// An object with any keys.
    Config,
    /// An object with fields.
    Object(ObjectPlan),
    /// A list of objects; each adds an item to each value below the field.
    Objects(ObjectPlan),
}

/// The value of a row that a field gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub index: usize,
    /// The value is the JSON text.
    pub as_json: bool,
}

/// The plan of a field.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub name: Box<str>,
    /// The name after the names of the objects around it.
    pub path: Box<str>,
    /// The text before the value in a record as a save writes it, from the end of the line before.
    pub written: Box<str>,
    /// The same before an item, if the value is a list.
    pub written_item: Box<str>,
    pub form: FieldForm,
    pub limits: FieldLimits,
    /// `None` if the value is only checked.
    pub kept: Option<Kept>,
    pub nullable: bool,
    pub default: Option<Value>,
    /// The indexes of the values at or below the field.
    pub indexes: Vec<usize>,
    /// The last list of texts that was only checked.
    pub seen: Seen,
}

/// The plan of an object.
#[derive(Debug)]
pub(super) struct ObjectPlan {
    pub fields: Vec<FieldPlan>,
    /// The number of the object in its plan; `None` in a list, where it may occur more than once.
    pub number: Option<usize>,
    /// For each field, the first from there on whose value is wanted.
    pub gap_ends: Box<[usize]>,
}

impl ObjectPlan {
    /// Number the objects, and find the fields whose values are only checked.
    fn prepare(&mut self, reads_config: bool, is_listed: bool, count: &mut usize) {
        self.number = (!is_listed).then_some(*count);
        *count += usize::from(!is_listed);
        for field in &mut self.fields {
            match &mut field.form {
                FieldForm::Object(below) => below.prepare(reads_config, is_listed, count),
                FieldForm::Objects(below) => below.prepare(reads_config, true, count),
                FieldForm::Value(_) | FieldForm::Config => {}
            }
        }
        let is_wanted = |field: &FieldPlan| {
            let is_config = matches!(field.form, FieldForm::Config) && field.name == field.path;
            !field.indexes.is_empty() || is_config && reads_config
        };
        let mut end = self.fields.len();
        let mut ends = vec![0; end].into_boxed_slice();
        for (index, field) in self.fields.iter().enumerate().rev() {
            if is_wanted(field) {
                end = index;
            }
            ends[index] = end;
        }
        self.gap_ends = ends;
    }
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
    /// A column or a condition needs the time of a save.
    pub(super) needs_saved_at: bool,
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
        Self::of(schema, schema.find_named(columns, false)?, config, conditions, &[], &[], limit)
    }

    /// Resolve the names of conditions and of optional keys, for named columns; see [`Self::new`].
    pub(super) fn of(
        schema: &RecordSchema,
        mut columns: Vec<Named>,
        config: ConfigForm,
        conditions: Vec<Condition>,
        optional: &[String],
        types: &[(String, String)],
        limit: Limit,
    ) -> Result<Self, PlanError> {
        // The columns of the keys have one name each, however often the configuration is named.
        let most = match config {
            ConfigForm::Omitted => 0,
            ConfigForm::Columns => 1,
            ConfigForm::Json => usize::MAX,
        };
        let mut count = 0;
        columns.retain(|named| {
            count += usize::from(named.name == CONFIG);
            named.name != CONFIG || count <= most
        });
        let conditions = conditions
            .into_iter()
            .map(|condition| {
                let [named] =
                    <[Named; 1]>::try_from(schema.resolve(&condition.column)?).map_err(|below| {
                        let below = below.first().map(|named| named.name.clone()).unwrap_or_default();
                        PlanError::ObjectCondition(condition.column.clone(), below)
                    })?;
                Ok((named, condition))
            })
            .collect::<Result<Vec<_>, PlanError>>()?;
        let mut planner = Planner {
            schema,
            config,
            requested: Vec::new(),
            values: Vec::new(),
            keys: ConfigKeys::default(),
        };
        planner.request(VERSION);
        let of_conditions = conditions.iter().map(|(named, _)| named);
        columns.iter().chain(of_conditions).for_each(|named| planner.request(&named.name));
        let mut record = planner.object(&schema.fields, "", 1, true);
        let filters = conditions
            .into_iter()
            .map(|(named, condition)| condition.check(&planner.column(&named)?))
            .collect::<Result<Vec<Filter>, _>>()?;
        let columns =
            columns.iter().map(|named| planner.column(named)).collect::<Result<Vec<Column>, _>>()?;
        for name in optional {
            planner.keys.optional.extend(schema.declared_key(name)?);
        }
        for (name, named_type) in types {
            let unknown = || PlanError::UnknownType { column: name.clone(), got: named_type.clone() };
            let path = schema.declared_key(name)?.ok_or_else(|| PlanError::NotAKey(name.clone()))?;
            planner.keys.optional.push(path.clone());
            planner.keys.declared.push((path, JsonTypes::named(named_type).ok_or_else(unknown)?));
        }
        let needs = |wanted: &ColumnSource| {
            let of_filters = filters.iter().map(|filter| &filter.source);
            columns.iter().map(|column| &column.source).chain(of_filters).any(|source| source == wanted)
        };
        let reads_config = !planner.keys.is_empty()
            || columns.iter().any(|column| column.source == ColumnSource::ConfigText);
        record.prepare(reads_config, false, &mut 0);
        Ok(Self {
            version: schema.version.clone(),
            version_index: planner.find(VERSION).ok_or_else(|| schema.unknown(VERSION))?,
            timeseries_index: planner.find(TIMESERIES),
            width: planner.values.len(),
            needs_path: needs(&ColumnSource::Path),
            needs_saved_at: needs(&ColumnSource::SavedAt),
            reads_config,
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

    /// Plan an object whose fields have an indent of so many levels; with `keeps`, keep the requested values.
    fn object(&mut self, fields: &[FieldSchema], above: &str, level: usize, keeps: bool) -> ObjectPlan {
        let schema = self.schema;
        let fields = fields.iter().map(|field| {
            let path = path_of(above, &field.name);
            let before = self.values.len();
            let columns = &schema.columns;
            let requested = self.requested.iter().copied().find(|&index| columns[index].name == path);
            let kept = requested.filter(|_| keeps).map(|index| {
                self.values.push(index);
                let is_text = columns[index].field_type == FieldType::Json;
                Kept { index: before, as_json: is_text && field.field_type != FieldType::Json }
            });
            let keeps = keeps && kept.is_none();
            let form = match &field.field_type {
                FieldType::Config => FieldForm::Config,
                FieldType::Object(below) => FieldForm::Object(self.object(below, &path, level + 1, keeps)),
                FieldType::Objects(below) => FieldForm::Objects(self.object(below, &path, level + 2, keeps)),
                other => FieldForm::Value(other.clone()),
            };
            FieldPlan {
                name: field.name.clone().into(),
                path: path.into(),
                written: format!("\n{}{}: ", "  ".repeat(level), Value::from(field.name.as_str())).into(),
                written_item: format!("\n{}", "  ".repeat(level + 1)).into(),
                form,
                limits: field.limits.clone(),
                kept,
                nullable: field.nullable,
                default: field.default.clone(),
                indexes: (before..self.values.len()).collect(),
                seen: Seen::default(),
            }
        });
        ObjectPlan { fields: fields.collect(), number: None, gap_ends: Box::default() }
    }

    /// Return the index of a field's value in a row.
    fn find(&self, name: &str) -> Option<usize> {
        self.find_value(self.schema.columns.iter().position(|column| column.name == name)?)
    }

    fn find_value(&self, column: usize) -> Option<usize> {
        self.values.iter().position(|&other| other == column)
    }

    fn column(&mut self, named: &Named) -> Result<Column, PlanError> {
        let Named { name, label, asked } = named;
        if let Some(key) = config_key(name) {
            let source = ColumnSource::ConfigKey(self.keys.request(key, asked)?);
            let column = Column::scalar(name, source, FieldType::Json, true);
            return Ok(Column { label: label.clone(), ..column });
        }
        let column = self.schema.column(name).ok_or_else(|| self.schema.unknown(label))?;
        // A field without a value lies in a list that is kept as one column.
        let value = |index| {
            let error = || PlanError::NotScalar { column: name.clone(), is_searchable: false };
            self.find_value(index).ok_or_else(error)
        };
        let source = match &column.source {
            ColumnSource::Field(index) => ColumnSource::Field(value(*index)?),
            ColumnSource::Instant(index) => ColumnSource::Instant(value(*index)?),
            other => other.clone(),
        };
        if source == ColumnSource::WholeConfig && self.config == ConfigForm::Json {
            let column = Column::scalar(name, ColumnSource::ConfigText, FieldType::Json, column.nullable);
            return Ok(Column { label: label.clone(), ..column });
        }
        if source == ColumnSource::WholeConfig {
            self.keys.request_all();
        }
        Ok(Column { source, label: label.clone(), ..column.clone() })
    }
}
