//! The energy of a power trace, by the trapezoid rule.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type};
use arrow_array::{Float64Array, RecordBatch};

use super::notes::{NotedEnergies, attached_energies, has_unknown_devices};
use crate::error::Result;
use crate::interrupt::Interrupt;

/// The `gpu_index` of the whole system.
pub const SYSTEM: i32 = -1;

/// The power and energy of one GPU, or of the whole system.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Power {
    /// Number of rows with a power and a time.
    pub rows: usize,
    /// Integral of power over time, joules; `None` without such rows at two times, unless it was noted.
    pub energy_j: Option<f64>,
    /// Mean power of the rows, watts; `None` without such rows.
    pub mean_w: Option<f64>,
}

/// Rows that are sorted or added between two checks of an interrupt.
const UNIT_ROWS: usize = 1 << 20;

/// The time and power of the rows that have both, by `gpu_index`, in the order of the trace; seconds and watts.
#[derive(Debug, Default)]
pub(super) struct PowerRows(BTreeMap<i32, Vec<(f64, f64)>>);

/// The rows of one `gpu_index`, in the order of the trace.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The times of the rows that have one, seconds.
    pub times: Vec<f64>,
    /// The time and power of the rows that have both, seconds and watts.
    pub powers: Vec<(f64, f64)>,
    /// Number of rows without a finite time.
    pub without_time: usize,
}

/// Integrate power over time for each `gpu_index` of a trace in the columns of [`schema`](super::schema).
///
/// Rows may have any order. Rows without a power or a time (null or NaN) are omitted, and the trapezoid between their
/// neighbours spans the gap. Rows of one time count with their mean, unless the file has no `gpu_index` and their
/// powers differ: they are of several devices then, and both results are `None`. If the writer of the trace noted the
/// energy of the samples, which were more than the rows, it is that.
#[must_use]
pub fn per_gpu(trace: &RecordBatch) -> BTreeMap<i32, Power> {
    // Without a caller that cancels, there is no error.
    per_gpu_until(trace, Interrupt::NEVER).unwrap_or_default()
}

/// As [`per_gpu`], until the caller cancels.
///
/// # Errors
///
/// [`Error::Interrupted`](crate::Error::Interrupted).
pub fn per_gpu_until(trace: &RecordBatch, interrupt: Interrupt<'_>) -> Result<BTreeMap<i32, Power>> {
    let mut rows = PowerRows::default();
    for start in (0..trace.num_rows()).step_by(UNIT_ROWS) {
        interrupt.check()?;
        rows.add(&trace.slice(start, UNIT_ROWS.min(trace.num_rows() - start)));
    }
    rows.integrate(has_unknown_devices(trace), &attached_energies(trace), interrupt)
}

impl PowerRows {
    /// The memory of a row, in bytes: its time and power, the growth of their vector, and their sort.
    pub const ROW_BYTES: u64 = 48;

    /// Add the rows of a part of a trace in the columns of [`schema`](super::schema).
    pub fn add(&mut self, part: &RecordBatch) {
        for (time, gpu, power) in rows(part) {
            let powers = self.0.entry(gpu).or_default();
            powers.extend(power.filter(|_| time.is_finite()).map(|power| (time, power)));
        }
    }

    /// Integrate the rows of each GPU; `energies` are the noted ones.
    pub fn integrate(
        self,
        unknown_devices: bool,
        energies: &NotedEnergies,
        interrupt: Interrupt<'_>,
    ) -> Result<BTreeMap<i32, Power>> {
        let of_gpu = |(gpu, powers): (i32, Vec<(f64, f64)>)| {
            let mut power = integrate(powers, unknown_devices, interrupt)?;
            if let Some(energy) = energies.of(gpu, power.rows) {
                power.energy_j = Some(energy);
            }
            Ok((gpu, power))
        };
        self.0.into_iter().map(of_gpu).collect()
    }
}

/// Return the time, `gpu_index` and power of each row; an unknown power is `None`.
fn rows(trace: &RecordBatch) -> impl Iterator<Item = (f64, i32, Option<f64>)> {
    let times = trace.column(0).as_primitive::<Float64Type>().values();
    let gpus = trace.column(1).as_primitive::<Int32Type>().values();
    let powers = trace.column(2).as_primitive::<Float32Type>();
    let rows = times.iter().zip(gpus).zip(powers);
    rows.map(|((time, gpu), power)| (*time, *gpu, power.filter(|power| !power.is_nan()).map(f64::from)))
}

/// Split the rows of a trace by `gpu_index`.
pub(super) fn rows_per_gpu(trace: &RecordBatch) -> BTreeMap<i32, Rows> {
    let mut found: BTreeMap<i32, Rows> = BTreeMap::new();
    for (time, gpu, power) in rows(trace) {
        let of_gpu = found.entry(gpu).or_default();
        if !time.is_finite() {
            of_gpu.without_time += 1;
            continue;
        }
        of_gpu.times.push(time);
        of_gpu.powers.extend(power.map(|power| (time, power)));
    }
    found
}

/// Return the total: the whole system if it has a power, which includes its GPUs, else the sum over the GPUs.
///
/// A sum with an unknown summand is unknown: the energy is `None` if that of a GPU is, and so is the mean.
#[must_use]
pub fn total(per_gpu: &BTreeMap<i32, Power>) -> Power {
    let is_system = |gpu: &i32| *gpu == SYSTEM;
    if let Some((_, &system)) = per_gpu.iter().find(|(gpu, power)| is_system(gpu) && power.rows > 0) {
        return system;
    }
    let gpus = || per_gpu.iter().filter(|(gpu, _)| !is_system(gpu)).map(|(_, power)| power);
    if gpus().next().is_none() {
        return Power::default();
    }
    Power {
        rows: gpus().map(|power| power.rows).sum(),
        energy_j: gpus().map(|power| power.energy_j).sum(),
        mean_w: gpus().map(|power| power.mean_w).sum(),
    }
}

/// Return the seconds from the first row to the last; 0 for fewer than two rows.
#[must_use]
pub fn duration_s(timestamp_s: &Float64Array) -> f64 {
    let times = timestamp_s.values().iter().filter(|time| time.is_finite());
    let ends = times.fold(None, |ends, &time| match ends {
        None => Some((time, time)),
        Some((first, last)) => Some((time.min(first), time.max(last))),
    });
    ends.map_or(0.0, |(first, last)| last - first)
}

#[allow(clippy::cast_precision_loss, reason = "no trace has 2^52 rows")]
fn integrate(mut powers: Vec<(f64, f64)>, unknown_devices: bool, interrupt: Interrupt<'_>) -> Result<Power> {
    if !powers.is_sorted_by(|one, other| by_time(one, other).is_le()) {
        powers = sorted(powers, interrupt)?;
    }
    let mean = |rows: &[(f64, f64)]| rows.iter().fold(0.0, |sum, row| sum + row.1) / rows.len() as f64;
    let (mut energy_j, mut before, mut unasked) = (None, None, 0);
    for rows in powers.chunk_by(|one, other| at_one_time(one.0, other.0)) {
        unasked += rows.len();
        if unasked >= UNIT_ROWS {
            interrupt.check()?;
            unasked = 0;
        }
        let (time, power) = (rows[0].0, mean(rows));
        if unknown_devices && differ(rows) {
            return Ok(Power { rows: powers.len(), ..Power::default() });
        }
        if let Some((begin, at_begin)) = before {
            energy_j = Some(energy_j.unwrap_or(0.0) + (time - begin) * f64::midpoint(at_begin, power));
        }
        before = Some((time, power));
    }
    let mean_w = (!powers.is_empty()).then(|| mean(&powers));
    Ok(Power { rows: powers.len(), energy_j, mean_w })
}

fn by_time((one, _): &(f64, f64), (other, _): &(f64, f64)) -> Ordering {
    one.total_cmp(other)
}

/// Sort rows by time, stably. No more than [`UNIT_ROWS`] are sorted or merged between two checks.
fn sorted(mut rows: Vec<(f64, f64)>, interrupt: Interrupt<'_>) -> Result<Vec<(f64, f64)>> {
    for unit in rows.chunks_mut(UNIT_ROWS) {
        interrupt.check()?;
        unit.sort_by(by_time);
    }
    let (mut merged, mut length) = (Vec::with_capacity(rows.len()), UNIT_ROWS);
    while length < rows.len() {
        merged.clear();
        for pair in rows.chunks(2 * length) {
            let (one, other) = pair.split_at(length.min(pair.len()));
            merge(one, other, &mut merged, interrupt)?;
        }
        std::mem::swap(&mut rows, &mut merged);
        length *= 2;
    }
    Ok(rows)
}

/// Append the rows of two sorted parts, sorted; of rows of one time, those of `one` come first.
fn merge<'r>(
    mut one: &'r [(f64, f64)],
    mut other: &'r [(f64, f64)],
    merged: &mut Vec<(f64, f64)>,
    interrupt: Interrupt<'_>,
) -> Result<()> {
    while !one.is_empty() && !other.is_empty() {
        interrupt.check()?;
        for _ in 0..UNIT_ROWS {
            let (Some(first), Some(second)) = (one.first(), other.first()) else { break };
            let rows = if by_time(second, first).is_lt() { &mut other } else { &mut one };
            merged.push(rows[0]);
            *rows = &rows[1..];
        }
    }
    merged.extend_from_slice(one);
    merged.extend_from_slice(other);
    Ok(())
}

/// Return whether two times are one instant; `-0.0` is `0.0`.
#[allow(clippy::float_cmp, reason = "two times of one instant are one number")]
pub(super) fn at_one_time(one: f64, other: f64) -> bool {
    one == other
}

/// Return whether rows have different powers.
pub(super) fn differ(rows: &[(f64, f64)]) -> bool {
    rows.windows(2).any(|pair| pair[0].1.total_cmp(&pair[1].1).is_ne())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::timeseries::notes::{TraceNotes, with_notes};
    use crate::timeseries::testing::trace;
    use std::cell::Cell;

    fn powers(rows: &[(f64, i32, Option<f32>)]) -> BTreeMap<i32, Power> {
        per_gpu(&trace(rows))
    }

    fn energy(rows: &[(f64, i32, Option<f32>)]) -> Option<f64> {
        total(&powers(rows)).energy_j
    }

    #[test]
    fn integrate_missing_samples_spans_the_gap() {
        assert_eq!(energy(&[(0.0, 0, Some(100.0)), (1.0, 0, Some(200.0)), (3.0, 0, Some(0.0))]), Some(350.0));
        assert_eq!(energy(&[(0.0, 0, Some(100.0)), (1.0, 0, None), (2.0, 0, Some(100.0))]), Some(200.0));
        assert_eq!(
            energy(&[(0.0, 0, Some(100.0)), (1.0, 0, Some(f32::NAN)), (2.0, 0, Some(100.0))]),
            Some(200.0)
        );
        assert_eq!(
            energy(&[(2.0, 0, Some(100.0)), (0.0, 0, Some(100.0)), (f64::NAN, 0, Some(9.0))]),
            Some(200.0)
        );
    }

    #[test]
    fn integrate_cancelled_between_units_ends() {
        let rows = PowerRows(BTreeMap::from([(
            0,
            std::iter::repeat_n((1.0, 1.0), 3 * UNIT_ROWS).chain([(0.0, 1.0)]).collect(),
        )]));
        let asked = Cell::new(0);
        let is_cancelled = |_| asked.replace(asked.get() + 1) == 1;
        let cancelled = rows.integrate(false, &NotedEnergies::default(), Interrupt::new(&is_cancelled));
        assert!(matches!(cancelled, Err(Error::Interrupted)));
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn sort_of_long_trace_asks_once_per_unit() {
        let numbers = (0..5_u32 << 20).rev();
        let rows: Vec<_> = numbers.map(|row| (f64::from(row % 7919), f64::from(row))).collect();
        let mut expected = rows.clone();
        expected.sort_by(by_time);
        let asked = Cell::new(0);
        let until = |last: usize| {
            asked.set(0);
            let is_cancelled = |_| asked.replace(asked.get() + 1) + 1 == last;
            sorted(rows.clone(), Interrupt::new(&is_cancelled))
        };
        assert!(until(usize::MAX).unwrap() == expected);
        // Five sorts, and three merges of nearly all rows.
        assert!((5 + 4..=5 + 3 * 5).contains(&asked.get()), "{}", asked.get());
        for last in [1, 5, 6, asked.get()] {
            assert!(matches!(until(last), Err(Error::Interrupted)));
            assert_eq!(asked.get(), last);
        }
    }

    #[test]
    fn integrate_too_few_samples_is_unknown() {
        let known = |rows: &[(f64, i32, Option<f32>)]| {
            let total = total(&powers(rows));
            (total.energy_j, total.mean_w)
        };
        assert_eq!(known(&[]), (None, None));
        assert_eq!(known(&[(0.0, 0, None), (1.0, 0, None)]), (None, None));
        assert_eq!(known(&[(0.0, 0, Some(100.0)), (1.0, 0, None)]), (None, Some(100.0)));
        assert_eq!(known(&[(0.0, 0, Some(100.0)), (-0.0, 0, Some(200.0))]), (None, Some(150.0)));
        assert_eq!(known(&[(0.0, 0, Some(0.0)), (1.0, 0, Some(0.0))]), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn integrate_one_row_uses_the_noted_energy() {
        let noted = |rows: &[(f64, i32, Option<f32>)]| {
            let energies = BTreeMap::from([(0, 25.0), (1, f64::NAN)]);
            let notes = TraceNotes { energies, ..TraceNotes::default() };
            total(&per_gpu(&with_notes(&trace(rows), &notes).unwrap())).energy_j
        };
        assert_eq!(noted(&[(0.0, 0, Some(100.0))]), Some(25.0));
        assert_eq!(noted(&[(0.0, 0, Some(100.0)), (1.0, 0, None)]), Some(25.0));
        assert_eq!(noted(&[(0.0, 0, Some(100.0)), (1.0, 0, Some(100.0))]), Some(100.0));
        assert_eq!(noted(&[(0.0, 0, None)]), None);
        assert_eq!(noted(&[(0.0, 1, Some(100.0))]), None);
    }

    #[test]
    fn integrate_uses_the_noted_integral_of_so_many_rows() {
        let rows = [(0.0, 0, Some(100.0)), (1.0, 0, Some(100.0)), (1.0, 1, Some(5.0)), (2.0, 0, Some(100.0))];
        let notes = TraceNotes { integrals: BTreeMap::from([(0, (3, 299.5))]), ..TraceNotes::default() };
        let energy = |rows: &[(f64, i32, Option<f32>)]| {
            per_gpu(&with_notes(&trace(rows), &notes).unwrap())[&0].energy_j
        };
        assert_eq!(energy(&rows), Some(299.5));
        assert_eq!(energy(&rows[..2]), Some(100.0));
    }

    #[test]
    fn total_with_an_unknown_gpu_is_unknown() {
        let known = [(0.0, 0, Some(10.0)), (1.0, 0, Some(10.0))];
        let with_one_sample = [&known[..], &[(0.0, 1, Some(5.0)), (1.0, 1, None)]].concat();
        let sum = total(&powers(&with_one_sample));
        assert_eq!((sum.energy_j, sum.mean_w), (None, Some(15.0)));
        let with_none = [&known[..], &[(0.0, 1, None), (1.0, 1, None)]].concat();
        let sum = total(&powers(&with_none));
        assert_eq!((sum.energy_j, sum.mean_w), (None, None));
        assert_eq!(powers(&with_none)[&0].energy_j, Some(10.0));
    }

    #[test]
    fn integrate_rows_of_one_time_takes_their_mean_in_any_order() {
        let rows =
            [(0.0, 0, Some(100.0)), (1.0, 0, Some(100.0)), (1.0, 0, Some(300.0)), (2.0, 0, Some(200.0))];
        let swapped = [rows[2], rows[3], rows[0], rows[1]];
        assert_eq!((energy(&rows), energy(&swapped)), (Some(350.0), Some(350.0)));
    }

    #[test]
    fn total_with_a_system_omits_its_gpus() {
        let gpus = [(0.0, 0, Some(10.0)), (1.0, 0, Some(10.0)), (0.0, 1, Some(5.0)), (1.0, 1, Some(5.0))];
        assert_eq!((energy(&gpus), total(&powers(&gpus)).mean_w), (Some(15.0), Some(15.0)));
        let with_system = [&gpus[..], &[(0.0, SYSTEM, Some(40.0)), (1.0, SYSTEM, Some(40.0))]].concat();
        assert_eq!((energy(&with_system), total(&powers(&with_system)).mean_w), (Some(40.0), Some(40.0)));
        let system_without_power =
            [&gpus[..], &[(0.0, SYSTEM, None), (1.0, SYSTEM, Some(f32::NAN))]].concat();
        assert_eq!((energy(&system_without_power), powers(&system_without_power).len()), (Some(15.0), 3));
    }
}
