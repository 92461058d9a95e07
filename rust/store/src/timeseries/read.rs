//! Reading a power trace into memory, in the standard columns and types.

use std::path::Path;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::Fields;
use arrow_select::concat::concat;

use super::file::TraceFile;
use super::memory::TraceMemory;
use super::schema;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::walk::Turn;

/// Maximum bytes of all power traces that are read at once, unless the caller chooses another.
pub const MAX_BYTES: u64 = 1 << 30;

/// Read the standard columns of a Parquet file; see [`schema`].
///
/// A file without `gpu_index` is of GPU 0; other absent columns are null. Numbers of other types are converted if
/// they fit, and a time of the type duration to seconds. All reads of the process share `max_bytes` of memory, of which
/// one trace may have half: a read waits until there is room.
///
/// # Errors
///
/// [`Error::DamagedTrace`](crate::Error::DamagedTrace) if the file is incomplete;
/// [`Error::NotATrace`](crate::Error::NotATrace) if it lacks `timestamp_s` or `power_w`, has a column or a value that
/// does not fit, or needs too much memory; [`Error::Interrupted`](crate::Error::Interrupted) once the caller has
/// cancelled.
///
/// # Examples
///
/// ```
/// use arrow_array::RecordBatch;
/// use llem_store::Interrupt;
/// use llem_store::timeseries::{self, Columns, MAX_BYTES};
///
/// # let temp = tempfile::tempdir()?;
/// # let path = temp.path().join("timeseries.parquet");
/// let columns = Columns {
///     timestamp_s: vec![0.0, 1.0],
///     gpu_index: vec![0, 0],
///     power_w: vec![Some(250.0), Some(251.0)],
///     temperature_c: vec![None; 2],
///     memory_used_mb: vec![None; 2],
///     memory_total_mb: vec![None; 2],
///     sm_utilisation_pct: vec![None; 2],
///     throttle_reasons: vec![None; 2],
/// };
/// timeseries::write(&path, &RecordBatch::try_from(columns)?)?;
/// let trace = timeseries::read(&path, MAX_BYTES, Interrupt::NEVER)?;
/// assert_eq!(trace.num_rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: &Path, max_bytes: u64, interrupt: Interrupt<'_>) -> Result<RecordBatch> {
    read_file(&TraceFile::open(path)?, max_bytes, interrupt)
}

/// Read the standard columns of an open file, as [`read`].
///
/// # Errors
///
/// As [`read`].
pub fn read_file(file: &TraceFile, max_bytes: u64, interrupt: Interrupt<'_>) -> Result<RecordBatch> {
    let schema = schema();
    let mut batches = file.batches(schema.fields(), interrupt)?;
    let mut notes = file.notes();
    if !batches.has("gpu_index") {
        notes.set_unknown_devices();
    }
    let memory = TraceMemory::of_process(max_bytes);
    // One column at a time is there twice, in batches and as a whole.
    let bytes = file.check_memory(row_bytes(schema.fields()) + LARGEST, &memory)?;
    let _share = file.share(&memory, bytes.saturating_add(batches.decoder_bytes()), Turn::only(interrupt))?;
    let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); schema.fields().len()];
    while let Some(batch) = batches.next(interrupt) {
        for (column, array) in columns.iter_mut().zip(batch?.columns()) {
            column.push(array.clone());
        }
    }
    let join = |arrays: Vec<ArrayRef>| {
        concat(&arrays.iter().map(|array| &**array as &dyn Array).collect::<Vec<_>>())
    };
    let trace = if columns.iter().any(Vec::is_empty) {
        Ok(RecordBatch::new_empty(schema))
    } else {
        let columns = columns.into_iter().map(join).collect::<Result<_, _>>();
        columns.and_then(|columns| RecordBatch::try_new(schema, columns))
    };
    trace.and_then(|trace| notes.attach(&trace)).map_err(|error| file.not_a_trace(error.to_string()))
}

/// Bytes of the largest value of a standard column.
const LARGEST: u64 = 8;

/// Return the bytes of a row of columns; that of a text is not known.
pub(crate) fn row_bytes(fields: &Fields) -> u64 {
    let bytes = |width: Option<usize>| width.unwrap_or(0) as u64;
    let values: u64 = fields.iter().map(|field| bytes(field.data_type().primitive_width())).sum();
    values + (fields.len() as u64).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::super::{self as timeseries, TraceNotes, write};
    use super::*;
    use crate::error::Error;

    use crate::sidecar;
    use arrow_array::RecordBatchIterator;
    use arrow_schema::{DataType, Field, FieldRef};
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::Arc;

    fn trace(rows: u16) -> RecordBatch {
        let length = usize::from(rows);
        let columns = timeseries::Columns {
            timestamp_s: (0..rows).map(f64::from).collect(),
            gpu_index: vec![3; length],
            power_w: (0..rows).map(|row| (row % 7 != 0).then_some(f32::from(row) + 0.5)).collect(),
            temperature_c: vec![None; length],
            memory_used_mb: vec![Some(1.0); length],
            memory_total_mb: vec![Some(81920.0); length],
            sm_utilisation_pct: vec![None; length],
            throttle_reasons: vec![Some(i64::MAX); length],
        };
        columns.try_into().unwrap()
    }

    #[test]
    fn read_returns_the_written_trace() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        for rows in [0, 1, 40_000] {
            write(&path, &trace(rows)).unwrap();
            assert_eq!(read(&path, MAX_BYTES, Interrupt::NEVER).unwrap(), trace(rows));
        }
    }

    #[test]
    fn batches_hold_the_requested_columns() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(40_000)).unwrap();
        let file = TraceFile::open(&path).unwrap();
        assert_eq!(file.rows(), 40_000);
        let fields: Vec<FieldRef> = ["power_w", "fan_pct", "timestamp_s"]
            .map(|name| Arc::new(Field::new(name, DataType::Float64, true)))
            .into();
        let mut batches = file.batches(&fields, Interrupt::NEVER).unwrap();
        let names: Vec<_> = batches.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["power_w", "fan_pct", "timestamp_s"]);
        let mut rows = Vec::new();
        while let Some(batch) = batches.next(Interrupt::NEVER) {
            let batch = batch.unwrap();
            assert_eq!(batch.column(1).null_count(), batch.num_rows());
            rows.push(batch.num_rows());
        }
        assert_eq!(rows, [16_384, 16_384, 7_232]);
    }

    #[test]
    fn read_through_returns_the_energy_of_the_trace() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        let rows = [(5.0, 0, Some(1.0)), (0.0, 0, Some(3.0)), (2.5, 1, Some(7.0)), (f64::NAN, 2, Some(9.0))];
        let (small, notes) = (timeseries::testing::trace(&rows), BTreeMap::from([(1, 25.0)]));
        let notes = TraceNotes { energies: notes, ..TraceNotes::default() };
        for trace in [trace(40_000), timeseries::with_notes(&small, &notes).unwrap()] {
            write(&path, &trace).unwrap();
            let read_through = |max_bytes| {
                let memory = TraceMemory::new(max_bytes);
                TraceFile::open(&path).unwrap().read_through(&memory, Turn::only(Interrupt::NEVER)).unwrap()
            };
            let expected = timeseries::per_gpu(&read(&path, MAX_BYTES, Interrupt::NEVER).unwrap());
            assert_eq!(read_through(MAX_BYTES), Some(expected));
        }
        write(&path, &trace(60_000)).unwrap();
        let memory = TraceMemory::new(5 << 20);
        let file = TraceFile::open(&path).unwrap();
        assert_eq!(file.read_through(&memory, Turn::only(Interrupt::NEVER)).unwrap(), None);
    }

    #[test]
    fn read_cancelled_between_batches_ends() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(60_000)).unwrap();
        let asked = Cell::new(0);
        let is_cancelled = |_| asked.replace(asked.get() + 1) == 2;
        let cancelled = read(&path, MAX_BYTES, Interrupt::new(&is_cancelled));
        assert!(matches!(cancelled, Err(Error::Interrupted)));
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn read_beyond_the_memory_names_the_bytes() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(60_000)).unwrap();
        let error = read(&path, 5 << 20, Interrupt::NEVER).unwrap_err();
        assert!(
            error.to_string().contains("it takes 2940000 bytes of memory or more; the limit is 2621440"),
            "{error}"
        );
        assert_eq!(read(&path, 64 << 20, Interrupt::NEVER).unwrap().num_rows(), 60_000);
    }

    #[test]
    fn read_truncated_file_reports_damage() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(600)).unwrap();
        let complete = fs::read(&path).unwrap();
        for cut in (0..complete.len()).filter(|cut| cut % 31 == 0 || complete.len() - cut < 64) {
            fs::write(&path, &complete[..cut]).unwrap();
            let error = read(&path, MAX_BYTES, Interrupt::NEVER).unwrap_err();
            assert!(matches!(error, Error::DamagedTrace { .. }), "{cut}: {error}");
        }
    }

    #[test]
    fn read_claimed_rows_unlike_the_pages_reports_damage() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x.parquet");
        write(&path, &trace(40)).unwrap();
        let mut content = fs::read(&path).unwrap();
        // The number of rows of the row group, zigzag, is the last such field of the footer.
        let at = content.windows(2).rposition(|field| field == [0x16, 80]).unwrap() + 1;
        for (claimed, reason) in [(78, "claims 39"), (82, "claims 41"), (1, "a negative number of rows")] {
            content[at] = claimed;
            fs::write(&path, &content).unwrap();
            let error = read(&path, MAX_BYTES, Interrupt::NEVER).unwrap_err();
            assert!(matches!(error, Error::DamagedTrace { .. }), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn read_changed_bytes_does_not_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
        ) {
            let temp = tempfile::tempdir().unwrap();
            let path = temp.path().join("x.parquet");
            let mut bytes = Vec::new();
            let rows = RecordBatchIterator::new([Ok(trace(100))], schema());
            sidecar::encode(Box::new(rows), &mut bytes, Interrupt::NEVER, &|error| panic!("{error}")).unwrap();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            fs::write(&path, &bytes).unwrap();
            match read(&path, MAX_BYTES, Interrupt::NEVER) {
                Ok(batch) => prop_assert_eq!(batch.schema().fields().clone(), schema().fields().clone()),
                Err(Error::DamagedTrace { .. } | Error::NotATrace { .. }) => {}
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
