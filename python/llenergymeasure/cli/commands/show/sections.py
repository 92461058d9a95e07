"""The sections of `llem show`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llenergymeasure._format import (
    Unit,
    best_prefix,
    format_number,
    format_quantity,
    human_seconds,
    plural,
    prefixed,
    printable,
)
from llenergymeasure._store import quoted_key
from llenergymeasure.cli.commands.show.trace_plot import plot, total_power
from llenergymeasure.cli.terminal.numbers import format_numbers, unit_of
from llenergymeasure.cli.terminal.stream import OUT
from llenergymeasure.cli.terminal.table import Column, cell_width, fold, print_heading, print_table, spelled
from llenergymeasure.results._columns import IMPORTED_FROM

if TYPE_CHECKING:
    from llenergymeasure.domain._check import Implausibility
    from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
    from llenergymeasure.results.timeseries import Timeseries

Fact = tuple[str, str]

_JOULE, _WATT, _FLOP = Unit("J", "all"), Unit("W", "all"), Unit("FLOP", "all")
_INDENT = "  "
_PLOT_WIDTH = 78
"""Columns of the plot; a narrower terminal gets fewer."""
_MANY_ITEMS = 8
_UNKNOWN = "unknown"
_LONG = 300


def print_result(
    path: str,
    result: ExperimentResult,
    trace: Timeseries | None,
    notes: Sequence[str],
    implausible: Sequence[Implausibility],
) -> None:
    """Print a result to standard output, within the width of the terminal."""
    model = result.effective_config.get("model")
    version = f" {result.backend_version}" if result.backend_version else ""
    name = "unknown model" if model is None else model
    title = f"{name} on {result.backend}{version}"
    print_heading(printable(title))
    _paragraph(path, indent="")
    for noun, messages in (
        ("warning", [*result.measurement_warnings, *notes]),
        ("implausible number", [str(one) for one in implausible]),
    ):
        if messages:
            OUT.write("\n")
            print_heading(plural(len(messages), noun), style="bold yellow")
        for text in messages:
            _paragraph(text)
    for title, facts in (
        ("Measured", _measured(result)),
        ("Latency", _latency(result)),
        ("How", _how(result)),
        ("On", _machine(result)),
    ):
        _section(title, list(facts))
    if result.process_results:
        OUT.write("\n")
        print_heading("Processes")
        _processes(result.process_results)
    _trace_section(result, trace)
    origin = result.effective_config.get(IMPORTED_FROM)
    settings = {key: value for key, value in result.effective_config.items() if key != IMPORTED_FROM}
    _section("Configuration", list(_configuration(settings)))
    _section("Imported from", list(_origin(origin)))


def _section(title: str, facts: Sequence[Fact]) -> None:
    if not facts:
        return
    OUT.write("\n")
    print_heading(title)
    most = max(cell_width(name) for name, _ in facts)
    for name, text in facts:
        _paragraph(text, f"{name}{' ' * (most - cell_width(name))}  ")


def _paragraph(text: str, name: str = "", indent: str = _INDENT) -> None:
    """Print a text to the right of its name, wrapped on a terminal, and below the name on a narrow one."""
    text, lead = spelled(printable(text)), indent + name
    if OUT.width is None or cell_width(lead + text) <= OUT.width:
        OUT.write(f"{lead}{text}\n")
        return
    hanging = " " * cell_width(lead)
    if name and len(hanging) > OUT.width // 2:
        _paragraph(name.rstrip(), indent=indent)
        lead = hanging = indent * 2
    if len(hanging) > OUT.width // 2:
        lead = hanging = ""
    OUT.write(lead + f"\n{hanging}".join(fold(text, OUT.width - len(hanging))) + "\n")


def _measured(result: ExperimentResult) -> Iterator[Fact]:
    seconds = result.total_inference_time_sec
    yield "energy", format_quantity(result.total_energy_j, _JOULE)
    yield "energy per token", format_quantity(result.avg_energy_per_token_j, _JOULE)
    if result.total_energy_j:
        yield "tokens per joule", format_number(result.tokens_per_joule)
    if result.energy_adjusted_j is not None:
        yield "above idle", f"{format_quantity(result.energy_adjusted_j, _JOULE)}{_baseline(result)}"
    elif result.baseline_power_w is not None:
        yield "idle power", format_quantity(result.baseline_power_w, _WATT)
    devices = result.multi_gpu.energy_per_gpu_j if result.multi_gpu else result.energy_per_device_j or []
    if len(devices) > 1:
        power = best_prefix(devices, _JOULE)
        yield (
            "energy per GPU",
            f"{_items([format_number(value, power) for value in devices])} {prefixed(power, _JOULE)}",
        )
    yield "tokens", f"{result.total_tokens:,}"
    yield "throughput", f"{format_number(result.avg_tokens_per_second)} tokens/s"
    yield "inference time", _time(seconds)
    if seconds > 0:
        yield "mean power", format_quantity(result.total_energy_j / seconds, _WATT)
    if result.total_flops:
        rate = (
            f", {format_quantity(result.flops_per_second, Unit('FLOP/s', 'all'))}"
            if result.flops_per_second
            else ""
        )
        yield "operations", f"{format_quantity(result.total_flops, _FLOP)}{rate}"
    memory = result.extended_metrics.memory.peak_memory_mb if result.extended_metrics else 0.0
    if memory:
        yield "peak memory", f"{format_number(memory)} MiB"
    yield (
        "when",
        f"{result.start_time.isoformat(' ', 'seconds')} to {result.end_time.isoformat(' ', 'seconds')}",
    )


def _items(items: Sequence[str]) -> str:
    """Return a list on one line: all items, or the first ones and their number."""
    if len(items) <= _MANY_ITEMS:
        return ", ".join(items)
    return f"{', '.join(items[:3])}, ... ({len(items):,})"


def _baseline(result: ExperimentResult) -> str:
    if result.baseline_power_w is None:
        return ""
    method = result.energy_breakdown.baseline_method if result.energy_breakdown else None
    return f", the idle power being {format_quantity(result.baseline_power_w, _WATT)}" + (
        f" ({method})" if method else ""
    )


def _time(seconds: float) -> str:
    minute = 60
    if not 0 <= seconds < 1e9:  # noqa: PLR2004 - not a plausible duration
        return format_quantity(seconds, Unit("s"))
    exact = format_quantity(seconds, Unit("s", "small"))
    return f"{human_seconds(seconds)}, {exact}" if seconds >= minute else exact


def _latency(result: ExperimentResult) -> Iterator[Fact]:
    stats = result.latency_stats
    if stats is not None:
        yield (
            "first token",
            _distribution(
                stats.ttft_mean_ms,
                stats.ttft_median_ms,
                stats.ttft_p95_ms,
                stats.ttft_p99_ms,
                stats.ttft_samples,
            ),
        )
        if stats.itl_mean_ms is not None:
            yield (
                "between tokens",
                _distribution(
                    stats.itl_mean_ms,
                    stats.itl_median_ms,
                    stats.itl_p95_ms,
                    stats.itl_p99_ms,
                    stats.itl_samples,
                ),
            )
    extended = result.extended_metrics
    if extended is not None:
        if extended.tpot_ms is not None:
            yield "per output token", f"{format_number(extended.tpot_ms)} ms"
        request = extended.request_latency
        if request.e2e_latency_mean_ms is not None:
            yield (
                "whole requests",
                _distribution(
                    request.e2e_latency_mean_ms,
                    request.e2e_latency_median_ms,
                    request.e2e_latency_p95_ms,
                    request.e2e_latency_p99_ms,
                    request.e2e_latency_samples,
                ),
            )


def _distribution(
    mean: float | None, median: float | None, p95: float | None, p99: float | None, samples: int
) -> str:
    """Name the statistics that are known: an imported result may lack some, and the number of samples."""
    named = (("mean", mean), ("median", median), ("p95", p95), ("p99", p99))
    known = [(name, value) for name, value in named if value is not None and not math.isnan(value)]
    text = ", ".join(f"{name} {format_number(value)} ms" for name, value in known)
    return f"{text} ({plural(samples, 'sample')})" if samples or not text else text


def _how(result: ExperimentResult) -> Iterator[Fact]:
    window = result.steady_state_window
    within = "" if window is None else f", from {format_number(window[0])} s to {format_number(window[1])} s"
    yield "methodology", f"{result.measurement_methodology}{within}"
    warmup = result.warmup_result
    if warmup is not None:
        end = "converged" if warmup.converged else "did not converge"
        count, final, target = (
            warmup.iterations_completed,
            format_number(warmup.final_cv),
            format_number(warmup.target_cv),
        )
        yield "warm-up", f"{end} in {plural(count, 'iteration')}: variation {final}, target {target}"
    if result.thermal_throttle is not None:
        yield "throttling", _throttling(result.thermal_throttle)
    if result.aggregation is not None:
        yield "processes", f"{result.aggregation.num_processes:,}, {result.aggregation.method}"
    yield "experiment", result.experiment_id
    yield "configuration", f"hash {result.measurement_config_hash}"
    yield "note", result.reproducibility_notes


def _throttling(info: Any) -> str:  # noqa: ANN401 - a model whose flags are read by name
    hottest = (
        "" if info.max_temperature_c is None else f", at most {format_number(info.max_temperature_c)} °C"
    )
    if not info.detected:
        return f"none detected{hottest}"
    flags = ("thermal", "power", "sw_thermal", "hw_thermal", "hw_power")
    causes = ", ".join(name for name in flags if getattr(info, name)) or "of unknown cause"
    return f"{causes}, for {format_number(info.throttle_duration_sec)} s{hottest}"


def _machine(result: ExperimentResult) -> Iterator[Fact]:
    precision = result.effective_config.get("precision")
    if precision is not None:
        yield "precision", str(precision)
    snapshot = result.environment_snapshot
    if snapshot is None:
        return
    gpu, hardware = snapshot.hardware.gpu, snapshot.hardware
    capability = f", compute capability {gpu.compute_capability}" if gpu.compute_capability else ""
    memory = f"{format_number(gpu.vram_total_mb / 1024)} GiB"
    yield (
        "GPU",
        f"{gpu.name}, {memory}{capability}{', MIG' if gpu.mig_enabled else ''}",
    )
    if hardware.thermal.power_limit_w is not None:
        yield "power limit", format_quantity(hardware.thermal.power_limit_w, _WATT)
    yield "driver", f"{hardware.cuda.driver_version}, CUDA {snapshot.cuda_version or hardware.cuda.version}"
    yield (
        "CPU",
        f"{hardware.cpu.model or 'unknown'}, {hardware.cpu.platform}, governor {hardware.cpu.governor}",
    )
    if hardware.container.detected:
        yield "container", hardware.container.runtime or "of unknown kind"
    packages = plural(len(snapshot.installed_packages), "package")
    yield "software", f"llenergymeasure {snapshot.tool_version}, Python {snapshot.python_version}, {packages}"


def _processes(processes: Sequence[RawProcessResult]) -> None:
    def numbers(name: str, column: str, values: list[float]) -> Column:
        _, unit = unit_of(column)
        power = best_prefix(values, unit)
        return Column(
            name, format_numbers(values, power), "" if "/" in name else prefixed(power, unit), right=True
        )

    print_table(
        [
            Column("process", [str(process.process_index) for process in processes], right=True),
            Column(
                "GPU", [printable(f"{process.gpu_id} {process.gpu_name}") for process in processes], least=8
            ),
            numbers(
                "tokens", "total_tokens", [process.inference_metrics.total_tokens for process in processes]
            ),
            numbers(
                "energy", "total_energy_j", [process.energy_metrics.total_energy_j for process in processes]
            ),
            numbers("tokens/s", "", [process.inference_metrics.tokens_per_second for process in processes]),
            numbers(
                "peak memory",
                "peak_memory_mb",
                [process.compute_metrics.peak_memory_mb for process in processes],
            ),
            Column(
                "precision",
                [printable(process.compute_metrics.compute_precision) for process in processes],
                dropped=1,
            ),
        ]
    )
    for process in processes:
        if process.energy_measurement_warning:
            _paragraph(f"process {process.process_index}: {process.energy_measurement_warning}")


def _trace_section(result: ExperimentResult, trace: Timeseries | None) -> None:
    if trace is None:
        return
    OUT.write("\n")
    print_heading("Power")
    points = total_power(trace)
    energies = trace.energy_per_gpu_j
    if len(points) < 2:  # noqa: PLR2004 - a line has two ends
        OUT.write(f"{_INDENT}{plural(len(trace), 'row')}, too few with a power for a plot\n")
    else:
        width = min(OUT.width or _PLOT_WIDTH, _PLOT_WIDTH)
        OUT.write("".join(f"{line}\n" for line in plot(points, width, is_utf8=OUT.is_utf8)))
        powers = [power for _, power in points]
        whose = "of the whole system" if -1 in energies else f"of {plural(len(energies), 'GPU')}"
        mean, least, most = (_known(power, _WATT) for power in (trace.mean_power_w, min(powers), max(powers)))
        _paragraph(f"{plural(len(points), 'sample')} {whose}: mean {mean}, {least} to {most}")
    _paragraph(_energies(trace.energy_j, result.total_energy_j))
    known = [energy for energy in energies.values() if energy is not None]
    if len(energies) > 1 and known:
        power = best_prefix(known, _JOULE)
        each = _items(
            [
                f"{gpu}: {_UNKNOWN if energy is None else format_number(energy, power)}"
                for gpu, energy in sorted(energies.items())
            ]
        )
        _paragraph(f"by GPU, in {prefixed(power, _JOULE)}: {each}")


def _known(value: float | None, unit: Unit) -> str:
    return _UNKNOWN if value is None else format_quantity(value, unit)


def _energies(traced_j: float | None, recorded_j: float) -> str:
    """Return the energy of the trace next to that of the record."""
    recorded = format_quantity(recorded_j, _JOULE)
    text = f"energy by the trapezoid rule {_known(traced_j, _JOULE)}; recorded {recorded}"
    if traced_j is None or not recorded_j > 0:
        return text
    return f"{text} ({(traced_j / recorded_j - 1) * 100:+.2f} %)"


def _configuration(config: dict[str, Any], above: str = "") -> Iterator[Fact]:
    """Return the keys of a configuration, nested ones by their dotted names, without nulls."""
    for key, value in config.items():
        part = quoted_key(key)
        name = printable(f"{above}{part}")
        if isinstance(value, dict) and value:
            yield from _configuration(value, f"{above}{part}.")
        elif isinstance(value, list):
            yield name, _items([str(item) for item in value]) if value else "[]"
        elif value is not None:
            yield name, (str(value).lower() if isinstance(value, bool) else str(value))[:_LONG]


def _origin(origin: object) -> Iterator[Fact]:
    """Name the source of an imported result, and count the data that no field holds: it may be long."""
    facts = dict(_configuration(origin if isinstance(origin, dict) else {}))
    data = [name for name in facts if name.startswith("data.")]
    yield from ((name, text) for name, text in facts.items() if name not in data)
    if data:
        yield "data", f"{plural(len(data), 'value')} without a field of their own; --json prints them"


def duration(result: ExperimentResult) -> float | None:
    """Return the seconds from start to end; None if one of them has no zone."""
    try:
        return result.duration_sec
    except TypeError:
        return None
