//! The pages of a Parquet file, checked before the `parquet` crate decompresses any.

use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::Length;
use parquet::schema::types::ColumnDescriptor;

use crate::interrupt::Interrupt;
use crate::parquet::ParquetSource;
use crate::parquet::footer::ParquetFault;
use crate::parquet::shape::PAGE_HEADER;
use crate::parquet::thrift::{Event, walk};

/// Maximum bytes of a decompressed page: the crate allocates what the header claims
/// (<https://github.com/apache/arrow-rs/issues/10734>). Writers make pages of 1 MiB, some one page a row group.
const MAX_PAGE: i64 = 128 << 20;
/// Maximum bytes of the values of a batch.
const MAX_MEMORY: u64 = 256 << 20;
/// Maximum bytes of decompressed pages that are decoded together: the decoder does not check for an interrupt.
const MAX_PAGES: u64 = 32 << 20;
/// `DELTA_LENGTH_BYTE_ARRAY` and `DELTA_BYTE_ARRAY`.
const DELTA_LENGTH_ENCODINGS: [i64; 2] = [6, 7];
/// Bytes to read for a page header, in turn: statistics of long strings make it longer than some dozens.
const HEADER_WINDOWS: [u64; 3] = [1 << 9, 1 << 14, 1 << 20];

/// The memory that a column may need, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MemoryNeed {
    longest_value: u64,
    pub largest_page: u64,
    /// The values that the data pages claim, with those of lists.
    pub values: u64,
    /// A page encodes its number of lengths, and parquet 59.3 allocates for it
    /// (`ByteArrayDecoderDeltaLength::new`).
    pub has_delta_lengths: bool,
}

impl MemoryNeed {
    /// Return how many rows of some columns fit into memory at once, at least one.
    ///
    /// A dictionary of one long string, or a column of nulls of a long type, fills any memory with a few bits a row.
    pub fn batch_rows(needs: impl IntoIterator<Item = Self>) -> usize {
        let row = needs.into_iter().fold(0_u64, |row, need| row.saturating_add(need.longest_value));
        usize::try_from(MAX_MEMORY / row.max(1)).unwrap_or(usize::MAX).max(1)
    }

    /// Return the bytes for the pages and a batch of some columns: a dictionary and a page of each, as long as its
    /// largest page.
    pub fn decoder_bytes(needs: &[Self], batch_rows: usize) -> u64 {
        let sum = |bytes: fn(&Self) -> u64| needs.iter().map(bytes).fold(0, u64::saturating_add);
        let row = sum(|need| need.longest_value);
        sum(|need| need.largest_page).saturating_mul(2).saturating_add(row.saturating_mul(batch_rows as u64))
    }

    /// Return whether a page of this column may be decoded with `pages` bytes of others.
    pub fn fits_with(self, pages: u64) -> bool {
        pages.saturating_add(self.largest_page) <= MAX_PAGES
    }

    fn merge(&mut self, other: Self) {
        self.longest_value = self.longest_value.max(other.longest_value);
        self.largest_page = self.largest_page.max(other.largest_page);
        self.values = self.values.saturating_add(other.values);
        self.has_delta_lengths |= other.has_delta_lengths;
    }
}

/// Check that the pages of some columns lie within the file and fit into memory; return the need of each column.
pub(crate) fn check(
    file: &ParquetSource,
    metadata: &ParquetMetaData,
    columns: &[usize],
    interrupt: Interrupt<'_>,
) -> Result<Vec<MemoryNeed>, ParquetFault> {
    let size = file.len();
    let mut pages = Pages { file, interrupt, read: 0 };
    let mut total: u64 = 0;
    let mut needs = vec![MemoryNeed::default(); columns.len()];
    for group in metadata.row_groups() {
        for (&column, need) in columns.iter().zip(&mut needs) {
            let chunk = group.column(column);
            let name = chunk.column_path().string();
            let Some((start, end)) = range(chunk).filter(|&(_, end)| end <= size) else {
                return Err(ParquetFault::damage(format!("its column {name} lies outside the file")));
            };
            // A small file could otherwise name the same bytes in thousands of row groups.
            total = total.saturating_add(end - start);
            if total > size {
                return Err(ParquetFault::damage("its columns overlap"));
            }
            need.merge(pages.check_chunk(&name, (start, end), chunk.column_descr())?);
        }
    }
    Ok(needs)
}

/// Return the first column with a compression that this build cannot decompress.
pub(crate) fn unsupported_compression(
    metadata: &ParquetMetaData,
    columns: &[usize],
) -> Option<(String, Compression)> {
    let chunks =
        metadata.row_groups().iter().flat_map(|group| columns.iter().map(|&column| group.column(column)));
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

/// Return the minimum bytes of a value in a dictionary page.
fn shortest_value(column: &ColumnDescriptor) -> i64 {
    match column.physical_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => column.type_length().max(1).into(),
    }
}

/// Return the maximum bytes of a value, given the largest page of its column; `None` if no page can hold one.
fn longest_value(column: &ColumnDescriptor, largest_page: u64) -> Option<u64> {
    match column.physical_type() {
        Type::BYTE_ARRAY => Some(largest_page),
        Type::FIXED_LEN_BYTE_ARRAY if i64::from(column.type_length()) > MAX_PAGE => None,
        _ => u64::try_from(shortest_value(column)).ok(),
    }
}

/// Page headers between two checks for a cancelled caller.
const CHECK_INTERVAL: usize = 16;

/// A walk over the page headers of a file.
struct Pages<'a> {
    file: &'a ParquetSource,
    interrupt: Interrupt<'a>,
    read: usize,
}

impl Pages<'_> {
    /// Check the pages of a column in a row group.
    fn check_chunk(
        &mut self,
        name: &str,
        (mut offset, end): (u64, u64),
        column: &ColumnDescriptor,
    ) -> Result<MemoryNeed, ParquetFault> {
        let mut need = MemoryNeed::default();
        while offset < end {
            self.read += 1;
            if self.read.is_multiple_of(CHECK_INTERVAL) && self.interrupt.is_cancelled() {
                return Err(ParquetFault::Interrupted);
            }
            let Some(header) = page_header(self.file, offset, end)? else {
                return Err(ParquetFault::damage(format!(
                    "a page of its column {name} has an unreadable header"
                )));
            };
            offset += header.length;
            let compressed = u64::try_from(header.compressed).ok().filter(|&length| length <= end - offset);
            let Some(compressed) = compressed else {
                return Err(ParquetFault::damage(format!(
                    "a page of its column {name} lies outside the column"
                )));
            };
            offset += compressed;
            let PageHeader { uncompressed, values, dictionary_values, encoding, .. } = header;
            let Some(page) = u64::try_from(uncompressed).ok().filter(|_| uncompressed <= MAX_PAGE) else {
                return Err(ParquetFault::damage(format!(
                    "a page of its column {name} claims {uncompressed} bytes; the limit is {MAX_PAGE}"
                )));
            };
            // parquet 59.3 allocates for the claimed values (`DictDecoder::set_dict`).
            if !(0..=uncompressed / shortest_value(column)).contains(&dictionary_values) {
                return Err(ParquetFault::damage(format!(
                    "a dictionary of its column {name} claims {dictionary_values} values in {uncompressed} bytes"
                )));
            }
            need.merge(MemoryNeed {
                longest_value: 0,
                largest_page: page,
                values: u64::try_from(values).unwrap_or(0),
                has_delta_lengths: DELTA_LENGTH_ENCODINGS.contains(&encoding),
            });
        }
        match longest_value(column, need.largest_page) {
            Some(longest_value) => Ok(MemoryNeed { longest_value, ..need }),
            None => Err(ParquetFault::damage(format!(
                "its column {name} has values of {} bytes, and a page holds at most {MAX_PAGE}",
                column.type_length()
            ))),
        }
    }
}

struct PageHeader {
    length: u64,
    uncompressed: i64,
    compressed: i64,
    values: i64,
    dictionary_values: i64,
    encoding: i64,
}

/// Read the header of the page at an offset; `None` if there is no valid header.
fn page_header(file: &ParquetSource, offset: u64, end: u64) -> Result<Option<PageHeader>, ParquetFault> {
    for window in HEADER_WINDOWS {
        let window = window.min(end - offset);
        let mut bytes = vec![0; usize::try_from(window).unwrap_or(0)];
        file.read_at(offset, &mut bytes)?;
        let header = parse(&bytes);
        if header.is_some() || window == end - offset {
            return Ok(header);
        }
    }
    Ok(None)
}

fn parse(bytes: &[u8]) -> Option<PageHeader> {
    let mut header = PageHeader {
        length: 0,
        uncompressed: -1,
        compressed: -1,
        values: 0,
        dictionary_values: 0,
        encoding: 0,
    };
    let length = walk(bytes, PAGE_HEADER, &mut |event| {
        let Event::Integer { structure, field, value } = event else { return };
        match (structure, field) {
            ("PageHeader", "uncompressed_page_size") => header.uncompressed = value,
            ("PageHeader", "compressed_page_size") => header.compressed = value,
            ("DataPageHeader" | "DataPageHeaderV2", "num_values") => header.values = value,
            ("DataPageHeader" | "DataPageHeaderV2", "encoding") => header.encoding = value,
            ("DictionaryPageHeader", "num_values") => header.dictionary_values = value,
            _ => {}
        }
    })?;
    header.length = length as u64;
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Write;
    use std::sync::Arc;

    use parquet::file::metadata::{FileMetaData, RowGroupMetaData};
    use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type as SchemaType};

    fn float_column() -> ColumnDescriptor {
        let primitive = SchemaType::primitive_type_builder("power_w", Type::FLOAT).build().unwrap();
        ColumnDescriptor::new(Arc::new(primitive), 0, 0, ColumnPath::from("power_w"))
    }

    /// Encode a page of four bytes: its type, its claimed uncompressed size, and its other fields.
    fn page(kind: u8, uncompressed: u32, fields: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15, kind, 0x15];
        let zigzag = uncompressed << 1;
        bytes.extend([0, 7, 14, 21].map(|shift| (zigzag >> shift).to_le_bytes()[0] | 0x80));
        bytes.extend([(zigzag >> 28).to_le_bytes()[0], 0x15, 8]);
        bytes.extend_from_slice(fields);
        bytes.extend([0, 1, 2, 3, 4]);
        bytes
    }

    fn pages<'a>(file: &'a ParquetSource, interrupt: Interrupt<'a>) -> Pages<'a> {
        Pages { file, interrupt, read: 0 }
    }

    fn check_pages(content: &[u8]) -> Result<MemoryNeed, ParquetFault> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("column");
        fs::write(&path, content).unwrap();
        let file = ParquetSource::of_file(File::open(&path).unwrap()).unwrap();
        pages(&file, Interrupt::NEVER).check_chunk("power_w", (0, content.len() as u64), &float_column())
    }

    fn reason(content: &[u8]) -> Option<String> {
        match check_pages(content) {
            Ok(_) => None,
            Err(ParquetFault::Damage(reason)) => Some(reason),
            Err(fault) => panic!("{fault:?}"),
        }
    }

    #[test]
    fn check_columns_outside_the_file_or_overlapping_reports_damage() {
        let content = page(0, 4, &[]);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let file = ParquetSource::of_file(file).unwrap();
        let size = content.len() as u64;
        let power = Arc::new(SchemaType::primitive_type_builder("power_w", Type::FLOAT).build().unwrap());
        let root = SchemaType::group_type_builder("schema").with_fields(vec![power]).build().unwrap();
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        let group = |offset: i64| {
            let chunk = ColumnChunkMetaData::builder(schema.column(0)).set_data_page_offset(offset);
            let chunk = chunk.set_total_compressed_size(size.cast_signed()).build().unwrap();
            let group = RowGroupMetaData::builder(schema.clone()).set_column_metadata(vec![chunk]);
            group.build().unwrap()
        };
        let check_groups = |groups| {
            let footer = FileMetaData::new(2, 1, None, None, schema.clone(), None);
            check(&file, &ParquetMetaData::new(footer, groups), &[0], Interrupt::NEVER)
                .map_err(|fault| fault.to_string())
        };
        assert!(check_groups(vec![group(0)]).is_ok());
        assert!(check_groups(vec![group(1)]).unwrap_err().contains("lies outside the file"));
        assert!(check_groups(vec![group(0), group(0)]).unwrap_err().contains("overlap"));
    }

    #[test]
    fn check_page_beyond_the_limit_reports_damage() {
        assert_eq!(reason(&[page(0, 4, &[]), page(0, 1 << 20, &[])].concat()), None);
        let said = reason(&[page(0, 4, &[]), page(0, 1 << 30, &[])].concat()).unwrap();
        assert!(said.contains("claims 1073741824 bytes"), "{said}");
    }

    #[test]
    fn check_page_header_with_a_length_of_another_type_reports_damage() {
        // Field 2 again, in the long form: the decoder reads a 64-bit integer there, too.
        assert_eq!(reason(&page(0, 4, &[0x05, 0x04, 0x08])), None);
        let said = reason(&page(0, 4, &[0x06, 0x04, 0xfe, 0xff, 0xff, 0xff, 0x0f])).unwrap();
        assert!(said.contains("an unreadable header"), "{said}");
    }

    #[test]
    fn check_pages_of_either_version_finds_delta_lengths() {
        let found = |fields: &[u8]| {
            let need = check_pages(&[page(0, 4, &[]), page(0, 4, fields)].concat()).unwrap();
            (need.largest_page, need.has_delta_lengths)
        };
        for (encoding, has_delta_lengths) in [(0, false), (5, false), (6, true), (7, true), (8, false)] {
            let encoding = encoding << 1;
            assert_eq!(found(&[0x2c, 0x15, 2, 0x15, encoding, 0]), (4, has_delta_lengths));
            assert_eq!(found(&[0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, encoding, 0]), (4, has_delta_lengths));
        }
    }

    #[test]
    fn check_dictionary_with_more_values_than_bytes_reports_damage() {
        let dictionary = |values: u8| page(4, 40, &[0x4c, 0x15, values << 1, 0]);
        assert_eq!(reason(&dictionary(10)), None);
        assert!(reason(&dictionary(11)).unwrap().contains("claims 11 values in 40 bytes"));
    }

    #[test]
    fn batch_rows_fit_the_longest_values_into_memory() {
        let need = |longest_value| MemoryNeed { longest_value, ..MemoryNeed::default() };
        assert!(MemoryNeed::batch_rows([need(8), need(4)]) > 1 << 20);
        assert_eq!(MemoryNeed::batch_rows([need(1 << 20), need(1 << 20)]), 128);
        assert_eq!(MemoryNeed::batch_rows([need(u64::MAX), need(1)]), 1);
        assert!(need(0).fits_with(MAX_PAGES) && !need(0).fits_with(MAX_PAGES + 1));
    }

    #[test]
    fn check_cancelled_between_pages_ends() {
        let mut file = tempfile::tempfile().unwrap();
        let content = page(0, 4, &[]).repeat(3 * CHECK_INTERVAL);
        file.write_all(&content).unwrap();
        let asked = std::cell::Cell::new(0);
        let is_cancelled = |_| asked.replace(asked.get() + 1) == 1;
        let file = ParquetSource::of_file(file).unwrap();
        let mut pages = pages(&file, Interrupt::new(&is_cancelled));
        let checked = pages.check_chunk("power_w", (0, content.len() as u64), &float_column());
        assert!(matches!(checked, Err(ParquetFault::Interrupted)));
        assert_eq!(pages.read, 2 * CHECK_INTERVAL);
    }

    #[test]
    fn check_truncated_page_reports_damage() {
        let whole = page(0, 4, &[]);
        for cut in 1..whole.len() {
            assert!(reason(&whole[..cut]).is_some(), "{cut}");
        }
    }

    #[test]
    fn check_header_longer_than_the_first_window_is_read() {
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
