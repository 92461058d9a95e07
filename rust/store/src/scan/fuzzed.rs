//! The parsed values of a record as JSON, for a fuzz target.

use serde_json::{Value, json};

use super::column::ColumnSource;
pub(crate) use super::plan::Plan;
use super::record;
use super::value::FieldValue;
use crate::interrupt::Interrupt;

/// Return the values of the columns of a plan, and the text of the configuration.
pub(crate) fn read<'b>(bytes: &'b [u8], plan: &Plan) -> Result<(Vec<Value>, Option<&'b str>), String> {
    let row = record::parse(bytes, plan, Interrupt::NEVER).map_err(|error| error.to_string())?;
    let values = plan.columns.iter().map(|column| match column.source {
        ColumnSource::Field(index) => to_json(&row.values[index]),
        _ => Value::Null,
    });
    Ok((values.collect(), row.config))
}

fn to_json(value: &FieldValue<'_>) -> Value {
    match value {
        FieldValue::Null => Value::Null,
        FieldValue::Bool(value) => json!(value),
        FieldValue::Int(value) => json!(value),
        FieldValue::Float(value) => float(*value),
        FieldValue::Text(text) => json!(text),
        FieldValue::Time(..) => json!("a time"),
        FieldValue::Floats(floats) => floats.iter().copied().map(float).collect(),
        FieldValue::Texts(texts) => json!(texts),
        FieldValue::Json(text) => serde_json::from_str(text).unwrap_or_else(|error| json!(error.to_string())),
        FieldValue::Items(items) => items.iter().map(to_json).collect(),
    }
}

fn float(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else if value.is_nan() {
        json!("NaN")
    } else {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    }
}
