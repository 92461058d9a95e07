//! The parsed values of a record as JSON, for a fuzz target.

use serde_json::{Value, json};

use super::column::ColumnSource;
pub(crate) use super::plan::Plan;
use super::record;
use super::template::Memory;
use super::value::FieldValue;
use crate::interrupt::Interrupt;

/// The values of the columns of a plan, and the text of the configuration.
type Values<'b> = (Vec<Value>, Option<&'b str>);

/// Return the values of a record.
pub(crate) fn read<'b>(bytes: &'b [u8], plan: &Plan) -> Result<Values<'b>, String> {
    read_with(None, bytes, plan)
}

/// Return the values of a record that is read after another one; the text of the configuration only if it is wanted.
pub(crate) fn read_after<'b>(earlier: &[u8], bytes: &'b [u8], plan: &Plan) -> Result<Values<'b>, String> {
    let mut memory = Memory::default();
    // A record that is refused is no template.
    let _ = read_with(Some(&mut memory), earlier, plan);
    read_with(Some(&mut memory), bytes, plan)
}

fn read_with<'b>(memory: Option<&mut Memory>, bytes: &'b [u8], plan: &Plan) -> Result<Values<'b>, String> {
    let row = record::parse(bytes, plan, memory, Interrupt::NEVER).map_err(|error| error.to_string())?;
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
