"""Partitions of a scan: together they are the scan, row for row; counts, names and first rows read little."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results._conditions import Typed
from llenergymeasure.results.scan import Scan
from llenergymeasure.results.types import Condition
from support.results import make_result

pytestmark = pytest.mark.published

Put = Callable[..., Path]

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([1, 2, 2**63, -1, 1.0, 2.5, "1", "auto", "NaN", float("inf"), [1], ["a"], {"b": 1}]),
)
CONFIGS = st.dictionaries(st.sampled_from(["a", "b", "c.d"]), VALUES, max_size=3)
COLUMNS = [
    "path",
    "total_energy_j",
    "backend",
    "has_timeseries",
    'config."c.d"',
    "config.a",
    "effective_config",
]
CONDITIONS: list[Condition] = [
    ("path", "~", "1"),
    ("path", "in", ["r0", "r3", "r77"]),
    ("backend", "==", "vllm"),
    ("total_energy_j", ">", 3),
    ("config.a", "!=", None),
    ("config.a", "==", 1),
    ("config.a", "~", "a"),
    ("config.b", "in", [1, "auto", None]),
]


def rows_of(scan: Scan) -> tuple[list[tuple[str, str]], list[tuple[str, list[str]]]]:
    """Return the columns with their types, and the rows as texts, so that NaN equals NaN."""
    schema, columns = scan.schema, scan.to_pydict()
    rows = [(name, [repr(value) for value in values]) for name, values in columns.items()]
    return list(zip(schema.names, schema.types, strict=True)), rows


def joined(
    parts: list[tuple[str, list[str]]], more: list[tuple[str, list[str]]]
) -> list[tuple[str, list[str]]]:
    return [(name, values + more[index][1]) for index, (name, values) in enumerate(parts)]


def refusal_of(call: Callable[[], object]) -> str | None:
    """Return the error of a call where no result has a value of the kind of an operand."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def fill(root: Path, configs: list[dict[str, Any]], *, deep: bool = False) -> ResultStore:
    for number, config in enumerate(configs):
        place = root / (f"d{number % 3}/r{number}" if deep else f"r{number}")
        place.mkdir(parents=True)
        backend: Literal["vllm", "pytorch"] = "vllm" if number % 2 else "pytorch"
        result = make_result(effective_config=config, backend=backend, total_energy_j=float(number))
        (place / "result.json").write_text(result.model_dump_json())
    return ResultStore(root)


@settings(deadline=None, max_examples=60)
@given(
    configs=st.lists(CONFIGS, max_size=12),
    n=st.integers(1, 15) | st.none(),
    by=st.sampled_from(["count", "bytes"]),
    columns=st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1) | st.none(),
    where=st.lists(st.sampled_from(CONDITIONS), max_size=2),
    deep=st.booleans(),
)
@example(
    configs=[], n=None, by="count", columns=None, where=[("config.b", "in", [1, "auto", None])], deep=False
)
def test_partitions_together_equal_the_scan_row_for_row(
    configs: list[dict[str, Any]],
    n: int | None,
    by: Literal["count", "bytes"],
    columns: list[str] | None,
    where: list[Condition],
    deep: bool,  # noqa: FBT001 - of hypothesis
) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = fill(Path(root), configs, deep=deep)
        scan = store.scan(columns, where=where, optional=["config.a", 'config."c.d"', "config.b"])
        refusal = refusal_of(scan.to_pydict)
        assert refusal_of(lambda: scan.partitions(n, by=by)) == refusal
        if refusal is not None:
            return
        expected, rows = rows_of(scan)
        parts = [pickle.loads(pickle.dumps(part)) for part in scan.partitions(n, by=by)]  # noqa: S301
        assert len(parts) == min(n or 1, max(len(configs), 1))
        assert parts == scan.partitions(n, by=by)
        union: list[tuple[str, list[str]]] = [(name, []) for name, _ in rows]
        for part in parts:
            found, more = rows_of(part)
            assert found == expected
            union = joined(union, more)
        assert union == rows
        assert scan.count() == len(rows[0][1]) == sum(part.count() for part in parts)
        assert scan.names() == [name for part in parts for name in part.names()]
        first = rows_of(scan.head(2))
        assert first == (expected, [(name, values[:2]) for name, values in rows])


def test_partitions_read_what_was_listed_and_nothing_else(root: Path) -> None:
    store = fill(root, [{"a": number} for number in range(6)])
    parts = store.scan(["path", "config.a"]).partitions(3)
    shutil.rmtree(root / "r3")
    (root / "r9").mkdir()
    shutil.copy(root / "r0" / "result.json", root / "r9")
    (root / "r4" / "below").mkdir()
    shutil.copy(root / "r0" / "result.json", root / "r4" / "below")
    found = [part.to_pydict()["path"] for part in parts]
    assert found == [["r0", "r1"], ["r2"], ["r4", "r5"]]


def test_partitions_meet_each_error_of_the_scan_once(root: Path) -> None:
    store = fill(root, [{"a": number} for number in range(5)])
    (root / "r1" / "result.json").write_text("{")
    (root / "r2" / "result.json").unlink()
    (root / "r2" / "result.json").mkdir()
    (root / "r3" / "result.json").write_text("")
    scan = store.scan(["path"], on_error="collect")
    paths = scan.to_pydict()["path"]
    parts = scan.partitions(2)
    assert [path for part in parts for path in part.to_pydict()["path"]] == paths
    assert {path for part in parts for path in part.errors} == set(scan.errors)
    assert scan.count() == len(paths)


def test_partitions_of_a_root_that_is_a_result_have_it_once(root: Path) -> None:
    store = fill(root, [{}, {}])
    shutil.copy(root / "r0" / "result.json", root)
    scan = store.scan(["path"])
    assert (
        [part.to_pydict()["path"] for part in scan.partitions(3)]
        == [["."], ["r0"], ["r1"]]
        == [[name] for name in scan.to_pydict()["path"]]
    )


def test_partitions_of_followed_links_read_the_linked_results(root: Path) -> None:
    fill(root / "elsewhere", [{}, {}])
    (root / "store").mkdir()
    (root / "store" / "link").symlink_to("../elsewhere")
    store = ResultStore(root / "store", follow_links=True)
    assert [part.to_pydict()["path"] for part in store.scan(["path"]).partitions(2)] == [
        ["link/r0"],
        ["link/r1"],
    ]
    with pytest.warns(UserWarning, match="1 symbolic link to a directory was not followed"):
        (part,) = ResultStore(root / "store").scan(["path"]).partitions(2)
    assert part.to_pydict() == {"path": []}


def test_partitions_of_a_partition_divide_it(root: Path) -> None:
    store = fill(root, [{"a": number} for number in range(6)])
    for by in ("count", "bytes"):
        first, _ = store.scan(["path", "config.a"]).partitions(2)
        parts = first.partitions(3, by=by)
        assert [part.to_pydict()["path"] for part in parts] == [["r0"], ["r1"], ["r2"]]


@pytest.mark.parametrize("columns", [["path"], ["path", "config.a"], ["path", "effective_config"]])
@pytest.mark.parametrize(
    ("values", "condition", "expected"),
    [
        (["8", "9", "8"], ("config.a", "==", Typed("8")), ["r0", "r2"]),
        (["8", 8, "x", 9], ("config.a", "==", Typed("8")), ["r1"]),
        (["8", 8, "x", 9], ("config.a", "==", Typed('"8"')), ["r0"]),
        (["NaN", "x", "y"], ("config.a", "~", "N"), ["r0"]),
        (["NaN", "x", "NaN"], ("config.a", "<", "Z"), ["r0", "r2"]),
    ],
)
def test_condition_selects_the_same_rows_whatever_reads_them(
    root: Path, columns: list[str], values: list[Any], condition: Condition, expected: list[str]
) -> None:
    # The values of the whole tree decide what the operand means; a partition has some of them only.
    scan = fill(root, [{"a": value} for value in values]).scan(columns, where=[condition])
    parts = scan.partitions(3)
    below = [small for part in parts for small in part.partitions(2)]
    for scans in ([scan], [scan.resolved().resolved()], parts, below):
        assert [path for one in scans for path in one.to_pydict()["path"]] == expected


def test_partition_in_another_process_reads_its_rows(root: Path) -> None:
    store = fill(root, [{"a": number} for number in range(4)])
    _, part = store.scan(["path", "config.a"], where=[("config.a", ">", 0)]).partitions(2)
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer).to_pydict())"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=pickle.dumps(part), capture_output=True, check=True)
    assert ended.stdout.decode().strip() == str({"path": ["r2", "r3"], "config.a": [2, 3]})


def test_partitions_of_bad_numbers_and_scans_are_refused(root: Path) -> None:
    store = fill(root, [{}])
    scan = store.scan(["path"])
    with pytest.raises(ValueError, match="n expects at least 1, got 0"):
        scan.partitions(0)
    with pytest.raises(ValueError, match="by expects 'count' or 'bytes', got 'size'"):
        scan.partitions(by="size")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="call partitions before head"):
        scan.head(3).partitions()
    with pytest.raises(ValueError, match="n expects at least 0, got -1"):
        scan.head(-1)
    with pytest.raises(TypeError, match="partitions expects a scan of results, got one of power traces"):
        store.scan_timeseries().partitions()


def test_compare_scans_by_what_they_read(root: Path) -> None:
    store = fill(root, [{}, {}])
    scan = store.scan(["path"], where=[("backend", "==", "vllm")])
    same = ResultStore(root).scan(["path"], where=[("backend", "==", "vllm")])
    assert scan == same
    assert hash(scan) == hash(same)
    assert pickle.loads(pickle.dumps(scan)) == scan  # noqa: S301
    others = [
        store.scan(["path"]),
        store.scan(["backend"]),
        scan.head(1),
        *store.scan(["path"]).partitions(2),
    ]
    assert all(scan != other for other in others)
    assert scan != "scan"


def test_given_types_are_not_inferred_and_hold_for_each_partition(root: Path) -> None:
    store = fill(root, [{"a": 1}, {"a": 2**40}, {}])
    read: list[int] = []
    scan = store.scan(
        ["path", "config.a", "config.z"],
        schema={"config.a": "double", "config.z": "list<string>"},
        progress=lambda done, _: read.append(done),
    )
    assert scan.schema.types == ["string", "double", "list<item: string>"]
    parts = scan.partitions(3)
    assert not read
    assert [part.schema for part in parts] == [scan.schema] * 3
    assert [part.to_pydict()["config.a"] for part in parts] == [[1.0], [2.0**40], [None]]


def test_value_of_another_type_than_given_is_an_invalid_file(root: Path) -> None:
    store = fill(root, [{"a": 1}, {"a": "auto"}, {"a": 2.5}, {"a": None}])
    message = r"effective_config\.a is \"auto\", which does not fit the type that was given for it"
    with pytest.raises(Exception, match=message):
        store.scan(["config.a"], schema={"config.a": "int64"}).to_pydict()
    for columns in (["path", "config.a"], ["path", "effective_config"]):
        scan = store.scan(columns, schema={"config.a": "int64"}, on_error="collect")
        assert scan.to_pydict()["path"] == ["r0", "r3"]
        assert [path.parent.name for path in scan.errors] == ["r1", "r2"]
        assert scan.count() == 2
        assert scan.names() == ["r0", "r3"]
    assert store.scan(["backend"], schema={"config.a": "int64"}).count() == 4


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("bool", [True]),
        ("int64", [1, -1, 2**63 - 1]),
        ("uint64", [1, 2**64 - 1]),
        ("double", [1, -1, 2.5, float("nan")]),
        ("string", ["a", ""]),
        ("list<int64>", [[1, None], []]),
        ("list<double>", [[1.5, 1], []]),
        ("list<string>", [["a"], []]),
        ("json", [True, 1, 2**64, "a", [1, "a"], {"b": 1}]),
    ],
)
def test_given_type_admits_its_values_and_no_other(root: Path, name: str, fitting: list[Any]) -> None:
    every: list[Any] = [True, 1, -1, 2**63 - 1, 2**64 - 1, 2**64, 2**53 + 1, 2.5, float("nan"), "a", ""]
    every += [[1, None], [1.5, 1], ["a"], [], [1, "a"], {"b": 1}]
    store = fill(root, [{"a": value} for value in every])
    scan = store.scan(["config.a"], schema={"config.a": name}, on_error="collect")
    read = [repr(value) for value in scan.to_pydict()["config.a"]]
    assert scan.schema.types == ["string" if name == "json" else name.replace("<", "<item: ")]
    assert len(read) >= len(fitting)
    if name != "json":
        invalid = {path.parent.name for path in scan.errors}
        admitted = [value for number, value in enumerate(every) if f"r{number}" not in invalid]
        assert [repr(value) for value in fitting if value not in admitted and value == value] == []  # noqa: PLR0124
        assert all(isinstance(value, (list, str, bool, int, float)) for value in admitted)
        assert len(admitted) == len(read)


def test_given_types_of_bad_form_are_refused(root: Path) -> None:
    store = fill(root, [{"a": 1}])
    with pytest.raises(ValueError, match=r"config\.a expects a type bool, .* got \"text\""):
        store.scan(["config.a"], schema={"config.a": "text"})
    with pytest.raises(ValueError, match="backend"):
        store.scan(["config.a"], schema={"backend": "string"})
    with pytest.raises(TypeError, match="schema expects a mapping of names to types, got list"):
        store.scan(schema=["config.a"])  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"schema expects the name of a type for 'config\.a', such as 'int64', got type"
    ):
        store.scan(schema={"config.a": int})  # type: ignore[dict-item]


def test_count_and_names_of_all_results_read_no_record(root: Path) -> None:
    store = fill(root, [{} for _ in range(3)])
    (root / "r1" / "result.json").write_text("no JSON")
    scan = store.scan()
    assert scan.count() == 3
    assert scan.names() == ["r0", "r1", "r2"]
    assert scan.head(2).count() == 2
    assert scan.head(2).names() == ["r0", "r1"]
    assert store.scan(on_error="collect").count() == 2


def test_head_stops_reading(root: Path) -> None:
    store = fill(root, [{} for _ in range(900)])
    read: list[int] = []
    scan = store.scan(["path"], progress=lambda done, _: read.append(done)).head(3)
    assert scan.to_pydict()["path"] == ["r0", "r1", "r10"]
    assert max(read) <= 128
    assert scan.head(1).count() == 1
    assert scan.head(0).to_pydict() == {"path": []}


def test_repr_shows_root_columns_and_conditions(root: Path) -> None:
    store = fill(root, [{"a": 1}])
    scan = store.scan(["path", "total_tokens"], where=[("backend", "==", "vllm")])
    expected = f"<Scan of {str(root)!r}, where backend == 'vllm'\n  path: string\n  total_tokens: int64>"
    assert repr(scan) == expected
    assert repr(store.scan(["path", "config.a"])) == f"<Scan of {str(root)!r}\n  path\n  config.a>"
    (part,) = store.scan(["path", "config.a"]).partitions()
    assert repr(part) == f"<Scan of {str(root)!r}, 1 results of it\n  path: string\n  config.a: int64>"
    assert repr(store.scan()).count("\n") <= 21


def test_results_of_a_scan_are_unchanged_by_its_pickle(root: Path) -> None:
    result: ExperimentResult = make_result(effective_config={"a": 1})
    (root / "r").mkdir()
    (root / "r" / "result.json").write_text(result.model_dump_json())
    scan = pickle.loads(pickle.dumps(ResultStore(root).scan()))  # noqa: S301
    assert scan.to_pydict() == ResultStore(root).scan().to_pydict()
