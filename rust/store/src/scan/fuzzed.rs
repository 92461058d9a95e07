//! A record read for a fuzz target, and what was read of it as JSON.

use serde_json::{Value, json};

use super::plan::{Origin, Plan};
use super::record::{self, Slot};

/// What the columns of a plan tell of a record, and the text of its configuration.
pub fn read<'b>(bytes: &'b [u8], plan: &Plan) -> Result<(Vec<Value>, Option<&'b str>), String> {
    let row = record::read(bytes, &plan.record, plan.slots).map_err(|error| error.to_string())?;
    let told = plan.columns.iter().map(|column| match column.origin {
        Origin::Slot(slot) => value(&row.slots[slot]),
        _ => Value::Null,
    });
    Ok((told.collect(), row.config))
}

fn value(slot: &Slot<'_>) -> Value {
    match slot {
        Slot::Null => Value::Null,
        Slot::Bool(value) => json!(value),
        Slot::Int(value) => json!(value),
        Slot::Float(value) => float(*value),
        Slot::Text(text) => json!(text),
        Slot::Time(..) => json!("a time"),
        Slot::Floats(floats) => floats.iter().copied().map(float).collect(),
        Slot::Texts(texts) => json!(texts),
        Slot::Json(text) => serde_json::from_str(text).unwrap_or_else(|error| json!(error.to_string())),
        Slot::Items(items) => items.iter().map(value).collect(),
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
