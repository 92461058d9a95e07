//! The footer of a Parquet file, checked before the `parquet` crate decodes it.

use std::error::Error as _;
use std::io;

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;

use crate::error::Error;
use crate::parquet::ParquetSource;
use crate::parquet::shape::FILE_META_DATA;
use crate::parquet::thrift::{Event, walk};
use crate::unwind::catch_panic;

/// Bytes of the magic number at both ends and of the footer's length.
const MIN_FILE: u64 = 12;
/// Maximum bytes of a footer; that of a power trace has some thousands.
const MAX_FOOTER: u64 = 16 << 20;
/// Maximum nesting of a schema: `schema_from_array_helper` of parquet 59.3 recurses without a limit.
const MAX_COLUMN_DEPTH: usize = 100;

/// The reason why a Parquet file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParquetFault {
    /// The operating system cannot read the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is encrypted, and only its owner can check it further.
    #[error("it is encrypted")]
    Encrypted,
    /// The caller cancelled.
    #[error("interrupted")]
    Interrupted,
    /// The file is not a complete Parquet file.
    #[error("{0}")]
    Damage(String),
}

impl ParquetFault {
    pub(crate) fn damage(reason: impl Into<String>) -> Self {
        Self::Damage(reason.into())
    }
}

/// Read the footer of a file.
pub(crate) fn read(file: &ParquetSource) -> Result<ParquetMetaData, ParquetFault> {
    let size = file.len();
    if size == 0 {
        return Err(ParquetFault::damage("the file is empty"));
    }
    if size < MIN_FILE {
        return Err(ParquetFault::damage("the file is too short to have a footer"));
    }
    let (mut head, mut tail) = ([0; 4], [0; 8]);
    file.read_at(size - 8, &mut tail)?;
    file.read_at(0, &mut head)?;
    let ([l0, l1, l2, l3, ..], magic) = (tail, &tail[4..]);
    if &head == b"PARE" && magic == b"PARE" {
        return Err(ParquetFault::Encrypted);
    }
    if &head != b"PAR1" {
        return Err(ParquetFault::damage("it does not begin with the magic number PAR1"));
    }
    if magic != b"PAR1" {
        return Err(ParquetFault::damage("it does not end with the magic number PAR1: it may be truncated"));
    }
    let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    let unreadable = |why: &str| ParquetFault::damage(format!("its footer cannot be read: {why}"));
    if length > size - MIN_FILE {
        return Err(unreadable(&format!("it claims {length} bytes of a file that has {size}")));
    }
    if length > MAX_FOOTER {
        return Err(unreadable(&format!("it has {length} bytes; the limit is {MAX_FOOTER}")));
    }
    let mut footer = vec![0; usize::try_from(length).map_err(|_| unreadable("it is too large"))?];
    file.read_at(size - 8 - length, &mut footer)?;
    if !is_plausible(&footer) {
        return Err(unreadable("it is truncated, claims more than it holds, or lacks the fields of Parquet"));
    }
    match catch_panic(|| ParquetMetaDataReader::decode_metadata(&footer)) {
        Ok(Ok(metadata)) => Ok(metadata),
        Ok(Err(error)) => Err(unreadable(&error.to_string())),
        Err(panic) => Err(unreadable(&format!("its decoder panicked: {panic}"))),
    }
}

/// Return the error of the operating system, or of a request to an object store, that a Parquet error wraps.
pub(crate) fn io_error(error: &ParquetError) -> Option<io::Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<io::Error>() {
            if let Some(code) = found.raw_os_error() {
                return Some(io::Error::from_raw_os_error(code));
            }
            if let Some(ours) = found.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                return Some(io::Error::new(found.kind(), ours.copy()));
            }
        }
        cause = inner.source();
    }
    None
}

/// Check that a footer holds what it claims, so that its decoder neither allocates nor recurses without limit.
fn is_plausible(footer: &[u8]) -> bool {
    let mut children = Vec::new();
    let length = walk(footer, FILE_META_DATA, &mut |event| match event {
        Event::Struct("SchemaElement") => children.push(0),
        Event::Integer { field: "num_children", value, .. } => {
            if let Some(count) = children.last_mut() {
                *count = value;
            }
        }
        _ => {}
    });
    length.is_some() && is_plausible_schema(&children)
}

/// Check the numbers of children of the schema's elements, which form a tree in depth-first order.
fn is_plausible_schema(children: &[i64]) -> bool {
    let mut missing: Vec<usize> = Vec::new();
    children.iter().all(|&count| {
        if let Some(siblings) = missing.last_mut() {
            *siblings -= 1;
        }
        // parquet 59.3 allocates for the children before it counts the elements.
        let Some(count) = usize::try_from(count).ok().filter(|&count| count < children.len()) else {
            return false;
        };
        if count > 0 {
            missing.push(count);
        }
        while missing.last() == Some(&0) {
            missing.pop();
        }
        missing.len() <= MAX_COLUMN_DEPTH
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    fn reason(footer: &[u8]) -> String {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
        fs::write(&path, [b"PAR1", footer, &length, b"PAR1"].concat()).unwrap();
        match read(&ParquetSource::of_file(File::open(&path).unwrap()).unwrap()) {
            Err(ParquetFault::Damage(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Encode a schema whose elements have these numbers of children.
    fn schema(children: &[u8]) -> Vec<u8> {
        let mut list = vec![0x15, 0x02, 0x19, 0xfc, u8::try_from(children.len()).unwrap()];
        for &count in children {
            // Field 4 is the name, field 5 the number of children, zigzag.
            list.extend([0x48, 0x01, b'x', 0x15, count << 1, 0x00]);
        }
        list
    }

    #[test]
    fn read_footer_that_claims_two_billion_row_groups_reports_damage() {
        let mut footer = schema(&[0]);
        footer.extend([0x16, 0x00, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]);
        assert!(reason(&footer).contains("claims more than it holds"));
        assert!(reason(&[0x15, 0x02]).contains("truncated"));
        assert!(reason(&vec![0; 17 << 20]).contains("the limit is 16777216"));
    }

    #[test]
    fn read_footer_with_a_field_of_another_type_reports_damage() {
        // Field 4 is one byte as a 32-bit integer, and claims two billion elements as a list.
        let mut footer = schema(&[0]);
        footer.extend([0x16, 0x00, 0x15, 0xfc, 0xff, 0xff, 0xff, 0x07, 0x00]);
        assert!(reason(&footer).contains("lacks the fields of Parquet"));
        // A boolean name takes no byte; the decoder reads those of the next fields as a string.
        let mut element = vec![0x15, 0x02, 0x19, 0x1c, 0x41, 0x00, 0x16, 0x00, 0x19, 0x0c, 0x00];
        assert!(!is_plausible(&element));
        element.splice(4..5, [0x48, 0x00]);
        assert!(is_plausible(&element));
    }

    #[test]
    fn read_footer_with_a_deep_schema_reports_damage() {
        let mut deep = schema(&[1; 120]);
        deep.extend([0x16, 0x00, 0x19, 0x0c, 0x00]);
        assert!(reason(&deep).contains("claims more than it holds"));
        let mut wide = schema(&[63, 0]);
        wide.extend([0x16, 0x00, 0x19, 0x0c, 0x00]);
        assert!(reason(&wide).contains("claims more than it holds"));
    }
}
