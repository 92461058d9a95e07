//! Record batches as Parquet with zstd.

use std::io::{self, Write};
use std::path::Path;

use arrow_array::RecordBatchReader;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result, Step};
use crate::interrupt::Interrupt;
use crate::parquet::footer::io_error;
use crate::timeseries::file_metadata;

/// Write record batches as Parquet with zstd; `failed` converts an error of the encoder.
pub(crate) fn encode(
    reader: Box<dyn RecordBatchReader + Send>,
    target: impl Write + Send,
    interrupt: Interrupt<'_>,
    failed: &dyn Fn(ParquetError) -> Error,
) -> Result<()> {
    let mut writer = parquet_writer(target, reader.schema()).map_err(failed)?;
    for batch in reader {
        interrupt.check()?;
        let batch = batch.map_err(|error| Error::Stream { reason: error.to_string() })?;
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

/// Return a writer of Parquet with zstd.
pub(crate) fn parquet_writer<W: Write + Send>(
    target: W,
    schema: SchemaRef,
) -> std::result::Result<ArrowWriter<W>, ParquetError> {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let notes = file_metadata(&schema);
    let properties = WriterProperties::builder().set_compression(zstd).set_key_value_metadata(notes).build();
    ArrowWriter::try_new(target, schema, Some(properties))
}

/// Convert an error of the encoder: a full disk is an I/O error, even where the encoder wrapped it.
pub(crate) fn encode_error(temp: &Path, error: &ParquetError) -> Error {
    match io_error(error) {
        Some(source) => Error::io(Step::Write, temp, source),
        None => Error::Stream { reason: error.to_string() },
    }
}

/// A writer that counts its bytes: the length that the file must have in the end.
pub(crate) struct Counted<W> {
    pub writer: W,
    pub length: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(buffer)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
