"""`llem save`."""

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
from llenergymeasure.results.timeseries import Timeseries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Terminal = Callable[..., tuple[int, str, str]]
    MakeRecord = Callable[..., dict[str, Any]]
    MakeLines = Callable[[int], str]


@pytest.fixture
def parquet(tmp_path: Path, record: MakeRecord) -> Path:
    """Return a power trace as a file."""
    result = ExperimentResult.model_validate(record())
    trace = Timeseries(timestamp_s=[0.0, 1.0], gpu_index=[0, 0], power_w=[100.0, 150.0])
    path = result.save(tmp_path / "made-elsewhere", trace).with_name("timeseries.parquet")
    return path.rename(tmp_path / "trace.parquet")


def saved(directory: Path) -> dict[str, ExperimentResult]:
    """Load all results of a directory, by their experiment."""
    loaded = [ExperimentResult.from_json(path) for path in directory.glob("*/result.json")]
    return {result.experiment_id: result for result in loaded}


def run_patched(patch: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program after some lines of Python that stand for a misfortune."""
    code = f"""
import os, signal, sys
from concurrent.futures import Future
from llenergymeasure.cli import main
from llenergymeasure.errors import PersistenceError
from llenergymeasure.results.writer import Writer
submit = Writer.submit
{patch}
sys.exit(main())
"""
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


# What is read


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("source", ["x.json", "-"])
def test_one_json_object_is_one_result_however_it_is_laid_out(
    llem: Run, tmp_path: Path, record: MakeRecord, indent: int | None, source: str
) -> None:
    text = json.dumps(record("alone"), indent=indent)
    (tmp_path / "x.json").write_text(text)
    done = llem("save", source, "-o", "out", input=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert saved(tmp_path / "out") == {"alone": ExperimentResult.model_validate_json(text)}


@pytest.mark.parametrize("source", ["x.jsonl", "x.ndjson", "x.txt", "-"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_json_lines_are_one_result_a_line(
    llem: Run, tmp_path: Path, lines: MakeLines, source: str, end: str
) -> None:
    content = ("\n\n" + lines(3).replace("\n", "\n \n")).replace("\n", end).encode()
    (tmp_path / source).write_bytes(content)
    with (tmp_path / source).open("rb") as stdin:
        done = llem("save", source, "-o", "out", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    assert saved(tmp_path / "out").keys() == {"run-0", "run-1", "run-2"}


def test_a_byte_order_mark_does_not_matter(llem: Run, tmp_path: Path, record: MakeRecord) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("marked"), indent=2), encoding="utf-8-sig")
    assert llem("save", "x.json", "-o", "out").returncode == 0
    assert saved(tmp_path / "out").keys() == {"marked"}


def test_a_broken_first_line_does_not_make_the_others_a_document(
    llem: Run, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.log").write_text('{"cut": \n' + lines(2))
    done = llem("save", "x.log", "-o", "out")
    assert done.returncode == 1
    assert done.stderr == "x.log:1: not whole: the JSON ends in the middle at column 8\n"
    assert saved(tmp_path / "out").keys() == {"run-0", "run-1"}


def test_a_bad_line_is_named_with_its_file_and_line_and_does_not_stop_the_others(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    bad = record()
    for name in ("total_tokens", "total_energy_j", "total_flops"):
        del bad[name]
    nested = record(process_results=[{"experiment_id": "x"}])
    content = [record("first"), bad, nested, record("last")]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, content)))
    done = llem("save", "x.jsonl", "-o", "out")
    first, second = done.stderr.splitlines()
    assert done.returncode == 1
    assert first == "x.jsonl:2: total_tokens: Field required (and 2 more)"
    assert second.startswith("x.jsonl:3: process_results[0].process_index: Field required (and ")
    assert saved(tmp_path / "out").keys() == {"first", "last"}
    assert "2 results saved in out" in done.stdout
    assert "; 2 not saved" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "holds nothing but blank lines"),
        (
            b'[\n{"a": 1},\n{"a": 2}\n]',
            "is an array, and a result is a JSON object; write one result per line",
        ),
        (b'"text"', "is a string, and a result is a JSON object; write one result per line"),
        (b"12", "is a number, and a result is a JSON object; write one result per line"),
        (b'{\n  "a": "\xff"}', "not UTF-8: byte 11 is 0xff"),
        (b"\0\0\0\0", "nothing but NUL bytes, as a crash before a flush leaves them"),
        (b'{\n  "a": ', "not whole: the JSON ends in the middle at line 2 column 7"),
        (
            b'{\n  "a": 1\n}\n{\n}',
            "more follows the first JSON value at line 4 column 1; write one result per line",
        ),
        (b"nonsense", "not JSON: expected ident at line 1 column 2"),
    ],
)
def test_what_is_no_result_is_told_on_one_line(
    llem: Run, tmp_path: Path, record: MakeRecord, content: bytes, message: str
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "good.json").write_text(json.dumps(record("good")))
    done = llem("save", "bad.json", "good.json", "-o", "out")
    assert done.returncode == 1
    assert done.stderr == f"bad.json: {message}\n"
    assert saved(tmp_path / "out").keys() == {"good"}


def test_a_record_of_another_schema_line_is_told_by_that_alone(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record(schema_version="3.0", new_field=1), indent=2))
    done = llem("save", "x.json", "-o", "out")
    assert done.returncode == 1
    assert done.stderr.startswith("x.json: schema_version: expected schema line '2.0', got '3.0'")
    assert done.stderr.count("\n") == 1
    assert "more)" not in done.stderr


def test_a_missing_file_and_a_directory_do_not_stop_the_others(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "good.json").write_text(json.dumps(record("good")))
    done = llem("save", "missing.json", "dir", "good.json", "-o", "out")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "missing.json: cannot be read: No such file or directory",
        "dir: cannot be read: Is a directory",
    ]
    assert saved(tmp_path / "out").keys() == {"good"}


def test_a_result_from_a_pipe_is_saved_before_the_next_one_is_written(
    start: Start, tmp_path: Path, lines: MakeLines
) -> None:
    process = start("save", "-", "-o", "out", "--print-paths", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in lines(2).splitlines():
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        path = process.stdout.readline().decode().rstrip("\n")
        assert ExperimentResult.from_json(tmp_path / path).experiment_id == json.loads(line)["experiment_id"]
    process.communicate()
    assert process.returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_json_lines_larger_than_memory_are_streamed(tmp_path: Path, record: MakeRecord) -> None:
    count, padding = 48, " " * (4 << 20)
    with (tmp_path / "huge.jsonl").open("w") as file:
        for number in range(count):
            file.write(json.dumps(record(f"run-{number}")) + padding + "\n")
    code = """
import sys
from llenergymeasure.cli import main
status = main()
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
sys.exit(status)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "save", "huge.jsonl", "-o", "out", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(saved(tmp_path / "out")) == count
    assert int(done.stdout) * 1024 < (tmp_path / "huge.jsonl").stat().st_size * 0.75


def test_the_real_results_come_back_as_they_were(llem: Run, tmp_path: Path, data: Path) -> None:
    source = data / "mlenergy_llm_results.jsonl"
    done = llem("save", source, "-o", "out", "--json")
    report = json.loads(done.stdout)
    given = [ExperimentResult.model_validate_json(line) for line in source.read_bytes().splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [ExperimentResult.from_json(tmp_path / path) for path in report["paths"]] == given


def test_real_runs_keep_their_power_traces(llem: Run, tmp_path: Path, data: Path) -> None:
    files = sorted((data / "mlperf").glob("*.json"))
    done = llem("save", *files, "-o", "out", "--with-sidecars", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    for file, path in zip(files, json.loads(done.stdout)["paths"], strict=True):
        kept = (tmp_path / path).with_name("timeseries.parquet")
        assert kept.read_bytes() == file.with_suffix(".parquet").read_bytes()


# Sidecars


@pytest.mark.parametrize(
    ("name", "neighbour"),
    [("x.json", "x.parquet"), ("result.json", "timeseries.parquet"), ("result.json", "result.parquet")],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_neighbour_of_a_file_is_its_sidecar(
    llem: Run,
    tmp_path: Path,
    record: MakeRecord,
    parquet: Path,
    name: str,
    neighbour: str,
    indent: int | None,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_text(json.dumps(record("run"), indent=indent))
    content = parquet.rename(tmp_path / "in" / neighbour).read_bytes()
    done = llem("save", f"in/{name}", "-o", "out", "--with-sidecars")
    assert (done.returncode, done.stderr) == (0, "")
    (sidecar,) = tmp_path.glob("out/*/timeseries.parquet")
    assert sidecar.read_bytes() == content
    assert saved(tmp_path / "out")["run"].timeseries == "timeseries.parquet"


def test_without_a_neighbour_there_is_no_sidecar_and_no_word(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("run")))
    done = llem("save", "x.json", "-o", "out", "--with-sidecars")
    assert (done.returncode, done.stderr) == (0, "")
    assert saved(tmp_path / "out")["run"].timeseries is None


def test_a_neighbour_of_several_results_is_left_alone_and_told(
    llem: Run, tmp_path: Path, lines: MakeLines, parquet: Path
) -> None:
    parquet.rename(tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text(lines(2))
    done = llem("save", "x.json", "-o", "out", "--with-sidecars")
    assert done.returncode == 0
    assert done.stderr == "warning: x.json: holds more than one result; x.parquet is left alone\n"
    assert len(saved(tmp_path / "out")) == 2
    assert not list(tmp_path.glob("out/*/timeseries.parquet"))


def test_a_sidecar_that_is_gone_is_one_line_and_the_result_is_saved(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("run")))
    (tmp_path / "x.parquet").symlink_to("gone.parquet")
    done = llem("save", "x.json", "-o", "out", "--with-sidecars")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: timeseries source 'x.parquet' does not exist; ")
    assert done.stderr.count("\n") == 1
    assert saved(tmp_path / "out").keys() == {"run"}


def test_timeseries_goes_with_the_one_result(
    llem: Run, tmp_path: Path, record: MakeRecord, parquet: Path
) -> None:
    done = llem("save", "-", "-o", "out", "--timeseries", parquet, input=json.dumps(record(), indent=2))
    assert (done.returncode, done.stderr) == (0, "")
    (sidecar,) = tmp_path.glob("out/*/timeseries.parquet")
    assert sidecar.read_bytes() == parquet.read_bytes()


@pytest.mark.parametrize("files", [["two.jsonl"], ["one.json", "one.json"], ["one.json", "two.jsonl"]])
def test_timeseries_with_more_results_is_refused_and_nothing_is_saved(
    llem: Run, tmp_path: Path, lines: MakeLines, parquet: Path, files: list[str]
) -> None:
    (tmp_path / "one.json").write_text(lines(1))
    (tmp_path / "two.jsonl").write_text(lines(2))
    done = llem("save", *files, "-o", "out", "--timeseries", parquet)
    assert done.returncode == 2
    assert done.stderr.startswith("llem save: --timeseries belongs to one result")
    assert not (tmp_path / "out").exists()


def test_a_sidecar_that_is_not_parquet_fails_but_the_result_is_saved_and_its_path_printed(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("run")))
    (tmp_path / "not.parquet").write_text("not Parquet")
    args = ("save", "x.json", "-o", "out", "--timeseries", "not.parquet")
    printing = llem(*args, "--print-paths")
    report = json.loads(llem(*args, "--json").stdout)
    assert printing.returncode == 1
    assert ExperimentResult.from_json(tmp_path / printing.stdout.rstrip("\n")).experiment_id == "run"
    assert "the result itself is safe" in printing.stderr
    assert (report["saved"], report["failed"], report["without_sidecar"]) == (1, 0, 1)
    assert [failure["saved_path"] for failure in report["failures"]] == report["paths"]


def test_records_that_name_a_trace_which_was_not_given_are_counted_once_at_the_end(
    llem: Run, tmp_path: Path, record: MakeRecord, parquet: Path
) -> None:
    parquet.rename(tmp_path / "x.parquet")
    for name in "xy":
        (tmp_path / f"{name}.json").write_text(json.dumps(record(name, timeseries="timeseries.parquet")))
    done = llem("save", "x.json", "y.json", "-o", "out")
    assert (done.returncode, done.stderr) == (0, "")
    hint = "; 2 records name a power trace that was not given (--timeseries, --with-sidecars)\n"
    assert done.stdout.endswith(hint)
    one = llem("save", "x.json", "y.json", "-o", "out", "--with-sidecars")
    assert "; 1 record names a power trace" in one.stdout
    none = llem("save", "x.json", "-o", "out", "--with-sidecars", "--json")
    assert json.loads(none.stdout)["traces_not_given"] == 0


# What is printed


def test_the_summary_says_how_many_how_much_and_where(llem: Run, tmp_path: Path, lines: MakeLines) -> None:
    done = llem("save", "-", "-o", "my results", input=lines(3))
    size = sum(path.stat().st_size for path in tmp_path.glob("my results/*/*"))
    assert done.stdout.startswith(f"3 results saved in my results: {size / 1000:.2f} kB in ")
    assert done.stdout.endswith(" results/s\n")


@pytest.mark.parametrize("output_dir", ["out", "./out", "../{here}/out", "{absolute}/out", "."])
def test_paths_are_printed_in_the_form_of_the_output_dir(
    llem: Run, tmp_path: Path, lines: MakeLines, output_dir: str
) -> None:
    output_dir = output_dir.format(here=tmp_path.name, absolute=tmp_path)
    done = llem("save", "-", "-o", output_dir, "--print-paths", input=lines(2))
    paths = done.stdout.splitlines()
    assert [path.startswith(f"{output_dir}/gpt2_pytorch_") for path in paths] == [True, True]
    assert [ExperimentResult.from_json(tmp_path / path).experiment_id for path in paths] == ["run-0", "run-1"]
    assert done.stderr.startswith(f"2 results saved in {output_dir}: ")


def test_json_is_one_object_that_accounts_for_every_record(
    llem: Run, tmp_path: Path, lines: MakeLines
) -> None:
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
    assert len(done.stderr.splitlines()) == 2  # the errors, and no summary


def test_quiet_leaves_nothing_but_errors(llem: Run, lines: MakeLines) -> None:
    good = llem("save", "-", "-o", "out", "--quiet", input=lines(2))
    bad = llem("save", "-", "-o", "out", "--quiet", input="{}")
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("<stdin>:1: experiment_id: Field required")


def test_names_that_look_like_markup_or_steer_terminals_are_shown_as_they_are(
    llem: Run, tmp_path: Path
) -> None:
    (tmp_path / "[red]b\x1b[31m\n.json").write_text("{}")
    done = llem("save", "[red]b\x1b[31m\n.json", "-o", "[bold] out")
    assert done.stderr.startswith("[red]b\\x1b[31m\\n.json:1: experiment_id: Field required")
    assert done.stdout == "no result saved in [bold] out; 1 not saved\n"


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_names_that_are_not_utf8_are_printed_byte_for_byte(
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


def test_a_reader_that_leaves_does_not_stop_the_saving(
    start: Start, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(50))
    receiver, sender = os.pipe()
    os.close(receiver)
    process = start("save", "x.jsonl", "-o", "out", "--print-paths", stdout=sender)
    os.close(sender)
    _, stderr = process.communicate()
    assert process.returncode == 0
    assert stderr.startswith(b"50 results saved in out: ")
    assert len(saved(tmp_path / "out")) == 50


def test_output_that_cannot_be_written_is_told_after_all_is_saved(
    llem: Run, tmp_path: Path, lines: MakeLines
) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = llem("save", "-", "-o", "out", "--json", input=lines(3), stdout=full)
    assert done.returncode == 1
    assert done.stderr == "llem: cannot write to standard output: No space left on device\n"
    assert len(saved(tmp_path / "out")) == 3


# On a terminal


def test_a_terminal_shows_progress_and_errors_above_it(
    terminal: Terminal, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(2) + "{}\n")
    status, out, seen = terminal("save", "x.jsonl", "-o", "out", "--print-paths")
    assert status == 1
    assert "Saving" in seen
    assert "2 saved" in seen
    assert "x.jsonl:3: experiment_id: Field required" in seen
    assert [(tmp_path / path).is_file() for path in out.splitlines()] == [True, True]


def test_quiet_has_no_progress_on_a_terminal_either(
    terminal: Terminal, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(2))
    assert terminal("save", "x.jsonl", "-o", "out", "--quiet") == (0, "", "")


def test_no_color_is_honoured_on_a_terminal(
    terminal: Terminal, environment: dict[str, str], tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(2))
    colours = [f"\x1b[{code}" for code in ("31m", "32m", "33m", "36m", "38;", "90m", "91m", "92m")]
    _, _, coloured = terminal("save", "x.jsonl", "-o", "out")
    environment["NO_COLOR"] = "1"
    _, _, plain = terminal("save", "x.jsonl", "-o", "out")
    assert any(colour in coloured for colour in colours)
    assert not any(colour in plain for colour in colours)


# What goes wrong


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
def test_wrong_usage_is_status_2_and_touches_nothing(
    llem: Run, tmp_path: Path, record: MakeRecord, args: tuple[str, ...]
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record()))
    done = llem("save", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llem save: ")
    assert done.stderr.endswith("\nTry 'llem save --help'.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_result_that_the_disk_does_not_take_fails_alone(
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
    assert saved(tmp_path / "out").keys() == {"small", "last"}
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_flush_that_failed_is_a_failure_of_a_result_that_is_there(tmp_path: Path, lines: MakeLines) -> None:
    (tmp_path / "x.jsonl").write_text(lines(1))
    patch = """
def failing(self, *args):
    path = submit(self, *args).result()
    future = Future()
    future.set_exception(PersistenceError(5, "Input/output error", path.parent, "flush_directory", path))
    return future
Writer.submit = failing
"""
    done = run_patched(patch, "save", "x.jsonl", "-o", "out", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["saved"], report["failed"], report["unconfirmed"]) == (1, 0, 1)
    assert [failure["saved_path"] for failure in report["failures"]] == report["paths"]
    assert "do not save it again" in done.stderr


def test_ctrl_c_while_waiting_for_input_says_how_many_are_saved(
    start: Start, tmp_path: Path, lines: MakeLines
) -> None:
    process = start("save", "-", "-o", "out", "--print-paths", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines(3).encode())
    process.stdin.flush()
    paths = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    # Standard input stays open: it is the signal that ends the program.
    rest = process.stdout.read()
    stderr = process.stderr.read() if process.stderr else b""
    assert process.wait() == 130
    assert rest == b""
    assert stderr.startswith(b"Interrupted: 3 results saved in out: ")
    assert stderr.count(b"\n") == 1
    assert len(saved(tmp_path / "out")) == len(paths) == 3
    process.communicate()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_in_the_middle_of_a_save_counts_that_result(
    tmp_path: Path, lines: MakeLines, moment: str
) -> None:
    (tmp_path / "x.jsonl").write_text(lines(5))
    patch = f"""
def interrupted(self, *args):
    if "{moment}" == "before":
        os.kill(os.getpid(), signal.SIGINT)
    future = submit(self, *args)
    if "{moment}" == "after":
        os.kill(os.getpid(), signal.SIGINT)
    return future
Writer.submit = interrupted
"""
    done = run_patched(patch, "save", "x.jsonl", "-o", "out", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 130
    assert report["interrupted"] is True
    assert (report["saved"], len(saved(tmp_path / "out"))) == (1, 1)
    assert done.stderr.startswith("Interrupted: 1 result saved in out: ")
