//! The check of a record for readers that need no columns: load and verify.

use super::error::PlanError;
use super::plan::{ConfigForm, Plan, TIMESERIES};
use super::record;
use super::schema::RecordSchema;
use super::value::FieldValue;
use crate::interrupt::Interrupt;
use crate::load::{Limit, RecordFault};

/// The check whether bytes are a record: a complete JSON object of a schema.
///
/// A scan checks each record by the same code, so that all readers agree.
#[derive(Debug)]
pub struct RecordCheck {
    plan: Plan,
}

impl RecordCheck {
    /// Prepare the check of records of a schema.
    ///
    /// # Errors
    ///
    /// The schema has no schema line.
    pub fn new(schema: &RecordSchema) -> Result<Self, PlanError> {
        let columns: &[&str] = if schema.column(TIMESERIES).is_some() { &[TIMESERIES] } else { &[] };
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        Ok(Self { plan: Plan::new(schema, &columns, ConfigForm::Omitted, Vec::new(), Limit::USUAL)? })
    }

    /// Check a record, and return the name that it gives its sidecar.
    ///
    /// # Errors
    ///
    /// The reason why the bytes are not a record, or [`RecordFault::Interrupted`].
    pub fn check(&self, bytes: &[u8], interrupt: Interrupt<'_>) -> Result<Option<String>, RecordFault> {
        let record = record::read(bytes, &self.plan, None, interrupt)?;
        match self.plan.timeseries_index.and_then(|index| record.values.into_iter().nth(index)) {
            Some(FieldValue::Text(name)) => Ok(Some(name.into_owned())),
            _ => Ok(None),
        }
    }

    /// Return the reason why bytes are not a record; `None` where they are one.
    #[must_use]
    pub fn diagnose(&self, bytes: &[u8], interrupt: Interrupt<'_>) -> Option<RecordFault> {
        self.check(bytes, interrupt).err()
    }
}
