"""Saves of many results at once: their paths, their names, and the limits on what they hold."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import (
    BulkSaveError,
    ExperimentResult,
    ResultStore,
    save_results,
)
from llenergymeasure.results import save_many as module
from support.processes import HANG, open_descriptors, store_threads, wait_until
from support.results import make_results, make_trace
from support.stores import FLUSH_METHODS, open_store
from support.trees import assert_holds_exactly

Make = Callable[..., ExperimentResult]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_returns_paths_in_order_byte_for_byte(
    tmp_path: Path, flush_method: str | None, *, durable: bool
) -> None:
    results = make_results(300)
    root = tmp_path / "out"
    assert_holds_exactly(root, open_store(root, flush_method).save_many(results, durable=durable), results)


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_with_several_models_names_each_result(
    make_result: Make, tmp_path: Path, flush_method: str | None
) -> None:
    results = [make_result(effective_config={"model": f"model-{n % 7}"}) for n in range(70)]
    paths = open_store(tmp_path, flush_method).save_many(results)
    assert_holds_exactly(tmp_path, paths, results)
    for n, path in enumerate(paths):
        assert path.parent.name.startswith(f"model-{n % 7}_")


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda results: (r for r in results)])
def test_save_many_accepts_any_iterable(tmp_path: Path, kind: Callable[..., Any]) -> None:
    results = make_results(5)
    assert_holds_exactly(tmp_path, ResultStore(tmp_path).save_many(kind(results)), results)
    assert_holds_exactly(
        tmp_path / "x", save_results(dict(enumerate(results)).values(), tmp_path / "x"), results
    )


def test_save_results_matches_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = make_results(3)
    monkeypatch.chdir(tmp_path)
    reported: list[tuple[int, int | None]] = []

    def moving() -> Iterator[ExperimentResult]:
        for result in results:
            yield result
            monkeypatch.chdir("/")

    sources = [None, make_trace(), None]
    paths = save_results(
        moving(),
        "out",
        timeseries_sources=sources,
        durable=False,
        progress=lambda *counts: reported.append(counts),
    )
    assert [path.parent.parent for path in paths] == [tmp_path / "out"] * 3
    assert [ExperimentResult.from_json(path).timeseries for path in paths] == [
        None,
        "timeseries.parquet",
        None,
    ]
    assert reported[-1] == (3, None)


@pytest.mark.parametrize("empty", [list, lambda: iter(())])
@pytest.mark.parametrize("sources", [None, []])
def test_save_many_without_results_creates_nothing(
    tmp_path: Path, empty: Callable[[], Any], sources: list[None] | None
) -> None:
    reported: list[object] = []
    root = tmp_path / "a" / "out"
    saved = ResultStore(root).save_many(
        empty(), timeseries_sources=sources, progress=lambda *counts: reported.append(counts)
    )
    assert saved == reported == []
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("durable", [True, False])
def test_save_many_accepts_one_result(result: ExperimentResult, tmp_path: Path, *, durable: bool) -> None:
    assert_holds_exactly(tmp_path, ResultStore(tmp_path).save_many([result], durable=durable), [result])


def test_save_many_gives_the_modes_and_place_of_a_single_save(
    result: ExperimentResult, tmp_path: Path
) -> None:
    root = tmp_path / os.fsdecode(b"not UTF-8: \xff") / "out"
    umask = os.umask(0o027)
    try:
        alone = ResultStore(root / "1").save(result, make_trace())
        (many,) = ResultStore(root / "2").save_many([result], timeseries_sources=[make_trace()])
        with ResultStore(root / "3").writer() as writer:
            future = writer.submit(result, make_trace())
    finally:
        os.umask(umask)

    def modes(path: Path) -> list[int]:
        sidecar = path.with_name("timeseries.parquet")
        return [part.stat().st_mode for part in (path, sidecar, path.parent, path.parent.parent)]

    assert modes(many) == modes(future.result()) == modes(alone)
    assert [path.parent.parent.name for path in (many, future.result())] == ["2", "3"]


def test_save_many_leaves_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    results = make_results(40)

    def broken() -> Iterator[ExperimentResult]:
        yield from results
        raise ZeroDivisionError

    store = ResultStore(tmp_path / "out")
    store.save_many(results[:1])
    before = open_descriptors()
    store.save_many(results)
    with pytest.raises(BulkSaveError) as failed:
        store.save_many([*results, "no result"])  # type: ignore[list-item]
    with pytest.raises(ZeroDivisionError) as raised:
        store.save_many(broken())
    assert store_threads() == []
    # The kept exceptions hold no descriptor either.
    assert open_descriptors() == before
    assert failed
    assert raised


def test_save_many_in_several_threads_saves_all(tmp_path: Path) -> None:
    results = make_results(60)
    saved: dict[int, Sequence[Path]] = {}

    def save(n: int) -> None:
        saved[n] = ResultStore(tmp_path).save_many(results)

    crew = [threading.Thread(target=save, args=(n,)) for n in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join(HANG)
    assert_holds_exactly(tmp_path, [path for n in range(4) for path in saved[n]], results * 4)


def test_save_many_allows_saves_inside_its_generator(tmp_path: Path) -> None:
    results = make_results(6)
    store = ResultStore(tmp_path)
    others: list[Path] = []

    def nested() -> Iterator[ExperimentResult]:
        for result in results:
            others.append(store.save(result))
            others.extend(store.save_many([result]))
            yield result

    paths = store.save_many(nested())
    assert_holds_exactly(
        tmp_path, [*paths, *others], results + [result for result in results for _ in range(2)]
    )


@pytest.mark.parametrize("limit", [1, 2, 16])
def test_save_many_reads_generator_no_further_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", limit)
    done = given = ahead = 0

    def progress(count: int, _: int | None) -> None:
        nonlocal done
        done = count

    def generate() -> Iterator[ExperimentResult]:
        nonlocal given, ahead
        for result in make_results(80):
            given += 1
            ahead = max(ahead, given - done)
            yield result

    paths = ResultStore(tmp_path).save_many(generate(), progress=progress)
    assert len(set(paths)) == given == done == 80
    assert ahead <= limit + 1


def test_save_many_keeps_pending_records_within_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded = {"model": "gpt2", "padding": "x" * 100_000}
    results = make_results(60, effective_config=padded)
    monkeypatch.setattr(module, "MAX_BYTES", 350_000)
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

    assert_holds_exactly(tmp_path, ResultStore(tmp_path).save_many(generate(), progress=progress), results)
    assert ahead <= 3 + 1


def test_save_many_with_record_above_the_byte_limit_saves_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1)
    results = make_results(20)
    assert_holds_exactly(tmp_path, ResultStore(tmp_path).save_many(results), results)


@pytest.mark.parametrize("below", [".", "b/c"])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_recreates_an_output_directory_that_was_removed(
    tmp_path: Path, flush_method: str | None, below: str
) -> None:
    results = make_results(12)
    top = tmp_path / "a"
    root = top / below

    def generate() -> Iterator[ExperimentResult]:
        yield from results[:6]
        wait_until(lambda: len(list(root.glob("*/result.json"))) == 6)
        shutil.rmtree(top)
        yield from results[6:]

    paths = open_store(root, flush_method).save_many(generate())
    assert len(paths) == 12
    assert_holds_exactly(root, paths[6:], results[6:])


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
@pytest.mark.parametrize("known", [True, False])
def test_save_many_reports_progress_up_to_all(
    tmp_path: Path, flush_method: str | None, *, known: bool
) -> None:
    results: list[Any] = [*make_results(99), "no result"]
    reported: list[tuple[int, int | None]] = []
    with pytest.raises(BulkSaveError):
        open_store(tmp_path, flush_method).save_many(
            results if known else iter(results), progress=lambda *counts: reported.append(counts)
        )
    done = [count for count, _ in reported]
    assert done == sorted(set(done))
    assert done[-1] == 100
    assert {total for _, total in reported} == {100 if known else None}


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Limit the descriptors of this process; lift the limit at the end."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(count: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_with_1000_results_needs_40_descriptors(
    tmp_path: Path, flush_method: str | None, limit: Callable[[int], None]
) -> None:
    results = make_results(1000)
    limit(40)
    assert len(set(open_store(tmp_path, flush_method).save_many(results))) == 1000


@pytest.mark.parametrize("sidecars", [False, True])
@pytest.mark.parametrize("flush_method", FLUSH_METHODS)
def test_save_many_with_few_free_descriptors_saves_all(
    tmp_path: Path,
    flush_method: str | None,
    limit: Callable[[int], None],
    *,
    sidecars: bool,
) -> None:
    results = make_results(100)
    source = results[0].save(tmp_path / "source", make_trace()).with_name("timeseries.parquet")
    # Other parts of a process hold most descriptors; leave twice what one save needs.
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(80)]
    limit(max(held) + 1 + 10)
    try:
        paths = open_store(tmp_path / "out", flush_method).save_many(
            results, timeseries_sources=[source] * 100 if sidecars else None
        )
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert len(set(paths)) == 100
