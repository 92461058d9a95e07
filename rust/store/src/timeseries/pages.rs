//! The pages of a Parquet file, looked over before any is unpacked.

use std::fs::File;

use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::footer::{Flaw, read_at};
use crate::thrift::{I32, STRUCT, Walker};

/// Bytes that a page may unpack to; writers make pages of 1 MiB, some one page a row group.
const LARGEST_PAGE: i64 = 128 << 20;
/// A page's header has some dozens of bytes, and more where it has statistics of long strings.
const WINDOWS: [u64; 3] = [1 << 9, 1 << 14, 1 << 20];
/// The least that a value takes in a dictionary's page.
const SMALLEST_VALUE: i64 = 4;

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
            check_chunk(file, &name, start, end)?;
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

fn check_chunk(file: &File, name: &str, start: u64, end: u64) -> Result<(), Flaw> {
    let mut offset = start;
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
        if !(0..=LARGEST_PAGE).contains(&header.uncompressed)
            || !(0..=header.uncompressed / SMALLEST_VALUE).contains(&header.dictionary_values)
        {
            return Err(Flaw::damage(format!(
                "a page of its column {name} claims {} values and {} bytes, and more than {LARGEST_PAGE} are \
                 not unpacked",
                header.dictionary_values, header.uncompressed
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
