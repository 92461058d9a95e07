"""Fixtures of disks that a test freezes at an instant, and of saves to them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries
from support.disks import first_line, run_tool
from support.power import KINDS, Lab, Ledger, ignore_signals, interrupt, unmount


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return a lab, where the tests run as root with loop devices and xfs."""
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root on Linux can mount disks")
    for tool in ("mount", "umount", "mkfs.xfs"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with contextlib.ExitStack() as signals, contextlib.ExitStack() as undo:
        signals.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, interrupt))
        base = tmp_path_factory.mktemp("lab")
        memory, home = base / "memory", base / "home"
        try:
            memory.mkdir()
            undo.callback(unmount, memory)
            run_tool("mount", "-t", "tmpfs", "-o", "size=75%", "none", memory)
            with (memory / "image").open("wb") as file:
                file.truncate(16 << 30)
            run_tool("mkfs.xfs", "-q", "-m", "reflink=1", memory / "image")
            home.mkdir()
            undo.callback(unmount, home)
            run_tool("mount", "-t", "xfs", "-o", "loop", memory / "image", home)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no disk can be made: {first_line(error)}")
        undo.callback(ignore_signals, signals)  # last in, first out
        yield Lab(home)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, lab: Lab) -> str:
    """Return a kind of file system that can be made and mounted here."""
    kind: str = request.param
    if shutil.which(KINDS[kind].make.split()[0]) is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    image = lab.image(kind)
    try:
        with lab.mounted(kind, image):
            pass
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no {kind} can be mounted: {first_line(error)}")
    finally:
        image.unlink()
    return kind


@pytest.fixture(scope="session")
def sources(parquet: Path, result: ExperimentResult, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return sources of both kinds, and the bytes of their sidecars."""
    arrow = Timeseries(timestamp_s=[0.25] * 700, gpu_index=[0] * 700, power_w=[125.0] * 700)
    saved = result.save(tmp_path_factory.mktemp("arrow"), arrow, durable=False)
    return [(parquet, parquet.read_bytes()), (arrow, saved.with_name("timeseries.parquet").read_bytes())]


Acknowledge = Callable[[ExperimentResult, Path], None]


@pytest.fixture(scope="session")
def save_in(result: ExperimentResult, sources: list[Any]) -> Callable[..., None]:
    """Return a function that saves in one of several ways, and calls back at each acknowledgement.

    The ways are `single`, `sidecar`, `save_many` and `writer`. The last two name their flush method, as in
    `writer by syncfs`; a third of their results have sidecars.
    """

    def save_in(
        root: Path, how: str, ledger: Ledger, acknowledge: Acknowledge, *, count: int, durable: bool = True
    ) -> None:
        first = len(ledger.results)
        results = [result.model_copy(update={"experiment_id": f"{first + n}"}) for n in range(count)]
        ledger.sidecars |= {content for _, content in sources}
        verb, _, flush_method = how.partition(" by ")
        every = {"single": count + 1, "sidecar": 1}.get(verb, 3)
        traces = [sources[n // every % 2][0] if n % every == every - 1 else None for n in range(count)]
        for each in results:
            ledger.add(each)
        store = ResultStore(root)
        store._flush_method = flush_method or None
        if verb in ("single", "sidecar"):
            for each, trace in zip(results, traces, strict=True):
                acknowledge(each, store.save(each, trace, durable=durable))
        elif verb == "save_many":
            saved = store.save_many(results, timeseries_sources=traces, durable=durable)
            for each, path in zip(results, saved, strict=True):
                acknowledge(each, path)
        else:
            with store.writer(durable=durable) as writer:
                for each, trace in zip(results, traces, strict=True):
                    future = writer.submit(each, trace)
                    future.add_done_callback(lambda future, each=each: acknowledge(each, future.result()))  # type: ignore[misc]

    return save_in


@pytest.fixture
def ledger() -> Ledger:
    """Return an empty ledger."""
    return Ledger()


@pytest.fixture
def chance() -> random.Random:
    """Return a seeded generator; the log itself differs from run to run."""
    return random.Random(int(os.environ.get("LLEM_CRASH_SEED", "1")))
