//! The pages of a Parquet file, looked over before any is unpacked.

use std::fs::File;

use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::schema::types::ColumnDescriptor;

use crate::footer::{Flaw, read_at};
use crate::thrift::{I32, STRUCT, Walker};

/// Bytes that a page may unpack to; writers make pages of 1 MiB, some one page a row group.
const LARGEST_PAGE: i64 = 128 << 20;
/// A page's header has some dozens of bytes, and more where it has statistics of long strings.
const WINDOWS: [u64; 3] = [1 << 9, 1 << 14, 1 << 20];

struct PageHeader {
    length: u64,
    uncompressed: i64,
    compressed: i64,
    dictionary_values: i64,
}

/// Check that the pages of some columns lie in the file, and unpack to what can be held.
pub(super) fn check(
    file: &File,
    size: u64,
    metadata: &ParquetMetaData,
    columns: &[usize],
) -> Result<(), Flaw> {
    let mut total: u64 = 0;
    for group in metadata.row_groups() {
        for &column in columns {
            let Some(chunk) = group.columns().get(column) else {
                return Err(Flaw::damage("a row group lacks a column"));
            };
            let name = chunk.column_path().string();
            let Some((start, end)) = range(chunk).filter(|&(_, end)| end <= size) else {
                return Err(Flaw::damage(format!("its column {name} lies outside the file")));
            };
            // Else a small file could name the same bytes in thousands of row groups.
            total = total.saturating_add(end - start);
            if total > size {
                return Err(Flaw::damage("its columns overlap"));
            }
            check_chunk(file, &name, (start, end), shortest_value(chunk.column_descr()))?;
        }
    }
    Ok(())
}

/// The compression of a column that cannot be undone here, if there is one.
pub(super) fn foreign_compression(
    metadata: &ParquetMetaData,
    columns: &[usize],
) -> Option<(String, Compression)> {
    let chunks = metadata
        .row_groups()
        .iter()
        .flat_map(|group| columns.iter().filter_map(|&column| group.columns().get(column)));
    chunks.map(|chunk| (chunk.column_path().string(), chunk.compression())).find(|(_, compression)| {
        !matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_))
    })
}

fn range(chunk: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let start = u64::try_from(start).ok()?;
    let end = start.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?;
    Some((start, end))
}

/// The least bytes that a value takes in the page of a dictionary.
fn shortest_value(column: &ColumnDescriptor) -> i64 {
    match column.physical_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => column.type_length().max(1).into(),
    }
}

fn check_chunk(
    file: &File,
    name: &str,
    (mut offset, end): (u64, u64),
    value_length: i64,
) -> Result<(), Flaw> {
    while offset < end {
        let Some(header) = page_header(file, offset, end)? else {
            return Err(Flaw::damage(format!("a page of its column {name} has no header that can be read")));
        };
        offset += header.length;
        let compressed = u64::try_from(header.compressed).ok().filter(|&length| length <= end - offset);
        let Some(compressed) = compressed else {
            return Err(Flaw::damage(format!("a page of its column {name} lies outside the column")));
        };
        offset += compressed;
        let PageHeader { uncompressed, dictionary_values, .. } = header;
        if !(0..=LARGEST_PAGE).contains(&uncompressed) {
            return Err(Flaw::damage(format!(
                "a page of its column {name} claims {uncompressed} bytes, and more than {LARGEST_PAGE} are not \
                 unpacked"
            )));
        }
        if !(0..=uncompressed / value_length).contains(&dictionary_values) {
            return Err(Flaw::damage(format!(
                "a dictionary of its column {name} claims {dictionary_values} values in {uncompressed} bytes"
            )));
        }
    }
    Ok(())
}

/// Read the header of the page at an offset; `None` where there is none.
fn page_header(file: &File, offset: u64, end: u64) -> Result<Option<PageHeader>, Flaw> {
    for window in WINDOWS {
        let window = window.min(end - offset);
        let mut bytes = vec![0; usize::try_from(window).unwrap_or(0)];
        read_at(file, offset, &mut bytes)?;
        let header = parse(&bytes);
        if header.is_some() || window == end - offset {
            return Ok(header);
        }
    }
    Ok(None)
}

fn parse(bytes: &[u8]) -> Option<PageHeader> {
    let mut walker = Walker::new(bytes);
    let mut header = PageHeader { length: 0, uncompressed: -1, compressed: -1, dictionary_values: 0 };
    walker.structure(|walker, id, kind| match (id, kind) {
        (2, I32) => walker.integer().map(|size| header.uncompressed = size),
        (3, I32) => walker.integer().map(|size| header.compressed = size),
        (7, STRUCT) => walker.structure(|walker, id, kind| match (id, kind) {
            (1, I32) => walker.integer().map(|count| header.dictionary_values = count),
            _ => walker.skip(kind),
        }),
        _ => walker.skip(kind),
    })?;
    header.length = (bytes.len() - walker.remaining()) as u64;
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A page of four bytes: its type, what it says that it unpacks to, and its other fields.
    fn page(kind: u8, uncompressed: u32, fields: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15, kind, 0x15];
        let zigzag = uncompressed << 1;
        bytes.extend([0, 7, 14, 21].map(|shift| (zigzag >> shift).to_le_bytes()[0] | 0x80));
        bytes.extend([(zigzag >> 28).to_le_bytes()[0], 0x15, 8]);
        bytes.extend_from_slice(fields);
        bytes.extend([0, 1, 2, 3, 4]);
        bytes
    }

    fn reason(content: &[u8]) -> Option<String> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("column");
        fs::write(&path, content).unwrap();
        let file = File::open(&path).unwrap();
        match check_chunk(&file, "power_w", (0, content.len() as u64), 4) {
            Ok(()) => None,
            Err(Flaw::Damage(reason)) => Some(reason),
            Err(flaw) => panic!("{flaw:?}"),
        }
    }

    #[test]
    fn a_page_that_claims_more_than_can_be_held_is_refused() {
        assert_eq!(reason(&[page(0, 4, &[]), page(0, 1 << 20, &[])].concat()), None);
        let said = reason(&[page(0, 4, &[]), page(0, 1 << 30, &[])].concat()).unwrap();
        assert!(said.contains("claims 1073741824 bytes"), "{said}");
    }

    #[test]
    fn a_dictionary_that_claims_more_values_than_it_has_bytes_for_is_refused() {
        let dictionary = |values: u8| page(4, 40, &[0x4c, 0x15, values << 1, 0]);
        assert_eq!(reason(&dictionary(10)), None);
        assert!(reason(&dictionary(11)).unwrap().contains("claims 11 values in 40 bytes"));
    }

    #[test]
    fn a_page_that_is_cut_short_is_refused() {
        let whole = page(0, 4, &[]);
        for cut in 1..whole.len() {
            assert!(reason(&whole[..cut]).is_some(), "{cut}");
        }
    }

    #[test]
    fn a_header_longer_than_the_first_look_is_read() {
        // A field of 5000 bytes, as statistics are.
        let long = [&[0x58, 0x88, 0x27][..], &[7; 5000]].concat();
        assert_eq!(reason(&page(0, 4, &long)), None);
    }
}
