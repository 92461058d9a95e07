"""What users write, type-checked and never run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from llenergymeasure import (
    ExperimentResult,
    LLEMError,
    PersistenceError,
    ResultStore,
    SidecarError,
    load_result,
    save_result,
)
from llenergymeasure.domain.experiment import AggregatedResult, compute_measurement_config_hash
from llenergymeasure.results.timeseries import Timeseries


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


def load(path: Path) -> ExperimentResult:
    loaded: AggregatedResult = ExperimentResult.from_json(path, missing_sidecar="ignore")
    loaded = load_result(str(path), missing_sidecar="error")
    return ResultStore(path.parent).load(path.name) if loaded.timeseries else loaded


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


def wrong(result: ExperimentResult) -> None:
    result.save(42)  # type: ignore[arg-type]
    result.save("results", 42)  # type: ignore[arg-type]
    load_result("x", missing_sidecar="explode")  # type: ignore[arg-type]
