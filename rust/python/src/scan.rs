//! A tree of results as a table.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

use arrow_array::ArrayRef;
use arrow_schema::{ArrowError, SchemaRef};
use llem_store::export::{Format, export};
use llem_store::load::Limit;
use llem_store::scan::{
    self, Bad, Comparison, Condition, Document, Operand, Part, Plan, RecordSchema, ScanError, TraceScan,
};
use llem_store::{Error, Interrupt};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyCapsule, PyFloat, PyInt, PyString};
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};

use crate::arrow::{Batch, Schema, row_field, rows_of};
use crate::errors::{bad_to_python, to_python};
use crate::gate::detach;
use crate::interrupt::{is_main_thread, run, run_with_progress, was_interrupted};

/// A question about a tree of results.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Scan(scan::Scan);

#[pymethods]
impl Scan {
    /// `record` is the schema of a record, as JSON; `conditions` are a column, an operator and a value each;
    /// `max_bytes` is how large a record may be.
    #[new]
    #[pyo3(signature = (root, record, columns, conditions, *, batch_size, strict, max_bytes, infer=true))]
    #[allow(clippy::too_many_arguments, reason = "one flat call, and Python's side has the names")]
    fn new(
        root: PathBuf,
        record: &str,
        columns: Vec<String>,
        conditions: Vec<Asked<'_>>,
        batch_size: usize,
        strict: bool,
        max_bytes: u64,
        infer: bool,
    ) -> PyResult<Self> {
        let schema = RecordSchema::from_json(record).map_err(PyValueError::new_err)?;
        let conditions = to_conditions(conditions)?;
        let plan =
            Plan::new(&schema, &columns, conditions, batch_size, infer).map_err(PyValueError::new_err)?;
        Ok(Self(scan::Scan::new(root, plan.with_limit(Limit(max_bytes)), strict)))
    }

    /// The columns; None where results must be read to know them, and none were yet.
    #[getter]
    fn schema(&self) -> Option<Schema> {
        self.0.schema().map(Schema)
    }

    /// Begin to read; `progress` is called with the number of results read.
    #[pyo3(signature = (*, progress=None))]
    fn read(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Reader> {
        let rows = run_with_progress(py, progress.as_ref(), |interrupt| self.0.read(interrupt))?;
        let rows = Mutex::new(Some(Rows::Results(rows)));
        Ok(Reader { rows, progress, process: std::process::id() })
    }
}

/// A question about the power traces of a tree.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Traces(TraceScan);

#[pymethods]
impl Traces {
    /// `of_records` are conditions on the records, `conditions` on the columns of the traces.
    #[new]
    #[pyo3(signature = (root, record, columns, of_records, conditions, *, strict, max_bytes))]
    fn new(
        root: PathBuf,
        record: &str,
        columns: Vec<String>,
        of_records: Vec<Asked<'_>>,
        conditions: Vec<Asked<'_>>,
        strict: bool,
        max_bytes: u64,
    ) -> PyResult<Self> {
        let schema = RecordSchema::from_json(record).map_err(PyValueError::new_err)?;
        let experiment = [scan::EXPERIMENT.to_owned()];
        let plan = Plan::new(&schema, &experiment, to_conditions(of_records)?, usize::MAX, false);
        let plan = plan.map_err(PyValueError::new_err)?.with_limit(Limit(max_bytes));
        let scan = TraceScan::new(root, plan, columns, to_conditions(conditions)?, strict);
        scan.map(Self).map_err(PyValueError::new_err)
    }

    /// The columns; None where traces must be read to know them, and none were yet.
    #[getter]
    fn schema(&self) -> Option<Schema> {
        self.0.schema().map(Schema)
    }

    /// Begin to read; `progress` is called with the number of results read.
    #[pyo3(signature = (*, progress=None))]
    fn read(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Reader> {
        let rows = run_with_progress(py, progress.as_ref(), |interrupt| self.0.read(interrupt))?;
        let rows = Mutex::new(Some(Rows::Traces(rows)));
        Ok(Reader { rows, progress, process: std::process::id() })
    }
}

/// A column, an operator and a value.
type Asked<'py> = (String, String, Bound<'py, PyAny>);

fn to_conditions(asked: Vec<Asked<'_>>) -> PyResult<Vec<Condition>> {
    let condition = |(column, operator, value): Asked<'_>| {
        let operand = operand(&value).map_err(|_| {
            let kind = value.get_type().qualname().map_or_else(|_| "this".into(), |name| name.to_string());
            let what = if value.is_instance_of::<PyInt>() {
                "an integer of more than 128 bits".into()
            } else {
                format!("a value of {kind}")
            };
            PyTypeError::new_err(format!("{column} cannot be compared with {what}"))
        })?;
        Ok(Condition { comparison: comparison(&operator)?, column, operand })
    };
    asked.into_iter().map(condition).collect()
}

fn comparison(operator: &str) -> PyResult<Comparison> {
    Ok(match operator {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "in" => Comparison::In,
        "not in" => Comparison::NotIn,
        other => {
            return Err(PyValueError::new_err(format!(
                "{other:?} is none of ==, !=, <, <=, >, >=, 'in' and 'not in'"
            )));
        }
    })
}

fn operand(value: &Bound<'_, PyAny>) -> PyResult<Operand> {
    if value.is_none() {
        Ok(Operand::Null)
    } else if value.is_instance_of::<PyBool>() {
        value.extract().map(Operand::Bool)
    } else if value.is_instance_of::<PyInt>() {
        value.extract().map(Operand::Int)
    } else if value.is_instance_of::<PyFloat>() {
        value.extract().map(Operand::Float)
    } else if value.is_instance_of::<PyString>() {
        value.extract().map(Operand::Text)
    } else {
        let items: Vec<Bound<'_, PyAny>> = value.extract()?;
        items.iter().map(operand).collect::<PyResult<_>>().map(Operand::List)
    }
}

enum Rows {
    Results(scan::Reader),
    Traces(scan::TraceReader),
}

impl Rows {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::Results(reader) => reader.schema(),
            Self::Traces(reader) => reader.schema(),
        }
    }

    fn next(&mut self, interrupt: Interrupt<'_>) -> Result<Option<Part>, ScanError> {
        match self {
            Self::Results(reader) => reader.next(interrupt),
            Self::Traces(reader) => reader.next(interrupt),
        }
    }
}

/// A scan that is being read; it belongs to the process that began it.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Reader {
    /// None once it is dropped, or handed on as a stream.
    rows: Mutex<Option<Rows>>,
    progress: Option<Py<PyAny>>,
    process: u32,
}

type Told = (PathBuf, PyErr);

#[pymethods]
impl Reader {
    #[getter]
    fn schema(&self) -> PyResult<Schema> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.as_ref().map(|rows| Schema(rows.schema())).ok_or_else(spent)
    }

    /// The next rows, and what is no row, by its path; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<(Batch, Vec<Told>)>> {
        check_process(self.process)?;
        let mut guard = detach(py, || self.rows.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(reader) = guard.as_mut() else { return Err(spent()) };
        let progress = self.progress.as_ref();
        let part = run_with_progress(py, progress, |interrupt| reader.next(interrupt));
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = guard;
        Ok(part?.map(|Part { batch, bad }| (Batch(batch), told(py, bad))))
    }

    /// Write the rest to a file, by the ending of its name; returns how many rows there were, and what is no row.
    fn export(&self, py: Python<'_>, path: PathBuf) -> PyResult<(u64, Vec<Told>)> {
        check_process(self.process)?;
        let Some(format) = Format::of(&path) else {
            let said = format!("{} ends in no format that can be written", path.display());
            return Err(PyValueError::new_err(said));
        };
        let mut reader = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(spent)?;
        let mut all_bad = Vec::new();
        let rows = run_with_progress(py, self.progress.as_ref(), |interrupt| {
            export(&path, format, &reader.schema(), &mut || {
                let Some(Part { batch, bad }) = reader.next(interrupt)? else { return Ok(None) };
                all_bad.extend(bad);
                Ok(Some(batch))
            })
        })?;
        Ok((rows, told(py, all_bad)))
    }

    /// Hand the rest on as an Arrow stream. `tell` is called with what is no row, as `next` returns it, and at the end
    /// with None.
    fn stream<'py>(&self, py: Python<'py>, tell: Py<PyAny>) -> PyResult<Bound<'py, PyCapsule>> {
        check_process(self.process)?;
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or_else(spent)?;
        let field = row_field(&rows.schema());
        let main = is_main_thread(py)?.then(|| std::thread::current().id());
        let progress = self.progress.as_ref().map(|progress| progress.clone_ref(py));
        let stream = ArrayIterator::new(
            Stream { rows: Some(rows), tell, progress, process: self.process, main },
            field,
        );
        Ok(to_stream_pycapsule(py, Box::new(stream), None)?)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        leave_in_fork(self.process, &self.rows);
    }
}

const IN_A_FORK: &str =
    "this scan is being read in another process, and its threads did not come along into the fork";

pub(crate) fn check_process(process: u32) -> PyResult<()> {
    if process == std::process::id() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(IN_A_FORK))
}

/// In a fork there are no threads to wait for, and a lock may be held by one of them.
pub(crate) fn leave_in_fork<T>(process: u32, reader: &Mutex<Option<T>>) {
    if process != std::process::id()
        && let Ok(mut reader) = reader.try_lock()
    {
        std::mem::forget(reader.take());
    }
}

pub(crate) fn spent() -> PyErr {
    PyRuntimeError::new_err(
        "this scan was handed on as a stream, or is read by another thread at this moment",
    )
}

fn told(py: Python<'_>, bad: Vec<Bad>) -> Vec<Told> {
    bad.into_iter().map(|bad| (bad.path.clone(), bad_to_python(py, &bad))).collect()
}

/// The records of a tree, read ahead of whoever validates them.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Documents {
    /// None once it is dropped.
    records: Mutex<Option<scan::Documents>>,
    process: u32,
}

type Read<'py> = (PathBuf, Option<Bound<'py, PyBytes>>, bool, Option<PyErr>);

#[pymethods]
impl Documents {
    #[new]
    #[pyo3(signature = (root, *, max_bytes))]
    fn new(py: Python<'_>, root: PathBuf, max_bytes: u64) -> PyResult<Self> {
        let documents = detach(py, || scan::Documents::open(&root, Limit(max_bytes)))
            .map_err(|error| to_python(py, &error))?;
        Ok(Self { records: Mutex::new(Some(documents)), process: std::process::id() })
    }

    /// The next records, some dozens: each its file's path, its bytes or None, whether a sidecar is beside it, and
    /// the error or None. None at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Read<'py>>>> {
        check_process(self.process)?;
        let mut guard = detach(py, || self.records.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(documents) = guard.as_mut() else { return Err(spent()) };
        let chunk = run(py, |interrupt| documents.next(interrupt));
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = guard;
        let read = |document: Result<Document, Error>| match document {
            Ok(Document { path, bytes, has_sidecar }) => {
                (path, Some(PyBytes::new(py, &bytes)), has_sidecar, None)
            }
            Err(error) => {
                let path = error.path().map(Path::to_owned).unwrap_or_default();
                (path, None, false, Some(to_python(py, &error)))
            }
        };
        Ok(chunk?.map(|documents| documents.into_iter().map(read).collect()))
    }
}

impl Drop for Documents {
    fn drop(&mut self) {
        leave_in_fork(self.process, &self.records);
    }
}

/// The hashes of the configurations below a directory, and what is no result, by its path.
#[pyfunction]
#[pyo3(signature = (root, record, *, max_bytes))]
pub fn completed(
    py: Python<'_>,
    root: PathBuf,
    record: &str,
    max_bytes: u64,
) -> PyResult<(BTreeSet<String>, Vec<Told>)> {
    let schema = RecordSchema::from_json(record).map_err(PyValueError::new_err)?;
    let (hashes, bad) = run(py, |interrupt| scan::completed(&root, &schema, Limit(max_bytes), interrupt))?;
    Ok((hashes, told(py, bad)))
}

/// The rows of a scan for whoever speaks Arrow, in any thread.
struct Stream {
    /// None once it is dropped.
    rows: Option<Rows>,
    tell: Py<PyAny>,
    progress: Option<Py<PyAny>>,
    process: u32,
    /// The thread that signal handlers run in, if the stream was made there. Whoever reads it in that thread cannot
    /// be waiting for the interpreter in another.
    main: Option<ThreadId>,
}

impl Iterator for Stream {
    type Item = Result<ArrayRef, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.process != std::process::id() {
            let said = ArrowError::ExternalError(IN_A_FORK.into());
            return self.rows.take().map(|rows| {
                std::mem::forget(rows);
                Err(said)
            });
        }
        loop {
            let told = Cell::new(0);
            let is_main = self.main == Some(std::thread::current().id());
            let is_cancelled = |records| {
                told.set(records);
                is_main && Python::attach(was_interrupted)
            };
            let part = self.rows.as_mut()?.next(Interrupt::new(&is_cancelled));
            if let Err(error) = told_progress(self.progress.as_ref(), told.get()) {
                self.rows = None;
                return Some(Err(error));
            }
            let (bad, rows) = match part {
                Ok(Some(Part { batch, bad })) => (Some(bad), rows_of(batch)),
                Ok(None) => {
                    self.rows = None;
                    return self.say(None).err().map(Err);
                }
                Err(error) => {
                    self.rows = None;
                    return Some(Err(ArrowError::ExternalError(error.into())));
                }
            };
            if let Err(error) = self.say(bad) {
                self.rows = None;
                return Some(Err(error));
            }
            if !rows.is_empty() {
                return Some(Ok(rows));
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.rows.take());
        }
    }
}

fn told_progress(progress: Option<&Py<PyAny>>, records: u64) -> Result<(), ArrowError> {
    let Some(progress) = progress.filter(|_| records > 0) else { return Ok(()) };
    let told = Python::attach(|py| progress.call1(py, (records,)).map(drop));
    told.map_err(|error| ArrowError::ExternalError(error.into()))
}

impl Stream {
    /// Tell what is no row, or, without, that this is the end.
    fn say(&self, bad: Option<Vec<Bad>>) -> Result<(), ArrowError> {
        if bad.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        let outcome = Python::attach(|py| self.tell.call1(py, (bad.map(|bad| told(py, bad)),)).map(drop));
        outcome.map_err(|error| ArrowError::ExternalError(error.into()))
    }
}
