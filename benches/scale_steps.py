"""The steps that `scale.py` measures: each prepares in its own process, and returns what to time."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "PEERS", "STEPS", "Step"]

COLUMNS = (
    "experiment_id",
    "measurement_config_hash",
    "backend",
    "total_tokens",
    "total_energy_j",
    "avg_tokens_per_second",
    "energy_breakdown.adjusted_j",
    "start_time",
)
LOADED = 2000
"""Results that `load_all` loads, at most."""
SHOWN = 50

About = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One operation.

    Attributes:
        prepare: A function that imports and opens what the operation needs, and returns it; the operation
            returns the number of results that its processor time is divided by.
        reads: The operation reads the tree: it is measured with cold caches, too.
        most: The number of results above which a peer takes too long.
        apart: The packages of a peer are in another environment.
    """

    prepare: Callable[[About], Callable[[], int]]
    reads: bool = True
    most: int | None = None
    apart: bool = False


def _store(about: About) -> Any:  # noqa: ANN401 - a store
    from llenergymeasure import ResultStore  # noqa: PLC0415 - imported by the process that measures

    warnings.simplefilter("ignore")
    return ResultStore(about["tree"])


def _save_many(about: About) -> Callable[[], int]:
    from tree import make_results  # noqa: PLC0415

    _store(about)
    from llenergymeasure import ResultStore  # noqa: PLC0415

    # The same results again: their validation is no part of a save.
    few = list(make_results(256, about["bytes"]))
    results = itertools.islice(itertools.cycle(few), about["size"])

    def act() -> int:
        return len(ResultStore(about["target"]).save_many(results))

    return act


def _save_one(about: About) -> Callable[[], int]:
    """Save one more result under the name that all others have."""
    from llenergymeasure.results.persistence import _find_collision_free_dir  # noqa: PLC0415
    from tree import NAME  # noqa: PLC0415

    base = Path(about["tree"], NAME)

    def act() -> int:
        _find_collision_free_dir(base).rmdir()
        return 1

    return act


def _scan(about: About) -> Callable[[], int]:
    store = _store(about)
    return lambda: sum(len(batch) for batch in store.scan(COLUMNS))


def _completed(about: About) -> Callable[[], int]:
    store = _store(about)
    return lambda: len(store.completed())


def _verify(about: About) -> Callable[[], int]:
    store = _store(about)
    return lambda: int(store.verify().complete)


def _clean(about: About) -> Callable[[], int]:
    store = _store(about)

    def act() -> int:
        store.clean(dry_run=True)
        return int(about["size"])

    return act


def _export(about: About) -> Callable[[], int]:
    store = _store(about)

    def act() -> int:
        return int(store.scan(COLUMNS).export(Path(about["target"]).with_suffix(".parquet")))

    return act


def _load(about: About) -> Callable[[], int]:
    store = _store(about)
    from llenergymeasure.results._load import no_garbage_collection  # noqa: PLC0415

    def act() -> int:
        with no_garbage_collection():
            return len(list(itertools.islice(store.iter_results(), LOADED)))

    return act


def _command(*arguments: str) -> Callable[[About], Callable[[], int]]:
    """Return the step that runs a command of the program."""

    def prepare(about: About) -> Callable[[], int]:
        from llenergymeasure.cli.app import app  # noqa: PLC0415
        from llenergymeasure.cli.terminal.stream import OUT  # noqa: PLC0415

        def run(directory: str) -> None:
            status = app([arguments[0], directory, *arguments[1:]], standalone_mode=False)
            OUT.flush()
            assert status in {0, 2}, status

        # Import what the command needs, by a run that fails.
        run(os.devnull)

        def act() -> int:
            run(about["tree"])
            return int(about["size"])

        return act

    return prepare


def _duckdb(about: About) -> Callable[[], int]:
    import duckdb  # noqa: PLC0415

    connection = duckdb.connect()
    connection.execute("set threads = 2")
    query = f"select {', '.join(COLUMNS)} from read_json('{about['tree']}/**/result.json')"  # noqa: S608 - a path of ours
    return lambda: int(connection.sql(query).to_arrow_table().num_rows)


def _pandas(about: About) -> Callable[[], int]:
    """Read eight columns with the loop that people write by hand."""
    import orjson  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    def act() -> int:
        rows = []
        for path in sorted(Path(about["tree"]).glob("**/result.json")):
            record = orjson.loads(path.read_bytes())
            rows.append(
                {
                    **{name: record[name] for name in COLUMNS if "." not in name},
                    "energy_breakdown.adjusted_j": (record.get("energy_breakdown") or {}).get("adjusted_j"),
                }
            )
        return len(pd.DataFrame(rows))

    return act


def _mlflow(about: About) -> Callable[[], int]:
    """Log each result as a run of MLflow in SQLite, and read all of them into a table."""
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    import mlflow  # noqa: PLC0415

    target = Path(about["target"])
    target.mkdir()
    mlflow.set_tracking_uri(f"sqlite:///{target}/mlflow.db")
    mlflow.set_experiment("scale")

    def act() -> int:
        for n in range(about["size"]):
            with mlflow.start_run():
                mlflow.log_params({"experiment_id": f"run-{n}", "backend": "vllm"})
                mlflow.log_metrics({"total_tokens": n, "total_energy_j": 1.5 * n})
        return len(mlflow.search_runs(max_results=about["size"]))

    return act


def _signac(about: About) -> Callable[[], int]:
    """Write each result as a job of signac, and read all of them into a table."""
    import signac  # noqa: PLC0415

    project = signac.init_project(about["target"])

    def act() -> int:
        for n in range(about["size"]):
            job = project.open_job({"experiment_id": f"run-{n}"})
            job.document = {"backend": "vllm", "total_tokens": n, "total_energy_j": 1.5 * n}
        return len(project.to_dataframe())

    return act


STEPS = {
    "scan": Step(_scan),
    "completed": Step(_completed),
    "ls limit": Step(_command("ls", "--limit", str(SHOWN))),
    "ls newest": Step(_command("ls", "--newest", str(SHOWN))),
    "summary": Step(_command("summary"), reads=False),
    "export": Step(_export, reads=False),
    "verify": Step(_verify, reads=False),
    "clean": Step(_clean, reads=False),
    "load_all": Step(_load, reads=False),
    "save one more": Step(_save_one, reads=False),
    "save_many": Step(_save_many, reads=False),
}
"""The operations of the store."""

PEERS = {
    "duckdb": Step(_duckdb, reads=False, most=100_000),
    "pandas loop": Step(_pandas, reads=False, most=100_000),
    "mlflow": Step(_mlflow, reads=False, most=1000, apart=True),
    "signac": Step(_signac, reads=False, most=10_000, apart=True),
}
"""Other tools, up to the number of results that they reach in minutes."""
