"""Verification counts complete results, and names damage, leftovers and foreign directories."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, ResultError, ResultStore
from llenergymeasure.results.timeseries import Timeseries

GIVEN = "gpt2_pytorch_2026-02-18T14-30"
TRACE = Timeseries(timestamp_s=[0.0, 1.0], gpu_index=[0, 0], power_w=[251.5, 249.0])


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def problems(findings: list[tuple[Path, str]], store: ResultStore) -> dict[str, str]:
    return {str(path.relative_to(store.root)): problem for path, problem in findings}


@pytest.mark.parametrize("deep", [False, True])
def test_verify_complete_results_at_any_depth_counts_them(
    store: ResultStore, result: ExperimentResult, *, deep: bool
) -> None:
    store.save(result, TRACE)
    for n in range(200):
        result.save(store.root / f"study-{n % 3}", durable=False)
    seen: list[tuple[int, int | None]] = []
    found = store.verify(deep=deep, progress=lambda *output: seen.append(output))
    assert found.ok
    assert found.complete == 201
    assert found.damaged == found.incomplete == found.foreign == found.missing_sidecars == []
    assert seen[-1] == (201, 201)
    assert repr(found) == f"<Verification of {str(store.root)!r}: 201 complete>"


def test_verify_damaged_records_names_each_with_its_fault(
    store: ResultStore, result: ExperimentResult
) -> None:
    complete = result.model_dump_json().encode()
    damages = {
        "empty": (b"", "the file is empty"),
        "nul": (bytes(9), "NUL"),
        "cut": (complete[:-9], "truncated"),
        "list": (b"[]", "expected a JSON object"),
        "line": (complete.replace(b'"2.0"', b'"1.0"'), 'schema line "2.0", got "1.0"'),
    }
    for name, (content, _) in damages.items():
        (store.root / name).mkdir(parents=True)
        (store.root / name / "result.json").write_bytes(content)
    (store.root / "directory" / "result.json").mkdir(parents=True)
    (store.root / "link").mkdir()
    (store.root / "link" / "result.json").symlink_to(store.root / "empty" / "result.json")
    (store.root / "dangling").mkdir()
    (store.root / "dangling" / "result.json").symlink_to("nothing")
    found = store.verify()
    document = problems(list(found.damaged), store)
    assert not found.ok
    assert found.complete == 0
    assert document.keys() == {*damages, "directory", "link", "dangling"}
    for name, (_, expected) in damages.items():
        assert expected in document[name]
    assert "not a regular file" in document["directory"]
    assert "the file is empty" in document["link"]
    assert "a symbolic link that leads to nothing" in document["dangling"]
    assert found.damaged == sorted(found.damaged)


def test_verify_duplicate_key_reports_it_like_load(store: ResultStore, result: ExperimentResult) -> None:
    record = store.save(result, durable=False)
    record.write_bytes(b'{"schema_version": "2.0",' + record.read_bytes()[1:])
    with pytest.raises(ResultError, match="schema_version twice"):
        store.load(record)
    for deep in (False, True):
        (found,) = store.verify(deep=deep).damaged
        assert "schema_version twice" in found.problem


def test_verify_separates_leftovers_from_foreign_directories(
    store: ResultStore, result: ExperimentResult
) -> None:
    study = store.root / "study"
    result.save(study)
    for name in (GIVEN, f"{GIVEN}_1", f"{GIVEN}_2", "half", "plots/png", "traces", "empty"):
        (study / name).mkdir(parents=True)
    (study / f"{GIVEN}_1" / "timeseries.parquet").touch()
    (study / f"{GIVEN}_2" / ".timeseries.parquet.tmp").touch()
    (study / "half" / ".result.json.tmp").touch()
    (study / "plots" / "png" / "x.png").touch()
    (study / "traces" / "timeseries.parquet").touch()
    found = store.verify()
    assert found.ok
    assert found.complete == 1
    assert problems(list(found.incomplete), store) == {
        f"study/{GIVEN}": "an empty directory",
        f"study/{GIVEN}_1": "a power trace, and no record",
        f"study/{GIVEN}_2": "temporary files of a save, and no record",
        "study/half": "temporary files of a save, and no record",
    }
    assert problems(list(found.foreign), store).keys() == {"study/plots", "study/traces", "study/empty"}


def test_verify_missing_sidecar_reports_it(store: ResultStore, result: ExperimentResult) -> None:
    path = store.save(result, TRACE)
    path.with_name("timeseries.parquet").unlink()
    found = store.verify()
    assert not found.ok
    assert found.complete == 1
    assert [finding.path for finding in found.missing_sidecars] == [path.parent]


def test_verify_deep_finds_invalid_fields_and_truncated_traces(
    store: ResultStore, result: ExperimentResult, make_result: Callable[..., ExperimentResult]
) -> None:
    wrong = json.loads(result.model_dump_json()) | {"total_tokens": "many", "extra": 1}
    (store.root / "wrong").mkdir(parents=True)
    (store.root / "wrong" / "result.json").write_text(json.dumps(wrong))
    torn = store.save(make_result(), TRACE).with_name("timeseries.parquet")
    torn.write_bytes(torn.read_bytes()[:-7])
    page = store.save(make_result(), TRACE).with_name("timeseries.parquet")
    content = bytearray(page.read_bytes())
    content[4:40] = bytes(36)
    page.write_bytes(content)
    (bad,) = store.verify().damaged
    assert bad.path == store.root / "wrong"
    found = store.verify(deep=True)
    document = {path: problem for path, problem in found.damaged}  # noqa: C416 - of named tuples
    assert found.complete == 0
    assert document.keys() == {store.root / "wrong", torn.parent, page.parent}
    assert "expected an integer in total_tokens" in document[store.root / "wrong"]
    assert "is not a complete power trace" in document[torn.parent]
    assert "timeseries.parquet" in document[page.parent]


def test_verify_deep_ignores_columns_that_it_cannot_decode(
    store: ResultStore, result: ExperimentResult, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"timestamp_s": [0.0, 1.0], "power_w": [1.0, 2.0]}
    table = pyarrow.table(columns | {"samples": [[1], [2, 3]], "state": [{"a": 1}, {"a": 2}]})
    for compression in ("gzip", "snappy", "zstd", "none"):
        parquet.write_table(table, tmp_path / "x.parquet", compression=compression)
        store.save(result, tmp_path / "x.parquet")
    found = store.verify(deep=True)
    # No reader reads a trace that is compressed with gzip.
    ((_, problem),) = found.damaged
    assert "its column power_w is compressed with GZIP" in problem or "timestamp_s is compressed" in problem
    assert found.complete == 3


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
def test_verify_deep_accepts_delta_encoded_strings_that_scan_rejects(
    encoding: str, version: str, store: ResultStore, result: ExperimentResult, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    trace = tmp_path / "x.parquet"
    parquet.write_table(
        pyarrow.table({"timestamp_s": [0.0, 1.0], "power_w": [1.0, 2.0], "phase": ["prefill", "decode"]}),
        trace,
        use_dictionary=False,
        column_encoding={"timestamp_s": "PLAIN", "power_w": "PLAIN", "phase": encoding},
        data_page_version=version,
    )
    store.save(result, trace)
    found = store.verify(deep=True)
    assert found.ok, found.damaged
    assert store.scan_timeseries(["power_w"]).to_pydict() == {"power_w": [1.0, 2.0]}
    with pytest.raises(ResultError, match="its column phase has delta-encoded string lengths"):
        store.scan_timeseries(["phase"]).to_pydict()


def test_verify_result_in_trash_reports_damage(store: ResultStore, result: ExperimentResult) -> None:
    path = store.save(result)
    trash = store.root / ".trash-0123456789abcdef"
    trash.mkdir()
    path.parent.rename(trash / path.parent.name)
    (store.root / ".trash-1").mkdir()
    found = store.verify()
    assert [finding.path for finding in found.damaged] == [trash]
    assert [finding.path.name for finding in found.incomplete] == [".trash-1"]


def test_verify_missing_or_unreadable_root_names_it(store: ResultStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.verify()
    closed = store.root / "closed"
    closed.mkdir(parents=True)
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    closed.chmod(0)
    (finding,) = store.verify().damaged
    closed.chmod(0o700)
    assert finding.path == closed
    assert "Permission denied" in finding.problem


def test_verify_with_failing_progress_raises_its_exception(
    store: ResultStore, result: ExperimentResult
) -> None:
    store.save(result)

    def stop(*_: object) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        store.verify(progress=stop)


def test_verify_real_measurements_reports_known_files_only(data: Path) -> None:
    found = ResultStore(data).verify(deep=True)
    assert all("result.json" in problem or "timeseries" in problem for _, problem in found.damaged)
