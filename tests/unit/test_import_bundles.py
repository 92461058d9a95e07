"""Bundles that the PyPI package `llenergymeasure` wrote: every schema line, and all of their data."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore, importers
from llenergymeasure.errors import NotImportableError, SchemaVersionError
from llenergymeasure.importers import Built, NotImported
from llenergymeasure.results.timeseries import read_timeseries

DATA = Path(__file__).parents[1] / "data" / "bundles"
LINES = {
    "0.7_offline": 'bundle_version "2.0"',
    "0.7_server": 'bundle_version "2.0"',
    "0.6": '"5.0"',
    "line_4.0.json": '"4.0"',
    "line_3.0.json": '"3.0"',
}


def only(path: Path) -> Built:
    (found,) = importers.records(path)
    assert isinstance(found, Built)
    return found


def leaves(value: Any) -> Iterator[str]:
    """Yield the values in a JSON value but null, as JSON."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None:
        yield json.dumps(value)


@pytest.mark.parametrize("name", LINES)
def test_load_of_another_schema_line_names_it_and_llem_import(name: str) -> None:
    path = DATA / name
    with pytest.raises(SchemaVersionError) as error:
        ExperimentResult.from_json(path if path.suffix == ".json" else path / "result.json")
    assert f'expected schema line "2.0", got {LINES[name]}; convert it with llem import' in str(error.value)


@pytest.mark.parametrize("name", LINES)
def test_import_of_each_schema_line_has_its_numbers(name: str) -> None:
    built = only(DATA / name)
    result = built.result
    # Two GPUs for 20 s: 100.5 W x 20 s = 2010 J, 150.5 W x 20 s = 3010 J, 5020 J together.
    assert result.total_energy_j == 5020.0
    assert result.energy_per_device_j == [2010.0, 3010.0]
    assert (result.total_inference_time_sec, result.duration_sec) == (20.0, 20.25)
    # 1200 tokens are 60 a second, and 5020 / 1200 J each; a server counts its 12 output tokens only.
    tokens = 12 if "server" in name else 1200
    assert (result.total_tokens, result.avg_tokens_per_second) == (tokens, tokens / 20)
    assert result.avg_energy_per_token_j == 5020.0 / tokens
    assert (result.backend, result.backend_version) == ("transformers", "4.57.1")
    assert result.measurement_methodology == "steady_state"
    assert result.steady_state_window == (2.5, 20.0)
    assert result.effective_config["model"] == "openai-community/gpt2"
    assert result.thermal_throttle is not None
    assert (result.thermal_throttle.detected, result.thermal_throttle.power) == (True, True)
    assert built.format.name == "llenergymeasure"


@pytest.mark.parametrize("name", LINES)
def test_import_loses_no_value_of_a_bundle(name: str, tmp_path: Path) -> None:
    path = DATA / name
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    result = only(path).result
    held = Counter(leaves(json.loads(result.model_dump_json())))
    for file in files:
        lost = set(leaves(json.loads(file.read_text()))) - set(held)
        # Text of a time is a time of the snapshot; the line is the version of the format.
        lost -= {'"2.0"', '"5.0"', '"4.0"', '"3.0"', '"1.0"', '"timeseries.parquet"'}
        assert {json.loads(each).replace(" ", "T").replace("+00:00", "Z") for each in lost} <= {
            "2026-05-04T10:00:00Z"
        }
    stated = json.loads(files[-1].read_text() if len(files) == 1 else (path / "result.json").read_text())
    hash_name = "declared_config_hash" if "declared_config_hash" in stated else "measurement_config_hash"
    assert result.measurement_config_hash == stated[hash_name]
    ResultStore(tmp_path).save(result)


def test_import_keeps_the_requests_of_a_server() -> None:
    requests = only(DATA / "0.7_server").result.effective_config["imported_from"]["data"]["requests"]
    assert requests["columns"]["status"] == ["ok", "ok", "timeout"]
    assert requests["columns"]["completed_at"] == [100.5, 101.5, None]
    assert requests["columns"]["output_token_times"][1] == [101.02, 101.145, 101.27, 101.395]
    assert requests["metadata"]["span_end"] == "120.0"


def test_import_saves_the_trace_of_a_bundle(tmp_path: Path) -> None:
    built = only(DATA / "0.7_offline" / "result.json")
    path = ResultStore(tmp_path).save(built.result, timeseries_source=built.trace)
    saved = path.parent / "timeseries.parquet"
    assert saved.read_bytes() == (DATA / "0.7_offline" / "timeseries.parquet").read_bytes()
    # The rows of 0 s to 19 s span 19 s: 19 x 251 W.
    assert read_timeseries(saved).energy_j == 4769.0
    assert ResultStore(tmp_path).verify(deep=True).ok


def test_import_of_a_study_reads_each_bundle(tmp_path: Path) -> None:
    for number, name in enumerate(("0.7_offline", "0.6")):
        shutil.copytree(DATA / name, tmp_path / "study" / f"{number:03d}")
    (tmp_path / "study" / "000" / "config.json").write_text('{"cut": ')
    good, bad = sorted(importers.records(tmp_path / "study"), key=lambda item: isinstance(item, NotImported))
    assert isinstance(good, Built)
    assert isinstance(bad, NotImported)
    assert bad.message.startswith("000/result.json: config.json next to the record: expected complete JSON")


@pytest.mark.parametrize("name", ["result.json", "config.json", "system.json", "requests.parquet"])
def test_a_truncated_bundle_is_one_sentence(name: str, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(DATA / "0.7_server", bundle)
    content = (bundle / name).read_bytes()
    for cut in range(0, len(content) - 1, 97):
        (bundle / name).write_bytes(content[:cut])
        try:
            found = list(importers.records(bundle, "llenergymeasure"))
        except NotImportableError as error:
            found = [NotImported(str(error))]
        (item,) = found
        assert isinstance(item, NotImported), cut
        assert "\n" not in item.message


def test_a_record_of_this_package_is_no_bundle(tmp_path: Path) -> None:
    record = json.loads((DATA / "line_3.0.json").read_text()) | {"schema_version": "2.0"}
    (tmp_path / "x.json").write_text(json.dumps(record))
    (item,) = importers.records(tmp_path / "x.json", "llenergymeasure")
    assert isinstance(item, NotImported)
    assert "use llem save" in item.message
