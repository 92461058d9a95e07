//! Readers of scans: batch by batch, into a file, or as an Arrow stream.

use std::any::Any;
use std::cell::Cell;
use std::ffi::OsString;
use std::mem;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use arrow_array::ArrayRef;
use arrow_schema::{ArrowError, SchemaRef};
use llem_store::export::{Format, export};
use llem_store::links::{LinkLog, SkippedLinks};
use llem_store::scan::{self, RecordError, ScanBatch, ScanError};
use llem_store::{Error, Interrupt, Reached};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};

use crate::arrow::{Batch, Schema, row_field, rows_of};
use crate::errors::{escaped, record_error, value_error};
use crate::interrupt::{is_main_thread, run_with_progress, was_interrupted};
use crate::location::Place;
use crate::owned::{IN_A_FORK, ProcessOwned};

/// The batches of a scan of results or of power traces.
pub enum Batches {
    Results(scan::Reader),
    Traces(scan::TraceReader),
}

impl Batches {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::Results(reader) => reader.schema(),
            Self::Traces(reader) => reader.schema(),
        }
    }

    fn links(&self) -> Arc<LinkLog> {
        match self {
            Self::Results(reader) => reader.links(),
            Self::Traces(reader) => reader.links(),
        }
    }

    fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<ScanBatch>, ScanError> {
        match self {
            Self::Results(reader) => reader.next(interrupt),
            Self::Traces(reader) => reader.next(interrupt),
        }
    }
}

/// A reader of a scan; it belongs to the process that made it.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Reader {
    batches: ProcessOwned<Batches>,
    links: Arc<LinkLog>,
    progress: Option<Py<PyAny>>,
}

/// The skipped links of a walk: those to directories, those that lead to nothing, and the first.
pub type PyLinks = (u64, u64, Option<OsString>);

/// Convert the skipped links of a walk.
pub fn to_links(skipped: SkippedLinks) -> PyLinks {
    (skipped.directories, skipped.broken, skipped.first.map(PathBuf::into_os_string))
}

/// The path of a file that is not a row, and its exception.
pub type PathAndError = (Place, PyErr);

/// Convert the errors of a batch.
pub fn to_errors(py: Python<'_>, errors: Vec<RecordError>) -> Vec<PathAndError> {
    errors.into_iter().map(|error| (error.path.as_path().into(), record_error(py, &error))).collect()
}

impl Reader {
    pub fn new(batches: Batches, progress: Option<Py<PyAny>>) -> Self {
        Self { links: batches.links(), batches: ProcessOwned::new(batches), progress }
    }
}

#[pymethods]
impl Reader {
    #[getter]
    fn schema(&self) -> PyResult<Schema> {
        self.batches.peek(|batches| Schema(batches.schema()))
    }

    /// The symbolic links that the scan skips; complete at its end, whatever reads it.
    #[getter]
    fn links(&self) -> PyLinks {
        to_links(self.links.skipped())
    }

    /// Return the next rows, and the files that are not rows; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<(Batch, Vec<PathAndError>)>> {
        let progress = self.progress.as_ref();
        let batch = self
            .batches
            .with(py, |batches| run_with_progress(py, progress, |interrupt| batches.next(interrupt)))??;
        Ok(batch.map(|ScanBatch { rows, errors }| (Batch(rows), to_errors(py, errors))))
    }

    /// Write the rest to a file in the format of its extension; return the number of rows, false if there are none and
    /// an old file stays, and the files that are not rows. `excel` escapes formulas in CSV.
    #[pyo3(signature = (path, *, excel=false))]
    fn export(&self, py: Python<'_>, path: PathBuf, excel: bool) -> PyResult<(u64, bool, Vec<PathAndError>)> {
        let format = Format::of(&path);
        let Some(format) = format.map(|format| if excel { format.for_spreadsheets() } else { format }) else {
            return Err(value_error(
                py,
                &format_args!(
                    "expected a name that ends in .parquet, .arrow, .feather, .ipc, .csv, .jsonl or .ndjson, got {}",
                    path.display()
                ),
            ));
        };
        let mut batches = self.batches.take()?;
        let mut all_errors = Vec::new();
        let exported = run_with_progress(py, self.progress.as_ref(), |interrupt| {
            export(&path, format, &batches.schema(), &mut || {
                let Some(ScanBatch { rows, errors }) = batches.next(interrupt)? else { return Ok(None) };
                all_errors.extend(errors);
                Ok(Some(rows))
            })
        })?;
        Ok((exported.rows, exported.written, to_errors(py, all_errors)))
    }

    /// Return the rest as an Arrow stream. `report` receives the files that are not rows, as `next` returns them, and
    /// None at the end.
    fn stream<'py>(&self, py: Python<'py>, report: Py<PyAny>) -> PyResult<Bound<'py, PyCapsule>> {
        let batches = self.batches.take()?;
        let field = row_field(&batches.schema());
        let stream = Stream {
            batches: Some(batches),
            report,
            progress: self.progress.as_ref().map(|progress| progress.clone_ref(py)),
            process: self.batches.process(),
            main: is_main_thread(py)?.then(|| thread::current().id()),
        };
        Ok(to_stream_pycapsule(py, Box::new(ArrayIterator::new(stream, field)), None)?)
    }
}

/// The rows of a scan for an Arrow library, which may read it in any thread.
struct Stream {
    /// `None` at the end.
    batches: Option<Batches>,
    report: Py<PyAny>,
    progress: Option<Py<PyAny>>,
    process: u32,
    /// The main thread, if it made the stream: a library that reads in it holds no lock that Python waits for.
    main: Option<ThreadId>,
}

impl Iterator for Stream {
    type Item = Result<ArrayRef, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.process != process::id() {
            mem::forget(self.batches.take()?);
            return Some(Err(ArrowError::ExternalError(IN_A_FORK.into())));
        }
        let item = self.read().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.batches = None;
        }
        item
    }
}

impl Stream {
    fn read(&mut self) -> Result<Option<ArrayRef>, ArrowError> {
        while let Some(batches) = &mut self.batches {
            let reached = Cell::new(Reached::default());
            let is_main = self.main == Some(thread::current().id());
            let is_cancelled = |now| {
                reached.set(now);
                is_main && Python::attach(was_interrupted)
            };
            let batch = batches.next(Interrupt::new(&is_cancelled));
            let Reached { records, total } = reached.get();
            if let Some(progress) = self.progress.as_ref().filter(|_| records > 0) {
                Python::attach(|py| progress.call1(py, (records, total))).map_err(external)?;
            }
            let Some(ScanBatch { rows, errors }) = batch.map_err(external)? else {
                self.report(None)?;
                return Ok(None);
            };
            if !errors.is_empty() {
                self.report(Some(errors))?;
            }
            if rows.num_rows() > 0 {
                return Ok(Some(rows_of(rows)));
            }
        }
        Ok(None)
    }

    /// Report the files that are not rows; `None` for the end.
    fn report(&self, errors: Option<Vec<RecordError>>) -> Result<(), ArrowError> {
        let reported = Python::attach(|py| {
            let errors = errors.map(|errors| to_errors(py, errors));
            self.report.call1(py, (errors,)).map(drop)
        });
        reported.map_err(external)
    }
}

/// Return an error for an Arrow library, which passes its text on.
fn external(error: impl std::error::Error + Send + Sync + 'static) -> ArrowError {
    let any: &dyn Any = &error;
    if matches!(any.downcast_ref(), Some(ScanError::Store(Error::Interrupted))) {
        // Python code would raise the pending interrupt here, where the library swallows it.
        return ArrowError::ExternalError(Box::new(error));
    }
    match Python::attach(|py| escaped(py, &error)) {
        Ok(text) => ArrowError::ExternalError(text.into()),
        Err(raised) => ArrowError::ExternalError(Box::new(raised)),
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.process != process::id() {
            mem::forget(self.batches.take());
        }
    }
}
