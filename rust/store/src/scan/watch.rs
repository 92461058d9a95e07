//! The values that a reading meets under requested keys: they show which keys exist, and what typed operands mean.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use super::comparison::Test;
use super::error::PlanError;
use super::kinds::Kinds;
use super::known::Known;
use super::plan::Plan;
use super::row::Row;

/// The kinds of values under the requested keys, and the tests that follow from them.
///
/// The threads of a walk note each record until the watch is settled: until further records cannot change the tests,
/// nor show that a key is unknown.
#[derive(Debug)]
pub(super) struct Watch {
    /// The tests of the plan's conditions, in their order.
    pub tests: Vec<Test>,
    /// The kinds under each requested key.
    keys: Vec<AtomicU16>,
    /// For each condition: a row shows the typed text itself.
    shown: Vec<AtomicBool>,
    /// A record was noted.
    is_used: AtomicBool,
    is_settled: AtomicBool,
}

impl Watch {
    /// Begin a reading with the likeliest meanings of typed operands.
    pub fn new(plan: &Plan) -> Self {
        let watch = Self {
            tests: plan.filters.iter().map(|filter| filter.test.clone()).collect(),
            keys: plan.keys.paths.iter().map(|_| AtomicU16::new(0)).collect(),
            shown: plan.filters.iter().map(|_| AtomicBool::new(false)).collect(),
            is_used: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
        };
        watch.settle(plan);
        watch
    }

    /// Begin a reading with the kinds of values that the same conditions have met in the whole tree. More conditions
    /// may follow them; typed operands of those have no meaning that the whole tree would decide.
    ///
    /// # Errors
    ///
    /// As [`Self::decide`].
    pub fn knowing(plan: &Plan, known: &Known) -> Result<Self, PlanError> {
        let watch = Self::new(plan);
        let more = plan.filters.get(known.shown.len()..);
        if more.is_none_or(|more| more.iter().any(|filter| filter.typed.is_some())) {
            return Ok(watch);
        }
        for (path, kinds) in plan.keys.paths.iter().zip(&watch.keys) {
            kinds.store(known.kinds_of(path).bits(), Ordering::Relaxed);
        }
        for (shown, is_shown) in watch.shown.iter().zip(&known.shown) {
            shown.store(*is_shown, Ordering::Relaxed);
        }
        let decided = watch.decide(plan)?;
        watch.is_settled.store(true, Ordering::Relaxed);
        Ok(decided.unwrap_or(watch))
    }

    /// Note the kinds that were met, for the scans of parts of the tree.
    pub fn write(&self, plan: &Plan, known: &mut Known) {
        let kinds = self.keys.iter().map(|kinds| kinds.load(Ordering::Relaxed));
        known.kinds = plan.keys.paths.iter().cloned().zip(kinds).collect();
        known.shown = self.shown.iter().map(|shown| shown.load(Ordering::Relaxed)).collect();
    }

    /// Return a watch with decided tests, which notes nothing more: the next decision has the same reasons.
    fn settled(&self, tests: Vec<Test>) -> Self {
        let copy = |flag: &AtomicBool| AtomicBool::new(flag.load(Ordering::Relaxed));
        Self {
            tests,
            keys: self.keys.iter().map(|kinds| AtomicU16::new(kinds.load(Ordering::Relaxed))).collect(),
            shown: self.shown.iter().map(copy).collect(),
            is_used: copy(&self.is_used),
            is_settled: AtomicBool::new(true),
        }
    }

    pub fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }

    /// Note the values of a record, whose configuration was read.
    pub fn note(&self, plan: &Plan, row: &mut Row<'_>) {
        let mut is_new = !self.is_used.swap(true, Ordering::Relaxed);
        for (column, text) in &row.config {
            if let Some(kinds) = self.keys.get(*column) {
                let bits = Kinds::of(text).bits();
                is_new |= kinds.fetch_or(bits, Ordering::Relaxed) & bits != bits;
            }
        }
        for (filter, shown) in plan.filters.iter().zip(&self.shown) {
            if let Some(text) = &filter.typed
                && row.shows(&filter.source, text)
            {
                is_new |= !shown.swap(true, Ordering::Relaxed);
            }
        }
        if is_new {
            self.settle(plan);
        }
    }

    fn settle(&self, plan: &Plan) {
        let is_settled = self.missing(plan).next().is_none()
            && (0..plan.filters.len()).all(|index| {
                let (kinds, is_shown) = self.seen(plan, index);
                plan.filters[index].is_settled(kinds, is_shown)
            });
        if is_settled {
            self.is_settled.store(true, Ordering::Relaxed);
        }
    }

    fn seen(&self, plan: &Plan, filter: usize) -> (Kinds, bool) {
        let kinds = match plan.filters[filter].source.key() {
            Some(key) => self.keys.get(key).map_or(0, |kinds| kinds.load(Ordering::Relaxed)),
            None => 0,
        };
        let is_shown = self.shown.get(filter).is_some_and(|shown| shown.load(Ordering::Relaxed));
        (Kinds::from_bits(kinds), is_shown)
    }

    /// Return the requested keys that no record had, and that are not optional.
    fn missing<'w>(&'w self, plan: &'w Plan) -> impl Iterator<Item = usize> + 'w {
        let keys = self.keys.iter().enumerate();
        keys.filter(|(key, kinds)| {
            kinds.load(Ordering::Relaxed) == 0 && !plan.keys.optional.contains(&plan.keys.paths[*key])
        })
        .map(|(key, _)| key)
    }

    /// Return the first key that is missing from all records; `None` also without a record.
    pub fn unknown_key(&self, plan: &Plan) -> Option<usize> {
        self.missing(plan).next().filter(|_| self.is_used.load(Ordering::Relaxed))
    }

    /// Decide the tests, once all records were noted or the watch is settled; `None` if they stay as they are.
    ///
    /// # Errors
    ///
    /// An operand is of another kind than the values of its column.
    pub fn decide(&self, plan: &Plan) -> Result<Option<Self>, PlanError> {
        let tests = (0..plan.filters.len()).map(|index| {
            let (kinds, is_shown) = self.seen(plan, index);
            plan.filters[index].decide(kinds, is_shown)
        });
        let tests = tests.collect::<Result<Vec<Test>, _>>()?;
        Ok((tests != self.tests).then(|| self.settled(tests)))
    }
}
