//! Files compressed with zstd, for Python before 3.14, whose library does not have it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::exit::detach;

/// A reader of the text in a file of zstd; frames that follow each other are one text.
#[pyclass(frozen, module = "llenergymeasure._store")]
pub struct ZstdReader(Mutex<zstd::Decoder<'static, BufReader<File>>>);

#[pymethods]
impl ZstdReader {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        Ok(Self(Mutex::new(zstd::Decoder::new(File::open(path)?)?)))
    }

    /// Return at most `size` bytes; none at the end.
    fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut buffer = vec![0; size];
        let read = detach(py, || {
            let mut decoder = self.0.lock().map_err(|error| error.to_string())?;
            decoder.read(&mut buffer).map_err(|error| error.to_string())
        });
        let length = read.map_err(PyOSError::new_err)?;
        Ok(PyBytes::new(py, &buffer[..length]))
    }
}
