"""Each verb works where the system starts no thread for the store: the calling thread does the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llenergymeasure import ResultStore
from race.memory_worker import SAVES, VERBS, trace
from support.processes import HANG
from support.results import make_padded_result, make_result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the worker reads /proc")

EXPECTED = {"save": 10, "scan_timeseries": SAVES // 3 * 600, "clean": 0}
# No thread of Rust can have such a stack; those of Python ignore the variable.
HUGE_STACK = str(1 << 60)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("threads") / "tree"
    traces = [trace() if n % 3 == 0 else None for n in range(SAVES)]
    ResultStore(root).save_many([make_result()] * SAVES, timeseries_sources=traces, durable=False)
    return root


@pytest.mark.parametrize("verb", VERBS)
def test_verb_without_threads_succeeds(tree: Path, tmp_path: Path, verb: str) -> None:
    is_save = verb.partition(" ")[0] in ("save", "save_many", "writer")
    root = tmp_path / "saved" if is_save else tree
    command = [sys.executable, str(Path(__file__).with_name("memory_worker.py")), verb, str(root), "4096"]
    text = make_padded_result("threads", 100).model_dump_json()
    environment = {**os.environ, "RUST_MIN_STACK": HUGE_STACK}
    process = subprocess.run(
        command, input=text, env=environment, capture_output=True, text=True, timeout=HANG, check=False
    )
    assert process.returncode == 0, process.stderr[-500:]
    assert process.stdout == f"ok {EXPECTED.get(verb, SAVES)}"
    if is_save:
        verification = ResultStore(root).verify(deep=True)
        assert (verification.complete, verification.incomplete) == (EXPECTED.get(verb, SAVES), [])
