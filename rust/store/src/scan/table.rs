//! The columns of the table of a scan.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};

use super::column::{CONFIG, ColumnSource};
use super::json_type::{ColumnType, JsonTypes};
use super::keys::{ConfigTypes, name_of};
use super::plan::Plan;
use super::schema::FieldType;

/// The key of the metadata of a column whose texts are JSON values.
pub const JSON_TEXTS: &str = "llenergymeasure.json";

/// Return a field, marked if its texts are JSON values.
fn marked(field: Field, is_json: bool) -> Field {
    if is_json { field.with_metadata([(JSON_TEXTS.to_owned(), "true".to_owned())].into()) } else { field }
}

fn config_field(name: &str, types: JsonTypes) -> Field {
    let column_type = types.column_type();
    marked(Field::new(name, column_type.data_type(), true), column_type == ColumnType::Json)
}

/// The columns of a table, once the types of the configuration are known.
#[derive(Debug)]
pub(super) struct Table {
    pub schema: SchemaRef,
    pub types: Arc<ConfigTypes>,
    /// The found keys that are columns, by their index among the types.
    pub found: Vec<usize>,
}

impl Table {
    pub fn new(plan: &Plan, types: ConfigTypes) -> Self {
        let name = |path: &[String]| format!("{CONFIG}.{}", name_of(path));
        let is_requested = |path: &Vec<String>| {
            plan.columns.iter().any(|column| match column.source {
                ColumnSource::ConfigKey(index) => plan.keys.paths.get(index) == Some(path),
                _ => false,
            })
        };
        let found: Vec<usize> =
            (0..types.found.len()).filter(|&index| !is_requested(&types.found[index].0)).collect();
        let mut fields = Vec::new();
        for column in &plan.columns {
            match column.source {
                ColumnSource::ConfigKey(index) => {
                    let types = types.requested.get(index).copied().unwrap_or_default();
                    fields.push(config_field(&column.label, types));
                }
                ColumnSource::WholeConfig => fields.extend(found.iter().map(|&index| {
                    let (path, types) = &types.found[index];
                    config_field(&name(path), *types)
                })),
                _ => {
                    let is_json = column.field_type == FieldType::Json && !column.listed;
                    fields.push(marked(
                        Field::new(&column.label, column.data_type(), column.nullable),
                        is_json,
                    ));
                }
            }
        }
        Self { schema: Arc::new(Schema::new(fields)), types: Arc::new(types), found }
    }
}
