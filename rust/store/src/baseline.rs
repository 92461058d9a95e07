//! The baseline of the benchmarks: the bare system calls of a save, and of reading a tree, in plain std.
//!
//! They know every name and probe for none, check nothing and clean up nothing: no store can do less.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Durability, RECORD};

/// A name of a usual length, since the names fill the directory.
const BASE: &str = "meta-llama-llama-3.1-8b_vllm_2026-02-18T14-30";

/// Save a record under each suffix of a range, one after the other, and return the time of each save.
///
/// The directories are `base`, `base_1`, ...; none may exist yet.
pub fn save(
    root: &Path,
    record: &[u8],
    suffixes: Range<u64>,
    durability: Durability,
) -> io::Result<Vec<Duration>> {
    suffixes
        .map(|suffix| {
            let begin = Instant::now();
            save_one(root, suffix, record, durability)?;
            Ok(begin.elapsed())
        })
        .collect()
}

fn save_one(root: &Path, suffix: u64, record: &[u8], durability: Durability) -> io::Result<()> {
    let dir = if suffix == 0 { root.join(BASE) } else { root.join(format!("{BASE}_{suffix}")) };
    fs::create_dir(&dir)?;
    let temp = dir.join(".result.json.tmp");
    let mut file = File::create_new(&temp)?;
    file.write_all(record)?;
    if durability == Durability::Durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&temp, dir.join(RECORD))?;
    if durability == Durability::Durable {
        File::open(&dir)?.sync_all()?;
        File::open(root)?.sync_all()?;
    }
    Ok(())
}

/// Open and read records in a number of threads that share them; return the number of bytes.
pub fn read(records: &[PathBuf], threads: usize) -> io::Result<u64> {
    let share = records.len().div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        let shares: Vec<_> = records.chunks(share).map(|share| scope.spawn(|| read_share(share))).collect();
        shares
            .into_iter()
            .map(|share| share.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
            .sum()
    })
}

fn read_share(records: &[PathBuf]) -> io::Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    for record in records {
        let mut file = File::open(record)?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn save_range_of_suffixes_times_each() {
        let temp = tempfile::tempdir().unwrap();
        for (suffixes, durability) in [(0..1, Durability::Relaxed), (1..3, Durability::Durable)] {
            let count = suffixes.clone().count();
            let times = save(temp.path(), b"record", suffixes, durability).unwrap();
            assert_eq!(times.len(), count);
            assert!(times.iter().all(|time| !time.is_zero()));
        }
        for name in [BASE.to_owned(), format!("{BASE}_1"), format!("{BASE}_2")] {
            let dir = temp.path().join(name);
            assert_eq!(fs::read(dir.join(RECORD)).unwrap(), b"record");
            assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
        }
        let records = [BASE.to_owned(), format!("{BASE}_1"), format!("{BASE}_2")];
        let records = records.map(|name| temp.path().join(name).join(RECORD));
        for threads in [1, 2, 7] {
            assert_eq!(read(&records, threads).unwrap(), 18);
        }
        let error = save(temp.path(), b"record", 2..4, Durability::Relaxed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
