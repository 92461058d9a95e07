//! The values of fields that are null or absent.

use serde_json::Value;

use super::ParsedRecord;
use crate::scan::plan::{FieldForm, FieldPlan, Kept};
use crate::scan::schema::FieldType;
use crate::scan::value::FieldValue;

pub fn set_null(field: &FieldPlan, record: &mut ParsedRecord<'_>) {
    for index in &field.indexes {
        record.values[*index] = FieldValue::Null;
    }
}

/// Set the values of an absent field.
pub fn set_default(field: &FieldPlan, default: &Value, record: &mut ParsedRecord<'_>) {
    if field.indexes.is_empty() {
        return;
    }
    match (&field.form, field.kept, default) {
        (_, _, Value::Null) => set_null(field, record),
        (_, Some(Kept { index, as_json: true }), default) => {
            record.values[index] = FieldValue::Json(default.to_string().into());
        }
        (FieldForm::Value(field_type), Some(Kept { index, .. }), default) => {
            record.values[index] = default_of(field_type, default);
        }
        (FieldForm::Object(plan), _, Value::Object(_)) => {
            for below in &plan.fields {
                set_default(below, below.default.as_ref().unwrap_or(&Value::Null), record);
            }
        }
        (FieldForm::Objects(_), _, Value::Array(_)) => {
            for index in &field.indexes {
                record.values[*index] = FieldValue::Items(Vec::new());
            }
        }
        _ => set_null(field, record),
    }
}

fn default_of(field_type: &FieldType, default: &Value) -> FieldValue<'static> {
    match (field_type, default) {
        (FieldType::Json, value) => FieldValue::Json(value.to_string().into()),
        (FieldType::Floats, _) => FieldValue::Floats(Vec::new()),
        (FieldType::Texts, _) => FieldValue::Texts(Vec::new()),
        (_, Value::Bool(value)) => FieldValue::Bool(*value),
        (FieldType::Int, value) => value.as_i64().map_or(FieldValue::Null, FieldValue::Int),
        (_, Value::Number(number)) => number.as_f64().map_or(FieldValue::Null, FieldValue::Float),
        (_, Value::String(text)) => FieldValue::Text(text.clone().into()),
        _ => FieldValue::Null,
    }
}
