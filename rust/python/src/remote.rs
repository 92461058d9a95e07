//! The locations in object stores.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use llem_remote::{CacheOptions, Conditions, Provide};
use llem_store::Storage;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMapping};

use crate::errors::value_error;
use crate::interrupt::run;

/// A URL of an object store, and the client with its connections.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct ObjectStorage(llem_remote::ObjectStorage);

#[pymethods]
impl ObjectStorage {
    #[new]
    #[pyo3(signature = (url, options=None, credential_provider=None, cache=None))]
    fn new(
        py: Python<'_>,
        url: &str,
        options: Option<BTreeMap<String, String>>,
        credential_provider: Option<Py<PyAny>>,
        cache: Option<(PathBuf, u64)>,
    ) -> PyResult<Self> {
        let provide =
            credential_provider.map(|provider| Arc::new(move || provided(&provider)) as Arc<Provide>);
        let storage = llem_remote::ObjectStorage::new(url, options.unwrap_or_default(), provide);
        let with_cache = |storage: llem_remote::ObjectStorage| match cache {
            Some((directory, max_bytes)) => storage.with_cache(CacheOptions { directory, max_bytes }),
            None => storage,
        };
        storage.map(|storage| Self(with_cache(storage))).map_err(|error| value_error(py, &error))
    }

    /// Return another location, with the same client if it is in the same bucket.
    fn at(&self, py: Python<'_>, url: &str) -> PyResult<Self> {
        self.0.at(url).map(Self).map_err(|error| value_error(py, &error))
    }

    #[getter]
    fn url(&self) -> &str {
        self.0.url()
    }

    /// Return what is known of the durability of saves, and the reason.
    fn durability(&self) -> (&'static str, &'static str) {
        match self.0.conditions() {
            Conditions::Known => ("full", "the service honours the conditions of its requests"),
            Conditions::Honoured => ("full", "the store has refused to overwrite an object"),
            Conditions::Ignored => ("none", "the store overwrites objects that it is asked to create"),
            Conditions::Unknown => ("unknown", "no save of this process has tested the store yet"),
        }
    }

    /// Return the URL of the record that a save left; None where it left none.
    fn resolve(&self, py: Python<'_>, result: &str, save_id: &str) -> PyResult<Option<String>> {
        let record = self.0.at(result).map_err(|error| value_error(py, &error))?;
        let is_there = run(py, |interrupt| record.resolve(save_id, interrupt))?;
        Ok(is_there.then(|| result.to_owned()))
    }

    /// Return the address of a service that is not known to honour conditions; None for one that is.
    fn unknown_service(&self) -> Option<&str> {
        self.0.unknown_service()
    }

    /// Check what the store promises, by objects of its own, which it removes.
    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = run(py, |interrupt| self.0.check(interrupt))?;
        let dict = PyDict::new(py);
        dict.set_item("savers", llem_remote::SAVERS)?;
        dict.set_item("races", report.races)?;
        dict.set_item("winners", report.winners)?;
        dict.set_item("overwrites", report.overwrites)?;
        dict.set_item("keeps_metadata", report.keeps_metadata)?;
        dict.set_item("lists_at_once", report.lists_at_once)?;
        dict.set_item("lacks", report.lacks)?;
        dict.set_item("left", report.left)?;
        Ok(dict)
    }

    /// Look for objects by their keys; return the size and the tag of each, or None.
    fn look(&self, py: Python<'_>, keys: Vec<String>) -> PyResult<Vec<Option<llem_remote::Look>>> {
        run(py, |interrupt| self.0.look(keys, interrupt))
    }

    /// Return the bytes of the object at the URL, which has a size; None where it is absent.
    fn get<'py>(&self, py: Python<'py>, size: u64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let bytes = run(py, |interrupt| self.0.get(size, interrupt))?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }

    fn __repr__(&self) -> String {
        format!("<ObjectStorage {:?}>", self.0.url())
    }
}

impl ObjectStorage {
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.0.clone())
    }
}

type Provided = (BTreeMap<String, String>, Option<SystemTime>);

/// Call a credential provider: a function that returns a mapping of texts, with `expires_at`, a time.
fn provided(provider: &Py<PyAny>) -> Result<Provided, String> {
    Python::attach(|py| -> PyResult<Provided> {
        let returned = provider.bind(py).call0()?;
        let Ok(mapping) = returned.cast::<PyMapping>() else {
            let class = returned.get_type().qualname()?;
            return Err(PyTypeError::new_err(format!("expected a mapping, got {class}")));
        };
        let (mut parts, mut end) = (BTreeMap::new(), None);
        for item in mapping.items()? {
            let (name, value): (String, Bound<'_, PyAny>) = item.extract()?;
            if value.is_none() {
            } else if name == "expires_at" {
                let seconds: f64 = value.call_method0("timestamp")?.extract()?;
                end = Duration::try_from_secs_f64(seconds).ok().map(|since| UNIX_EPOCH + since);
            } else {
                parts.insert(name, value.str()?.extract()?);
            }
        }
        Ok((parts, end))
    })
    // The text of an exception may hold a secret.
    .map_err(|error| {
        Python::attach(|py| {
            error.get_type(py).qualname().map_or_else(|_| "an exception".into(), |name| name.to_string())
        })
    })
}
