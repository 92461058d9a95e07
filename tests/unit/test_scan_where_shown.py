"""A condition on a value, as a table shows it, selects exactly the rows that show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.cli.query.reading import Reading
from llenergymeasure.cli.query.values import format_setting, order_of
from llenergymeasure.cli.query.where import conditions
from llenergymeasure.results._conditions import Typed
from support.results import make_result

pytestmark = pytest.mark.published

Put = Callable[..., Path]

WORDS = [
    "auto",
    "auto:4",
    "8",
    "1.0",
    "None",
    "null",
    "-",
    "",
    "True",
    "true",
    "nan",
    "inf",
    "Infinity",
    "1,000",
    "{}",
    '{"a": 1}',
    "a and b=2",
    "\x1b[31m\n\u202e",
    "\u00a0a",
]
SPECIAL = [None, True, False, 0, 1, 8, 1.0, 0.1 + 0.2, 1e-5, -0.5, 1000, math.inf, -math.inf, math.nan]
numbers = st.integers(-(2**70), 2**70) | st.floats()
scalars = st.sampled_from([*WORDS, *SPECIAL]) | numbers | st.text("aé\"' .,-[]1", max_size=4)
cells = (
    scalars
    | st.lists(st.sampled_from([1, 2.5, "a", "1", None, True, math.inf]), max_size=2)
    | st.just({"a": 1})
)


@contextmanager
def store_of(column: list[Any]) -> Iterator[ResultStore]:
    """Make a store with a result for each value of a key; `...` stands for a result without the key."""
    with TemporaryDirectory() as root:
        for number, value in enumerate(column):
            config = {"other": 1} if value is ... else {"x": value}
            record = Path(root) / f"{number:02}" / "result.json"
            record.parent.mkdir()
            record.write_text(make_result(effective_config=config).model_dump_json())
        yield ResultStore(root)


def typed(store: ResultStore, operator: str, text: str) -> list[str]:
    """Return the paths that `--where` finds."""
    where = conditions(str(store.root), [f"config.x{operator}{text}"])
    return list(store.scan(["path"], where=where).to_pydict()["path"])


def found(store: ResultStore, operator: Any, value: object) -> list[str]:
    scan = store.scan(["path"], where=[("config.x", operator, value)])
    return list(scan.to_pydict()["path"])


@settings(max_examples=60)
@given(
    st.lists(cells | st.just(...), min_size=1, max_size=8).filter(
        lambda column: set(map(str, column)) != {"Ellipsis"}
    )
)
@example([8, "8", 1, 1.0, True, "auto", None, "None", "-", ""])
@example(["8", "16", None, "None"])
@example([math.inf, math.nan, 0.5, -math.inf])
@example(["Infinity", "auto"])
@example(["Infinity", True, "auto"])
@example([1, "None", None])
@example([{"a": 1}, '{"a": 1}', "[1]", [1], [math.inf]])
@example(["a and b=2", 1])
@example([[1, 2], [1, "2"], [], None])
def test_scan_where_selects_exactly_the_rows_that_show_a_value(column: list[Any]) -> None:
    with store_of(column) as store:
        reading = Reading(str(store.root), ["path", "config.x"], ())
        shown: list[tuple[str, Any]] = []
        for batch in reading.batches():
            shown += zip(batch["path"], batch["effective_config.x"], strict=True)
        kinds = {type(value) for _, value in shown} - {type(None)}
        texts = {path: format_setting(value, is_mixed=bool(kinds - {str})) for path, value in shown}
        values = dict(shown)
        for path, text in texts.items():
            rows = typed(store, "=", text)
            assert path in rows, (text, texts)
            # 1 and 1.0 are one value, and so are 0.0 and -0.0.
            assert rows == [other for other in texts if _same(values[other], values[path])], (text, texts)
            assert typed(store, "!=", text) == [other for other in texts if other not in rows]
            _check_order(store, Typed(text), values, path)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other or (_is_nan(one) and _is_nan(other)))


def _check_order(store: ResultStore, operand: object, values: dict[str, Any], path: str) -> None:
    value = values[path]
    if value is None or isinstance(value, (list, dict)):
        return
    below = found(store, "<", operand)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)

    def is_of_kind(other: Any) -> bool:
        if is_number:
            return isinstance(other, (int, float)) and not isinstance(other, bool) and not _is_nan(other)
        return type(other) is type(value)

    expected = [] if _is_nan(value) else [p for p, o in values.items() if is_of_kind(o) and o < value]
    names = {"NaN", "Infinity", "-Infinity"}
    if not any(isinstance(o, str) and o in names for o in values.values()):
        assert below == expected, (operand, values)
        in_order = sorted(values, key=lambda p: order_of(values[p]))
        assert [p for p in in_order if p in below] == [p for p in in_order if is_of_kind(values[p])][
            : len(below)
        ]


@settings(max_examples=60)
@given(st.lists(scalars, min_size=1, max_size=8), st.data())
def test_scan_where_in_python_selects_equal_values(column: list[Any], data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(column))
    with store_of(column) as store:
        equal = [f"{n:02}" for n, other in enumerate(column) if _same(_stored(other), _stored(value))]
        rows = found(store, "==", value)
        assert rows == equal
        assert found(store, "in", [value]) == rows
        rest = [f"{n:02}" for n in range(len(column)) if f"{n:02}" not in rows]
        assert found(store, "!=", value) == found(store, "not in", [value]) == rest


def _stored(value: Any) -> Any:
    """Return a value as a record holds it: the name of a non-finite float is the float."""
    return (
        {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value, value)
        if isinstance(value, str)
        else value
    )


@pytest.mark.parametrize(
    ("column", "operand", "reason"),
    [
        ([1, 2.5, None], "auto", "config.x holds numbers, got the text 'auto'"),
        ([1, 2.5], True, "config.x holds numbers, got true"),
        (["a", "b"], 1, "config.x holds texts, got 1"),
        ([True], 1, "config.x holds true or false, got 1"),
        ([1], Typed("auto"), "config.x holds numbers, got 'auto'"),
        ([1, "a"], True, "config.x holds numbers and texts, got true"),
        ([{"a": 1}], "a", "config.x holds objects, got the text 'a'"),
    ],
)
def test_scan_where_rejects_operand_of_another_type(column: list[Any], operand: Any, reason: str) -> None:
    with store_of(column) as store:
        for operator in ("==", "!=", "<", ">="):
            with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
                found(store, operator, operand)


def test_scan_where_compares_values_of_one_kind() -> None:
    with store_of([8, "8", True, 16.0, "auto", None, math.inf, [8]]) as store:
        assert found(store, "==", 8) == ["00"]
        assert found(store, "==", "8") == ["01"]
        assert found(store, "==", True) == ["02"]  # noqa: FBT003
        assert found(store, "==", [8.0]) == ["07"]
        assert found(store, ">", 8) == ["03", "06"]
        assert found(store, "<", "b") == ["01", "04"]
        assert found(store, "==", Typed("8")) == ["00"]
        assert found(store, "==", Typed('"8"')) == ["01"]
        assert found(store, "<", Typed("inf")) == ["00", "03"]
        assert found(store, "~", "A") == ["04"]


def test_scan_where_searches_texts_and_lists_of_texts(put: Put, tmp_path: Path) -> None:
    put("a", measurement_warnings=["GPU throttled", "short"])
    put("b", effective_config={"model": "org/Model", "tags": ["Fast", 1]})
    store = ResultStore(tmp_path)

    def paths(*condition: Any) -> list[str]:
        return list(store.scan(["path"], where=[condition]).to_pydict()["path"])

    assert paths("warnings", "~", "THROTTLED") == ["a"]
    assert paths("measurement_warnings", "==", []) == ["b"]
    assert paths("measurement_warnings", "!=", []) == ["a"]
    # A table prints the number of texts.
    for operator, count, expected in (
        *(("==", 2, ["a"]), ("!=", Typed("2"), ["b"]), ("==", Typed("-"), ["b"]), (">", Typed("1"), ["a"])),
        *(("<", 1, ["b"]), ("in", [0, 2], ["a", "b"]), ("not in", [0], ["a"]), ("==", Typed("0"), ["b"])),
    ):
        assert paths("warnings", operator, count) == expected, (operator, count)
    assert paths("config.tags", "~", "fast") == ["b"]
    assert paths("model", "~", "ORG/") == ["b"]
    for column in ("energy", "has_timeseries", "when"):
        with pytest.raises(ValueError, match="expects a column of text"):
            paths(column, "~", "1")


def test_scan_where_null_word_is_a_text_where_a_row_shows_it() -> None:
    with store_of(["None", None, "int8", ...]) as store:
        assert found(store, "==", Typed("None")) == ["00"]
        assert found(store, "==", Typed("-")) == ["01", "03"]
        assert found(store, "!=", Typed("null")) == ["00", "02"]
        assert found(store, "==", None) == ["01", "03"]
    with store_of([None, 1]) as store:
        assert found(store, "==", Typed("None")) == ["00"]
        assert found(store, "!=", Typed("None")) == ["01"]


@pytest.mark.parametrize("other", [1, True, [1], {"a": 1}])
def test_scan_where_null_word_is_null_among_values_of_other_kinds(other: Any) -> None:
    with store_of([other, "None", None, "null", ...]) as store:
        for word in ("None", "null", "-"):
            assert typed(store, "=", word) == ["02", "04"]
            assert typed(store, "!=", word) == ["00", "01", "03"]
            for operator in ("<", ">="):
                with pytest.raises(ValueError, match="with None except by == and !="):
                    typed(store, operator, word)
        assert typed(store, "=", '"None"') == ["01"]


def test_scan_where_name_of_a_float_is_a_number_where_numbers_are() -> None:
    with store_of([0.5, "auto", math.inf, -math.inf, math.nan]) as store:
        assert typed(store, ">", "0") == ["00", "02"]
        assert typed(store, "<", "z") == ["01"]
        assert typed(store, ">", "A") == ["01"]
        assert typed(store, "~", "n") == []
        for text in ("inf", "Infinity", '"Infinity"'):
            assert typed(store, "=", text) == ["02"]
        assert found(store, "==", "Infinity") == found(store, "==", math.inf) == ["02"]
    with store_of([math.inf, True]) as store:
        assert typed(store, ">", "5") == ["00"]
        with pytest.raises(ValueError, match="expects a column of text"):
            typed(store, "~", "inf")


def test_scan_where_name_of_a_float_is_a_text_among_texts() -> None:
    with store_of([math.inf, "auto", None]) as store:
        assert typed(store, "~", "INF") == ["00"]
        assert typed(store, "<", "a") == ["00"]
        assert typed(store, "=", "Infinity") == found(store, "==", math.inf) == ["00"]
        with pytest.raises(ValueError, match=r"config\.x holds texts, got 5"):
            found(store, ">", 5)


def test_scan_where_search_takes_a_text_in_quotes() -> None:
    with store_of(["w x and y=1", 'say "hi"', None]) as store:
        assert typed(store, "~", '"x and y=1"') == ["00"]
        assert typed(store, "~", '"hi') == ["01"]
        assert typed(store, "~", 'hi"') == ["01"]
    with store_of(["a"]) as store:
        where = conditions("", ['backend~"YTO"'])
        assert store.scan(["path"], where=where).to_pydict() == {"path": ["00"]}


@pytest.mark.parametrize("column", [[1, [1]], ["a", [1]], [{"a": 1}, [1], "[1]"]])
@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
def test_scan_where_order_with_a_list_is_an_error(column: list[Any], operator: str) -> None:
    reason = r"with a list or an object except by ==, !=, 'in' and 'not in'"
    with store_of(column) as store:
        with pytest.raises(ValueError, match=reason):
            typed(store, operator, "[1]")
        with pytest.raises(ValueError, match=reason):
            found(store, operator, [1])


def test_scan_where_bare_text_of_another_kind_is_that_kind() -> None:
    with store_of([True, "8", "[1]"]) as store:
        assert typed(store, "=", '"8"') == ["01"]
        for text in ("8", "[1]"):
            with pytest.raises(ValueError, match="holds true or false and texts"):
                typed(store, "=", text)


@pytest.mark.parametrize(
    ("operator", "text", "names"),
    [
        ("==", "2026-02-18", "ab"),
        ("==", "2026-02-18 14:30", "a"),
        ("==", "2026-02-18T14:30:07", "a"),
        ("==", "2026-02-18T14:30:07.25", "a"),
        ("==", "2026-02-18T14:30:07.2", "a"),
        ("==", "2026-02-18T14:30:07.3", ""),
        ("!=", "2026-02-18 14:30", "bc"),
        ("<", "2026-02-18 14:30", ""),
        ("<=", "2026-02-18 14:30", "a"),
        (">", "2026-02-18 14:30", "bc"),
        (">", "2026-02-18", "c"),
        (">=", "2026-02-18 23:59", "bc"),
    ],
)
def test_scan_where_time_stands_for_its_interval(
    put: Put, tmp_path: Path, operator: Any, text: str, names: str
) -> None:
    put("a", start_time="2026-02-18T14:30:07.250000")
    put("b", start_time="2026-02-18T23:59:59.999999")
    put("c", start_time="2026-02-19T00:00:00")
    for value in (text, Typed(text)):
        rows = ResultStore(tmp_path).scan(["path"], where=[("when", operator, value)]).to_pydict()["path"]
        assert "".join(rows) == names


def test_scan_where_typed_values_of_fields(put: Put, tmp_path: Path) -> None:
    put("a", total_tokens=1234, total_energy_j=math.inf, energy_adjusted_j=None, timeseries=None)
    put("b", total_tokens=5, total_energy_j=math.nan, energy_adjusted_j=2.5)
    put("c", total_tokens=6, total_energy_j=1e-05, backend="None")

    def paths(column: str, operator: Any, text: str) -> str:
        scan = ResultStore(tmp_path).scan(["path"], where=[(column, operator, Typed(text))])
        return "".join(scan.to_pydict()["path"])

    assert paths("tokens", "==", "1,234") == "a"
    assert paths("energy", "==", "inf") == "a"
    assert paths("energy", "!=", "inf") == "bc"
    assert paths("energy", "<", "inf") == "c"
    assert paths("energy", "==", "NaN") == "b"
    assert paths("energy_adjusted_j", "==", "None") == "ac"
    assert paths("energy_adjusted_j", "!=", "-") == "b"
    assert paths("backend", "==", "None") == "c"
    assert paths("has_timeseries", "==", "False") == "abc"
    with pytest.raises(ValueError, match="total_energy_j cannot be compared with None except by == and !="):
        paths("energy", "<", "None")


def test_scan_timeseries_where_selects_results_by_keys(store: ResultStore, result: ExperimentResult) -> None:
    store.save(result, durable=False)
    with pytest.raises(ValueError, match=r"no result has the key 'config\.modell'; there is config\.model"):
        store.scan_timeseries(where=[("config.modell", "==", "gpt2")]).to_pydict()
    assert store.scan_timeseries(["path"], where=[("id", "==", "none")]).to_pydict() == {"path": []}


def test_scan_where_compares_objects_by_value(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    objects: list[Any] = [{"b": 1, "c": [1, {"d": None}]}, {"b": 1.0, "c": [1.0, {"d": None}]}, {"b": 1}, 1]
    for number, value in enumerate(objects):
        result = make_result(experiment_id=str(number), effective_config={"model": "m", "x": value})
        store.save(result, durable=False)

    def ids(operator: Any, value: Any) -> list[str]:
        found: list[str] = store.scan(["id"], where=[("config.x", operator, value)]).to_pydict()["id"]
        return sorted(found)

    assert ids("==", {"c": [1, {"d": None}], "b": 1}) == ["0", "1"]
    assert ids("!=", {"b": 1}) == ["0", "1", "3"]
    assert ids("in", [{"b": 1}, 1]) == ["2", "3"]


@pytest.mark.parametrize("value", [math.nan, [math.nan, 1], {"a": math.nan}])
def test_scan_where_nan_with_configuration_columns_ends(tmp_path: Path, value: Any) -> None:
    store = ResultStore(tmp_path / "results")
    for number, k in enumerate((math.nan, 1, {"a": math.nan})):
        result = make_result(experiment_id=str(number), effective_config={"model": "m", "k": k})
        store.save(result, durable=False)
    scan = store.scan(
        ["id", "config.k"], where=[("config.k", "in", value if isinstance(value, list) else [value])]
    )
    expected = {0: ["0"], 1: ["0", "1"], 2: ["2"]}[
        2 if isinstance(value, dict) else int(isinstance(value, list))
    ]
    assert sorted(scan.to_pydict()["id"]) == expected
