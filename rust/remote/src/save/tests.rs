use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{Int64Array, RecordBatch, RecordBatchIterator};
use llem_store::save::Source;
use object_store::{Attribute, GetOptions, ObjectStore, ObjectStoreExt, PutPayload};

use llem_store::RECORD;

use super::*;
use crate::faulty::{Faults, Faulty};

const BASE: &str = "gpt2_vllm_2026-02-18T14-30";

fn client(store: &Arc<Faulty>) -> Client {
    Client::of(store.clone())
}

fn result(with_sidecar: bool) -> NewResult<'static> {
    let record = |name: &str| format!(r#"{{"timeseries":{name}}}"#).into_bytes();
    let column: arrow_array::ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_from_iter([("timestamp_s", column)]).unwrap();
    let schema = batch.schema();
    let sidecar = with_sidecar.then(|| NewSidecar {
        source: Source::Arrow(Box::new(RecordBatchIterator::new([Ok(batch)], schema))),
        record: record("\"timeseries.parquet\"").into(),
        memory: 0,
    });
    NewResult { name: BASE.into(), kind: Kind::Result, record: record("null").into(), sidecar, suffix: None }
}

/// Return the number of the save of each object, by its key.
fn owners(store: &Faulty) -> BTreeMap<String, String> {
    let inner = store.inner.clone();
    let read = async move {
        let mut owners = BTreeMap::new();
        for meta in futures_util::StreamExt::collect::<Vec<_>>(inner.list(None)).await {
            let key = meta.unwrap().location;
            let options = GetOptions { head: true, ..GetOptions::default() };
            let found = inner.get_opts(&key, options).await.unwrap();
            let id = found.attributes.get(&Attribute::Metadata("llemsaveid".into()));
            owners.insert(key.to_string(), id.map(|id| id.as_ref().to_owned()).unwrap_or_default());
        }
        Ok(owners)
    };
    crate::runtime::block_on(read, Interrupt::NEVER).unwrap()
}

fn put(store: &Faulty, key: &str) {
    let (inner, key) = (store.inner.clone(), key.to_owned());
    let put = async move {
        inner.put(&key.into(), PutPayload::from_static(b"{}")).await.unwrap();
        Ok(())
    };
    crate::runtime::block_on(put, Interrupt::NEVER).unwrap();
}

/// Check that a store has a number of results, each of one save, with its own sidecar where it names one.
fn check_results(store: &Faulty, expected: usize) {
    let owners = owners(store);
    let records: Vec<_> = owners.iter().filter(|(key, _)| key.ends_with(RECORD)).collect();
    assert_eq!(records.len(), expected);
    assert_eq!(records.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>().len(), expected, "two of one save");
    for (key, id) in records {
        let directory = key.strip_suffix(RECORD).unwrap();
        let name = directory.trim_end_matches('/').rsplit('/').next().unwrap();
        let is_odd = suffix_of(BASE, name).unwrap() % 2 == 1;
        let sidecar = owners.get(&format!("{directory}{SIDECAR}"));
        assert_eq!(sidecar, is_odd.then_some(id), "{key}");
    }
}

#[test]
fn save_sends_one_put_or_two_with_one_list_and_one_probe() {
    let store = Faulty::new(Faults::default());
    let (client, memory) = (client(&store), Arc::default());
    let save = |with_sidecar| save(&client, &memory, result(with_sidecar), Interrupt::NEVER).unwrap();
    let first = save(false).path;
    assert_eq!(first.to_str(), Some("s3://bucket/root/gpt2_vllm_2026-02-18T14-30/result.json"));
    assert_eq!(store.counts.all(), [2, 0, 0, 0]);
    save(false);
    assert_eq!(store.counts.all(), [3, 0, 0, 0]);
    assert!(matches!(save(true).sidecar, Sidecar::Stored(_)));
    assert_eq!(store.counts.all(), [5, 0, 1, 0]);
    save(true);
    assert_eq!(store.counts.all(), [7, 0, 1, 0]);
    check_results(&store, 4);
}

#[test]
fn save_in_threads_of_one_process_sends_one_put_each() {
    let store = Faulty::new(Faults::default());
    let (client, memory) = (client(&store), Arc::default());
    std::thread::scope(|scope| {
        for with_sidecar in [false, true].repeat(16) {
            let (client, memory) = (&client, &memory);
            scope.spawn(move || save(client, memory, result(with_sidecar), Interrupt::NEVER).unwrap());
        }
    });
    // 16 records, 16 sidecars with their records, one probe; one listing.
    assert_eq!(store.counts.all(), [16 + 32 + 1, 0, 1, 0]);
    check_results(&store, 32);
}

#[test]
fn save_through_faults_loses_and_duplicates_nothing() {
    let store = Faulty::new(Faults { puts: 40, gets: 10, ..Faults::default() });
    std::thread::scope(|scope| {
        for saver in 0..8 {
            let client = client(&store);
            scope.spawn(move || {
                let memory = Arc::default();
                for index in 0..4 {
                    let with_sidecar = (saver + index) % 2 == 0;
                    save(&client, &memory, result(with_sidecar), Interrupt::NEVER).unwrap();
                }
            });
        }
    });
    // The latest request lands 0.3 s after it was sent.
    std::thread::sleep(Duration::from_millis(400));
    check_results(&store, 32);
}

#[test]
fn save_next_to_copied_tree_does_not_touch_it() {
    let store = Faulty::new(Faults::default());
    for name in [BASE.to_owned(), format!("{BASE}_1"), format!("{BASE}_2"), format!("{BASE}_3")] {
        put(&store, &format!("root/{name}/{RECORD}"));
    }
    let (client, memory) = (client(&store), Arc::default());
    let saved = save(&client, &memory, result(true), Interrupt::NEVER).unwrap();
    assert_eq!(saved.path, client.url_of(&format!("{BASE}_5/{RECORD}")));
    let owners = owners(&store);
    assert!(!owners.contains_key(&format!("root/{BASE}_1/{SIDECAR}")), "{owners:?}");
    save(&client, &memory, result(false), Interrupt::NEVER).unwrap();
}

#[test]
fn save_with_wished_suffix_keeps_it_where_parity_fits_and_the_name_is_free() {
    let store = Faulty::new(Faults::default());
    for name in [format!("{BASE}_3/{RECORD}"), format!("{BASE}_6/{RECORD}"), format!("{BASE}_9/{SIDECAR}")] {
        put(&store, &format!("root/{name}"));
    }
    let (client, memory) = (client(&store), Arc::default());
    let save = |suffix, with_sidecar| {
        let result = NewResult { suffix: Some(suffix), ..result(with_sidecar) };
        let saved = save(&client, &memory, result, Interrupt::NEVER).unwrap();
        let name = saved.path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        suffix_of(BASE, &name).unwrap()
    };
    assert_eq!((save(21, true), save(17, true), save(18, false)), (21, 17, 18));
    // A record without a sidecar has the first, and a sidecar the second.
    assert_eq!((save(3, true), save(9, true)), (23, 25));
    assert_eq!(save(6, false), 20);
    // The parity does not fit.
    assert_eq!((save(2, true) % 2, save(1, false) % 2), (1, 0));
    assert!(!owners(&store).contains_key(&format!("root/{BASE}_3/{SIDECAR}")));
}

#[test]
fn save_to_store_that_overwrites_fails_at_once_and_afterwards() {
    let store = Faulty::new(Faults { overwrites: true, ..Faults::default() });
    let (client, memory) = (client(&store), Arc::default());
    let error = save(&client, &memory, result(false), Interrupt::NEVER).unwrap_err();
    assert!(error.to_string().contains("overwrites an object"), "{error}");
    assert_eq!(memory.conditions(), Conditions::Ignored);
    assert!(matches!(error, Error::Remote { .. }) && owners(&store).is_empty());
    let before = store.counts.all();
    save(&client, &memory, result(false), Interrupt::NEVER).unwrap_err();
    assert_eq!(store.counts.all(), before);
}

#[test]
fn save_with_refused_sidecar_saves_the_record() {
    let store = Faulty::new(Faults { refuses_sidecars: true, ..Faults::default() });
    let (client, memory) = (client(&store), Arc::default());
    let saved = save(&client, &memory, result(true), Interrupt::NEVER).unwrap();
    assert!(matches!(&saved.sidecar, Sidecar::Failed(error) if error.to_string().contains("permission")));
    assert_eq!(saved.path, client.url_of(&format!("{BASE}/{RECORD}")));
    check_results(&store, 1);
}

#[test]
fn save_to_store_that_never_answered_fails_soon() {
    let store = Faulty::new(Faults { is_unreachable: true, ..Faults::default() });
    let begun = std::time::Instant::now();
    let error = save(&client(&store), &Arc::default(), result(false), Interrupt::NEVER).unwrap_err();
    assert!(matches!(&error, Error::Remote { .. }) && error.to_string().contains("endpoint"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn save_cancelled_without_an_answer_is_unknown_and_resolves() {
    let store = Faulty::new(Faults { puts: 100, ..Faults::default() });
    let client = client(&store);
    let is_cancelled = AtomicBool::new(false);
    let ask = |_| is_cancelled.swap(true, Ordering::Relaxed);
    let error = save(&client, &Arc::default(), result(false), Interrupt::new(&ask)).unwrap_err();
    let Error::Unknown { result, id, cause } = error else { panic!("{error}") };
    assert!(matches!(*cause, Error::Interrupted));
    std::thread::sleep(Duration::from_millis(400));
    let is_there = owners(&store).values().any(|owner| *owner == id);
    let key = result.to_str().unwrap().strip_prefix("s3://bucket/root/").unwrap().to_owned();
    assert_eq!(resolve(&client, key, &id, Interrupt::NEVER).unwrap(), is_there);
}
