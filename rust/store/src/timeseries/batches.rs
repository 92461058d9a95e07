//! Columns of a Parquet file, batch by batch, in bounded memory whatever the file claims.

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::context::FileContext;
use super::convert::Conversion;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::unwind::catch_panic;

/// The values of a column of a table.
pub(super) enum Values {
    /// A column of the batches that the decoder returns, and its conversion.
    Stored(usize, Conversion),
    /// The same value in every row, as an array at least as long as a batch.
    Constant(ArrayRef),
}

/// A reader of columns of a [`TraceFile`](super::file::TraceFile), in batches; it ends after the first error.
pub struct Batches {
    pub(super) reader: Option<ParquetRecordBatchReader>,
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<Values>,
    pub(super) context: FileContext,
    pub(super) expected_rows: u64,
    pub(super) rows: u64,
    pub(super) decoder_bytes: u64,
}

impl Batches {
    /// Return the columns of the batches.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Return whether the file has a column.
    pub(super) fn has(&self, name: &str) -> bool {
        let fields = self.schema.fields().iter().zip(&self.columns);
        fields.into_iter().any(|(field, values)| field.name() == name && matches!(values, Values::Stored(..)))
    }

    /// Return the bytes that the decoder may need next to the batches that it has returned.
    pub(crate) fn decoder_bytes(&self) -> u64 {
        self.decoder_bytes
    }

    /// Return the next rows; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`TraceFile::batches`](super::file::TraceFile::batches); a value does not fit its column; [`Error::Interrupted`] once the caller has
    /// cancelled.
    pub fn next(&mut self, interrupt: Interrupt<'_>) -> Option<Result<RecordBatch>> {
        let first_row = self.rows;
        let batch = self.decode(interrupt)?.and_then(|batch| self.convert(&batch, first_row));
        if batch.is_err() {
            self.reader = None;
        }
        Some(batch)
    }

    fn convert(&self, batch: &RecordBatch, first_row: u64) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns = self.columns.iter().map(|values| match values {
            Values::Stored(place, conversion) => conversion.convert(batch.column(*place), first_row),
            Values::Constant(array) => Ok(array.slice(0, rows)),
        });
        let columns =
            columns.collect::<Result<Vec<_>, String>>().map_err(|reason| self.context.not_a_trace(reason))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        batch.map_err(|error| self.context.not_a_trace(error.to_string()))
    }

    /// Return the next rows as they are stored.
    pub(super) fn decode(&mut self, interrupt: Interrupt<'_>) -> Option<Result<RecordBatch>> {
        let batch = self.decode_next(interrupt);
        if !matches!(batch, Some(Ok(_))) {
            self.reader = None;
        }
        batch
    }

    fn decode_next(&mut self, interrupt: Interrupt<'_>) -> Option<Result<RecordBatch>> {
        let reader = self.reader.as_mut()?;
        if let Err(interrupted) = interrupt.check() {
            return Some(Err(interrupted));
        }
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
