//! One result, from the request to what lies on disk.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use llem_store::save::{Save, Saved, Sidecar, save};
use llem_store::sidecar::Source;
use llem_store::timeseries::Columns;
use llem_store::{Durability, Error, Interrupt};

use arrow_array::{RecordBatch, RecordBatchIterator};

const RECORD: &[u8] = br#"{"timeseries":null}"#;
const BESIDE: &[u8] = br#"{"timeseries":"timeseries.parquet"}"#;

/// What is in a file, when that is one field as it is laid out.
fn field_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.strip_prefix("{\n  ").unwrap().strip_suffix("\n}").unwrap().to_owned()
}

fn request(root: &Path, source: Option<Source>) -> Save<'_> {
    let sidecar = source.map(|source| (source, BESIDE));
    Save { root, name: "base", record: RECORD, sidecar, durability: Durability::Durable }
}

fn trace() -> Source {
    let batch = RecordBatch::try_from(Columns::default()).unwrap();
    let schema = batch.schema();
    Source::Arrow(Box::new(RecordBatchIterator::new([Ok(batch)], schema)))
}

fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            found.extend(tree(&entry));
        }
        found.push(entry);
    }
    found.sort();
    found
}

#[test]
fn a_record_alone_is_committed() {
    let temp = tempfile::tempdir().unwrap();
    for durability in [Durability::Durable, Durability::Relaxed] {
        let root = temp.path().join("a/b");
        let Saved { path, sidecar } =
            save(Save { durability, ..request(&root, None) }, Interrupt::NEVER).unwrap();
        assert!(matches!(sidecar, Sidecar::None));
        assert_eq!(field_of(&path), r#""timeseries": null"#);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
    assert!(temp.path().join("a/b/base/result.json").exists());
    assert!(temp.path().join("a/b/base_1/result.json").exists());
}

#[test]
fn a_record_says_whether_a_sidecar_is_beside_it() {
    let temp = tempfile::tempdir().unwrap();
    let saved = save(request(temp.path(), Some(trace())), Interrupt::NEVER).unwrap();
    assert!(matches!(saved.sidecar, Sidecar::Stored));
    assert_eq!(field_of(&saved.path), r#""timeseries": "timeseries.parquet""#);
    let copied = Source::File(saved.path.with_file_name("timeseries.parquet"));
    assert!(matches!(
        save(request(temp.path(), Some(copied)), Interrupt::NEVER).unwrap().sidecar,
        Sidecar::Stored
    ));

    let absent = Source::File(temp.path().join("absent"));
    let saved = save(request(temp.path(), Some(absent)), Interrupt::NEVER).unwrap();
    assert!(matches!(saved.sidecar, Sidecar::Missing));
    assert_eq!(field_of(&saved.path), r#""timeseries": null"#);

    let failed = Source::Failed(Error::NotASource { reason: "no".into() });
    let saved = save(request(temp.path(), Some(failed)), Interrupt::NEVER).unwrap();
    assert!(matches!(saved.sidecar, Sidecar::Failed(Error::NotASource { .. })));
    assert_eq!(field_of(&saved.path), r#""timeseries": null"#);
}

#[test]
fn an_interrupt_before_the_commit_leaves_nothing_at_any_point() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("a/b");
    let (mut stop_at, mut stopped) = (0, true);
    while stopped {
        let asked = Cell::new(0);
        let is_cancelled = |_| asked.replace(asked.get() + 1) == stop_at;
        let saved = save(request(&root, Some(trace())), Interrupt::new(&is_cancelled));
        stopped = matches!(saved, Err(Error::Interrupted));
        assert!(stopped || saved.is_ok());
        assert!(!stopped || tree(temp.path()).is_empty(), "{:?}", tree(temp.path()));
        stop_at += 1;
    }
    assert!(stop_at > 2, "a save with a sidecar asks more than once");
}

#[test]
fn savers_that_give_up_do_not_pull_the_root_from_under_others() {
    let temp = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let root = temp.path().join(format!("{round}/results"));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let root = &root;
                scope.spawn(move || {
                    let saved = save(request(root, None), Interrupt::new(&|_| thread % 2 == 0));
                    assert_eq!(saved.is_ok(), thread % 2 == 1, "{saved:?}");
                });
            }
        });
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
    }
}
