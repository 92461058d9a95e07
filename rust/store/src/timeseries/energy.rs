//! The energy of a power trace, by the trapezoid rule.

use std::collections::BTreeMap;

use arrow_array::{Float32Array, Float64Array, Int32Array};

/// The `gpu_index` of the whole system.
pub const SYSTEM: i32 = -1;

/// The power and energy of one GPU, or of the whole system.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Power {
    /// Number of rows with a power and a time.
    pub rows: usize,
    /// Integral of power over time, joules; 0 for fewer than two such rows.
    pub energy_j: f64,
    /// Mean power of the rows, watts; `None` without such rows.
    pub mean_w: Option<f64>,
}

/// Integrate power over time for each `gpu_index`.
///
/// The rows are sorted by time. Rows without a power or a time (null or NaN) are omitted, and the trapezoid between
/// their neighbours spans the gap. The arrays must have one length.
#[must_use]
pub fn per_gpu(
    timestamp_s: &Float64Array,
    gpu_index: &Int32Array,
    power_w: &Float32Array,
) -> BTreeMap<i32, Power> {
    let mut traces: BTreeMap<i32, Vec<(f64, f64)>> = BTreeMap::new();
    for ((time, gpu), power) in timestamp_s.values().iter().zip(gpu_index.values()).zip(power_w) {
        let trace = traces.entry(*gpu).or_default();
        if let Some(power) = power.filter(|power| !power.is_nan() && time.is_finite()) {
            trace.push((*time, power.into()));
        }
    }
    traces.into_iter().map(|(gpu, trace)| (gpu, integrate(trace))).collect()
}

/// Return the total: the whole system if it has a power, which includes its GPUs, else the sum over the GPUs.
#[must_use]
pub fn total(per_gpu: &BTreeMap<i32, Power>) -> Power {
    if let Some(&system) = per_gpu.get(&SYSTEM).filter(|system| system.rows > 0) {
        return system;
    }
    per_gpu.values().fold(Power::default(), |total, power| Power {
        rows: total.rows + power.rows,
        energy_j: total.energy_j + power.energy_j,
        mean_w: match (total.mean_w, power.mean_w) {
            (Some(total), Some(mean)) => Some(total + mean),
            (total, mean) => total.or(mean),
        },
    })
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
fn integrate(mut trace: Vec<(f64, f64)>) -> Power {
    trace.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let trapezoids = trace.windows(2).map(|pair| {
        let [(begin, at_begin), (end, at_end)] = [pair[0], pair[1]];
        (end - begin) * f64::midpoint(at_begin, at_end)
    });
    let energy_j = trapezoids.fold(0.0, |sum, joules| sum + joules);
    let sum = trace.iter().fold(0.0, |sum, (_, power)| sum + power);
    let mean_w = (!trace.is_empty()).then(|| sum / trace.len() as f64);
    Power { rows: trace.len(), energy_j, mean_w }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn powers(rows: &[(f64, i32, Option<f32>)]) -> BTreeMap<i32, Power> {
        let times: Float64Array = rows.iter().map(|row| Some(row.0)).collect();
        let gpus: Int32Array = rows.iter().map(|row| Some(row.1)).collect();
        let power: Float32Array = rows.iter().map(|row| row.2).collect();
        per_gpu(&times, &gpus, &power)
    }

    fn energy(rows: &[(f64, i32, Option<f32>)]) -> f64 {
        total(&powers(rows)).energy_j
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "sums of small integers are exact")]
    fn integrate_missing_samples_spans_the_gap() {
        assert_eq!(energy(&[(0.0, 0, Some(100.0)), (1.0, 0, Some(200.0)), (3.0, 0, Some(0.0))]), 350.0);
        assert_eq!(energy(&[(0.0, 0, Some(100.0)), (1.0, 0, None), (2.0, 0, Some(100.0))]), 200.0);
        assert_eq!(energy(&[(0.0, 0, Some(100.0)), (1.0, 0, Some(f32::NAN)), (2.0, 0, Some(100.0))]), 200.0);
        assert_eq!(energy(&[(2.0, 0, Some(100.0)), (0.0, 0, Some(100.0)), (f64::NAN, 0, Some(9.0))]), 200.0);
        assert_eq!(energy(&[(0.0, 0, Some(100.0)), (1.0, 0, None)]), 0.0);
        assert_eq!(energy(&[]), 0.0);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "sums of small integers are exact")]
    fn total_with_a_system_omits_its_gpus() {
        let gpus = [(0.0, 0, Some(10.0)), (1.0, 0, Some(10.0)), (0.0, 1, Some(5.0)), (1.0, 1, Some(5.0))];
        assert_eq!((energy(&gpus), total(&powers(&gpus)).mean_w), (15.0, Some(15.0)));
        let with_system = [&gpus[..], &[(0.0, SYSTEM, Some(40.0)), (1.0, SYSTEM, Some(40.0))]].concat();
        assert_eq!((energy(&with_system), total(&powers(&with_system)).mean_w), (40.0, Some(40.0)));
        let system_without_power =
            [&gpus[..], &[(0.0, SYSTEM, None), (1.0, SYSTEM, Some(f32::NAN))]].concat();
        assert_eq!((energy(&system_without_power), powers(&system_without_power).len()), (15.0, 3));
    }
}
