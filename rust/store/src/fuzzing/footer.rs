//! Any bytes as a power trace: a table or an error, and no panic.

use std::fs;
use std::path::Path;

use super::MAX_ROWS;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::sidecar::{Source, check};
use crate::timeseries::{self, MAX_BYTES, TraceFile, TraceMemory};
use crate::walk::Turn;

/// Check a file. Input that does not begin as Parquet does is the content of a file, after two bytes with the length of
/// its footer: otherwise hardly any input would have a footer.
pub fn footer(input: &[u8], temp: &Path) {
    let path = temp.join("fuzzed.parquet");
    let bytes = match input {
        [b'P', b'A', b'R', ..] => input.to_vec(),
        [low, high, content @ ..] => {
            let length = usize::from(u16::from_le_bytes([*low, *high])).min(content.len());
            let length = u32::try_from(length).unwrap().to_le_bytes();
            [b"PAR1", content, &length, b"PAR1"].concat()
        }
        short => short.to_vec(),
    };
    fs::write(&path, bytes).unwrap();
    let is_source = match check(Source::File(path.clone())) {
        Ok(source) => source.is_some(),
        Err(Error::NotParquet { .. }) => false,
        Err(other) => panic!("as a source: {other}"),
    };
    let Some(file) = accepted(TraceFile::open(&path)) else { return };
    assert!(is_source, "a readable trace is not a source");
    let rows = file.rows();
    if rows > MAX_ROWS {
        return;
    }
    let is_complete = file
        .read_through(&TraceMemory::new(MAX_BYTES), Turn::only(Interrupt::NEVER))
        .inspect_err(check_error)
        .is_ok();
    match timeseries::read(&path, MAX_BYTES, Interrupt::NEVER) {
        Ok(trace) => {
            assert_eq!(trace.schema().fields(), timeseries::schema().fields());
            assert_eq!(trace.num_rows() as u64, rows);
        }
        Err(Error::DamagedTrace { reason, .. }) => {
            assert!(!is_complete, "every page is readable, and {reason}");
        }
        Err(other) => check_error(&other),
    }
}

fn accepted<T>(result: Result<T>) -> Option<T> {
    result.inspect_err(check_error).ok()
}

/// Check that an error blames the file, and not the system.
fn check_error(error: &Error) {
    assert!(matches!(error, Error::DamagedTrace { .. } | Error::NotATrace { .. }), "{error}");
}
