//! A store: a root directory of results, and its verbs.
//!
//! Each verb calls the module of its name. [`Storage`] has those that another crate implements on object storage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bulk::{Bulk, BulkOptions};
use crate::error::{At, Result, Step};
use crate::inspect::clean::{CleanOptions, Leftover, clean};
use crate::inspect::{Inspection, VerifyOptions};
use crate::interrupt::Interrupt;
use crate::kind::Kind;
use crate::load::{Limit, OpenRecord, Record, read};
use crate::parquet::ParquetSource;
use crate::save::{NewResult, SaveOptions, Saved, save};
use crate::scan::{PlanError, RecordSchema, Scan, ScanOptions};
use crate::sidecar::open_for_reading;
use crate::storage::{Entry, Listing, Storage, Wanted};

/// A directory of results.
///
/// ```
/// use llem_store::save::{NewResult, SaveOptions};
/// use llem_store::{Interrupt, Storage, Store};
///
/// # let temp = tempfile::tempdir().unwrap();
/// # let root = temp.path().join("results");
/// let store = Store::new(root);
/// let result = NewResult::new("gpt2_vllm_2026-02-18T14-30", &br#"{"schema_version":"2.0"}"#[..]);
/// let saved = store.save(result, SaveOptions::default(), Interrupt::NEVER)?;
/// assert!(saved.path.ends_with("gpt2_vllm_2026-02-18T14-30/result.json"));
/// # Ok::<(), llem_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Describe the store in a root directory; the first save creates the directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Describe the store in a root directory, for a function that takes any location.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Arc<dyn Storage> {
        Arc::new(Self::new(root))
    }

    /// Prepare a bulk save; see [`Bulk`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use llem_store::bulk::{BulkOptions, Patience};
    /// use llem_store::save::NewResult;
    /// use llem_store::{Interrupt, Store};
    ///
    /// # let temp = tempfile::tempdir().unwrap();
    /// let bulk = Store::new(temp.path()).bulk(BulkOptions::default());
    /// for ticket in 0..3 {
    ///     let result = NewResult::new("gpt2_vllm_2026-02-18T14-30", b"{}".to_vec());
    ///     bulk.submit(ticket, result, Patience::UntilFinished, Interrupt::NEVER)?;
    /// }
    /// bulk.join();
    /// assert_eq!(bulk.finished(Duration::ZERO).outcomes.len(), 3);
    /// # Ok::<(), llem_store::Error>(())
    /// ```
    #[must_use]
    pub fn bulk(&self, options: BulkOptions) -> Bulk {
        Bulk::new(self.root.clone(), options)
    }

    /// Load a record by the path of its directory or its `result.json`, relative to the root.
    ///
    /// ```
    /// # use llem_store::save::{NewResult, SaveOptions};
    /// use llem_store::load::Limit;
    /// use llem_store::{Interrupt, Storage, Store};
    ///
    /// # let temp = tempfile::tempdir().unwrap();
    /// let store = Store::new(temp.path());
    /// # store.save(NewResult::new("gpt2", b"{}".to_vec()), SaveOptions::default(), Interrupt::NEVER)?;
    /// let record = store.load("gpt2", Limit::USUAL)?;
    /// assert!(!record.has_sidecar);
    /// # Ok::<(), llem_store::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The record cannot be read.
    pub fn load(&self, name: impl AsRef<Path>, limit: Limit) -> Result<Record> {
        read(self, name.as_ref(), limit, Interrupt::NEVER)
    }

    /// Plan a scan of the store as a table; see [`Scan`].
    ///
    /// ```
    /// use llem_store::scan::{RecordSchema, ScanOptions};
    /// use llem_store::{Interrupt, Store};
    ///
    /// # let temp = tempfile::tempdir()?;
    /// # std::fs::write(temp.path().join("result.json"), r#"{"energy_j": 250.5}"#)?;
    /// let schema = RecordSchema::from_json(
    ///     r#"[{"name": "schema_version", "kind": "text", "default": "2.0"},
    ///         {"name": "energy_j", "kind": "float"}]"#,
    /// )?;
    /// let options = ScanOptions { columns: vec!["energy_j".into()], ..ScanOptions::default() };
    /// let scan = Store::new(temp.path()).scan(&schema, options)?;
    /// let batch = scan.read(Interrupt::NEVER)?.next(Interrupt::NEVER)?;
    /// assert_eq!(batch.map(|batch| batch.rows.num_rows()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A column is unknown, or a condition does not fit its column.
    pub fn scan(&self, schema: &RecordSchema, options: ScanOptions) -> Result<Scan, PlanError> {
        Scan::new(Self::at(&self.root), schema, options)
    }

    /// Begin to check the store for damage; see [`Inspection`].
    ///
    /// ```
    /// use llem_store::inspect::VerifyOptions;
    /// use llem_store::load::Limit;
    /// use llem_store::scan::{RecordCheck, RecordSchema};
    /// use llem_store::{Interrupt, Store};
    /// use std::sync::Arc;
    ///
    /// # let temp = tempfile::tempdir()?;
    /// let schema = RecordSchema::from_json(r#"[{"name": "schema_version", "kind": "text", "default": "2.0"}]"#)?;
    /// let (check, limit) = (Arc::new(RecordCheck::new(&schema)?), Limit::USUAL);
    /// let options = VerifyOptions { check, deep: false, limit, follow_links: false, max_trace_bytes: 0 };
    /// let mut inspection = Store::new(temp.path()).verify(options, Interrupt::NEVER)?;
    /// while let Some(batch) = inspection.next(Interrupt::NEVER)? {
    ///     assert!(batch.findings.is_empty());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The root cannot be read; [`Error::Interrupted`](crate::Error::Interrupted) once the caller has cancelled.
    pub fn verify(&self, options: VerifyOptions, interrupt: Interrupt<'_>) -> Result<Inspection> {
        Inspection::open(&Self::at(&self.root), options, interrupt)
    }
}

impl Storage for Store {
    fn root(&self) -> &Path {
        &self.root
    }

    fn save(&self, result: NewResult<'_>, options: SaveOptions, interrupt: Interrupt<'_>) -> Result<Saved> {
        save(&self.root, result, options, interrupt)
    }

    fn list(&self, _: Kind, _: &Wanted, _: Interrupt<'_>) -> Result<Listing> {
        Ok(Listing::Directory(self.root.clone()))
    }

    fn find(&self, kind: Kind, place: &Path, _: Interrupt<'_>) -> Result<Box<dyn Entry>> {
        Ok(Box::new(OpenRecord::open(&self.root, place, kind)?))
    }

    fn open(&self, file: &Path, _: Interrupt<'_>) -> Result<ParquetSource> {
        let path = if file.as_os_str().is_empty() { self.root.clone() } else { self.root.join(file) };
        open_for_reading(&path).and_then(ParquetSource::of_file).at(Step::ReadTimeseries, || path)
    }

    fn clean(&self, options: CleanOptions, interrupt: Interrupt<'_>) -> Result<Vec<Leftover>> {
        clean(&self.root, options, interrupt)
    }
}
