"""Import of this package's own output: directories, JSON in any form, and flat exports."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore, importers
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers import Built, NotImported
from support.results import make_process, make_result, make_results

FORMATS = ("jsonl", "csv", "parquet")
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)
VALUES = st.one_of(
    st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), KEYS
)
CONFIGS = st.dictionaries(
    KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, min_size=1, max_size=2)), max_size=4
)
TIMES = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - naive times occur
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([None, timezone.utc, timezone(timedelta(hours=5, minutes=30))]),
)


def exported(root: Path, results: list[ExperimentResult], suffix: str) -> Path:
    store = ResultStore(root / "store")
    store.save_many(results)
    path = root / f"flat.{suffix}"
    store.scan().export(path)
    return path


def by_id(results: Any) -> dict[str, ExperimentResult]:
    return {result.experiment_id: result for result in results}


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_export_is_imported_as_the_same_results(tmp_path: Path, suffix: str) -> None:
    zone = timezone(timedelta(hours=-7))
    given_results = [
        make_result(experiment_id="plain"),
        make_result(
            experiment_id="", backend="", effective_config={"a.b": {'"': 1}, "list": [1, "x"], "text": "7a"}
        ),
        make_result(
            experiment_id="full,\n\"'",
            start_time=datetime(2026, 5, 4, 10, tzinfo=zone),
            end_time=datetime(2026, 5, 4, 11, tzinfo=timezone.utc),
            process_results=[make_process()],
            energy_per_device_j=[1.5, 2.5],
            steady_state_window=(0.5, 1.5),
            total_energy_j=0.1 + 0.2,
            measurement_warnings=["one", "two"],
            extended_metrics={"tpot_ms": 4.0},
            effective_config={"seed": 2**70, "model": "m"},
        ),
    ]
    path = exported(tmp_path, given_results, suffix)
    assert by_id(importers.read(path)) == by_id(given_results)


@given(config=CONFIGS, start=TIMES, energy=st.floats(0, 1e9))
@pytest.mark.parametrize("suffix", FORMATS)
def test_any_result_survives_an_export(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    config: dict[str, Any],
    start: datetime,
    energy: float,
) -> None:
    if suffix == "csv":  # a cell has no type: a text that reads as a number is one
        config = {key: value for key, value in config.items() if not has_text_of_a_value(value)}
    result = make_result(
        effective_config=config,
        start_time=start,
        end_time=start + timedelta(seconds=1),
        total_energy_j=energy,
    )
    path = exported(tmp_path_factory.mktemp("export"), [result], suffix)
    assert list(importers.read(path)) == [result]


def has_text_of_a_value(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_text_of_a_value, value.values()))
    try:
        return isinstance(value, str) and json.loads(value) is not value
    except ValueError:
        return False


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_export_without_a_required_field_names_it(tmp_path: Path, suffix: str) -> None:
    store = ResultStore(tmp_path / "store")
    store.save_many(make_results(3))
    path = tmp_path / f"flat.{suffix}"
    store.scan(["experiment_id", "measurement_config_hash", "total_energy_j", "start_time"]).export(path)
    with pytest.raises(NotImportableError) as error:
        list(importers.read(path, "export"))
    assert str(error.value).startswith("expected an export with every required field, got one without ")
    assert "measurement_methodology, total_tokens, " in str(error.value)
    assert "experiment_id" not in str(error.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_truncated_export_is_one_sentence_for_each_fault(tmp_path: Path, suffix: str) -> None:
    path = exported(tmp_path, make_results(3), suffix)
    content = path.read_bytes()
    for cut in range(1, len(content) - 1, 61):
        path.write_bytes(content[:cut])
        try:
            found = list(importers.records(path, "export"))
        except NotImportableError as error:
            found = [NotImported(str(error))]
        faults = [item for item in found if isinstance(item, NotImported)]
        assert len(faults) <= 1
        assert all("\n" not in fault.message for fault in faults)


def pretty(results: list[ExperimentResult]) -> list[str]:
    return [result.model_dump_json(indent=2) for result in results]


FORMS: dict[str, Callable[[list[str]], bytes]] = {
    "cat": lambda texts: "\n".join(texts).encode(),
    "concatenated": lambda texts: "".join(texts).encode(),
    "array": lambda texts: f"[{', '.join(texts)}]".encode(),
    "gzip": lambda texts: gzip.compress("\n".join(texts).encode()),
    "utf-16": lambda texts: "\n".join(texts).encode("utf-16"),
    "marks": lambda texts: b"".join(text.encode("utf-8-sig") + b"\n" for text in texts),
    "utf-16 marks": lambda texts: b"".join(text.encode("utf-16") for text in texts),
}


@pytest.mark.parametrize("form", FORMS)
def test_json_of_any_form_is_imported(tmp_path: Path, form: str) -> None:
    results = make_results(3)
    path = tmp_path / "x.json"
    path.write_bytes(FORMS[form](pretty(results)))
    assert list(importers.read(path)) == results


def test_a_directory_is_imported_with_its_traces(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "store")
    trace = tmp_path / "trace.parquet"
    from llenergymeasure.results.timeseries import write_timeseries_parquet

    write_timeseries_parquet([{"timestamp": second, "power_w": 10.0} for second in range(3)], trace)
    store.save_many(make_results(2), timeseries_sources=[trace, None])
    (tmp_path / "store" / "broken").mkdir()
    (tmp_path / "store" / "broken" / "result.json").write_text('{"experiment_id": ')
    found = list(importers.records(tmp_path / "store"))
    (fault,) = (item for item in found if isinstance(item, NotImported))
    assert fault.message.startswith("broken/result.json: it is truncated")
    assert sorted(item.trace is not None for item in found if isinstance(item, Built)) == [False, True]


def test_a_record_that_lacks_fields_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"schema_version": "2.0", "measurement_config_hash": "0"}')
    (item,) = importers.records(tmp_path / "x.json")
    assert item == NotImported("experiment_id: Field required (and 9 more)")


def test_failures_of_a_directory_are_not_left_out_silently(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.save(make_result())
    failure = store.save_failure({"model": "m"}, ValueError("no memory"))
    [_, note] = importers.records(tmp_path)
    assert isinstance(note, NotImported)
    assert "1 run that failed" in note.message
    with pytest.raises(NotImportableError, match="got a run that failed"):
        list(importers.records(failure))


def test_complete_records_of_a_truncated_file_of_gzip_are_imported(tmp_path: Path) -> None:
    records = "\n".join(result.model_dump_json() for result in make_results(20))
    file = tmp_path / "results.jsonl.gz"
    file.write_bytes(gzip.compress(records.encode())[:-60])
    *built, fault = importers.records(file)
    assert built
    assert all(isinstance(each, Built) for each in built)
    assert isinstance(fault, NotImported)
    assert "expected a complete file of gzip" in fault.message
