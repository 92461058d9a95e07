"""Scans next to processes that save, in threads, and in forks.

Run as a script with the name of a function of this module, and a root.
"""

from __future__ import annotations

import gc
import mmap
import os
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries
from support.processes import HANG, fork, join
from support.results import make_result

SAVERS = 8
SAVES = 60
MOST = 300
READINGS = 12


def make(number: int) -> ExperimentResult:
    """Return a result whose fields all follow from its number."""
    return make_result(
        experiment_id=f"race-{number}",
        total_tokens=number,
        total_energy_j=number / 8,
        energy_per_device_j=[float(number)] * (number % 7),
        effective_config={
            "model": f"org/m{number % 3}",
            "n": number,
            "padding": f"{number:08}" * (number % 900),
        },
    )


def check(columns: dict[str, list[Any]]) -> dict[str, int]:
    """Check that the columns of each row belong to one result; return the numbers of the results by path."""
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


def scan_next_to_savers(root: Path) -> None:
    """Scan repeatedly while eight processes save; no row is torn, lost or withdrawn."""
    counts = mmap.mmap(-1, 8 * (SAVERS + 1))  # the saves of each process; the last number stops all
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


def plant(root: Path, count: int) -> None:
    for number in range(count):
        place = root / f"{number % 10}" / f"{number:04}"
        place.mkdir(parents=True)
        (place / "result.json").write_text(make(number).model_dump_json())


def scan_in_a_fork(root: Path) -> None:
    """Scan in a child, with an inherited scan and a new one, during a scan of the parent."""
    plant(root, 1500)
    scan = ResultStore(root).scan(["path", "effective_config.n"], batch_size=10)
    rows = iter(scan)
    seen = len(next(rows))

    def child() -> None:
        assert len(scan.to_pydict()["path"]) == 1500
        assert len(ResultStore(root).scan().to_pydict()["path"]) == 1500

    for _ in range(3):
        join(fork(child))
    assert seen + sum(map(len, rows)) == 1500


def use_a_reader_in_a_fork(root: Path) -> None:
    """Read an inherited reader in a child, which raises, and continue in the parent."""
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
        join(fork(what))
        seen += len(next(rows))
    assert seen + sum(map(len, rows)) == 1500


def scan_in_threads(root: Path) -> None:
    """Share a scan between threads, which each read all of it, while one thread saves."""
    plant(root, 1000)
    shared = ResultStore(root).scan(["path", "effective_config"], batch_size=16)
    counts: list[int] = []
    failures: list[BaseException] = []

    def read(*, own: bool) -> None:
        try:
            scan = ResultStore(root).scan() if own else shared
            counts.extend(sum(map(len, scan)) for _ in range(3))
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            failures.append(error)

    threads = [threading.Thread(target=read, kwargs={"own": n % 2 == 0}) for n in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1000, 1100):
        ResultStore(root).save(make(number), durable=False)
    for thread in threads:
        thread.join(HANG)
    assert failures == []
    assert len(counts) == 12
    assert min(counts) >= 1000
    assert max(counts) <= 1100


def share_a_reader(root: Path) -> None:
    """Share a reader between two threads; each row comes once, and a simultaneous call raises."""
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
        thread.join(HANG)
    assert sorted(paths) == sorted(f"{n % 10}/{n:04}" for n in range(1000)), len(paths)
    assert set(refused) <= {"generator already executing"}, set(refused)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
