//! Scans of results and of power traces.

use std::borrow::Cow;

use llem_store::Wanted;
use llem_store::load::Limit;
use llem_store::part::Weight;
use llem_store::scan::{
    self, Comparison, Condition, ConfigForm, Known, Operand, PlanError, RecordSchema, ScanOptions, Source,
    TraceScan, TraceScanOptions,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::arrow::Schema;
use crate::errors::{IntoPython, escaped, is_ours, value_error};
use crate::interrupt::{run, run_with_progress};
use crate::location::Location;
use crate::part::{Part, to_weight};
use crate::reader::{Batches, PyLinks, Reader, to_links};

/// A scan of a tree of results.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Scan(scan::Scan);

#[pymethods]
impl Scan {
    /// Plan a scan. `record` is the schema of a record as JSON; each condition is a column, an operator and a value;
    /// `max_bytes` limits the size of a record.
    #[new]
    #[pyo3(signature = (root, record, columns, conditions, *, config, optional, batch_size, strict, max_bytes,
                        infer=true, full_names=false, follow_links=false, types=Vec::new(), head=None, part=None,
                        known=None, failures=false))]
    #[allow(
        clippy::too_many_arguments,
        clippy::fn_params_excessive_bools,
        reason = "Python passes keywords, which the stub documents"
    )]
    fn new(
        py: Python<'_>,
        root: Location,
        record: &str,
        columns: Vec<String>,
        conditions: Vec<PyCondition<'_>>,
        config: &str,
        optional: Vec<String>,
        batch_size: usize,
        strict: bool,
        max_bytes: u64,
        infer: bool,
        full_names: bool,
        follow_links: bool,
        types: Vec<(String, String)>,
        head: Option<usize>,
        part: Option<PyRef<'_, Part>>,
        known: Option<&str>,
        failures: bool,
    ) -> PyResult<Self> {
        let wanted = Part::wanted(part.as_deref());
        let options = ScanOptions {
            columns,
            config: to_form(config)?,
            full_names,
            optional,
            conditions: to_conditions(conditions)?,
            batch_size,
            infer_types: infer,
            stop_at_error: strict,
            limit: Limit(max_bytes),
            follow_links,
            types,
            head,
            wanted: wanted.clone(),
            known: known.and_then(Known::from_json),
        };
        let tree =
            Source { storage: root.of_kind(failures), schema: schema_of(record)?, follow_links, wanted };
        let scan = scan::Scan::new(tree.storage.clone(), &tree.schema, options);
        scan.map(Self).map_err(|error| plan_error(py, error, &tree, Limit(max_bytes)))
    }

    /// The columns; None if they depend on records that no reader has read yet.
    #[getter]
    fn schema(&self) -> Option<Schema> {
        self.0.schema().map(Schema)
    }

    /// Return what the scans of parts need to know of the whole tree; read as much of it as that takes.
    #[pyo3(signature = (*, progress=None))]
    fn resolve(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<String> {
        let known = run_with_progress(py, progress.as_ref(), |interrupt| self.0.resolve(interrupt))?;
        Ok(known.to_json())
    }

    /// List the results, and divide them into parts of equal weights, or of so many results at most; return the skipped
    /// links, too.
    fn divide(
        &self,
        py: Python<'_>,
        parts: Option<usize>,
        most: usize,
        by: &str,
    ) -> PyResult<(Vec<Part>, PyLinks)> {
        let weight = to_weight(by)?;
        let listed = run(py, |interrupt| self.0.list(weight, interrupt))?;
        let parts = parts.unwrap_or_else(|| listed.part.len().div_ceil(most.max(1)));
        let parts = py.detach(|| Part::split(&listed, parts));
        Ok((parts, to_links(listed.links)))
    }

    /// List the results, and return the newest ones, the newest first; return the skipped links, too.
    fn newest(&self, py: Python<'_>, count: usize) -> PyResult<(Part, PyLinks)> {
        let listed = run(py, |interrupt| self.0.list(Weight::Time, interrupt))?;
        let part = py.detach(|| Part::newest(&listed, count));
        Ok((part, to_links(listed.links)))
    }

    /// Begin to read; call `progress` with the number of results read and, once it is known, that of all.
    #[pyo3(signature = (*, progress=None))]
    fn read(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Reader> {
        let reader = run_with_progress(py, progress.as_ref(), |interrupt| self.0.read(interrupt))?;
        Ok(Reader::new(Batches::Results(reader), progress))
    }
}

/// A scan of the power traces of a tree.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct Traces(TraceScan);

#[pymethods]
impl Traces {
    /// Plan a scan; `of_records` are conditions on the records, `conditions` on the columns of the power traces.
    #[new]
    #[pyo3(signature = (root, record, columns, of_records, conditions, *, strict, max_bytes, max_trace_bytes,
                        follow_links=false))]
    #[allow(clippy::too_many_arguments, reason = "the stub documents the keywords")]
    fn new(
        py: Python<'_>,
        root: Location,
        record: &str,
        columns: Vec<String>,
        of_records: Vec<PyCondition<'_>>,
        conditions: Vec<PyCondition<'_>>,
        strict: bool,
        max_bytes: u64,
        max_trace_bytes: u64,
        follow_links: bool,
    ) -> PyResult<Self> {
        let options = TraceScanOptions {
            columns,
            record_conditions: to_conditions(of_records)?,
            conditions: to_conditions(conditions)?,
            stop_at_error: strict,
            limit: Limit(max_bytes),
            follow_links,
            max_trace_bytes,
        };
        let wanted = Wanted::Records;
        let tree = Source { storage: root.storage, schema: schema_of(record)?, follow_links, wanted };
        let scan = TraceScan::new(tree.storage.clone(), &tree.schema, options);
        scan.map(Self).map_err(|error| plan_error(py, error, &tree, Limit(max_bytes)))
    }

    /// The columns; None if they depend on power traces that no reader has read yet.
    #[getter]
    fn schema(&self) -> Option<Schema> {
        self.0.schema().map(Schema)
    }

    /// Begin to read; call `progress` with the number of results read and, once it is known, that of all.
    #[pyo3(signature = (*, progress=None))]
    fn read(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Reader> {
        let reader = run_with_progress(py, progress.as_ref(), |interrupt| self.0.read(interrupt))?;
        Ok(Reader::new(Batches::Traces(reader), progress))
    }
}

/// Return the columns of a schema in order: name, type, and True for a column in a list of objects.
#[pyfunction]
pub fn columns(record: &str) -> PyResult<Vec<(String, &'static str, bool)>> {
    let schema = schema_of(record)?;
    Ok(schema.columns().map(|(name, kind, listed)| (name.to_owned(), kind, listed)).collect())
}

/// Return the full names of the columns that names stand for.
#[pyfunction]
pub fn find_columns(py: Python<'_>, record: &str, names: Vec<String>) -> PyResult<Vec<String>> {
    let found = schema_of(record)?.find_columns(&names);
    found.map_err(|error| value_error(py, &error))
}

/// Return a key of the configuration as a part of the name of a column: in quotes if necessary.
#[pyfunction]
pub fn quoted_key(key: &str) -> Cow<'_, str> {
    scan::quoted_key(key)
}

/// Parse the schema of a record.
pub fn schema_of(record: &str) -> PyResult<RecordSchema> {
    RecordSchema::from_json(record).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Return the exception for a query that a tree cannot answer; that for an unknown column suggests keys of the tree.
fn plan_error(py: Python<'_>, error: PlanError, tree: &Source, limit: Limit) -> PyErr {
    let message = error.to_string();
    match run(py, |interrupt| tree.suggest_keys(error, limit, interrupt)) {
        Ok(error) => scan::ScanError::from(error).into_python(py),
        // The tree cannot be read, so that no key is known.
        Err(error) if is_ours(py, &error) => value_error(py, &message),
        Err(interrupt) => interrupt,
    }
}

/// A column, an operator, a value, and whether the value is a text as a person types it.
type PyCondition<'py> = (String, String, Bound<'py, PyAny>, bool);

fn to_conditions(conditions: Vec<PyCondition<'_>>) -> PyResult<Vec<Condition>> {
    let condition = |(column, operator, value, is_typed): PyCondition<'_>| {
        let operand = match to_operand(&column, &value)? {
            Operand::Text(text) if is_typed => Operand::Typed(text),
            operand => operand,
        };
        Ok(Condition { comparison: to_comparison(&operator)?, column, operand })
    };
    conditions.into_iter().map(condition).collect()
}

fn to_form(config: &str) -> PyResult<ConfigForm> {
    match config {
        "columns" => Ok(ConfigForm::Columns),
        "json" => Ok(ConfigForm::Json),
        "none" => Ok(ConfigForm::Omitted),
        other => Err(PyValueError::new_err(format!(
            "config expects \"columns\", \"json\" or \"none\", got {other:?}"
        ))),
    }
}

fn to_comparison(operator: &str) -> PyResult<Comparison> {
    Ok(match operator {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "not <" => Comparison::NotLess,
        "not <=" => Comparison::NotLessOrEqual,
        "not >" => Comparison::NotGreater,
        "not >=" => Comparison::NotGreaterOrEqual,
        "in" => Comparison::In,
        "not in" => Comparison::NotIn,
        "~" => Comparison::Contains,
        other => {
            return Err(PyValueError::new_err(format!(
                "expected an operator ==, !=, <, <=, >, >=, ~ or 'in', or 'not' and one of <, <=, >, >=, in, got {other:?}"
            )));
        }
    })
}

/// Return a value of JSON's types as an operand; `column` is for an error.
fn to_operand(column: &str, value: &Bound<'_, PyAny>) -> PyResult<Operand> {
    let misfit = |operand: String| {
        let text = escaped(value.py(), &format_args!("{column} cannot be compared with {operand}"));
        text.map_or_else(|raised| raised, PyTypeError::new_err)
    };
    if value.is_none() {
        Ok(Operand::Null)
    } else if value.is_instance_of::<PyBool>() {
        value.extract().map(Operand::Bool)
    } else if value.is_instance_of::<PyInt>() {
        let integer = value.extract().map(Operand::Int);
        integer.map_err(|_| misfit("an integer of more than 128 bits".into()))
    } else if value.is_instance_of::<PyFloat>() {
        value.extract().map(Operand::Float)
    } else if value.is_instance_of::<PyString>() {
        let text = value.extract().map(Operand::Text);
        text.map_err(|_| misfit("a text that has a lone surrogate".into()))
    } else if let Ok(members) = value.cast::<PyDict>() {
        let members = members.iter().map(|(key, value)| Ok((key.extract()?, to_operand(column, &value)?)));
        let mut members: Vec<(String, Operand)> = members.collect::<PyResult<_>>()?;
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Operand::Object(members))
    } else if let Ok(items) = value.cast::<PyList>() {
        let items = items.iter().map(|item| to_operand(column, &item));
        items.collect::<PyResult<_>>().map(Operand::List)
    } else {
        let class = value.get_type().qualname().map_or_else(|_| "this".into(), |name| name.to_string());
        Err(misfit(format!("a value of {class}")))
    }
}
