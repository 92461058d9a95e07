//! Any bytes as a record: the parsed values equal those of a plain JSON parser.

use std::sync::LazyLock;

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::{COLUMNS, SCHEMA};
use crate::json::text::{items, members};
use crate::load::Limit;
use crate::scan::fuzzed::{self, Plan};
use crate::scan::{ConfigForm, RecordSchema};

/// Errors of a plain parser in a value that a scan may skip.
const SKIPPED: [&str; 4] = ["recursion limit", "out of range", "surrogate", "hex escape"];
/// Errors of a scan that a plain parser does not report: it keeps one of two keys, does not parse times, and does not
/// distinguish a large integer from a float.
const STRICTER: [&str; 3] = [" twice", "ISO 8601", "an integer in"];

static FIELDS: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA).unwrap());
/// The plans of all columns, and of each alone.
static ALL: LazyLock<Plan> = LazyLock::new(|| plan(&COLUMNS));
static EACH: LazyLock<Vec<Plan>> = LazyLock::new(|| COLUMNS.iter().map(|&name| plan(&[name])).collect());
/// The plan of the configuration alone.
static CONFIG: LazyLock<Plan> = LazyLock::new(|| plan(&["effective_config"]));

/// A record of [`SCHEMA`] as a save writes it; some of its parts are longer than the blocks that are compared at once.
const RECORD: &str = r#"{
  "schema_version": "2.0",
  "experiment_id": "a \u00e9 \"quoted\" name that goes on behind the first 64 bytes of its object",
  "measurement_config_hash": "0123456789abcdef",
  "timeseries": null,
  "b": true,
  "i": 12,
  "f": -0.25,
  "t": "2026-02-18T14:30:05.123456Z",
  "fs": [
    1.5,
    "NaN",
    2e3
  ],
  "ts": [
    "accelerate==0.1.2",
    "aiohttp==1.2.3",
    "café==2.3.4"
  ],
  "j": {
    "k": [
      1,
      {}
    ]
  },
  "o": {
    "f": 17.25,
    "i": 3
  },
  "l": [
    {
      "f": 1.0,
      "j": []
    },
    {
      "f": null,
      "j": "\\"
    }
  ],
  "effective_config": {
    "a": {
      "b": 1
    },
    "c": "text"
  }
}"#;

fn plan(columns: &[&str]) -> Plan {
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    Plan::new(
        &RecordSchema::from_json(SCHEMA).unwrap(),
        &columns,
        ConfigForm::Columns,
        Vec::new(),
        Limit::USUAL,
    )
    .unwrap()
}

/// Check a record.
pub fn projection(input: &[u8]) {
    let all = fuzzed::read(input, &ALL);
    let parsed = serde_json::from_slice::<Value>(input);
    match (&all, &parsed) {
        (Ok((values, config)), Ok(value)) => {
            let expected = object(&FIELDS, Some(value)).expect("it is read, and does not fit the schema");
            for (name, actual) in COLUMNS.iter().zip(values) {
                let expected = within(&expected, name);
                // As text: -0.0 equals 0.0.
                assert_eq!(actual.to_string(), expected.to_string(), "{name}");
            }
            let config = config.map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(config.as_ref(), value.get("effective_config"));
        }
        (Ok(_), Err(error)) => {
            let said = error.to_string();
            assert!(SKIPPED.iter().any(|skipped| said.contains(skipped)), "read, and not JSON: {said}");
            let text = std::str::from_utf8(input).expect("read, and not UTF-8");
            serde_json::from_str::<IgnoredAny>(text).expect("read, and not JSON");
        }
        (Err(said), Ok(value)) => {
            // The value of the first of two keys may be the reason.
            let is_stricter =
                STRICTER.iter().any(|reason| said.contains(reason)) || has_repeated_key(input, value);
            assert!(
                is_stricter || object(&FIELDS, Some(value)).is_none(),
                "rejected, and it fits the schema: {said}"
            );
        }
        (Err(_), Err(_)) => {}
    }
    // So does a scan that has read another record before, or the same one.
    for earlier in [input, RECORD.as_bytes()] {
        let after = fuzzed::read_after(earlier, input, &ALL);
        assert_same(&after, &all);
        let (after, alone) = (fuzzed::read_after(earlier, input, &CONFIG), fuzzed::read(input, &CONFIG));
        assert_same(&after, &alone);
        assert_eq!(after.map(|(_, config)| config), alone.map(|(_, config)| config));
    }
    // A scan of fewer columns sees the same values.
    for (place, plan) in EACH.iter().enumerate() {
        let narrow = fuzzed::read(input, plan);
        assert_same(&fuzzed::read_after(RECORD.as_bytes(), input, plan), &narrow);
        if let Ok((values, _)) = &all {
            let (narrow, _) = narrow.expect("read in all columns, and not in one");
            assert_eq!(narrow[0].to_string(), values[place].to_string(), "{}", COLUMNS[place]);
        } else {
            assert!(narrow.is_err(), "read in one column, and not in all: {}", COLUMNS[place]);
        }
    }
}

/// Check that two reads have the same values, or the same error.
fn assert_same<C>(one: &Result<(Vec<Value>, C), String>, other: &Result<(Vec<Value>, C), String>) {
    let shown = |read: &Result<(Vec<Value>, C), String>| match read {
        // As text: -0.0 equals 0.0.
        Ok((values, _)) => Ok(Value::from(values.clone()).to_string()),
        Err(said) => Err(said.clone()),
    };
    assert_eq!(shown(one), shown(other));
}

/// Return whether an object has a key twice, of which a plain parser keeps one.
fn has_repeated_key(input: &[u8], parsed: &Value) -> bool {
    count_members(std::str::from_utf8(input).unwrap()) > count_members(&parsed.to_string())
}

/// Count the members of all objects of a document, with repeated keys.
fn count_members(text: &str) -> usize {
    match text.trim_start().as_bytes()[0] {
        b'[' => items(text).map(count_members).sum(),
        b'{' => members(text, "an object").unwrap().iter().map(|(_, value)| 1 + count_members(value)).sum(),
        _ => 0,
    }
}

/// Return the expected values of an object's fields, with defaults; `None` if the object does not fit the schema.
fn object(fields: &Value, value: Option<&Value>) -> Option<Value> {
    let empty = Map::new();
    let members = match value {
        None => &empty,
        Some(value) => value.as_object()?,
    };
    let fields = fields.as_array().unwrap();
    let names: Vec<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    if members.keys().any(|key| !names.contains(&key.as_str())) {
        return None;
    }
    let values = fields.iter().zip(names).map(|(field, name)| {
        let value = match members.get(name) {
            Some(value) => field_value(field, value),
            None => field.get("default").cloned(),
        };
        Some((name.to_owned(), value?))
    });
    values.collect::<Option<Map<String, Value>>>().map(Value::Object)
}

fn field_value(field: &Value, value: &Value) -> Option<Value> {
    let kind = field["kind"].as_str().unwrap();
    if value.is_null() && kind != "json" {
        return (field["nullable"] == true).then_some(Value::Null);
    }
    let each = |fits: fn(&Value) -> Option<Value>| {
        value.as_array()?.iter().map(fits).collect::<Option<Vec<Value>>>().map(Value::Array)
    };
    match kind {
        "bool" => value.is_boolean().then(|| value.clone()),
        "text" => value.is_string().then(|| value.clone()),
        // The scan, and not this check, parses times.
        "time" => value.is_string().then(|| json!("a time")),
        "int" => integer(value),
        "float" => float(value),
        "floats" => each(float),
        "texts" => each(|text| text.is_string().then(|| text.clone())),
        "object" => object(&field["fields"], Some(value)),
        "objects" => {
            let items = value.as_array()?.iter().map(|item| object(&field["fields"], Some(item)));
            items.collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        "config" => value.is_object().then(|| value.clone()),
        _ => Some(value.clone()),
    }
}

fn integer(value: &Value) -> Option<Value> {
    let number = value.as_number()?;
    if number.is_f64() {
        let float = number.as_f64()?;
        if float.fract() == 0.0 && float.abs() < 2_f64.powi(53) {
            #[allow(clippy::cast_possible_truncation, reason = "it is small")]
            return Some(json!(float as i64));
        }
        // A row has no integer beyond 64 bits.
        return (float.abs() >= 2_f64.powi(63)).then_some(Value::Null);
    }
    Some(number.as_i64().map_or(Value::Null, Value::from))
}

fn float(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) => number.as_f64().map(Value::from),
        Value::String(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
            Some(value.clone())
        }
        _ => None,
    }
}

/// Return the expected value of a column.
fn within(record: &Value, name: &str) -> Value {
    let Some((above, below)) = name.split_once('.') else { return record[name].clone() };
    match &record[above] {
        Value::Array(items) => items.iter().map(|item| item[below].clone()).collect(),
        value => value[below].clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_reads_and_has_all_fields_in_order() {
        let (values, _) = fuzzed::read_after(RECORD.as_bytes(), RECORD.as_bytes(), &ALL).unwrap();
        assert!(!values.contains(&json!(7)), "a default");
        projection(RECORD.as_bytes());
    }

    #[test]
    fn projection_of_a_record_that_ends_anywhere_agrees() {
        for end in 0..RECORD.len() {
            projection(&RECORD.as_bytes()[..end]);
        }
    }

    #[test]
    fn projection_of_a_record_with_another_byte_agrees() {
        for at in 0..RECORD.len() {
            for byte in *b"\"\\}],:0-e \n\x01\xff\xc3" {
                let mut other = RECORD.as_bytes().to_vec();
                other[at] = byte;
                projection(&other);
                other[at] = RECORD.as_bytes()[at];
                other.insert(at, byte);
                projection(&other);
            }
            let mut shorter = RECORD.as_bytes().to_vec();
            shorter.remove(at);
            projection(&shorter);
        }
    }

    #[test]
    fn projection_of_a_record_whose_lines_are_moved_agrees() {
        let lines: Vec<&str> = RECORD.split_inclusive('\n').collect();
        for from in 0..lines.len() {
            for to in 0..lines.len() {
                let mut repeated = lines.clone();
                repeated.insert(to, lines[from]);
                projection(repeated.concat().as_bytes());
                let mut moved = lines.clone();
                let line = moved.remove(from);
                moved.insert(to, line);
                projection(moved.concat().as_bytes());
            }
        }
    }
}
