"""Scans under Ctrl-C, signals and forks, and the packages that a scan imports."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.optional import needs
from support.processes import run_code
from support.results import make_results

Make = Callable[..., ExperimentResult]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Return a store of three results."""
    store = ResultStore(tmp_path / "results")
    store.save_many(make_results(3), durable=False)
    return store


def run(script: str, *arguments: Any) -> str:
    """Run a script; return the text that it prints."""
    done = run_code(script, *map(str, arguments), options=("-W", "error"))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


BLOCK = """
import importlib.abc, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
from llenergymeasure import ResultStore
"""


def test_scan_methods_without_their_package_name_it(store: ResultStore) -> None:
    script = """
        scan = ResultStore(sys.argv[1]).scan()
        assert len(scan.to_pydict()["path"]) == sum(map(len, scan)) == 3
        assert scan.schema.names[0] == "path"
        for name in ("to_arrow", "to_pandas", "to_polars", "sql"):
            try:
                getattr(scan, name)(*["select 1"] * (name == "sql"))
            except ImportError as error:
                print(error.name, "|", error)
        """
    output = run(
        "BLOCKED = {'pyarrow', 'pandas', 'polars', 'duckdb', 'numpy'}" + BLOCK + textwrap.dedent(script),
        store.root,
    )
    assert output.splitlines() == [
        "pyarrow | Scan.to_arrow needs pyarrow: pip install pyarrow",
        "pandas | Scan.to_pandas needs pandas: pip install pandas",
        "polars | Scan.to_polars needs polars: pip install polars",
        "duckdb | Scan.sql needs duckdb: pip install duckdb",
    ]


@pytest.mark.parametrize(
    "consumer",
    [
        pytest.param(
            "import polars as pl; print(len(scan.to_polars()), len(pl.DataFrame(scan)))",
            marks=needs("polars"),
        ),
        pytest.param(
            "import pandas as pd; print(len(scan.to_pandas()), len(scan.to_pandas()))", marks=needs("pandas")
        ),
        pytest.param(
            "import duckdb; print(*scan.sql('select count(*) from results').fetchall()[0],"
            " *duckdb.sql('select count(*) from scan').fetchall()[0])",
            marks=needs("duckdb"),
        ),
    ],
    ids=["polars", "pandas", "duckdb"],
)
def test_read_scan_without_pyarrow_works_in_other_consumers(store: ResultStore, consumer: str) -> None:
    script = "BLOCKED = {'pyarrow'}" + BLOCK + "scan = ResultStore(sys.argv[1]).scan()\n" + consumer
    assert run(script, store.root).split() == ["3", "3"]


def test_scan_imports_no_optional_package(store: ResultStore) -> None:
    script = """
        import sys
        from llenergymeasure import ResultStore
        ResultStore(sys.argv[1]).scan().to_pydict()
        print([name for name in ("pyarrow", "pandas", "polars", "duckdb", "numpy") if name in sys.modules])
        """
    assert run(script, store.root) == "[]\n"


INTERRUPTED = """
import os, signal, sys, threading
from llenergymeasure import ResultStore

def interrupt(*_):
    global calls
    calls += 1
    if calls == 3:
        os.kill(os.getpid(), signal.SIGINT)

calls = 0
signal.signal(signal.SIGINT, signal.default_int_handler)
scan = ResultStore(sys.argv[1]).scan(COLUMNS, batch_size=5, progress=interrupt)
try:
    WHAT
except KeyboardInterrupt:
    print("interrupted")
complete = ResultStore(sys.argv[1]).scan(["path"], on_error="collect")
print(len(complete.to_pydict()["path"]))
"""


@pytest.mark.parametrize("what", ["list(scan)", "scan.to_pydict()", "scan.to_arrow()", "scan.schema"])
def test_interrupt_scan_ends_it_and_keeps_later_scans_complete(dirty: ResultStore, what: str) -> None:
    columns = "None" if what == "scan.schema" else '["path"]'
    script = INTERRUPTED.replace("COLUMNS", columns).replace("WHAT", what)
    assert run(script, dirty.root) == "interrupted\n299\n"


def test_scan_with_failing_progress_raises_its_exception(dirty: ResultStore) -> None:
    def stop(_: int, __: int | None) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        dirty.scan(["path"], progress=stop).to_pydict()


def test_signal_during_scan_runs_the_handler_of_the_caller(dirty: ResultStore) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        for number, _ in enumerate(dirty.scan(["path"], on_error="collect", batch_size=10)):
            if number == 1:
                os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


INTERRUPTED_STREAM = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from llenergymeasure import ResultStore

def has_read():
    return int(Path(f"/proc/{os.getppid()}/io").read_text().split()[1])

signal.signal(signal.SIGINT, signal.default_int_handler)
reader = pa.RecordBatchReader.from_stream(ResultStore(sys.argv[1]).scan(["path"]))
child = os.fork()
if child == 0:
    signal.alarm(120)
    while has_read() < int(sys.argv[2]):
        pass
    os.kill(os.getppid(), signal.SIGINT)
    os._exit(0)
try:
    try:
        reader.read_all()
    except Exception as error:
        print(type(error).__name__, "KeyboardInterrupt" in str(error), flush=True)
    os.waitpid(child, 0)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="no /proc to count reads in")
def test_interrupt_stream_in_pyarrow_raises_keyboard_interrupt(tmp_path: Path, make_result: Make) -> None:
    record = tmp_path / "record"
    record.write_text(make_result(effective_config={"padding": "x" * 300_000}).model_dump_json())
    for number in range(3000):
        (tmp_path / "tree" / f"{number:04}").mkdir(parents=True)
        os.link(record, tmp_path / "tree" / f"{number:04}" / "result.json")
    output = run(INTERRUPTED_STREAM, tmp_path / "tree", 500_000_000)
    assert output.splitlines()[-1] == "interrupted"


FORKED = """
import os, sys, warnings
import pyarrow as pa
from llenergymeasure import ResultStore

warnings.simplefilter("ignore", DeprecationWarning)
reader = pa.RecordBatchReader.from_stream(ResultStore(sys.argv[1]).scan(["path"], batch_size=1))
reader.read_next_batch()
child = os.fork()
if child == 0:
    import signal
    signal.alarm(120)
    try:
        WHAT
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], sum(batch.num_rows for batch in reader))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process is forked")
@pytest.mark.parametrize("what", ["list(reader)", "del reader"])
def test_read_stream_inherited_by_a_fork_raises_without_hanging(
    tmp_path: Path, result: ExperimentResult, what: str
) -> None:
    for number in range(3000):
        (tmp_path / f"{number:04}").mkdir()
        (tmp_path / f"{number:04}" / "result.json").write_text(result.model_dump_json())
    output = run(FORKED.replace("WHAT", what), tmp_path)
    assert output.splitlines()[-1] == "0 2999"
    assert ("another process" in output) == (what == "list(reader)")
