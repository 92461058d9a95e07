"""Every verb of a store does the same in a directory and in a bucket."""

from __future__ import annotations

import ast
import pickle
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import (
    ExperimentResult,
    ResultError,
    ResultStore,
    load_result,
    save_result,
)
from llenergymeasure.results.timeseries import read_timeseries
from support.invariants import RECORD, SIDECAR, first_watt, numbered_result, numbered_trace
from support.locations import LocalLocation, Location
from support.processes import run_code


@pytest.fixture
def result() -> ExperimentResult:
    return numbered_result(7)


def relative(location: Location, path: Any) -> str:
    return str(path).removeprefix(f"{location.root}/")


def test_save_writes_one_record_with_the_bytes_of_the_result(
    location: Location, result: ExperimentResult
) -> None:
    path = location.store().save(result)
    assert str(path).startswith(f"{location.root}/org-model_pytorch_")
    assert location.files() == {relative(location, path): result.model_dump_json(indent=2).encode()}


def test_save_with_sidecar_writes_both_and_loads_equal(location: Location, result: ExperimentResult) -> None:
    store = location.store()
    path = store.save(result, numbered_trace(7))
    files = location.files()
    name = relative(location, path)
    assert sorted(files) == sorted([name, name.replace(RECORD, SIDECAR)])
    assert first_watt(files[name.replace(RECORD, SIDECAR)]) == 7
    loaded = store.load(path)
    assert loaded == result.model_copy(update={"timeseries": SIDECAR})
    assert loaded.model_dump_json(indent=2).encode() == files[name]
    assert read_timeseries(path).power_w[0] == 7.0


def test_save_copies_a_parquet_file_byte_for_byte(
    location: Location, result: ExperimentResult, tmp_path: Path
) -> None:
    source = ResultStore(tmp_path / "source").save(result, numbered_trace(7)).with_name(SIDECAR)
    path = location.store().save(result, source)
    assert location.files()[relative(location, path).replace(RECORD, SIDECAR)] == source.read_bytes()


def test_save_same_name_gives_each_result_its_own_directory(location: Location) -> None:
    store = location.store()
    paths = [store.save(numbered_result(n), numbered_trace(n) if n % 2 else None) for n in range(8)]
    assert len({str(path.parent) for path in paths}) == 8
    assert [store.load(path).total_tokens for path in paths] == list(range(8))
    assert sorted(relative(location, path) for path in paths) == location.records()


def test_save_missing_source_warns_and_saves(location: Location, result: ExperimentResult) -> None:
    with pytest.warns(UserWarning, match="does not exist"):
        path = location.store().save(result, "/nowhere/trace.parquet")
    assert list(location.files()) == [relative(location, path)]


def test_wrappers_accept_the_path_of_a_save(location: Location, result: ExperimentResult) -> None:
    store = location.store()
    path = store.save(result)
    assert ExperimentResult.from_json(path) == load_result(path) == store.load(path.parent) == result
    second = save_result(result, path.parent.parent)
    assert second.parent != path.parent
    assert second.parent.parent == path.parent.parent
    assert result.save(path.parent.parent).name == RECORD


def test_path_of_a_save_prints_compares_hashes_and_pickles(
    remote: Location, result: ExperimentResult
) -> None:
    path: Any = remote.store().save(result)
    assert not hasattr(path, "__fspath__")
    again = pickle.loads(pickle.dumps(path))  # noqa: S301 - our own bytes
    assert (again, hash(again), str(again)) == (path, hash(path), str(path))
    assert (path.name, path.stem, path.suffix) == (RECORD, "result", ".json")
    assert path.parent / RECORD == path
    assert load_result(again) == result
    secret = (remote.options or {}).get("secret_access_key", "bearer test")
    assert secret not in repr(path)


def test_read_verbs_agree_on_what_is_there(location: Location) -> None:
    store = location.store()
    store.save_many([numbered_result(n) for n in range(30)])
    expected = list(range(30))
    assert sorted(stored.load().total_tokens for stored in store) == expected
    assert sorted(one.total_tokens for one in store.load_all()) == expected
    table = store.scan(["path", "experiment_id", "total_tokens"]).to_pydict()
    assert sorted(table["total_tokens"]) == expected
    assert table["path"] == sorted(name.removesuffix(f"/{RECORD}") for name in location.records())
    some = store.scan(["total_tokens"], where=[("total_tokens", ">=", 20)]).to_pydict()
    assert sorted(some["total_tokens"]) == expected[20:]
    assert "30 results" in repr(store)


def test_progress_tells_the_total_once_the_listing_has_ended(location: Location) -> None:
    store = location.store()
    store.save_many(map(numbered_result, range(3)), durable=False)
    read: list[tuple[int, int | None]] = []
    checked: list[tuple[int, int | None]] = []
    assert len(store.scan(["path"], progress=lambda *now: read.append(now)).to_pydict()["path"]) == 3
    assert store.verify(progress=lambda *now: checked.append(now)).ok
    assert read[-1] == checked[-1] == (3, 3)


def test_partitions_read_each_result_once_in_another_process(location: Location) -> None:
    store = location.store()
    store.save_many(map(numbered_result, range(5)))
    store.save(numbered_result(5), numbered_trace(5))
    scan = store.scan(["path", "experiment_id", "has_timeseries", "config"])
    parts = scan.partitions(3, by="bytes")
    program = "import pickle, sys; print([part.to_pydict() for part in pickle.load(sys.stdin.buffer)])"
    ended = run_code(program, input=pickle.dumps(parts), text=False, check=True)
    printed: Any = ended.stdout  # bytes
    read = ast.literal_eval(printed.decode())
    joined = {name: [value for part in read for value in part[name]] for name in read[0]}
    assert len(read) == 3
    assert joined == scan.to_pydict()
    assert sum(joined["has_timeseries"]) == 1
    assert (scan.count(), scan.names()) == (6, joined["path"])


def test_completed_and_missing_compare_configurations(location: Location) -> None:
    store = location.store()
    done, absent = numbered_result(1), {"model": "other"}
    store.save(done)
    assert done.measurement_config_hash in store.completed()
    assert list(store.missing([done.effective_config, absent])) == [absent]


def test_scan_timeseries_reads_every_sidecar(location: Location) -> None:
    store = location.store()
    for number in range(5):
        store.save(numbered_result(number), numbered_trace(number))
    store.save(numbered_result(9))
    table = store.scan_timeseries().to_pydict()
    assert sorted(table["power_w"]) == sorted([*map(float, range(5)), *[1.0] * 5])


def test_verify_finds_damage_and_leftovers(location: Location) -> None:
    store = location.store()
    for number in range(4):
        store.save(numbered_result(number), numbered_trace(number))
    clean = store.verify(deep=True)
    assert (clean.ok, clean.complete) == (True, 4)
    first, second, third, _ = location.records()
    data = location.files()[first]
    location.remove(first)
    location.put(first, data[: len(data) // 2])
    location.remove(second)
    location.remove(third.replace(RECORD, SIDECAR))
    verification = store.verify()
    assert not verification.ok
    assert len(verification.damaged) == 1
    assert len(verification.incomplete) == 1


def test_load_all_reports_a_damaged_record_by_its_path(location: Location, result: ExperimentResult) -> None:
    store = location.store()
    store.save(result)
    location.put("broken/result.json", b"{")
    with pytest.raises(ResultError) as raised:
        store.load_all()
    assert f"{location.root}/broken/result.json" in str(raised.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.load_all(on_error="skip") == [result]


def test_foreign_files_do_not_disturb_readers(location: Location, result: ExperimentResult) -> None:
    store = location.store()
    store.save(result)
    location.put("notes.txt", b"x")
    location.put("deep/er/than/others/result.json", result.model_dump_json(indent=2).encode())
    location.put("name with%20 percent/result.json", result.model_dump_json(indent=2).encode())
    assert len(store.load_all()) == 3
    places = [name.removesuffix(f"/{RECORD}") for name in location.records()]
    assert store.scan(["path"]).to_pydict()["path"] == places


def test_clean_removes_only_old_leftovers(location: Location, result: ExperimentResult) -> None:
    age = getattr(location, "age", None)
    if age is None:
        pytest.skip("the clock of this server cannot be set back")
    store = location.store()
    store.save(result, numbered_trace(7))
    store.save(result, numbered_trace(8))
    old = location.records()[1]
    location.remove(old)
    before = location.files()
    assert store.clean(dry_run=False).removed == []
    age(timedelta(days=30).total_seconds())
    assert len(store.clean().removed) == 1
    assert location.files() == before
    store.clean(dry_run=False)
    assert location.files() == {name: data for name, data in before.items() if not name.startswith(old[:-11])}


def test_writer_resolves_futures_to_paths(location: Location) -> None:
    store = location.store()
    with store.writer() as writer:
        futures = [writer.submit(numbered_result(n), numbered_trace(n)) for n in range(40)]
    names = sorted(relative(location, future.result()) for future in futures)
    assert names == location.records()
    assert store.verify(deep=True).complete == 40


def test_save_many_returns_paths_in_order(location: Location) -> None:
    store = location.store()
    traces = [numbered_trace(n) if n % 3 == 0 else None for n in range(40)]
    paths = store.save_many(map(numbered_result, range(40)), timeseries_sources=traces)
    assert [store.load(path).total_tokens for path in paths] == list(range(40))
    assert len(location.files()) == 40 + 14


def test_copy_from_and_back_keeps_every_byte(location: Location, tmp_path: Path) -> None:
    disk = ResultStore(tmp_path / "disk")
    traces = [numbered_trace(n) if n % 2 else None for n in range(10)]
    disk.save_many(map(numbered_result, range(10)), timeseries_sources=traces)
    copying = location.store().copy_from(disk)
    assert (len(copying.copied), len(copying.failed)) == (10, 0)
    again = location.store().copy_from(disk)
    assert (len(again.copied), len(again.skipped)) == (0, 10)
    back = LocalLocation(tmp_path / "back")
    back.store().copy_from(location.store())

    def contents(files: dict[str, bytes]) -> set[tuple[bytes, bytes | None]]:
        return {
            (data, files.get(name.replace(RECORD, SIDECAR)))
            for name, data in files.items()
            if name.endswith(RECORD)
        }

    expected = contents(LocalLocation(tmp_path / "disk").files())
    assert contents(location.files()) == contents(back.files()) == expected
    assert back.store().verify(deep=True).complete == 10


def test_layout_is_the_same_in_every_location(
    location: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalLocation(tmp_path / "same")
    with monkeypatch.context() as patch:
        # The client that looks at the bucket signs with this function.
        patch.setattr("time.strftime", lambda *_: "2026-02-18T14-30")
        for one in (local, location):
            one.store().save(numbered_result(1))
    assert location.files() == local.files()
    for name, data in LocalLocation(tmp_path / "same").files().items():
        location.put(f"copy/{name}", data)
    assert len(location.store().load_all()) == 2


def test_pickle_store_works_in_another_process(location: Location, result: ExperimentResult) -> None:
    store = location.store()
    store.save(result)
    code = "import pickle, sys; print(len(pickle.loads(bytes.fromhex(sys.argv[1])).load_all()))"
    done = run_code(code, pickle.dumps(store).hex())
    assert done.stdout == "1\n", done.stderr


def test_read_empty_location_finds_nothing(location: Location) -> None:
    store = location.store()
    if not location.is_remote:
        Path(location.root).mkdir()
    assert store.load_all() == []
    assert store.verify().complete == 0
    assert store.scan(["path"]).to_pydict()["path"] == []
    assert store.completed() == set()
