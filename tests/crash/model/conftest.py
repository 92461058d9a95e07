"""The machine of the model, put together from its parts, and processes that die while they save."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.results import _encode
from llenergymeasure.results.timeseries import Timeseries

STAMP = "2026-02-18T14-30"
TRACE: dict[str, Any] = {
    "timestamp_s": [0.0, 1.0, 2.0],
    "gpu_index": [0, 0, 0],
    "power_w": [251.5, None, 249.0],
}
STORE, OUTSIDE = "store", "outside"


class Mortal:
    """Does jobs in processes that die in the middle of them; see `mortal.py`."""

    def __init__(self) -> None:
        script = str(Path(__file__).with_name("mortal.py"))
        self._process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.can_trace = self.run("save", Path("/"), [], [], calls=1 << 30)["end"] == 0

    def run(
        self,
        how: str,
        root: Path,
        results: list[ExperimentResult],
        sources: list[Path | str | None],
        *,
        calls: int | None = None,
        most_bytes: int | None = None,
        durable: bool = True,
        engine: str | None = None,
    ) -> dict[str, Any]:
        """Do a job; return how the process ended, negative where a signal killed it, and what it said."""
        job = {
            "how": how,
            "root": str(root),
            "results": [result.model_dump_json() for result in results],
            "sources": [None if source is None else str(source) for source in sources],
            "trace": TRACE,
            "stamp": STAMP,
            "durable": durable,
            "engine": engine,
            "calls": calls,
            "bytes": most_bytes,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


@pytest.fixture
def mortal() -> Iterator[Mortal]:
    """Processes that die while they save."""
    mortal = Mortal()
    yield mortal
    mortal.close()


@dataclass(frozen=True)
class Source:
    """A timeseries source, and the power trace that comes of it, if any does."""

    given: Any
    trace: bytes | None = None


@pytest.fixture
def sources(
    result: ExperimentResult, parquet: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Source]:
    """A source of each kind; `unfit` is that of a result that cannot be serialised."""
    away = tmp_path_factory.mktemp("sources")
    arrow = Timeseries(**TRACE)
    written = result.save(away, arrow, durable=False).with_name("timeseries.parquet").read_bytes()
    (away / "broken.parquet").write_bytes(b"PAR1 and no more than that")
    return {
        "none": Source(None),
        "file": Source(parquet, parquet.read_bytes()),
        "arrow": Source(arrow, written),
        "gone": Source(away / "gone.parquet"),
        "broken": Source(away / "broken.parquet"),
        "unfit": Source(None),
    }


@dataclass
class Place:
    """A tree that a machine works on, its shadow, and what it works with."""

    shadow: Any
    sources: dict[str, Source]
    mortal: Mortal
    build: Callable[..., ExperimentResult]
    done: dict[tuple[str, str], int]
    """How often each thing was done."""

    def __post_init__(self) -> None:
        self.top: Path = self.shadow.top
        self.numbers = itertools.count()
        self.shadow.plant(STORE, None)
        self.shadow.plant(f"{STORE}/blocked.txt", b"no directory")
        # What lies outside is looked at by nobody, whatever leads there.
        self.shadow.plant(f"{OUTSIDE}/a_b_{STAMP}/.result.json.tmp", b"{")

    def make(self, fields: dict[str, Any], kind: str = "none") -> ExperimentResult:
        """Make a result that no other is equal to."""
        config = {"notes": fields["notes"]}
        if fields["model"] is not None:
            config["model"] = fields["model"]
        result = self.build(
            experiment_id=f"{next(self.numbers)}",
            measurement_config_hash="",
            backend=fields["backend"],
            total_energy_j=fields["energy"],
            total_tokens=fields["tokens"],
            timeseries=fields["timeseries"],
            effective_config=config,
        )
        changes: dict[str, Any] = {
            "measurement_config_hash": compute_measurement_config_hash(result.effective_config)
        }
        if kind == "unfit":
            changes["total_tokens"] = "many"
        return result.model_copy(update=changes)

    @staticmethod
    def picked(pick: int, things: dict[str, Any]) -> str | None:
        """One of the things that there are: after a crash, only the tree says which."""
        return sorted(things)[pick % len(things)] if things else None

    def did(self, what: str, how: str, times: int = 1) -> None:
        """Count something that was done."""
        self.done[what, how] = self.done.get((what, how), 0) + times


def part(name: str) -> Any:
    """Import a part of the machine, which lies beside this file, so that its assertions say what they saw."""
    if name not in sys.modules:
        pytest.register_assert_rewrite(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        return importlib.import_module(name)


@pytest.fixture
def done() -> dict[tuple[str, str], int]:
    """How often each thing was done, by what and how."""
    return {}


@pytest.fixture
def machine(
    memory: Path,
    sources: dict[str, Source],
    mortal: Mortal,
    make_result: Callable[..., ExperimentResult],
    done: dict[tuple[str, str], int],
    monkeypatch: pytest.MonkeyPatch,
) -> type[Any]:
    """A machine of hypothesis with a tree of its own, and with the rules of all parts."""
    # Names end in the minute of the save; here it is always the same one.
    monkeypatch.setattr(_encode, "time", SimpleNamespace(strftime=lambda *_: STAMP))
    shadow = part("shadow").Shadow
    parts = (part("saving").Saving, part("by_hand").ByHand, part("looking").Looking)
    traces = {source.trace for source in sources.values() if source.trace is not None}
    home = memory / "model"
    home.mkdir()
    numbers = itertools.count()

    def begin(self: Any) -> None:
        parts[0].__init__(self)
        top = home / f"{next(numbers)}"
        top.mkdir()
        self.place = Place(shadow(top, traces), sources, mortal, make_result, done)

    return type("Machine", parts, {"__init__": begin})
