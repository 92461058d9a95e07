"""A record above the size limit is rejected by every reader, and the limit is adjustable."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import (
    ExperimentResult,
    LLEMError,
    PersistenceError,
    ResultCorruptError,
    ResultStore,
    load_result,
)
from llenergymeasure.results.timeseries import Timeseries, read_timeseries

Answers = dict[str, Any]
USUAL = 256 << 20
VARIABLE = "LLEM_MAX_RECORD_BYTES"
OF_ONE = ("load", "load_result", "from_json", "stored", "read_timeseries", "stored_timeseries")
RAISE = ("load_all", "scan", "scan_all", "scan_timeseries")
SKIP = ("load_all_skip", "scan_skip", "scan_timeseries_skip", "completed")
COLLECT = ("scan_collect", "scan_all_collect", "scan_timeseries_collect")


@pytest.fixture(autouse=True)
def _usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory,
    make_result: Callable[..., ExperimentResult],
    read_by_all: Callable[..., Answers],
) -> Answers:
    """Return the answers of each reader to a record of 2 GB, in a process with 1 GB."""
    root = tmp_path_factory.mktemp("limit") / "results"
    make_result().save(root).parent.rename(root / "good")
    (root / "bad").mkdir()
    (root / "bad" / "result.json").touch()
    os.truncate(root / "bad" / "result.json", 2 << 30)
    return read_by_all(root) | {"root": root}


def is_complete(expected: str, *, path: str) -> bool:
    """Return whether a message names the file, its size, the limit and how to raise it."""
    facts = (path, str(2 << 30), "too many for a record", str(USUAL), "max_record_bytes", VARIABLE)
    return all(fact in expected for fact in facts)


@pytest.mark.parametrize("reader", OF_ONE)
def test_read_one_record_above_the_limit_raises(answers: Answers, reader: str) -> None:
    answer = answers[reader]["bad"]
    assert answer["raised"] == "PersistenceError"
    assert is_complete(answer["message"], path=str(answers["root"] / "bad" / "result.json")), answer
    assert answer["errno"] == errno.EFBIG


@pytest.mark.parametrize("reader", [*RAISE, *SKIP, *COLLECT])
def test_read_tree_with_record_above_the_limit_reports_it(answers: Answers, reader: str) -> None:
    answer, path = answers[reader], str(answers["root"] / "bad" / "result.json")
    if reader in RAISE:
        assert answer["raised"] == "PersistenceError"
        assert is_complete(answer["message"], path=path), answer
    elif reader in SKIP:
        assert answer["raised"] is None
        (warned,) = answer["warned"]
        assert is_complete(warned, path=path), answer
    else:
        assert answer["returned"]["errors"].keys() == {"bad/result.json"}
        assert is_complete(answer["returned"]["errors"]["bad/result.json"], path=path), answer
    # Readers return the valid result next to it.
    if reader in ("scan_skip", "scan_collect", "scan_all_collect"):
        assert answer["returned"]["path"] == ["good"]
    if reader == "load_all_skip":
        assert answer["returned"] == ["experiment-1"]
    if reader == "completed":
        assert answer["returned"] == ["0123456789abcdef"]


def test_verify_and_llem_report_record_above_the_limit(answers: Answers) -> None:
    for reader in ("verify", "verify_deep"):
        found = answers[reader]["returned"]
        assert found["complete"] == 1
        assert found["damaged"].keys() == {"bad"}
        assert is_complete(found["damaged"]["bad"], path="result.json"), found
    assert answers["clean"]["returned"] == {"removed": [], "kept": []}
    assert "1 result" in answers["repr"]["returned"]
    assert "1 unreadable" in answers["repr"]["returned"]
    shown = answers["llem_show"]["bad"]["returned"]
    assert shown["status"] == 1
    assert is_complete(shown["err"], path="result.json"), shown
    for reader in ("llem_ls", "llem_verify"):
        output = answers[reader]["returned"]
        assert output["status"] == 1
        assert "too many for a record" in output["out"] + output["err"], output


def test_read_record_above_the_limit_needs_constant_memory(answers: Answers) -> None:
    assert answers["peak"] < 256 << 20


def every_reading(store: ResultStore, record: Path) -> dict[str, Callable[[], object]]:
    return {
        "load": lambda: store.load(record, missing_sidecar="ignore"),
        "stored": lambda: store[record].load(missing_sidecar="ignore"),
        "timeseries": store[record].timeseries,
        "iterated": lambda: [stored.load() for stored in store],
        "load_all": store.load_all,
        "scan": lambda: store.scan(["path"]).to_pydict(),
        "scan_all": lambda: store.scan().to_pydict(),
        "scan_timeseries": lambda: store.scan_timeseries().to_pydict(),
    }


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_read_with_changed_limit_is_exact_to_the_byte(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    trace = Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[1.0])
    record = result.save(tmp_path, trace)
    size = record.stat().st_size

    def limited(most: int) -> ResultStore:
        if how == "argument":
            return ResultStore(tmp_path, max_record_bytes=most)
        monkeypatch.setenv(VARIABLE, str(most))
        return ResultStore(tmp_path)

    store = limited(size)
    assert store.max_record_bytes == size
    for read in every_reading(store, record).values():
        read()
    assert store.completed() == {result.measurement_config_hash}
    assert store.verify().complete == store.verify(deep=True).complete == 1
    store = limited(size - 1)
    for name, read in every_reading(store, record).items():
        with pytest.raises(PersistenceError, match=f"{size} bytes are too many .* of which {size - 1}"):
            assert read() is None, name
    with pytest.warns(UserWarning, match="too many for a record"):
        assert store.completed() == set()
    for deep in (False, True):
        ((path, problem),) = store.verify(deep=deep).damaged
        assert path == record.parent
        assert f"of which {size - 1} are read" in problem
    assert "1 unreadable" in repr(store)


def test_read_without_store_takes_the_limit_from_the_environment(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = result.save(tmp_path, Timeseries(timestamp_s=[], gpu_index=[], power_w=[]))
    monkeypatch.setenv(VARIABLE, "10")
    for read in (load_result, ExperimentResult.from_json, read_timeseries):
        with pytest.raises(PersistenceError, match="of which 10 are read at most"):
            read(record)
    # The argument of a store overrides the environment.
    assert ResultStore(tmp_path, max_record_bytes=1 << 20).load(record).experiment_id == result.experiment_id


@pytest.mark.slow
def test_load_with_raised_limit_reads_larger_records(tmp_path: Path) -> None:
    record = tmp_path / "result.json"
    record.touch()
    os.truncate(record, USUAL + 1)
    with pytest.raises(PersistenceError, match="too many"):
        ResultStore(tmp_path).load(record)
    with pytest.raises(ResultCorruptError, match=f"{USUAL + 1} bytes.*NUL"):
        ResultStore(tmp_path, max_record_bytes=USUAL + 1).load(record)


def test_read_with_limit_beyond_memory_raises_instead_of_a_crash(
    tmp_path: Path, read_by_all: Callable[..., Answers]
) -> None:
    root = tmp_path / "results"
    (root / "bad").mkdir(parents=True)
    (root / "bad" / "result.json").touch()
    os.truncate(root / "bad" / "result.json", 2 << 30)
    answers = read_by_all(root, "load", "scan_collect", "verify", "load_all", **{VARIABLE: str(1 << 62)})
    assert answers["load"]["bad"]["errno"] == errno.ENOMEM
    assert "no memory for its" in answers["load"]["bad"]["message"]
    assert "no memory for its" in answers["load_all"]["message"]
    assert "no memory for its" in answers["scan_collect"]["returned"]["errors"]["bad/result.json"]
    assert "no memory for its" in answers["verify"]["returned"]["damaged"]["bad"]


def test_pickle_store_keeps_its_record_limit(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, max_record_bytes=1000)
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert copy.max_record_bytes == 1000
    assert ResultStore(tmp_path).max_record_bytes == USUAL
    assert store == ResultStore(tmp_path)
    assert hash(store) == hash(ResultStore(tmp_path))
    assert ResultStore(tmp_path, max_record_bytes=1 << 80).max_record_bytes > 1 << 60


@pytest.mark.parametrize("limit", [0, -1])
def test_open_store_rejects_limit_below_one(tmp_path: Path, limit: int) -> None:
    with pytest.raises(ValueError, match="max_record_bytes expects at least 1"):
        ResultStore(tmp_path, max_record_bytes=limit)


@pytest.mark.parametrize("limit", ["1", 1.0, True])
def test_open_store_rejects_limit_that_is_not_an_integer(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(TypeError, match="max_record_bytes expects a number of bytes"):
        ResultStore(tmp_path, max_record_bytes=limit)


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "many", "1 GB", "\u0661"])
def test_read_with_invalid_limit_in_environment_raises_but_save_works(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    store = ResultStore(tmp_path)
    record = store.save(result)
    with pytest.raises(LLEMError, match=f"{VARIABLE} expects a number of bytes"):
        store.load(record)
    assert VARIABLE in repr(store)
    monkeypatch.delenv(VARIABLE)
    assert store.load(record) == result
