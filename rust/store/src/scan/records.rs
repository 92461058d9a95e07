//! Records become rows: each is read, checked, asked whether it is wanted, and added to a chunk.

use std::borrow::Cow;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::ArrowError;

use super::column::{ROWS, Values};
use super::config::{Configs, Types};
use super::filter::{Cell, Filter};
use super::kinds::{float_of, is_not_finite};
use super::plan::{Origin, Plan};
use super::record::{self, Row, Slot, TIMES};
use super::{Bad, Table, Trouble};
use crate::error::{Error, Step};
use crate::fs::dir::Dir;
use crate::json::text::text_of;
use crate::load::{Limit, RecordFault, diagnose};
use crate::walk::Visit;
use crate::{RECORD, SIDECAR};

/// Bytes of a buffer that is not kept for the next record.
pub const LARGE: usize = 1 << 18;
/// Bytes of a chunk after which another begins.
pub const CHUNK_BYTES: usize = 8 << 20;

/// Reads records.
pub struct Records {
    pub plan: Arc<Plan>,
    pub types: Option<Arc<Types>>,
}

/// How the reading of some records that follow each other went.
#[derive(Default)]
pub struct Log {
    /// Results that were read, whatever came of them.
    pub records: u64,
    pub bad: Vec<Bad>,
    /// For the next record.
    pub buffer: Vec<u8>,
}

impl Log {
    /// Read a record, and hand on its bytes and when it was written; what is wrong with it is noted.
    pub fn read(
        &mut self,
        root: &Dir,
        place: &Path,
        record: &File,
        limit: Limit,
        take: impl FnOnce(&[u8], i64) -> Result<(), Trouble>,
    ) {
        self.records += 1;
        let path = || root.path().join(place).join(RECORD);
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = record.metadata().and_then(|metadata| {
            limit.read(record, &metadata, &mut buffer)?;
            saved_at(&metadata)
        });
        let read = read.map_err(|error| Trouble::Io(Error::io(Step::Read, path(), error)));
        if let Err(trouble) = read.and_then(|saved_at| take(&buffer, saved_at)) {
            self.bad.push(Bad { path: path(), size: buffer.len() as u64, trouble });
        }
        // One large record would keep its memory as long as the chunk is kept.
        if buffer.capacity() <= LARGE {
            self.buffer = buffer;
        }
    }

    /// Note what cannot be opened.
    pub fn fail(&mut self, error: Error) {
        let path = error.path().map(Path::to_owned).unwrap_or_default();
        self.bad.push(Bad { path, size: 0, trouble: Trouble::Io(error) });
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.bad.is_empty()
    }
}

/// When a file was written, in microseconds since 1970.
fn saved_at(metadata: &Metadata) -> io::Result<i64> {
    Ok(match metadata.modified()?.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    })
}

/// What came of some records that follow each other.
pub struct Chunk {
    columns: Vec<Values>,
    pub configs: Configs,
    pub rows: usize,
    bytes: usize,
    pub log: Log,
}

/// A record's file.
pub struct Found<'f> {
    root: &'f Dir,
    place: &'f Path,
    pub path: Cow<'f, str>,
    /// None where no `datetime` holds it.
    saved_at: Option<i64>,
    has_timeseries: Option<bool>,
}

impl Found<'_> {
    fn has_timeseries(&mut self) -> bool {
        *self.has_timeseries.get_or_insert_with(|| self.root.has_file(&self.place.join(SIDECAR)))
    }
}

impl Visit for Records {
    type Chunk = Chunk;

    fn begin(&self) -> Chunk {
        Chunk {
            columns: self.plan.columns.iter().map(Values::of).collect(),
            configs: Configs::new(&self.plan.keys, self.types.as_ref()),
            rows: 0,
            bytes: 0,
            log: Log::default(),
        }
    }

    fn visit(&self, chunk: &mut Chunk, root: &Dir, place: &Path, record: File) {
        let mut log = std::mem::take(&mut chunk.log);
        log.read(root, place, &record, self.plan.limit, |bytes, saved_at| {
            let row = self.row(&mut chunk.configs, root, place, saved_at, bytes)?;
            if let Some(Wanted { slots, values, mut found }) = row {
                chunk.push(&self.plan, &slots, &values, &mut found);
            }
            Ok(())
        });
        chunk.log = log;
    }

    fn fail(&self, chunk: &mut Chunk, error: Error) {
        chunk.log.fail(error);
    }

    fn is_full(&self, chunk: &Chunk) -> bool {
        chunk.rows >= ROWS || chunk.size() > CHUNK_BYTES
    }

    fn is_empty(&self, chunk: &Chunk) -> bool {
        chunk.log.is_empty()
    }
}

/// What was read of a record that is wanted.
pub struct Wanted<'b> {
    pub slots: Vec<Slot<'b>>,
    values: Vec<(usize, &'b str)>,
    pub found: Found<'b>,
}

impl Records {
    /// The row of a record; `None` where the conditions do not hold of it.
    pub fn row<'b>(
        &self,
        configs: &mut Configs,
        root: &'b Dir,
        place: &'b Path,
        saved_at: i64,
        bytes: &'b [u8],
    ) -> Result<Option<Wanted<'b>>, Trouble> {
        if self.plan.tells_path && place.to_str().is_none() {
            let said = "its path is not UTF-8, which a table cannot hold; rename the directory";
            let error = io::Error::new(io::ErrorKind::InvalidInput, said);
            return Err(Trouble::Io(Error::io(Step::Read, root.path().join(place).join(RECORD), error)));
        }
        let plan = &*self.plan;
        let invalid = |error: &serde_json::Error| self.trouble(bytes, error);
        let Row { mut slots, config } =
            record::read(bytes, &plan.record, plan.slots).map_err(|e| invalid(&e))?;
        if slots.get(plan.version_slot) != Some(&Slot::Text(plan.version.as_str().into())) {
            return Err(self.trouble(bytes, "it names no schema line"));
        }
        let path = if place.as_os_str().is_empty() { ".".into() } else { place.to_string_lossy() };
        let saved_at = Some(saved_at).filter(|micros| TIMES.contains(micros));
        let mut found = Found { root, place, path, saved_at, has_timeseries: None };
        // What a save would have written, had it put the sidecar there.
        if let Some(slot @ Slot::Null) = plan.timeseries_slot.and_then(|slot| slots.get_mut(slot))
            && found.has_timeseries()
        {
            *slot = Slot::Text(SIDECAR.into());
        }
        let mut values = Vec::new();
        let is_config = |filter: &&Filter| matches!(filter.origin, Origin::Config(_));
        // Keys of what is not wanted anyway need not be found.
        let (of_configs, others): (Vec<&Filter>, Vec<&Filter>) = plan.filters.iter().partition(is_config);
        if !others.into_iter().all(|filter| holds(filter, &slots, &values, &mut found)) {
            return Ok(None);
        }
        if let Some(text) = config.filter(|_| !plan.keys.are_none()) {
            configs.read(text, &mut values).map_err(|e| invalid(&e))?;
        }
        if !of_configs.into_iter().all(|filter| holds(filter, &slots, &values, &mut found)) {
            return Ok(None);
        }
        match configs.misfit(&values).or_else(|| plan.out_of_range(&slots)) {
            Some(reason) => Err(Trouble::Fault(RecordFault::Invalid(reason))),
            None => Ok(Some(Wanted { slots, values, found })),
        }
    }

    /// Return the fault of bytes that could not be read as asked.
    fn trouble(&self, bytes: &[u8], error: impl fmt::Display) -> Trouble {
        let fault = diagnose(bytes, &self.plan.version);
        Trouble::Fault(fault.unwrap_or_else(|| RecordFault::Invalid(error.to_string())))
    }
}

fn holds(filter: &Filter, slots: &[Slot<'_>], values: &[(usize, &str)], found: &mut Found<'_>) -> bool {
    let text;
    let cell = match &filter.origin {
        Origin::Path => Cell::Text(&found.path),
        Origin::HasTimeseries => Cell::Bool(found.has_timeseries()),
        Origin::SavedAt => found.saved_at.map_or(Cell::Null, |micros| Cell::Int(micros.into())),
        Origin::Slot(slot) => match slots.get(*slot) {
            Some(Slot::Bool(value)) => Cell::Bool(*value),
            Some(Slot::Int(value) | Slot::Time(value, _)) => Cell::Int((*value).into()),
            Some(Slot::Float(value)) => Cell::Float(*value),
            Some(Slot::Text(value)) => Cell::Text(value),
            Some(Slot::Null) | None => Cell::Null,
            Some(_) => Cell::Other,
        },
        Origin::Instant(slot) => match slots.get(*slot).and_then(instant) {
            Some(micros) => Cell::Int(micros.into()),
            None => Cell::Null,
        },
        Origin::Config(column) => {
            match values.iter().find(|(wanted, _)| wanted == column).map(|(_, text)| *text) {
                None | Some("null") => Cell::Null,
                Some("true") => Cell::Bool(true),
                Some("false") => Cell::Bool(false),
                Some(value) if is_not_finite(value) && filter.test.is_about_numbers() => {
                    float_of(value).map_or(Cell::Null, Cell::Float)
                }
                Some(value) if value.starts_with('"') => {
                    text = text_of(value);
                    Cell::Text(&text)
                }
                Some(value) => match (value.parse(), value.parse()) {
                    (Ok(integer), _) => Cell::Int(integer),
                    (_, Ok(float)) => Cell::Float(float),
                    _ => Cell::Other,
                },
            }
        }
        Origin::AllConfig => Cell::Other,
    };
    filter.test.holds(cell)
}

impl Plan {
    /// Why a row cannot be told, where an instant is asked for that lies outside the years that times have.
    fn out_of_range(&self, slots: &[Slot<'_>]) -> Option<String> {
        let column = self.columns.iter().find(|column| match column.origin {
            Origin::Instant(slot) => {
                slots.get(slot).and_then(instant).is_some_and(|micros| !TIMES.contains(&micros))
            }
            _ => false,
        })?;
        Some(format!("{} lies outside the years 1 to 9999", column.name))
    }
}

/// The instant of a time that tells its zone, in microseconds since 1970.
fn instant(slot: &Slot<'_>) -> Option<i64> {
    match slot {
        Slot::Time(micros, Some(offset)) => micros.checked_sub(i64::from(*offset) * 1_000_000),
        _ => None,
    }
}

impl Chunk {
    /// Bytes in memory, roughly.
    pub fn size(&self) -> usize {
        self.bytes + self.configs.size() + 8 * ROWS * self.columns.len()
    }

    fn push(&mut self, plan: &Plan, slots: &[Slot<'_>], values: &[(usize, &str)], found: &mut Found<'_>) {
        for (column, target) in plan.columns.iter().zip(&mut self.columns) {
            self.bytes += 8;
            match &column.origin {
                Origin::Path => target.push(&Slot::Text(found.path.clone())),
                Origin::HasTimeseries => target.push(&Slot::Bool(found.has_timeseries())),
                Origin::SavedAt => match found.saved_at {
                    Some(micros) => target.push(&Slot::Time(micros, None)),
                    None => target.push_null(),
                },
                Origin::Slot(slot) => {
                    let slot = slots.get(*slot).unwrap_or(&Slot::Null);
                    self.bytes += weight(slot);
                    target.push(slot);
                }
                Origin::Instant(slot) => match slots.get(*slot).and_then(instant) {
                    Some(micros) => target.push(&Slot::Time(micros, None)),
                    None => target.push_null(),
                },
                Origin::Config(_) | Origin::AllConfig => {}
            }
        }
        self.configs.add(self.rows, values);
        self.rows += 1;
    }

    pub fn into_batch(mut self, plan: &Plan, table: &Table) -> Result<RecordBatch, ArrowError> {
        let (wanted, found) = self.configs.arrays(&table.types, self.rows);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(table.schema.fields().len());
        for (column, values) in plan.columns.iter().zip(&mut self.columns) {
            match column.origin {
                Origin::Config(place) => arrays.extend(wanted.get(place).cloned()),
                Origin::AllConfig => {
                    arrays.extend(table.found.iter().filter_map(|place| found.get(*place).cloned()));
                }
                _ => arrays.push(values.finish()),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(table.schema.clone(), arrays, &options)
    }
}

/// Bytes of a value beyond a fixed part.
fn weight(slot: &Slot<'_>) -> usize {
    match slot {
        Slot::Text(text) | Slot::Json(text) => text.len(),
        Slot::Floats(items) => 8 * items.len(),
        Slot::Texts(items) => items.iter().map(|item| 4 + item.len()).sum(),
        Slot::Items(items) => items.iter().map(|item| 8 + weight(item)).sum(),
        _ => 0,
    }
}
