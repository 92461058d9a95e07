"""Directories that a scan visits: order, depth, symlinks, and trees that change meanwhile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import (
    ExperimentResult,
    PersistenceError,
    ResultStore,
)
from support.processes import run_code
from support.stores import scan_paths

Make = Callable[..., ExperimentResult]
Plant = Callable[..., None]


def test_scan_results_at_any_depth_sorts_by_path(plant: Plant, tmp_path: Path) -> None:
    names = ["a/b", "a-b", "a/c/d/e", "a0", "B", "é", "z/é/1", "z/é/10", "z/é/2", "~", " ", "a.b"]
    plant(*names)
    in_order = sorted(names, key=lambda name: [part.encode() for part in name.split("/")])
    for batch_size in (1, 3, 4096):
        assert scan_paths(tmp_path, batch_size=batch_size) == in_order
    assert [Path(name) for name in in_order] == sorted(map(Path, names))


def test_scan_root_that_is_a_result_includes_it(plant: Plant, tmp_path: Path) -> None:
    plant(".", "a")
    assert scan_paths(tmp_path) == [".", "a"]


def test_scan_wide_and_deep_tree_keeps_one_order(plant: Plant, tmp_path: Path) -> None:
    # Large directories above, below and next to small ones.
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


@pytest.mark.parametrize("follow_links", [False, True])
def test_scan_total_of_progress_ends_as_the_number_of_results(
    plant: Plant, tmp_path: Path, *, follow_links: bool
) -> None:
    plant(".", *(f"{number:03}" for number in range(300)), *(f"many/{number:03}/x" for number in range(150)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("many")
    store = ResultStore(tmp_path, follow_links=follow_links)
    seen: list[tuple[int, int | None]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.scan(["path"], progress=lambda *now: seen.append(now)).count() == 451
        store.scan(["path"], progress=lambda *now: seen.append(now)).to_pydict()
        verified: list[tuple[int, int | None]] = []
        store.verify(progress=lambda *now: verified.append(now))
    assert seen[-1] == verified[-1] == (451, 451)
    assert all(total is None or done <= total for done, total in seen + verified)


def test_scan_skips_hidden_names_and_directories_without_record(plant: Plant, tmp_path: Path) -> None:
    plant("a", ".hidden", ".tmp-x/b", "c/.d", "e")
    (tmp_path / "empty").mkdir()
    (tmp_path / "stray").write_text("no directory")
    (tmp_path / "e" / ".result.json.tmp").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.json").write_text("{}")
    assert scan_paths(tmp_path) == ["a", "e"]


def test_scan_empty_tree_returns_no_rows(tmp_path: Path) -> None:
    scan = ResultStore(tmp_path).scan()
    assert list(scan) == []
    columns = scan.to_pydict()
    assert list(columns) == scan.schema.names
    assert all(values == [] for values in columns.values())
    assert not any(name.startswith("effective_config") for name in columns)


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.write_text("")], ids=["none", "file"])
def test_scan_root_that_is_not_a_directory_raises(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    root = tmp_path / "root"
    make(root)
    for on_error in ("raise", "skip", "collect"):
        scan = ResultStore(root).scan(["path"], on_error=on_error)
        with pytest.raises(PersistenceError) as caught:
            scan.to_pydict()
        assert str(root) in str(caught.value)


def test_scan_root_that_is_a_symlink_or_relative_reads_it(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("real/a")
    (tmp_path / "link").symlink_to("real")
    assert scan_paths(tmp_path / "link") == ["a"]
    monkeypatch.chdir(tmp_path)
    scan = ResultStore("real").scan(["path"])
    monkeypatch.chdir("/")
    assert scan.to_pydict() == {"path": ["a"]}


def test_scan_very_deep_tree_returns_rows_and_errors(text: str, tmp_path: Path) -> None:
    # Deeper than the longest path.
    script = """
        import os, sys
        os.chdir(sys.argv[1])
        for depth in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        open("result.json", "w").write(sys.stdin.read())
        """
    run_code(script, tmp_path, input=text, check=True)
    shallow = tmp_path / ("e/" * 900)
    shallow.mkdir(parents=True)
    (shallow / "result.json").write_text(text)
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": [("e/" * 900).rstrip("/")]}
    (error,) = scan.errors.values()
    assert "ENAMETOOLONG" in str(error)


def test_scan_never_follows_symlinks_below_the_root(plant: Plant, tmp_path: Path) -> None:
    plant("root/a", "root/b/c", "outside/d")
    root = tmp_path / "root"
    (root / "loop").symlink_to(".")
    (root / "b" / "up").symlink_to("..")
    (root / "out").symlink_to("../outside")
    (root / "again").symlink_to("a")
    (root / "nowhere").symlink_to("nothing")
    scan = ResultStore(root).scan(["path"], on_error="collect")
    said = r"4 symbolic links to directories were not followed .* and 1 symbolic link cannot be followed"
    with pytest.warns(UserWarning, match=said):
        assert scan.to_pydict() == {"path": ["a", "b/c"]}
    assert scan.errors == {}


@pytest.mark.parametrize("target", ["nothing", "nothing/result.json", "../a/result.json/x", "result.json"])
def test_scan_broken_link_to_a_record_reports_its_path(plant: Plant, tmp_path: Path, target: str) -> None:
    plant("a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "result.json").symlink_to(target)
    scan = ResultStore(tmp_path).scan(["path"], on_error="collect")
    assert scan.to_pydict() == {"path": ["a"]}
    ((path, error),) = scan.errors.items()
    assert path == tmp_path / "b" / "result.json"
    assert "symbolic link" in str(error)


def test_scan_symlinked_record_reads_it(plant: Plant, tmp_path: Path) -> None:
    plant("root/a", "cache/b")
    (tmp_path / "root/b").mkdir()
    (tmp_path / "root/b/result.json").symlink_to("../../cache/b/result.json")
    assert scan_paths(tmp_path / "root") == ["a", "b"]


def test_scan_changing_tree_returns_complete_rows_only(plant: Plant, tmp_path: Path) -> None:
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


def test_scan_record_removed_between_passes_returns_no_row(tmp_path: Path, make_result: Make) -> None:
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


def test_scan_ignores_results_inside_a_result(plant: Plant, tmp_path: Path) -> None:
    plant("a", "a/repeat-2")
    assert scan_paths(tmp_path) == ["a"]


def test_scan_missing_root_reports_a_directory(tmp_path: Path) -> None:
    with pytest.raises(PersistenceError) as caught:
        scan_paths(tmp_path / "none")
    assert "cannot read the result '" not in str(caught.value)
