from __future__ import annotations

import re
import warnings
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results import persistence
from llenergymeasure.results.persistence import _atomic_write, _experiment_dir_name, _find_collision_free_dir

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = "2026-02-18T14-30"


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: MINUTE)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.parquet"
    pq.write_table(pa.table({"timestamp_s": [0.0, 1.0], "power_w": [250.0, 251.5]}), path)
    return path


def test_save_creates_subdirectory(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path / "not" / "yet" / "there")
    assert path.parent.is_dir()
    assert path.parent.parent == tmp_path / "not" / "yet" / "there"


def test_save_directory_name_format(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert result.save(tmp_path).parent.name == f"gpt2_pytorch_{MINUTE}"
    monkeypatch.undo()
    before = datetime.now().strftime("%Y-%m-%dT%H-%M")  # noqa: DTZ005 - the name is in local time
    name = _experiment_dir_name(result)
    after = datetime.now().strftime("%Y-%m-%dT%H-%M")  # noqa: DTZ005
    assert name in {f"gpt2_pytorch_{before}", f"gpt2_pytorch_{after}"}
    assert re.fullmatch(r"gpt2_pytorch_\d{4}-\d\d-\d\dT\d\d-\d\d", name)


def test_save_model_slug_normalisation(make_result: Callable[..., ExperimentResult], tmp_path: Path) -> None:
    llama = make_result(backend="vllm", effective_config={"model": "meta-llama/Llama-3.1-8B"})
    assert llama.save(tmp_path).parent.name == f"meta-llama-llama-3.1-8b_vllm_{MINUTE}"
    assert make_result(effective_config={}).save(tmp_path).parent.name == f"unknown_pytorch_{MINUTE}"
    assert make_result(effective_config={"model": None}).save(tmp_path).parent.name.startswith("unknown_")


def test_save_atomic_write(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path)
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]
    assert path.read_bytes() == result.model_dump_json(indent=2).encode()
    target = tmp_path / "manifest.json"
    for content in ("first and long é", b"second", ""):
        _atomic_write(content, target)
        assert target.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.parent.name, "manifest.json"])


def test_save_returns_result_json_path(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path)
    assert isinstance(path, Path)
    assert path.name == "result.json"
    assert path.is_file()


def test_collision_suffix_applied(result: ExperimentResult, tmp_path: Path) -> None:
    first, second = result.save(tmp_path), result.save(tmp_path)
    assert second.parent.name == f"{first.parent.name}_1"
    assert first.read_bytes() == second.read_bytes()


def test_collision_multiple_suffixes(result: ExperimentResult, tmp_path: Path) -> None:
    base = tmp_path / f"gpt2_pytorch_{MINUTE}"
    for taken in (base, Path(f"{base}_1"), Path(f"{base}_2")):
        taken.mkdir()
    assert result.save(tmp_path).parent == Path(f"{base}_3")
    assert _find_collision_free_dir(base) == Path(f"{base}_4")
    assert _find_collision_free_dir(tmp_path / "new" / "study") == tmp_path / "new" / "study"
    assert (tmp_path / "new" / "study").is_dir()


def test_from_json_loads_correctly(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path)
    for by in (path, str(path), path.parent):
        loaded = ExperimentResult.from_json(by)
        assert loaded == result
        assert (loaded.experiment_id, loaded.measurement_config_hash) == ("experiment-1", "0123456789abcdef")
        assert loaded.schema_version == "2.0"


def test_from_json_round_trip(make_result: Callable[..., ExperimentResult], tmp_path: Path) -> None:
    result = make_result(
        measurement_methodology="steady_state",
        steady_state_window=(1.5, 9.25),
        start_time=datetime(2026, 2, 18, 14, 30, 0, 123456, tzinfo=timezone.utc),
        effective_config={"model": "gpt2", "batch_sizes": (1, 2), "path": Path("/models")},
    )
    path = result.save(tmp_path)
    loaded = ExperimentResult.from_json(path)
    assert loaded == result
    assert loaded.start_time.utcoffset() == result.start_time.utcoffset()
    assert isinstance(loaded.steady_state_window, tuple)
    assert loaded.model_dump_json() == result.model_dump_json()
    assert loaded.save(tmp_path).read_bytes() == path.read_bytes()


def test_from_json_missing_sidecar_warns(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    path = make_result(timeseries="timeseries.parquet").save(tmp_path)
    with pytest.warns(UserWarning, match=r"^Timeseries sidecar missing") as caught:
        ExperimentResult.from_json(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_from_json_missing_sidecar_loads_successfully(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    result = make_result(timeseries="timeseries.parquet")
    path = result.save(tmp_path)
    assert ExperimentResult.from_json(path, missing_sidecar="ignore") == result
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert ExperimentResult.from_json(path).timeseries == "timeseries.parquet"


def test_save_with_timeseries_sidecar(result: ExperimentResult, tmp_path: Path, trace: Path) -> None:
    path = result.save(tmp_path / "results", trace)
    assert sorted(file.name for file in path.parent.iterdir()) == ["result.json", "timeseries.parquet"]
    assert path.with_name("timeseries.parquet").read_bytes() == trace.read_bytes()
    assert trace.exists()
    loaded = ExperimentResult.from_json(path)
    assert loaded == result.model_copy(update={"timeseries": "timeseries.parquet"})
    assert '"timeseries": "timeseries.parquet"' in path.read_text()
    assert result.timeseries is None


def test_save_without_timeseries(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path)
    assert not path.with_name("timeseries.parquet").exists()
    assert ExperimentResult.from_json(path).timeseries is None


def test_never_overwrites(make_result: Callable[..., ExperimentResult], tmp_path: Path) -> None:
    results = [make_result(experiment_id=str(number)) for number in range(5)]
    paths = [result.save(tmp_path) for result in results]
    assert len({path.parent for path in paths}) == 5
    assert len(list(tmp_path.iterdir())) == 5
    assert [ExperimentResult.from_json(path) for path in paths] == results


def test_effective_config_round_trips(make_result: Callable[..., ExperimentResult], tmp_path: Path) -> None:
    config = {
        "model": "gpt2",
        "seed": 14962580496156340209,
        "huge": -(10**400),
        "nested": {"list": [1, 2.5, None, True, {"deep": "é😀"}], "": ""},
        "learning_rate": float("nan"),
        "limit": float("-inf"),
    }
    result = make_result(effective_config=config)
    assert result.effective_config["learning_rate"] == "NaN"
    assert result.effective_config["limit"] == "-Infinity"
    loaded = ExperimentResult.from_json(result.save(tmp_path))
    assert loaded.effective_config == result.effective_config
    assert list(loaded.effective_config) == list(config)


def test_steady_state_window_round_trips(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    for window in ((0.0, 5943.745180656477), (float("-inf"), float("inf")), None):
        result = make_result(steady_state_window=window)
        assert ExperimentResult.from_json(result.save(tmp_path)).steady_state_window == window


def test_the_module_names_its_contract() -> None:
    assert {"save_result", "load_result"} <= set(persistence.__all__)
