"""The configuration in a table: a column for each key, one column of JSON texts, or none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llenergymeasure import ResultStore
from support.results import make_record, make_result

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.published

CONFIG = {"model": "gpt2", "batch.size": 8, "Batch": {"size": [1, 2]}, "empty": {}, "large": 2**70}


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Save two results, whose configurations differ."""
    store = ResultStore(tmp_path / "results")
    for config in (CONFIG, {"model": "m", "large": "=1"}):
        store.save(make_result(effective_config=config), durable=False)
    return store


def test_scan_config_as_json_is_one_column_that_loads_back(store: ResultStore) -> None:
    scan = store.scan(config="json")
    texts = scan.to_pydict()["effective_config"]
    assert [json.loads(text) for text in texts] == [
        result.effective_config for result in store.iter_results()
    ]
    assert not [name for name in scan.schema.names if name.startswith("effective_config.")]


def test_scan_config_as_none_omits_it(store: ResultStore) -> None:
    names = store.scan(config="none").schema.names
    assert not [name for name in names if name.startswith("effective_config")]
    assert names == [name for name in store.scan(config="json").schema.names if name != "effective_config"]


@pytest.mark.parametrize("config", ["columns", "json", "none"])
def test_scan_key_by_its_name_is_a_column_in_every_form(store: ResultStore, config: Any) -> None:
    scan = store.scan(
        ["effective_config.model"], where=[("effective_config.large", "==", "=1")], config=config
    )
    assert scan.to_pydict() == {"effective_config.model": ["m"]}


def test_scan_unknown_form_is_refused(store: ResultStore) -> None:
    with pytest.raises(ValueError, match=r"config expects 'columns', 'json' or 'none', got 'text'"):
        store.scan(config="text")  # type: ignore[arg-type]


def test_scan_more_keys_than_a_table_holds_names_the_way_out(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for part in range(2):
        config = {f"key-{part}-{number}": number for number in range(6000)}
        store.save(make_result(effective_config=config), durable=False)
    with pytest.raises(ValueError, match=r'more than 10000 different keys.*config="json".*config="none"'):
        store.scan().to_pydict()
    assert sum(map(len, store.scan(config="none"))) == 2
    keys = [len(json.loads(text)) for text in store.scan(config="json").to_pydict()["effective_config"]]
    assert keys == [6000, 6000]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_scan_any_config_as_json_keeps_every_value(tmp_path: Path, config: dict[str, Any]) -> None:
    directory = tmp_path / "one" / "result"
    directory.mkdir(parents=True, exist_ok=True)
    record = json.dumps(make_record("x", effective_config=config), indent=2)
    (directory / "result.json").write_text(record, encoding="utf-8")
    scan = ResultStore(directory).scan(["effective_config"], config="json")
    (text,) = scan.to_pydict()["effective_config"]
    assert json.loads(text) == config
