"""Copies between directories and object stores: `copy_from`, `llem push` and `llem pull`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.errors import ResultCorruptError
from llenergymeasure.results import _compare, copying
from llenergymeasure.results.copying import SAME
from support.locations import LocalLocation, Location
from support.program import run_llem
from support.results import make_results, make_trace

from .conftest import give_environment, needs_remote

pytestmark = needs_remote


def fill(location: Location) -> ResultStore:
    """Save four results, the last two with a power trace."""
    store = location.store()
    store.save_many(make_results(4), timeseries_sources=[None, None, make_trace(), make_trace()])
    return store


def save_in_turn(location: Location, traces: list[Any]) -> ResultStore:
    """Save a result with each trace, under suffixes in turn."""
    store = location.store()
    for result, trace in zip(make_results(len(traces)), traces, strict=True):
        store.save(result, trace)
    return store


def contents(location: Location) -> list[tuple[bytes, bytes | None]]:
    """Return the bytes of each record, with those of its sidecar."""
    files = location.files()
    sidecars = [files.get(name.replace("result.json", "timeseries.parquet")) for name in location.records()]
    return sorted(zip([files[name] for name in location.records()], sidecars, strict=True), key=str)


@pytest.fixture(params=["push", "pull", "between"])
def pair(request: pytest.FixtureRequest, remote: Location, tmp_path: Path) -> tuple[Location, Location]:
    """Return two empty locations, at least one of which is remote."""
    local = LocalLocation(tmp_path / "local")
    pairs: dict[str, tuple[Location, Location]] = {
        "push": (local, remote),
        "pull": (remote, local),
        "between": (remote, remote.fresh()),
    }
    return pairs[request.param]


def test_copy_from_copies_records_and_traces_byte_for_byte(pair: tuple[Location, Location]) -> None:
    source, target = fill(pair[0]), pair[1].store()
    planned = target.copy_from(source, dry_run=True)
    assert (str(planned), pair[1].files()) == ("4 to copy", {})
    seen: list[int] = []
    copied = target.copy_from(source, progress=lambda count, _: seen.append(count))
    assert (copied.ok, len(copied.copied), seen[-1]) == (True, 4, 4)
    assert contents(pair[1]) == contents(pair[0])
    assert target.verify(deep=True).ok
    for path, copy in copied.copied.items():
        assert copied.renamed.get(path, path.parent.name) == copy.parent.name
    assert not (copied.renamed and pair[0].is_remote and not pair[1].is_remote)  # a pull keeps free names
    again = target.copy_from(source)
    assert (again.copied, set(again.skipped.values()), len(again.skipped)) == ({}, {SAME}, 4)


def test_copy_from_with_taken_names_renames_and_overwrites_nothing(pair: tuple[Location, Location]) -> None:
    source, target = fill(pair[0]), pair[1].store()
    there = make_results(8)[4:]
    target.save_many(there, timeseries_sources=[None, make_trace(), None, make_trace()])
    before = contents(pair[1])
    copied = target.copy_from(source)
    assert len(copied.copied) == 4
    assert copied.renamed
    assert contents(pair[1]) == sorted(before + contents(pair[0]), key=str)
    assert target.verify().ok
    if pair[1].is_remote:
        files = pair[1].files()
        for name in {file.partition("/")[0] for file in files}:
            suffix = re.search(r"T\d\d-\d\d(?:_(\d+))?$", name)
            assert suffix is not None
            is_odd = int(suffix[1] or 0) % 2 == 1
            assert (f"{name}/timeseries.parquet" in files) == is_odd


def test_copy_from_after_an_interrupted_copy_copies_the_rest(pair: tuple[Location, Location]) -> None:
    source, target = fill(pair[0]), pair[1].store()
    first = target.copy_from(source, where=[("has_timeseries", "==", True)])
    assert len(first.copied) == 2
    rest = target.copy_from(source)
    assert (len(rest.copied), len(rest.skipped)) == (2, 2)
    assert contents(pair[1]) == contents(pair[0])


def test_copy_from_reports_power_trace_with_other_bytes(
    pair: tuple[Location, Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = fill(pair[0]), pair[1].store()
    compare = _compare.compare

    def damage(copies: Any) -> Any:
        name = f"{copies[0].record.parent.name}/timeseries.parquet"
        content = pair[1].files()[name]
        pair[1].remove(name)
        pair[1].put(name, content[:-1])
        return compare(copies)

    monkeypatch.setattr(copying, "compare", damage)
    with pytest.warns(UserWarning, match="1 of 4 results were not copied completely"):
        copied = target.copy_from(source)
    (error,) = copied.failed.values()
    assert isinstance(error, ResultCorruptError)
    assert "bytes instead of" in str(error)
    assert len(copied.copied) == 3


def test_compare_finds_other_bytes_of_the_same_length(bucket: Location, tmp_path: Path) -> None:
    file = tmp_path / "timeseries.parquet"
    file.write_bytes(b"some bytes")
    root = bucket.store().root
    record = root / "x" / "result.json"
    copy = _compare.Copy(file.with_name("result.json"), str(file), record)
    bucket.put("x/timeseries.parquet", b"some bytes")
    assert _compare.compare([copy]) == {}
    bucket.put("x/timeseries.parquet", b"same bytes")
    (error,) = _compare.compare([copy]).values()
    assert "other bytes of the same length" in str(error)
    bucket.remove("x/timeseries.parquet")
    (error,) = _compare.compare([copy]).values()
    assert "got nothing" in str(error)


def test_llem_push_and_pull_print_what_was_copied(
    bucket: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_environment(monkeypatch, bucket)
    local, back = LocalLocation(tmp_path / "results"), LocalLocation(tmp_path / "back")
    fill(local)
    planned = run_llem("push", local.root, bucket.root, "--dry-run")
    assert (planned.status, planned.out.count("would copy  ")) == (0, 4)
    assert bucket.files() == {}
    done = run_llem("push", local.root, bucket.root)
    assert (done.status, done.err) == (0, "")
    assert done.out.count(f" -> {bucket.root}/") == 4
    assert "4 copied" in done.out
    document = json.loads(run_llem("push", local.root, bucket.root, "--json").out)
    assert (document["ok"], document["copied"], len(document["skipped"])) == (True, [], 4)
    pulled = run_llem("pull", bucket.root, back.root, "--where", "has_timeseries=true")
    assert (pulled.status, pulled.err) == (0, "")
    assert "2 copied" in pulled.out
    assert "4 copied" not in run_llem("pull", bucket.root, back.root).out
    assert contents(back) == contents(local)


def test_llem_push_reports_faults_without_traceback(
    bucket: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_environment(monkeypatch, bucket)
    local = LocalLocation(tmp_path / "results")
    fill(local)
    local.put("broken/result.json", b"{")
    done = run_llem("push", local.root, bucket.root, "--quiet")
    assert (done.status, done.out) == (1, "")
    assert "broken" in done.err
    assert len(bucket.records()) == 4
    absent = run_llem("push", local.root, "s3://absent-bucket/x")
    assert absent.status == 1
    assert "the bucket does not exist" in absent.err
    for arguments in (
        ("push", local.root, local.root),
        ("push", str(tmp_path / "absent"), bucket.root),
        ("pull", local.root, bucket.root),
        ("pull", bucket.root, bucket.root),
        ("push", local.root, bucket.root, "--where", "nothing=1"),
    ):
        wrong = run_llem(*arguments)
        assert (wrong.status, wrong.out) == (2, ""), arguments


def test_llem_push_interrupted_prints_what_was_copied_skipped_and_renamed(
    bucket: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_environment(monkeypatch, bucket)
    local = LocalLocation(tmp_path / "results")
    store = save_in_turn(local, [None, None, make_trace(), make_trace()])
    first = next(iter(store)).path.parent.name
    assert run_llem("push", local.root, bucket.root, "--where", f"path={first}").status == 0
    compare = _compare.compare

    def interrupt(copies: Any) -> Any:
        del copies
        raise KeyboardInterrupt

    monkeypatch.setattr(copying, "compare", interrupt)
    stopped = run_llem("push", local.root, bucket.root)
    assert stopped.status == 130
    assert stopped.out.count("skipped     ") == 1
    assert stopped.out.count(" -> ") == 3
    assert stopped.out.count("renamed     ") == 2
    assert "Interrupted: 3 copied, 1 skipped (2 renamed) in " in stopped.err
    monkeypatch.setattr(copying, "compare", compare)
    again = json.loads(run_llem("push", local.root, bucket.root, "--json").out)
    assert (again["copied"], len(again["skipped"]), again["interrupted"]) == ([], 4, False)


def test_llem_push_interrupted_before_an_answer_prints_what_is_in_flight(
    bucket: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_environment(monkeypatch, bucket)
    local = LocalLocation(tmp_path / "results")
    fill(local)
    read = copying.Copier._read

    def interrupt(self: copying.Copier, directory: Any, record: Any, limit: int) -> Any:
        if str(directory).endswith("_3"):
            raise KeyboardInterrupt
        return read(self, directory, record, limit)

    monkeypatch.setattr(copying.Copier, "_read", interrupt)
    stopped = json.loads(run_llem("push", local.root, bucket.root, "--json").out)
    assert (stopped["ok"], stopped["interrupted"]) == (False, True)
    started = len(stopped["copied"]) + len(stopped["unconfirmed"])
    assert started <= 3
    assert len(bucket.records()) <= started


def test_copy_from_directory_keeps_suffixes_whose_parity_fits(bucket: Location, tmp_path: Path) -> None:
    local = LocalLocation(tmp_path / "results")
    traces = [None, make_trace(), None, make_trace(), make_trace(), None]
    source = save_in_turn(local, traces)
    copied = bucket.store().copy_from(source)
    given = {path.parent.name: copy.parent.name for path, copy in copied.copied.items()}
    base = min(given, key=len)
    assert {name for name, new in given.items() if name == new} == {
        base,
        f"{base}_1",
        f"{base}_2",
        f"{base}_3",
    }
    assert {given[f"{base}_4"], given[f"{base}_5"]} == {f"{base}_7", f"{base}_6"}
    assert set(copied.renamed.values()) == {f"{base}_7", f"{base}_6"}
