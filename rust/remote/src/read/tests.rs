use std::sync::atomic::Ordering;

use object_store::{ObjectStoreExt, PutPayload};

use llem_store::RECORD;

use super::*;
use crate::faulty::{Faults, Faulty};

/// Put objects below a root of a store, and return a client of the root.
fn filled(store: &Arc<Faulty>, objects: &[(String, Vec<u8>)]) -> Client {
    let (inner, objects) = (store.inner.clone(), objects.to_vec());
    let put = async move {
        for (key, bytes) in objects {
            inner.put(&format!("root/{key}").into(), PutPayload::from(bytes)).await.unwrap();
        }
        Ok(())
    };
    block_on(put, Interrupt::NEVER).unwrap();
    Client::of(store.clone())
}

/// Return the directories and records of a listing.
fn read_all(client: &Client) -> Vec<(String, String)> {
    read_to_end(Listed::begin(client, None, Kind::Result, &Wanted::Records, Interrupt::NEVER).unwrap())
}

fn read_to_end(mut listed: Listed) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some(met) = listed.next(Interrupt::NEVER).unwrap() {
        match met {
            Met::Result(entry) => {
                let mut record = Vec::new();
                entry.read(Limit::USUAL, &mut record).unwrap();
                all.push((entry.place().display().to_string(), String::from_utf8(record).unwrap()));
            }
            Met::Failed(error) => panic!("{error}"),
            Met::Directory(_) => {}
        }
    }
    all
}

#[test]
fn list_through_faults_returns_each_record_once_in_order() {
    let store = Faulty::new(Faults { gets: 10, ..Faults::default() });
    let records: Vec<_> = (0..300)
        .map(|n| (format!("r{n:03}"), format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(n * 40))))
        .collect();
    let objects: Vec<_> =
        records.iter().map(|(name, text)| (format!("{name}/{RECORD}"), text.clone().into_bytes())).collect();
    let client = filled(&store, &objects);
    assert_eq!(read_all(&client), records);
    assert_eq!(store.counts.all()[2], 1);
}

#[test]
fn list_that_is_released_while_it_arrives_returns_each_record_once_in_order() {
    let store = Faulty::new(Faults { gets: 10, ..Faults::default() });
    let names = (0..3000).map(|n| format!("gpt2-{}/x_vllm_2026-02-18T14-{n:04}", n / 1000));
    let records: Vec<_> = names.map(|name| (name, "{}".to_owned())).collect();
    let objects: Vec<_> =
        records.iter().map(|(name, _)| (format!("{name}/{RECORD}"), b"{}".into())).collect();
    let client = filled(&store, &objects);
    let directories = Directories::begin(&client, Kind::Result, 500, Interrupt::NEVER).unwrap();
    let expected = directories.expected();
    assert_eq!(expected.get(), None);
    let listed =
        Listed::over(in_order(directories), expected.clone(), &client, None, Kind::Result, true).unwrap();
    assert_eq!(read_to_end(listed), records);
    assert_eq!(expected.get(), Some(records.len() as u64));
    assert!(store.counts.all()[2] > 1);
}

#[test]
fn list_of_empty_root_returns_nothing() {
    let store = Faulty::new(Faults::default());
    assert_eq!(read_all(&Client::of(store.clone())), []);
    assert_eq!(store.counts.all(), [0, 0, 1, 0]);
}

#[test]
fn list_of_store_that_never_answered_fails() {
    let store = Faulty::new(Faults { is_unreachable: true, ..Faults::default() });
    let found = Fetched::find(&Client::of(store), Kind::Result, Path::new("x"), "x", Interrupt::NEVER);
    assert!(found.err().unwrap().is_io(io::ErrorKind::NotConnected));
}

#[test]
fn list_cancelled_stops() {
    let store = Faulty::new(Faults { gets: 100, ..Faults::default() });
    let client = filled(&store, &[(format!("a/{RECORD}"), b"{}".to_vec())]);
    let mut listed = Listed::begin(&client, None, Kind::Result, &Wanted::Records, Interrupt::NEVER).unwrap();
    assert!(matches!(listed.next(Interrupt::NEVER), Ok(Some(Met::Directory(_)))));
    let error = listed.next(Interrupt::new(&|_| true)).err().unwrap();
    assert!(matches!(error, Error::Interrupted));
}

#[test]
fn object_reads_its_end_by_one_request_and_the_rest_by_another() {
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let store = Faulty::new(Faults::default());
    let client = filled(&store, &[("a/timeseries.parquet".into(), bytes.clone())]);
    let gets = || store.counts.gets.load(Ordering::Relaxed);
    let object = Object::find(&client, "a/timeseries.parquet".into(), Interrupt::NEVER).unwrap();
    let read = |offset: usize, length: usize| {
        let mut buffer = vec![0; length];
        object.read_at(offset as u64, &mut buffer).unwrap();
        assert_eq!(buffer, bytes[offset..offset + length]);
    };
    assert_eq!((object.size(), gets()), (bytes.len() as u64, 1));
    read(bytes.len() - 8, 8);
    read(bytes.len() - 60_000, 1000);
    assert_eq!(gets(), 1);
    read(10, 1000);
    read(0, bytes.len());
    assert_eq!(gets(), 2);
    let beyond = object.read_at(bytes.len() as u64 - 1, &mut [0; 2]).unwrap_err();
    assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn find_result_without_record_fails() {
    let store = Faulty::new(Faults::default());
    let client = filled(&store, &[("a/timeseries.parquet".into(), b"PAR1".to_vec())]);
    let error = Fetched::find(&client, Kind::Result, Path::new("a"), "a", Interrupt::NEVER).err().unwrap();
    assert!(error.is_io(io::ErrorKind::NotFound) && error.to_string().contains("a/result.json"), "{error}");
}
