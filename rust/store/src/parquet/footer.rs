//! The footer of a Parquet file, read without trusting it.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::parquet::shape::FOOTER;
use crate::parquet::thrift::Walker;
use crate::unwind::unless_it_panics;

/// The magic number at both ends, and the footer's length before the second.
const SMALLEST: u64 = 12;
/// Bytes of a footer, at most; that of a trace has some thousands.
const LARGEST: u64 = 16 << 20;
/// How deep the columns of a schema may lie in each other: the parser calls itself as often.
const DEEPEST_COLUMN: usize = 100;
/// The parser numbers row groups in 16 bits.
const MOST_ROW_GROUPS: usize = 1 << 15;

/// Why a file's footer is not to be had.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// The file cannot be read.
    Io(io::Error),
    /// It is a Parquet file, and its owner alone can read more than that.
    Encrypted,
    /// It is not a Parquet file, or not a whole one.
    Damage(String),
}

impl Flaw {
    pub(crate) fn damage(reason: impl Into<String>) -> Self {
        Self::Damage(reason.into())
    }
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Read the footer of a file of `size` bytes.
pub(crate) fn read(file: &File, size: u64) -> Result<ParquetMetaData, Flaw> {
    if size == 0 {
        return Err(Flaw::damage("the file is empty"));
    }
    if size < SMALLEST {
        return Err(Flaw::damage("the file is too short to have a footer"));
    }
    let (mut head, mut tail) = ([0; 4], [0; 8]);
    read_at(file, 0, &mut head)?;
    read_at(file, size - 8, &mut tail)?;
    let ([l0, l1, l2, l3, ..], magic) = (tail, &tail[4..]);
    if &head == b"PARE" && magic == b"PARE" {
        return Err(Flaw::Encrypted);
    }
    if &head != b"PAR1" {
        return Err(Flaw::damage("it does not begin with the magic number PAR1"));
    }
    if magic != b"PAR1" {
        return Err(Flaw::damage("it does not end with the magic number PAR1: it may be truncated"));
    }
    let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    let unreadable = |why: &str| Flaw::damage(format!("its footer cannot be read: {why}"));
    if length > size - SMALLEST {
        return Err(unreadable(&format!("it claims {length} bytes of a file that has {size}")));
    }
    if length > LARGEST {
        return Err(unreadable(&format!("it has {length} bytes, and more than {LARGEST} are not read")));
    }
    let mut footer = vec![0; usize::try_from(length).map_err(|_| unreadable("it is too large"))?];
    read_at(file, size - 8 - length, &mut footer)?;
    if is_plausible(&footer).is_none() {
        return Err(unreadable(
            "it is cut short, claims more than it holds, or has not the fields of Parquet",
        ));
    }
    // The footer is a stranger's bytes: a panic of its parser is the file's fault, not the caller's.
    match unless_it_panics(|| ParquetMetaDataReader::decode_metadata(&footer)) {
        Ok(Ok(metadata)) => Ok(metadata),
        Ok(Err(error)) => Err(unreadable(&error.to_string())),
        Err(said) => Err(unreadable(&format!("its parser gave up: {said}"))),
    }
}

/// Fill a buffer from a place in a file.
pub(crate) fn read_at(mut file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

/// The error of the operating system that a Parquet error wraps, if it wraps one.
pub(crate) fn os_error(error: &ParquetError) -> Option<io::Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(code) = inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(io::Error::from_raw_os_error(code));
        }
        cause = inner.source();
    }
    None
}

/// Whether a footer holds what it claims, so that the parser neither allocates nor recurses without end.
fn is_plausible(footer: &[u8]) -> Option<()> {
    Walker::new(footer).shaped(FOOTER)?;
    Walker::new(footer).structure(|walker, id, kind| match id {
        2 => is_plausible_schema(walker),
        4 => {
            let (kind, count) = walker.list()?;
            (count < MOST_ROW_GROUPS).then_some(())?;
            (0..count).try_for_each(|_| walker.skip_element(kind))
        }
        _ => walker.skip(kind),
    })
}

/// The schema is a tree in depth-first order: each element says how many of the next are its children.
fn is_plausible_schema(walker: &mut Walker<'_>) -> Option<()> {
    let (_, count) = walker.list()?;
    let mut missing: Vec<usize> = Vec::new();
    for _ in 0..count {
        let mut children = 0;
        walker.structure(|walker, id, kind| {
            if id == 5 {
                children = usize::try_from(walker.integer()?).ok()?;
                Some(())
            } else {
                walker.skip(kind)
            }
        })?;
        if let Some(siblings) = missing.last_mut() {
            *siblings -= 1;
        }
        if children > 0 {
            missing.push(children);
        }
        while missing.last() == Some(&0) {
            missing.pop();
        }
        (children < count && missing.len() <= DEEPEST_COLUMN).then_some(())?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn reason(footer: &[u8]) -> String {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
        fs::write(&path, [b"PAR1", footer, &length, b"PAR1"].concat()).unwrap();
        let file = File::open(&path).unwrap();
        let size = file.metadata().unwrap().len();
        match read(&file, size) {
            Err(Flaw::Damage(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// A root with as many children as given, each of whom is a group with one child.
    fn schema(children: &[u8]) -> Vec<u8> {
        let mut list = vec![0x15, 0x02, 0x19, 0xfc, u8::try_from(children.len()).unwrap()];
        for &count in children {
            // Field 4 is the name, field 5 the number of children, zigzag.
            list.extend([0x48, 0x01, b'x', 0x15, count << 1, 0x00]);
        }
        list
    }

    #[test]
    fn a_footer_that_claims_two_billion_row_groups_is_refused_before_they_are_allocated() {
        let mut footer = schema(&[0]);
        footer.extend([0x16, 0x00, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]);
        assert!(reason(&footer).contains("claims more than it holds"));
        assert!(reason(&[0x15, 0x02]).contains("cut short"));
        assert!(reason(&vec![0; 17 << 20]).contains("more than 16777216 are not read"));
    }

    #[test]
    fn a_field_of_another_type_is_refused_before_the_parser_takes_what_follows_for_row_groups() {
        // As a number of 32 bits, field 4 is one byte; as a list, it claims two billion elements.
        let mut footer = schema(&[0]);
        footer.extend([0x16, 0x00, 0x15, 0xfc, 0xff, 0xff, 0xff, 0x07, 0x00]);
        assert!(reason(&footer).contains("has not the fields of Parquet"));
        // A name that is a boolean takes no byte, and one that is a string takes those of the next fields.
        let mut element = vec![0x15, 0x02, 0x19, 0x1c, 0x41, 0x00, 0x16, 0x00, 0x19, 0x0c, 0x00];
        assert!(is_plausible(&element).is_none());
        element.splice(4..5, [0x48, 0x00]);
        assert!(is_plausible(&element).is_some());
    }

    #[test]
    fn a_schema_that_nests_without_end_is_refused_before_it_is_parsed() {
        let mut deep = schema(&[1; 120]);
        deep.extend([0x16, 0x00, 0x19, 0x0c, 0x00]);
        assert!(reason(&deep).contains("claims more than it holds"));
        let mut wide = schema(&[63, 0]);
        wide.extend([0x16, 0x00, 0x19, 0x0c, 0x00]);
        assert!(reason(&wide).contains("claims more than it holds"));
    }
}
