"""Files and streams that `llem save` reads."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult
from support.processes import run_code
from support.trees import load_by_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[bytes]]
    Terminal = Callable[..., tuple[int, str, str]]
    MakeRecord = Callable[..., dict[str, Any]]
    MakeLines = Callable[[int], str]


def zstd_of(content: bytes) -> bytes:
    """Return a frame of zstd with the content as it is, in raw blocks: see RFC 8878."""
    blocks = [content[at : at + 65536] for at in range(0, len(content), 65536)]
    frame = b"\x28\xb5\x2f\xfd\x00\x58"
    for number, block in enumerate(blocks, 1):
        frame += (len(block) << 3 | (number == len(blocks))).to_bytes(3, "little") + block
    return frame


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("source", ["x.json", "-"])
def test_save_one_json_object_saves_one_result(
    llem: Run, tmp_path: Path, record: MakeRecord, indent: int | None, source: str
) -> None:
    text = json.dumps(record("alone"), indent=indent)
    (tmp_path / "x.json").write_text(text)
    done = llem("save", source, "-o", "out", input=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_by_id(tmp_path / "out") == {"alone": ExperimentResult.model_validate_json(text)}


@pytest.mark.parametrize("source", ["x.jsonl", "x.ndjson", "x.txt", "-"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_save_json_lines_saves_one_result_per_line(
    llem: Run, tmp_path: Path, lines: MakeLines, source: str, end: str
) -> None:
    content = ("\n\n" + lines(3).replace("\n", "\n \n")).replace("\n", end).encode()
    (tmp_path / source).write_bytes(content)
    with (tmp_path / source).open("rb") as stdin:
        done = llem("save", source, "-o", "out", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_by_id(tmp_path / "out").keys() == {"run-0", "run-1", "run-2"}


def test_save_file_with_byte_order_mark_ignores_it(llem: Run, tmp_path: Path, record: MakeRecord) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record("marked"), indent=2), encoding="utf-8-sig")
    assert llem("save", "x.json", "-o", "out").returncode == 0
    assert load_by_id(tmp_path / "out").keys() == {"marked"}


@pytest.mark.parametrize("source", ["x.jsonl", "x.txt", "-"])
@pytest.mark.parametrize("joint", ["\n", "\r\n", "\n\ufeff\n", "\n\ufeff"])
def test_save_concatenated_files_with_byte_order_marks_saves_each_result(
    llem: Run, tmp_path: Path, record: MakeRecord, source: str, joint: str
) -> None:
    # A mark within a text belongs to the text.
    texts = ["\ufeff" + json.dumps(record(f"run-{n}\ufeff"), ensure_ascii=False) for n in range(3)]
    (tmp_path / source).write_text(joint.join(texts), encoding="utf-8", newline="")
    with (tmp_path / source).open("rb") as stdin:
        done = llem("save", source, "-o", "out", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_by_id(tmp_path / "out").keys() == {f"run-{n}\ufeff" for n in range(3)}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("form", ["{}{}", "{}\n{}\n", "[{},\n{}]", "[\n{}\n,\n{}\n]\n"])
@pytest.mark.parametrize("source", ["x.json", "-"])
def test_save_several_results_of_one_text_saves_each(
    llem: Run, tmp_path: Path, record: MakeRecord, mark: str, indent: int | None, form: str, source: str
) -> None:
    one, two = (json.dumps(record(name), indent=indent) for name in ("one", "two"))
    text = mark + form.replace("{}", one, 1).replace("{}", mark * (form[0] == "{") + two, 1)
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    done = llem("save", source, "-o", "out", input=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_by_id(tmp_path / "out").keys() == {"one", "two"}


@pytest.mark.parametrize("source", ["x.json", "-"])
def test_save_compressed_or_utf_16_results_saves_them(
    llem: Run, tmp_path: Path, record: MakeRecord, source: str
) -> None:
    texts = [json.dumps(record(f"run-{number}"), indent=2) for number in range(2)]
    forms = [
        gzip.compress("\n".join(texts).encode()),
        "".join(texts).encode("utf-16"),
        b"".join(text.encode("utf-16") for text in texts),
        gzip.compress("".join(texts).encode("utf-16-le")),
        zstd_of("\n".join(texts).encode()),
    ]
    for number, form in enumerate(forms):
        (tmp_path / "x.json").write_bytes(form)
        with (tmp_path / "x.json").open("rb") as stdin:
            done = llem("save", source, "-o", f"out{number}", stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), number
        assert load_by_id(tmp_path / f"out{number}").keys() == {"run-0", "run-1"}


def test_save_a_text_with_a_fault_saves_the_others(llem: Run, tmp_path: Path, record: MakeRecord) -> None:
    one, cut, two = (json.dumps(record(name), indent=2) for name in ("one", "cut", "two"))
    for number, form in enumerate(("{}\n{}\n{}\n", "[\n{},\n{},\n{}\n]")):
        (tmp_path / "x.json").write_text(form.format(one, cut[: len(cut) // 2] + "\n", two))
        done = llem("save", "x.json", "-o", f"out{number}")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"x.json:{one.count(chr(10)) + 2 + number}: it is ")
        assert load_by_id(tmp_path / f"out{number}").keys() == {"one", "two"}


@pytest.mark.parametrize("command", ["save", "import"])
def test_a_file_of_another_kind_is_one_line_that_names_the_command(
    llem: Run, tmp_path: Path, record: MakeRecord, command: str
) -> None:
    serving = json.dumps({"model_id": "m", "tokenizer_id": "m", "num_prompts": 1, "duration": 1.0}) + "\n"
    power = "timestamp, index, power.draw [W]\n2026/05/04 10:00:00.000, 0, 118.11 W\n"
    (tmp_path / "store").mkdir()
    (tmp_path / "x.json").write_text(json.dumps(record("one")))
    assert llem("save", "x.json", "-o", "store").returncode == 0
    assert llem("export", "store", "-o", "flat.csv").returncode == 0
    others = {
        "serving.jsonl": (serving * 1000, "got vLLM bench serve; use llem import"),
        "gpu.csv": (power * 1000, "got a power log"),
        "other.jsonl": ('{"epoch": 1, "loss": 2.5}\n' * 1000, "the keys epoch, loss"),
        "flat.csv": (
            (tmp_path / "flat.csv").read_text(),
            "got an export of llenergymeasure; use",
        ),
        "old.jsonl": (
            (json.dumps(record(schema_version="3.0")) + "\n") * 1000,
            'expected schema line "2.0", got "3.0"; use llem import',
        ),
    }
    for name, (content, said) in others.items():
        (tmp_path / name).write_text(content)
        if command == "import" and name not in ("gpu.csv", "other.jsonl"):
            continue
        done = llem(command, name, "x.json", "-o", "out")
        assert done.returncode == 1, name
        assert done.stderr.count("\n") == 1, name
        assert done.stderr.startswith(f"{name}: expected "), name
        assert said in done.stderr, name
        assert command == "import" or "import" in done.stderr or "--power" in done.stderr, name


def test_save_with_broken_first_line_saves_the_other_lines(
    llem: Run, tmp_path: Path, lines: MakeLines
) -> None:
    (tmp_path / "x.log").write_text('{"cut": \n' + lines(2))
    done = llem("save", "x.log", "-o", "out")
    assert done.returncode == 1
    assert done.stderr == "x.log:1: it is truncated: the JSON ends at column 8\n"
    assert load_by_id(tmp_path / "out").keys() == {"run-0", "run-1"}


def test_save_with_invalid_lines_names_them_and_saves_the_others(
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
    assert load_by_id(tmp_path / "out").keys() == {"first", "last"}
    assert "2 results saved in out" in done.stdout
    assert "; 2 not saved" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a result, got an empty file"),
        (b"\n \n", "expected a result, got blank lines"),
        (
            b'[\n{"a": 1},\n{"a": 2}\n]',
            "expected results, got JSON with the keys a; llem import reads the files of other tools",
        ),
        (b"[]", "expected a JSON object, got an array; write one result per line"),
        (b'"text"', "expected a JSON object, got a string; write one result per line"),
        (b"12", "expected a JSON object, got a number; write one result per line"),
        (b'{\n  "a": "\xff"}', "it is not UTF-8: byte 10 is invalid"),
        (b"\0\0\0\0", "the file holds only NUL bytes, which a crash before a flush leaves"),
        (b'{\n  "a": ', "it is truncated: the JSON ends at line 2 column 7"),
        (
            b'{\n  "a": 1\n}\n{\n}',
            "expected results, got JSON with the keys a; llem import reads the files of other tools",
        ),
        (b"nonsense", "it is not JSON: expected ident at column 2"),
    ],
)
def test_save_invalid_file_reports_one_line(
    llem: Run, tmp_path: Path, record: MakeRecord, content: bytes, message: str
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "good.json").write_text(json.dumps(record("good")))
    done = llem("save", "bad.json", "good.json", "-o", "out")
    assert done.returncode == 1
    assert done.stderr == f"bad.json: {message}\n"
    assert load_by_id(tmp_path / "out").keys() == {"good"}


def test_save_other_schema_line_reports_that_alone(llem: Run, tmp_path: Path, record: MakeRecord) -> None:
    (tmp_path / "x.json").write_text(json.dumps(record(schema_version="3.0", new_field=1), indent=2))
    done = llem("save", "x.json", "-o", "out")
    assert done.returncode == 1
    assert done.stderr.startswith('x.json: expected schema line "2.0", got "3.0"; use llem import')
    assert done.stderr.count("\n") == 1
    assert "more)" not in done.stderr


def test_save_missing_file_or_directory_saves_the_others(
    llem: Run, tmp_path: Path, record: MakeRecord
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "good.json").write_text(json.dumps(record("good")))
    done = llem("save", "missing.json", "dir", "good.json", "-o", "out")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "missing.json: cannot be read: No such file or directory",
        "dir: expected results, got a directory without any",
    ]
    assert load_by_id(tmp_path / "out").keys() == {"good"}


def test_save_from_a_pipe_saves_each_line_at_once(start: Start, tmp_path: Path, lines: MakeLines) -> None:
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
def test_save_json_lines_larger_than_memory_streams_them(tmp_path: Path, record: MakeRecord) -> None:
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
    done = run_code(code, "save", "huge.jsonl", "-o", "out", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(load_by_id(tmp_path / "out")) == count
    assert int(done.stdout) * 1024 < (tmp_path / "huge.jsonl").stat().st_size * 0.75


def test_save_real_results_keeps_them_equal(llem: Run, tmp_path: Path, data: Path) -> None:
    source = data / "mlenergy_llm_results.jsonl"
    done = llem("save", source, "-o", "out", "--json")
    report = json.loads(done.stdout)
    given = [ExperimentResult.model_validate_json(line) for line in source.read_bytes().splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [ExperimentResult.from_json(tmp_path / path) for path in report["paths"]] == given
