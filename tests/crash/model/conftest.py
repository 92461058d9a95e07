"""Fixtures of the model: a state machine of all rules, and processes that crash while they save."""

from __future__ import annotations

import importlib
import itertools
import json
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
from support.saver import LineProcess

STAMP = "2026-02-18T14-30"
TRACE: dict[str, Any] = {
    "timestamp_s": [0.0, 1.0, 2.0],
    "gpu_index": [0, 0, 0],
    "power_w": [251.5, None, 249.0],
}
STORE, OUTSIDE = "store", "outside"


class Crasher(LineProcess):
    """Jobs in processes that crash in the middle; see `worker.py`."""

    def __init__(self) -> None:
        super().__init__("model/worker.py")
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
        flush_method: str | None = None,
    ) -> dict[str, Any]:
        """Do a job, and return its reply and status, which is negative after a signal."""
        job = {
            "how": how,
            "root": str(root),
            "results": [result.model_dump_json() for result in results],
            "sources": [None if source is None else str(source) for source in sources],
            "trace": TRACE,
            "stamp": STAMP,
            "durable": durable,
            "flush_method": flush_method,
            "calls": calls,
            "bytes": most_bytes,
        }
        self.send(json.dumps(job).encode() + b"\n")
        answer: dict[str, Any] = self.receive()
        return answer


@pytest.fixture
def crasher() -> Iterator[Crasher]:
    """Return a process that runs jobs in crashing children."""
    crasher = Crasher()
    yield crasher
    crasher.close()


@dataclass(frozen=True)
class Source:
    """A timeseries source, and the bytes of its sidecar, if it has one."""

    given: Any
    trace: bytes | None = None


@pytest.fixture
def sources(
    result: ExperimentResult, parquet: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Source]:
    """Return a source of each kind; `invalid` is for a result that cannot be serialised."""
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
        "invalid": Source(None),
    }


@dataclass
class Workspace:
    """A tree under test, its expected tree, and the tools of the rules."""

    expected: Any
    sources: dict[str, Source]
    crasher: Crasher
    build: Callable[..., ExperimentResult]
    done: dict[tuple[str, str], int]
    """The number of times that each operation ran."""

    def __post_init__(self) -> None:
        self.top: Path = self.expected.top
        self.numbers = itertools.count()
        self.expected.put(STORE, None)
        self.expected.put(f"{STORE}/blocked.txt", b"no directory")
        # No operation may look outside the store, whatever links lead there.
        self.expected.put(f"{OUTSIDE}/a_b_{STAMP}/.result.json.tmp", b"{")

    def make(self, fields: dict[str, Any], kind: str = "none") -> ExperimentResult:
        """Make a unique result."""
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
        if kind == "invalid":
            changes["total_tokens"] = "many"
        return result.model_copy(update=changes)

    @staticmethod
    def pick(pick: int, things: dict[str, Any]) -> str | None:
        """Return one of the present things, by number: after a crash, only the tree knows them."""
        return sorted(things)[pick % len(things)] if things else None

    def count(self, what: str, how: str, times: int = 1) -> None:
        """Count an operation."""
        self.done[what, how] = self.done.get((what, how), 0) + times


def import_rules(name: str) -> Any:
    """Import a module next to this file, with pytest's detailed assertions."""
    if name not in sys.modules:
        pytest.register_assert_rewrite(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        return importlib.import_module(name)


@pytest.fixture
def done() -> dict[tuple[str, str], int]:
    """Return the counters of operations, by kind and detail."""
    return {}


@pytest.fixture
def machine(
    memory: Path,
    sources: dict[str, Source],
    crasher: Crasher,
    make_result: Callable[..., ExperimentResult],
    done: dict[tuple[str, str], int],
    monkeypatch: pytest.MonkeyPatch,
) -> type[Any]:
    """Return a state machine of hypothesis with its own tree and all rules."""
    # Names end in the minute of the save, which is fixed here.
    monkeypatch.setattr(_encode, "time", SimpleNamespace(strftime=lambda *_: STAMP))
    expected_tree = import_rules("expected_tree").ExpectedTree
    parts = (
        import_rules("save_rules").SaveRules,
        import_rules("manual_rules").ManualRules,
        import_rules("read_rules").ReadRules,
    )
    traces = {source.trace for source in sources.values() if source.trace is not None}
    home = memory / "model"
    home.mkdir()
    numbers = itertools.count()

    def begin(self: Any) -> None:
        parts[0].__init__(self)
        top = home / f"{next(numbers)}"
        top.mkdir()
        self.workspace = Workspace(expected_tree(top, traces), sources, crasher, make_result, done)

    return type("Machine", parts, {"__init__": begin})
