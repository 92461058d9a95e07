"""optimum-benchmark's `benchmark_report.json`, with the `benchmark_config.json` next to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._documents import only_document
from llenergymeasure.importers._imported import Imported, Item, Mapped
from llenergymeasure.importers._sniff import shape_of
from llenergymeasure.importers._source import KWH, Source, checked, exact, latency_stats

TITLE = "optimum-benchmark"

REPORT, CONFIG, BOTH = "benchmark_report.json", "benchmark_config.json", "benchmark.json"

_PARTS = ("latency", "energy", "memory", "throughput", "efficiency")
_PASSES = (("prefill", "decode"), ("generate",), ("forward",), ("call",))
"""The targets that together are one pass of inference, the first that the report has."""
_TARGETS = {name for names in _PASSES for name in names} | {"load", "load_model", "train", "per_token"}
_CONFIG_MARKS = {"backend", "launcher"}
_NO_CONFIG = f"there is no {CONFIG} next to the report: the model and the settings are unknown"
_ROUNDING = 1e-6
_MS = "1000"


def matches(path: Path) -> bool:
    """Return True for a report, a configuration, both in one file, or a directory with them."""
    shape = shape_of(path)
    if shape.kind == "directory":
        return (path / REPORT).is_file() and matches(path / REPORT)
    keys = {key.removeprefix("report.") for key in shape.keys}
    has_target = any(f"{target}.{part}" in keys for target in _TARGETS for part in _PARTS)
    return shape.kind == "json" and (has_target or shape.keys >= _CONFIG_MARKS)


def read(path: Path) -> Iterator[Item]:
    """Read the report, which is one result."""
    if path.is_dir():
        path /= REPORT
    record = only_document(path)
    if isinstance(record.get("report"), Mapping):
        yield _imported(dict(record["report"]), _mapping_of(record.get("config")))
        return
    if record.keys() >= _CONFIG_MARKS:
        raise NotImportableError(f"expected a report, got its configuration; import the {REPORT} next to it")
    beside = path.with_name(CONFIG)
    yield _imported(record, only_document(beside) if beside.is_file() else None)


def _mapping_of(value: object) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) else None


def _imported(report: dict[str, Any], given: dict[str, Any] | None) -> Imported:
    source = Source(report)
    warnings = [] if given is not None else [_NO_CONFIG]
    targets = _one_pass(report)
    _add_energy(source, report, targets)
    _add_seconds(source, report, targets)
    _add_tokens(source, report, targets, warnings)
    _add_latencies(source, report)
    config, rest = _configuration(source, given or {})
    environment = rest.get("environment")
    version = environment.get("optimum_benchmark_version") if isinstance(environment, Mapping) else None
    return Imported(
        fields=source.fields,
        config=config,
        rest={"report": report, "config": rest} if rest else {"report": report},
        version=version if isinstance(version, str) else None,
        mapping=source.mapping,
        warnings=warnings,
    )


def _one_pass(report: dict[str, Any]) -> tuple[str, ...]:
    for names in _PASSES:
        if all(isinstance(report.get(name), Mapping) for name in names):
            return names
    raise NotImportableError(
        f"expected the target {', '.join(names[0] for names in _PASSES)} in the report, got "
        f"{', '.join(map(str, list(report)[:5])) or 'none'}; import the report of an inference"
    )


def _part(report: dict[str, Any], target: str, name: str) -> Mapping[str, Any] | None:
    section = report.get(target)
    part = section.get(name) if isinstance(section, Mapping) else None
    return part if isinstance(part, Mapping) else None


def _number(report: dict[str, Any], target: str, part: str, key: str) -> float | None:
    section = _part(report, target, part)
    if part == "latency" and section is not None and (unit := section.get("unit", "s")) != "s":
        raise NotImportableError(
            f"expected seconds at {target}.latency, got {str(unit)[:20]!r}; report the version"
        )
    value = None if section is None else section.get(key)
    number: float | None = None if value is None else checked(f"{target}.{part}.{key}", value)
    return number


def _add_energy(source: Source, report: dict[str, Any], targets: tuple[str, ...]) -> None:
    """Set the energy of one pass: that of prefill and decode, which the tool separates by subtraction."""
    energies = [_number(report, target, "energy", "total") for target in targets]
    known = [energy for energy in energies if energy is not None]
    if len(known) < len(targets):
        return
    for target in targets:
        unit = (_part(report, target, "energy") or {}).get("unit", "kWh")
        if unit != "kWh":
            raise NotImportableError(
                f"expected kWh at {target}.energy, got {str(unit)[:20]!r}; report the version"
            )
    mapping = [Mapped(f"report.{target}.energy.total", "total_energy_j", KWH) for target in targets]
    source.put("total_energy_j", exact(known[0], KWH, known[1:]), *mapping)


def _add_seconds(source: Source, report: dict[str, Any], targets: tuple[str, ...]) -> None:
    """Set the time of one pass: energy and tokens are those of one pass, too."""
    means = [_number(report, target, "latency", "mean") for target in targets]
    known = [mean for mean in means if mean is not None]
    if len(known) == len(targets):
        mapping = [
            Mapped(f"report.{target}.latency.mean", "total_inference_time_sec", "sum") for target in targets
        ]
        source.put("total_inference_time_sec", exact(known[0], "1", known[1:]), *mapping)


def _add_tokens(
    source: Source, report: dict[str, Any], targets: tuple[str, ...], warnings: list[str]
) -> None:
    """Set the tokens of the decode: the product of its efficiency and energy, or throughput and time."""
    target = targets[-1]
    for rate, part, key in (("efficiency", "energy", "total"), ("throughput", "latency", "mean")):
        unit = str((_part(report, target, rate) or {}).get("unit", ""))
        value, amount = _number(report, target, rate, "value"), _number(report, target, part, key)
        if not value or not amount or value < 0 or amount < 0 or not unit.startswith("tokens"):
            continue
        product = value * amount
        if not math.isfinite(product):
            continue
        tokens = round(product)
        if abs(product - tokens) > _ROUNDING * max(tokens, 1):
            warnings.append(f"the report states {product!r} tokens: total_tokens is rounded")
        source.put(
            "total_tokens",
            tokens,
            Mapped(f"report.{target}.{rate}.value", "total_tokens", f"x {part}"),
        )
        return


def _add_latencies(source: Source, report: dict[str, Any]) -> None:
    """Set the latencies of the first token, which is that of the prefill, and of the following tokens."""
    stats: dict[str, Any] = {}
    for key, name in (("mean", "mean"), ("p50", "median"), ("p95", "p95"), ("p99", "p99")):
        for target, field in (("prefill", "ttft"), ("per_token", "itl")):
            if (seconds := _number(report, target, "latency", key)) is not None:
                stats[f"{field}_{name}_ms"] = exact(seconds, _MS)
                source.mapping.append(
                    Mapped(f"report.{target}.latency.{key}", f"latency_stats.{field}_{name}_ms", _MS)
                )
    for target, field in (("prefill", "ttft"), ("per_token", "itl")):
        if (count := _number(report, target, "latency", "count")) is not None:
            stats[f"{field}_samples"] = checked(f"{target}.latency.count", count, integer=True)
    if any(name.startswith("ttft") for name in stats):
        source.put("latency_stats", latency_stats({"ttft_samples": 0} | stats, 0))


def _configuration(source: Source, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configuration, with the backend's settings at its top, and what does not belong to it."""
    rest = dict(given)
    backend = rest.get("backend")
    config: dict[str, Any] = {}
    if isinstance(backend, Mapping):
        settings = dict(backend)
        del rest["backend"]
        if isinstance(model := settings.pop("model", None), str):
            config["model"] = model
            source.mapping.append(Mapped("config.backend.model", "effective_config.model"))
        if isinstance(name := settings.pop("name", None), str):
            source.put("backend", name, Mapped("config.backend.name", "backend"))
        if isinstance(version := settings.pop("version", None), str):
            source.put("backend_version", version, Mapped("config.backend.version", "backend_version"))
        config |= settings
        source.mapping += [Mapped(f"config.backend.{key}", f"effective_config.{key}") for key in settings]
    for key in ("name", "scenario", "benchmark", "launcher"):
        if rest.get(key) is not None:
            config[key] = rest.pop(key)
            source.mapping.append(Mapped(f"config.{key}", f"effective_config.{key}"))
    return config, rest
