//! Bulk saves, from the requests to the files on disk.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use llem_store::bulk::{Bulk, BulkOptions, FlushMethod, Patience};
use llem_store::save::{NewResult, NewSidecar, Saved, Sidecar, Source};
use llem_store::timeseries::Columns;
use llem_store::{Durability, Error, Interrupt};

use arrow_array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};

const METHODS: [Option<FlushMethod>; 3] = [None, Some(FlushMethod::Fsync), Some(FlushMethod::Syncfs)];

fn options(flush_method: Option<FlushMethod>) -> BulkOptions {
    BulkOptions { flush_method, ..BulkOptions::default() }
}

fn result(name: &str, record: impl Into<Vec<u8>>) -> NewResult<'static> {
    NewResult::new(name.to_owned(), record.into())
}

fn with_sidecar(source: Source) -> NewResult<'static> {
    let sidecar = NewSidecar { source, record: b"with sidecar".into(), memory: 0 };
    NewResult { sidecar: Some(sidecar), ..result("base", "without") }
}

fn trace() -> Source {
    let batch = RecordBatch::try_from(Columns::default()).unwrap();
    let schema = batch.schema();
    Source::Arrow(Box::new(RecordBatchIterator::new([Ok(batch)], schema)))
}

fn submit(bulk: &Bulk, ticket: u64, result: NewResult<'static>, interrupted: bool) -> Result<bool, Error> {
    bulk.submit(ticket, result, Patience::UntilFinished, Interrupt::new(&|_| interrupted))
}

fn all(bulk: &Bulk) -> HashMap<u64, Result<Saved, Error>> {
    let mut outcomes = HashMap::new();
    loop {
        let finished = bulk.finished(Duration::from_secs(30));
        assert!(finished.over || !finished.outcomes.is_empty(), "the save hangs");
        for (ticket, outcome) in finished.outcomes {
            assert!(outcomes.insert(ticket, outcome).is_none(), "{ticket} was reported twice");
        }
        if finished.over {
            return outcomes;
        }
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found.sort();
    found
}

#[test]
fn submit_each_result_saves_its_own_bytes() {
    for method in METHODS {
        for durability in [Durability::Durable, Durability::Relaxed] {
            let temp = tempfile::tempdir().unwrap();
            let root = temp.path().join("a/b");
            let bulk = Bulk::new(root.clone(), BulkOptions { durability, ..options(method) });
            assert!(!root.exists(), "nothing is made before there is a result");
            for ticket in 0..700 {
                let name = format!("name-{}", ticket % 3);
                submit(&bulk, ticket, result(&name, ticket.to_string()), false).unwrap();
            }
            bulk.close();
            let outcomes = all(&bulk);
            bulk.join();
            assert_eq!(outcomes.len(), 700);
            for (ticket, outcome) in outcomes {
                assert_eq!(fs::read(outcome.unwrap().path).unwrap(), ticket.to_string().into_bytes());
            }
            assert_eq!(files(&root).len(), 700);
        }
    }
}

#[test]
fn submit_single_result_finishes_without_another() {
    let temp = tempfile::tempdir().unwrap();
    for many in [true, false] {
        let bulk = Bulk::new(temp.path().to_owned(), BulkOptions { is_batch: many, ..options(None) });
        for ticket in 0..3 {
            submit(&bulk, ticket, result("base", "{}"), false).unwrap();
            let finished = bulk.finished(Duration::from_secs(30));
            assert_eq!((finished.outcomes.len(), finished.over), (1, false));
        }
    }
}

#[test]
fn submit_without_room_waits_until_cancelled() {
    let temp = tempfile::tempdir().unwrap();
    let few = BulkOptions { max_results: 1, ..options(None) };
    let bulk = Bulk::new(temp.path().to_owned(), few);
    let mut refused = 0;
    for ticket in 0..50 {
        match submit(&bulk, ticket, result("base", vec![b'x'; 1 << 20]), true) {
            Ok(_) => {}
            Err(Error::Interrupted) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    bulk.close();
    assert!(matches!(submit(&bulk, 50, result("base", "{}"), false), Err(Error::Closed)));
    assert_eq!(all(&bulk).len() + refused, 50);
    assert!(refused > 0);
}

#[test]
fn submit_result_above_max_bytes_saves_it() {
    let temp = tempfile::tempdir().unwrap();
    let bulk = Bulk::new(temp.path().to_owned(), BulkOptions { max_bytes: 10, ..options(None) });
    for ticket in 0..3 {
        submit(&bulk, ticket, result("base", vec![b'x'; 1000]), false).unwrap();
    }
    bulk.close();
    assert!(all(&bulk).values().all(Result::is_ok));
}

#[test]
fn submit_failed_sidecar_saves_the_record() {
    let temp = tempfile::tempdir().unwrap();
    let not_parquet = temp.path().join("not.parquet");
    fs::write(&not_parquet, "x").unwrap();
    for method in METHODS {
        let root = temp.path().join(format!("{method:?}"));
        let bulk = Bulk::new(root.clone(), options(method));
        let sources = [trace(), Source::File(temp.path().join("absent")), Source::File(not_parquet.clone())];
        for (ticket, source) in (0..).zip(sources) {
            submit(&bulk, ticket, with_sidecar(source), false).unwrap();
        }
        bulk.close();
        let mut outcomes = all(&bulk);
        let mut saved = |ticket| {
            let Saved { path, sidecar } = outcomes.remove(&ticket).unwrap().unwrap();
            let stored = path.with_file_name("timeseries.parquet").exists();
            (sidecar, fs::read(path).unwrap(), stored)
        };
        assert!(matches!(saved(0), (Sidecar::Stored(_), record, true) if record == b"with sidecar"));
        assert!(matches!(saved(1), (Sidecar::Missing, record, false) if record == b"without"));
        assert!(matches!(saved(2), (Sidecar::Failed(_), record, false) if record == b"without"));
        assert_eq!(files(&root).len(), 4);
    }
}

/// A stream that stalls until its sender is dropped.
struct Stalled(mpsc::Receiver<()>, SchemaRef);

impl Iterator for Stalled {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = self.0.recv();
        None
    }
}

impl RecordBatchReader for Stalled {
    fn schema(&self) -> SchemaRef {
        self.1.clone()
    }
}

#[test]
fn submit_stalled_source_delays_no_other_result() {
    let temp = tempfile::tempdir().unwrap();
    let orders = [(5, 0), (5, 1), (5, 4), (3, 2)];
    for ((count, stalled), many) in orders.into_iter().flat_map(|order| [(order, false), (order, true)]) {
        let root = temp.path().join("root");
        let bulk = Bulk::new(root, BulkOptions { is_batch: many, ..options(None) });
        // All threads there are have been at work, and have nothing to do.
        let mut idle = 100..110;
        for ticket in idle.clone() {
            submit(&bulk, ticket, result("base", "without"), false).unwrap();
        }
        while !idle.is_empty() {
            idle.start += bulk.finished(Duration::from_secs(30)).outcomes.len() as u64;
        }
        let (release, wait) = mpsc::channel();
        let mut wait = Some(wait);
        for ticket in 0..count {
            let result = if ticket == stalled {
                let source = Stalled(wait.take().unwrap(), llem_store::timeseries::schema());
                with_sidecar(Source::Arrow(Box::new(source)))
            } else {
                result("base", "without")
            };
            submit(&bulk, ticket, result, false).unwrap();
        }
        let mut others = BTreeSet::new();
        while (others.len() as u64) < count - 1 {
            let finished = bulk.finished(Duration::from_secs(30));
            assert!(!finished.outcomes.is_empty(), "only {others:?} where {stalled} stalls");
            others.extend(finished.outcomes.into_iter().map(|(ticket, _)| ticket));
        }
        assert!(!others.contains(&stalled));
        drop(release);
        bulk.close();
        assert!(all(&bulk)[&stalled].is_ok());
    }
}

#[test]
fn submit_with_removed_root_creates_it_again() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    let bulk = Bulk::new(root.clone(), BulkOptions { is_batch: false, ..options(None) });
    for (ticket, moved) in (0..).zip(["", "moved", "removed", ""]) {
        submit(&bulk, ticket, result("base", "{}"), false).unwrap();
        let path = bulk.finished(Duration::from_secs(30)).outcomes.remove(0).1.unwrap().path;
        assert!(path.starts_with(&root) && path.exists(), "{ticket}");
        match moved {
            "moved" => fs::rename(&root, temp.path().join(moved)).unwrap(),
            "removed" => fs::remove_dir_all(&root).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn submit_invalid_name_fails_alone() {
    let temp = tempfile::tempdir().unwrap();
    let bulk = Bulk::new(temp.path().to_owned(), options(None));
    for ticket in 0..100 {
        let name = if ticket % 10 == 0 { "x".repeat(300) } else { "base".to_owned() };
        submit(&bulk, ticket, result(&name, "{}"), false).unwrap();
    }
    bulk.close();
    let outcomes = all(&bulk);
    for (ticket, outcome) in &outcomes {
        assert_eq!(outcome.is_err(), ticket % 10 == 0, "{outcome:?}");
    }
    assert_eq!((outcomes.len(), files(temp.path()).len()), (100, 90));
}

#[test]
fn cancel_undoes_results_that_are_not_in_place() {
    for durability in [Durability::Durable, Durability::Relaxed] {
        let temp = tempfile::tempdir().unwrap();
        let bulk = Bulk::new(temp.path().to_owned(), BulkOptions { durability, ..options(None) });
        for ticket in 0..900 {
            submit(&bulk, ticket, result("base", "{}"), false).unwrap();
        }
        bulk.cancel();
        let outcomes = all(&bulk);
        bulk.join();
        assert!(bulk.in_place().is_empty());
        let saved = outcomes.values().filter(|outcome| outcome.is_ok()).count();
        assert!(outcomes.values().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Interrupted))));
        assert_eq!((outcomes.len(), files(temp.path()).len()), (900, saved));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), saved, "no empty directory is left");
    }
}

#[test]
fn submit_from_many_threads_loses_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let few = BulkOptions { max_results: 20, is_batch: false, ..options(None) };
    let bulk = Bulk::new(temp.path().to_owned(), few);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let bulk = &bulk;
            scope.spawn(move || {
                for n in 0..100 {
                    submit(bulk, thread * 100 + n, result("base", "{}"), false).unwrap();
                }
            });
        }
    });
    bulk.close();
    assert!(all(&bulk).values().all(Result::is_ok));
    assert_eq!(files(temp.path()).len(), 800);
}

#[test]
fn submit_until_settled_waits_for_settle() {
    let temp = tempfile::tempdir().unwrap();
    let few = BulkOptions { max_results: 2, is_batch: false, ..options(None) };
    let bulk = Bulk::new(temp.path().to_owned(), few);
    let patiently =
        |ticket| bulk.submit(ticket, result("base", "{}"), Patience::UntilSettled, Interrupt::new(&|_| true));
    patiently(0).unwrap();
    bulk.refuse(1, Patience::UntilSettled, Interrupt::new(&|_| true)).unwrap();
    bulk.refused();
    while bulk.finished(Duration::from_secs(30)).outcomes.is_empty() {}
    assert!(matches!(patiently(2), Err(Error::Interrupted)), "finished, but not settled");
    submit(&bulk, 2, result("base", "{}"), true).unwrap();
    assert!(matches!(bulk.wait_settled(2, Interrupt::new(&|_| true)), Err(Error::Interrupted)));
    bulk.settle(&[0, 1]);
    bulk.wait_settled(2, Interrupt::new(&|_| true)).unwrap();
    patiently(3).unwrap();
}
