//! A Parquet file of any columns as batches of plain types.

use std::path::Path;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::Length;

use super::footer::{self, ParquetFault, io_error};
use super::pages::{self, MemoryNeed};
use super::source::ParquetSource;
use crate::error::{At, Error, Result, Step};
use crate::interrupt::Interrupt;
use crate::sidecar::open_for_reading;
use crate::unwind::catch_panic;

/// Maximum rows of a batch.
const BATCH_ROWS: usize = 1 << 14;
/// Bytes of a value of a list with its levels, at least.
const LISTED_BYTES: u64 = 16;

/// The rows of a Parquet file.
#[derive(Debug)]
pub struct PlainTable {
    /// Batches of booleans, 64-bit numbers, texts, times in microseconds, and lists of these.
    pub batches: Vec<RecordBatch>,
    /// The columns of other types, which no batch has, each with its type.
    pub skipped: Vec<(String, String)>,
    /// The pairs in the footer, without those of libraries of Arrow.
    pub metadata: Vec<(String, String)>,
}

/// Read the columns of a Parquet file into memory.
///
/// # Errors
///
/// [`Error::DamagedTable`] if the file is not a complete Parquet file; [`Error::NotATable`] if it is encrypted, has
/// pages that this build cannot decode, or needs more than `max_bytes`; [`Error::Interrupted`] once the caller has
/// cancelled.
pub fn read(path: &Path, max_bytes: u64, interrupt: Interrupt<'_>) -> Result<PlainTable> {
    let source = open_for_reading(path).and_then(ParquetSource::of_file);
    let source = source.at(Step::Read, || path.to_owned())?;
    let file = Opened { path, size: source.len(), max_bytes };
    let metadata = footer::read(&source).map_err(|fault| file.fault(fault))?;
    let columns: Vec<usize> = (0..metadata.file_metadata().schema_descr().num_columns()).collect();
    if let Some((name, compression)) = pages::unsupported_compression(&metadata, &columns) {
        return Err(file.unsupported(format!(
            "its column {name} is compressed with {compression}; expected zstd, snappy or none"
        )));
    }
    let needs = pages::check(&source, &metadata, &columns, interrupt).map_err(|fault| file.fault(fault))?;
    file.check_needs(&metadata, &needs)?;
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let pairs = pairs.filter(|pair| !pair.key.starts_with("ARROW:"));
    let pairs = pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect();
    let reader = file.decode(|| open_reader(source, metadata, &needs))?;
    let (plain, skipped) = plain_schema(&reader.schema_of());
    let mut table = PlainTable { batches: Vec::new(), skipped, metadata: pairs };
    let mut bytes = 0_u64;
    let mut reader = reader.0;
    loop {
        interrupt.check()?;
        let batch = match catch_panic(|| reader.next()) {
            Ok(None) => return Ok(table),
            Ok(Some(batch)) => batch.and_then(|batch| to_plain(&batch, &plain)),
            Err(panic) => Err(ArrowError::ParquetError(panic)),
        };
        let batch = batch.map_err(|error| file.damage(format!("a page cannot be decoded: {error}")))?;
        bytes = bytes.saturating_add(batch.get_array_memory_size() as u64);
        if bytes > max_bytes {
            return Err(file.too_large());
        }
        table.batches.push(batch);
    }
}

/// A reader of all columns.
struct Reader(ParquetRecordBatchReader);

impl Reader {
    fn schema_of(&self) -> SchemaRef {
        use arrow_array::RecordBatchReader as _;
        self.0.schema()
    }
}

fn open_reader(
    source: ParquetSource,
    metadata: ParquetMetaData,
    needs: &[MemoryNeed],
) -> Result<Reader, ParquetError> {
    // The Arrow schema in the footer is another untrusted input, and only adds types that become plain ones.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let rows = MemoryNeed::batch_rows(needs.iter().copied()).min(BATCH_ROWS);
    let metadata = ArrowReaderMetadata::try_new(metadata.into(), options)?;
    ParquetRecordBatchReaderBuilder::new_with_metadata(source, metadata)
        .with_projection(ProjectionMask::all())
        .with_batch_size(rows)
        .build()
        .map(Reader)
}

/// An open file, for its errors.
struct Opened<'a> {
    path: &'a Path,
    size: u64,
    max_bytes: u64,
}

impl Opened<'_> {
    /// Check that the values of lists fit into memory: a few bytes of a page may stand for any number of them.
    fn check_needs(&self, metadata: &ParquetMetaData, needs: &[MemoryNeed]) -> Result<()> {
        let mut listed = 0_u64;
        for (column, need) in metadata.file_metadata().schema_descr().columns().iter().zip(needs) {
            if need.has_delta_lengths {
                let name = column.path().string();
                return Err(self.unsupported(format!(
                    "its column {name} has delta-encoded string lengths, which are not supported"
                )));
            }
            if column.max_rep_level() > 0 {
                listed = listed.saturating_add(need.values.saturating_mul(LISTED_BYTES));
            }
        }
        if listed > self.max_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    fn decode<T>(&self, decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
        match catch_panic(decode) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(match io_error(&error) {
                Some(source) => Error::io(Step::Read, self.path, source),
                None => self.damage(error.to_string()),
            }),
            Err(panic) => Err(self.damage(panic)),
        }
    }

    fn fault(&self, fault: ParquetFault) -> Error {
        match fault {
            ParquetFault::Io(source) => Error::io(Step::Read, self.path, source),
            ParquetFault::Encrypted => self.unsupported(fault.to_string()),
            ParquetFault::Interrupted => Error::Interrupted,
            ParquetFault::Damage(reason) => self.damage(reason),
        }
    }

    fn damage(&self, reason: String) -> Error {
        Error::DamagedTable { path: self.path.to_owned(), size: self.size, reason }
    }

    fn unsupported(&self, reason: String) -> Error {
        Error::NotATable { path: self.path.to_owned(), size: self.size, reason }
    }

    fn too_large(&self) -> Error {
        self.unsupported(format!("its rows need more than {} bytes of memory", self.max_bytes))
    }
}

/// A column by its place in the file.
type Placed = (usize, Field);

/// Return the plain columns of a table, by their places, and the names and types of the others.
fn plain_schema(schema: &Schema) -> (Vec<Placed>, Vec<(String, String)>) {
    let (mut plain, mut skipped) = (Vec::new(), Vec::new());
    for (place, field) in schema.fields().iter().enumerate() {
        match plain_type(field.data_type()) {
            Some(kind) => plain.push((place, Field::new(field.name(), kind, true))),
            None => skipped.push((field.name().clone(), field.data_type().to_string())),
        }
    }
    (plain, skipped)
}

/// Return the plain type that has the values of another one.
fn plain_type(kind: &DataType) -> Option<DataType> {
    Some(match kind {
        DataType::Boolean => DataType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::UInt64,
        DataType::Null
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..) => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Date32 => DataType::Utf8,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::List(item) => {
            let kind = plain_type(item.data_type())?;
            DataType::List(Field::new(item.name(), kind, true).into())
        }
        _ => return None,
    })
}

fn to_plain(batch: &RecordBatch, plain: &[Placed]) -> Result<RecordBatch, ArrowError> {
    let schema: SchemaRef =
        Schema::new(plain.iter().map(|(_, field)| field.clone()).collect::<Vec<_>>()).into();
    let columns = plain.iter().map(|(place, field)| cast(batch.column(*place), field.data_type()));
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int32Type, Int64Type};
    use arrow_array::{Float32Array, Int32Array, ListArray, StringArray};
    use std::fs::{self, File};
    use std::sync::Arc;

    use crate::sidecar::parquet_writer;

    const MAX: u64 = 1 << 30;

    fn columns() -> RecordBatch {
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![Some(3)]),
        ]);
        let columns: [(&str, ArrayRef); 4] = [
            ("watts", Arc::new(Float32Array::from(vec![Some(1.5), None, Some(2.5)]))),
            ("gpu", Arc::new(Int32Array::from(vec![0, 1, 2]))),
            ("name", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
            ("times", Arc::new(lists)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn written(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("x.parquet");
        let mut writer = parquet_writer(File::create(&path).unwrap(), columns().schema()).unwrap();
        writer.write(&columns()).unwrap();
        writer.close().unwrap();
        path
    }

    #[test]
    fn read_returns_plain_columns() {
        let temp = tempfile::tempdir().unwrap();
        let table = read(&written(temp.path()), MAX, Interrupt::NEVER).unwrap();
        let [batch] = &table.batches[..] else { panic!("{table:?}") };
        assert_eq!(batch.column(0).as_primitive::<Float64Type>().value(2).to_bits(), 2.5_f64.to_bits());
        assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[0, 1, 2]);
        assert_eq!(batch.column(2).as_string::<i32>().value(1), "b");
        assert_eq!(batch.column(3).as_list::<i32>().value(2).as_primitive::<Int64Type>().values(), &[3]);
        assert!(table.skipped.is_empty());
    }

    #[test]
    fn read_of_a_cut_file_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let path = written(temp.path());
        let bytes = fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let error = read(&path, MAX, Interrupt::NEVER).unwrap_err();
            assert!(matches!(error, Error::DamagedTable { .. }), "{cut}: {error}");
        }
    }

    #[test]
    fn read_of_a_changed_file_does_not_panic() {
        let temp = tempfile::tempdir().unwrap();
        let path = written(temp.path());
        let bytes = fs::read(&path).unwrap();
        for place in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                fs::write(&path, changed).unwrap();
                let _ = read(&path, 1 << 20, Interrupt::NEVER);
            }
        }
    }

    #[test]
    fn read_beyond_the_memory_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let error = read(&written(temp.path()), 10, Interrupt::NEVER).unwrap_err();
        assert!(matches!(error, Error::NotATable { .. }), "{error}");
    }
}
