//! Single saves, from the request to the files on disk.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use llem_store::save::{NewResult, NewSidecar, SaveOptions, Saved, Sidecar, Source};
use llem_store::timeseries::Columns;
use llem_store::{Durability, Error, Interrupt, Storage, Store};

use arrow_array::{RecordBatch, RecordBatchIterator};

const RECORD: &[u8] = br#"{"timeseries":null}"#;
const WITH_SIDECAR: &[u8] = br#"{"timeseries":"timeseries.parquet"}"#;

/// Return the only field of an indented record.
fn field_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.strip_prefix("{\n  ").unwrap().strip_suffix("\n}").unwrap().to_owned()
}

fn save(root: &Path, source: Option<Source>, interrupt: Interrupt<'_>) -> Result<Saved, Error> {
    let sidecar = source.map(|source| NewSidecar { source, record: WITH_SIDECAR.into(), memory: 0 });
    let result = NewResult { sidecar, ..NewResult::new("base", RECORD) };
    Store::new(root).save(result, SaveOptions::default(), interrupt)
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
fn save_without_sidecar_commits_the_record() {
    let temp = tempfile::tempdir().unwrap();
    for durability in [Durability::Durable, Durability::Relaxed] {
        let root = temp.path().join("a/b");
        let Saved { path, sidecar } = Store::new(&root)
            .save(NewResult::new("base", RECORD), SaveOptions { durability }, Interrupt::NEVER)
            .unwrap();
        assert!(matches!(sidecar, Sidecar::None));
        assert_eq!(field_of(&path), r#""timeseries": null"#);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
    assert!(temp.path().join("a/b/base/result.json").exists());
    assert!(temp.path().join("a/b/base_1/result.json").exists());
}

#[test]
fn save_with_sidecar_names_it_in_the_record() {
    let temp = tempfile::tempdir().unwrap();
    let saved = save(temp.path(), Some(trace()), Interrupt::NEVER).unwrap();
    assert!(matches!(saved.sidecar, Sidecar::Stored(_)));
    assert_eq!(field_of(&saved.path), r#""timeseries": "timeseries.parquet""#);
    let copied = Source::File(saved.path.with_file_name("timeseries.parquet"));
    assert!(matches!(save(temp.path(), Some(copied), Interrupt::NEVER).unwrap().sidecar, Sidecar::Stored(_)));

    let absent = Source::File(temp.path().join("absent"));
    let saved = save(temp.path(), Some(absent), Interrupt::NEVER).unwrap();
    assert!(matches!(saved.sidecar, Sidecar::Missing));
    assert_eq!(field_of(&saved.path), r#""timeseries": null"#);

    let failed = Source::Failed(Error::NotASource { reason: "no".into() });
    let saved = save(temp.path(), Some(failed), Interrupt::NEVER).unwrap();
    assert!(matches!(saved.sidecar, Sidecar::Failed(Error::NotASource { .. })));
    assert_eq!(field_of(&saved.path), r#""timeseries": null"#);
}

#[test]
fn save_cancelled_before_the_commit_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("a/b");
    let (mut stop_at, mut stopped) = (0, true);
    while stopped {
        let asked = Cell::new(0);
        let is_cancelled = |_| asked.replace(asked.get() + 1) == stop_at;
        let saved = save(&root, Some(trace()), Interrupt::new(&is_cancelled));
        stopped = matches!(saved, Err(Error::Interrupted));
        assert!(stopped || saved.is_ok());
        assert!(!stopped || tree(temp.path()).is_empty(), "{:?}", tree(temp.path()));
        stop_at += 1;
    }
    assert!(stop_at > 2, "a save with a sidecar asks more than once");
}

#[test]
fn save_next_to_cancelled_saves_keeps_its_root() {
    let temp = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let root = temp.path().join(format!("{round}/results"));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let root = &root;
                scope.spawn(move || {
                    let saved = save(root, None, Interrupt::new(&|_| thread % 2 == 0));
                    assert_eq!(saved.is_ok(), thread % 2 == 1, "{saved:?}");
                });
            }
        });
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
    }
}
