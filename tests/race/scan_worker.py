"""A scan beside processes that save, threads that scan, and forks.

Run as a script: what to do, and a directory.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries

SAVERS = 8
SAVES = 60
MOST = 300
READINGS = 12
PATIENCE = 200


def make(number: int) -> ExperimentResult:
    """Make a result whose fields tell whether they belong together."""
    now = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
    return ExperimentResult(
        experiment_id=f"race-{number}",
        measurement_config_hash="0123456789abcdef",
        measurement_methodology="total",
        total_tokens=number,
        total_energy_j=number / 8,
        total_inference_time_sec=3.25,
        avg_tokens_per_second=307.7,
        avg_energy_per_token_j=0.0125,
        total_flops=0.0,
        energy_per_device_j=[float(number)] * (number % 7),
        start_time=now,
        end_time=now,
        effective_config={
            "model": f"org/m{number % 3}",
            "n": number,
            "padding": f"{number:08}" * (number % 900),
        },
    )


def check(columns: dict[str, list[Any]]) -> dict[str, int]:
    """Check that each row is one result's; return their numbers by their paths."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for row in rows:
        expected = make(row["total_tokens"])
        got = (row["experiment_id"], row["total_energy_j"], row["energy_per_device_j"])
        assert got == (expected.experiment_id, expected.total_energy_j, expected.energy_per_device_j), row
        config = {key: row[f"effective_config.{key}"] for key in expected.effective_config}
        assert config == expected.effective_config, row
        assert row["has_timeseries"] == (row["total_tokens"] % 2 == 1), row
        assert row["timeseries"] == ("timeseries.parquet" if row["has_timeseries"] else None), row
    found = {row["path"]: row["total_tokens"] for row in rows}
    assert len(found) == len(rows)
    assert list(found) == sorted(found, key=lambda path: path.split("/"))
    return found


def scan_beside_savers(root: Path) -> None:
    """Scan again and again while eight processes save; nothing is torn, lost or taken back."""
    counts = mmap.mmap(-1, 8 * (SAVERS + 1))  # of what each has saved; the last says that it is enough
    root.mkdir()

    def save(which: int) -> None:
        trace = Timeseries(timestamp_s=[0.5], gpu_index=[0], power_w=[250.0])
        store = ResultStore(root / f"deep-{which}" / "er" if which % 2 else root)
        for number in range(MOST):
            if number >= SAVES and counts[-1]:
                return
            mine = which * MOST + number
            store.save(make(mine), trace if mine % 2 else None, durable=False)
            struct.pack_into("q", counts, 8 * which, number + 1)

    children = [fork(save, which) for which in range(SAVERS)]
    names = ["path", "experiment_id", "total_tokens", "total_energy_j", "energy_per_device_j"]
    names += [
        "has_timeseries",
        "timeseries",
        *(f"effective_config.{key}" for key in ("model", "n", "padding")),
    ]
    found: dict[str, int] = {}
    readings = 0
    while children:
        pid, status = os.waitpid(children[0], os.WNOHANG)
        if pid:
            assert status == 0, f"a saver ended with status {status}"
            children.pop(0)
        saved = sum(struct.unpack(f"{SAVERS}q", counts[:-8]))
        columns = None if readings % 2 else names
        scan = ResultStore(root).scan(columns, batch_size=(7, 4096)[readings % 2])
        now = {name: values for name, values in scan.to_pydict().items() if name in names}
        if saved:
            news = check({name: now[name] for name in names})
            assert len(news) >= saved, (len(news), saved)
            assert found.items() <= news.items()
            found = news
        readings += 1
        if readings == READINGS:
            counts[-1] = 1
    each = struct.unpack(f"{SAVERS}q", counts[:-8])
    assert min(each) >= SAVES, each
    expected = [which * MOST + number for which in range(SAVERS) for number in range(each[which])]
    assert sorted(found.values()) == expected, len(found)


def fork(what: Callable[..., object], *arguments: Any) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(PATIENCE)
            what(*arguments)
            status = 0
        except BaseException as error:  # noqa: BLE001 - a child tells all
            sys.stderr.write(f"{error!r}\n")
            sys.stderr.flush()
        finally:
            os._exit(status)
    return child


def wait(child: int) -> None:
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with status {status}"


def plant(root: Path, count: int) -> None:
    for number in range(count):
        place = root / f"{number % 10}" / f"{number:04}"
        place.mkdir(parents=True)
        (place / "result.json").write_text(make(number).model_dump_json())


def scan_in_a_fork(root: Path) -> None:
    """A child scans, with the scan that it inherits and with its own, while its parent is at one."""
    plant(root, 1500)
    scan = ResultStore(root).scan(["path", "effective_config.n"], batch_size=10)
    rows = iter(scan)
    seen = len(next(rows))

    def child() -> None:
        assert len(scan.to_pydict()["path"]) == 1500
        assert len(ResultStore(root).scan().to_pydict()["path"]) == 1500

    for _ in range(3):
        wait(fork(child))
    assert seen + sum(map(len, rows)) == 1500


def use_a_reader_in_a_fork(root: Path) -> None:
    """A reading that a child inherits is an error there, however it ends, and goes on in the parent."""
    plant(root, 1500)
    scan = ResultStore(root).scan(["path"], batch_size=10)
    rows: Any = iter(scan)
    seen = len(next(rows))

    def read() -> None:
        with pytest.raises(RuntimeError, match="another process"):
            next(rows)

    def close() -> None:
        rows.close()
        gc.collect()

    def leave() -> None:
        pass

    for what in (read, close, leave):
        wait(fork(what))
        seen += len(next(rows))
    assert seen + sum(map(len, rows)) == 1500


def scan_in_threads(root: Path) -> None:
    """Threads that share a scan each read all of it; beside them one saves."""
    plant(root, 1000)
    shared = ResultStore(root).scan(["path", "effective_config"], batch_size=16)
    counts: list[int] = []
    trouble: list[BaseException] = []

    def read(*, own: bool) -> None:
        try:
            scan = ResultStore(root).scan() if own else shared
            counts.extend(sum(map(len, scan)) for _ in range(3))
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            trouble.append(error)

    threads = [threading.Thread(target=read, kwargs={"own": n % 2 == 0}) for n in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1000, 1100):
        ResultStore(root).save(make(number), durable=False)
    for thread in threads:
        thread.join(PATIENCE)
    assert trouble == []
    assert len(counts) == 12
    assert min(counts) >= 1000
    assert max(counts) <= 1100


def share_a_reader(root: Path) -> None:
    """Two threads at one reading get each row once, or are told that the other is at it."""
    plant(root, 1000)
    rows = iter(ResultStore(root).scan(["path"], batch_size=4))
    paths: list[str] = []
    refused: list[str] = []

    def read() -> None:
        over = False
        while not over:
            over = step()

    def step() -> bool:
        try:
            paths.extend(next(rows).to_pydict()["path"])
        except StopIteration:
            return True
        except (RuntimeError, ValueError) as error:
            refused.append(str(error))
        return False

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(paths) == sorted(f"{n % 10}/{n:04}" for n in range(1000)), len(paths)
    assert set(refused) <= {"generator already executing"}, set(refused)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
