//! The columns of the table of a scan.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};

use super::column::{CONFIG, ColumnSource};
use super::keys::{ConfigTypes, name_of};
use super::plan::Plan;

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
        let is_requested = |name: &str| plan.columns.iter().any(|column| column.name == name);
        let found: Vec<usize> =
            (0..types.found.len()).filter(|&index| !is_requested(&name(&types.found[index].0))).collect();
        let mut fields = Vec::new();
        for column in &plan.columns {
            match column.source {
                ColumnSource::ConfigKey(index) => {
                    let types = types.requested.get(index).copied().unwrap_or_default();
                    fields.push(Field::new(&column.name, types.column_type().data_type(), true));
                }
                ColumnSource::WholeConfig => fields.extend(found.iter().map(|&index| {
                    let (path, types) = &types.found[index];
                    Field::new(name(path), types.column_type().data_type(), true)
                })),
                _ => fields.push(Field::new(&column.name, column.data_type(), column.nullable)),
            }
        }
        Self { schema: Arc::new(Schema::new(fields)), types: Arc::new(types), found }
    }
}
