//! `llenergymeasure._store`: the store for Python. Arguments are converted to owned Rust, the interpreter is
//! released around all I/O, and errors become the classes of `llenergymeasure.errors`.

#![allow(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]

mod arrow;
mod baseline;
mod bulk;
mod documents;
mod errors;
mod exit;
mod inspect;
mod interrupt;
mod load;
mod location;
mod owned;
mod part;
mod reader;
#[cfg(feature = "remote")]
mod remote;
mod save;
mod scan;
mod stream;
mod table;
mod timeseries;
mod zstd_file;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _store {
    use super::{Bound, PyModule, PyResult, exit, interrupt};

    #[pymodule_export]
    use crate::arrow::{Batch, Schema, Table};
    #[pymodule_export]
    use crate::baseline::{baseline_read, baseline_save};
    #[pymodule_export]
    use crate::bulk::Bulk;
    #[pymodule_export]
    use crate::documents::{Documents, completed};
    #[pymodule_export]
    use crate::inspect::{Inspection, clean};
    #[pymodule_export]
    use crate::load::{RecordCheck, missing_sidecar, read, sidecar_path};
    #[pymodule_export]
    use crate::part::{Part, count};
    #[pymodule_export]
    use crate::reader::Reader;
    #[cfg(feature = "remote")]
    #[pymodule_export]
    use crate::remote::ObjectStorage;
    #[pymodule_export]
    use crate::save::{claim, compact, directory_name, failure_name, given_base, replace, save};
    #[pymodule_export]
    use crate::scan::{Scan, Traces, columns, find_columns, quoted_key};
    #[pymodule_export]
    use crate::table::read_table;
    #[pymodule_export]
    use crate::timeseries::{
        Timeseries, clock_warnings, noted_timeseries, read_timeseries, write_timeseries,
    };
    #[pymodule_export]
    use crate::zstd_file::ZstdReader;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        interrupt::register(module)?;
        exit::register(module)
    }

    #[pymodule_export]
    const RECORD: &str = llem_store::RECORD;
    #[pymodule_export]
    const FAILURE: &str = llem_store::FAILURE;
    #[pymodule_export]
    const SIDECAR: &str = llem_store::SIDECAR;
    /// The default of the largest size of a record, in bytes.
    #[pymodule_export]
    const MAX_RECORD_BYTES: u64 = llem_store::load::Limit::USUAL.0;
    #[pymodule_export]
    const MAX_TRACE_BYTES: u64 = llem_store::timeseries::MAX_BYTES;
    /// The version of the extension, which is the package's.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    /// True where the extension was built with optimisation.
    #[pymodule_export]
    const OPTIMISED: bool = !cfg!(debug_assertions);
}
