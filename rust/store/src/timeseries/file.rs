//! A Parquet file that is checked to be a power trace.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int32Array, RecordBatchReader, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::Length;
use parquet::schema::types::ColumnDescriptor;

use super::batches::{Batches, Values};
use super::context::FileContext;
use super::convert::{Conversion, table_type};
use super::declared::{Declared, declared_types};
use super::energy::{Power, PowerRows};
use super::memory::{NoMemory, Share, TraceMemory};
use super::notes::Notes;
use crate::error::{At, Error, Result, Step};
use crate::interrupt::Interrupt;
use crate::parquet::pages::{self, MemoryNeed};
use crate::parquet::{ParquetSource, footer};
use crate::sidecar::open_for_reading;
use crate::walk::Turn;

/// Maximum rows of a batch.
const BATCH_ROWS: usize = 1 << 14;
/// Maximum values of a batch of many columns: between two batches, a reader checks for an interrupt.
const BATCH_VALUES: usize = 1 << 20;
/// The columns without which a file is not a power trace.
const REQUIRED: [&str; 2] = ["timestamp_s", "power_w"];
/// The columns of a power trace that have a value in every row; the second one is 0 in a file without it.
const WITHOUT_NULLS: [&str; 2] = ["timestamp_s", GPU_INDEX];
const GPU_INDEX: &str = "gpu_index";

/// An open Parquet file with its footer.
#[derive(Debug)]
pub struct TraceFile {
    file: ParquetSource,
    context: FileContext,
    metadata: Arc<ParquetMetaData>,
    rows: u64,
}

/// A column of a file.
struct FoundColumn {
    /// Its index among the columns of Parquet; `None` for a list or a structure.
    leaf: Option<usize>,
    declared: Declared,
}

/// The columns of a file by name.
struct FileColumns {
    stored: Schema,
    declared: HashMap<String, Declared>,
}

impl TraceFile {
    /// Open a file and read its footer.
    pub fn open(path: &Path) -> Result<Self> {
        let source = open_for_reading(path).and_then(ParquetSource::of_file);
        Self::from_source(source.at(Step::ReadTimeseries, || path.to_owned())?, path)
    }

    /// Read the footer of an open file; errors name `path`.
    pub fn from_source(file: ParquetSource, path: &Path) -> Result<Self> {
        let context = FileContext { path: path.to_owned(), size: file.len() };
        let metadata = footer::read(&file).map_err(|fault| context.fault(fault))?;
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

    /// Return the types of top-level columns in tables; a name may be absent from the file.
    ///
    /// # Errors
    ///
    /// As [`TraceFile::batches`]; a column has a type that no table has.
    pub(crate) fn table_types(&self, names: &[String]) -> Result<Vec<(String, DataType)>> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let columns = self.columns(&names)?;
        self.check_trace(&columns)?;
        let mut types = Vec::new();
        for name in names {
            let Some(FoundColumn { declared, .. }) = self.find(&columns, name)? else { continue };
            let data_type = table_type(&declared).ok_or_else(|| {
                self.not_a_trace(format!(
                    "its column {name} has the type {declared}, which a scan does not read"
                ))
            })?;
            types.push((name.to_owned(), data_type));
        }
        Ok(types)
    }

    /// Begin to read columns of some names and types.
    ///
    /// A batch has the columns in the given order, and at most 16 384 rows. Numbers of other types are converted if
    /// they fit, and durations to seconds. A column that the file lacks is null; `gpu_index` is 0.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedTrace`] if the file is incomplete or inconsistent; [`Error::NotATrace`] if it is not a power
    /// trace (it lacks `timestamp_s` or `power_w`, or one of the usual columns is not one of numbers), or has two
    /// columns of a name, or a selected column of another type, with another compression than zstd or snappy or with
    /// delta-encoded lengths.
    pub fn batches(&self, fields: &[FieldRef], interrupt: Interrupt<'_>) -> Result<Batches> {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let file_columns = self.columns(&names)?;
        self.check_trace(&file_columns)?;
        let mut leaves = BTreeSet::new();
        let mut found = Vec::with_capacity(fields.len());
        for field in fields {
            let column = match self.find(&file_columns, field.name())? {
                Some(column) => self.conversion(column, field)?,
                None => None,
            };
            leaves.extend(column.as_ref().map(|(leaf, _)| *leaf));
            found.push(column);
        }
        let leaves: Vec<usize> = leaves.into_iter().collect();
        self.check_compression(&leaves)?;
        let needs = self.check_pages(&leaves, interrupt)?;
        if let Some((&leaf, _)) = leaves.iter().zip(&needs).find(|(_, need)| need.has_delta_lengths) {
            let name = self.leaves()[leaf].path().string();
            return Err(self.not_a_trace(format!(
                "its column {name} has delta-encoded string lengths, which are not supported"
            )));
        }
        let constant_rows = usize::try_from(self.rows).unwrap_or(BATCH_ROWS).min(BATCH_ROWS);
        let columns = fields.iter().zip(found).map(|(field, found)| match found {
            Some((leaf, conversion)) => {
                Values::Stored(leaves.iter().position(|other| *other == leaf).unwrap_or(0), conversion)
            }
            None if field.name() == GPU_INDEX => {
                Values::Constant(Arc::new(Int32Array::from(vec![0; constant_rows])))
            }
            None => Values::Constant(new_null_array(field.data_type(), constant_rows)),
        });
        let columns = columns.collect();
        let (reader, decoder_bytes) = self.decoder(&leaves, &needs)?;
        let (context, expected_rows) = (self.context.clone(), self.rows);
        let schema = Arc::new(Schema::new(fields.to_vec()));
        Ok(Batches { reader: Some(reader), schema, columns, context, expected_rows, rows: 0, decoder_bytes })
    }

    /// Check every page, convert the columns of a power trace, and decode the others that this build supports: one
    /// value a row, compressed with zstd, snappy or nothing, without delta-encoded string lengths.
    ///
    /// Return the energy of each GPU, as [`per_gpu`](super::per_gpu); `None` where one trace may not have the memory of
    /// its rows.
    ///
    /// # Errors
    ///
    /// As [`TraceFile::batches`] of the columns of a power trace.
    pub(crate) fn read_through(
        &self,
        memory: &TraceMemory,
        turn: Turn<'_>,
    ) -> Result<Option<BTreeMap<i32, Power>>> {
        let powers = self.read_powers(memory, turn)?;
        self.decode_others(memory, turn)?;
        Ok(powers)
    }

    /// Convert the columns of a power trace, and integrate its power.
    fn read_powers(&self, memory: &TraceMemory, turn: Turn<'_>) -> Result<Option<BTreeMap<i32, Power>>> {
        let mut batches = self.batches(super::schema().fields(), turn.interrupt)?;
        let rows_bytes = self.rows.saturating_mul(PowerRows::ROW_BYTES);
        let bytes = batches.decoder_bytes.saturating_add(rows_bytes);
        let fits = memory.check(bytes).is_ok();
        let _share = self.share(memory, if fits { bytes } else { batches.decoder_bytes }, turn)?;
        let mut rows = PowerRows::default();
        while let Some(batch) = batches.next(turn.interrupt).transpose()? {
            if fits {
                rows.add(&batch);
            }
        }
        let unknown_devices = !batches.has(GPU_INDEX);
        let integrate = || rows.integrate(unknown_devices, &self.notes().energies(), turn.interrupt);
        fits.then(integrate).transpose()
    }

    /// Check the pages of the columns that a power trace does not have, and decode those that this build supports.
    fn decode_others(&self, memory: &TraceMemory, turn: Turn<'_>) -> Result<()> {
        let standard = super::schema();
        let leaves = self.leaves();
        let is_other = |leaf: &usize| {
            let path = leaves[*leaf].path().parts();
            path.len() > 1 || standard.field_with_name(&path[0]).is_err()
        };
        let others: Vec<usize> = (0..leaves.len()).filter(is_other).collect();
        let needs = self.check_pages(&others, turn.interrupt)?;
        let is_supported = |(leaf, need): &(usize, MemoryNeed)| {
            is_flat(&leaves[*leaf])
                && pages::unsupported_compression(&self.metadata, &[*leaf]).is_none()
                && !need.has_delta_lengths
        };
        let mut others = others.into_iter().zip(needs).filter(is_supported).peekable();
        while others.peek().is_some() {
            // The decoder keeps a page of each column that it reads.
            let (mut together, mut needs, mut page_bytes) = (Vec::new(), Vec::new(), 0);
            while let Some((leaf, need)) =
                others.next_if(|(_, need)| together.is_empty() || need.fits_with(page_bytes))
            {
                page_bytes += need.largest_page;
                together.push(leaf);
                needs.push(need);
            }
            let (reader, decoder_bytes) = self.decoder(&together, &needs)?;
            let (context, expected_rows) = (self.context.clone(), self.rows);
            let (schema, columns) = (reader.schema(), Vec::new());
            let mut batches = Batches {
                reader: Some(reader),
                schema,
                columns,
                context,
                expected_rows,
                rows: 0,
                decoder_bytes,
            };
            let _share = self.share(memory, decoder_bytes, turn)?;
            while batches.decode(turn.interrupt).transpose()?.is_some() {}
        }
        Ok(())
    }

    /// Reject a trace whose rows, of some bytes each, do not fit into the memory of one trace: a few bytes of a file may
    /// stand for any number of rows.
    pub(crate) fn check_memory(&self, row_bytes: u64, memory: &TraceMemory) -> Result<u64> {
        let bytes = self.rows.saturating_mul(row_bytes);
        memory.check(bytes).map_err(|error| self.no_memory(error))?;
        Ok(bytes)
    }

    /// Wait for memory.
    pub(crate) fn share(&self, memory: &TraceMemory, bytes: u64, turn: Turn<'_>) -> Result<Share> {
        memory.acquire(bytes, turn).map_err(|error| self.no_memory(error))
    }

    pub(crate) fn no_memory(&self, error: NoMemory) -> Error {
        match error {
            NoMemory::TooLarge(reason) => self.not_a_trace(reason),
            NoMemory::Interrupted => Error::Interrupted,
        }
    }

    /// Return the columns of the file by name, with the declared types of some and of those of a power trace.
    fn columns(&self, names: &[&str]) -> Result<FileColumns> {
        let metadata = self.metadata.file_metadata();
        let stored = self.context.decode(|| parquet_to_arrow_schema(metadata.schema_descr(), None))?;
        let standard = super::schema();
        let mut names = names.to_vec();
        names.extend(standard.fields().iter().map(|field| field.name().as_str()));
        let declared = declared_types(metadata, &names).map_err(|reason| self.context.damage(reason))?;
        Ok(FileColumns { stored, declared })
    }

    /// Find the top-level column of a name.
    fn find(&self, columns: &FileColumns, name: &str) -> Result<Option<FoundColumn>> {
        let mut fields = columns.stored.fields().iter().filter(|field| field.name() == name);
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(self.not_a_trace(format!("it has two columns {name}")));
        }
        let stored = field.data_type();
        let declared = match columns.declared.get(name) {
            Some(declared) => declared.clone().on(stored),
            None => Declared::Arrow(stored.clone()),
        };
        let is_it = |(_, leaf): &(usize, &Arc<ColumnDescriptor>)| is_flat(leaf) && leaf.name() == name;
        let leaf = self.leaves().iter().enumerate().find(is_it).map(|(leaf, _)| leaf);
        Ok(Some(FoundColumn { leaf, declared }))
    }

    /// Check that a file has the columns of a power trace, and numbers in all of them that it has.
    fn check_trace(&self, columns: &FileColumns) -> Result<()> {
        for field in super::schema().fields() {
            match self.find(columns, field.name())? {
                Some(column) => self.conversion(column, field).map(drop)?,
                None if REQUIRED.contains(&field.name().as_str()) => {
                    return Err(self.not_a_trace(format!("it has no column {}", field.name())));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Return the column of Parquet that has a column's values, and their conversion.
    fn conversion(&self, column: FoundColumn, field: &Field) -> Result<Option<(usize, Conversion)>> {
        let is_required = WITHOUT_NULLS.contains(&field.name().as_str());
        let conversion = Conversion::new(field.name(), column.declared, field.data_type(), is_required);
        let conversion = conversion.map_err(|reason| self.not_a_trace(reason))?;
        Ok(column.leaf.map(|leaf| (leaf, conversion)))
    }

    fn check_compression(&self, leaves: &[usize]) -> Result<()> {
        match pages::unsupported_compression(&self.metadata, leaves) {
            Some((name, compression)) => Err(self.not_a_trace(format!(
                "its column {name} is compressed with {compression}; expected zstd, snappy or none"
            ))),
            None => Ok(()),
        }
    }

    fn check_pages(&self, leaves: &[usize], interrupt: Interrupt<'_>) -> Result<Vec<MemoryNeed>> {
        self.file.fetch(interrupt)?;
        let needs = pages::check(&self.file, &self.metadata, leaves, interrupt);
        needs.map_err(|fault| self.context.fault(fault))
    }

    /// Begin to decode columns of Parquet; return the bytes that the decoder may need, too.
    fn decoder(&self, leaves: &[usize], needs: &[MemoryNeed]) -> Result<(ParquetRecordBatchReader, u64)> {
        let Self { file, context, metadata, .. } = self;
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), leaves.iter().copied());
        let batch_rows = MemoryNeed::batch_rows(needs.iter().copied());
        let batch_rows = batch_rows.min(BATCH_ROWS).min(BATCH_VALUES / leaves.len().max(1)).max(1);
        let reader = context.decode(|| {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let metadata = ArrowReaderMetadata::try_new(metadata.clone(), options)?;
            ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata)
                .with_projection(mask)
                .with_batch_size(batch_rows)
                .build()
        })?;
        Ok((reader, MemoryNeed::decoder_bytes(needs, batch_rows)))
    }

    /// Return the notes in the file's metadata.
    pub(super) fn notes(&self) -> Notes {
        Notes::of_file(self.metadata.file_metadata())
    }

    /// Return the error for a complete file that is not a power trace.
    pub(crate) fn not_a_trace(&self, reason: String) -> Error {
        self.context.not_a_trace(reason)
    }

    fn leaves(&self) -> &[Arc<ColumnDescriptor>] {
        self.metadata.file_metadata().schema_descr().columns()
    }
}

/// Return whether a column holds one value a row: a list may claim any number of values, and fill any memory.
fn is_flat(column: &ColumnDescriptor) -> bool {
    column.path().parts().len() == 1 && column.max_rep_level() == 0
}
