//! Failures next to results: a save, the readers of both kinds, a check and a clean.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use llem_store::inspect::clean::{CleanOptions, Outcome};
use llem_store::inspect::{Status, VerifyOptions};
use llem_store::load::{Limit, read};
use llem_store::name::failure_name;
use llem_store::part::{Listed, Weight};
use llem_store::save::{NewResult, SaveOptions};
use llem_store::scan::{Documents, RecordCheck, RecordSchema, completed};
use llem_store::{Failures, Interrupt, Kind, Storage, Store, Wanted};

const NAME: &str = "a_failed_vllm_2026-02-18T14-30";
const RECORD: &[u8] = br#"{"measurement_config_hash":"0123456789abcdef"}"#;

fn schema() -> RecordSchema {
    RecordSchema::from_json(
        r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
            {"name": "measurement_config_hash", "kind": "text"}]"#,
    )
    .unwrap()
}

fn save(root: &Path, kind: Kind) -> PathBuf {
    let name = if kind == Kind::Failure { failure_name(NAME) } else { NAME.to_owned() };
    let result = NewResult { kind, ..NewResult::new(name, RECORD) };
    Store::new(root).save(result, SaveOptions::default(), Interrupt::NEVER).unwrap().path
}

/// Return the paths of the records that a reader of a kind meets, relative to the root.
fn found(root: &Path, kind: Kind) -> Vec<String> {
    let storage = storage(root, kind);
    let check = Arc::new(RecordCheck::new(&schema()).unwrap());
    let mut documents = Documents::open(&storage, check, Limit::USUAL, false, Interrupt::NEVER).unwrap();
    let mut paths = Vec::new();
    while let Some(read) = documents.next(Interrupt::NEVER).unwrap() {
        for document in read {
            let document = document.unwrap();
            assert!(document.fault.is_none());
            paths.push(document.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
    let counted = completed(&storage, &schema(), Limit::USUAL, false, Interrupt::NEVER).unwrap();
    assert_eq!(counted.hashes.values().sum::<u64>(), paths.len() as u64);
    paths
}

fn storage(root: &Path, kind: Kind) -> Arc<dyn Storage> {
    match kind {
        Kind::Result => Store::at(root),
        Kind::Failure => Arc::new(Failures(Store::at(root))),
    }
}

#[test]
fn save_of_failures_next_to_results_takes_names_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    for kind in [Kind::Failure, Kind::Result, Kind::Failure, Kind::Result] {
        save(root, kind);
    }
    let results = [format!("{NAME}/result.json"), format!("{NAME}_1/result.json")];
    let failures = [format!("{NAME}_failed/failure.json"), format!("{NAME}_failed_1/failure.json")];
    assert_eq!(found(root, Kind::Result), results);
    assert_eq!(found(root, Kind::Failure), failures);
    let listed =
        Listed::of(&Store::at(root), &Wanted::Names, Weight::Count, false, Interrupt::NEVER).unwrap();
    assert_eq!((listed.part.len(), listed.failures), (2, 2));
    let read =
        read(&Failures(Store::at(root)), failures[0].as_ref(), Limit::USUAL, Interrupt::NEVER).unwrap();
    assert_eq!(read.path, root.join(&failures[0]));
}

#[test]
fn directory_with_both_files_is_a_result() {
    let temp = tempfile::tempdir().unwrap();
    let failure = save(temp.path(), Kind::Failure);
    fs::write(failure.with_file_name("result.json"), RECORD).unwrap();
    assert_eq!(found(temp.path(), Kind::Result), [format!("{NAME}_failed/result.json")]);
    assert_eq!(found(temp.path(), Kind::Failure), [""; 0]);
}

#[test]
fn clean_puts_a_failure_in_the_trash_back() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let failure = save(root, Kind::Failure);
    let directory = failure.parent().unwrap();
    fs::create_dir(root.join(".trash-1")).unwrap();
    fs::rename(directory, root.join(".trash-1").join(directory.file_name().unwrap())).unwrap();
    let clean = CleanOptions { older_than: Duration::ZERO, dry_run: false };
    let outcomes = Store::new(root).clean(clean, Interrupt::NEVER).unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].outcome, Outcome::Restored);
    assert!(failure.exists() && !root.join(".trash-1").exists());
}

#[test]
fn check_and_clean_keep_failures() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("study");
    save(&root, Kind::Result);
    let failure = save(&root, Kind::Failure);
    // A failure whose save stopped before its commit is a leftover.
    let leftover = root.join(format!("{NAME}_failed_1"));
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join(".failure.json.tmp"), b"half").unwrap();
    let clean = CleanOptions { older_than: Duration::ZERO, dry_run: false };
    let check = Arc::new(RecordCheck::new(&schema()).unwrap());
    let options =
        VerifyOptions { check, deep: false, limit: Limit::USUAL, follow_links: false, max_trace_bytes: 0 };
    for leftovers in [1, 0] {
        let mut inspection = Store::new(temp.path()).verify(options.clone(), Interrupt::NEVER).unwrap();
        let (mut complete, mut failures, mut findings) = (0, 0, Vec::new());
        while let Some(batch) = inspection.next(Interrupt::NEVER).unwrap() {
            complete += batch.complete;
            failures += batch.failures;
            findings.extend(batch.findings);
        }
        assert_eq!((complete, failures, findings.len()), (1, 1, leftovers));
        assert!(findings.iter().all(|finding| finding.status == Status::Incomplete));
        let removed = Store::new(temp.path()).clean(clean, Interrupt::NEVER).unwrap();
        assert_eq!(removed.len(), leftovers);
    }
    assert!(failure.exists() && !leftover.exists());
}
