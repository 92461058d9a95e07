//! One record read back, and what is wrong with one that cannot be.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use crate::error::{At, Result, Step};
use crate::sidecar::open_for_reading;
use crate::{RECORD, SIDECAR};

/// Bytes of a record, at most: a file beyond that is no result, and would be read into memory whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Limit {
    /// What is read where nobody says otherwise.
    pub const USUAL: Self = Self(256 << 20);

    /// Read an open file that is a record, if it is a regular one and not too large.
    pub(crate) fn read(self, mut file: &File, metadata: &Metadata, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        if metadata.is_dir() {
            return Err(io::Error::new(ErrorKind::IsADirectory, "not a regular file"));
        }
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let (Self(most), size) = (self, metadata.len());
        if size > most {
            let said = format!(
                "{size} bytes are too many for a record, of which {most} are read at most; \
                 max_record_bytes raises that, or LLEM_MAX_RECORD_BYTES in the environment"
            );
            return Err(io::Error::new(ErrorKind::FileTooLarge, said));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // A limit may be more than there is memory, and an allocation that fails otherwise ends the process.
        buffer.try_reserve_exact(size).map_err(|_| {
            io::Error::new(ErrorKind::OutOfMemory, format!("there is no memory for its {size} bytes"))
        })?;
        // A record never changes: when as much is read as there was, there is no more to ask for.
        buffer.resize(size, 0);
        let mut read = 0;
        while read < buffer.len() {
            match file.read(&mut buffer[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(read);
        Ok(())
    }
}

/// A record as it is on disk.
#[derive(Debug)]
pub struct Record {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether a `timeseries.parquet` lies beside it.
    pub has_sidecar: bool,
}

/// Read a record from its file or from the directory that holds its `result.json`.
pub fn read(path: &Path, limit: Limit) -> Result<Record> {
    let mut path = path.to_owned();
    let mut file = open_for_reading(&path).at(Step::Read, || path.clone())?;
    let mut metadata = file.metadata().at(Step::Read, || path.clone())?;
    if metadata.is_dir() {
        path.push(RECORD);
        file = open_for_reading(&path).at(Step::Read, || path.clone())?;
        metadata = file.metadata().at(Step::Read, || path.clone())?;
    }
    let mut bytes = Vec::new();
    limit.read(&file, &metadata, &mut bytes).at(Step::Read, || path.clone())?;
    let has_sidecar = path.with_file_name(SIDECAR).is_file();
    Ok(Record { path, bytes, has_sidecar })
}

/// Say in one phrase why bytes are no JSON document; `None` where they are one.
#[must_use]
pub fn diagnose(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("the file is empty".into());
    }
    if bytes.starts_with(b"\xef\xbb\xbf") || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
    {
        return Some("it begins with a byte order mark: JSON is UTF-8 without one".into());
    }
    let content = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let nuls = bytes.len() - content;
    if content == 0 {
        return Some("the file holds nothing but NUL bytes, as a crash before a flush leaves it".into());
    }
    if nuls > 0 {
        return Some(format!("its last {nuls} bytes are NUL, as a crash before a flush leaves it"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            return Some("it is truncated in the middle of a character".into());
        }
        Err(error) => {
            return Some(format!("it is not UTF-8: byte {} is invalid", error.valid_up_to()));
        }
    };
    if text.trim().is_empty() {
        return Some("the file holds nothing but white space".into());
    }
    let error = serde_json::from_str::<IgnoredAny>(text).err()?;
    // A number that ends in its point, sign or exponent is cut short too, though the parser calls it invalid.
    let last_line = text.lines().next_back().map_or(0, str::len);
    let at_the_end = error.line() == text.lines().count() && error.column() >= last_line;
    let cut_number = at_the_end && text.ends_with(['.', '-', '+', 'e', 'E']);
    Some(if error.is_eof() || cut_number {
        format!("it is truncated: the JSON ends in the middle, at line {}", error.line())
    } else {
        format!("it is not JSON: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    #[test]
    fn a_record_is_read_by_its_file_or_its_directory() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(RECORD);
        fs::write(&path, b"{}").unwrap();
        for by in [&path, temp.path()] {
            let record = read(by, Limit::USUAL).unwrap();
            assert_eq!((record.path, record.bytes, record.has_sidecar), (path.clone(), b"{}".into(), false));
        }
        fs::write(temp.path().join(SIDECAR), b"").unwrap();
        assert!(read(&path, Limit::USUAL).unwrap().has_sidecar);
    }

    #[test]
    fn what_is_not_there_or_no_file_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let error = read(temp.path(), Limit::USUAL).unwrap_err();
        assert!(error.is_io(ErrorKind::NotFound));
        assert_eq!(error.path(), Some(temp.path().join(RECORD).as_path()));
        fs::create_dir(temp.path().join(RECORD)).unwrap();
        assert!(read(temp.path(), Limit::USUAL).unwrap_err().is_io(ErrorKind::IsADirectory));
    }

    #[test]
    fn a_record_of_as_many_bytes_as_the_limit_is_read_and_one_of_more_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(RECORD);
        fs::write(&path, b"{}").unwrap();
        assert_eq!(read(&path, Limit(2)).unwrap().bytes, b"{}");
        let error = read(&path, Limit(1)).unwrap_err();
        assert!(error.is_io(ErrorKind::FileTooLarge));
        for said in [path.to_str().unwrap(), ": 2 bytes", "of which 1 are", "max_record_bytes"] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn each_kind_of_damage_is_told_apart() {
        let said = |bytes: &[u8]| diagnose(bytes).unwrap();
        assert!(said(b"").contains("empty"));
        assert!(said(&[0; 9]).contains("nothing but NUL"));
        assert!(said(b"{\"a\": 1\0\0\0").contains("last 3 bytes are NUL"));
        assert!(said(b" \n").contains("white space"));
        assert!(said(b"\xef\xbb\xbf{}").contains("byte order mark"));
        assert!(said(b"\xff\xfe{\0}\0").contains("byte order mark"));
        for cut in ["{\"a\": [1,", "{\"a\": 1.", "{\"a\": -", "{\n\"a\": 1e", "{\"a\": tru"] {
            assert!(said(cut.as_bytes()).contains("truncated"), "{cut}");
        }
        assert!(said(b"{\"a\": \"\xc3").contains("middle of a character"));
        assert!(said(b"{\"a\": \"\xff\"}").contains("byte 7"));
        assert!(said(b"{'a': 1}").contains("not JSON: key must be a string at line 1"));
        assert!(said(b"{} {}").contains("trailing characters"));
        assert_eq!(diagnose(b"[1, {\"a\": null}]"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_diagnosed_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = diagnose(&bytes);
        }

        #[test]
        fn every_proper_prefix_of_a_record_is_damaged(cut in 1_usize..24) {
            let whole = b"{\"a\": [1, \"\xc3\xa9\", null]}";
            prop_assert!(diagnose(&whole[..cut.min(whole.len() - 1)]).is_some());
        }
    }
}
