"""`Scan.to_delta` appends each result to a Delta table once."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore, StorePath, _store
from llenergymeasure.errors import PersistenceError, ResultCorruptError
from llenergymeasure.results.scan import Scan
from support import servers
from support.locations import S3Location
from support.optional import load, needs
from support.results import make_result, make_results

deltalake = load("deltalake")
pytestmark = [needs("deltalake", "pyarrow"), pytest.mark.filterwarnings("default")]
PUBLISHER = Path(__file__).with_name("publisher.py")
PUBLISHERS = 4


def rows(table: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deltalake.DeltaTable(table).to_pyarrow_table().to_pylist()
    return found


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Return a store of three results."""
    store = ResultStore(tmp_path / "store")
    store.save_many(make_results(3), durable=False)
    return store


def test_append_again_adds_only_new_results(store: ResultStore, tmp_path: Path) -> None:
    table = tmp_path / "table"
    scan = store.scan(["experiment_id"])
    assert scan.to_delta(table) == 3
    assert scan.to_delta(table) == 0
    assert deltalake.DeltaTable(table).version() == 1
    path = store.save(make_result(experiment_id="later"), durable=False)
    assert scan.to_delta(table) == 1
    found = {row["path"]: row for row in rows(table)}
    assert sorted(row["experiment_id"] for row in found.values()) == [
        "experiment-0",
        "experiment-1",
        "experiment-2",
        "later",
    ]
    name = Path(str(path)).parent.name
    assert found[name]["record_sha256"] == hashlib.sha256(Path(str(path)).read_bytes()).hexdigest()


def test_append_changed_record_adds_another_row(store: ResultStore, tmp_path: Path) -> None:
    table, record = tmp_path / "table", next(Path(str(store.root)).glob("*/result.json"))
    store.scan(["path"]).to_delta(table)
    record.write_text(record.read_text().replace('"experiment-', '"other-'))
    assert store.scan(["path"]).to_delta(table) == 1
    assert len({row["record_sha256"] for row in rows(table) if row["path"] == record.parent.name}) == 2


def test_append_keeps_every_value(scan: Scan, tmp_path: Path, normal: Callable[..., Any]) -> None:
    scan = scan.derived([name for name in scan.schema.names if name != "effective_config.TP"])
    assert scan.to_delta(tmp_path) == 60
    expected = scan.to_pydict()
    table = deltalake.DeltaTable(tmp_path).to_pyarrow_table().to_pydict()
    kept = [table[name] for name in expected]
    assert normal(list(zip(*kept, strict=True))) == normal(list(zip(*expected.values(), strict=True)))
    fields = {
        field.name: str(field.type.to_json()) for field in deltalake.DeltaTable(tmp_path).schema().fields
    }
    assert fields["effective_config.large"] == '"decimal(20,0)"'
    assert fields["start_time"] == '"timestamp_ntz"'
    assert fields["start_time.utc"] == '"timestamp"'


def test_append_new_key_adds_a_column_and_integers_become_floats(tmp_path: Path) -> None:
    store, table = ResultStore(tmp_path / "store"), tmp_path / "table"
    store.save(make_result(effective_config={"model": "a", "lr": 0.5}), durable=False)
    store.scan(["effective_config"]).to_delta(table)
    other = ResultStore(tmp_path / "other")
    other.save(make_result(effective_config={"model": "b", "lr": 2, "new": True}), durable=False)
    assert other.scan(["effective_config"]).to_delta(table) == 1
    assert sorted((row["effective_config.lr"], row["effective_config.new"]) for row in rows(table)) == [
        (0.5, None),
        (2.0, True),
    ]


def test_append_column_of_another_type_raises_and_adds_nothing(tmp_path: Path) -> None:
    store, table = ResultStore(tmp_path / "store"), tmp_path / "table"
    store.save(make_result(effective_config={"model": "a", "x": 1}), durable=False)
    store.scan(["effective_config"]).to_delta(table)
    store.save(make_result(effective_config={"model": "a", "x": "text"}), durable=False)
    with pytest.raises(ValueError, match=r"effective_config\.x expects .* int64, got string; give its type"):
        store.scan(["effective_config"]).to_delta(table)
    assert len(rows(table)) == 1


def test_append_keys_that_differ_in_case_raises(scan: Scan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"effective_config\.TP and effective_config\.tp|tp and .*TP"):
        scan.to_delta(tmp_path / "table")
    assert not (tmp_path / "table").exists()


def test_append_invalid_record_raises_its_error_and_adds_nothing(store: ResultStore, tmp_path: Path) -> None:
    next(Path(str(store.root)).glob("*/result.json")).write_text("")
    with pytest.raises(ResultCorruptError, match="the file is empty"):
        store.scan(["path"]).to_delta(tmp_path / "table")
    assert not deltalake.DeltaTable.is_deltatable(str(tmp_path / "table")) or rows(tmp_path / "table") == []


def test_append_to_foreign_table_raises(store: ResultStore, tmp_path: Path) -> None:
    import pyarrow as pa

    deltalake.write_deltalake(tmp_path / "table", pa.table({"x": [1]}))
    with pytest.raises(ValueError, match="expects the columns path and record_sha256"):
        store.scan(["path"]).to_delta(tmp_path / "table")
    with pytest.raises(ValueError, match="mode expects 'append'"):
        store.scan(["path"]).to_delta(tmp_path / "table", mode="overwrite")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="power traces"):
        store.scan_timeseries().to_delta(tmp_path / "table")


def test_append_to_unreachable_bucket_hides_the_secret(store: ResultStore) -> None:
    options = {
        "endpoint": "http://127.0.0.1:9",
        "access_key_id": "id-of-user",
        "secret_access_key": "very-secret-value",
        "region": "us-east-1",
    }
    with pytest.raises(
        PersistenceError, match="cannot append to the Delta table 's3://bucket/table'"
    ) as raised:
        store.scan(["path"]).to_delta(StorePath("s3://bucket/table", options=options))
    assert "very-secret-value" not in f"{raised.value!s} {raised.value!r}"
    assert raised.value.__suppress_context__


@pytest.mark.skipif(not hasattr(_store, "ObjectStorage"), reason="this build has no object stores")
def test_append_to_bucket_takes_the_options_of_the_store_or_the_path(tmp_path: Path) -> None:
    with servers.moto(tmp_path) as server:
        location = S3Location(server)
        url = f"s3://{location.bucket}/table"
        store = location.store()
        store.save_many(make_results(3))
        assert [store.scan(["experiment_id"]).to_delta(url) for _ in range(2)] == [3, 0]
        local = ResultStore(tmp_path / "store")
        local.save(make_result(experiment_id="local"), durable=False)
        path = StorePath(url, options=location.options)
        assert [local.scan(["experiment_id"]).to_delta(path) for _ in range(2)] == [1, 0]


def start(root: Path, table: Path, times: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, *map(str, (PUBLISHER, root, table, times))]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_append_from_four_processes_adds_each_result_once(tmp_path: Path) -> None:
    store, table = ResultStore(tmp_path / "store"), tmp_path / "table"
    store.save_many(make_results(20), durable=False)
    running = [start(tmp_path / "store", table, 3) for _ in range(PUBLISHERS)]
    saved = 20
    while any(process.poll() is None for process in running):
        store.save(make_result(experiment_id=f"experiment-{saved}"), durable=False)
        saved += 1
        time.sleep(0.05)
    added = 0
    for process in running:
        output, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
        added += sum(map(int, output.split()))
    added += store.scan(["experiment_id", "total_energy_j", "effective_config"]).to_delta(table)
    check_once(table, saved)
    assert added == saved


def test_append_from_killed_processes_adds_each_result_once(tmp_path: Path) -> None:
    store, table = ResultStore(tmp_path / "store"), tmp_path / "table"
    rng = random.Random(7)
    running: list[subprocess.Popen[str]] = []
    saved = 0
    for _ in range(12):
        while len(running) < PUBLISHERS:
            running.append(start(tmp_path / "store", table, 1000))
        store.save_many(
            (make_result(experiment_id=f"experiment-{saved + i}") for i in range(5)), durable=False
        )
        saved += 5
        time.sleep(rng.uniform(0.2, 1.2))
        victim = running.pop(rng.randrange(PUBLISHERS))
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    for process in running:
        process.kill()
        process.communicate()
    store.scan(["experiment_id", "total_energy_j", "effective_config"]).to_delta(table)
    check_once(table, saved)


def check_once(table: Path, saved: int) -> None:
    ids = sorted(row["experiment_id"] for row in rows(table))
    assert ids == sorted(f"experiment-{number}" for number in range(saved))
