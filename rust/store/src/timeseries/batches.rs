//! Some columns of a Parquet file, batch by batch, in bounded memory whatever the file claims.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::error::{At, Error, Result, Step};
use crate::parquet::footer::{self, Flaw, os_error};
use crate::parquet::pages::{self, Load};
use crate::sidecar::open_for_reading;
use crate::unwind::unless_it_panics;

/// Rows of a batch.
const BATCH: usize = 1 << 14;
/// Rows of a trace that is read whole: 8 GPUs for 48 days, in 1.5 GB.
const MOST_ROWS: u64 = 1 << 25;

/// An open Parquet file whose footer has been read.
#[derive(Debug)]
pub struct TraceFile {
    file: File,
    place: Place,
    metadata: Arc<ParquetMetaData>,
    rows: u64,
}

/// Which file an error is about.
#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    size: u64,
}

/// The record batches of a [`TraceFile`]; after an error there are no more.
pub struct Batches {
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
    place: Place,
    promised: u64,
    seen: u64,
}

impl TraceFile {
    /// Open a file and read its footer.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open_for_reading(path).at(Step::ReadTimeseries, || path.to_owned())?;
        Self::from_file(file, path)
    }

    /// Read the footer of an open file; `path` is for errors.
    pub fn from_file(file: File, path: &Path) -> Result<Self> {
        let metadata = file.metadata().at(Step::ReadTimeseries, || path.to_owned())?;
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
            return Err(Error::io(Step::ReadTimeseries, path, io::Error::new(kind, "not a regular file")));
        }
        let place = Place { path: path.to_owned(), size: metadata.len() };
        let metadata = footer::read(&file, place.size).map_err(|flaw| place.error(flaw))?;
        let rows = metadata
            .row_groups()
            .iter()
            .try_fold(0_u64, |rows, group| rows.checked_add(u64::try_from(group.num_rows()).ok()?));
        let Some(rows) = rows else {
            return Err(place.damage("its footer counts rows below zero or beyond every number"));
        };
        Ok(Self { file, place, metadata: Arc::new(metadata), rows })
    }

    /// How many rows the footer says there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Refuse a trace of more rows than are read whole: some bytes may stand for any number of them.
    pub(crate) fn check_rows(&self) -> Result<()> {
        let rows = self.rows;
        if rows > MOST_ROWS {
            let reason = format!("it has {rows} rows, and more than {MOST_ROWS} are not read");
            return Err(self.not_a_trace(reason));
        }
        Ok(())
    }

    /// The columns, in the types of Parquet.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedTrace`] where the footer does not make sense.
    pub fn schema(&self) -> Result<Schema> {
        let schema = self.metadata.file_metadata().schema_descr();
        match unless_it_panics(|| parquet_to_arrow_schema(schema, None)) {
            Ok(Ok(schema)) => Ok(schema),
            Ok(Err(error)) => Err(self.place.parquet(&error)),
            Err(said) => Err(self.place.damage(format!("its columns cannot be read: {said}"))),
        }
    }

    /// Whether there is a column of that name that holds one value a row.
    #[must_use]
    pub fn has_column(&self, name: &str) -> bool {
        self.columns(name).next().is_some()
    }

    /// Read the columns of these names, in the file's order; those that it lacks are not in the batches.
    ///
    /// A batch has at most 16 384 rows, in the types of Parquet: what a writer's Arrow schema says beyond them
    /// is not asked. Lists and structures are not read.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedTrace`] where the file is not whole or claims what cannot be true,
    /// [`Error::NotATrace`] where a name is there twice, or a column is compressed other than with zstd or snappy,
    /// or has the lengths of its strings delta-encoded.
    pub fn batches(self, names: &[&str]) -> Result<Batches> {
        let mut leaves = Vec::with_capacity(names.len());
        for name in names {
            let mut columns = self.columns(name);
            leaves.extend(columns.next());
            if columns.next().is_some() {
                return Err(self.not_a_trace(format!("it has two columns {name}")));
            }
        }
        if let Some((name, compression)) = pages::foreign_compression(&self.metadata, &leaves) {
            return Err(self.not_a_trace(format!(
                "its column {name} is compressed with {compression}, and zstd, snappy and none are read here"
            )));
        }
        let loads = self.check_pages(&leaves)?;
        if let Some((&leaf, _)) = leaves.iter().zip(&loads).find(|(_, load)| load.counts_lengths()) {
            let name = self.metadata.file_metadata().schema_descr().column(leaf).path().string();
            return Err(self.not_a_trace(format!(
                "its column {name} has the lengths of its strings encoded apart, and is not read here"
            )));
        }
        self.read(leaves, Load::rows(loads))
    }

    /// Read every page to the last: all of them are looked over, and those of columns that hold one value a row
    /// are unpacked, where they are compressed with zstd, snappy or not at all, and the lengths of strings are not
    /// delta-encoded.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedTrace`] where the file is not whole or claims what cannot be true.
    pub fn read_through(self) -> Result<()> {
        let columns = self.metadata.file_metadata().schema_descr().columns();
        let loads = self.check_pages(&(0..columns.len()).collect::<Vec<_>>())?;
        // A row of a list may claim any number of values, and fill any memory.
        let is_flat =
            |leaf: usize| columns[leaf].path().parts().len() == 1 && columns[leaf].max_rep_level() == 0;
        let is_known = |leaf| pages::foreign_compression(&self.metadata, &[leaf]).is_none();
        let is_read = |leaf: &usize| is_flat(*leaf) && is_known(*leaf) && !loads[*leaf].counts_lengths();
        let mut leaves = (0..columns.len()).filter(is_read).peekable();
        while leaves.peek().is_some() {
            // Each column that is read holds a page.
            let (mut together, mut pages) = (Vec::new(), 0);
            while let Some(leaf) =
                leaves.next_if(|&leaf| together.is_empty() || loads[leaf].fits_beside(pages))
            {
                pages += loads[leaf].page();
                together.push(leaf);
            }
            let rows = Load::rows(together.iter().map(|&leaf| loads[leaf]));
            self.read(together, rows)?.try_for_each(|batch| batch.map(drop))?;
        }
        Ok(())
    }

    fn check_pages(&self, leaves: &[usize]) -> Result<Vec<Load>> {
        let checked = pages::check(&self.file, self.place.size, &self.metadata, leaves);
        checked.map_err(|flaw| self.place.error(flaw))
    }

    /// Read some columns, so many rows at once, or fewer.
    fn read(&self, leaves: Vec<usize>, at_once: usize) -> Result<Batches> {
        let Self { file, place, metadata, rows } = self;
        let file = file.try_clone().at(Step::ReadTimeseries, || place.path.clone())?;
        let (place, metadata) = (place.clone(), metadata.clone());
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), leaves);
        let build = || {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let metadata = ArrowReaderMetadata::try_new(metadata, options)?;
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(mask)
                .with_batch_size(at_once.min(BATCH))
                .build()
        };
        let reader = match unless_it_panics(build) {
            Ok(Ok(reader)) => reader,
            Ok(Err(error)) => return Err(place.parquet(&error)),
            Err(said) => return Err(place.damage(format!("its columns cannot be read: {said}"))),
        };
        let schema = arrow_array::RecordBatchReader::schema(&reader);
        Ok(Batches { reader: Some(reader), schema, place, promised: *rows, seen: 0 })
    }

    /// The error that the file is whole, but no trace.
    pub(crate) fn not_a_trace(&self, reason: String) -> Error {
        self.place.not_a_trace(reason)
    }

    /// The places of the columns of a name that hold one value a row.
    fn columns<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let columns = self.metadata.file_metadata().schema_descr().columns().iter().enumerate();
        columns.filter_map(move |(index, column)| {
            let path = column.path().parts();
            (path.len() == 1 && path[0] == name && column.max_rep_level() == 0).then_some(index)
        })
    }
}

impl Batches {
    /// The columns of the batches.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The error that the file is whole, but no trace.
    pub(crate) fn not_a_trace(&self, reason: String) -> Error {
        self.place.not_a_trace(reason)
    }

    /// The next batch, or what keeps it from being read.
    fn read(&mut self) -> Option<Result<RecordBatch>> {
        let reader = self.reader.as_mut()?;
        // The pages are a stranger's bytes: a panic of their decoder is the file's fault, not the caller's.
        let batch = match unless_it_panics(|| reader.next()) {
            Ok(Some(Ok(batch))) => batch,
            Ok(Some(Err(error))) => return Some(Err(self.place.arrow(error))),
            Ok(None) if self.seen == self.promised => return None,
            Ok(None) => return Some(Err(self.miscounted())),
            Err(said) => return Some(Err(self.place.damage(format!("a page of it cannot be read: {said}")))),
        };
        self.seen += batch.num_rows() as u64;
        Some(if self.seen > self.promised { Err(self.miscounted()) } else { Ok(batch) })
    }

    fn miscounted(&self) -> Error {
        let Self { seen, promised, .. } = self;
        self.place.damage(format!("it has {seen} rows or more where its footer says {promised}"))
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

impl Place {
    fn error(&self, flaw: Flaw) -> Error {
        match flaw {
            Flaw::Io(source) => Error::io(Step::ReadTimeseries, &self.path, source),
            Flaw::Encrypted => self.not_a_trace("it is encrypted".into()),
            Flaw::Damage(reason) => self.damage(reason),
        }
    }

    fn parquet(&self, error: &ParquetError) -> Error {
        match os_error(error) {
            Some(source) => Error::io(Step::ReadTimeseries, &self.path, source),
            None => self.damage(format!("its columns cannot be read: {error}")),
        }
    }

    fn arrow(&self, error: ArrowError) -> Error {
        match error {
            ArrowError::IoError(_, source) if source.raw_os_error().is_some() => {
                Error::io(Step::ReadTimeseries, &self.path, source)
            }
            error => self.damage(format!("a page of it cannot be read: {error}")),
        }
    }

    fn damage(&self, reason: impl Into<String>) -> Error {
        Error::DamagedTrace { path: self.path.clone(), size: self.size, reason: reason.into() }
    }

    fn not_a_trace(&self, reason: String) -> Error {
        Error::NotATrace { path: self.path.clone(), size: self.size, reason }
    }
}
