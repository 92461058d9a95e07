"""Saves of one result through the store and its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llenergymeasure import (
    ExperimentResult,
    PersistenceError,
    ResultStore,
    load_result,
    save_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_save_and_load_accept_any_name_of_the_result(result: ExperimentResult, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    path = store.save(result)
    assert path.parent.parent == store.root
    for name in (path, path.parent, path.parent.name, f"{path.parent.name}/result.json"):
        assert store.load(name) == result


def test_save_below_relative_root_keeps_the_first_directory(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = ResultStore("results")
    monkeypatch.chdir("/")
    path = store.save(result)
    assert path.parent.parent == tmp_path / "results"
    assert store.load(path) == result


def test_save_result_and_load_result_match_the_store(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save_result(result, "results", durable=False)
    assert path.is_absolute()
    assert load_result(path) == load_result(path.relative_to(tmp_path)) == result


def test_save_below_a_file_raises_not_a_directory(result: ExperimentResult, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "sub"):
        with pytest.raises(NotADirectoryError, match="cannot open the output directory") as caught:
            result.save(path)
        assert isinstance(caught.value, PersistenceError)
        assert caught.value.step == "open_output_dir"
        assert caught.value.filename.startswith(str(file))


def test_save_real_record_keeps_every_byte(data: Path, tmp_path: Path) -> None:
    source = data / "gpt2_a100_result.json"
    with pytest.warns(UserWarning, match="Timeseries sidecar missing"):
        result = load_result(source)
    assert result.save(tmp_path).read_bytes() == source.read_bytes()


def test_save_real_leaderboard_loses_nothing(data: Path, tmp_path: Path) -> None:
    lines = (data / "mlenergy_llm_results.jsonl").read_text().splitlines()
    results = [ExperimentResult.model_validate_json(line) for line in lines]
    store = ResultStore(tmp_path)
    paths = [store.save(result, durable=False) for result in results]
    assert len(set(paths)) == len(results) == 565
    assert [store.load(path) for path in paths] == results


def test_save_real_runs_keeps_their_power_traces(data: Path, tmp_path: Path) -> None:
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


def test_save_rejects_results_that_cannot_be_loaded(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    class Annotated(ExperimentResult):
        note: str = "lost"

    class Named(ExperimentResult):
        pass

    plain = make_result()
    with pytest.raises(TypeError, match=r"fields that schema line 2\.0 does not have: note"):
        Annotated(**dict(plain)).save(tmp_path)
    with pytest.raises(TypeError, match="got dict"):
        save_result({}, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="total_tokens"):
        plain.model_copy(update={"total_tokens": "many"}).save(tmp_path)
    assert not list(tmp_path.iterdir())
    assert load_result(Named(**dict(plain)).save(tmp_path)) == plain


def test_save_without_model_name_uses_unknown(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    assert make_result(effective_config={"model": 7}).save(tmp_path).parent.name.startswith("7_pytorch_")
    assert make_result(effective_config={"model": ""}).save(tmp_path).parent.name.startswith("unknown_")
