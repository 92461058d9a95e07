//! Reading of a tree for the meaning of a query: the keys that exist, and the kinds of their values.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::column::CONFIG;
use super::keys::ConfigTypes;
use super::names;
use super::plan::{ConfigForm, Plan};
use super::records::RecordVisitor;
use super::watch::Watch;
use super::{PlanError, RecordSchema, ScanError};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::load::Limit;
use crate::storage::{Storage, Wanted};
use crate::walk::{Tree, Visit};

/// A tree of records of a schema.
#[derive(Debug, Clone)]
pub struct Source {
    /// The location of the tree.
    pub storage: Arc<dyn Storage>,
    /// The schema of the records.
    pub schema: RecordSchema,
    /// Follow symbolic links to directories.
    pub follow_links: bool,
    /// The results of the tree that are read.
    pub wanted: Wanted,
}

impl Source {
    pub(super) fn open<V: Visit>(&self, visitor: V, interrupt: Interrupt<'_>) -> Result<Tree<V>, Error> {
        Tree::of(&self.storage, &self.wanted, Arc::new(visitor), self.follow_links, interrupt)
    }

    /// Return the watch with other tests, if the values that it met give an operand another meaning.
    ///
    /// # Errors
    ///
    /// No record has a key, or a value of the kind that a condition compares with.
    pub(super) fn decide(
        &self,
        plan: &Plan,
        watch: &Watch,
        interrupt: Interrupt<'_>,
    ) -> Result<Option<Watch>, ScanError> {
        if let Some(key) = watch.unknown_key(plan) {
            let name = plan.keys.names.get(key).map(String::as_str).unwrap_or_default();
            return Err(names::unknown_key(name, &self.key_paths(plan.limit, interrupt)?).into());
        }
        Ok(watch.decide(plan)?)
    }

    /// Read as much of the tree as the tests of a plan need, and return the watch with those tests.
    ///
    /// # Errors
    ///
    /// As [`Self::decide`].
    pub(super) fn settle(&self, plan: &Arc<Plan>, interrupt: Interrupt<'_>) -> Result<Arc<Watch>, ScanError> {
        let watch = Arc::new(Watch::new(plan));
        if watch.is_settled() {
            return Ok(watch);
        }
        let types = Some(Arc::new(ConfigTypes::texts(&plan.keys)));
        let mut tree = self.open(RecordVisitor::new(plan.clone(), types, watch.clone(), true), interrupt)?;
        while !watch.is_settled() && tree.next(interrupt)?.is_some() {
            interrupt.check()?;
        }
        Ok(self.decide(plan, &watch, interrupt)?.map_or(watch, Arc::new))
    }

    /// Add the keys of the tree that are similar to an unknown column to its error.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`](super::Scan::read).
    pub fn suggest_keys(
        &self,
        error: PlanError,
        limit: Limit,
        interrupt: Interrupt<'_>,
    ) -> Result<PlanError, ScanError> {
        if !matches!(error, PlanError::UnknownColumn(..)) {
            return Ok(error);
        }
        Ok(names::suggest_keys(error, &self.key_paths(limit, interrupt)?))
    }

    /// Return the paths of the keys of all configurations, objects included.
    fn key_paths(&self, limit: Limit, interrupt: Interrupt<'_>) -> Result<Vec<Vec<String>>, ScanError> {
        let columns = [CONFIG.to_owned()];
        let plan = Arc::new(Plan::new(&self.schema, &columns, ConfigForm::Columns, Vec::new(), limit)?);
        let watch = Arc::new(Watch::new(&plan));
        let mut tree = self.open(RecordVisitor::new(plan, None, watch, false), interrupt)?;
        let mut paths = BTreeSet::new();
        while let Some(chunk) = tree.next(interrupt)? {
            for (path, _) in chunk.configs.found().filter(|(_, column)| column.occurs) {
                let lengths = 1..=path.len();
                paths.extend(lengths.filter_map(|length| path.get(..length)).map(<[String]>::to_vec));
            }
            interrupt.check()?;
        }
        Ok(paths.into_iter().collect())
    }
}
