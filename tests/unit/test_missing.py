"""`ResultStore.missing`: the configurations of a sweep without a result."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.domain._comparable import comparable
from llenergymeasure.domain._json import to_json_object
from support.results import make_result


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def save(store: ResultStore, config: Any, **fields: Any) -> None:
    store.save(make_result(effective_config=config, **fields), durable=False)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ({"t": 0}, {"t": 0.0}),
        ({"t": 1.0}, {"t": 1}),
        ({"t": -0.0}, {"t": 0}),
        ({"t": [1, {"u": 2.0}]}, {"t": (1.0, {"u": 2})}),
        ({"t": 1e300}, {"t": int(1e300)}),
        ({"t": 2**64}, {"t": float(2**64)}),
        ({"a": 1, "b": np.float32(0.5)}, {"b": 0.5, "a": np.int8(1)}),
        ({"a": 1}, SimpleNamespace(a=1.0)),
        ({"t": float("nan")}, {"t": "NaN"}),
        ({1: 2}, {"1": 2.0}),
    ],
)
def test_missing_finds_equal_configuration(store: ResultStore, stored: Any, asked: Any) -> None:
    save(store, stored)
    save(store, {"other": 1})
    assert store.missing([asked, {"x": 1}]) == [{"x": 1}]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ({"t": 1}, {"t": True}),
        ({"t": False}, {"t": 0}),
        ({"t": 1}, {"t": "1"}),
        ({"t": 0}, {"t": None}),
        ({"t": None}, {}),
        ({"t": 2**53 + 1}, {"t": float(2**53)}),
        ({"t": 2**64 + 1}, {"t": 2**64}),
        ({"t": 2**64 + 1}, {"t": float(2**64)}),
        ({"t": 0.1}, {"t": 0.1 + 2**-56}),
        ({"t": []}, {"t": {}}),
        ({"t": [1, 2]}, {"t": [2, 1]}),
        ({"t": 1}, {"T": 1}),
    ],
)
def test_missing_returns_another_configuration(store: ResultStore, stored: Any, asked: Any) -> None:
    save(store, stored)
    assert store.missing([asked]) == [asked]
    assert comparable(to_json_object(stored)) != comparable(to_json_object(asked))


def test_missing_finds_result_by_hash_or_by_configuration(store: ResultStore) -> None:
    raw, resolved = {"model": "m"}, {"model": "m", "precision": "fp16"}
    by_hash = make_result(effective_config=raw).model_dump(exclude={"measurement_config_hash"})
    digest = ExperimentResult(**by_hash).measurement_config_hash
    save(store, resolved, measurement_config_hash=digest)
    assert store.missing([raw, resolved, {"model": "n"}]) == [{"model": "n"}]


def test_missing_finds_equal_configuration_of_a_result_with_another_one(store: ResultStore) -> None:
    result = make_result().model_dump(exclude={"measurement_config_hash", "effective_config", "backend"})
    asked = {"t": 0}
    raw = ExperimentResult(**result, effective_config=asked)
    save(store, {"resolved": 1}, measurement_config_hash=raw.measurement_config_hash)
    assert store.missing([asked, {"t": 0.0}, {"t": 1}]) == [{"t": 1}]


def test_missing_with_invalid_file_warns_once(store: ResultStore) -> None:
    save(store, {"t": 0})
    save(store, {"t": 5})
    record = max(store.root.glob("*/result.json"))
    record.write_text(record.read_text()[:-9])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert store.missing([{"t": 0.0}, {"t": 5.0}]) == [{"t": 5.0}]
    assert len(caught) == 1
    assert "1 file was skipped" in str(caught[0].message)


def test_missing_rejects_what_is_not_a_configuration(store: ResultStore) -> None:
    with pytest.raises(TypeError, match="config expects a mapping"):
        store.missing([["model", "m"]])
    with pytest.raises(ValueError, match="x is a object"):
        store.missing([{"x": object()}])


numbers = (
    st.integers(-3, 3)
    | st.integers(-3, 3).map(float)
    | st.booleans()
    | st.sampled_from([0.5, 2**70, 2.0**70])
)
values = st.recursive(numbers | st.text(max_size=1), lambda inner: st.lists(inner, max_size=2), max_leaves=4)
configs = st.dictionaries(st.sampled_from("ab"), values, max_size=2)


def _spelled(value: Any) -> str:
    """Return the JSON of a value with one spelling of each number."""

    def plain(item: Any) -> Any:
        if isinstance(item, float) and item.is_integer():
            return int(item)
        return [plain(one) for one in item] if isinstance(item, list) else item

    return json.dumps({key: plain(item) for key, item in value.items()}, sort_keys=True)


@given(one=configs, other=configs)
def test_compare_configurations_ignores_the_spelling_of_numbers(one: Any, other: Any) -> None:
    assert (comparable(one) == comparable(other)) is (_spelled(one) == _spelled(other))
    assert comparable(json.loads(json.dumps(one))) == comparable(json.loads(_spelled(one)))
