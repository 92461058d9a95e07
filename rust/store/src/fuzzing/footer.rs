//! Any bytes as a power trace: a table or an error, and no panic that gets out.

use std::fs;
use std::path::Path;

use super::MOST_ROWS;
use crate::error::{Error, Result};
use crate::sidecar::{Source, check};
use crate::timeseries::{self, TraceFile};

/// The input is a file. One that does not begin as Parquet does is what lies within one, after two bytes that tell
/// how much of its end is the footer: else hardly an input would get as far as the footer.
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
    let taken = match check(Source::File(path.clone())) {
        Ok(source) => source.is_some(),
        Err(Error::NotParquet { .. }) => false,
        Err(other) => panic!("as a source: {other}"),
    };
    let Some(file) = told(TraceFile::open(&path)) else { return };
    assert!(taken, "what can be opened is no source");
    let _ = told(file.schema());
    let rows = file.rows();
    if rows > MOST_ROWS {
        return;
    }
    let is_whole = file.read_through().inspect_err(refused).is_ok();
    match timeseries::read(&path) {
        Ok(trace) => {
            assert_eq!(trace.schema(), timeseries::schema());
            assert_eq!(trace.num_rows() as u64, rows);
        }
        Err(Error::DamagedTrace { reason, .. }) => assert!(!is_whole, "read to the last page, and {reason}"),
        Err(other) => refused(&other),
    }
}

fn told<T>(result: Result<T>) -> Option<T> {
    result.inspect_err(refused).ok()
}

/// What is wrong with a file is an error of the file, never of the system.
fn refused(error: &Error) {
    assert!(matches!(error, Error::DamagedTrace { .. } | Error::NotATrace { .. }), "{error}");
}
