//! Scans of trees of records.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_schema::DataType;
use llem_store::load::{FaultClass, Limit};
use llem_store::scan::{
    Comparison, Condition, ConfigForm, Documents, Operand, RecordCheck, RecordErrorKind, RecordSchema, Scan,
    ScanError, ScanOptions,
};
use llem_store::{Interrupt, Store};

const SCHEMA: &str = r#"[
    {"name": "schema_version", "kind": "text", "default": "2.0"},
    {"name": "id", "kind": "text"},
    {"name": "energy_j", "kind": "float", "default": 0.5},
    {"name": "tokens", "kind": "int", "nullable": true, "default": null},
    {"name": "effective_config", "kind": "config", "default": {}}
]"#;

fn put(root: &Path, place: &str, record: &str) {
    let dir = root.join(place);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("result.json"), record).unwrap();
}

fn options(columns: &[&str], conditions: Vec<Condition>, batch_size: usize) -> ScanOptions {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    ScanOptions { columns, conditions, batch_size, stop_at_error: true, ..ScanOptions::default() }
}

fn plan(root: &Path, options: ScanOptions) -> Scan {
    Scan::new(Store::at(root), &RecordSchema::from_json(SCHEMA).unwrap(), options).unwrap()
}

fn scan(root: &Path, columns: &[&str], conditions: Vec<Condition>, batch_size: usize) -> Scan {
    plan(root, options(columns, conditions, batch_size))
}

fn texts(scan: &Scan) -> Vec<String> {
    let mut reader = scan.read(Interrupt::NEVER).unwrap();
    let mut texts = Vec::new();
    while let Some(part) = reader.next(Interrupt::NEVER).unwrap() {
        texts.extend(part.rows.column(0).as_string::<i32>().iter().map(|text| text.unwrap().to_owned()));
    }
    texts
}

#[test]
fn scan_tree_of_any_depth_returns_rows_in_path_order() {
    let temp = tempfile::tempdir().unwrap();
    let mut places: Vec<String> = (0..200).map(|n| format!("run-{n:03}")).collect();
    places.extend((0..300).map(|n| format!("study/{n:03}")));
    places.extend((0..700).map(|n| format!("studies/{:02}/{:02}/{n:03}", n % 7, n % 5)));
    for place in &places {
        put(temp.path(), place, &format!(r#"{{"id": "{place}"}}"#));
    }
    for ignored in [".hidden/a", "run-000/inner", "study/.trash-1/b"] {
        put(temp.path(), ignored, r#"{"id": "ignored"}"#);
    }
    fs::create_dir(temp.path().join("empty")).unwrap();
    places.sort_by(|one, other| Path::new(one).cmp(Path::new(other)));
    for batch_size in [1, 64, 10_000] {
        assert_eq!(texts(&scan(temp.path(), &["path"], Vec::new(), batch_size)), places);
    }
    assert_eq!(texts(&scan(temp.path(), &["id"], Vec::new(), 64)), places);
}

#[test]
fn scan_batch_size_limits_the_rows_of_a_batch() {
    let temp = tempfile::tempdir().unwrap();
    for n in 0..150 {
        put(temp.path(), &format!("{n:03}"), r#"{"id": "x"}"#);
    }
    let scan = scan(temp.path(), &["energy_j"], Vec::new(), 40);
    let mut reader = scan.read(Interrupt::NEVER).unwrap();
    let mut rows = Vec::new();
    while let Some(part) = reader.next(Interrupt::NEVER).unwrap() {
        let energies = part.rows.column(0).as_primitive::<Float64Type>();
        assert!(energies.values().iter().all(|energy| energy.to_bits() == 0.5_f64.to_bits()));
        rows.push(part.rows.num_rows());
    }
    assert_eq!(rows, [40, 40, 40, 30]);
}

#[test]
fn scan_invalid_records_stops_or_reports_errors() {
    let temp = tempfile::tempdir().unwrap();
    put(temp.path(), "a", r#"{"id": "a"}"#);
    for (place, record) in [
        ("b", ""),
        ("c", "\0\0\0"),
        ("d", r#"{"id": "d""#),
        ("e", r#"{"id": "e", "schema_version": "3.0"}"#),
        ("f", r#"{"foreign": 1}"#),
        ("g", r#"{"id": 7}"#),
        ("h", r#"{"id": "h", "id": "i"}"#),
        ("i", r#"{"id": "i", "tokens": 9223372036854775808}"#),
    ] {
        put(temp.path(), place, record);
    }
    let columns = ["id", "tokens"];
    let Err(ScanError::Record(first)) =
        scan(temp.path(), &columns, Vec::new(), 8).read(Interrupt::NEVER).unwrap().next(Interrupt::NEVER)
    else {
        panic!("it went on")
    };
    assert_eq!(first.path, temp.path().join("b/result.json"));
    let tolerant = ScanOptions { stop_at_error: false, ..options(&columns, Vec::new(), 8) };
    let mut reader = plan(temp.path(), tolerant).read(Interrupt::NEVER).unwrap();
    let part = reader.next(Interrupt::NEVER).unwrap().unwrap();
    // An integer beyond 64 bits is null in a row, and a note among the errors.
    assert_eq!(part.rows.num_rows(), 2);
    assert!(part.rows.column(1).is_null(1));
    let kinds: Vec<&str> = part
        .errors
        .iter()
        .map(|error| match &error.kind {
            RecordErrorKind::Fault(fault) => match fault.class() {
                FaultClass::Corrupt => "corrupt",
                FaultClass::OtherSchemaLine => "version",
                FaultClass::Invalid => "invalid",
            },
            RecordErrorKind::Io(_) => "io",
            RecordErrorKind::Beyond(_) => "beyond",
        })
        .collect();
    assert_eq!(
        kinds,
        ["corrupt", "corrupt", "corrupt", "version", "invalid", "invalid", "invalid", "beyond"]
    );
    assert!(part.errors[7].to_string().starts_with("tokens of "), "{}", part.errors[7]);
}

#[test]
fn scan_config_infers_types_that_hold_all_values() {
    let temp = tempfile::tempdir().unwrap();
    let configs = [
        r#"{"n": 1, "x": 1, "mixed": 1, "big": 18446744073709551615, "list": [1, 2.5], "deep": {"a.b": true}}"#,
        r#"{"n": -2, "x": 0.5, "mixed": "1", "big": 1, "list": [], "deep": null, "text": "NaN"}"#,
        r#"{"n": null, "x": "NaN", "mixed": [1], "large": 36893488147419103232, "exact": 9007199254740993}"#,
        r#"{"exact": 0.5}"#,
    ];
    for (n, config) in configs.iter().enumerate() {
        put(temp.path(), &format!("{n}"), &format!(r#"{{"id": "{n}", "effective_config": {config}}}"#));
    }
    let scan = scan(temp.path(), &["effective_config"], Vec::new(), 100);
    assert!(scan.schema().is_none());
    let mut reader = scan.read(Interrupt::NEVER).unwrap();
    let schema = reader.schema();
    let types: Vec<(&str, &DataType)> =
        schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
    let list = &DataType::new_list(DataType::Float64, true);
    assert_eq!(
        types,
        [
            ("effective_config.n", &DataType::Int64),
            ("effective_config.x", &DataType::Float64),
            ("effective_config.mixed", &DataType::Utf8),
            ("effective_config.big", &DataType::UInt64),
            ("effective_config.list", list),
            ("effective_config.deep.\"a.b\"", &DataType::Boolean),
            ("effective_config.text", &DataType::Utf8),
            ("effective_config.large", &DataType::Utf8),
            ("effective_config.exact", &DataType::Utf8),
        ]
    );
    let batch = reader.next(Interrupt::NEVER).unwrap().unwrap().rows;
    let numbers = batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(numbers.iter().collect::<Vec<_>>(), [Some(1), Some(-2), None, None]);
    assert!(batch.column(1).as_primitive::<Float64Type>().value(2).is_nan());
    let exact = batch.column(8).as_string::<i32>();
    assert_eq!((exact.value(2), exact.value(3)), ("9007199254740993", "0.5"));
}

#[test]
fn scan_conditions_on_other_columns_select_rows() {
    let temp = tempfile::tempdir().unwrap();
    for n in 0..10 {
        let record = format!(r#"{{"id": "{n}", "energy_j": {n}.5, "effective_config": {{"n": {n}}}}}"#);
        put(temp.path(), &format!("{n}"), &record);
    }
    let condition =
        |column: &str, comparison, operand| Condition { column: column.into(), comparison, operand };
    let conditions = vec![
        condition("energy_j", Comparison::Greater, Operand::Int(3)),
        condition("effective_config.n", Comparison::NotIn, Operand::List(vec![Operand::Int(5)])),
        condition("path", Comparison::LessOrEqual, Operand::Text("7".into())),
    ];
    assert_eq!(texts(&scan(temp.path(), &["id"], conditions, 100)), ["3", "4", "6", "7"]);
}

#[test]
fn scan_interrupted_or_dropped_stops_its_threads() {
    let temp = tempfile::tempdir().unwrap();
    for n in 0..500 {
        put(temp.path(), &format!("{n:03}"), r#"{"id": "x"}"#);
    }
    let scan = scan(temp.path(), &["id"], Vec::new(), 10);
    let mut reader = scan.read(Interrupt::NEVER).unwrap();
    assert!(matches!(
        reader.next(Interrupt::new(&|reached| reached.records > 0)),
        Err(ScanError::Store(llem_store::Error::Interrupted))
    ));
    drop(reader);
    let check = RecordCheck::new(&RecordSchema::from_json(SCHEMA).unwrap()).unwrap();
    let mut documents =
        Documents::open(&Store::at(temp.path()), Arc::new(check), Limit::USUAL, false, Interrupt::NEVER)
            .unwrap();
    assert_eq!(
        documents.next(Interrupt::NEVER).unwrap().unwrap()[0].as_ref().unwrap().bytes,
        br#"{"id": "x"}"#
    );
}

#[test]
fn scan_configuration_in_each_form_has_its_columns() {
    let temp = tempfile::tempdir().unwrap();
    put(temp.path(), "a", r#"{"id": "a", "effective_config": { "x" : 1, "y": {"z": [ 1 ]} }}"#);
    put(temp.path(), "b", r#"{"id": "b"}"#);
    put(temp.path(), "c", r#"{"id": "c", "effective_config": {"x": "\ud800"}}"#);
    put(temp.path(), "d", r#"{"id": "d", "effective_config": 5}"#);
    let names = ["id", "effective_config", "effective_config.x"];
    for (config, columns) in [
        (ConfigForm::Columns, &["id", "effective_config.y.z", "effective_config.x"][..]),
        (ConfigForm::Json, &names),
        (ConfigForm::Omitted, &["id", "effective_config.x"]),
    ] {
        let scan =
            plan(temp.path(), ScanOptions { config, stop_at_error: false, ..options(&names, Vec::new(), 8) });
        let batch = scan.read(Interrupt::NEVER).unwrap().next(Interrupt::NEVER).unwrap().unwrap();
        let schema = batch.rows.schema();
        let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(found, columns);
        assert_eq!((batch.rows.num_rows(), batch.errors.len()), (2, 2));
        if config == ConfigForm::Json {
            let texts: Vec<Option<&str>> = batch.rows.column(1).as_string::<i32>().iter().collect();
            assert_eq!(texts, [Some(r#"{"x":1,"y":{"z":[1]}}"#), Some("{}")]);
        }
    }
}

#[test]
fn scan_too_many_keys_fails_only_as_columns() {
    let temp = tempfile::tempdir().unwrap();
    for part in 0..3 {
        let keys: Vec<String> = (0..4000).map(|n| format!(r#""key-{part}-{n}": {n}"#)).collect();
        put(
            temp.path(),
            &format!("{part}"),
            &format!(r#"{{"id": "{part}", "effective_config": {{{}}}}}"#, keys.join(", ")),
        );
    }
    let read = |config| {
        let options = ScanOptions { config, ..options(&["effective_config", "id"], Vec::new(), 8) };
        plan(temp.path(), options).read(Interrupt::NEVER)?.next(Interrupt::NEVER)
    };
    let error = read(ConfigForm::Columns).unwrap_err().to_string();
    assert!(error.contains("more than 10000 different keys"), "{error}");
    for (config, columns) in [(ConfigForm::Json, 2), (ConfigForm::Omitted, 1)] {
        let batch = read(config).unwrap().unwrap();
        assert_eq!((batch.rows.num_rows(), batch.rows.num_columns()), (3, columns));
    }
}
