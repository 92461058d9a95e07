//! Signs that the numbers of a power trace are not what they seem to be.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;

use super::energy::{Power, Rows, SYSTEM, at_one_time, differ, per_gpu, rows_per_gpu, total};
use super::notes::{attached_warnings, has_unknown_devices};

/// A step of the time above this multiple of the usual one is a jump.
const JUMP: f64 = 5.0;

/// A rule that finds one kind of fault among the rows of a GPU.
type Kind<'a> = &'a dyn Fn(&Rows) -> Option<String>;

/// Return sentences on what makes the numbers of a trace doubtful: the warnings of its samples first, then clocks that
/// step back or jump, rows of one time, rows without a time, and an energy that is unknown.
#[must_use]
pub fn warnings(trace: &RecordBatch) -> Vec<String> {
    let rows = rows_per_gpu(trace);
    let mut warnings = attached_warnings(trace);
    let unknown_devices = has_unknown_devices(trace);
    let repeated = |rows: &Rows| repeated_time(rows, unknown_devices);
    let kinds: [Kind<'_>; 5] = [&step_back, &jump, &repeated, &without_time, &infinite_power];
    for kind in kinds {
        warnings.extend(first_of(rows.iter().filter_map(|(gpu, rows)| Some((*gpu, kind(rows)?)))));
    }
    // That a trace holds several devices says why its energy is unknown.
    if !(unknown_devices && rows.values().any(|rows| several_devices(rows).is_some())) {
        warnings.extend(unknown_energy(&per_gpu(trace), trace.num_rows()));
    }
    warnings
}

/// Return sentences on clocks that step back among samples, whose times are given in the order of the readings.
#[must_use]
pub fn clock_warnings(timestamp_s: &[f64], gpu_index: &[i32]) -> Vec<String> {
    let mut rows: BTreeMap<i32, Rows> = BTreeMap::new();
    for (time, gpu) in timestamp_s.iter().zip(gpu_index) {
        rows.entry(*gpu).or_default().times.push(*time);
    }
    first_of(rows.iter().filter_map(|(gpu, rows)| Some((*gpu, step_back(rows)?)))).into_iter().collect()
}

/// Return the warning of the first GPU, with the number of the others that have one of its kind.
fn first_of(found: impl Iterator<Item = (i32, String)>) -> Option<String> {
    let mut found = found.fuse();
    let (gpu, text) = found.next()?;
    let others = match found.count() {
        0 => String::new(),
        1 => " (and of another GPU)".to_owned(),
        n => format!(" (and of {n} other GPUs)"),
    };
    Some(if gpu == SYSTEM {
        format!("whole system{others}: {text}")
    } else {
        format!("GPU {gpu}{others}: {text}")
    })
}

/// Report times that fall, unless all of them do: the rows then stand in reverse.
fn step_back(rows: &Rows) -> Option<String> {
    let steps = || rows.times.windows(2).map(|pair| (pair[0], pair[1]));
    let count = steps().filter(|(one, next)| next < one).count();
    let (from, to) = steps().find(|(one, next)| next < one)?;
    if !steps().any(|(one, next)| next > one) {
        return None;
    }
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times, first") };
    Some(format!("the time steps back {times} from {from} s to {to} s; each row counts at its time"))
}

/// Report the longest step between two rows that have a power, where it is much longer than the usual one.
fn jump(rows: &Rows) -> Option<String> {
    let mut times: Vec<f64> = rows.powers.iter().map(|row| row.0).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let mut steps: Vec<(f64, f64)> = times.windows(2).map(|pair| (pair[1] - pair[0], pair[0])).collect();
    steps.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (usual, _) = *steps.get(steps.len().checked_sub(1)? / 2)?;
    let jumps = steps.iter().filter(|step| step.0 > JUMP * usual).count();
    let &(step, from) = steps.last().filter(|_| jumps > 0)?;
    let count = if jumps == 1 { String::new() } else { format!(", the longest of {jumps} such steps") };
    Some(format!(
        "the time jumps from {from} s to {} s without a power{count} (usually {} s); the energy assumes a straight line \
         between them",
        from + step,
        usual
    ))
}

/// Report several rows of one time.
fn repeated_time(rows: &Rows, unknown_devices: bool) -> Option<String> {
    if unknown_devices && let Some((count, time)) = several_devices(rows) {
        return Some(format!(
            "the trace has no gpu_index, and {count} different rows at {time} s: it holds several devices, so that the \
             energy is unknown; add gpu_index"
        ));
    }
    let (count, time) = rows_of_one_time(rows, |group| group.len() > 1)?;
    Some(format!("{count} rows have the time {time} s; their mean counts"))
}

/// Return the number and the time of rows of one time whose powers differ.
fn several_devices(rows: &Rows) -> Option<(usize, f64)> {
    rows_of_one_time(rows, differ)
}

fn rows_of_one_time(rows: &Rows, is_wanted: impl Fn(&[(f64, f64)]) -> bool) -> Option<(usize, f64)> {
    let mut powers = rows.powers.clone();
    powers.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut groups = powers.chunk_by(|one, other| at_one_time(one.0, other.0));
    groups.find(|group| is_wanted(group)).map(|group| (group.len(), group[0].0))
}

fn infinite_power(rows: &Rows) -> Option<String> {
    let mut infinite = rows.powers.iter().filter(|row| row.1.is_infinite());
    let (time, power) = infinite.next()?;
    let count = infinite.count() + 1;
    let rows = if count == 1 { "one row has".to_owned() } else { format!("{count} rows have") };
    Some(format!("{rows} an infinite power_w, {power} at {time} s, so that the energy is not finite"))
}

fn without_time(rows: &Rows) -> Option<String> {
    match rows.without_time {
        0 => None,
        1 => Some("one row has no finite time and is omitted".to_owned()),
        count => Some(format!("{count} rows have no finite time and are omitted")),
    }
}

/// Report why the energy of a trace with rows is unknown.
fn unknown_energy(powers: &BTreeMap<i32, Power>, rows: usize) -> Option<String> {
    let sum = total(powers);
    if sum.energy_j.is_some() || rows == 0 {
        return None;
    }
    if sum.rows == 0 {
        return Some("no row has a power_w, so that the energy is unknown".to_owned());
    }
    first_of(powers.iter().filter(|(_, power)| power.energy_j.is_none()).map(|(gpu, power)| {
        let reason = match power.rows {
            0 => "no row has",
            1 => "only one row has",
            _ => "no two rows of two times have",
        };
        (*gpu, format!("{reason} a power_w, so that the energy is unknown"))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::notes::{Notes, TraceNotes, with_notes};
    use super::*;
    use crate::timeseries::testing::trace;

    fn times(times: &[f64]) -> Vec<String> {
        let rows: Vec<_> = times.iter().map(|time| (*time, 0, Some(1.0))).collect();
        warnings(&trace(&rows))
    }

    #[test]
    fn warnings_of_a_regular_trace_are_empty() {
        assert_eq!(times(&[]), [""; 0]);
        assert_eq!(times(&[0.0, 1.0, 2.0, 3.0]), [""; 0]);
        assert_eq!(times(&[3.0, 2.0, 1.0]), [""; 0]);
        assert_eq!(times(&[0.0, 86_400.0]), [""; 0]);
        assert_eq!(times(&[0.0, 0.1, 0.35, 0.4, 0.8]), [""; 0]);
    }

    #[test]
    fn warnings_report_a_clock_that_steps_back_or_jumps() {
        let back = "GPU 0: the time steps back once from 2 s to 1.5 s; each row counts at its time";
        assert_eq!(times(&[0.0, 1.0, 2.0, 1.5, 3.0]), [back]);
        assert!(times(&[0.0, 1.0, 0.5, 2.0, 1.0])[0].contains("2 times, first from 1 s to 0.5 s"));
        let jump = times(&[0.0, 1.0, 2.0, 3602.0, 3603.0]);
        assert!(jump.len() == 1 && jump[0].contains("jumps from 2 s to 3602 s"), "{jump:?}");
        let gpus = [(0.0, 0, Some(1.0)), (0.0, 1, Some(1.0)), (1.0, 0, Some(1.0)), (1.0, 1, Some(1.0))];
        assert_eq!(warnings(&trace(&gpus)), [""; 0]);
    }

    #[test]
    fn warnings_report_rows_of_one_time_and_rows_without_time() {
        assert_eq!(times(&[0.0, 1.0, 1.0, 2.0]), ["GPU 0: 2 rows have the time 1 s; their mean counts"]);
        assert!(times(&[0.0, f64::NAN, 2.0])[0].contains("one row has no finite time"));
    }

    #[test]
    fn warnings_report_several_devices_without_index() {
        let rows = [(0.0, 0, Some(1.0)), (0.0, 0, Some(2.0)), (1.0, 0, Some(1.0)), (1.0, 0, Some(2.0))];
        let known = trace(&rows);
        assert_eq!(total(&per_gpu(&known)).energy_j, Some(1.5));
        let mut notes = Notes::default();
        notes.set_unknown_devices();
        let unknown = notes.attach(&known).unwrap();
        let sum = total(&per_gpu(&unknown));
        assert_eq!((sum.energy_j, sum.mean_w), (None, None));
        let [warning] = warnings(&unknown).try_into().unwrap();
        assert!(warning.contains("no gpu_index, and 2 different rows at 0 s"), "{warning}");
    }

    #[test]
    fn warnings_report_an_infinite_power() {
        let rows = [
            (0.0, 0, Some(1.0)),
            (1.0, 0, Some(f32::INFINITY)),
            (2.0, 0, Some(2.0)),
            (3.0, 0, Some(f32::NAN)),
        ];
        let infinite = "GPU 0: one row has an infinite power_w, inf at 1 s, so that the energy is not finite";
        assert_eq!(warnings(&trace(&rows)), [infinite]);
    }

    #[test]
    fn warnings_report_an_unknown_energy() {
        assert!(warnings(&trace(&[(0.0, 0, None)]))[0].starts_with("no row has a power_w"));
        assert!(warnings(&trace(&[(0.0, 0, Some(1.0))]))[0].starts_with("GPU 0: only one row has a power_w"));
        let one_silent = [(0.0, 0, Some(1.0)), (1.0, 0, Some(1.0)), (0.0, 1, None), (0.0, 2, None)];
        assert!(
            warnings(&trace(&one_silent))[0].starts_with("GPU 1 (and of another GPU): no row has a power_w")
        );
    }

    #[test]
    fn warnings_begin_with_the_attached_ones() {
        let rows = trace(&[(0.0, 0, Some(1.0)), (1.0, 0, Some(1.0))]);
        let said = vec!["the clock \"stepped\"".to_owned()];
        let attached = with_notes(&rows, &TraceNotes { warnings: said, ..TraceNotes::default() }).unwrap();
        assert_eq!(warnings(&attached), ["the clock \"stepped\""]);
    }
}
