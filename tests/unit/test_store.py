from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from llenergymeasure import (
    ExperimentResult,
    LLEMError,
    PersistenceError,
    ResultCorruptError,
    ResultError,
    ResultStore,
    SchemaVersionError,
    SidecarError,
    load_result,
    save_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_store_saves_and_loads_by_any_name_of_the_result(result: ExperimentResult, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    path = store.save(result)
    assert path.parent.parent == store.root
    for name in (path, path.parent, path.parent.name, f"{path.parent.name}/result.json"):
        assert store.load(name) == result


def test_a_relative_root_stays_where_it_was(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = ResultStore("results")
    monkeypatch.chdir("/")
    path = store.save(result)
    assert path.parent.parent == tmp_path / "results"
    assert store.load(path) == result


def test_the_functions_are_fronts_of_the_store(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save_result(result, "results", durable=False)
    assert path.is_absolute()
    assert load_result(path) == load_result(path.relative_to(tmp_path)) == result


def test_a_store_can_be_pickled_compared_and_read(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301 - our own bytes
    assert {store, ResultStore(str(tmp_path)), ResultStore(f"{tmp_path}/./")} == {store}
    assert store != ResultStore(tmp_path / "other")
    assert store.root == tmp_path
    assert repr(store) == f"<ResultStore '{tmp_path}': no results yet>"


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (b"", ResultCorruptError, "empty"),
        (b"\0" * 4096, ResultCorruptError, "NUL"),
        (b'{"schema_version": "2.0"\0\0\0', ResultCorruptError, "last 3 bytes are NUL"),
        (b'{"schema_version": "2.0", "experi', ResultCorruptError, "truncated"),
        (b'{"a": "\xff"}', ResultCorruptError, "not UTF-8: byte 7"),
        (b"not json", ResultCorruptError, "not JSON"),
        (b"\xef\xbb\xbf{}", ResultCorruptError, "byte order mark"),
        (b"[" * 10_000 + b"]" * 10_000, ResultCorruptError, "recursion"),
        (b"[]", ResultError, "an array"),
        (b"null", ResultError, "null"),
        (b"3", ResultError, "a number"),
        (b'{"schema_version": "1.0"}', SchemaVersionError, "'1.0'"),
        (b'{"schema_version": "3.0", "new_field": 1}', SchemaVersionError, "'3.0'.*reads '2.0'"),
        (b'{"schema_version": 2}', SchemaVersionError, "2"),
        (b"{}", ValidationError, "experiment_id"),
    ],
)
def test_what_is_not_a_result_is_named_with_its_size(
    content: bytes, error: type[Exception], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(error, match=reason) as caught:
        load_result(tmp_path)
    assert f"{path} ({len(content)} bytes)" in str(caught.value)


def test_every_truncation_of_a_record_is_an_error_that_names_it(
    result: ExperimentResult, tmp_path: Path
) -> None:
    path = result.save(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ResultCorruptError, match=r"empty|truncated"):
            load_result(path)


def test_an_unknown_or_wrong_field_is_pydantics_error_with_the_file(
    result: ExperimentResult, tmp_path: Path
) -> None:
    path = result.save(tmp_path)
    path.write_text(path.read_text().replace('"total_tokens": 1000', '"total_tokens": "many", "extra": 1'))
    with pytest.raises(ValidationError, match="total_tokens") as caught:
        load_result(path)
    assert str(path) in caught.value.title
    assert {error["loc"][0] for error in caught.value.errors()} == {"total_tokens", "extra"}


def test_what_is_not_there_is_a_file_not_found_error(tmp_path: Path) -> None:
    for path, missing in ((tmp_path / "absent", tmp_path / "absent"), (tmp_path, tmp_path / "result.json")):
        with pytest.raises(FileNotFoundError) as caught:
            load_result(path)
        error = caught.value
        assert isinstance(error, PersistenceError)
        assert (error.filename, error.step, error.committed) == (str(missing), "read", False)


def test_a_file_in_the_way_is_the_right_os_error(result: ExperimentResult, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "sub"):
        with pytest.raises(NotADirectoryError, match="cannot open the output directory") as caught:
            result.save(path)
        assert isinstance(caught.value, PersistenceError)
        assert caught.value.step == "open_output_dir"
        assert caught.value.filename.startswith(str(file))


@pytest.mark.parametrize("cls", [PersistenceError, SidecarError])
def test_errors_are_os_errors_that_survive_a_worker_process(cls: type[PersistenceError]) -> None:
    error = cls(13, "Permission denied", Path("/x/y"), "write", "/x/result.json")
    assert isinstance(error, (LLEMError, PermissionError))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    for name in ("errno", "strerror", "filename", "step", "committed", "result_path"):
        assert getattr(copy, name) == getattr(error, name)
    assert type(error).__name__ == cls.__name__


def test_errors_say_what_failed_where_why_and_what_is_there() -> None:
    uncommitted = PersistenceError(28, "No space left on device", "/r/a/.result.json.tmp", "write")
    assert str(uncommitted) == (
        "cannot write '/r/a/.result.json.tmp': No space left on device [ENOSPC]; "
        "nothing was saved, and saving again is safe"
    )
    committed = PersistenceError(5, "Input/output error", "/r", "flush_directory", "/r/a/result.json")
    assert "the result is complete at /r/a/result.json" in str(committed)
    assert committed.committed
    assert not uncommitted.committed


def test_the_real_records_come_back_byte_for_byte(data: Path, tmp_path: Path) -> None:
    source = data / "gpt2_a100_result.json"
    with pytest.warns(UserWarning, match="Timeseries sidecar missing"):
        result = load_result(source)
    assert result.save(tmp_path).read_bytes() == source.read_bytes()


def test_the_real_leaderboard_is_saved_without_a_loss(data: Path, tmp_path: Path) -> None:
    lines = (data / "mlenergy_llm_results.jsonl").read_text().splitlines()
    results = [ExperimentResult.model_validate_json(line) for line in lines]
    store = ResultStore(tmp_path)
    paths = [store.save(result, durable=False) for result in results]
    assert len(set(paths)) == len(results) == 565
    assert [store.load(path) for path in paths] == results


def test_the_real_power_runs_come_back_with_their_traces(data: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    records = sorted((data / "mlperf").glob("*.json"))
    assert len(records) == 6
    for record in records:
        result = load_result(record, missing_sidecar="ignore")
        path = result.save(tmp_path, record.with_suffix(".parquet"))
        loaded = load_result(path, missing_sidecar="error")
        assert loaded == result
        assert max(loaded.effective_config.values(), key=lambda v: v if isinstance(v, int) else 0) > 2**63
        power = pq.read_table(path.with_name("timeseries.parquet"))["power_w"].to_pylist()
        energy = sum(power) / len(power) * loaded.total_inference_time_sec
        assert energy == pytest.approx(loaded.total_energy_j, rel=1e-5)


def test_what_could_not_be_read_back_is_not_saved(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    class Annotated(ExperimentResult):
        note: str = "lost"

    class Named(ExperimentResult):
        pass

    plain = make_result()
    with pytest.raises(TypeError, match=r"fields that schema line 2\.0 does not have: note"):
        Annotated(**dict(plain)).save(tmp_path)
    with pytest.raises(TypeError, match="not dict"):
        save_result({}, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="total_tokens"):
        plain.model_copy(update={"total_tokens": "many"}).save(tmp_path)
    assert not list(tmp_path.iterdir())
    assert load_result(Named(**dict(plain)).save(tmp_path)) == plain


def test_a_result_without_the_models_name_is_called_unknown(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    assert make_result(effective_config={"model": 7}).save(tmp_path).parent.name.startswith("7_pytorch_")
    assert make_result(effective_config={"model": ""}).save(tmp_path).parent.name.startswith("unknown_")
