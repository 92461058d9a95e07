"""What a scan finds in a tree: whatever lies there is a row, an error with its path, or by rule nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
)

Make = Callable[..., ExperimentResult]
Plant = Callable[..., None]


@pytest.fixture
def text(result: ExperimentResult) -> str:
    """Make the text of a record."""
    return result.model_dump_json()


@pytest.fixture
def plant(tmp_path: Path, text: str) -> Plant:
    """Write a record, or other bytes, into each of some directories."""

    def plant(*names: str, content: bytes | None = None) -> None:
        for name in names:
            place = tmp_path / name
            place.mkdir(parents=True, exist_ok=True)
            (place / "result.json").write_bytes(text.encode() if content is None else content)

    return plant


def paths(store: ResultStore | Path, **options: Any) -> list[str]:
    store = store if isinstance(store, ResultStore) else ResultStore(store)
    return store.scan(["path"], **options).to_pydict()["path"]


# Which directories are results, and in which order.


def test_results_lie_at_any_depth_and_come_in_the_order_of_their_paths(plant: Plant, tmp_path: Path) -> None:
    names = ["a/b", "a-b", "a/c/d/e", "a0", "B", "é", "z/é/1", "z/é/10", "z/é/2", "~", " ", "a.b"]
    plant(*names)
    in_order = sorted(names, key=lambda name: [part.encode() for part in name.split("/")])
    for batch_size in (1, 3, 4096):
        assert paths(tmp_path, batch_size=batch_size) == in_order
    assert [Path(name) for name in in_order] == sorted(map(Path, names))


def test_the_root_may_be_a_result_beside_those_below(plant: Plant, tmp_path: Path) -> None:
    plant(".", "a")
    assert paths(tmp_path) == [".", "a"]


def test_a_wide_and_deep_tree_is_read_in_the_same_order_every_time(plant: Plant, tmp_path: Path) -> None:
    # More names in one directory than are visited together, above, below and beside directories of few.
    names = [f"{number:04}" for number in range(300)]
    names += [f"0150-many/{number:03}/x" for number in range(150)]
    names += [f"0150-many/070-more/{number:03}" for number in range(130)]
    names += [f"0299-few/{number}/{other}" for number in range(9) for other in range(9)]
    plant(*names)
    in_order = [str(path) for path in sorted(map(Path, names))]
    for batch_size in (1, 7, 64, 4096):
        scan = ResultStore(tmp_path).scan(["path"], batch_size=batch_size)
        batches = [batch.to_pydict()["path"] for batch in scan]
        assert [path for batch in batches for path in batch] == in_order
        assert max(map(len, batches)) <= batch_size


def test_names_that_begin_with_a_dot_and_directories_without_a_record_are_no_results(
    plant: Plant, tmp_path: Path
) -> None:
    plant("a", ".hidden", ".tmp-x/b", "c/.d", "e")
    (tmp_path / "empty").mkdir()
    (tmp_path / "stray").write_text("no directory")
    (tmp_path / "e" / ".result.json.tmp").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.json").write_text("{}")
    assert paths(tmp_path) == ["a", "e"]


def test_an_empty_tree_is_a_table_without_rows(tmp_path: Path) -> None:
    scan = ResultStore(tmp_path).scan()
    assert list(scan) == []
    columns = scan.to_pydict()
    assert list(columns) == scan.schema.names
    assert all(values == [] for values in columns.values())
    assert not any(name.startswith("effective_config") for name in columns)


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.write_text("")], ids=["none", "file"])
def test_a_root_that_is_no_directory_is_an_error_when_it_is_read(
    tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    root = tmp_path / "root"
    make(root)
    for on_error in ("raise", "skip", "collect"):
        scan = ResultStore(root).scan(["path"], on_error=on_error)
        with pytest.raises(PersistenceError) as caught:
            scan.to_pydict()
        assert str(root) in str(caught.value)


def test_a_root_may_be_a_symlink_and_a_relative_path(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("real/a")
    (tmp_path / "link").symlink_to("real")
    assert paths(tmp_path / "link") == ["a"]
    monkeypatch.chdir(tmp_path)
    scan = ResultStore("real").scan(["path"])
    monkeypatch.chdir("/")
    assert scan.to_pydict() == {"path": ["a"]}


def test_a_very_deep_tree_ends_in_rows_and_errors(text: str, tmp_path: Path) -> None:
    # Deeper than a path may be long.
    script = textwrap.dedent(
        """
        import os, sys
        os.chdir(sys.argv[1])
        for depth in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        open("result.json", "w").write(sys.stdin.read())
        """
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], input=text, text=True, check=True)
    shallow = tmp_path / ("e/" * 900)
    shallow.mkdir(parents=True)
    (shallow / "result.json").write_text(text)
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": [("e/" * 900).rstrip("/")]}
    (error,) = scan.errors.values()
    assert "ENAMETOOLONG" in str(error)


# Symlinks.


def test_symlinks_below_the_root_are_not_followed_and_loops_end(plant: Plant, tmp_path: Path) -> None:
    plant("root/a", "root/b/c", "outside/d")
    root = tmp_path / "root"
    (root / "loop").symlink_to(".")
    (root / "b" / "up").symlink_to("..")
    (root / "out").symlink_to("../outside")
    (root / "again").symlink_to("a")
    (root / "nowhere").symlink_to("nothing")
    scan = ResultStore(root).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a", "b/c"]}
    assert scan.errors == {}


@pytest.mark.parametrize("target", ["../a/result.json", "nothing", "result.json"])
def test_a_record_that_is_a_symlink_is_an_error_with_its_path(
    plant: Plant, tmp_path: Path, target: str
) -> None:
    plant("a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "result.json").symlink_to(target)
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a"]}
    ((path, error),) = scan.errors.items()
    assert path == tmp_path / "b" / "result.json"
    assert "symbolic link" in str(error)


# What is no result.

BAD: dict[str, tuple[Callable[[bytes], bytes], type[Exception], str]] = {
    "empty": (lambda _: b"", ResultCorruptError, "empty"),
    "nul": (lambda good: b"\0" * len(good), ResultCorruptError, "NUL"),
    "nul-ended": (lambda good: good + b"\0" * 100, ResultCorruptError, "last 100 bytes are NUL"),
    "truncated": (lambda good: good[: len(good) // 2], ResultCorruptError, "truncated"),
    "one-short": (lambda good: good[:-1], ResultCorruptError, "truncated"),
    "no-json": (lambda _: b"no JSON at all", ResultCorruptError, "not JSON"),
    "twice": (lambda good: good + good, ResultCorruptError, "trailing"),
    "utf-16": (lambda good: good.decode().encode("utf-16"), ResultCorruptError, "UTF-8"),
    "no-utf-8": (lambda good: good.replace(b"gpt2", b"gpt\xff"), ResultCorruptError, "UTF-8"),
    "marked": (lambda good: b"\xef\xbb\xbf" + good, ResultCorruptError, "byte order mark"),
    "list": (lambda good: b"[" + good + b"]", ResultError, "an object"),
    "null": (lambda _: b"null", ResultError, "an object"),
    "foreign": (lambda _: b'{"a": 1}', ResultError, "a field that the schema does not: a"),
    "lacking": (lambda _: b"{}", ResultError, "lacks"),
    "other-line": (lambda good: good.replace(b'"2.0"', b'"3.0"'), SchemaVersionError, '"3.0"'),
    "number-line": (lambda good: good.replace(b'"2.0"', b"2.0"), SchemaVersionError, "2.0"),
    "newer": (
        lambda good: good.replace(b'"2.0"', b'"2.1"').replace(b"{", b'{"new": 1,', 1),
        SchemaVersionError,
        "2.1",
    ),
    "double": (lambda good: good.replace(b'"backend"', b'"total_tokens"', 1), ResultError, "total_tokens"),
    "wrong-type": (
        lambda good: good.replace(b":1000,", b':"many",'),
        ResultError,
        "an integer in total_tokens",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_an_error_with_its_path_and_never_a_hole(
    plant: Plant, tmp_path: Path, text: str, kind: str
) -> None:
    spoil, error, said = BAD[kind]
    content = spoil(text.encode())
    assert content != text.encode()
    plant("a", "c")
    plant("b", content=content)
    record = tmp_path / "b" / "result.json"
    store = ResultStore(tmp_path)
    for columns in (["path", "total_tokens"], None):
        scan = store.scan(columns)
        for _ in range(2):
            with pytest.raises(error, match=said) as caught:
                list(scan)
            assert str(record) in str(caught.value)
        scan = store.scan(columns, on_error="collect")
        for _ in range(2):
            assert scan.to_pydict()["path"] == ["a", "c"]
            assert {path: type(error) for path, error in scan.errors.items()} == {record: error}
            assert said in str(scan.errors[record])
        scan = store.scan(columns, on_error="skip")
        with pytest.warns(UserWarning, match=f"1 file was skipped; the first: .*{said}") as warned:
            assert scan.to_pydict()["path"] == ["a", "c"]
        assert [one.filename for one in warned] == [__file__]
        if kind != "double":  # the last of two values is loaded
            with pytest.raises((LLEMError, ValidationError), match="result"):
                ExperimentResult.from_json(record)


def test_a_record_that_is_no_regular_file_is_an_error_and_nothing_waits_for_it(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("a", "z")
    places = [tmp_path / name for name in ("directory", "fifo", "socket")]
    for place in places:
        place.mkdir()
    (places[0] / "result.json").mkdir()
    os.mkfifo(places[1] / "result.json")
    monkeypatch.chdir(places[2])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("result.json")
        scan = ResultStore(tmp_path).scan(on_error="collect")
        assert scan.to_pydict()["path"] == ["a", "z"]
    assert list(scan.errors) == [place / "result.json" for place in places]
    assert all(isinstance(error, PersistenceError) for error in scan.errors.values())


def test_a_file_too_large_for_a_record_is_an_error_and_not_read(plant: Plant, tmp_path: Path) -> None:
    plant("a", "b")
    os.truncate(tmp_path / "b" / "result.json", 1 << 40)
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a"]}
    assert "too many for a record" in str(scan.errors[tmp_path / "b" / "result.json"])


def test_a_path_that_is_not_utf8_is_an_error_with_the_path(plant: Plant, tmp_path: Path, text: str) -> None:
    plant("a")
    odd = tmp_path / os.fsdecode(b"odd-\xff")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("the file system takes no such name")
    (odd / "result.json").write_text(text)
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a"]}
    assert list(scan.errors) == [odd / "result.json"]
    assert "not UTF-8" in str(scan.errors[odd / "result.json"])
    # Where nobody asks for the path, it does no harm.
    assert len(ResultStore(tmp_path).scan(["total_tokens"]).to_pydict()["total_tokens"]) == 2
    # As the root it is no part of the paths.
    assert paths(odd) == ["."]


def test_what_may_not_be_read_is_an_error_with_its_path(plant: Plant, tmp_path: Path) -> None:
    plant("root/a", "root/file", "root/closed/x", "root/unlisted/y", "root/z")
    root = tmp_path / "root"
    (root / "file" / "result.json").chmod(0)
    (root / "closed").chmod(0)
    (root / "unlisted").chmod(0o311)
    script = textwrap.dedent(
        """
        import os, sys
        from llenergymeasure import ResultStore
        scan = ResultStore(sys.argv[1]).scan(["path"], on_error="collect")
        if os.geteuid() == 0:
            scan.schema, list(scan)  # what is imported late is imported while it may be
            os.setgid(65534); os.setuid(65534)
        print(scan.to_pydict()["path"])
        print([str(path.relative_to(sys.argv[1])) for path in scan.errors])
        print(all("EACCES" in str(error) for error in scan.errors.values()))
        """
    )
    for place in [root, *root.parents]:
        if os.geteuid() == 0 and place.stat().st_uid == 0 and not place.stat().st_mode & 1:
            place.chmod(place.stat().st_mode | 0o11)
    try:
        run = subprocess.run(
            [sys.executable, "-c", script, root], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        (root / "closed").chmod(0o755)
        (root / "unlisted").chmod(0o755)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        "['a', 'z']",
        "['closed/result.json', 'file/result.json', 'unlisted']",
        "True",
    ]


@pytest.mark.parametrize("on_error", ["raise", "skip", "collect"])
def test_a_dirty_tree_gives_its_good_rows_and_each_bad_file_once(
    plant: Plant, tmp_path: Path, text: str, on_error: Any
) -> None:
    good = text.encode()
    bad: dict[str, bytes] = {}
    for number in range(1200):
        name = f"{number % 7}/{number:04}"
        spoilt = {13: good[:100], 14: b"\0" * 100, 15: b""}.get(number % 100)
        if spoilt is not None:
            bad[name] = spoilt
        plant(name, content=spoilt)
    (tmp_path / "3" / "loop").symlink_to("..")
    (tmp_path / "4" / ".tmp-1").mkdir()
    store = ResultStore(tmp_path)
    scan = store.scan(["path", "effective_config"], on_error=on_error, batch_size=50)
    first = min(bad)
    if on_error == "raise":
        with pytest.raises(ResultCorruptError, match=first):
            list(scan)
        return
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        rows = scan.to_pydict()["path"]
    assert rows == sorted(f"{n % 7}/{n:04}" for n in range(1200) if f"{n % 7}/{n:04}" not in bad)
    assert [str(path.parent.relative_to(tmp_path)) for path in scan.errors] == sorted(bad)
    said = [str(one.message) for one in warned]
    if on_error == "skip":
        assert len(said) == 1
        assert said[0].startswith(f"36 files were skipped; the first: {tmp_path}/{first}/result.json")
    else:
        assert said == []


def test_the_errors_are_those_of_the_last_reading(plant: Plant, tmp_path: Path) -> None:
    plant("a")
    plant("b", content=b"")
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.errors == {}
    assert list(scan)
    assert len(scan.errors) == 1
    plant("b")
    assert scan.to_pydict() == {"path": ["a", "b"]}
    assert scan.errors == {}


def test_good_rows_before_the_bad_file_may_come_but_none_after_it(plant: Plant, tmp_path: Path) -> None:
    plant(*(f"{number:03}" for number in range(200)))
    plant("100", content=b"")
    seen: list[str] = []
    with pytest.raises(ResultCorruptError, match="100/result"):  # noqa: PT012 - some rows come before
        for batch in ResultStore(tmp_path).scan(["path"], batch_size=10):
            seen += batch.to_pydict()["path"]
    assert seen == [f"{number:03}" for number in range(len(seen))]
    assert 64 - 10 <= len(seen) <= 100


# A tree that changes.


def test_what_comes_and_goes_while_it_is_read_is_whole_or_not_there(plant: Plant, tmp_path: Path) -> None:
    plant(*(f"{number % 20:02}/{number:04}" for number in range(1000)))
    steps = iter(range(1000))

    def change(_: int, __: int | None) -> None:
        step = next(steps, None)
        if step is None:
            return
        old = tmp_path / f"{(step * 7) % 20:02}" / f"{step * 7 % 1000:04}"
        if old.exists():
            (old / "result.json").unlink()
            old.rmdir()
        (tmp_path / f".tmp-{step}").mkdir()
        plant(f".tmp-{step}/new")
        (tmp_path / f".tmp-{step}" / "new").rename(tmp_path / f"{step % 20:02}" / f"new-{step:04}")

    scan = ResultStore(tmp_path).scan(["path", "total_tokens"], progress=change, batch_size=16)
    columns = scan.to_pydict()
    assert set(columns["total_tokens"]) == {1000}
    assert len(columns["path"]) == len(set(columns["path"])) > 700


def test_a_record_that_goes_between_the_passes_is_no_row_and_no_error(
    tmp_path: Path, make_result: Make
) -> None:
    wide = make_result(effective_config={"padding": "x" * 2_000_000}).model_dump_json()
    for number in range(60):
        (tmp_path / f"{number:02}").mkdir()
        (tmp_path / f"{number:02}" / "result.json").write_text(wide)
    scan = ResultStore(tmp_path).scan(["path", "effective_config.padding"], on_error="collect")
    assert len(scan.schema) == 2
    (tmp_path / "30" / "result.json").unlink()
    (tmp_path / "31" / "result.json").write_text("")
    rows = [path for batch in scan for path in batch.to_pydict()["path"]]
    assert rows == [f"{number:02}" for number in range(60) if number not in (30, 31)]
    assert list(scan.errors) == [tmp_path / "31" / "result.json"]


# Memory.

# getrusage would tell of whoever started the process, too.
PEAK = """
import os, sys
from pathlib import Path
from llenergymeasure import ResultStore

def kibibytes():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # what is read ahead grows with the threads
before = kibibytes()
columns = sys.argv[2].split(",") if sys.argv[2] else None
rows = sum(len(batch) for batch in ResultStore(sys.argv[1]).scan(columns, batch_size=int(sys.argv[3])))
print(rows, (kibibytes() - before) // 1024)
"""


def peak(root: Path, columns: str = "", batch_size: int = 4096) -> tuple[int, int]:
    """Read a tree in a process of its own; return its rows, and the MiB that it took at most."""
    if not os.access("/proc/self/status", os.R_OK):
        pytest.skip("what a process takes is told by /proc")
    run = subprocess.run(
        [sys.executable, "-c", PEAK, root, columns, str(batch_size)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    rows, mebibytes = map(int, run.stdout.split())
    return rows, mebibytes


@pytest.fixture
def linked(tmp_path: Path, make_result: Make) -> Callable[[list[str], int], Path]:
    """Make a tree of many names of one record of a size."""

    def linked(names: list[str], size: int) -> Path:
        record = tmp_path / "record"
        record.write_text(make_result(effective_config={"padding": "x" * size}).model_dump_json())
        root = tmp_path / "root"
        for name in names:
            (root / name).mkdir(parents=True)
            os.link(record, root / name / "result.json")
        return root

    return linked


def test_memory_is_bounded_however_much_there_is_to_read(linked: Callable[[list[str], int], Path]) -> None:
    root = linked([f"{number:04}" for number in range(4000)], 300_000)
    rows, mebibytes = peak(root)
    assert rows == 4000
    assert mebibytes < 600, mebibytes  # of 1145 MiB


def test_memory_is_bounded_in_a_tree_of_small_directories(linked: Callable[[list[str], int], Path]) -> None:
    root = linked([f"{a:02}/{b:02}/{c}" for a in range(50) for b in range(40) for c in range(2)], 300_000)
    rows, mebibytes = peak(root)
    assert rows == 4000
    assert mebibytes < 600, mebibytes  # of 1145 MiB


def test_what_is_kept_of_the_first_pass_is_what_was_asked_for(
    linked: Callable[[list[str], int], Path],
) -> None:
    # One large record for each unit of 64 names.
    root = linked([f"{number:04}" for number in range(0, 3840, 64)], 8_000_000)
    for number in range(3840):
        (root / f"{number:04}").mkdir(exist_ok=True)
    rows, mebibytes = peak(root, "path,effective_config.model")
    assert rows == 60
    assert mebibytes < 250  # of 458 MiB


def test_small_batches_do_not_take_more_memory_than_large_ones(
    linked: Callable[[list[str], int], Path],
) -> None:
    root = linked([f"{number:04}" for number in range(1000)], 0)
    rows, mebibytes = peak(root, batch_size=1)
    assert rows == 1000
    assert mebibytes < 128  # the records are 1 MiB in all


def test_a_scan_that_is_given_up_leaves_no_thread(plant: Plant, tmp_path: Path) -> None:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("no /proc to count threads in")
    plant(*(f"{number:04}" for number in range(2000)))

    def workers() -> int:
        return sum((task / "comm").read_text().startswith("llem-scan") for task in tasks.iterdir())

    rows = iter(ResultStore(tmp_path).scan(["path"], batch_size=1))
    next(rows)
    assert workers() > 0
    rows.close()  # type: ignore[attr-defined]
    # The kernel lists a thread for a moment after it has ended.
    deadline = time.monotonic() + 30
    while workers() > 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert workers() == 0


def test_what_lies_within_a_result_is_its_own(plant: Plant, tmp_path: Path) -> None:
    plant("a", "a/repeat-2")
    assert paths(tmp_path) == ["a"]


def test_a_root_that_is_not_there_is_called_a_directory_of_results(tmp_path: Path) -> None:
    with pytest.raises(PersistenceError) as caught:
        paths(tmp_path / "none")
    assert "cannot read the result '" not in str(caught.value)


def test_a_schema_line_of_null_is_another_line(plant: Plant, tmp_path: Path, text: str) -> None:
    plant("a", content=text.replace('"2.0"', "null").encode())
    with pytest.raises(SchemaVersionError):
        ExperimentResult.from_json(tmp_path / "a")
    with pytest.raises(SchemaVersionError):
        paths(tmp_path)
