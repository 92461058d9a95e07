//! Columns of a Parquet file, batch by batch, in bounded memory whatever the file claims.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescriptor;

use super::notes::Notes;
use crate::error::{At, Error, Result, Step};
use crate::parquet::footer::{self, ParquetFault, os_error};
use crate::parquet::pages::{self, MemoryNeed};
use crate::sidecar::open_for_reading;
use crate::unwind::catch_panic;

/// Maximum rows of a batch.
const BATCH_ROWS: usize = 1 << 14;
/// Maximum rows of a power trace in memory: 8 GPUs for 48 days, in 1.5 GB.
const MAX_ROWS: u64 = 1 << 25;

/// An open Parquet file with its footer.
#[derive(Debug)]
pub struct TraceFile {
    file: File,
    context: FileContext,
    metadata: Arc<ParquetMetaData>,
    rows: u64,
}

/// The file that an error names.
#[derive(Debug, Clone)]
struct FileContext {
    path: PathBuf,
    size: u64,
}

/// An iterator over the record batches of a [`TraceFile`]; it ends after the first error.
pub struct Batches {
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
    context: FileContext,
    expected_rows: u64,
    rows: u64,
}

impl TraceFile {
    /// Open a file and read its footer.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open_for_reading(path).at(Step::ReadTimeseries, || path.to_owned())?;
        Self::from_file(file, path)
    }

    /// Read the footer of an open file; errors name `path`.
    pub fn from_file(file: File, path: &Path) -> Result<Self> {
        let metadata = file.metadata().at(Step::ReadTimeseries, || path.to_owned())?;
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
            return Err(Error::io(Step::ReadTimeseries, path, io::Error::new(kind, "not a regular file")));
        }
        let context = FileContext { path: path.to_owned(), size: metadata.len() };
        let metadata = footer::read(&file, context.size).map_err(|fault| context.fault(fault))?;
        let rows = metadata
            .row_groups()
            .iter()
            .try_fold(0_u64, |rows, group| rows.checked_add(u64::try_from(group.num_rows()).ok()?));
        let Some(rows) = rows else {
            return Err(context.damage("its footer claims a negative number of rows, or more than 2^64"));
        };
        Ok(Self { file, context, metadata: Arc::new(metadata), rows })
    }

    /// Return the number of rows that the footer claims.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Reject a trace of too many rows to read at once: a few bytes may stand for any number of rows.
    pub(crate) fn check_rows(&self) -> Result<()> {
        let rows = self.rows;
        if rows > MAX_ROWS {
            return Err(self.not_a_trace(format!("it has {rows} rows; the limit is {MAX_ROWS}")));
        }
        Ok(())
    }

    /// Return the columns, in the types of Parquet.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedTrace`] if the footer is inconsistent.
    pub fn schema(&self) -> Result<Schema> {
        let schema = self.metadata.file_metadata().schema_descr();
        self.context.decode(|| parquet_to_arrow_schema(schema, None))
    }

    /// Return whether the file has a column of a name, with one value a row.
    #[must_use]
    pub fn has_column(&self, name: &str) -> bool {
        self.find_columns(name).next().is_some()
    }

    /// Read the columns of these names, in the file's order; batches omit the columns that the file lacks.
    ///
    /// A batch has at most 16 384 rows, in the types of Parquet: the reader ignores a writer's Arrow schema, and
    /// does not read lists and structures.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedTrace`] if the file is incomplete or inconsistent; [`Error::NotATrace`] if it has two
    /// columns of a name, or a column with another compression than zstd or snappy or with delta-encoded lengths.
    pub fn batches(self, names: &[&str]) -> Result<Batches> {
        let mut leaves = Vec::with_capacity(names.len());
        for name in names {
            let mut columns = self.find_columns(name);
            leaves.extend(columns.next());
            if columns.next().is_some() {
                return Err(self.not_a_trace(format!("it has two columns {name}")));
            }
        }
        if let Some((name, compression)) = pages::unsupported_compression(&self.metadata, &leaves) {
            return Err(self.not_a_trace(format!(
                "its column {name} is compressed with {compression}; expected zstd, snappy or none"
            )));
        }
        let needs = self.check_pages(&leaves)?;
        if let Some((&leaf, _)) = leaves.iter().zip(&needs).find(|(_, need)| need.has_delta_lengths) {
            let name = self.columns()[leaf].path().string();
            return Err(self.not_a_trace(format!(
                "its column {name} has delta-encoded string lengths, which are not supported"
            )));
        }
        self.read(leaves, MemoryNeed::batch_rows(needs))
    }

    /// Check every page, and decode the columns that this build supports: one value a row, compressed with zstd,
    /// snappy or nothing, without delta-encoded string lengths.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedTrace`] if the file is incomplete or inconsistent.
    pub fn read_through(self) -> Result<()> {
        let columns = self.columns();
        let needs = self.check_pages(&(0..columns.len()).collect::<Vec<_>>())?;
        let is_supported = |leaf: &usize| {
            is_flat(&columns[*leaf])
                && pages::unsupported_compression(&self.metadata, &[*leaf]).is_none()
                && !needs[*leaf].has_delta_lengths
        };
        let mut leaves = (0..columns.len()).filter(is_supported).peekable();
        while leaves.peek().is_some() {
            // The decoder keeps a page of each column that it reads.
            let (mut together, mut page_bytes) = (Vec::new(), 0);
            while let Some(leaf) =
                leaves.next_if(|&leaf| together.is_empty() || needs[leaf].fits_with(page_bytes))
            {
                page_bytes += needs[leaf].largest_page;
                together.push(leaf);
            }
            let rows = MemoryNeed::batch_rows(together.iter().map(|&leaf| needs[leaf]));
            self.read(together, rows)?.try_for_each(|batch| batch.map(drop))?;
        }
        Ok(())
    }

    fn check_pages(&self, leaves: &[usize]) -> Result<Vec<MemoryNeed>> {
        let needs = pages::check(&self.file, self.context.size, &self.metadata, leaves);
        needs.map_err(|fault| self.context.fault(fault))
    }

    /// Begin to read some columns, in batches of at most `batch_rows` rows.
    fn read(&self, leaves: Vec<usize>, batch_rows: usize) -> Result<Batches> {
        let Self { file, context, metadata, rows } = self;
        let file = file.try_clone().at(Step::ReadTimeseries, || context.path.clone())?;
        let (context, metadata) = (context.clone(), metadata.clone());
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), leaves);
        let reader = context.decode(|| {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let metadata = ArrowReaderMetadata::try_new(metadata, options)?;
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(mask)
                .with_batch_size(batch_rows.min(BATCH_ROWS))
                .build()
        })?;
        let schema = reader.schema();
        Ok(Batches { reader: Some(reader), schema, context, expected_rows: *rows, rows: 0 })
    }

    /// Return the notes in the file's metadata.
    pub(super) fn notes(&self) -> Notes {
        Notes::of_file(self.metadata.file_metadata())
    }

    /// Return the error for a complete file that is not a power trace.
    pub(crate) fn not_a_trace(&self, reason: String) -> Error {
        self.context.not_a_trace(reason)
    }

    fn columns(&self) -> &[Arc<ColumnDescriptor>] {
        self.metadata.file_metadata().schema_descr().columns()
    }

    /// Return the indexes of the columns of a name that hold one value a row.
    fn find_columns<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let columns = self.columns().iter().enumerate();
        columns.filter(move |(_, column)| is_flat(column) && column.name() == name).map(|(index, _)| index)
    }
}

/// Return whether a column holds one value a row: a list may claim any number of values, and fill any memory.
fn is_flat(column: &ColumnDescriptor) -> bool {
    column.path().parts().len() == 1 && column.max_rep_level() == 0
}

impl Batches {
    /// Return the columns of the batches.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Return the error for a complete file that is not a power trace.
    pub(crate) fn not_a_trace(&self, reason: String) -> Error {
        self.context.not_a_trace(reason)
    }

    fn read(&mut self) -> Option<Result<RecordBatch>> {
        let reader = self.reader.as_mut()?;
        let batch = match catch_panic(|| reader.next()) {
            Ok(Some(Ok(batch))) => batch,
            Ok(Some(Err(error))) => return Some(Err(self.context.arrow(error))),
            Ok(None) if self.rows == self.expected_rows => return None,
            Ok(None) => return Some(Err(self.wrong_row_count())),
            Err(panic) => {
                return Some(Err(self.context.damage(format!("a page cannot be decoded: {panic}"))));
            }
        };
        self.rows += batch.num_rows() as u64;
        Some(if self.rows > self.expected_rows { Err(self.wrong_row_count()) } else { Ok(batch) })
    }

    fn wrong_row_count(&self) -> Error {
        let Self { rows, expected_rows, .. } = self;
        self.context.damage(format!("it has {rows} rows or more; its footer claims {expected_rows}"))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.read();
        if !matches!(batch, Some(Ok(_))) {
            self.reader = None;
        }
        batch
    }
}

impl FileContext {
    fn fault(&self, fault: ParquetFault) -> Error {
        match fault {
            ParquetFault::Io(source) => Error::io(Step::ReadTimeseries, &self.path, source),
            ParquetFault::Encrypted => self.not_a_trace(fault.to_string()),
            ParquetFault::Damage(reason) => self.damage(reason),
        }
    }

    /// Run a decoder of columns; its panic is damage to the file.
    fn decode<T>(&self, decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
        let reason = match catch_panic(decode) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => match os_error(&error) {
                Some(source) => return Err(Error::io(Step::ReadTimeseries, &self.path, source)),
                None => error.to_string(),
            },
            Err(panic) => panic,
        };
        Err(self.damage(format!("its columns cannot be decoded: {reason}")))
    }

    fn arrow(&self, error: ArrowError) -> Error {
        match error {
            ArrowError::IoError(_, source) if source.raw_os_error().is_some() => {
                Error::io(Step::ReadTimeseries, &self.path, source)
            }
            error => self.damage(format!("a page cannot be decoded: {error}")),
        }
    }

    fn damage(&self, reason: impl Into<String>) -> Error {
        Error::DamagedTrace { path: self.path.clone(), size: self.size, reason: reason.into() }
    }

    fn not_a_trace(&self, reason: String) -> Error {
        Error::NotATrace { path: self.path.clone(), size: self.size, reason }
    }
}
