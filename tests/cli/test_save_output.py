"""Output, failures and interrupts of `llem save`."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult
from support.trees import load_by_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Terminal = Callable[..., tuple[int, str, str]]
    MakeRecord = Callable[..., dict[str, Any]]
    MakeLines = Callable[[int], str]


def test_save_summary_gives_count_size_and_directory(llem: Run, tmp_path: Path, lines: MakeLines) -> None:
    done = llem("save", "-", "-o", "my results", input=lines(3))
    size = sum(path.stat().st_size for path in tmp_path.glob("my results/*/*"))
    assert done.stdout.startswith(f"3 results saved in my results: {size / 1000:.2f} kB in ")
    assert done.stdout.endswith(" results/s\n")


@pytest.mark.parametrize("output_dir", ["out", "./out", "../{here}/out", "{absolute}/out", "."])
def test_save_print_paths_keeps_the_form_of_output_dir(
    llem: Run, tmp_path: Path, lines: MakeLines, output_dir: str
) -> None:
    output_dir = output_dir.format(here=tmp_path.name, absolute=tmp_path)
    done = llem("save", "-", "-o", output_dir, "--print-paths", input=lines(2))
    paths = done.stdout.splitlines()
    assert [path.startswith(f"{output_dir}/gpt2_pytorch_") for path in paths] == [True, True]
    assert [ExperimentResult.from_json(tmp_path / path).experiment_id for path in paths] == ["run-0", "run-1"]
    assert done.stderr.startswith(f"2 results saved in {output_dir}: ")


def test_save_json_accounts_for_every_record(llem: Run, tmp_path: Path, lines: MakeLines) -> None:
    done = llem("save", "-", "missing", "-o", "out", "--json", input=lines(2) + "{}\n")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["saved"], report["failed"], report["unconfirmed"]) == (2, 2, 0)
    assert report["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("out/*/*"))
    assert report["results_per_second"] == pytest.approx(2 / report["seconds"])
    assert report["output_dir"] == "out"
    assert report["interrupted"] is False
    assert {tmp_path / path for path in report["paths"]} == set(tmp_path.glob("out/*/result.json"))
    assert [(failure["source"], failure["line"]) for failure in report["failures"]] == [
        ("-", 3),
        ("missing", None),
    ]
    assert len(done.stderr.splitlines()) == 2  # errors without a summary


def test_save_quiet_prints_errors_only(llem: Run, lines: MakeLines) -> None:
    good = llem("save", "-", "-o", "out", "--quiet", input=lines(2))
    bad = llem("save", "-", "-o", "out", "--quiet", input="{}")
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("<stdin>:1: experiment_id: Field required")


def test_save_names_with_markup_or_escapes_prints_them_escaped(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "[red]b\x1b[31m\n.json").write_text("{}")
    done = llem("save", "[red]b\x1b[31m\n.json", "-o", "[bold] out")
    assert done.stderr.startswith("[red]b\\x1b[31m\\n.json:1: experiment_id: Field required")
    assert done.stdout == "no result saved in [bold] out; 1 not saved\n"


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_save_names_that_are_not_utf8_prints_every_byte(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    name, out = os.fsdecode(b"\xff.json"), os.fsdecode(b"o\xfe")
    (tmp_path / name).write_text(json.dumps(record("run")))
    done = llem("save", name, f"missing {name}", "-o", out, "--print-paths")
    path = done.stdout.rstrip("\n")
    assert ExperimentResult.from_json(tmp_path / path).experiment_id == "run"
    assert done.stderr.startswith(f"missing {name}: cannot be read: ")
    report = json.loads(llem("save", name, "-o", out, "--json").stdout)
    assert (tmp_path / report["paths"][0]).is_file()


def test_save_with_closed_output_saves_all(start: Start, tmp_path: Path, lines: MakeLines) -> None:
    (tmp_path / "x.jsonl").write_text(lines(50))
    receiver, sender = os.pipe()
    os.close(receiver)
    process = start("save", "x.jsonl", "-o", "out", "--print-paths", stdout=sender)
    os.close(sender)
    _, stderr = process.communicate()
    assert process.returncode == 0
    assert stderr.startswith(b"50 results saved in out: ")
    assert len(load_by_id(tmp_path / "out")) == 50


def test_save_on_full_output_reports_it_after_all_saves(llem: Run, tmp_path: Path, lines: MakeLines) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = llem("save", "-", "-o", "out", "--json", input=lines(3), stdout=full)
    assert done.returncode == 1
    assert done.stderr == "llem: cannot write to standard output: No space left on device\n"
    assert len(load_by_id(tmp_path / "out")) == 3


def test_save_on_a_terminal_prints_errors_above_progress(
    terminal: Terminal, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(2) + "{}\n")
    status, out, seen = terminal("save", "x.jsonl", "-o", "out", "--print-paths")
    assert status == 1
    assert "Saving" in seen
    assert "2 saved" in seen
    assert "x.jsonl:3: experiment_id: Field required" in seen
    assert [(tmp_path / path).is_file() for path in out.splitlines()] == [True, True]


def test_save_quiet_on_a_terminal_prints_nothing(
    terminal: Terminal, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(2))
    assert terminal("save", "x.jsonl", "-o", "out", "--quiet") == (0, "", "")


def test_save_honours_no_color_on_a_terminal(
    terminal: Terminal, environment: dict[str, str], tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(2))
    colours = [f"\x1b[{code}" for code in ("31m", "32m", "33m", "36m", "38;", "90m", "91m", "92m")]
    _, _, coloured = terminal("save", "x.jsonl", "-o", "out")
    environment["NO_COLOR"] = "1"
    _, _, plain = terminal("save", "x.jsonl", "-o", "out")
    assert any(colour in coloured for colour in colours)
    assert not any(colour in plain for colour in colours)


@pytest.mark.parametrize(
    "args",
    [
        ("x.json",),
        ("-o", "out"),
        ("-", "-", "-o", "out"),
        ("x.json", "-o", "x.json"),
        ("x.json", "-o", ""),
        ("x.json", "-o", "out", "--timeseries", "missing.parquet"),
        ("x.json", "-o", "out", "--timeseries", "."),
        ("x.json", "-o", "out", "--timeseries", "x.json", "--with-sidecars"),
        ("x.json", "-o", "out", "--print-paths", "--json"),
    ],
)
def test_save_with_invalid_arguments_exits_2_and_writes_nothing(
    llem: Run, tmp_path: Path, record: MakeRecord, args: tuple[str, ...]
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record()))
    done = llem("save", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llem save: ")
    assert done.stderr.endswith("\nTry 'llem save --help'.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_save_with_failing_write_fails_that_result_alone(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    content = [record("small"), record("large", effective_config={"pad": "x" * 20_000}), record("last")]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, content)))
    done = llem(
        "save",
        "x.jsonl",
        "-o",
        "out",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("x.jsonl:2: cannot write ")
    assert done.stderr.endswith("[EFBIG]; nothing was saved, and saving again is safe\n")
    assert load_by_id(tmp_path / "out").keys() == {"small", "last"}
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_save_with_failed_flush_reports_an_unconfirmed_result(
    patched_llem: Run, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(1))
    patch = """
import os, signal
from concurrent.futures import Future
from llenergymeasure.errors import PersistenceError
from llenergymeasure.results.writer import Writer
submit = Writer.submit
def failing(self, *args):
    path = submit(self, *args).result()
    future = Future()
    future.set_exception(PersistenceError(5, "Input/output error", path.parent, "flush_directory", path))
    return future
Writer.submit = failing
"""
    done = patched_llem(patch, "save", "x.jsonl", "-o", "out", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["saved"], report["failed"], report["unconfirmed"]) == (1, 0, 1)
    assert [failure["saved_path"] for failure in report["failures"]] == report["paths"]
    assert "do not save it again" in done.stderr


def test_interrupt_save_that_waits_for_input_reports_saved_results(
    start: Start, tmp_path: Path, lines: MakeLines
) -> None:
    process = start("save", "-", "-o", "out", "--print-paths", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines(3).encode())
    process.stdin.flush()
    paths = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    # Standard input stays open, so that the signal ends the program.
    rest = process.stdout.read()
    stderr = process.stderr.read() if process.stderr else b""
    assert process.wait() == 130
    assert rest == b""
    assert stderr.startswith(b"Interrupted: 3 results saved in out: ")
    assert stderr.count(b"\n") == 1
    assert len(load_by_id(tmp_path / "out")) == len(paths) == 3
    process.communicate()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_interrupt_save_inside_a_submit_counts_its_result(
    patched_llem: Run, tmp_path: Path, lines: MakeLines, moment: str
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(5))
    patch = f"""
import os, signal
from concurrent.futures import Future
from llenergymeasure.errors import PersistenceError
from llenergymeasure.results.writer import Writer
submit = Writer.submit
def interrupted(self, *args):
    if "{moment}" == "before":
        os.kill(os.getpid(), signal.SIGINT)
    future = submit(self, *args)
    if "{moment}" == "after":
        os.kill(os.getpid(), signal.SIGINT)
    return future
Writer.submit = interrupted
"""
    done = patched_llem(patch, "save", "x.jsonl", "-o", "out", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 130
    assert report["interrupted"] is True
    assert (report["saved"], len(load_by_id(tmp_path / "out"))) == (1, 1)
    assert done.stderr.startswith("Interrupted: 1 result saved in out: ")
