"""What users write, type-checked and never run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
from matplotlib.figure import Figure

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    LLEMError,
    PersistenceError,
    ResultStore,
    SaveInterrupted,
    SidecarError,
    StorePath,
    importers,
    load_result,
    plotting,
    save_result,
    save_results,
)
from llenergymeasure.domain.experiment import AggregatedResult, Timestamps, compute_measurement_config_hash
from llenergymeasure.domain.secrets import add_secret_keys
from llenergymeasure.results.scan import Scan
from llenergymeasure.results.store import StoredResult
from llenergymeasure.results.timeseries import Timeseries, read_timeseries, write_timeseries_parquet
from llenergymeasure.results.types import MissingSidecar, OnBadFile, OnError, TimeseriesSource


def construct(start: datetime) -> list[str]:
    result = ExperimentResult(
        experiment_id="run",
        measurement_methodology="total",
        total_tokens=1,
        total_energy_j=1.0,
        total_inference_time_sec=1.0,
        avg_tokens_per_second=1.0,
        avg_energy_per_token_j=1.0,
        total_flops=0.0,
        start_time=start,
        end_time=start,
        effective_config={"model": "m", "backend": "vllm"},
    )
    return [f"{finding.field} {finding.message}" for finding in result.check()]


def save(result: ExperimentResult, trace: Timeseries, table: pa.Table) -> list[Path]:
    store = ResultStore("results")
    return [
        result.save("results"),
        result.save(Path("results"), "trace.parquet", durable=False),
        result.save("results", Path("trace.parquet")),
        result.save("results", trace),
        save_result(result, "results", timeseries_source=table),
        store.save(result, trace, durable=True),
    ]


def save_many(results: Iterator[ExperimentResult], trace: Timeseries) -> list[Path]:
    store = ResultStore("results")
    counts: list[tuple[int, int | None]] = []
    try:
        return [
            *store.save_many(results, timeseries_sources=[trace, None, "x.parquet"], durable=False),
            *save_results(results, "results", progress=lambda done, total: counts.append((done, total))),
        ]
    except BulkSaveError as error:
        return list(error.saved.values()) if error.failed[0] else []
    except SaveInterrupted as interrupt:
        return [*interrupt.saved.values(), *interrupt.unconfirmed.values()]


async def write(results: list[ExperimentResult], trace: Timeseries) -> Path:
    failed: dict[str, Exception] = {}

    def note(result: ExperimentResult, error: Exception) -> None:
        failed[result.experiment_id] = error

    with ResultStore("results").writer(max_pending=10, on_error=note) as writer:
        futures: list[Future[Path]] = [writer.submit(result, trace) for result in results]
        writer.flush()
        return await asyncio.wrap_future(futures[0])


def in_object_store(result: ExperimentResult, error: PersistenceError) -> list[StorePath]:
    def provide() -> dict[str, str]:
        return {"access_key_id": "id", "secret_access_key": "key"}

    root = StorePath("s3://bucket/runs", options={"allow_http": True}, credential_provider=provide)
    store = ResultStore(root, options={"region": "eu-west-1"}, credential_provider=provide)
    saved = [
        store.save(result),
        result.save("s3://bucket/runs"),
        save_result(result, root),
        store.resolve(error),
    ]
    paths = [path for path in saved if isinstance(path, StorePath)]
    load_result(paths[0].parent)
    read_timeseries(store.load(paths[0]).save(root / "more"))
    state: bool | None = error.committed
    known = [error.url, error.status, error.request_id, error.save_id, state]
    return sorted(paths) if known else list(paths[0].parents)


def load(path: Path) -> ExperimentResult:
    loaded: AggregatedResult = ExperimentResult.from_json(path, missing_sidecar="ignore")
    loaded = load_result(str(path), missing_sidecar="raise")
    loaded = load_result(path.parent, missing_sidecar="error")
    return ResultStore(path.parent).load(path.name) if loaded.timeseries else loaded


def pass_on(
    store: ResultStore, source: TimeseriesSource, bad: OnBadFile, missing: MissingSidecar, unsaved: OnError
) -> None:
    for result in store.iter_results(missing_sidecar=missing):
        store.writer(on_error=unsaved).submit(result, source)
    store.scan(on_error=bad)


def trace(
    samples: list[dict[str, float]], result: ExperimentResult
) -> tuple[float, dict[int, float | None], list[str]]:
    path: Path = write_timeseries_parquet(samples, "trace.parquet", gpu_index=1, extra=["fan_pct"])
    read: Timeseries = read_timeseries(result.save("results", path).parent)
    watts: list[float | None] = read.power_w
    mean: float | None = read.mean_power_w
    energy: float | None = read.energy_j
    joules = (energy or 0.0) + (mean or 0.0) * read.duration_s + len(watts)
    return joules, read.energy_per_gpu_j, read.warnings


def scan(root: Path) -> list[str]:
    store = ResultStore(root)
    found = store.scan(
        ["path", "total_energy_j"],
        where=[("backend", "==", "vllm"), ("total_tokens", "in", [1, 2])],
        on_error="collect",
        progress=lambda done, _: done,
    )
    rows: int = sum(batch.num_rows for batch in found) + found.to_arrow().num_rows + len(found.to_pandas())
    power: Scan = store.scan_timeseries(["power_w"], where=[("power_w", ">", 0.5)], on_error="skip")
    written: int = found.export(root / "table.parquet")
    todo: list[dict[str, int]] = store.missing([{"batch": 1}])
    todo += store.missing([{"batch": 1}], 5, (3, 16), retry_failed=True)
    with store.measuring({"batch": 1}) as run:
        run.result = store.load("x")
    failed: list[str] = [one.run.message for one in store.failures(where=[("error", "==", "x")], newest=3)]
    todo += [{"batch": len(failed)}]
    spaces: list[SimpleNamespace] = store.missing([SimpleNamespace(batch=1)])
    loaded: list[ExperimentResult] = [*store.load_all(on_error="skip"), *store.iter_results()]
    stored: list[StoredResult] = [*store, store["name"]]
    errors: dict[Path, LLEMError] = found.errors
    assert rows + written + len(todo) + len(spaces) + len(loaded) + len(errors) + len(store.completed()) >= 0
    return [*power.schema.names, *(one.path.name for one in stored if one.timeseries().energy_j)]


def look_over(root: Path) -> list[Path]:
    store = ResultStore(root, follow_links=True)
    copying = store.copy_from(ResultStore("other"), where=[("backend", "==", "vllm")], durable=False)
    copied: dict[Path, Path] = copying.copied
    assert store.follow_links
    assert len(copied) + len(copying.skipped) + len(copying.failed) >= 0
    found = store.verify(deep=True, progress=lambda done, _: done)
    cleaning = store.clean(older_than="12h", dry_run=False)
    reason: str = store.durability.reason if store.durability == "none" else ""
    return [] if found.ok and not reason else [finding.path for finding in (*found.damaged, *cleaning.kept)]


def redact(result: ExperimentResult, results: Iterator[ExperimentResult]) -> list[str]:
    add_secret_keys("my_pin")
    store = ResultStore("results")
    save_results(results, store, redact=True)
    store.save_many(results, redact=True)
    store.copy_from("other", redact=True)
    with store.writer(redact=True) as writer, store.measuring({"batch": 1}, redact=True) as run:
        writer.submit(result, redact=False)
        run.result = result
    store.save_failure({"batch": 1}, RuntimeError("no"), redact=True)
    paths = [result.save(store, redact=True), save_result(result, store, redact=True), Path(store)]
    count: int = store.count(where=[("backend", "==", "vllm")])
    names = [os.fspath(stored) for stored in store]
    return [*map(os.fspath, paths), *names, *(finding.problem for finding in store.verify().secrets[:count])]


def draw(trace: Timeseries) -> list[bytes]:
    store = ResultStore("results")
    figures: list[Figure] = [
        plotting.plot_pareto(store),
        plotting.plot_pareto(store.scan(where=[("backend", "==", "vllm")], on_error="skip"), name="vllm"),
        plotting.plot_power(trace, name="one", recorded_j=250.5),
        plotting.plot_power("results/x"),
        *(plotting.plot_power(stored) for stored in store),
    ]
    return [plotting.render(figure, "svg") for figure in figures]


class Meter:
    def matches(self, path: Path) -> bool:
        return path.suffix == ".meter"

    def read(self, path: Path) -> Iterator[importers.Item]:
        yield importers.Imported(fields={"total_energy_j": 1.0}, config={"model": path.stem})
        yield importers.NotImported("expected a reading, got none; read again", line=2)


def import_files(path: Path) -> list[ExperimentResult]:
    meter: importers.Importer = Meter()
    built = [
        item.result
        for item in importers.records(path, importers.detect(path).name)
        if isinstance(item, importers.Built)
    ]
    return [
        *built,
        *importers.read(path, "vllm"),
        *(() if meter.matches(path) else importers.read(str(path))),
    ]


def handle(result: ExperimentResult) -> str | None:
    try:
        result.save("results")
    except SidecarError as error:
        return error.result_path
    except PersistenceError as error:
        os_error: OSError = error
        return str(os_error.filename) if error.committed else error.step
    except LLEMError:
        return compute_measurement_config_hash(result.effective_config)
    return None


def wrong(result: ExperimentResult, start: datetime) -> None:
    ExperimentResult(experiment_id="run", measurement_methodology="total")  # type: ignore[call-arg]
    Timestamps(start=start, end=start, duration_sec=1.0, duration_s=1.0)  # type: ignore[call-arg]
    result.save(42)  # type: ignore[arg-type]
    result.save("results", 42)  # type: ignore[arg-type]
    load_result("x", missing_sidecar="explode")  # type: ignore[arg-type]
    save_results(result, "results")  # type: ignore[arg-type]
    ResultStore("results").writer(on_error="explode")  # type: ignore[arg-type]
    ResultStore("results").scan(on_error="ignore")  # type: ignore[arg-type]
    ResultStore("results").load_all(on_error="collect")  # type: ignore[arg-type]
