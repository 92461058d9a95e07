"""Records that a scan cannot read are errors with their paths."""

from __future__ import annotations

import os
import socket
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
from support.processes import run_code
from support.stores import scan_paths

Plant = Callable[..., None]

INVALID: dict[str, tuple[Callable[[bytes], bytes], type[Exception], str]] = {
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
    "list": (lambda good: b"[" + good + b"]", ResultError, "a JSON object"),
    "null": (lambda _: b"null", ResultError, "a JSON object"),
    "foreign": (lambda _: b'{"a": 1}', ResultError, "unknown field a"),
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


@pytest.mark.parametrize("kind", INVALID)
def test_scan_invalid_record_reports_its_path_and_reason(
    plant: Plant, tmp_path: Path, text: str, kind: str
) -> None:
    spoil, error, reason = INVALID[kind]
    content = spoil(text.encode())
    assert content != text.encode()
    plant("a", "c")
    plant("b", content=content)
    record = tmp_path / "b" / "result.json"
    store = ResultStore(tmp_path)
    for columns in (["path", "total_tokens"], None):
        scan = store.scan(columns)
        for _ in range(2):
            with pytest.raises(error, match=reason) as caught:
                list(scan)
            assert str(record) in str(caught.value)
        scan = store.scan(columns, on_error="collect")
        for _ in range(2):
            assert scan.to_pydict()["path"] == ["a", "c"]
            assert {path: type(error) for path, error in scan.errors.items()} == {record: error}
            assert reason in str(scan.errors[record])
        scan = store.scan(columns, on_error="skip")
        with pytest.warns(UserWarning, match=f"1 file was skipped; the first: .*{reason}") as warned:
            assert scan.to_pydict()["path"] == ["a", "c"]
        assert [one.filename for one in warned] == [__file__]
        if kind != "double":  # a load takes the last of two values
            with pytest.raises((LLEMError, ValidationError), match="result"):
                ExperimentResult.from_json(record)


def test_scan_special_file_as_record_reports_it_without_blocking(
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


def test_scan_oversized_record_reports_it_unread(plant: Plant, tmp_path: Path) -> None:
    plant("a", "b")
    os.truncate(tmp_path / "b" / "result.json", 1 << 40)
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a"]}
    assert "too many for a record" in str(scan.errors[tmp_path / "b" / "result.json"])


def test_scan_path_that_is_not_utf8_reports_the_path(plant: Plant, tmp_path: Path, text: str) -> None:
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
    # A scan without the path does not need the name.
    assert len(ResultStore(tmp_path).scan(["total_tokens"]).to_pydict()["total_tokens"]) == 2
    # The name of the root is no part of the paths.
    assert scan_paths(odd) == ["."]


def test_scan_unreadable_files_reports_their_paths(plant: Plant, tmp_path: Path) -> None:
    plant("root/a", "root/file", "root/closed/x", "root/unlisted/y", "root/z")
    root = tmp_path / "root"
    (root / "file" / "result.json").chmod(0)
    (root / "closed").chmod(0)
    (root / "unlisted").chmod(0o311)
    script = """
        import os, sys
        from llenergymeasure import ResultStore
        scan = ResultStore(sys.argv[1]).scan(["path"], on_error="collect")
        if os.geteuid() == 0:
            scan.schema, list(scan)  # late imports happen while they are allowed
            os.setgid(65534); os.setuid(65534)
        print(scan.to_pydict()["path"])
        print([str(path.relative_to(sys.argv[1])) for path in scan.errors])
        print(all("EACCES" in str(error) for error in scan.errors.values()))
        """
    for place in [root, *root.parents]:
        if os.geteuid() == 0 and place.stat().st_uid == 0 and not place.stat().st_mode & 1:
            place.chmod(place.stat().st_mode | 0o11)
    try:
        run = run_code(script, root)
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
def test_scan_dirty_tree_returns_valid_rows_and_each_error_once(
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
    *messages, links = [str(one.message) for one in warned]
    assert "1 symbolic link to a directory was not followed" in links
    if on_error == "skip":
        assert len(messages) == 1
        assert messages[0].startswith(f"36 files were skipped; the first: {tmp_path}/{first}/result.json")
    else:
        assert messages == []


def test_scan_again_replaces_the_errors(plant: Plant, tmp_path: Path) -> None:
    plant("a")
    plant("b", content=b"")
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.errors == {}
    assert list(scan)
    assert len(scan.errors) == 1
    plant("b")
    assert scan.to_pydict() == {"path": ["a", "b"]}
    assert scan.errors == {}


def test_scan_stops_at_the_first_invalid_record(plant: Plant, tmp_path: Path) -> None:
    plant(*(f"{number:03}" for number in range(200)))
    plant("100", content=b"")
    seen: list[str] = []
    with pytest.raises(ResultCorruptError, match="100/result"):  # noqa: PT012 - some rows come before
        for batch in ResultStore(tmp_path).scan(["path"], batch_size=10):
            seen += batch.to_pydict()["path"]
    assert seen == [f"{number:03}" for number in range(len(seen))]
    assert 64 - 10 <= len(seen) <= 100


def test_scan_null_schema_version_raises_schema_version_error(
    plant: Plant, tmp_path: Path, text: str
) -> None:
    plant("a", content=text.replace('"2.0"', "null").encode())
    with pytest.raises(SchemaVersionError):
        ExperimentResult.from_json(tmp_path / "a")
    with pytest.raises(SchemaVersionError):
        scan_paths(tmp_path)
