"""The statistics that AIPerf and GenAI-Perf export: metrics with a unit, and the counters of each GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._documents import Document
from llenergymeasure.importers._imported import Imported, Mapped
from llenergymeasure.importers._source import Source, checked, exact, latency_stats, time_of

__all__ = ["Counter", "energy_of", "imported_run"]

_JOULES = {"mJ": "0.001", "J": "1", "kJ": "1000", "MJ": "1000000", "Wh": "3600", "kWh": "3600000"}
_MILLISECONDS = {"ns": "0.000001", "us": "0.001", "µs": "0.001", "ms": "1", "s": "1000", "sec": "1000"}
_SECONDS = {"ns": "0.000000001", "us": "0.000001", "µs": "0.000001", "ms": "0.001", "s": "1", "sec": "1"}
_ENERGIES = ("nvidia_energy_consumption", "amd_energy_consumption", "energy_consumption")
"""The names of the energy counter, of newer and older versions."""
_STATISTICS = (("avg", "mean"), ("p50", "median"), ("p95", "p95"), ("p99", "p99"))
_EXTREMES = (("min", "min"), ("max", "max"))
_FIRST_TOKEN = ("time_to_first_token", "ttft")
_BETWEEN_TOKENS = "inter_token_latency"
_REQUEST = "request_latency"
_PLACES = ("output", "cli_command", "artifact_dir", "artifact_directory", "profile_export_file", "verbose")
"""Parts of the input configuration that say where files go, and not what is measured."""
_ROUNDING = 1e-6
_NEAR = 10
"""An energy so many times that of the mean power, or so much less, is that of a counter that was reset."""


class Counter(NamedTuple):
    """The statistics of one GPU's energy counter.

    Attributes:
        place: Its keys, with dots.
        statistics: Its statistics, in `unit`; None of a GPU without a counter.
        unit: Its unit.
        power_w: The mean power of the GPU, if known.
    """

    place: str
    statistics: Mapping[str, Any] | None
    unit: str
    power_w: float | None = None


def imported_run(document: Document, counters: list[Counter], *, average_is_difference: bool) -> Imported:
    """Import the statistics of one run.

    Args:
        document: The exported object.
        counters: The energy counters of its GPUs.
        average_is_difference: True for the tool of which an average alone is the difference of a counter.
    """
    record = document.value
    source = Source(record)
    metrics = _metrics(record)
    warnings: list[str] = []
    _add_times(source, record)
    _add_duration(source, metrics)
    _add_tokens(source, metrics)
    _add_latencies(source, metrics)
    _add_energy(source, metrics, counters, warnings, average_is_difference=average_is_difference)
    config, rest = _configuration(source, record)
    if isinstance(identity := record.get("benchmark_id"), str):
        source.put("experiment_id", identity, Mapped("benchmark_id", "experiment_id"))
    version = record.get("aiperf_version") or record.get("schema_version")
    return Imported(
        fields=source.fields,
        config=config,
        rest=source.rest | rest,
        version=version if isinstance(version, str) else None,
        mapping=source.mapping,
        warnings=warnings,
        line=document.line,
    )


def _metrics(record: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the metrics by their names; the first version of AIPerf had them in `records`."""
    records = record.get("records")
    both = {**(records if isinstance(records, Mapping) else {}), **record}
    return {name: value for name, value in both.items() if isinstance(value, Mapping) and "unit" in value}


def _add_times(source: Source, record: dict[str, Any]) -> None:
    """Set start and end: those of the run, or those of the telemetry."""
    telemetry = record.get("telemetry_data")
    summary = telemetry.get("summary") if isinstance(telemetry, Mapping) else None
    for name in ("start_time", "end_time"):
        if record.get(name) is not None:
            source.put(name, time_of(name, record[name]), Mapped(name, name, "parsed"), moved=True)
        elif isinstance(summary, Mapping) and summary.get(name) is not None:
            key = f"telemetry_data.summary.{name}"
            source.put(name, time_of(key, summary[name]), Mapped(key, name, "parsed"))


def _add_duration(source: Source, metrics: dict[str, Mapping[str, Any]]) -> None:
    if (duration := metrics.get("benchmark_duration")) is not None:
        seconds = _converted("benchmark_duration", duration, "avg", _SECONDS)
        if seconds is not None:
            source.put(
                "total_inference_time_sec",
                seconds,
                Mapped("benchmark_duration.avg", "total_inference_time_sec"),
            )
        return
    count, rate = _average(metrics, "request_count"), _average(metrics, "request_throughput")
    if "start_time" not in source.fields and count and rate:
        source.put(
            "total_inference_time_sec",
            count / rate,
            Mapped("request_count.avg", "total_inference_time_sec", "count / throughput"),
        )


def _add_tokens(source: Source, metrics: dict[str, Mapping[str, Any]]) -> None:
    given = _total(metrics, "total_isl", "input_sequence_length", "num_input_token")
    made = _total(metrics, "total_osl", "output_sequence_length", "num_output_token")
    if made is None:
        made = _total(metrics, "total_output_tokens", "output_token_count")
    if given is not None and made is not None:
        source.put(
            "total_tokens",
            given[1] + made[1],
            Mapped(given[0], "total_tokens", "sum"),
            Mapped(made[0], "total_tokens", "sum"),
        )
    if (rate := _average(metrics, "total_token_throughput")) is not None:
        source.put(
            "avg_tokens_per_second", rate, Mapped("total_token_throughput.avg", "avg_tokens_per_second")
        )


def _total(metrics: dict[str, Mapping[str, Any]], total: str, *lengths: str) -> tuple[str, int] | None:
    """Return the key and the number of tokens: a total, a sum, or the mean times the number of requests."""
    if (number := _average(metrics, total)) is not None:
        return f"{total}.avg", checked(total, number, integer=True)
    for name in lengths:
        if name not in metrics:
            continue
        if (number := _statistic(name, metrics[name], "sum")) is not None:
            return f"{name}.sum", checked(name, number, integer=True)
        mean = _average(metrics, name)
        count = _statistic(name, metrics[name], "count") or _average(metrics, "request_count")
        if mean is None or count is None:
            continue
        product = mean * count
        if math.isfinite(product) and abs(product - round(product)) <= _ROUNDING * max(product, 1):
            return f"{name}.avg x count", round(product)
    return None


def _add_latencies(source: Source, metrics: dict[str, Mapping[str, Any]]) -> None:
    requests = _average(metrics, "request_count")
    stats: dict[str, Any] = {}
    first = next((name for name in _FIRST_TOKEN if name in metrics), None)
    if first is not None:
        _put(source, stats, metrics, first, "latency_stats.ttft", (*_STATISTICS, *_EXTREMES))
    between: dict[str, Any] = {}
    _put(source, between, metrics, _BETWEEN_TOKENS, "latency_stats.itl", _STATISTICS)
    if first is not None:
        samples = _samples(metrics, first, requests)
        between["itl_samples"] = _samples(metrics, _BETWEEN_TOKENS, None)
        source.put("latency_stats", latency_stats(stats | between, samples))
    whole: dict[str, Any] = {}
    _put(source, whole, metrics, _REQUEST, "extended_metrics.request_latency.e2e_latency", _STATISTICS)
    if whole:
        whole["e2e_latency_samples"] = _samples(metrics, _REQUEST, requests)
        source.put("extended_metrics.request_latency", whole)


def _put(  # noqa: PLR0913, PLR0917 - one row of a table
    source: Source,
    into: dict[str, Any],
    metrics: dict[str, Mapping[str, Any]],
    name: str,
    field: str,
    statistics: tuple[tuple[str, str], ...],
) -> None:
    metric = metrics.get(name)
    if metric is None:
        return
    prefix = field.rpartition(".")[2]
    for key, suffix in statistics:
        value = _converted(name, metric, key, _MILLISECONDS)
        if value is not None:
            into[f"{prefix}_{suffix}_ms"] = value
            factor = _MILLISECONDS[str(metric["unit"])]
            source.mapping.append(
                Mapped(f"{name}.{key}", f"{field}_{suffix}_ms", "" if factor == "1" else factor)
            )


def _samples(metrics: dict[str, Mapping[str, Any]], name: str, otherwise: float | None) -> int:
    count = _statistic(name, metrics[name], "count") if name in metrics else None
    return int(count if count is not None else otherwise or 0)


def _add_energy(
    source: Source,
    metrics: dict[str, Mapping[str, Any]],
    counters: list[Counter],
    warnings: list[str],
    *,
    average_is_difference: bool,
) -> None:
    """Set the energy: the tool's own total, or the sum over the counters of all GPUs."""
    seconds = _seconds(source)
    energies = [
        energy_of(counter, seconds, average_is_difference=average_is_difference) for counter in counters
    ]
    known = [energy for energy in energies if energy is not None]
    if counters and len(known) == len(counters):
        source.put("energy_per_device_j", known)
    elif counters:
        warnings.append(
            f"the energy of {len(counters) - len(known)} of {len(counters)} GPUs is unknown: they have no "
            "counter, one with only the mean of its readings, or one that their mean power contradicts"
        )
    if (total := metrics.get("total_gpu_energy")) is not None:
        energy = _converted("total_gpu_energy", total, "avg", _JOULES)
        if energy is not None:
            source.put("total_energy_j", energy, Mapped("total_gpu_energy.avg", "total_energy_j"))
            return
    if counters and len(known) == len(counters):
        mapping = [Mapped(each.place, "total_energy_j", _way(each)) for each in counters]
        # fsum rounds once.
        source.put("total_energy_j", math.fsum(known), *mapping)


def _way(counter: Counter) -> str:
    factor = "" if _JOULES[counter.unit] == "1" else f" x {_JOULES[counter.unit]}"
    return ("max - min" if _is_running(counter) else "difference") + factor


def _is_running(counter: Counter) -> bool:
    low, high = (_statistic(counter.place, counter.statistics or {}, name) for name in ("min", "max"))
    return low is not None and high is not None and low != high


def energy_of(counter: Counter, seconds: float | None, *, average_is_difference: bool) -> float | None:
    """Return the energy that a counter counted, in joules; None if its statistics do not tell.

    A counter with a least and a greatest reading is a running one: its energy is their difference. Newer
    versions of AIPerf export the difference itself, as an average without any other statistic. A single
    reading looks like neither, unless the mean power confirms that it is a difference.
    """
    place, statistics = counter.place, counter.statistics
    if statistics is None:
        return None
    if counter.unit not in _JOULES:
        raise NotImportableError(
            f"expected a unit of energy at {place}, got {counter.unit[:20]!r}; one of {', '.join(_JOULES)}"
        )
    factor = _JOULES[counter.unit]
    average, low, high = (_statistic(place, statistics, name) for name in ("avg", "min", "max"))
    expected = counter.power_w * seconds if counter.power_w and seconds else None
    if low is not None and high is not None and low != high:
        energy = exact(high, factor, [f"-{low!r}"])
        return energy if low >= 0 and _is_near(energy, expected, _NEAR) else None
    if average is None:
        return None
    energy = exact(average, factor)
    if low is None and high is None and average_is_difference:
        return energy if energy >= 0 and _is_near(energy, expected, _NEAR) else None
    return energy if expected is not None and _is_near(energy, expected, 2) else None


def _is_near(energy: float, expected: float | None, factor: float) -> bool:
    """Return True if an energy is at most so many times the expected one, or so much less; or none is."""
    return expected is None or expected / factor <= energy <= expected * factor


def _seconds(source: Source) -> float | None:
    seconds = source.fields.get("total_inference_time_sec")
    start, end = source.fields.get("start_time"), source.fields.get("end_time")
    if seconds is None and start is not None and end is not None:
        try:
            return float((end - start).total_seconds())
        except TypeError:  # one with a zone and one without
            return None
    return seconds


def _configuration(source: Source, record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configuration, and the parts of the input configuration that do not belong to it."""
    given = record.get("input_config")
    if not isinstance(given, Mapping):
        return {}, {}
    config: dict[str, Any] = {}
    left = {name: value for name, value in given.items() if name in _PLACES}
    model = _model(given)
    if model is not None:
        config["model"] = model[1]
        source.mapping.append(Mapped(f"input_config.{model[0]}", "effective_config.model"))
    for name, value in given.items():
        if name in left:
            continue
        if name in config or value is None:
            left[name] = value
            continue
        config[name] = value
        source.mapping.append(Mapped(f"input_config.{name}", f"effective_config.{name}"))
    endpoint = given.get("endpoint")
    backend = given.get("backend") or (endpoint.get("backend") if isinstance(endpoint, Mapping) else None)
    if isinstance(backend, str):
        source.put("backend", backend, Mapped("input_config.backend", "backend"))
    source.use("input_config")
    return config, {"input_config": left} if left else {}


def _model(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the key and the name of the model, or of several; each version has another key."""
    endpoint = config.get("endpoint")
    models = config.get("models")
    candidates: tuple[tuple[str, Any], ...] = (
        ("endpoint.model_names", endpoint.get("model_names") if isinstance(endpoint, Mapping) else None),
        ("model_names", config.get("model_names")),
        ("models.items", models.get("items") if isinstance(models, Mapping) else models),
        ("model", config.get("model")),
    )
    for key, value in candidates:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names:
            continue
        texts = [each.get("name") if isinstance(each, Mapping) else each for each in names]
        known = [text for text in texts if isinstance(text, str)]
        if len(known) == len(texts):
            return key, ",".join(known)
    return None


def _average(metrics: dict[str, Mapping[str, Any]], name: str) -> float | None:
    return _statistic(name, metrics[name], "avg") if name in metrics else None


def _statistic(name: str, metric: Mapping[str, Any], key: str) -> float | None:
    """Return a statistic; old versions wrote some as text."""
    value = metric.get(key)
    if isinstance(value, str):
        return exact(value)
    number: float | None = None if value is None else checked(f"{name}.{key}", value)
    return number


def _converted(name: str, metric: Mapping[str, Any], key: str, factors: dict[str, str]) -> float | None:
    value = _statistic(name, metric, key)
    if value is None:
        return None
    unit = str(metric["unit"])
    if unit not in factors:
        raise NotImportableError(
            f"expected a unit at {name}, one of {', '.join(factors)}, got {unit[:20]!r}; report the version"
        )
    return value if factors[unit] == "1" else exact(value, factors[unit])


def energy_counters(gpu: Mapping[str, Any], place: str) -> Iterator[Counter]:
    """Yield the energy counter of a GPU of AIPerf's telemetry."""
    metrics = gpu.get("metrics")
    if not isinstance(metrics, Mapping):
        return
    power = next(
        (
            _statistic(name, metric, "avg")
            for name, metric in metrics.items()
            if "power_usage" in name and isinstance(metric, Mapping)
        ),
        None,
    )
    for name in _ENERGIES:
        metric = metrics.get(name)
        if isinstance(metric, Mapping):
            yield Counter(f"{place}.metrics.{name}", metric, str(metric.get("unit", "")), power)
            return
    yield Counter(place, None, "", power)
