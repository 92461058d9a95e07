"""Runs that failed: `ResultStore.save_failure`, `failures`, and what the other verbs make of them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.domain.failure import MAX_OUTPUT, FailedRun
from llenergymeasure.errors import LLEMError, ResultCorruptError
from support.results import make_result

CONFIG = {"model": "meta-llama/Llama-3.1-8B_failed", "backend": "vllm", "batch_size": 8}


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def raised(error: BaseException) -> BaseException:
    """Return an exception that was raised, and so has a traceback."""
    try:
        raise error  # noqa: TRY301 - for its traceback
    except BaseException as caught:  # noqa: BLE001 - any
        return caught


def test_save_failure_writes_a_record_that_reads_back(store: ResultStore) -> None:
    started = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
    path = store.save_failure(
        CONFIG, raised(RuntimeError("no memory\x00\ud800")), started=started, output=b"a\xff"
    )
    assert path.name == "failure.json"
    assert path.parent.name.startswith("meta-llama-llama-3.1-8b_failed_vllm_")
    assert path.parent.name.endswith("_failed")
    assert [entry.name for entry in path.parent.iterdir()] == ["failure.json"]
    [(found, run)] = store.failures()
    assert found == path
    assert run.effective_config == CONFIG
    assert run.measurement_config_hash == compute_measurement_config_hash(CONFIG)
    assert (run.backend, run.error_type, run.start_time) == ("vllm", "RuntimeError", started)
    assert run.message == "no memory\x00\\ud800"
    assert run.output == "a\\xff"
    assert "raise error" in str(run.traceback)
    assert run.host
    assert run.duration_sec is not None
    assert run.duration_sec > 0
    assert FailedRun.model_validate_json(path.read_bytes()) == run
    assert path.read_bytes().startswith(b'{\n  "schema_version": "1.0",')


def test_save_failure_keeps_the_end_of_a_long_output(store: ResultStore) -> None:
    store.save_failure(CONFIG, ValueError("x"), output="a" * MAX_OUTPUT + "the end")
    [(_, run)] = store.failures()
    assert len(run.output or "") == MAX_OUTPUT
    assert (run.output or "").endswith("a" + "the end")


def test_save_failure_of_a_program_keeps_its_output(store: ResultStore) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run(
            [sys.executable, "-c", "raise SystemExit('out of memory')"], check=True, capture_output=True
        )
    store.save_failure(CONFIG, caught.value)
    [(_, run)] = store.failures()
    assert (run.error_type, (run.output or "").strip()) == ("subprocess.CalledProcessError", "out of memory")


def test_save_failure_of_naive_start_has_a_naive_end(store: ResultStore) -> None:
    store.save_failure(CONFIG, ValueError("x"), started=datetime(2026, 2, 18))  # noqa: DTZ001 - naive
    [(_, run)] = store.failures()
    assert run.end_time.tzinfo is None
    assert run.duration_sec is not None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([1], ValueError("x")), TypeError),
        ((CONFIG, "x"), TypeError),
        (({"x": object()}, ValueError("x")), ValueError),
        ((CONFIG, ValueError("x"), {"started": 1.5}), TypeError),
        ((CONFIG, ValueError("x"), {"output": 3}), TypeError),
    ],
)
def test_save_failure_of_wrong_arguments_leaves_nothing(
    store: ResultStore, arguments: Any, error: type[Exception]
) -> None:
    options = arguments[2] if len(arguments) > 2 else {}
    with pytest.raises(error):
        store.save_failure(*arguments[:2], **options)
    assert not store.root.exists()


def test_save_failure_whose_text_cannot_be_read_is_saved(store: ResultStore) -> None:
    class Mute(Exception):  # noqa: N818 - its text is the fault
        def __str__(self) -> str:
            raise KeyError

    store.save_failure(CONFIG, raised(Mute()))
    [(_, run)] = store.failures()
    assert "cannot be read" in run.message
    assert run.error_type.endswith("Mute")


def test_readers_of_results_do_not_see_failures(store: ResultStore) -> None:
    store.save(make_result(effective_config={"model": "gpt2_failed", "backend": "failed"}))
    for _ in range(3):
        store.save_failure(CONFIG, ValueError("x"))
    assert len(store.load_all()) == 1
    assert store.scan().count() == 1
    assert store.scan(["path"]).to_pydict()["path"][0].startswith("gpt2_failed_failed_")
    assert len(list(store)) == 1
    assert len(store.completed()) == 1
    names = sorted(path.parent.name for path, _ in store.failures())
    assert [name.rpartition("_failed")[2] for name in names] == ["", "_1", "_2"]


def test_failures_that_meet_conditions(store: ResultStore) -> None:
    for size, error in enumerate([ValueError("a"), MemoryError("b"), ValueError("c")]):
        store.save_failure(CONFIG | {"batch_size": size}, error)

    def messages(**arguments: Any) -> list[str]:
        return [run.message for _, run in store.failures(**arguments)]

    assert sorted(messages()) == ["a", "b", "c"]
    assert sorted(messages(where=[("error", "==", "ValueError")])) == ["a", "c"]
    assert messages(where=[("config.batch_size", "==", 1)]) == ["b"]
    assert messages(newest=1) == ["c"]
    assert messages(where=[("message", "==", "a")], newest=2) == []
    with pytest.raises(ValueError, match="total_energy_j"):
        messages(where=[("total_energy_j", ">", 1)])


def test_failures_of_no_directory_are_none(store: ResultStore) -> None:
    assert list(store.failures()) == []
    assert store.missing([CONFIG]) == [CONFIG]


def test_failures_with_invalid_file_raise_or_skip_it(store: ResultStore) -> None:
    store.save_failure(CONFIG, ValueError("a"))
    broken = store.save_failure(CONFIG, ValueError("b"))
    broken.write_bytes(broken.read_bytes()[:-30])
    with pytest.raises(ResultCorruptError, match=r"failure\.json"):
        list(store.failures())
    with pytest.warns(UserWarning, match="1 file"):
        assert [run.message for _, run in store.failures(on_error="skip")] == ["a"]


def test_failures_of_another_schema_line_name_it(store: ResultStore) -> None:
    path = store.save_failure(CONFIG, ValueError("a"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": "9.0"}))
    with pytest.raises(LLEMError, match=r"9\.0"):
        list(store.failures())


@pytest.mark.parametrize("deep", [False, True])
def test_verify_counts_failures_and_reports_invalid_ones(store: ResultStore, *, deep: bool) -> None:
    store.save(make_result())
    store.save_failure(CONFIG, ValueError("a"))
    broken = store.save_failure(CONFIG, ValueError("b"))
    found = store.verify(deep=deep)
    assert (found.ok, found.complete, found.failures) == (True, 1, 2)
    assert not found.foreign
    assert not found.incomplete
    assert str(found) == "1 complete, 2 failed"
    broken.write_bytes(b"")
    found = store.verify(deep=deep)
    assert (found.ok, found.complete, found.failures) == (False, 1, 1)
    assert [finding.path for finding in found.damaged] == [broken.parent]


def test_clean_keeps_failures_and_removes_their_leftovers(store: ResultStore) -> None:
    path = store.save_failure(CONFIG, ValueError("a"))
    leftover = path.parent.with_name(f"{path.parent.name}_1")
    leftover.mkdir()
    (leftover / ".failure.json.tmp").write_bytes(b"half")
    assert [str(one.path) for one in store.verify().incomplete] == [str(leftover)]
    store.clean(older_than="0s", dry_run=False)
    assert path.exists()
    assert not leftover.exists()


def test_directory_with_both_files_is_a_result(store: ResultStore) -> None:
    path = store.save_failure(CONFIG, ValueError("a"))
    (path.parent / "result.json").write_bytes(store.save(make_result()).read_bytes())
    assert len(store.load_all()) == 2
    assert list(store.failures()) == []
    assert store.verify().failures == 0


def test_missing_counts_a_failure_as_done_unless_it_is_retried(store: ResultStore) -> None:
    store.save_failure(CONFIG, ValueError("a"))
    store.save(make_result(effective_config=CONFIG | {"batch_size": 16}))
    asked = [CONFIG, CONFIG | {"batch_size": 16.0}, CONFIG | {"batch_size": 32}]
    assert store.missing(asked) == [asked[2]]
    assert store.missing(asked, retry_failed=True) == [asked[0], asked[2]]
    assert store.missing([CONFIG | {"batch_size": 8.0}]) == []
    assert len(store.completed()) == 1


def test_failures_in_a_nested_tree_are_found(store: ResultStore) -> None:
    ResultStore(store.root / "study" / "a").save_failure(CONFIG, ValueError("x"))
    ResultStore(store.root / "study" / "b").save(make_result())
    assert [path.parent.parent.name for path, _ in store.failures()] == ["a"]
    assert store.verify().failures == 1
    assert not store.verify().foreign


@pytest.mark.parametrize("where", [None, [("config.batch_size", "==", 8)]])
def test_copy_takes_failures_along_once(tmp_path: Path, where: Any) -> None:
    source, target = ResultStore(tmp_path / "a"), ResultStore(tmp_path / "b")
    source.save(make_result(effective_config=CONFIG))
    for _ in range(2):
        source.save_failure(CONFIG, ValueError("x"))
    assert len(target.copy_from(source, where=where, dry_run=True).copied) == 3
    assert not target.root.exists()
    copying = target.copy_from(source, where=where)
    assert len(copying.copied) == 3
    assert sorted(path.parent.name for path in target.root.glob("*/failure.json")) == sorted(
        path.parent.name for path in source.root.glob("*/failure.json")
    )
    read = [
        sorted(path.read_bytes() for path in store.root.glob("*/failure.json")) for store in (source, target)
    ]
    assert read[0] == read[1]
    again = target.copy_from(source, where=where)
    assert (len(again.copied), len(again.skipped)) == (0, 3)


def test_copy_of_results_that_meet_conditions_leaves_failures_without_the_field(tmp_path: Path) -> None:
    source, target = ResultStore(tmp_path / "a"), ResultStore(tmp_path / "b")
    source.save(make_result())
    source.save_failure(CONFIG, ValueError("x"))
    assert len(target.copy_from(source, where=[("total_tokens", ">", 0)]).copied) == 1
    assert list(target.failures()) == []


def test_copy_reports_an_invalid_failure(tmp_path: Path) -> None:
    source, target = ResultStore(tmp_path / "a"), ResultStore(tmp_path / "b")
    path = source.save_failure(CONFIG, ValueError("x"))
    path.write_bytes(b"{")
    with pytest.warns(UserWarning, match="not copied completely"):
        copying = target.copy_from(source)
    assert list(copying.failed) == [path]


def test_copy_of_many_failures_takes_each_once(tmp_path: Path) -> None:
    source, target = ResultStore(tmp_path / "a"), ResultStore(tmp_path / "b")
    for number in range(150):
        source.save_failure(CONFIG, ValueError(str(number)), durable=False)
    assert len(target.copy_from(source, durable=False).copied) == 150
    assert sorted(int(run.message) for _, run in target.failures()) == list(range(150))
    assert len({path.parent for path, _ in target.failures()}) == 150
    assert len(target.copy_from(source, durable=False).skipped) == 150
