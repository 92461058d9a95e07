//! Tests of `record`; `fuzzing::projection` compares the values with those of a plain parser.

use super::*;
use crate::load::Limit;
use crate::scan::{ConfigForm, RecordSchema};

const SCHEMA: &str = r#"[
    {"name": "schema_version", "kind": "text", "default": "2.0"},
    {"name": "f", "kind": "float"},
    {"name": "o", "kind": "object", "fields": [
        {"name": "i", "kind": "int"}, {"name": "ts", "kind": "texts"}, {"name": "b", "kind": "bool"}
    ]},
    {"name": "effective_config", "kind": "config"}
]"#;

/// Return a record as a save writes it.
fn record(f: f64, b: bool, seed: u32) -> String {
    let texts: Vec<String> = (0..40).map(|n| format!("\n      \"package=={n}\"")).collect();
    let texts = texts.join(",");
    format!(
        "{{\n  \"schema_version\": \"2.0\",\n  \"f\": {f:?},\n  \"o\": {{\n    \"i\": 1,\n    \"ts\": [{texts}\n    \
         ],\n    \"b\": {b}\n  }},\n  \"effective_config\": {{\n    \"model\": \"m\",\n    \"data\": {{\n      \
         \"seed\": {seed}\n    }},\n    \"more\": [\n      1\n    ]\n  }}\n}}"
    )
}

/// Return the bytes of a record that were parsed, after another record.
fn parsed_bytes(columns: &[&str], earlier: &str, text: &str) -> usize {
    let schema = RecordSchema::from_json(SCHEMA).unwrap();
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    let plan = Plan::new(&schema, &columns, ConfigForm::Columns, Vec::new(), Limit::USUAL).unwrap();
    let mut memory = Memory::default();
    parse(earlier.as_bytes(), &plan, Some(&mut memory), Interrupt::NEVER).unwrap();
    let (template, draft) = memory.prepare();
    assert!(draft.is_none());
    let empty = ParsedRecord { values: vec![FieldValue::Null; plan.width], config: None, beyond: None };
    let mut parser =
        Parser { cursor: Cursor::new(text, Interrupt::NEVER), record: empty, template, draft, same: 0 };
    parser.object(&plan.record, None).unwrap();
    text.len() - parser.same
}

#[test]
fn object_after_a_similar_record_parses_what_differs() {
    let one = record(0.5, true, 1);
    let parsed = |columns: &[&str], other: &str| parsed_bytes(columns, &one, other);
    let version = "{\n  \"schema_version\": \"2.0\",".len();
    assert_eq!(parsed(&[], &one), version);
    assert_eq!(parsed(&["f"], &one), version + "\n  \"f\": 0.5,".len());
    assert_eq!(parsed(&[], &record(10.25, true, 1)), version + "\n  \"f\": 10.25,".len());
    let below = version + "\n  \"o\": {".len();
    assert_eq!(parsed(&[], &record(0.5, false, 1)), below + "\n    \"b\": false\n  },".len());
    let config = version + "\n  \"effective_config\": {\n    ".len();
    let data = "\n    \"data\": {\n      \"seed\": 22\n    },".len();
    assert_eq!(parsed(&[], &record(0.5, true, 22)), config + data + "\n}".len());
    assert_eq!(parsed(&["effective_config.model"], &record(0.5, true, 22)), config + data + "\n}".len());
}
