//! The pages of a Parquet file, looked over before any is unpacked.

use std::fs::File;

use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::schema::types::ColumnDescriptor;

use crate::parquet::footer::{Flaw, read_at};
use crate::parquet::shape::PAGE_HEADER;
use crate::parquet::thrift::Walker;

/// Bytes that a page may unpack to; writers make pages of 1 MiB, some one page a row group.
const LARGEST_PAGE: i64 = 128 << 20;
/// Bytes that are held at once of what may have any length: of the values of a batch, and of pages.
const LARGEST_LOAD: u64 = 256 << 20;
/// `DELTA_LENGTH_BYTE_ARRAY` and `DELTA_BYTE_ARRAY`, in which lengths stand before the strings.
const COUNT_LENGTHS: [i64; 2] = [6, 7];
/// A page's header has some dozens of bytes, and more where it has statistics of long strings.
const WINDOWS: [u64; 3] = [1 << 9, 1 << 14, 1 << 20];

/// What a column may take in memory, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// Its longest value.
    value: u64,
    /// Its largest page.
    page: u64,
    /// Whether a page of it says how many lengths it holds: the decoder believes that, and allocates for them.
    counts_lengths: bool,
}

impl Load {
    /// How many rows of some columns can be held at once, at least one.
    ///
    /// A dictionary of one long string, or a column of nulls whose values would be long, fills any memory by a few
    /// bits for each row.
    pub fn rows(loads: impl IntoIterator<Item = Self>) -> usize {
        let row = loads.into_iter().fold(0_u64, |row, load| row.saturating_add(load.value));
        usize::try_from(LARGEST_LOAD / row.max(1)).unwrap_or(usize::MAX).max(1)
    }

    /// Whether pages that take so much can be held beside this column's.
    pub fn fits_beside(self, pages: u64) -> bool {
        pages.saturating_add(self.page) <= LARGEST_LOAD
    }

    pub fn page(self) -> u64 {
        self.page
    }

    pub fn counts_lengths(self) -> bool {
        self.counts_lengths
    }
}

struct PageHeader {
    length: u64,
    uncompressed: i64,
    compressed: i64,
    dictionary_values: i64,
    encoding: i64,
}

/// Check that the pages of some columns lie in the file, and unpack to what can be held; returns how much each may
/// take.
pub(crate) fn check(
    file: &File,
    size: u64,
    metadata: &ParquetMetaData,
    columns: &[usize],
) -> Result<Vec<Load>, Flaw> {
    let mut total: u64 = 0;
    let mut loads = vec![Load::default(); columns.len()];
    for group in metadata.row_groups() {
        for (&column, load) in columns.iter().zip(&mut loads) {
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
            let column = chunk.column_descr();
            let (page, counts_lengths) = check_chunk(file, &name, (start, end), shortest_value(column))?;
            let Some(value) = longest_value(column, page) else {
                let length = column.type_length();
                return Err(Flaw::damage(format!(
                    "its column {name} has values of {length} bytes, which no page of it holds"
                )));
            };
            *load = Load {
                value: load.value.max(value),
                page: load.page.max(page),
                counts_lengths: load.counts_lengths || counts_lengths,
            };
        }
    }
    Ok(loads)
}

/// The compression of a column that cannot be undone here, if there is one.
pub(crate) fn foreign_compression(
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

/// The most bytes that a value takes, where the largest page of its column unpacks to so many; `None` where no page
/// can hold it.
fn longest_value(column: &ColumnDescriptor, page: u64) -> Option<u64> {
    match column.physical_type() {
        Type::BYTE_ARRAY => Some(page),
        Type::FIXED_LEN_BYTE_ARRAY if i64::from(column.type_length()) > LARGEST_PAGE => None,
        _ => u64::try_from(shortest_value(column)).ok(),
    }
}

/// Look over the pages of a column in a row group; returns what the largest unpacks to, and whether one counts its
/// lengths.
fn check_chunk(
    file: &File,
    name: &str,
    (mut offset, end): (u64, u64),
    value_length: i64,
) -> Result<(u64, bool), Flaw> {
    let (mut largest, mut counts_lengths) = (0, false);
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
        let PageHeader { uncompressed, dictionary_values, encoding, .. } = header;
        let Some(unpacked) = u64::try_from(uncompressed).ok().filter(|_| uncompressed <= LARGEST_PAGE) else {
            return Err(Flaw::damage(format!(
                "a page of its column {name} claims {uncompressed} bytes, and more than {LARGEST_PAGE} are not \
                 unpacked"
            )));
        };
        if !(0..=uncompressed / value_length).contains(&dictionary_values) {
            return Err(Flaw::damage(format!(
                "a dictionary of its column {name} claims {dictionary_values} values in {uncompressed} bytes"
            )));
        }
        largest = largest.max(unpacked);
        counts_lengths |= COUNT_LENGTHS.contains(&encoding);
    }
    Ok((largest, counts_lengths))
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
    Walker::new(bytes).shaped(PAGE_HEADER)?;
    let mut walker = Walker::new(bytes);
    let mut header =
        PageHeader { length: 0, uncompressed: -1, compressed: -1, dictionary_values: 0, encoding: 0 };
    walker.structure(|walker, id, kind| match id {
        2 => walker.integer().map(|size| header.uncompressed = size),
        3 => walker.integer().map(|size| header.compressed = size),
        // A data page, of either version, and the page of a dictionary.
        5 => pick(walker, 2, &mut header.encoding),
        8 => pick(walker, 4, &mut header.encoding),
        7 => pick(walker, 1, &mut header.dictionary_values),
        _ => walker.skip(kind),
    })?;
    header.length = (bytes.len() - walker.remaining()) as u64;
    Some(header)
}

/// Walk a structure, and take the number out of one of its fields.
fn pick(walker: &mut Walker<'_>, field: i16, number: &mut i64) -> Option<()> {
    walker.structure(|walker, id, kind| {
        if id == field { walker.integer().map(|found| *number = found) } else { walker.skip(kind) }
    })
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
            Ok(_) => None,
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
    fn a_length_of_another_type_is_refused_where_the_parser_would_take_it() {
        // Field 2 once more, in the long form: as a number of 32 bits it counts, and one of 64 is read as one.
        assert_eq!(reason(&page(0, 4, &[0x05, 0x04, 0x08])), None);
        let said = reason(&page(0, 4, &[0x06, 0x04, 0xfe, 0xff, 0xff, 0xff, 0x0f])).unwrap();
        assert!(said.contains("no header that can be read"), "{said}");
    }

    #[test]
    fn pages_of_either_version_that_count_their_lengths_are_told() {
        let told = |fields: &[u8]| {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("column");
            let content = [page(0, 4, &[]), page(0, 4, fields)].concat();
            fs::write(&path, &content).unwrap();
            let file = File::open(&path).unwrap();
            check_chunk(&file, "name", (0, content.len() as u64), 4).unwrap()
        };
        for (encoding, counts_lengths) in [(0, false), (5, false), (6, true), (7, true), (8, false)] {
            let encoding = encoding << 1;
            assert_eq!(told(&[0x2c, 0x15, 2, 0x15, encoding, 0]), (4, counts_lengths));
            assert_eq!(told(&[0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, encoding, 0]), (4, counts_lengths));
        }
    }

    #[test]
    fn a_dictionary_that_claims_more_values_than_it_has_bytes_for_is_refused() {
        let dictionary = |values: u8| page(4, 40, &[0x4c, 0x15, values << 1, 0]);
        assert_eq!(reason(&dictionary(10)), None);
        assert!(reason(&dictionary(11)).unwrap().contains("claims 11 values in 40 bytes"));
    }

    #[test]
    fn as_many_rows_are_held_as_their_longest_values_admit() {
        let load = |value| Load { value, ..Load::default() };
        assert!(Load::rows([load(8), load(4)]) > 1 << 20);
        assert_eq!(Load::rows([load(1 << 20), load(1 << 20)]), 128);
        assert_eq!(Load::rows([load(u64::MAX), load(1)]), 1);
        assert!(load(0).fits_beside(LARGEST_LOAD) && !load(0).fits_beside(LARGEST_LOAD + 1));
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
        // Statistics with a value of 5000 bytes.
        let long = [
            &[0x2c, 0x15, 0x00, 0x15, 0x00, 0x15, 0x00, 0x15, 0x00, 0x1c, 0x18, 0x88, 0x27][..],
            &[7; 5000],
            &[0, 0],
        ]
        .concat();
        assert_eq!(reason(&page(0, 4, &long)), None);
    }
}
