//! Any bytes as a tree of results: each record is a row or an error with its path, and all readers agree on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;

use super::{COLUMNS, MAX_ROWS, SCHEMA};
use crate::inspect::{Inspection, Status, VerifyOptions};
use crate::interrupt::Interrupt;
use crate::load::Limit;
use crate::scan::{
    Completed, Documents, RecordCheck, RecordError, RecordErrorKind, RecordSchema, Scan, ScanError,
    ScanOptions, TraceScan, TraceScanOptions, completed,
};
use crate::store::Store;
use crate::timeseries::{MAX_BYTES, TraceFile};
use crate::{Kind, RECORD, SIDECAR, load};

/// The separator of an input's parts, which is not in any text.
const SEPARATOR: u8 = 0xfe;
const MAX_FILES: usize = 8;
const HASH: &str = "measurement_config_hash";

/// Check a tree of files: the first byte of each part of the input encodes its place and its kind.
pub fn scan(input: &[u8], temp: &Path) {
    let root = temp.join("tree");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir(&root).unwrap();
    let records = create_files(&root, input);

    let narrow = read(&root, &["path", HASH]);
    narrow.is_all_of(&records);
    read(&root, &["path", "effective_config", "effective_config.a.b", "i"]).is_all_of(&records);
    let wide = read(&root, &[&["path"], &COLUMNS[..]].concat());
    wide.is_all_of(&records);
    assert!(wide.rows.keys().eq(narrow.rows.keys()), "a row of some columns alone");

    let Completed { hashes, errors, .. } =
        completed(&Store::at(&root), &schema(), Limit::USUAL, false, Interrupt::NEVER).unwrap();
    let bad = by_path(errors);
    assert!(narrow.rows.values().all(|hash| hashes.contains_key(hash)), "{:?} {hashes:?}", narrow.rows);
    assert!(bad.keys().eq(narrow.bad.keys()), "{bad:?}");

    let traced = traces(&root, &records);
    assert!(traced.iter().all(|path| narrow.rows.contains_key(path)), "{traced:?}");

    let (complete, damaged) = inspect(&root, false);
    assert_eq!(complete + damaged.len(), records.len(), "{damaged:?}");
    assert!(damaged.iter().eq(narrow.bad.keys()), "{damaged:?}");
    let (complete, broken) = inspect(&root, true);
    assert_eq!(complete + broken.len(), records.len(), "{broken:?}");
    assert!(damaged.is_subset(&broken), "{damaged:?} {broken:?}");

    let mut documents =
        Documents::open(&Store::at(&root), check(), Limit::USUAL, false, Interrupt::NEVER).unwrap();
    let mut loaded = BTreeSet::new();
    while let Some(chunk) = documents.next(Interrupt::NEVER).unwrap() {
        for document in chunk {
            let document = document.unwrap();
            let is_row = narrow.rows.contains_key(&document.path);
            assert_eq!(document.fault.is_none(), is_row, "{:?}", document.fault);
            assert_eq!(
                document.bytes,
                load::read(&Store::new(&document.path), Path::new(""), Limit::USUAL, Interrupt::NEVER)
                    .unwrap()
                    .bytes
            );
            loaded.insert(document.path);
        }
    }
    assert_eq!(loaded, records);
}

/// Create the files, and return the records.
fn create_files(root: &Path, input: &[u8]) -> BTreeSet<PathBuf> {
    let mut records = BTreeSet::new();
    for (number, part) in input.split(|&byte| byte == SEPARATOR).take(MAX_FILES).enumerate() {
        let (how, content) = part.split_first().unwrap_or((&0, &[]));
        let above = ["", "study", "study/more", ".hidden"][usize::from(how & 3)];
        let place = root.join(above).join(format!("m_b_2026-02-18T14-30_{number}"));
        fs::create_dir_all(&place).unwrap();
        let half = content.len() / 2;
        let (record, sidecar) = match how >> 2 & 3 {
            0 | 3 => (Some(content), None),
            1 => (Some(&content[..half]), Some(&content[half..])),
            _ => (None, Some(content)),
        };
        if let Some(sidecar) = sidecar {
            let name = if record.is_some() { SIDECAR } else { Kind::Result.temp() };
            fs::write(place.join(name), sidecar).unwrap();
        }
        if let Some(record) = record {
            fs::write(place.join(RECORD), record).unwrap();
            if above != ".hidden" {
                records.insert(place.join(RECORD));
            }
        }
    }
    records
}

/// The rows of a scan, each with the text of its second column, and the errors.
struct Answer {
    rows: BTreeMap<PathBuf, String>,
    bad: BTreeMap<PathBuf, RecordError>,
}

impl Answer {
    fn is_all_of(&self, records: &BTreeSet<PathBuf>) {
        let all: BTreeSet<PathBuf> = self.rows.keys().chain(self.bad.keys()).cloned().collect();
        assert_eq!(all.len(), self.rows.len() + self.bad.len(), "a row and an error");
        assert_eq!(&all, records);
    }
}

fn schema() -> RecordSchema {
    RecordSchema::from_json(SCHEMA).unwrap()
}

fn check() -> Arc<RecordCheck> {
    Arc::new(RecordCheck::new(&schema()).unwrap())
}

fn plan_scan(root: &Path, columns: &[&str], stop_at_error: bool) -> Scan {
    let columns = columns.iter().map(|&name| name.to_owned()).collect();
    let optional = vec!["effective_config.a.b".to_owned()];
    let options = ScanOptions { columns, optional, batch_size: 3, stop_at_error, ..ScanOptions::default() };
    Scan::new(Store::at(root), &schema(), options).unwrap()
}

fn read(root: &Path, columns: &[&str]) -> Answer {
    let mut answer = Answer { rows: BTreeMap::new(), bad: BTreeMap::new() };
    let mut reader = plan_scan(root, columns, false).read(Interrupt::NEVER).unwrap();
    while let Some(part) = reader.next(Interrupt::NEVER).unwrap() {
        let paths = part.rows.column(0).as_string::<i32>();
        for row in 0..part.rows.num_rows() {
            let path = root.join(paths.value(row)).join(RECORD);
            let text = part.rows.column(1).as_string_opt::<i32>().map(|texts| texts.value(row).to_owned());
            let before = answer.rows.insert(path, text.unwrap_or_default());
            assert!(before.is_none(), "a row twice");
        }
        answer.bad.extend(by_path(part.errors));
    }
    let mut strict = Ok(());
    match plan_scan(root, columns, true).read(Interrupt::NEVER) {
        Ok(mut reader) => {
            while strict.is_ok() {
                match reader.next(Interrupt::NEVER) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => strict = Err(error),
                }
            }
        }
        Err(error) => strict = Err(error),
    }
    match strict {
        Ok(()) => assert!(answer.bad.is_empty(), "{:?}", answer.bad),
        Err(ScanError::Record(bad)) => assert!(answer.bad.contains_key(&bad.path), "{bad}"),
        Err(other) => panic!("{other}"),
    }
    answer
}

/// Read the power traces, unless one claims too many rows; return the records of those that have rows.
fn traces(root: &Path, records: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let rows =
        |record: &PathBuf| TraceFile::open(&record.with_file_name(SIDECAR)).map_or(0, |file| file.rows());
    if records.iter().any(|record| rows(record) > MAX_ROWS) {
        return BTreeSet::new();
    }
    let columns = ["path", "power_w", "timestamp_s"].map(str::to_owned).to_vec();
    let options = TraceScanOptions { columns, ..TraceScanOptions::default() };
    let mut reader =
        TraceScan::new(Store::at(root), &schema(), options).unwrap().read(Interrupt::NEVER).unwrap();
    let mut traced = BTreeSet::new();
    while let Some(part) = reader.next(Interrupt::NEVER).unwrap() {
        let paths = part.rows.column(0).as_string::<i32>();
        traced.extend(paths.iter().flatten().map(|path| root.join(path).join(RECORD)));
        for bad in part.errors {
            let record = bad.path.with_file_name(RECORD);
            assert!(records.contains(&record) && !traced.contains(&record), "{bad}");
            assert!(!bad.to_string().contains("internal error"), "{bad}");
        }
    }
    traced
}

fn by_path(mut errors: Vec<RecordError>) -> BTreeMap<PathBuf, RecordError> {
    errors.retain(|error| !matches!(error.kind, RecordErrorKind::Beyond(_)));
    let count = errors.len();
    let all: BTreeMap<PathBuf, RecordError> = errors.into_iter().map(|bad| (bad.path.clone(), bad)).collect();
    assert_eq!(all.len(), count, "an error twice");
    for bad in all.values() {
        // The file system works: an I/O error would be a bug of the store that it caught.
        assert!(!matches!(bad.kind, RecordErrorKind::Io(_)), "{bad}");
    }
    all
}

/// Return the number of complete records, and the damaged ones, or those with a damaged power trace.
fn inspect(root: &Path, deep: bool) -> (usize, BTreeSet<PathBuf>) {
    let (check, limit) = (check(), Limit::USUAL);
    let options = VerifyOptions { check, deep, limit, follow_links: false, max_trace_bytes: MAX_BYTES };
    let mut inspection = Inspection::open(&Store::at(root), options, Interrupt::NEVER).unwrap();
    let (mut complete, mut damaged) = (0, BTreeSet::new());
    while let Some(part) = inspection.next(Interrupt::NEVER).unwrap() {
        complete += usize::try_from(part.complete).unwrap() + part.records.len();
        for finding in part.findings {
            assert!(!finding.problem.contains("internal error"), "{finding:?}");
            if finding.status == Status::Damaged {
                damaged.insert(root.join(&finding.directory).join(RECORD));
            }
        }
    }
    (complete, damaged)
}
