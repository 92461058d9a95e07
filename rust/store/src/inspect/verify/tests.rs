//! Tests of `verify`.

use super::*;
use crate::inspect::testing::put;
use crate::scan::RecordSchema;
use std::fs;

const NAME: &str = "gpt2_pytorch_2026-02-18T14-30";

fn seen(root: &Path) -> (u64, Vec<(Status, String, String)>) {
    let schema = r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
        {"name": "timeseries", "kind": "text", "nullable": true, "default": null}]"#;
    let check = RecordCheck::new(&RecordSchema::from_json(schema).unwrap()).unwrap();
    let options = VerifyOptions {
        check: Arc::new(check),
        deep: false,
        limit: Limit::USUAL,
        follow_links: false,
        max_trace_bytes: 0,
    };
    let mut inspection = Inspection::open(&Store::at(root), options, Interrupt::NEVER).unwrap();
    let (mut complete, mut found) = (0, Vec::new());
    while let Some(batch) = inspection.next(Interrupt::NEVER).unwrap() {
        complete += batch.complete;
        let found_of = |f: Finding| (f.status, f.directory.to_str().unwrap().to_owned(), f.problem);
        found.extend(batch.findings.into_iter().map(found_of));
    }
    (complete, found)
}

#[test]
fn next_reports_the_status_of_each_directory() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    put(root, "study/a/result.json", b"{\"schema_version\": \"2.0\"}");
    put(root, "study/b/result.json", b"");
    put(root, "study/plots/png/x.png", b"");
    put(root, &format!("study/{NAME}/timeseries.parquet"), b"");
    put(root, "study/c/.result.json.tmp", b"");
    fs::create_dir(root.join(format!("{NAME}_7"))).unwrap();
    put(root, "notes/n.txt", b"");
    put(root, "traces/timeseries.parquet", b"");
    let (complete, found) = seen(root);
    assert_eq!(complete, 1);
    let mut kinds: Vec<_> = found.iter().map(|(kind, directory, _)| (directory.as_str(), *kind)).collect();
    kinds.sort_by_key(|(directory, _)| *directory);
    let given = (format!("{NAME}_7"), format!("study/{NAME}"));
    let expected = [
        (given.0.as_str(), Status::Incomplete),
        ("notes", Status::Foreign),
        ("study/b", Status::Damaged),
        ("study/c", Status::Incomplete),
        (given.1.as_str(), Status::Incomplete),
        ("study/plots", Status::Foreign),
        ("traces", Status::Foreign),
    ];
    assert_eq!(kinds, expected, "{found:?}");
}

#[test]
fn next_damaged_record_names_the_fault() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    for (name, content, said) in [
        ("a", &b""[..], "result.json (0 bytes) is not a complete result: the file is empty"),
        ("b", &[0; 3], "only NUL bytes"),
        ("c", b"{\"a\": [1,", "truncated"),
        ("d", b"[]", "expected a JSON object, got an array"),
        ("e", b"{\"schema_version\": \"3.1\"}", "schema line \"2.0\", got \"3.1\""),
        ("f", b"{\"a\": \"\xff\"}", "not UTF-8"),
    ] {
        put(root, &format!("{name}/result.json"), content);
        let (_, found) = seen(&root.join(name));
        assert!(found[0].2.contains(said), "{found:?}");
    }
    fs::create_dir_all(root.join("g/result.json")).unwrap();
    assert!(seen(&root.join("g")).1[0].2.contains("not a regular file"));
}

#[test]
fn next_missing_sidecar_names_it() {
    let temp = tempfile::tempdir().unwrap();
    put(temp.path(), "a/result.json", b"{\"timeseries\": \"x.parquet\"}");
    put(temp.path(), "b/result.json", b"{\"timeseries\": \"../a/result.json\"}");
    let (complete, found) = seen(temp.path());
    assert_eq!(complete, 2);
    assert!(found.iter().all(|(kind, ..)| *kind == Status::MissingSidecar), "{found:?}");
    assert!(found[1].2.contains("not a file name"), "{found:?}");
    put(temp.path(), "a/x.parquet", b"");
    assert_eq!(seen(temp.path()).1.len(), 1);
}
