"""Many results at once: what comes back, what is raised, and what is on disk then."""

from __future__ import annotations

import contextlib
import errno as codes
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    LLEMError,
    PersistenceError,
    ResultStore,
    SaveInterrupted,
    SidecarError,
    save_results,
)
from llenergymeasure.results import bulk
from llenergymeasure.results.timeseries import Timeseries

Make = Callable[..., ExperimentResult]

ENGINES = [None, "fsync", "syncfs"]
HANG = 20
"""Seconds after which something that should have happened is not going to."""


def store_of(root: Path, engine: str | None = None) -> ResultStore:
    store = ResultStore(root)
    store._engine = engine
    return store


def several(make_result: Make, count: int, **changes: Any) -> list[ExperimentResult]:
    """Results that differ, and share a name."""
    return [make_result(experiment_id=f"experiment-{n}", **changes) for n in range(count)]


def trace() -> Timeseries:
    return Timeseries(timestamp_s=[0.0, 0.1], gpu_index=[0, 0], power_w=[250.0, 251.5])


def text(result: ExperimentResult) -> str:
    return result.model_dump_json(indent=2)


def assert_holds(root: Path, paths: list[Path], results: list[ExperimentResult]) -> None:
    """Each result is whole at its path, in a directory of its own, and nothing else is there."""
    assert len(paths) == len(results)
    assert len({path.parent for path in paths}) == len(paths)
    for path, result in zip(paths, results, strict=True):
        assert path.parent.parent == root
        assert path.read_text() == text(result)
    expected = sorted(file for path in paths for file in (path.parent, path))
    assert sorted(root.rglob("*")) == expected


def on_disk(root: Path) -> list[str]:
    """The ids of the results in a directory in which nothing but whole results is."""
    records = sorted(root.glob("*/result.json"))
    assert sorted(root.rglob("*")) == sorted(file for path in records for file in (path.parent, path))
    return sorted(ExperimentResult.from_json(path).experiment_id for path in records)


def ids(results: list[ExperimentResult]) -> list[str]:
    return sorted(result.experiment_id for result in results)


def threads() -> list[str]:
    """The names of the threads of the store that this process has."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return [name for name in names if name.startswith("llem")]


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + HANG
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.001)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_paths_come_back_in_the_order_of_the_results_byte_for_byte(
    make_result: Make, tmp_path: Path, engine: str | None, *, durable: bool
) -> None:
    results = several(make_result, 300)
    root = tmp_path / "out"
    assert_holds(root, store_of(root, engine).save_many(results, durable=durable), results)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_name_of_a_sweep_is_its_own(make_result: Make, tmp_path: Path, engine: str | None) -> None:
    results = [make_result(effective_config={"model": f"model-{n % 7}"}) for n in range(70)]
    paths = store_of(tmp_path, engine).save_many(results)
    assert_holds(tmp_path, paths, results)
    for n, path in enumerate(paths):
        assert path.parent.name.startswith(f"model-{n % 7}_")


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda results: (r for r in results)])
def test_any_iterable_will_do(make_result: Make, tmp_path: Path, kind: Callable[..., Any]) -> None:
    results = several(make_result, 5)
    assert_holds(tmp_path, ResultStore(tmp_path).save_many(kind(results)), results)
    assert_holds(tmp_path / "x", save_results(dict(enumerate(results)).values(), tmp_path / "x"), results)


def test_the_function_is_a_front_of_the_store(
    make_result: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = several(make_result, 3)
    monkeypatch.chdir(tmp_path)
    told: list[tuple[int, int | None]] = []

    def moving() -> Iterator[ExperimentResult]:
        for result in results:
            yield result
            monkeypatch.chdir("/")

    sources = [None, trace(), None]
    paths = save_results(
        moving(),
        "out",
        timeseries_sources=sources,
        durable=False,
        progress=lambda *counts: told.append(counts),
    )
    assert [path.parent.parent for path in paths] == [tmp_path / "out"] * 3
    assert [ExperimentResult.from_json(path).timeseries for path in paths] == [
        None,
        "timeseries.parquet",
        None,
    ]
    assert told[-1] == (3, None)


@pytest.mark.parametrize("empty", [list, lambda: iter(())])
@pytest.mark.parametrize("sources", [None, []])
def test_no_results_make_nothing(
    tmp_path: Path, empty: Callable[[], Any], sources: list[None] | None
) -> None:
    told: list[object] = []
    root = tmp_path / "a" / "out"
    saved = ResultStore(root).save_many(
        empty(), timeseries_sources=sources, progress=lambda *counts: told.append(counts)
    )
    assert saved == told == []
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("durable", [True, False])
def test_one_result_is_many_too(result: ExperimentResult, tmp_path: Path, *, durable: bool) -> None:
    assert_holds(tmp_path, ResultStore(tmp_path).save_many([result], durable=durable), [result])


def test_what_is_made_has_the_modes_and_the_place_of_a_single_save(
    result: ExperimentResult, tmp_path: Path
) -> None:
    root = tmp_path / os.fsdecode(b"not UTF-8: \xff") / "out"
    umask = os.umask(0o027)
    try:
        alone = ResultStore(root / "1").save(result, trace())
        (many,) = ResultStore(root / "2").save_many([result], timeseries_sources=[trace()])
        with ResultStore(root / "3").writer() as writer:
            future = writer.submit(result, trace())
    finally:
        os.umask(umask)

    def modes(path: Path) -> list[int]:
        sidecar = path.with_name("timeseries.parquet")
        return [part.stat().st_mode for part in (path, sidecar, path.parent, path.parent.parent)]

    assert modes(many) == modes(future.result()) == modes(alone)
    assert [path.parent.parent.name for path in (many, future.result())] == ["2", "3"]


def test_nothing_is_left_running_or_open(make_result: Make, tmp_path: Path) -> None:
    results = several(make_result, 40)

    def broken() -> Iterator[ExperimentResult]:
        yield from results
        raise ZeroDivisionError

    store = ResultStore(tmp_path / "out")
    store.save_many(results[:1])
    before = descriptors()
    store.save_many(results)
    with pytest.raises(BulkSaveError) as failed:
        store.save_many([*results, "no result"])  # type: ignore[list-item]
    with pytest.raises(ZeroDivisionError) as raised:
        store.save_many(broken())
    assert threads() == []
    # Not even while somebody keeps the exceptions.
    assert descriptors() == before
    assert failed
    assert raised


def test_threads_may_save_many_at_once(make_result: Make, tmp_path: Path) -> None:
    results = several(make_result, 60)
    saved: dict[int, list[Path]] = {}

    def save(n: int) -> None:
        saved[n] = ResultStore(tmp_path).save_many(results)

    crew = [threading.Thread(target=save, args=(n,)) for n in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join(HANG)
    assert_holds(tmp_path, [path for n in range(4) for path in saved[n]], results * 4)


def test_a_generator_may_save_as_it_goes(make_result: Make, tmp_path: Path) -> None:
    results = several(make_result, 6)
    store = ResultStore(tmp_path)
    others: list[Path] = []

    def nested() -> Iterator[ExperimentResult]:
        for result in results:
            others.append(store.save(result))
            others.extend(store.save_many([result]))
            yield result

    paths = store.save_many(nested())
    assert_holds(tmp_path, paths + others, results + [result for result in results for _ in range(2)])


# What a generator of any length may cost.


@pytest.mark.parametrize("limit", [1, 2, 16])
def test_a_generator_is_not_read_further_than_the_limit_ahead(
    make_result: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(bulk, "MAX_PENDING", limit)
    done = given = ahead = 0

    def progress(count: int, _: int | None) -> None:
        nonlocal done
        done = count

    def generate() -> Iterator[ExperimentResult]:
        nonlocal given, ahead
        for result in several(make_result, 80):
            given += 1
            ahead = max(ahead, given - done)
            yield result

    paths = ResultStore(tmp_path).save_many(generate(), progress=progress)
    assert len(set(paths)) == given == done == 80
    assert ahead <= limit + 1


def test_records_wait_within_their_bytes(
    make_result: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded = {"model": "gpt2", "padding": "x" * 100_000}
    results = several(make_result, 60, effective_config=padded)
    monkeypatch.setattr(bulk, "MAX_BYTES", 350_000)
    done = given = ahead = 0

    def progress(count: int, _: int | None) -> None:
        nonlocal done
        done = count

    def generate() -> Iterator[ExperimentResult]:
        nonlocal given, ahead
        for result in results:
            given += 1
            ahead = max(ahead, given - done)
            yield result

    assert_holds(tmp_path, ResultStore(tmp_path).save_many(generate(), progress=progress), results)
    assert ahead <= 3 + 1


def test_a_record_that_is_larger_than_all_that_may_wait_goes_alone(
    make_result: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_BYTES", 1)
    results = several(make_result, 20)
    assert_holds(tmp_path, ResultStore(tmp_path).save_many(results), results)


# Sidecars.


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [list, iter])
def test_each_result_has_its_own_sidecar(
    make_result: Make,
    tmp_path: Path,
    engine: str | None,
    kind: Callable[..., Any],
    *,
    durable: bool,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    results = several(make_result, 40)
    table = pa.table({"timestamp_s": [0.0], "gpu_index": [0], "power_w": [7.5]})
    files = []
    for n in range(10):
        files.append(tmp_path / f"{n}.parquet")
        pq.write_table(pa.table({"power_w": [float(n)]}), files[-1])
    sources: list[Any] = [(None, files[n // 4], str(files[n // 4]), table)[n % 4] for n in range(40)]
    root = tmp_path / "out"
    paths = store_of(root, engine).save_many(results, timeseries_sources=kind(sources), durable=durable)
    for result, source, path in zip(results, sources, paths, strict=True):
        beside = path.with_name("timeseries.parquet")
        name = None if source is None else beside.name
        assert path.read_text() == text(result.model_copy(update={"timeseries": name}))
        expected = ["result.json", *([] if source is None else [beside.name])]
        assert sorted(os.listdir(path.parent)) == expected  # noqa: PTH208 - hidden files count
        if isinstance(source, (str, Path)):
            assert beside.read_bytes() == Path(source).read_bytes()
        elif source is not None:
            assert pq.read_table(beside).equals(table)


def test_streams_that_python_makes_as_they_are_read_are_saved(make_result: Make, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("power_w", pa.float64())])

    def stream(n: int) -> Any:
        def batches() -> Iterator[Any]:
            for k in range(3):
                yield pa.record_batch({"power_w": [float(n * k)]}, schema=schema)
            if n % 5 == 4:
                raise ZeroDivisionError(f"broken-{n}")

        return pa.RecordBatchReader.from_batches(schema, batches())

    results = several(make_result, 20)
    with pytest.raises(BulkSaveError) as caught:
        ResultStore(tmp_path).save_many(results, timeseries_sources=(stream(n) for n in range(20)))
    assert sorted(caught.value.failed) == [4, 9, 14, 19]
    for n, error in caught.value.failed.items():
        assert isinstance(error, SidecarError)
        assert f"broken-{n}" in str(error)
        assert error.result_path is not None
        assert ExperimentResult.from_json(error.result_path) == results[n]
    for n, path in caught.value.saved.items():
        power = pq.read_table(path.with_name("timeseries.parquet"))["power_w"].to_pylist()
        assert power == [0.0, n, 2.0 * n]


@pytest.mark.parametrize("count", [2, 4])
def test_sources_of_another_number_are_refused_before_anything_is_saved(
    make_result: Make, tmp_path: Path, count: int
) -> None:
    root = tmp_path / "out"
    with pytest.raises(ValueError, match=f"{count} entries for 3 results"):
        ResultStore(root).save_many(several(make_result, 3), timeseries_sources=[None] * count)
    assert not root.exists()


@pytest.mark.parametrize(("given", "sources"), [(5, 3), (3, 5)])
def test_sources_that_turn_out_to_be_of_another_number_cost_no_result_before_them(
    make_result: Make, tmp_path: Path, given: int, sources: int
) -> None:
    results = several(make_result, given)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        ResultStore(tmp_path).save_many(iter(results), timeseries_sources=iter([None] * sources))
    assert on_disk(tmp_path) == ids(results[: min(given, sources)])


@pytest.mark.parametrize("sources", ["x.parquet", b"x.parquet", Path("x.parquet"), 3])
def test_one_source_is_not_a_source_for_each(make_result: Make, tmp_path: Path, sources: Any) -> None:
    with pytest.raises(TypeError):
        ResultStore(tmp_path / "out").save_many(several(make_result, 9), timeseries_sources=sources)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", [[1], list(range(0, 30, 2))])
def test_sources_that_do_not_exist_are_told_of_once(
    make_result: Make, tmp_path: Path, missing: list[int]
) -> None:
    results = several(make_result, 30)
    sources = [tmp_path / "absent.parquet" if n in missing else None for n in range(30)]
    with pytest.warns(UserWarning, match=f"{len(missing)} of 30 timeseries sources do not exist") as warned:
        paths = ResultStore(tmp_path / "out").save_many(results, timeseries_sources=sources)
    assert_holds(tmp_path / "out", paths, results)
    (warning,) = warned
    assert warning.filename == __file__
    named = str(warning.message).rpartition(": ")[2].split(", ")
    assert named[:10] == [str(n) for n in missing[:10]]
    assert named[10:] == (["..."] if len(missing) > 10 else [])


def test_the_warning_points_at_the_callers_line_from_the_function_too(
    result: ExperimentResult, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="do not exist") as warned:
        save_results([result], tmp_path / "out", timeseries_sources=[tmp_path / "absent"])
    assert warned[0].filename == __file__
    line = Path(__file__).read_text().splitlines()[warned[0].lineno - 1]
    assert line.strip().startswith("save_results(")


def test_a_warning_that_is_an_error_costs_nothing(make_result: Make, tmp_path: Path) -> None:
    results = several(make_result, 5)
    # As this project's tests are run; whoever runs them otherwise means something else.
    with pytest.raises(UserWarning, match="do not exist"):
        ResultStore(tmp_path / "out").save_many(results, timeseries_sources=[tmp_path / "absent"] * 5)
    assert on_disk(tmp_path / "out") == ids(results)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_sidecar_that_cannot_be_stored_leaves_its_result(
    make_result: Make, tmp_path: Path, engine: str | None, *, durable: bool
) -> None:
    class Failing:
        def __arrow_c_stream__(self, _: object = None) -> NoReturn:
            raise RuntimeError("no trace")

    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 is not enough")
    results = several(make_result, 8)
    sources: list[Any] = [None, bad, Failing(), 3, tmp_path, f"/{'x' * 300}", None, trace()]
    with pytest.raises(BulkSaveError) as caught:
        store_of(tmp_path / "out", engine).save_many(results, timeseries_sources=sources, durable=durable)
    error = caught.value
    assert sorted(error.saved) == [0, 6, 7]
    assert sorted(error.failed) == [1, 2, 3, 4, 5]
    for index, trouble in error.failed.items():
        assert isinstance(trouble, SidecarError)
        assert trouble.result_path is not None
        assert ExperimentResult.from_json(trouble.result_path) == results[index]
        assert os.listdir(Path(trouble.result_path).parent) == ["result.json"]  # noqa: PTH208
    assert error.failed[1].errno == codes.EINVAL  # type: ignore[attr-defined]
    assert error.failed[5].errno == codes.ENAMETOOLONG  # type: ignore[attr-defined]


# What fails.


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_cannot_be_saved_does_not_stop_the_rest(
    make_result: Make, tmp_path: Path, engine: str | None, *, durable: bool
) -> None:
    class Annotated(ExperimentResult):
        note: str = "lost"

    results: list[Any] = several(make_result, 100)
    results[0] = "no result"
    results[7] = None
    results[50] = make_result()
    results[50].effective_config["handle"] = object()
    results[51] = make_result().model_copy(update={"total_tokens": "many"})
    results[99] = Annotated(**make_result().model_dump())
    bad = (0, 7, 50, 51, 99)
    with pytest.raises(BulkSaveError) as caught:
        store_of(tmp_path, engine).save_many(results, durable=durable)
    error = caught.value
    assert isinstance(error, LLEMError)
    assert list(error.failed) == sorted(bad)
    assert list(error.saved) == [n for n in range(100) if n not in bad]
    kinds = [type(error.failed[n]) for n in (0, 7, 51, 99)]
    assert kinds[:2] == [TypeError, TypeError]
    assert issubclass(kinds[2], ValueError)
    assert kinds[3] is TypeError
    assert_holds(tmp_path, list(error.saved.values()), [results[n] for n in error.saved])
    assert "5 of 100 results failed; the first at index 0: TypeError" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_in_the_way_fails_all_and_is_left_alone(
    make_result: Make, tmp_path: Path, engine: str | None
) -> None:
    (tmp_path / "file").write_text("theirs")
    with pytest.raises(BulkSaveError) as caught:
        store_of(tmp_path / "file" / "out", engine).save_many(several(make_result, 50))
    assert not caught.value.saved
    assert list(caught.value.failed) == list(range(50))
    for error in caught.value.failed.values():
        assert isinstance(error, NotADirectoryError)
        assert isinstance(error, PersistenceError)
        assert not error.committed
    assert (tmp_path / "file").read_text() == "theirs"


def test_a_missing_source_beside_a_failure_is_no_error_of_its_own(make_result: Make, tmp_path: Path) -> None:
    results: list[Any] = [*several(make_result, 2), "no result"]
    sources = [tmp_path / "absent", None, None]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(BulkSaveError) as caught:
            ResultStore(tmp_path / "out").save_many(results, timeseries_sources=sources)
    assert (list(caught.value.saved), list(caught.value.failed)) == ([0, 1], [2])
    assert len(warned) == 1
    with pytest.raises(BulkSaveError):
        ResultStore(tmp_path / "out").save_many(results, timeseries_sources=sources)


@pytest.mark.parametrize("below", [".", "b/c"])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_output_directory_that_is_removed_in_the_middle_is_made_again(
    make_result: Make, tmp_path: Path, engine: str | None, below: str
) -> None:
    results = several(make_result, 12)
    top = tmp_path / "a"
    root = top / below

    def generate() -> Iterator[ExperimentResult]:
        yield from results[:6]
        wait_for(lambda: len(list(root.glob("*/result.json"))) == 6)
        shutil.rmtree(top)
        yield from results[6:]

    paths = store_of(root, engine).save_many(generate())
    assert len(paths) == 12
    assert_holds(root, paths[6:], results[6:])


def test_an_output_directory_that_is_swept_all_the_time_is_an_error_for_those_alone_that_it_cost(
    make_result: Make, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    over = threading.Event()

    def sweep() -> None:
        while not over.is_set():
            shutil.rmtree(root, ignore_errors=True)
            time.sleep(0.001)

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        saved, failed = ResultStore(root).save_many(several(make_result, 200)), {}
        outcomes = dict(enumerate(saved))
    except BulkSaveError as error:
        outcomes, failed = error.saved, error.failed
    finally:
        over.set()
        thread.join(HANG)
    assert sorted([*outcomes, *failed]) == list(range(200))
    assert all(isinstance(error, FileNotFoundError) for error in failed.values())


# Whoever calls back.


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("known", [True, False])
def test_progress_counts_up_to_all(
    make_result: Make, tmp_path: Path, engine: str | None, *, known: bool
) -> None:
    results: list[Any] = [*several(make_result, 99), "no result"]
    told: list[tuple[int, int | None]] = []
    with pytest.raises(BulkSaveError):
        store_of(tmp_path, engine).save_many(
            results if known else iter(results), progress=lambda *counts: told.append(counts)
        )
    done = [count for count, _ in told]
    assert done == sorted(set(done))
    assert done[-1] == 100
    assert {total for _, total in told} == {100 if known else None}


@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("durable", [True, False])
def test_an_exception_of_the_iterable_comes_out_after_what_it_gave_is_saved(
    make_result: Make, tmp_path: Path, kind: type[BaseException], *, durable: bool
) -> None:
    results = several(make_result, 33)

    def generate() -> Iterator[ExperimentResult]:
        yield from results
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        ResultStore(tmp_path).save_many(generate(), durable=durable)
    assert on_disk(tmp_path) == ids(results)


def test_an_exception_of_the_sources_comes_out_after_what_was_paired_is_saved(
    make_result: Make, tmp_path: Path
) -> None:
    results = several(make_result, 9)

    def sources() -> Iterator[None]:
        for _ in range(5):
            yield None
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ResultStore(tmp_path).save_many(results, timeseries_sources=sources())
    assert on_disk(tmp_path) == ids(results[:5])


@pytest.mark.parametrize("last", [False, True])
def test_an_exception_of_progress_comes_out_after_what_was_given_is_saved(
    make_result: Make, tmp_path: Path, *, last: bool
) -> None:
    given: list[ExperimentResult] = []
    called = 0

    def generate() -> Iterator[ExperimentResult]:
        for result in several(make_result, 40):
            given.append(result)
            yield result
        if last:
            # Whatever is done by now is told after the last of them alone.
            wait_for(lambda: len(list(tmp_path.glob("*/result.json"))) == 40)

    def progress(done: int, _: int | None) -> None:
        nonlocal called
        if done == 40 or not last:
            called += 1
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ResultStore(tmp_path).save_many(generate(), progress=progress)
    assert called == 1
    assert on_disk(tmp_path) == ids(given)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("durable", [True, False])
def test_an_interrupt_says_what_is_there(
    make_result: Make, tmp_path: Path, engine: str | None, *, durable: bool
) -> None:
    results = several(make_result, 50)

    def generate() -> Iterator[Any]:
        yield from results[:20]
        wait_for(lambda: len(list(tmp_path.glob("*/result.json"))) == 20)
        yield "no result"
        yield from results[21:]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        store_of(tmp_path, engine).save_many(generate(), durable=durable)
    error = caught.value
    assert isinstance(error, SaveInterrupted)
    assert isinstance(error.__cause__, KeyboardInterrupt)
    assert list(error.failed) == [20]
    # The disk does not hang, so that everything has come to its end.
    assert error.unconfirmed == {}
    assert set(error.saved) >= set(range(20))
    assert_holds(tmp_path, list(error.saved.values()), [results[n] for n in error.saved])
    said = str(error)
    assert f"{len(error.saved)} results are safe" in said
    assert "\n" not in said
    wait_for(lambda: threads() == [])


def test_an_interrupt_while_a_failure_is_told_is_an_interrupt(
    make_result: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    made = 0
    plain = PersistenceError.__init__

    def interrupt(self: PersistenceError, *args: Any, **kwargs: Any) -> None:
        nonlocal made
        made += 1
        plain(self, *args, **kwargs)
        if made == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PersistenceError, "__init__", interrupt)
    # Whoever runs the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SaveInterrupted) as caught:
            ResultStore(tmp_path / "file").save_many(several(make_result, 20))
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.saved == {}
    assert all(isinstance(error, NotADirectoryError) for error in caught.value.failed.values())


@pytest.mark.parametrize("durable", [True, False])
def test_an_interrupt_at_any_line_says_what_is_there(
    make_result: Make, tmp_path: Path, *, durable: bool
) -> None:
    # As a signal does it: between any two lines, in the thread that saves.
    results: list[Any] = [*several(make_result, 3), "no result"]
    lines = at = line = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal lines, line
        if frame.f_code.co_filename != bulk.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == at:
                line = frame.f_lineno
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    while lines >= at:
        lines, at, root = 0, at + 1, tmp_path / str(at)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            ResultStore(root).save_many(iter(results), durable=durable)
        except SaveInterrupted as error:
            saved = error.saved
        except KeyboardInterrupt as interrupt:
            # On its way out, what failed may be overtaken.
            failed = interrupt.__context__
            saved = failed.saved if isinstance(failed, BulkSaveError) else {}
        except BulkSaveError:
            continue
        finally:
            sys.settrace(before)
        wait_for(lambda: threads() == [])
        assert on_disk(root) == ids([results[n] for n in saved]), f"line {line}"
    assert at > 40


# The errors themselves.


def test_the_errors_survive_a_worker_process(make_result: Make, tmp_path: Path) -> None:
    (tmp_path / "bad").touch()
    results: list[Any] = [*several(make_result, 3), "no result"]
    with pytest.raises(BulkSaveError) as caught:
        ResultStore(tmp_path / "out").save_many(
            results, timeseries_sources=[None, tmp_path / "bad", None, None]
        )
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(caught.value, protocol))  # noqa: S301 - our own bytes
        assert type(copy) is BulkSaveError
        assert copy.saved == caught.value.saved
        assert {n: (type(e), str(e)) for n, e in copy.failed.items()} == {
            n: (type(e), str(e)) for n, e in caught.value.failed.items()
        }
        assert str(copy) == str(caught.value)


def test_an_interrupt_survives_a_worker_process() -> None:
    error = SaveInterrupted({0: Path("/a")}, {1: TypeError("b")}, {2: Path("/c")})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
        assert type(copy) is SaveInterrupted
        assert (copy.saved, copy.unconfirmed) == ({0: Path("/a")}, {2: Path("/c")})
        assert repr(copy.failed) == repr(error.failed)
        assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BulkSaveError({}, {3: TypeError("x")}), "1 of 1 results failed; the first at index 3: TypeError: x"),
        (BulkSaveError({}, {}), "0 of 0 results failed"),
        (SaveInterrupted({}, {}, {}), "interrupted: 0 results are safe; the others were not saved"),
        (
            SaveInterrupted({0: Path("a")}, {1: TypeError()}, {2: Path("b")}),
            (
                "interrupted: 1 results are safe, 1 failed, 1 more are in place and not known to survive a "
                "power cut; the others were not saved"
            ),
        ),
    ],
)
def test_the_errors_say_it_in_one_sentence(error: BaseException, said: str) -> None:
    assert str(error) == said


# Few descriptors.


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Let this process have no more descriptors than a number, and as many as before in the end."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(count: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_thousand_results_need_no_more_than_40_descriptors(
    make_result: Make, tmp_path: Path, engine: str | None, limit: Callable[[int], None]
) -> None:
    results = several(make_result, 1000)
    limit(40)
    assert len(set(store_of(tmp_path, engine).save_many(results))) == 1000


@pytest.mark.parametrize("sidecars", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_few_descriptors_that_are_left_are_enough(
    make_result: Make,
    tmp_path: Path,
    engine: str | None,
    limit: Callable[[int], None],
    *,
    sidecars: bool,
) -> None:
    results = several(make_result, 100)
    source = results[0].save(tmp_path / "source", trace()).with_name("timeseries.parquet")
    # Most of a process's descriptors are somebody else's; as many are left as one save needs twice.
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(80)]
    limit(max(held) + 1 + 10)
    try:
        paths = store_of(tmp_path / "out", engine).save_many(
            results, timeseries_sources=[source] * 100 if sidecars else None
        )
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert len(set(paths)) == 100
