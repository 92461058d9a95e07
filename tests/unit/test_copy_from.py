"""`ResultStore.copy_from` and `llem save DIR`: whole results, with their power traces."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import copy as copy_of
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore, _store
from llenergymeasure.errors import PersistenceError, ResultCorruptError, SaveInterrupted, SidecarError
from llenergymeasure.results import copying as copying_module
from llenergymeasure.results._copy_names import PushedNames
from llenergymeasure.results._encode import Encoded
from llenergymeasure.results.copying import INSIDE, SAME, SAME_WITHOUT_TRACE
from support.program import run_llem
from support.results import make_results, make_trace, record_text
from support.stores import scan_paths

Make = Callable[..., ExperimentResult]
NAME = "gpt2_vllm_2026-02-18T14-30"


@pytest.fixture
def source(tmp_path: Path, make_result: Make) -> ResultStore:
    """Return a store of three results at several depths, two of them with a power trace."""
    store = ResultStore(tmp_path / "source")
    for place, name in (("a", "one"), (f"study/{NAME}_7", "two"), ("study/deep/c", "three")):
        saved = store.save(
            make_result(experiment_id=name), None if name == "three" else make_trace(), durable=False
        )
        (store.root / place).parent.mkdir(parents=True, exist_ok=True)
        saved.parent.rename(store.root / place)
    return store


@pytest.fixture
def target(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "target")


def contents(store: ResultStore) -> dict[str, tuple[bytes, bytes | None]]:
    """Return the bytes of each record and sidecar by the id of the result."""
    found = {}
    for stored in store:
        sidecar = stored.path.with_name("timeseries.parquet")
        content = stored.path.read_bytes()
        found[json.loads(content)["experiment_id"]] = (
            content,
            sidecar.read_bytes() if sidecar.exists() else None,
        )
    return found


def test_copy_from_store_copies_records_and_traces_byte_for_byte(
    source: ResultStore, target: ResultStore
) -> None:
    copying = target.copy_from(source)
    assert (copying.ok, str(copying)) == (True, "3 copied")
    assert contents(target) == contents(source)
    assert copying.copied.keys() == {stored.path for stored in source}
    assert {path.parent.parent for path in copying.copied.values()} == {target.root}
    for path, copy in copying.copied.items():
        assert copy.read_bytes() == path.read_bytes()
        sidecar, copied = (each.with_name("timeseries.parquet") for each in (path, copy))
        if sidecar.exists():
            assert copied.stat().st_mtime_ns == sidecar.stat().st_mtime_ns
    # A name that a save gave stays, without the suffix of its old store.
    assert (target.root / NAME / "result.json").exists()
    assert target.verify(deep=True).ok


def test_copy_from_path_with_conditions_copies_those(source: ResultStore, target: ResultStore) -> None:
    copying = target.copy_from(str(source.root), where=[("experiment_id", "in", ["two", "three"])])
    assert len(copying.copied) == 2
    assert contents(target).keys() == {"two", "three"}


def test_copy_from_again_skips_what_is_there(source: ResultStore, target: ResultStore) -> None:
    target.copy_from(source, where=[("experiment_id", "==", "two")])
    copying = target.copy_from(source)
    assert str(copying) == "2 copied, 1 skipped"
    assert copying.skipped == {source.root / "study" / f"{NAME}_7" / "result.json": SAME}
    assert str(target.copy_from(source)) == "0 copied, 3 skipped"
    assert contents(target) == contents(source)


def test_copy_from_store_with_repeats_keeps_their_number(target: ResultStore, tmp_path: Path) -> None:
    source = ResultStore(tmp_path / "source")
    (result,) = make_results(1)
    source.save_many([result] * 3, durable=False)
    assert len(target.copy_from(source).copied) == 3
    source.save(result, durable=False)
    assert str(target.copy_from(source)) == "1 copied, 3 skipped"


def test_copy_from_where_only_the_record_is_there_says_so(source: ResultStore, target: ResultStore) -> None:
    with pytest.warns(UserWarning, match="names a power trace that was not saved with it"):
        target.save(source.load("a"), durable=False)
    copying = target.copy_from(source)
    assert copying.skipped == {source.root / "a/result.json": SAME_WITHOUT_TRACE}
    assert len(copying.copied) == 2


@pytest.mark.parametrize("place", ["", "study", "study/deep/c"])
def test_copy_from_own_tree_copies_nothing(source: ResultStore, place: str) -> None:
    before = sorted(source.root.rglob("*"))
    copying = source.copy_from(source.root / place)
    assert not copying.copied
    assert set(copying.skipped.values()) == {INSIDE}
    assert sorted(source.root.rglob("*")) == before


def test_copy_from_store_around_the_target_ends(source: ResultStore) -> None:
    inner = ResultStore(source.root / "merged")
    assert len(inner.copy_from(source).copied) == 3
    copying = inner.copy_from(source)
    assert sorted(copying.skipped.values()) == sorted([INSIDE] * 3 + [SAME] * 3)
    assert len(scan_paths(inner)) == 3


def test_copy_from_symlinked_root_of_itself_copies_nothing(source: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source.root)
    assert set(ResultStore(tmp_path / "link").copy_from(source).skipped.values()) == {INSIDE}


def test_copy_from_linked_cache_copies_what_the_links_lead_to(
    source: ResultStore, target: ResultStore, tmp_path: Path
) -> None:
    links = ResultStore(tmp_path / "links")
    (links.root / "x").mkdir(parents=True)
    for name in ("result.json", "timeseries.parquet"):
        (links.root / "x" / name).symlink_to(source.root / "a" / name)
    (links.root / "study").symlink_to(source.root / "study")
    with pytest.warns(UserWarning, match="1 symbolic link to a directory was not followed"):
        assert len(target.copy_from(links).copied) == 1
    copying = target.copy_from(ResultStore(links.root, follow_links=True))
    assert str(copying) == "2 copied, 1 skipped"
    assert contents(target) == contents(source)
    assert not any(path.is_symlink() for path in target.root.rglob("*"))


def test_copy_from_damaged_results_reports_them_and_copies_the_others(
    source: ResultStore, target: ResultStore
) -> None:
    (source.root / "bad").mkdir()
    (source.root / "bad/result.json").write_text("{")
    (source.root / "odd").mkdir()
    (source.root / "odd/result.json").write_text('{"schema_version": "2.0"}')
    (source.root / "a/timeseries.parquet").write_text("not Parquet")
    with pytest.warns(UserWarning, match="3 of 5 results were not copied completely; the first: "):
        copying = target.copy_from(source)
    assert (copying.ok, str(copying)) == (False, "2 copied, 3 failed")
    failed = {path.parent.name: error for path, error in copying.failed.items()}
    assert isinstance(failed["bad"], ResultCorruptError)
    assert "odd" in str(failed["odd"])
    trace = failed["a"]
    assert isinstance(trace, SidecarError)
    assert trace.result_path is not None
    assert target.load(trace.result_path, missing_sidecar="ignore").experiment_id == "one"


def test_copy_from_missing_store_raises(target: ResultStore, tmp_path: Path) -> None:
    with pytest.raises(PersistenceError, match="nothing") as caught:
        target.copy_from(tmp_path / "nothing")
    assert isinstance(caught.value, FileNotFoundError)
    assert not target.root.exists()


def test_copy_from_record_with_other_sidecar_name_renames_it(
    source: ResultStore, target: ResultStore, make_result: Make
) -> None:
    record = source.root / "a/result.json"
    (source.root / "a/timeseries.parquet").rename(source.root / "a/power.parquet")
    record.write_text(make_result(experiment_id="one", timeseries="power.parquet").model_dump_json())
    (source.root / "unnamed").mkdir()
    os.link(source.root / "a/power.parquet", source.root / "unnamed/timeseries.parquet")
    (source.root / "unnamed/result.json").write_text(make_result(experiment_id="null").model_dump_json())
    assert target.copy_from(source).ok
    found = {result.experiment_id: result for result in target.load_all(missing_sidecar="raise")}
    for name in ("one", "null"):
        assert found[name] == make_result(experiment_id=name, timeseries="timeseries.parquet")
    assert target.verify(deep=True).ok


def test_copy_from_record_with_missing_sidecar_warns_and_copies_it(
    source: ResultStore, target: ResultStore
) -> None:
    (source.root / "a/timeseries.parquet").unlink()
    with pytest.warns(UserWarning, match=r"1 sidecars are missing; the first: .*a/result\.json names"):
        assert len(target.copy_from(source).copied) == 3
    assert contents(target) == contents(source)


def test_copy_from_foreign_layout_keeps_the_values(
    target: ResultStore, tmp_path: Path, make_result: Make
) -> None:
    result = make_result(effective_config={"model": "m", "big": 10**30, "text": ' " \\" \n', "e": 1e5})
    text = json.dumps(json.loads(result.model_dump_json()), indent="\t").replace("100000.0", "1e5")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/result.json").write_text(text)
    (copy,) = target.copy_from(tmp_path / "source").copied.values()
    assert ExperimentResult.from_json(copy) == result
    assert '"e": 1e5' in copy.read_text()
    assert copy.read_text().startswith("{\n  ")


def test_copy_from_interrupted_says_what_is_done_and_can_be_repeated(
    target: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ResultStore(tmp_path / "source")
    source.save_many(make_results(20), durable=False)
    read = copying_module.Copier._read

    def interrupt(self: copying_module.Copier, directory: Any, path: Any, limit: int) -> object:
        if directory.endswith("_12"):
            raise KeyboardInterrupt
        return read(self, directory, path, limit)

    monkeypatch.setattr(copying_module.Copier, "_read", interrupt)
    with pytest.raises(SaveInterrupted) as caught:
        target.copy_from(source)
    assert isinstance(caught.value, copying_module.CopyInterrupted)
    assert caught.value.copying.copied == caught.value.saved
    assert copy_of(caught.value).copying.copied == caught.value.saved
    done = {**caught.value.saved, **caught.value.unconfirmed}
    for path, copy in done.items():
        assert path.is_relative_to(source.root)
        assert copy.read_bytes() == path.read_bytes()
    there = len(scan_paths(target)) if target.root.exists() else 0
    monkeypatch.setattr(copying_module.Copier, "_read", read)
    copying = target.copy_from(source)
    assert len(copying.copied) + there == 20
    assert contents(target) == contents(source)


def test_copy_from_reports_progress(source: ResultStore, target: ResultStore) -> None:
    seen: list[tuple[int, int | None]] = []
    target.copy_from(source, durable=False, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, None)


def test_llem_save_directories_copies_whole_results(
    source: ResultStore, target: ResultStore, tmp_path: Path, make_result: Make
) -> None:
    (tmp_path / "run.json").write_text(record_text(make_result(experiment_id="file")))
    (tmp_path / "empty").mkdir()
    (source.root / "bad").mkdir()
    (source.root / "bad/result.json").write_text("")
    inputs = [tmp_path / "run.json", source.root, source.root / "study", tmp_path / "empty"]
    done = run_llem("save", *map(str, inputs), "-o", str(target.root), "--json")
    document = json.loads(done.out)
    assert (done.status, document["saved"], document["skipped"], document["failed"]) == (1, 4, 2, 2)
    assert f"{source.root}/bad/result.json: " in done.err
    assert "the file is empty" in done.err
    assert f"{tmp_path}/empty: expected results, got a directory without any" in done.err
    assert document["traces_not_given"] == 0
    assert {skip["reason"] for skip in document["skips"]} == {SAME}
    found = contents(target)
    assert found.pop("file")
    (source.root / "bad/result.json").unlink()
    assert found == contents(source)
    done = run_llem("save", str(source.root / "a"), "-o", str(target.root))
    assert (done.status, "1 skipped" in done.out) == (0, True), done


def test_llem_save_own_directory_copies_nothing(source: ResultStore) -> None:
    done = run_llem("save", str(source.root), "-o", str(source.root))
    assert (done.status, "no result saved" in done.out, "3 skipped" in done.out) == (0, True, True)
    assert len(scan_paths(source)) == 3


def test_llem_save_directory_with_timeseries_exits_2(source: ResultStore, target: ResultStore) -> None:
    trace = str(source.root / "a/timeseries.parquet")
    done = run_llem("save", str(source.root), "-o", str(target.root), "--timeseries", trace)
    assert done.status == 2
    assert "--timeseries expects one result in a file, got the directory" in done.err
    assert not target.root.exists()


def test_llem_save_directory_with_where_copies_the_selected(source: ResultStore, target: ResultStore) -> None:
    save = ("save", str(source.root), "-o", str(target.root), "--where")
    assert run_llem(*save, "experiment_id=two").status == 0
    assert set(contents(target)) == {"two"}
    done = run_llem(*save, "experiment_id=four")
    assert (done.status, "no result meets the conditions" in done.err) == (0, True), done
    done = run_llem(*save, "experiment=two")
    assert (done.status, "experiment_id" in done.err, "Traceback" in done.err) == (2, True, False), done
    file = str(source.root / "a/result.json")
    done = run_llem("save", file, *save[1:], "experiment_id=two")
    assert (done.status, "--where selects results of a directory" in done.err) == (2, True), done
    assert set(contents(target)) == {"two"}


def choose_all(chooser: PushedNames, results: list[tuple[str, bool]]) -> list[int | None]:
    """Return the suffixes of results by their names, with true for those with a power trace."""
    encoded = [(Encoded(_store.given_base(name) or "now", b"", None), name) for name, _ in results]
    chosen = [chooser.choose(*pair, has_trace) for pair, (_, has_trace) in zip(encoded, results, strict=True)]
    assert [one.name for one in chosen] == [one.name for one, _ in encoded]
    return [one.suffix for one in chosen]


def test_pushed_names_keep_each_suffix_whose_parity_fits(tmp_path: Path) -> None:
    names = [NAME, *(f"{NAME}_{n}" for n in (1, 2, 3, 5))]
    for name in (*names, "other"):
        (tmp_path / name).mkdir()
    results = [(NAME, True), (names[1], True), (names[2], False), (names[3], False), (names[4], True)]
    assert choose_all(PushedNames(tmp_path), results) == [7, 1, 2, 4, 5]
    twice = [(names[2], False), (names[2], False), ("other", True)]
    assert choose_all(PushedNames(tmp_path), twice) == [2, 4, None]
    assert choose_all(PushedNames(tmp_path / "absent"), results) == [1, 3, 2, 0, 5]
