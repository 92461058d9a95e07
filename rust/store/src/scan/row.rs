//! The row of a record: its values, if the conditions hold.

use std::borrow::Cow;
use std::io;

use sha2::{Digest as _, Sha256};

use super::column::ColumnSource;
use super::comparison::Cell;
use super::config::{ConfigColumns, ConfigValues};
use super::error::RecordErrorKind;
use super::plan::Plan;
use super::record::{self, ParsedRecord};
use super::template::Memory;
use super::value::{FieldValue, TIMES};
use super::watch::Watch;
use crate::SIDECAR;
use crate::error::{Error, Step};
use crate::interrupt::Interrupt;
use crate::load::RecordFault;
use crate::storage::Entry;

/// A record whose conditions hold.
pub(super) struct Row<'r> {
    pub values: Vec<FieldValue<'r>>,
    pub config: ConfigValues<'r>,
    /// The text of the configuration.
    pub config_text: Option<&'r str>,
    pub path: Cow<'r, str>,
    /// The first field whose integer has more than 64 bits; its value is null.
    pub beyond: Option<Box<str>>,
    entry: &'r dyn Entry,
    /// The modification time, in microseconds since 1970; 0 if it is not needed.
    saved_at: i64,
    bytes: &'r [u8],
    has_timeseries: Option<bool>,
}

impl<'r> Row<'r> {
    /// Parse a record; `None` if a condition does not hold. The watch notes the record in either case.
    pub fn parse(
        plan: &Plan,
        watch: &Watch,
        configs: &mut ConfigColumns,
        entry: &'r dyn Entry,
        bytes: &'r [u8],
        memory: &mut Memory,
        interrupt: Interrupt<'r>,
    ) -> Result<Option<Self>, RecordErrorKind> {
        let place = entry.place();
        if plan.needs_path && place.to_str().is_none() {
            let reason = "its path is not UTF-8, which a table cannot hold; rename the directory";
            let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
            return Err(RecordErrorKind::Io(Error::io(Step::Read, entry.record_path(), error)));
        }
        let ParsedRecord { values, config, beyond } =
            record::read(bytes, plan, Some(memory), interrupt).map_err(RecordErrorKind::Fault)?;
        let path = if place.as_os_str().is_empty() { ".".into() } else { place.to_string_lossy() };
        let saved_at = if plan.needs_saved_at { entry.saved_at() } else { Ok(0) };
        let mut row = Self {
            values,
            config: Vec::new(),
            config_text: config,
            path,
            beyond,
            entry,
            saved_at: saved_at.map_err(RecordErrorKind::Io)?,
            bytes,
            has_timeseries: None,
        };
        row.complete_timeseries(plan);
        let satisfies = |row: &mut Self, on_keys: bool| {
            plan.filters.iter().zip(&watch.tests).all(|(filter, test)| {
                filter.source.key().is_some() != on_keys || test.holds(&row.cell(&filter.source))
            })
        };
        let is_settled = watch.is_settled();
        // A record that other conditions exclude needs no search for keys, once they are known.
        let is_wanted = satisfies(&mut row, false);
        if let Some(text) = config.filter(|_| plan.reads_config) {
            if is_wanted {
                let read = configs.read(text, &mut row.config);
                read.map_err(|error| RecordErrorKind::Fault(RecordFault::Invalid(error.to_string())))?;
            } else if !is_settled {
                row.config = configs.look(text).unwrap_or_default();
            }
        }
        if !is_settled {
            watch.note(plan, &mut row);
        }
        if !is_wanted || !satisfies(&mut row, true) {
            return Ok(None);
        }
        match configs.misfit(&row.config) {
            Some(reason) => Err(RecordErrorKind::Fault(RecordFault::Invalid(reason))),
            None => Ok(Some(row)),
        }
    }

    /// Fill in the name of a sidecar that lies next to the record, as a save would have written it.
    fn complete_timeseries(&mut self, plan: &Plan) {
        if let Some(index) = plan.timeseries_index
            && self.values.get(index) == Some(&FieldValue::Null)
            && self.has_timeseries()
        {
            self.values[index] = FieldValue::Text(SIDECAR.into());
        }
    }

    /// Return the value of the first column that is a field.
    pub fn first_field(&self, plan: &Plan) -> Option<&FieldValue<'r>> {
        plan.columns.iter().find_map(|column| match column.source {
            ColumnSource::Field(index) => self.values.get(index),
            _ => None,
        })
    }

    pub fn has_timeseries(&mut self) -> bool {
        *self.has_timeseries.get_or_insert_with(|| self.entry.has_file(SIDECAR))
    }

    /// Return the modification time; `None` outside the range of a Python `datetime`.
    pub fn saved_at(&self) -> Option<i64> {
        Some(self.saved_at).filter(|micros| TIMES.contains(micros))
    }

    /// Return the sha256 of the record's bytes, in hex digits.
    pub fn sha256(&self) -> String {
        let digest = <[u8; 32]>::from(Sha256::digest(self.bytes));
        digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
    }

    pub fn instant(&self, index: usize) -> Option<i64> {
        self.values.get(index).and_then(FieldValue::instant)
    }

    /// Return the value that a condition compares.
    fn cell(&mut self, source: &ColumnSource) -> Cell<'_> {
        let integer = |micros: Option<i64>| micros.map_or(Cell::Null, |micros| Cell::Int(micros.into()));
        match source {
            ColumnSource::Path => Cell::Text(Cow::Borrowed(&self.path)),
            ColumnSource::HasTimeseries => Cell::Bool(self.has_timeseries()),
            ColumnSource::SavedAt => integer(self.saved_at()),
            ColumnSource::RecordSha256 => Cell::Text(self.sha256().into()),
            ColumnSource::Instant(index) => integer(self.instant(*index)),
            ColumnSource::Field(index) => self.values.get(*index).map_or(Cell::Null, Cell::of_field),
            ColumnSource::ConfigKey(column) => {
                let value = self.config.iter().find(|(other, _)| other == column);
                value.map_or(Cell::Null, |(_, text)| Cell::of_json(text))
            }
            ColumnSource::WholeConfig | ColumnSource::ConfigText => Cell::Other,
        }
    }

    /// Return whether a column shows a text.
    pub fn shows(&mut self, source: &ColumnSource, text: &str) -> bool {
        matches!(self.cell(source), Cell::Text(value) if value == text)
    }
}

fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or_default()
}
