//! A store: a root directory of results, and its verbs.
//!
//! Each verb calls the module of its name. The requests, options and outcomes of the verbs do not mention the file
//! system, so that another crate can implement the same verbs on object storage.

use std::path::{Path, PathBuf};

use crate::bulk::{Bulk, BulkOptions};
use crate::error::Result;
use crate::inspect::clean::{CleanOptions, Leftover, clean};
use crate::inspect::{Inspection, VerifyOptions};
use crate::interrupt::Interrupt;
use crate::load::{Limit, Record, read};
use crate::save::{NewResult, SaveOptions, Saved, save};
use crate::scan::{PlanError, RecordSchema, Scan, ScanOptions};

/// A directory of results.
///
/// ```
/// use llem_store::save::{NewResult, SaveOptions};
/// use llem_store::{Interrupt, Store};
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

    /// Return the root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Save one result; see [`crate::save::save`].
    ///
    /// # Errors
    ///
    /// As [`crate::save::save`].
    pub fn save(
        &self,
        result: NewResult<'_>,
        options: SaveOptions,
        interrupt: Interrupt<'_>,
    ) -> Result<Saved> {
        save(&self.root, result, options, interrupt)
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
    /// use llem_store::{Interrupt, Store};
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
        read(&self.root.join(name), limit)
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
        Scan::new(self.root.clone(), schema, options)
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
        Inspection::open(&self.root, options, interrupt)
    }

    /// Remove the leftovers of interrupted saves; see [`crate::inspect::clean`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use llem_store::inspect::clean::CleanOptions;
    /// use llem_store::{Interrupt, Store};
    ///
    /// # let temp = tempfile::tempdir().unwrap();
    /// let options = CleanOptions { older_than: Duration::from_secs(3600), dry_run: true };
    /// assert!(Store::new(temp.path()).clean(options, Interrupt::NEVER)?.is_empty());
    /// # Ok::<(), llem_store::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The root cannot be read; [`Error::Interrupted`](crate::Error::Interrupted) between two leftovers, once the
    /// caller has cancelled.
    pub fn clean(&self, options: CleanOptions, interrupt: Interrupt<'_>) -> Result<Vec<Leftover>> {
        clean(&self.root, options, interrupt)
    }
}
