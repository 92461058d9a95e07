"""One table of odd records: each is a result for every reader, or for none.

A case changes a record with all of its parts, and says what the readers answer: the values that they return,
or a part of the reason for which they refuse it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from llenergymeasure import ExperimentResult
from llenergymeasure.domain import environment, experiment, metrics
from support.results import make_result

LEVELS = 100_000
LISTS = "[" * LEVELS + "]" * LEVELS
OBJECTS = '{"a":' * LEVELS + "1" + "}" * LEVELS
LONGEST = "9" * 4299
NOON = datetime(2026, 2, 18, 12, tzinfo=timezone.utc)


class Odd(NamedTuple):
    """A changed record, and the answer of every reader."""

    content: Callable[[str], bytes]
    refused: str | None = None
    """A part of the reason; None if the record is a result."""
    values: dict[str, Any] = {}  # noqa: RUF012 - a table of constants
    """Values by the names of the columns."""


def good_result() -> ExperimentResult:
    """Return a result of one process with all of its parts."""
    snapshot = environment.EnvironmentSnapshot(
        hardware=environment.EnvironmentMetadata(
            gpu=environment.GPUEnvironment(name="A100", vram_total_mb=81920.0),
            cuda=environment.CUDAEnvironment(version="12.4", driver_version="550"),
            cpu=environment.CPUEnvironment(platform="Linux"),
            collected_at=NOON,
        ),
        python_version="3.11",
        installed_packages=["torch==2.0"],
        tool_version="0.1",
    )
    process = experiment.RawProcessResult(
        experiment_id="process",
        process_index=0,
        gpu_id=7,
        config_name="c",
        model_name="m",
        timestamps=experiment.Timestamps.from_times(NOON, NOON + timedelta(seconds=2)),
        inference_metrics=metrics.InferenceMetrics(
            total_tokens=11,
            input_tokens=5,
            output_tokens=6,
            inference_time_sec=2.0,
            tokens_per_second=5.5,
            latency_per_token_ms=1.0,
        ),
        energy_metrics=metrics.EnergyMetrics(total_energy_j=12.5, duration_sec=2.0),
        compute_metrics=metrics.ComputeMetrics(flops_total=1e9),
        per_request_latencies_ms=[0.5, 1.5],
    )
    warmup = metrics.WarmupResult(
        converged=True, final_cv=0.25, iterations_completed=3, target_cv=0.5, max_prompts=4
    )
    return make_result(
        environment_snapshot=snapshot,
        process_results=[process],
        warmup_result=warmup,
        steady_state_window=(0.5, 8.5),
        energy_breakdown=metrics.EnergyBreakdown(raw_j=250.5),
        measurement_warnings=["a warning"],
        effective_config={"model": "gpt2", "backend": "pytorch", "lr": 0.5},
    )


def field(old: str, new: str) -> Callable[[str], bytes]:
    """Replace a text of the record, which must occur."""

    def replace(good: str) -> bytes:
        assert old in good, old
        return good.replace(old, new, 1).encode()

    return replace


def config(value: str) -> Callable[[str], bytes]:
    """Add the key `x` to the configuration."""
    return field('"lr": 0.5', f'"lr": 0.5, "x": {value}')


def tokens(value: str) -> Callable[[str], bytes]:
    """Replace an integer."""
    return field('"total_tokens": 1000', f'"total_tokens": {value}')


def energy(value: str) -> Callable[[str], bytes]:
    """Replace a float."""
    return field('"total_energy_j": 250.5', f'"total_energy_j": {value}')


def start(value: str) -> Callable[[str], bytes]:
    """Replace a time."""
    return field('"start_time": "2026-02-18T14:30:00"', f'"start_time": {value}')


def _numbers() -> Iterator[tuple[str, Odd]]:
    for name, value in {
        "string": '"1000"',
        "bool": "true",
        "null": "null",
        "fraction": "1000.5",
        "list": "[1000]",
        "object": '{"a": 1}',
        "nan-string": '"NaN"',
        "large-float": "1e18",
        "underscore": '"1_000"',
    }.items():
        yield f"int-{name}", Odd(tokens(value), "total_tokens")
    yield "int-float", Odd(tokens("1000.0"), values={"total_tokens": 1000})
    yield "int-exponent", Odd(tokens("1e3"), values={"total_tokens": 1000})
    yield "int-minus-nought", Odd(tokens("-0"), values={"total_tokens": 0})
    yield "int-largest", Odd(tokens(f"{2**63 - 1}"), values={"total_tokens": 2**63 - 1})
    yield "int-nought-first", Odd(tokens("01000"), "not JSON")
    yield "int-hexadecimal", Odd(tokens("0x10"), "not JSON")
    yield "int-too-long", Odd(tokens(f"{LONGEST}9"), "more than 4299 digits")
    for name, value in {
        "string": '"250.5"',
        "bool": "false",
        "null": "null",
        "list": "[250.5]",
        "nan-lower": '"nan"',
        "inf": '"inf"',
        "plus-infinity": '"+Infinity"',
        "empty": '""',
    }.items():
        yield f"float-{name}", Odd(energy(value), "total_energy_j")
    yield "float-beyond-its-range", Odd(energy("1e400"), "1e400")
    yield "float-negative-beyond-its-range", Odd(energy("-1e400"), "1e400")
    yield "float-integer-beyond-its-range", Odd(energy("1" + "0" * 400), "total_energy_j")
    yield "float-underflow", Odd(energy("1e-400"), values={"total_energy_j": 0.0})
    yield "float-integer", Odd(energy("250"), values={"total_energy_j": 250.0})
    yield "float-inexact", Odd(energy(f"{2**53 + 1}"), values={"total_energy_j": 2.0**53})
    yield "float-beyond-64-bits", Odd(energy(f"{2**64 + 1}"), values={"total_energy_j": 2.0**64})
    yield (
        "float-many-digits",
        Odd(energy("0." + "1234567890" * 500), values={"total_energy_j": 0.12345678901234568}),
    )
    yield "float-nan", Odd(energy('"NaN"'), values={"total_energy_j": math.nan})
    yield "float-infinity", Odd(energy('"Infinity"'), values={"total_energy_j": math.inf})
    yield "float-negative-infinity", Odd(energy('"-Infinity"'), values={"total_energy_j": -math.inf})
    yield "float-bare-nan", Odd(energy("NaN"), "not JSON")
    yield "float-bare-infinity", Odd(energy("-Infinity"), "not JSON")
    yield "float-no-fraction", Odd(energy("250."), "not JSON")
    yield "float-no-integer", Odd(energy(".5"), "not JSON")
    yield "bool-integer", Odd(field('"converged": true', '"converged": 1'), "converged")
    yield "bool-string", Odd(field('"converged": true', '"converged": "true"'), "converged")
    yield "bool-null", Odd(field('"converged": true', '"converged": null'), "converged")


def _texts_and_times() -> Iterator[tuple[str, Odd]]:
    ident = '"experiment_id": "experiment-1"'
    for name, value in {"integer": "1", "bool": "true", "null": "null", "list": '["a"]'}.items():
        yield f"text-{name}", Odd(field(ident, f'"experiment_id": {value}'), "experiment_id")
    yield "text-empty", Odd(field(ident, '"experiment_id": ""'), values={"experiment_id": ""})
    yield "hash-empty", Odd(field("0123456789abcdef", ""), values={"measurement_config_hash": ""})
    yield "literal-unknown", Odd(field('"total",', '"totals",'), "measurement_methodology")
    yield "literal-other-case", Odd(field('"total",', '"Total",'), "measurement_methodology")
    yield (
        "literal-escaped",
        Odd(field('"total",', '"t\\u006ftal",'), values={"measurement_methodology": "total"}),
    )
    for name, value in {
        "epoch": "1700000000",
        "epoch-fraction": "1700000000.5",
        "epoch-string": '"1700000000"',
        "epoch-milliseconds": '"1700000000000"',
        "compact": '"20260218"',
        "null": "null",
        "bool": "true",
        "words": '"yesterday"',
        "year-0": '"0000-01-01T00:00:00"',
        "year-10000": '"10000-01-01T00:00:00"',
        "leap-second": '"2016-12-31T23:59:60Z"',
        "hour-24": '"2026-02-18T24:00:00"',
        "day-30-of-february": '"2026-02-30T00:00:00"',
        "week": '"2026-W08-3"',
        "offset-24-hours": '"2026-02-18T12:00:00+24:00"',
        "offset-of-hours": '"2026-02-18T12:00:00+01"',
        "space-after": '"2026-02-18T12:00:00 "',
    }.items():
        yield f"time-{name}", Odd(start(value), "start_time")
    for name, text, instant in [
        ("date", "2026-02-18", datetime(2026, 2, 18)),  # noqa: DTZ001
        ("minutes", "2026-02-18T12:00", datetime(2026, 2, 18, 12)),  # noqa: DTZ001
        ("space", "2026-02-18 12:00:00", datetime(2026, 2, 18, 12)),  # noqa: DTZ001
        ("nanoseconds", "2026-02-18T12:00:00.123456789", datetime(2026, 2, 18, 12, 0, 0, 123456)),  # noqa: DTZ001
        ("comma", "2026-02-18T12:00:00,5", datetime(2026, 2, 18, 12, 0, 0, 500000)),  # noqa: DTZ001
        ("year-1", "0001-01-01T00:00:00", datetime(1, 1, 1)),  # noqa: DTZ001
        ("year-9999", "9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
    ]:
        yield f"time-{name}", Odd(start(f'"{text}"'), values={"start_time": instant, "start_time.utc": None})
    for name, text in [("z", "2026-02-18t12:00:00z"), ("offset", "2026-02-18T13:30:00+0130")]:
        yield f"time-{name}", Odd(start(f'"{text}"'), values={"start_time.utc": NOON})
    for name, text in [
        ("before-year-1", "0001-01-01T00:00:00+14:00"),
        ("after-9999", "9999-12-31T23:00:00-12:00"),
    ]:
        yield f"time-utc-{name}", Odd(start(f'"{text}"'), values={"start_time.utc": None})


def _fields() -> Iterator[tuple[str, Odd]]:
    yield "unknown", Odd(field("{", '{"zz": 1,'), "zz")
    yield "unknown-in-snapshot", Odd(field('"hardware": {', '"hardware": {"zz": 1,'), "zz")
    yield "unknown-in-process", Odd(field('"gpu_id": 7', '"gpu_id": 7, "zz": 1'), "zz")
    yield "unknown-by-case", Odd(field('"total_energy_j"', '"Total_energy_j"'), "otal_energy_j")
    yield "missing", Odd(field('"total_tokens": 1000,', ""), "total_tokens")
    yield "missing-in-process", Odd(field('"gpu_id": 7,', ""), "gpu_id")
    yield "missing-in-snapshot", Odd(field('"name": "A100",', ""), "name")
    yield (
        "missing-hash",
        Odd(field('"measurement_config_hash": "0123456789abcdef",', ""), "measurement_config_hash"),
    )
    yield "missing-optional", Odd(field('"backend": "pytorch",', ""), values={"backend": "pytorch"})
    yield "missing-version", Odd(field('"schema_version": "2.0",', ""), values={"schema_version": "2.0"})
    for name, value in {
        "newer": '"3.0"',
        "number": "2.0",
        "null": "null",
        "padded": '"2.0 "',
        "list": '["2.0"]',
    }.items():
        yield (
            f"version-{name}",
            Odd(field('"schema_version": "2.0"', f'"schema_version": {value}'), "schema line"),
        )
    yield "null-in-process", Odd(field('"gpu_id": 7', '"gpu_id": null'), "gpu_id")
    yield (
        "null-list",
        Odd(
            field('"measurement_warnings": [', '"measurement_warnings": null, "zz": ['),
            "measurement_warnings",
        ),
    )
    yield (
        "null-next-to-null",
        Odd(field('"raw_j": 250.5', '"raw_j": 250.5, "adjusted_j": null'), "adjusted_j"),
    )
    yield "type-in-process", Odd(field('"gpu_id": 7', '"gpu_id": "7"'), "gpu_id")
    yield "type-in-list-of-process", Odd(field("1.5\n", '"1.5"\n'), "per_request_latencies_ms")
    yield (
        "type-in-snapshot",
        Odd(field('"vram_total_mb": 81920.0', '"vram_total_mb": "81920"'), "vram_total_mb"),
    )
    yield "time-in-snapshot", Odd(field("2026-02-18T12:00:00Z", "1771416000"), "collected_at")
    yield "text-in-list", Odd(field('"a warning"', "1"), "measurement_warnings")
    yield (
        "object-for-list",
        Odd(field('"process_results": [', '"process_results": {}, "zz": ['), "process_results"),
    )
    yield "list-for-object", Odd(field('"raw_j": 250.5', '"raw_j": [250.5]'), "raw_j")
    yield (
        "config-list",
        Odd(field('"effective_config": {', '"effective_config": [], "zz": {'), "effective_config"),
    )
    yield (
        "config-null",
        Odd(field('"effective_config": {', '"effective_config": null, "zz": {'), "effective_config"),
    )
    yield "pair-of-three", Odd(field("8.5\n", "8.5, 9.5\n"), "steady_state_window")
    yield "pair-of-one", Odd(field("    0.5,\n    8.5\n", "    0.5\n"), "steady_state_window")
    yield (
        "below-minimum",
        Odd(field('"thermal_floor_wait_s": 0.0', '"thermal_floor_wait_s": -0.5'), "thermal_floor_wait_s"),
    )
    yield (
        "nan-for-minimum",
        Odd(field('"thermal_floor_wait_s": 0.0', '"thermal_floor_wait_s": "NaN"'), "thermal_floor_wait_s"),
    )
    yield (
        "minimum-minus-nought",
        Odd(
            field('"thermal_floor_wait_s": 0.0', '"thermal_floor_wait_s": -0.0'),
            values={"warmup_result.thermal_floor_wait_s": 0.0},
        ),
    )
    yield (
        "other-order",
        Odd(
            lambda good: json.dumps(dict(reversed(json.loads(good).items()))).encode(),
            values={"total_tokens": 1000},
        ),
    )
    yield (
        "one-line",
        Odd(
            lambda good: json.dumps(json.loads(good), separators=(",", ":")).encode(),
            values={"total_tokens": 1000},
        ),
    )
    yield (
        "white-space",
        Odd(
            lambda good: b" \r\n\t" + good.encode().replace(b": ", b" \t: ") + b"\n \n",
            values={"total_tokens": 1000},
        ),
    )
    yield "key-escaped", Odd(field('"total_tokens"', '"total\\u005ftokens"'), values={"total_tokens": 1000})


def _structure() -> Iterator[tuple[str, Odd]]:
    yield "twice", Odd(tokens('7, "total_tokens": 1000'), "twice")
    yield "twice-the-same", Odd(tokens('1000, "total_tokens": 1000'), "twice")
    yield "twice-escaped", Odd(tokens('1000, "total\\u005ftokens": 1000'), "twice")
    yield "twice-version", Odd(field("{", '{"schema_version": "2.0",'), "twice")
    yield "twice-in-process", Odd(field('"gpu_id": 7', '"gpu_id": 7, "gpu_id": 7'), "twice")
    yield "twice-in-snapshot", Odd(field('"name": "A100"', '"name": "A100", "name": "A100"'), "twice")
    yield "twice-in-config", Odd(config('1, "x": 2'), "twice")
    yield "twice-below-config", Odd(config('{"a": {"b": 1, "b": 1}}'), "twice")
    yield "twice-in-list-of-config", Odd(config('[{"b": 1, "b": 1}]'), "twice")
    yield (
        "twice-in-json",
        Odd(field('"latency_measurements": null', '"latency_measurements": {"a": 1, "a": 1}'), "twice"),
    )
    yield "config-deepest", Odd(config("[" * 127 + "]" * 127))
    yield "config-too-deep", Odd(config("[" * 128 + "]" * 128), "128 levels")
    yield (
        "json-deepest",
        Odd(field('"latency_measurements": null', '"latency_measurements": ' + "[" * 128 + "]" * 128)),
    )
    yield (
        "json-too-deep",
        Odd(
            field('"latency_measurements": null', '"latency_measurements": ' + "[" * 129 + "]" * 129),
            "128 levels",
        ),
    )
    yield "config-lists", Odd(config(LISTS), "128 levels")
    yield "config-objects", Odd(config(OBJECTS), "128 levels")
    yield "field-lists", Odd(field('"raw_j": 250.5', f'"raw_j": {LISTS}'), "raw_j")
    yield "sidecar-lists", Odd(field('"timeseries": null', f'"timeseries": {LISTS}'), "timeseries")
    yield (
        "version-lists",
        Odd(field('"schema_version": "2.0"', f'"schema_version": {LISTS}'), "schema_version"),
    )
    yield "unknown-lists", Odd(field("{", f'{{"zz": {LISTS},'), "zz")
    yield "lists-open", Odd(lambda _: b"[" * LEVELS, "truncated")
    yield "lists", Odd(lambda _: LISTS.encode(), "JSON object")
    yield "objects-open", Odd(lambda _: b'{"a":' * LEVELS, "truncated")
    yield "objects", Odd(lambda _: OBJECTS.encode(), "unknown field a")
    yield "comment", Odd(field("{", "{ // a comment\n"), "not JSON")
    yield "comma", Odd(lambda good: good.rstrip().removesuffix("}").encode() + b",}", "not JSON")
    yield "two", Odd(lambda good: (good + good).encode(), "trailing")
    yield "text-after", Odd(lambda good: good.encode() + b" x", "trailing")
    yield "list", Odd(lambda good: f"[{good}]".encode(), "JSON object")
    yield "null", Odd(lambda _: b"null", "JSON object")
    yield "empty", Odd(lambda _: b"", "empty")
    yield "empty-object", Odd(lambda _: b"{}", "lacks")
    yield "truncated", Odd(lambda good: good[:-1].encode(), "truncated")
    yield "nul-at-the-end", Odd(lambda good: good.encode() + b"\0", "NUL")
    yield "nul-between", Odd(lambda good: good.encode().replace(b"{", b"{\0", 1), "not JSON")


def _configurations() -> Iterator[tuple[str, Odd]]:
    x = "effective_config.x"
    yield "config-beyond-64-bits", Odd(config(f"{2**64}"), values={x: 2**64})
    yield "config-longest-integer", Odd(config(LONGEST), values={x: int(LONGEST)})
    yield "config-longest-negative", Odd(config(f"-{LONGEST}"), values={x: -int(LONGEST)})
    yield "config-too-long-integer", Odd(config(f"{LONGEST}9"), "more than 4299 digits")
    yield "config-long-number", Odd(config("9" * 1_000_000), "more than 4299 digits")
    yield "config-beyond-its-range", Odd(config("1e400"), "1e400")
    yield "config-beyond-its-range-in-list", Odd(config("[[1, -1e400]]"), "1e400")
    yield "config-nan", Odd(config("NaN"), "not JSON")
    yield "config-nan-text", Odd(config('"NaN"'), values={x: "NaN"})
    yield "config-minus-nought", Odd(config('-0, "y": -0.0, "z": -0e-999'), values={x: 0})
    yield "config-long-key", Odd(config(f'1, "{"k" * 1_000_000}": 1'), values={x: 1})
    yield "high-surrogate", Odd(config('"\\ud800"'), "surrogate")
    yield "low-surrogate", Odd(config('"\\udc00x"'), "surrogate")
    yield "surrogate-key", Odd(config('1, "\\ud800": 1'), "surrogate")
    yield "surrogates-swapped", Odd(config('"\\udc00\\ud800"'), "surrogate")
    yield "surrogate-in-field", Odd(field('"A100"', '"\\ud800"'), "surrogate")
    yield "surrogate-pair", Odd(config('"\\ud83d\\ude00"'), values={x: "\U0001f600"})
    yield "nul-escape", Odd(config('"a\\u0000b"'), values={x: "a\0b"})
    yield "unknown-escape", Odd(config('"\\x41"'), "not JSON")
    yield "nul-in-string", Odd(lambda good: good.encode().replace(b"gpt2", b"gp\0t2"), "not JSON")
    yield "line-in-string", Odd(lambda good: good.encode().replace(b"gpt2", b"gp\nt2"), "not JSON")
    yield "delete-in-string", Odd(config('"\x7f"'), values={x: "\x7f"})
    yield "invalid-utf-8", Odd(lambda good: good.encode().replace(b"gpt2", b"gp\xff2"), "UTF-8")
    yield "overlong-utf-8", Odd(lambda good: good.encode().replace(b"gpt2", b"gp\xc0\x80"), "UTF-8")
    yield "surrogate-utf-8", Odd(lambda good: good.encode().replace(b"gpt2", b"gp\xed\xa0\x80"), "UTF-8")
    yield "mark", Odd(lambda good: b"\xef\xbb\xbf" + good.encode(), "byte order mark")
    yield "utf-16", Odd(lambda good: good.encode("utf-16"), "byte order mark")
    yield "utf-16-unmarked", Odd(lambda good: good.encode("utf-16-le"), "not")
    yield "utf-32", Odd(lambda good: good.encode("utf-32"), "byte order mark")


ODD: dict[str, Odd] = dict([*_numbers(), *_texts_and_times(), *_fields(), *_structure(), *_configurations()])
"""The table, by the names of the cases."""


def taken() -> set[str]:
    """Return the names of the records that are results."""
    return {name for name, odd in ODD.items() if odd.refused is None}
