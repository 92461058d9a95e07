"""`llem missing` and `llem watch`, and the failures in `llem ls`, `summary`, `verify` and `schema`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ResultStore
from support.results import make_result
from support.terminals import read_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., Any]

CONFIGS: list[dict[str, Any]] = [{"model": "gpt2", "batch_size": size} for size in (1, 2, 4)]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Return a store with a result of the first configuration and a failure of the second."""
    store = ResultStore(tmp_path / "results")
    store.save(make_result(effective_config=CONFIGS[0], experiment_id="first"))
    store.save_failure(CONFIGS[1], RuntimeError("CUDA out of memory"))
    return store


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(path: Path, kind: str) -> str:
    """Write the configurations in a format; return the name of the file."""
    texts = {
        "json": json.dumps(CONFIGS),
        "jsonl": "\n".join(map(json.dumps, CONFIGS)) + "\n\n",
        "yaml": "- {model: gpt2, batch_size: 1}\n- model: gpt2\n  batch_size: 2\n"
        "- {model: gpt2, batch_size: 4}\n",
        "csv": "model,batch_size,note\r\ngpt2,1,\r\ngpt2,2,\r\ngpt2,4,\r\n",
    }
    (path / f"configs.{kind}").write_text(texts[kind], newline="")
    return f"configs.{kind}"


@pytest.mark.parametrize("kind", ["json", "jsonl", "yaml", "csv"])
def test_missing_prints_the_runs_of_each_format(
    store: ResultStore, tmp_path: Path, llem: Run, kind: str
) -> None:
    if kind == "yaml":
        pytest.importorskip("yaml")
    file = write(tmp_path, kind)
    assert store.root.name == "results"
    assert lines(llem("missing", file, "results")) == [CONFIGS[2]]
    assert lines(llem("missing", file, "-o", "results", "--retry-failed")) == [CONFIGS[1], CONFIGS[2]]
    runs = lines(llem("missing", file, "results", "--repeats", "3"))
    assert Counter(run["batch_size"] for run in runs) == {1: 2, 2: 2, 4: 3}
    parts = [
        lines(llem("missing", file, "results", "--repeats", "3", "--shard", f"{part}/2")) for part in (0, 1)
    ]
    assert Counter(map(str, parts[0] + parts[1])) == Counter(map(str, runs))


def test_missing_without_a_directory_yet_prints_everything(tmp_path: Path, llem: Run) -> None:
    done = llem("missing", write(tmp_path, "json"), "nothing")
    assert lines(done) == CONFIGS
    assert "no directory nothing yet" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_missing_reads_standard_input(llem: Run) -> None:
    assert lines(llem("missing", "-", "nothing", input=json.dumps(CONFIGS))) == CONFIGS
    done = llem("missing", "-", "nothing", "--json", input="\n".join(map(json.dumps, CONFIGS)))
    assert json.loads(done.stdout) == CONFIGS


def test_missing_takes_cells_of_csv_for_json_or_text(tmp_path: Path, llem: Run) -> None:
    (tmp_path / "c.csv").write_text(
        'a,b,c,d,e,f,g\n1,0.5,true,null,"[1, 2]",,007\ntext,NaN,"""8""",1e3,{x},-0,"a,b"\n'
    )
    first, second = lines(llem("missing", "c.csv", "nothing"))
    assert first == {"a": 1, "b": 0.5, "c": True, "d": None, "e": [1, 2], "g": "007"}
    assert second == {"a": "text", "b": "NaN", "c": "8", "d": 1000.0, "e": "{x}", "f": 0, "g": "a,b"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.json", b"[{}, ", "expected JSON in c.json:1:6"),
        ("c.json", b'{"a": 1}', "expected a JSON array of configurations in c.json, got an object"),
        ("c.json", b"[[1]]", "expected an object as configuration in item 1 of c.json, got a list"),
        ("c.json", b"[]", "expected configurations in c.json, got none"),
        ("c.json", b"\xff", "expected UTF-8 in c.json"),
        ("c.jsonl", b'{"a": 1}\n{"a": }\n', "expected JSON in c.jsonl:2:7"),
        ("c.jsonl", b"3\n", "expected an object as configuration in c.jsonl:1"),
        ("c.csv", b"a,b\n1\n", "expected 2 cells in c.csv:2, got 1"),
        ("c.csv", b"a,a\n1,2\n", "got 'a' twice"),
        ("c.yaml", b"- {a: 1\n- b", "expected YAML in c.yaml:2:4"),
        ("missing.json", None, "cannot read missing.json"),
    ],
)
def test_missing_of_a_broken_file_prints_one_line(
    tmp_path: Path, llem: Run, name: str, content: bytes | None, message: str
) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = llem("missing", name, "results")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert message in done.stderr


def test_missing_without_pyyaml_names_the_extra(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "c.yaml").write_text("- a: 1")
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "yaml.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path / "hidden"), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "llenergymeasure", "missing", "c.yaml", "results"]
    settings = environment | {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'llenergymeasure-store[yaml]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("c.json",), "the directory of the results once"),
        (("c.json", "a", "-o", "b"), "the directory of the results once"),
        (("c.txt", "a"), "expected a file of .json"),
        (("c.json", "a", "--shard", "4/4"), "--shard expects I/N from 0/4 to 3/4"),
        (("c.json", "a", "--shard", "x"), "--shard expects I/N such as 3/16"),
        (("c.json", "a", "--repeats", "0"), "repeats"),
    ],
)
def test_missing_with_wrong_arguments_is_wrong_usage(
    tmp_path: Path, llem: Run, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "c.json").write_text('[{"a": 1}]')
    done = llem("missing", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.usefixtures("store")
def test_ls_failed_lists_failures_only(llem: Run) -> None:
    done = llem("ls", "--failed", "results")
    assert done.returncode == 0
    head, row = done.stdout.splitlines()
    assert head.split()[:4] == ["model", "backend", "error", "message"]
    assert "RuntimeError" in row
    assert "CUDA out of memory" in row
    [found] = json.loads(llem("ls", "--failed", "results", "--json").stdout)
    assert (found["error_type"], found["effective_config"]) == ("RuntimeError", CONFIGS[1])
    assert found["path"].startswith("results/gpt2_pytorch_")
    assert json.loads(llem("ls", "--failed", "results", "--json", "-w", "error=ValueError").stdout) == []
    assert (
        len(json.loads(llem("ls", "--failed", "results", "--json", "-w", "config.batch_size=2").stdout)) == 1
    )
    assert len(json.loads(llem("ls", "results", "--json").stdout)) == 1
    assert llem("ls", "--failed", "results", "-c", "model").returncode == 2
    assert llem("ls", "--failed", "results", "-w", "nonsense=1").returncode == 2


def test_show_of_a_failure_prints_its_error_and_traceback(store: ResultStore, llem: Run) -> None:
    path = store.save_failure(CONFIGS[2], ValueError("bad \x1b"), output="line 1\nline 2\x07")
    for name in (path, path.parent):
        done = llem("show", name)
        assert (done.returncode, done.stderr) == (0, "")
        assert "error           ValueError" in done.stdout
        assert "bad \\x1b" in done.stdout
        assert "batch_size      4" in done.stdout
        assert "  line 1\n  line 2\\x07\n" in done.stdout
        assert "\x1b" not in done.stdout
    shown = json.loads(llem("show", path.parent, "--json").stdout)
    assert shown["failure"] == json.loads(path.read_text())
    path.write_text("{")
    assert llem("show", path).returncode == 1


@pytest.mark.usefixtures("store")
def test_save_of_a_directory_says_that_it_leaves_failures(llem: Run) -> None:
    done = llem("save", "results", "-o", "other")
    assert done.returncode == 0
    assert "1 failed run not saved; llem push" in done.stderr


def test_ls_failed_of_none_says_so(tmp_path: Path, llem: Run) -> None:
    ResultStore(tmp_path / "results").save(make_result())
    done = llem("ls", "--failed", "results")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no failure in results" in done.stderr


def test_ls_failed_reports_an_invalid_file(store: ResultStore, llem: Run) -> None:
    next(store.root.glob("*/failure.json")).write_bytes(b"")
    done = llem("ls", "--failed", "results")
    assert (done.returncode, done.stdout) == (1, "")
    assert "failure.json (0 bytes)" in done.stderr


@pytest.mark.usefixtures("store")
def test_summary_and_verify_count_failures(llem: Run) -> None:
    assert "1 run failed; list with: llem ls --failed results" in llem("summary", "results").stderr
    assert json.loads(llem("summary", "results", "--json").stdout)["failed"] == 1
    done = llem("verify", "results")
    assert done.returncode == 0
    assert "1 complete, 1 failed" in done.stdout
    assert json.loads(llem("verify", "results", "--json").stdout)["failures"] == 1


def test_schema_of_a_failure_validates_one(store: ResultStore, llem: Run) -> None:
    schema = json.loads(llem("schema", "--failure").stdout)
    record = json.loads(next(store.root.glob("*/failure.json")).read_text())
    assert schema["properties"].keys() == record.keys()
    assert schema["properties"]["schema_version"]["const"] == "1.0"


def test_watch_once_prints_the_state(store: ResultStore, llem: Run) -> None:
    done = llem("watch", "results", "--total", "4", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 result, 1 failed, 50 % of 4 runs, time left unknown; last: first" in done.stdout
    store.save(make_result(effective_config=CONFIGS[2], experiment_id="second"))
    [state] = [
        json.loads(line)
        for line in llem("watch", "results", "--total", "4", "--once", "--json").stdout.splitlines()
    ]
    assert (state["results"], state["failures"], state["total"]) == (2, 1, 4)
    assert state["results_per_second"] > 0
    assert state["seconds_left"] > 0
    assert [one["experiment_id"] for one in state["newest"]] == ["second", "first"]


def test_watch_of_no_directory_yet_counts_nothing(llem: Run) -> None:
    done = llem("watch", "nothing", "--once")
    assert done.returncode == 0
    assert "0 results, 0 failed" in done.stdout


WATCH = ("watch", "results", "--interval", "0.1")


def test_watch_prints_a_line_for_each_change_until_ctrl_c(store: ResultStore, start: Start) -> None:
    with start(*WATCH, text=True) as watch:
        assert "1 result, 1 failed" in watch.stdout.readline()
        store.save(make_result(effective_config=CONFIGS[2]))
        assert "2 results, 1 failed" in watch.stdout.readline()
        store.save_failure(CONFIGS[2], ValueError("x"))
        assert "2 results, 2 failed" in watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        rest, error = watch.communicate()
    assert (watch.returncode, rest, error) == (130, "", "llem watch: interrupted\n")


def test_watch_on_a_terminal_draws_the_newest_results(store: ResultStore, start: Start) -> None:
    master, slave = os.openpty()
    with start(*WATCH, "--total", "4", stdout=slave, text=True) as watch:
        os.close(slave)
        seen = ""
        while "first" not in seen:
            seen += os.read(master, 65536).decode()
        store.save(make_result(effective_config=CONFIGS[2], experiment_id="second"))
        while "second" not in seen:
            seen += os.read(master, 65536).decode()
        watch.send_signal(signal.SIGINT)
        read_terminal(master)
        _, error = watch.communicate()
    assert (watch.returncode, error) == (130, "llem watch: interrupted\n")
    assert "50 % of 4 runs" in seen
    assert "J/token" in seen


def test_watch_whose_reader_ends_ends(store: ResultStore, start: Start) -> None:
    with start(*WATCH) as watch:
        watch.stdout.readline()
        watch.stdout.close()
        store.save(make_result())
        assert watch.wait() == 0


def test_missing_takes_booleans_of_python_and_spreadsheets_and_blanks_after_commas(
    tmp_path: Path, llem: Run
) -> None:
    (tmp_path / "c.csv").write_text("model, flag\ngpt2, True\ngpt2, FALSE\n")
    assert lines(llem("missing", "c.csv", "nothing")) == [
        {"model": "gpt2", "flag": True},
        {"model": "gpt2", "flag": False},
    ]
