//! Export of a table to a file: Parquet, Arrow IPC, CSV or JSON Lines, complete or not at all.
//!
//! Each batch goes to the file as it comes, so that a table may be larger than memory.

mod csv;
mod lines;
mod values;

use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, SchemaRef};

use crate::error::{Error, Step};
use crate::export::values::{columns, with_text};
use crate::fs::durable::replace_with;
use crate::scan::ScanError;
use crate::sidecar::{Counted, encode_error, parquet_writer};

/// Maximum bytes in memory of a row group of Parquet.
const MAX_ROW_GROUP: usize = 64 << 20;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet with zstd.
    Parquet,
    /// The file format of Arrow IPC, also known as Feather.
    Ipc,
    /// Comma-separated values with a header, by RFC 4180.
    Csv,
    /// The same for spreadsheets: an apostrophe precedes a text that a spreadsheet would evaluate as a formula.
    SpreadsheetCsv,
    /// JSON Lines: an object a row.
    Lines,
}

impl Format {
    /// Return the format of a file name by its extension, in any case.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" => Self::Parquet,
            "arrow" | "feather" | "ipc" => Self::Ipc,
            "csv" => Self::Csv,
            "jsonl" | "ndjson" => Self::Lines,
            _ => return None,
        })
    }

    /// Return the format with escapes for formulas, where a spreadsheet would evaluate them.
    #[must_use]
    pub fn for_spreadsheets(self) -> Self {
        if self == Self::Csv { Self::SpreadsheetCsv } else { self }
    }
}

/// The outcome of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// The number of rows.
    pub rows: u64,
    /// The file has these rows; `false` if there were none, and an old file stays.
    pub written: bool,
}

/// Write all batches of `next` to a file, which is replaced completely or stays as it was.
///
/// A table without rows replaces no file: it is more often a store that cannot be read than an empty one.
///
/// # Errors
///
/// `next` fails; the file cannot be written.
///
/// # Examples
///
/// ```
/// use llem_store::{Interrupt, Store};
/// use llem_store::export::{Format, export};
/// use llem_store::scan::{RecordSchema, Scan, ScanOptions};
///
/// # let temp = tempfile::tempdir()?;
/// # let root = temp.path();
/// # std::fs::create_dir(root.join("a"))?;
/// # std::fs::write(root.join("a/result.json"), r#"{"id": "a"}"#)?;
/// let schema = RecordSchema::from_json(
///     r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
///         {"name": "id", "kind": "text"}]"#,
/// )?;
/// let options = ScanOptions { columns: vec!["id".into()], stop_at_error: true, ..ScanOptions::default() };
/// let mut reader = Scan::new(Store::at(root), &schema, options)?.read(Interrupt::NEVER)?;
/// let path = root.join("table.csv");
/// let exported = export(&path, Format::Csv, &reader.schema(), &mut || {
///     Ok(reader.next(Interrupt::NEVER)?.map(|batch| batch.rows))
/// })?;
/// assert_eq!((exported.rows, exported.written), (1, true));
/// assert_eq!(std::fs::read_to_string(&path)?, "id\na\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(
    path: &Path,
    format: Format,
    schema: &SchemaRef,
    next: &mut dyn FnMut() -> Result<Option<RecordBatch>, ScanError>,
) -> Result<Exported, ScanError> {
    let count = Cell::new(0);
    let mut counted_next = || {
        let batch = next()?;
        count.set(count.get() + batch.as_ref().map_or(0, |batch| batch.num_rows() as u64));
        Ok(batch)
    };
    let replaced = replace_with(path, |pending| {
        let temp = pending.path();
        let io = |error: io::Error| ScanError::from(Error::io(Step::Write, &temp, error));
        let mut target = Counted { writer: BufWriter::new(pending.file()?), length: 0 };
        match format {
            Format::Parquet => parquet(&temp, &mut target, schema, &mut counted_next)?,
            Format::Ipc => ipc(&temp, &mut target, schema, &mut counted_next)?,
            Format::Csv | Format::SpreadsheetCsv => {
                let dialect =
                    if format == Format::Csv { csv::Dialect::Plain } else { csv::Dialect::Spreadsheet };
                dialect.header(schema, &mut target).map_err(io)?;
                while let Some(batch) = counted_next()? {
                    let columns = with_text(&batch)?;
                    dialect.rows(&self::columns(&columns)?, batch.num_rows(), &mut target).map_err(io)?;
                }
            }
            Format::Lines => {
                while let Some(batch) = counted_next()? {
                    lines::write(schema, &columns(&with_text(&batch)?)?, batch.num_rows(), &mut target)
                        .map_err(io)?;
                }
            }
        }
        target.flush().map_err(io)?;
        if count.get() == 0 && path.symlink_metadata().is_ok() {
            return Err(Stop::NoRows);
        }
        Ok::<u64, Stop>(target.length)
    });
    match replaced {
        Ok(()) => Ok(Exported { rows: count.get(), written: true }),
        Err(Stop::NoRows) => Ok(Exported { rows: 0, written: false }),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The reason why a file stays as it was.
enum Stop {
    /// There is no row.
    NoRows,
    Failed(ScanError),
}

impl<E: Into<ScanError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn parquet(
    temp: &Path,
    target: impl Write + Send,
    schema: &SchemaRef,
    next: &mut dyn FnMut() -> Result<Option<RecordBatch>, ScanError>,
) -> Result<(), ScanError> {
    let failed = |error| encode_error(temp, &error);
    let mut writer = parquet_writer(target, schema.clone()).map_err(failed)?;
    while let Some(batch) = next()? {
        writer.write(&batch).map_err(failed)?;
        if writer.memory_size() > MAX_ROW_GROUP {
            writer.flush().map_err(failed)?;
        }
    }
    writer.close().map_err(failed)?;
    Ok(())
}

fn ipc(
    temp: &Path,
    target: impl Write,
    schema: &SchemaRef,
    next: &mut dyn FnMut() -> Result<Option<RecordBatch>, ScanError>,
) -> Result<(), ScanError> {
    let failed = |error| match error {
        ArrowError::IoError(_, error) => ScanError::from(Error::io(Step::Write, temp, error)),
        error => error.into(),
    };
    let mut writer = FileWriter::try_new(target, schema).map_err(failed)?;
    while let Some(batch) = next()? {
        writer.write(&batch).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("model", DataType::Utf8, true),
            Field::new("energy_j", DataType::Float64, true),
        ]);
        let models = StringArray::from(vec![Some("gpt2"), None]);
        let energy = Float64Array::from(vec![Some(250.5), Some(f64::NAN)]);
        RecordBatch::try_new(schema.into(), vec![Arc::new(models), Arc::new(energy)]).unwrap()
    }

    fn write(path: &Path, batches: Vec<Result<RecordBatch, ScanError>>) -> Result<Exported, ScanError> {
        let mut batches = batches.into_iter();
        let format = Format::of(path).unwrap();
        export(path, format, &batch().schema(), &mut || batches.next().transpose())
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn format_of_file_name_uses_the_extension() {
        let format = |name: &str| Format::of(Path::new(name));
        assert_eq!(format("x.PARQUET"), Some(Format::Parquet));
        assert_eq!(format("a.csv/x.feather"), Some(Format::Ipc));
        assert_eq!(format("x.ndjson"), Some(Format::Lines));
        assert_eq!(["x.json", "csv", ".csv", "x.csv.gz", ""].map(format), [None; 5]);
    }

    #[test]
    fn export_batches_in_every_format_counts_rows() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["x.parquet", "x.arrow", "x.csv", "x.jsonl"] {
            let path = temp.path().join(name);
            let exported = write(&path, vec![Ok(batch()), Ok(batch())]).unwrap();
            assert_eq!(exported, Exported { rows: 4, written: true });
        }
        assert_eq!(names(temp.path()).len(), 4);
    }

    #[test]
    fn export_without_rows_keeps_an_old_file() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["x.parquet", "x.arrow", "x.csv", "x.jsonl"] {
            let path = temp.path().join(name);
            assert_eq!(write(&path, vec![]).unwrap(), Exported { rows: 0, written: true });
            fs::write(&path, "old").unwrap();
            assert_eq!(write(&path, vec![]).unwrap(), Exported { rows: 0, written: false });
            assert_eq!(write(&path, vec![Ok(batch().slice(0, 0))]).unwrap().rows, 0);
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        }
        assert_eq!(names(temp.path()).len(), 4);
    }

    #[test]
    fn export_text_formats_writes_nulls_and_nan() {
        let temp = tempfile::tempdir().unwrap();
        let written = |name: &str| -> String {
            let path: PathBuf = temp.path().join(name);
            write(&path, vec![Ok(batch())]).unwrap();
            fs::read_to_string(path).unwrap()
        };
        assert_eq!(written("x.csv"), "model,energy_j\ngpt2,250.5\n,NaN\n");
        assert_eq!(
            written("x.jsonl"),
            "{\"model\":\"gpt2\",\"energy_j\":250.5}\n{\"model\":null,\"energy_j\":\"NaN\"}\n"
        );
    }

    #[test]
    fn export_interrupted_keeps_the_old_file() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["x.parquet", "x.arrow", "x.csv", "x.jsonl"] {
            let path = temp.path().join(name);
            fs::write(&path, "old").unwrap();
            let error = write(&path, vec![Ok(batch()), Err(Error::Interrupted.into())]).unwrap_err();
            assert!(matches!(error, ScanError::Store(Error::Interrupted)), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            assert_eq!(names(temp.path()), [name]);
            fs::remove_file(path).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn export_to_a_full_disk_fails_with_the_os_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(28))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let schema = batch().schema();
        let failures = [
            parquet(Path::new("x"), Full, &schema, &mut || Ok(None)).unwrap_err(),
            ipc(Path::new("x"), Full, &schema, &mut || Ok(None)).unwrap_err(),
        ];
        for failure in failures {
            assert!(
                matches!(&failure, ScanError::Store(error) if error.raw_os_error() == Some(28)),
                "{failure}"
            );
        }
    }
}
