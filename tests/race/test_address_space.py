"""Each verb where `ulimit -v` leaves little address space succeeds or raises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from race.memory_worker import SAVES, VERBS, trace
from support.processes import HANG
from support.results import make_padded_result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")

EXPECTED = {"save": 10, "scan_timeseries": SAVES // 3 * 600, "clean": 0}
ERRORS = ("MemoryError", "PersistenceError", "BulkSaveError")
Run = Callable[[str, Path, int, int], str]


@pytest.fixture(scope="module")
def run() -> Run:
    def run(verb: str, root: Path, mebibytes: int, padding: int) -> str:
        command = [sys.executable, str(Path(__file__).with_name("memory_worker.py")), verb, str(root)]
        text = make_padded_result("memory", padding).model_dump_json()
        process = subprocess.run(
            [*command, str(mebibytes)], input=text, capture_output=True, text=True, timeout=HANG, check=False
        )
        assert process.returncode == 0, (verb, mebibytes, process.returncode, process.stderr[-500:])
        return process.stdout.strip()

    return run


def make_tree(root: Path, padding: int) -> Path:
    traces = [trace() if n % 3 == 0 else None for n in range(SAVES)]
    result = make_padded_result("memory", padding)
    ResultStore(root).save_many([result] * SAVES, timeseries_sources=traces, durable=False)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("small") / "tree", 100)


@pytest.fixture(scope="module")
def large_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree of 60 MB, which does not fit into the smaller limits."""
    return make_tree(tmp_path_factory.mktemp("large") / "tree", 200_000)


SIZES = [
    256,
    pytest.param(128, marks=pytest.mark.slow),
    pytest.param(64, marks=pytest.mark.slow),
    32,
]


@pytest.mark.parametrize("mebibytes", SIZES)
@pytest.mark.parametrize("verb", VERBS)
def test_verb_in_little_address_space_succeeds(
    run: Run, tree: Path, tmp_path: Path, verb: str, mebibytes: int
) -> None:
    is_save = verb.partition(" ")[0] in ("save", "save_many", "writer")
    outcome = run(verb, tmp_path / "saved" if is_save else tree, mebibytes, 100)
    assert outcome == f"ok {EXPECTED.get(verb, SAVES)}"


@pytest.mark.slow
@pytest.mark.parametrize("mebibytes", [128, 64, 32])
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("clean", "verify", "save")])
def test_verb_on_large_records_in_little_address_space_succeeds_or_raises(
    run: Run, large_tree: Path, tmp_path: Path, verb: str, mebibytes: int
) -> None:
    is_save = verb.partition(" ")[0] in ("save_many", "writer")
    outcome = run(verb, tmp_path / "saved" if is_save else large_tree, mebibytes, 200_000)
    assert outcome.startswith(("ok ", *ERRORS)), outcome
