"""Detection of formats, formats of other packages, and files that are broken or foreign."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, importers
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._registry import items
from support.foreign import EXAMPLES, import_file
from support.processes import run_code

FORMATS = {
    "vllm_bench_serve.json": "vllm",
    "vllm_bench_serve.jsonl": "vllm",
    "sglang_bench_serving.jsonl": "sglang",
    "aiperf_2025.json": "aiperf",
    "aiperf_2026.json": "aiperf",
    "genai_perf.json": "genai-perf",
    "optimum_benchmark/benchmark_report.json": "optimum-benchmark",
    "optimum_latency/benchmark_report.json": "optimum-benchmark",
    "codecarbon_emissions.csv": "codecarbon",
}


@pytest.mark.parametrize(("name", "expected"), FORMATS.items())
def test_detect_example_finds_exactly_one_format(tmp_path: Path, name: str, expected: str) -> None:
    file = tmp_path / "renamed"
    file.write_bytes((EXAMPLES / name).read_bytes())
    matching = [each.name for each in importers.formats().values() if each.importer.matches(file)]
    assert matching[0] == expected
    assert importers.detect(file).name == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_read_example_truncated_at_each_byte_gives_one_sentence(tmp_path: Path, name: str) -> None:
    content = (EXAMPLES / name).read_bytes()
    whole = [built.result.total_energy_j for built in import_file(EXAMPLES / name).built]
    file = tmp_path / Path(name).name
    for size in range(len(content)):
        file.write_bytes(content[:size])
        os.utime(file, ns=(size, size))  # the size alone tells two truncations apart
        outcome = import_file(file)
        energies = [built.result.total_energy_j for built in outcome.built]
        # NaN is the same object here, and so equal.
        assert repr(energies) == repr(whole[: len(energies)]), size
        assert len(outcome.messages) <= 1
        assert (
            outcome.messages
            or energies == []
            or content[size:].strip(b"\r\n0.}") == b""
            or name.endswith(("jsonl", "csv"))
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_read_example_with_any_byte_replaced_gives_sentences(tmp_path: Path, name: str) -> None:
    content = (EXAMPLES / name).read_bytes()
    file = tmp_path / Path(name).name
    for place in range(0, len(content), 3):
        for byte in (b"\0", b"\xff", b'"', b"9"):
            file.write_bytes(content[:place] + byte + content[place + 1 :])
            os.utime(file, ns=(place, ord(byte)))
            import_file(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file; run the tool again"),
        (b"\n \n", "got an empty file; run the tool again"),
        (b"emissions,energy_consumed\n", "got one without any; run the tool again"),
        (b"PAR1....", "got a Parquet file; name the format"),
        (b"\x7fELF\0\0\0", "got a binary file; name the format"),
        (b"hello\nworld\n", "got text; name the format"),
        (b"a,b\n1,2\n", "got CSV with the columns a, b; name the format"),
        (b'{"a": 1, "b": {"c": 2}}', "got JSON with the keys a, b; name the format"),
        (b"[1, 2]", "got JSON without an object; name the format"),
        (b"timestamp, power.draw [W]\n1, 2 W\n", "got a power log; use llem import RESULTS --power file"),
    ],
)
def test_read_foreign_file_says_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    outcome = import_file(file)
    assert outcome.built == []
    assert [message in each for each in outcome.messages] == [True], outcome.messages


def test_read_with_a_format_ignores_detection(tmp_path: Path) -> None:
    file = tmp_path / "minimal.json"
    file.write_text('{"duration": 2.0, "total_input_tokens": 3, "total_output_tokens": 4}')
    with pytest.raises(NotImportableError, match="name the format with --from"):
        list(importers.read(file))
    [result] = importers.read(file, "vllm")
    assert result.total_tokens == 7
    with pytest.raises(ValueError, match="expected a format, one of aiperf"):
        list(importers.read(file, "none"))


def test_read_names_file_and_line_of_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text((EXAMPLES / "vllm_bench_serve.jsonl").read_text() + "{\n")
    with pytest.raises(NotImportableError, match=r"runs\.jsonl:3: expected complete JSON"):
        list(importers.read(file))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "gzip"])
def test_read_other_encodings_is_the_same(tmp_path: Path, encoding: str) -> None:
    text = (EXAMPLES / "vllm_bench_serve.jsonl").read_text()
    file = tmp_path / "runs"
    if encoding == "gzip":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_bytes(("\ufeff" + text if encoding == "utf-16-le" else text).encode(encoding))
    assert [built.result.total_tokens for built in import_file(file).built] == [900, 912]


def test_read_truncated_gzip_is_an_error(tmp_path: Path) -> None:
    content = gzip.compress((EXAMPLES / "vllm_bench_serve.jsonl").read_bytes())
    for size in range(2, len(content)):
        (tmp_path / "runs.gz").write_bytes(content[:size])
        assert import_file(tmp_path / "runs.gz", "vllm").messages != []


def test_read_odd_json_gives_sentences(tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    mark = '"model_id": "m", "num_prompts": 1'
    for text in (
        f'{{{mark}, "x": {"[" * 300}{"]" * 300}}}',
        f'{{{mark}, "x": {"9" * 5000}}}',
        f'{{{mark}, "x": "\\ud800"}}',
        f'{{{mark}, "duration": 1e400}}',
        f'{{{mark}, "duration": {"9" * 400}}}',
        f'{{{mark}, "total_input_tokens": 1.5, "total_output_tokens": 2}}',
        f'{{{mark}, "duration": true}}',
        f'{{{mark}, "backend": 7}}',
        f'{{{mark}, "date": "00000000-000000"}}',
        f'{{{mark}, "duration": 1e300, "date": "20260101-000000"}}',
    ):
        file.write_text(text)
        outcome = import_file(file, "vllm")
        assert len(outcome.built) + len(outcome.messages) == 1, text[:60]


MADE_UP = """
import csv
from llenergymeasure.importers import Imported, Mapped

TITLE = "Made-up meter"

def matches(path):
    return path.read_bytes().startswith(b"meter;")

def read(path):
    for line, row in enumerate(csv.DictReader(path.open(), delimiter=";"), 2):
        yield Imported(
            fields={
                "total_energy_j": float(row["wh"]) * 3600,
                "total_tokens": int(row["tokens"]),
                "total_inference_time_sec": float(row["s"]),
            },
            config={"model": row["model"]},
            rest={"room": row["room"]},
            version="1",
            mapping=[Mapped("wh", "total_energy_j", "3600")],
            line=line,
        )
"""


def test_entry_point_adds_a_format(tmp_path: Path) -> None:
    (tmp_path / "made_up.py").write_text(MADE_UP)
    installed = tmp_path / "made_up-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[llenergymeasure.importers]\nmade-up = made_up\n")
    (tmp_path / "log").write_text("meter;model;wh;tokens;s;room\nm1;gpt2;0.5;100;4.0;7\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "llenergymeasure", "import", "log", "-o", "out", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    tally = json.loads(done.stdout)
    assert tally["files"] == [{"file": "log", "format": "made-up", "imported": 1, "failed": 0}]
    record = json.loads((tmp_path / tally["paths"][0]).read_text())
    assert (record["total_energy_j"], record["total_tokens"]) == (1800.0, 100)  # 0.5 Wh * 3600
    assert record["avg_tokens_per_second"] == 25.0
    assert record["effective_config"]["imported_from"] == {
        "format": "made-up",
        "version": "1",
        "file": "log",
        "data": {"room": "7"},
    }


def test_entry_points_that_fail_are_warned_of_and_skipped(tmp_path: Path) -> None:
    (tmp_path / "raising.py").write_text(
        "def matches(path): raise OSError('disk')\ndef read(path): raise KeyError('x')\n"
    )
    (tmp_path / "broken.py").write_text("1 / 0\n")
    installed = tmp_path / "bad-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[llenergymeasure.importers]\nraising = raising\nbroken = broken\nempty = json\n"
    )
    code = (
        "import pathlib, sys, warnings; from llenergymeasure import importers\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    print(importers.detect(pathlib.Path(sys.argv[1])).name)\n"
        "print(*(str(each.message) for each in seen), sep='\\n')\n"
        "try: list(importers.read(sys.argv[1], 'raising'))\n"
        "except importers.NotImportableError as error: print(error)\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = run_code(
        code, EXAMPLES / "vllm_bench_serve.json", check=True, env=os.environ | {"PYTHONPATH": path}
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "vllm"
    assert any("cannot load the importer 'broken'" in line and "ZeroDivisionError" in line for line in lines)
    assert any("cannot load the importer 'empty'" in line for line in lines)
    assert any("the importer 'raising' failed to look at" in line for line in lines)
    assert lines[-1] == (
        "expected a raising file, got one at which its importer failed with KeyError: 'x'; report it"
    )


def test_importer_may_yield_times_as_text_and_nothing_but_records(tmp_path: Path) -> None:
    class Fake:
        def __init__(self, item: Any) -> None:
            self.item = item

        def matches(self, _: Path) -> bool:
            return True

        def read(self, _: Path) -> Iterator[Any]:
            yield self.item

    def build(item: Any) -> ExperimentResult:
        found = importers.Format("fake", Fake(item))
        [only] = items(found, tmp_path)
        return importers.build(only, found, tmp_path).result

    result = build(
        importers.Imported(fields={"end_time": "2026-05-04T10:00:10Z", "total_inference_time_sec": 4.0})
    )
    assert result.start_time == datetime(2026, 5, 4, 10, 0, 6, tzinfo=timezone.utc)
    assert (result.backend, result.measurement_methodology) == ("unknown", "total")
    with pytest.raises(NotImportableError, match="got dict; report it"):
        build({"total_tokens": 1})


def test_import_package_does_not_load_importers() -> None:
    code = "import sys, llenergymeasure; print([n for n in sys.modules if 'importers' in n])"
    assert run_code(code, check=True).stdout.strip() == "[]"
