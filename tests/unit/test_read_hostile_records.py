"""Odd and hostile records: all readers agree whether each is a result, and on its values."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.types import OnBadFile
from support.odd_records import ODD, good_result, taken

pytestmark = pytest.mark.published

Answers = dict[str, Any]
GOOD = {"a-good", "z-good"}
HASH = "0123456789abcdef"


def records() -> dict[str, bytes]:
    """Return the odd records between two good ones; different hashes let `completed` distinguish them."""
    good = good_result().model_dump_json(indent=2)
    contents = {name: good.encode() for name in sorted(GOOD)}
    for name, odd in ODD.items():
        contents[name] = odd.content(good)
        assert contents[name] != good.encode(), name
    return {name: content.replace(HASH.encode(), name.encode()) for name, content in contents.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree with all of the records."""
    root = tmp_path_factory.mktemp("odd") / "results"
    for name, content in records().items():
        (root / name).mkdir(parents=True)
        (root / name / "result.json").write_bytes(content)
    return root


@pytest.fixture(scope="module")
def answers(root: Path, read_by_all: Callable[..., Answers]) -> Answers:
    """Return the answer of each reader to all of the records."""
    return read_by_all(root)


def refused() -> set[str]:
    return ODD.keys() - taken()


@pytest.mark.parametrize("reader", ["load", "load_result", "from_json", "stored"])
def test_load_odd_record_accepts_it_or_names_the_fault(answers: Answers, root: Path, reader: str) -> None:
    output = answers[reader]
    assert {name for name, answer in output.items() if answer["raised"] is None} == taken() | GOOD
    for name in refused():
        answer = output[name]
        errors = {"ResultCorruptError", "SchemaVersionError", "ResultError", "ValidationError"}
        assert answer["raised"] in errors, (name, answer)
        assert f"{root / name / 'result.json'} (" in answer["message"]
        assert " bytes)" in answer["message"]


@pytest.mark.parametrize("reader", ["scan_collect", "scan_skip", "scan_all_collect", "scan_key_collect"])
def test_scan_odd_records_returns_a_row_or_an_error_for_each(
    answers: Answers, root: Path, reader: str
) -> None:
    output = answers[reader]["returned"]
    assert set(output["path"]) == taken() | GOOD
    assert {path.removesuffix("/result.json") for path in output["errors"]} == refused()
    for path, reason in output["errors"].items():
        said = ODD[path.removesuffix("/result.json")].refused
        assert said is not None
        assert str(root / path) in reason
        assert said in reason, (path, reason)
    stopped = answers["scan_all" if "all" in reader else "scan"]
    assert stopped["raised"] in ("ResultCorruptError", "ResultError")
    assert f"/{min(refused())}/" in stopped["message"]


def test_load_all_next_to_odd_records_returns_every_valid_one(answers: Answers) -> None:
    assert len(answers["load_all_skip"]["returned"]) == len(taken() | GOOD)
    assert any(f"{len(refused())} files were skipped" in said for said in answers["load_all_skip"]["warned"])
    assert answers["load_all"]["raised"] in ("ResultCorruptError", "ResultError", "ValidationError")


def test_completed_next_to_odd_records_warns_once(answers: Answers) -> None:
    output = answers["completed"]
    assert set(output["returned"]) == {"" if name == "hash-empty" else name for name in taken() | GOOD}
    (warned,) = output["warned"]
    assert f"{len(refused())} files were skipped" in warned


@pytest.mark.parametrize("reader", ["verify", "verify_deep"])
def test_verify_odd_records_counts_complete_and_damaged(answers: Answers, reader: str) -> None:
    found = answers[reader]["returned"]
    assert found["damaged"].keys() == refused()
    assert found["complete"] == len(taken() | GOOD)
    assert found["foreign"] == found["incomplete"] == found["missing_sidecars"] == {}


def test_llem_with_odd_records_lists_the_valid_ones(answers: Answers) -> None:
    for reader in ("llem_ls", "llem_export"):
        output = answers[reader]["returned"]
        assert output["status"] == 1
        lines = output["out"].splitlines()
        rows = [json.loads(line) for line in lines] if reader == "llem_export" else json.loads(output["out"])
        assert {Path(row["path"]).name for row in rows if "error" not in row} == taken() | GOOD, reader
    assert answers["llem_verify"]["returned"]["status"] == 1
    assert answers["clean"]["returned"] == {"removed": [], "kept": []}


def test_llem_show_odd_record_reports_its_fault_on_one_line(answers: Answers) -> None:
    for name, answer in answers["llem_show"].items():
        output = answer["returned"]
        assert answer["raised"] is None, (name, answer)
        assert output["status"] == (0 if name in taken() | GOOD else 1), (name, output)
        assert "Traceback" not in output["err"]
        assert output["status"] == 0 or output["err"].count("\n") == 1


def test_read_timeseries_next_to_odd_records_finds_none(answers: Answers) -> None:
    for reader in ("read_timeseries", "stored_timeseries"):
        assert {answer["raised"] for answer in answers[reader].values()} <= {"PersistenceError"}
    assert answers["scan_timeseries_collect"]["raised"] is None


def loaded(result: ExperimentResult, column: str) -> Any:
    """Return the value that a column shows of a loaded result."""
    value: Any = result
    for name in column.removesuffix(".utc").split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("name", sorted(name for name, odd in ODD.items() if odd.values))
def test_load_and_scan_odd_record_return_the_same_values(root: Path, name: str) -> None:
    store, expected = ResultStore(root), ODD[name].values
    result = store.load(name)
    for columns in (list(expected), None):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = store.scan(columns and ["path", *columns], on_error="skip").to_pydict()
        place = rows["path"].index(name)
        for column, value in expected.items():
            shown = rows[column][place]
            if column.startswith("effective_config"):  # as JSON, since other records have other types
                assert same(
                    json.loads(shown) if isinstance(shown, str) else shown, json.loads(json.dumps(value))
                )
                assert same(loaded(result, column), value)
                continue
            assert same(shown, value), (column, shown)
            if value is not None:
                assert same(loaded(result, column), value)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_scan_integer_beyond_64_bits_is_null_with_a_warning(
    tmp_path: Path, number: int, on_error: OnBadFile
) -> None:
    store = ResultStore(tmp_path)
    path = store.save(good_result().model_copy(update={"total_tokens": number}), durable=False)
    assert store.load(path).total_tokens == number
    assert store.verify(deep=True).ok
    assert len(store.completed()) == 1
    scan = store.scan(["total_tokens", "total_energy_j"], on_error=on_error)
    with pytest.warns(UserWarning, match="total_tokens of .* is null in the table") as caught:
        assert scan.to_pydict() == {"total_tokens": [None], "total_energy_j": [250.5]}
    assert len(caught) == 1
    assert scan.errors == {}
    assert len(store.scan(["path"]).to_pydict()["path"]) == 1
