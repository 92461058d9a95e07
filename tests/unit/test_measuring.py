"""`ResultStore.measuring`: a run whose result or failure is saved at the end of its block."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results.timeseries import Timeseries
from support.results import make_result

CONFIG = {"model": "gpt2", "backend": "vllm", "batch_size": 8}


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def result_of(config: Any) -> Any:
    fields = make_result().model_dump(exclude={"measurement_config_hash", "effective_config", "backend"})
    return type(make_result())(**fields, effective_config=config)


def test_measuring_saves_the_result(store: ResultStore) -> None:
    with store.measuring(CONFIG) as run:
        run.result = result_of(CONFIG)
        assert run.path is None
    assert run.path == next(store.root.glob("*/result.json"))
    assert store.load_all() == [run.result]
    assert store.missing([CONFIG]) == []


def test_measuring_saves_the_power_trace(store: ResultStore) -> None:
    trace = Timeseries(timestamp_s=[0.5], gpu_index=[0], power_w=[250.0])
    with store.measuring(CONFIG) as run:
        run.result = result_of(CONFIG)
        run.timeseries_source = trace
    assert run.path is not None
    assert (run.path.parent / "timeseries.parquet").exists()


def test_measuring_saves_the_failure_and_raises_it(store: ResultStore) -> None:
    before = datetime.now(timezone.utc)
    with (  # noqa: PT012 - the block is the run
        pytest.raises(MemoryError, match="no room"),
        store.measuring(CONFIG) as run,
    ):
        run.output = "loading\n"
        run.result = result_of(CONFIG)
        raise MemoryError("no room")
    [(path, failed)] = store.failures()
    assert run.path == path
    assert (failed.error_type, failed.message, failed.output) == ("MemoryError", "no room", "loading\n")
    assert failed.start_time is not None
    assert before <= failed.start_time <= failed.end_time
    assert "no room" in str(failed.traceback)
    assert store.load_all() == []
    assert store.missing([CONFIG]) == []
    assert store.missing([CONFIG], retry_failed=True) == [CONFIG]


@pytest.mark.parametrize(
    "end",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
        pytest.skip.Exception("no GPU"),
    ],
    ids=repr,
)
def test_measuring_that_a_user_ends_saves_nothing(store: ResultStore, end: BaseException) -> None:
    with pytest.raises(type(end)), store.measuring(CONFIG):
        raise end
    assert not store.root.exists()


def test_measuring_without_a_result_is_an_error(store: ResultStore) -> None:
    with pytest.raises(ValueError, match=r"got none; set run\.result"), store.measuring(CONFIG):
        pass
    assert not store.root.exists()


def test_measuring_of_no_configuration_is_an_error_before_the_block(store: ResultStore) -> None:
    with pytest.raises(TypeError, match="config expects a mapping"), store.measuring(["gpt2"]):
        pytest.fail("the block ran")


def test_measuring_with_a_result_of_another_configuration_warns(store: ResultStore) -> None:
    with pytest.warns(UserWarning, match="counts as missing"), store.measuring(CONFIG) as run:
        run.result = result_of(CONFIG | {"batch_size": 16})
    assert store.missing([CONFIG]) == [CONFIG]
    assert len(store.load_all()) == 1


def test_measuring_whose_failure_cannot_be_saved_raises_the_error_of_the_block(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = ResultStore(tmp_path / "file")
    with (
        pytest.warns(UserWarning, match="was not saved"),
        pytest.raises(RuntimeError, match="of the block"),
        store.measuring(CONFIG),
    ):
        raise RuntimeError("of the block")
