//! The storage locations that Python names: paths, and object stores.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use llem_store::{Failures, Storage, Store};
use pyo3::prelude::*;

/// A location that Python gives: the path of a directory, or an `ObjectStorage`.
pub struct Location {
    pub storage: Arc<dyn Storage>,
    /// The directory, where it is one.
    pub directory: Option<PathBuf>,
}

impl Location {
    /// Return the storage of the results, or that of the failures.
    pub fn of_kind(self, failures: bool) -> Arc<dyn Storage> {
        if failures { Arc::new(Failures(self.storage)) } else { self.storage }
    }
}

impl<'py> FromPyObject<'_, 'py> for Location {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        #[cfg(feature = "remote")]
        if let Ok(storage) = given.cast::<crate::remote::ObjectStorage>() {
            return Ok(Self { storage: storage.get().storage(), directory: None });
        }
        let directory: PathBuf = given.extract()?;
        Ok(Self { storage: Store::at(&directory), directory: Some(directory) })
    }
}

/// A path of a location, for Python: a `pathlib.Path`, or the URL as a string.
pub struct Place(PathBuf);

impl Place {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl<'py> IntoPyObject<'py> for Place {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.0.to_str().filter(|text| is_url(text)) {
            Some(url) => match url.into_pyobject(py) {
                Ok(url) => Ok(url.into_any()),
                Err::<_, Infallible>(never) => match never {},
            },
            None => self.0.into_pyobject(py),
        }
    }
}

/// Return `true` for a URL: the paths of a directory are absolute, or begin with the name of a directory.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
