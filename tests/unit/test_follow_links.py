"""`ResultStore(root, follow_links=True)`: every reader enters linked directories, each once."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from support.program import run_llem
from support.results import make_trace
from support.stores import scan_paths


@pytest.fixture
def linked(make_result: Callable[..., ExperimentResult], tmp_path: Path) -> ResultStore:
    """Return a store with a real result, a linked study that links back, and a linked result."""

    def put(place: str, name: str) -> None:
        result = make_result(experiment_id=name, measurement_config_hash=name * 16)
        result.save(tmp_path / "saved", make_trace(), durable=False).parent.rename(tmp_path / place)

    for directory in ("root", "elsewhere/study"):
        (tmp_path / directory).mkdir(parents=True)
    put("root/a", "a")
    put("elsewhere/study/b", "b")
    put("elsewhere/c", "c")
    (tmp_path / "root/study").symlink_to("../elsewhere/study")
    (tmp_path / "root/study/back").symlink_to(tmp_path / "root")
    (tmp_path / "root/c").symlink_to("../elsewhere/c")
    (tmp_path / "root/latest").symlink_to("c")
    return ResultStore(tmp_path / "root", follow_links=True)


READERS: dict[str, Callable[[ResultStore], Any]] = {
    "scan": lambda store: store.scan(["experiment_id"]).to_pydict()["experiment_id"],
    "scan_timeseries": lambda store: list(
        dict.fromkeys(store.scan_timeseries(["experiment_id"]).to_pydict()["experiment_id"])
    ),
    "load_all": lambda store: [result.experiment_id for result in store.load_all()],
    "iter": lambda store: [stored.load().experiment_id for stored in store],
    "completed": lambda store: sorted(name[0] for name in store.completed()),
}


@pytest.mark.parametrize("reader", READERS)
def test_read_following_links_enters_each_directory_once(linked: ResultStore, reader: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = READERS[reader](linked)
    # The path of `c` comes before that of `study/b`.
    assert found == (["a", "b", "c"] if reader == "completed" else ["a", "c", "b"])


@pytest.mark.parametrize("reader", READERS)
def test_read_not_following_links_warns_once(linked: ResultStore, reader: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = READERS[reader](ResultStore(linked.root))
    assert found == ["a"]
    (warned,) = [str(warning.message) for warning in caught]
    assert warned.startswith("3 symbolic links to directories were not followed")


def test_export_not_following_links_warns_once(linked: ResultStore, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="3 symbolic links") as caught:
        ResultStore(linked.root).scan(["path"]).export(tmp_path / "table.csv")
    assert len(caught) == 1


def test_verify_links_names_them_or_follows_them(linked: ResultStore) -> None:
    found = linked.verify(deep=True)
    assert (found.complete, found.links, found.ok) == (3, [], True)
    with pytest.warns(UserWarning, match="3 symbolic links"):
        found = ResultStore(linked.root).verify()
    assert [path.name for path, _ in found.links] == ["c", "latest", "study"]
    assert (found.complete, found.ok) == (1, True)
    assert "3 symbolic links not followed" in str(found)


def test_scan_broken_link_warns_also_where_links_are_followed(linked: ResultStore) -> None:
    (linked.root / "x").symlink_to("nothing")
    with pytest.warns(UserWarning, match="^1 symbolic link cannot be followed in .*; the first: 'x'"):
        assert scan_paths(linked) == ["a", "c", "study/b"]


def test_repr_of_store_with_links_does_not_warn(linked: ResultStore) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "1 result" in repr(ResultStore(linked.root))
        assert "3 results" in repr(linked)


def test_clean_of_store_that_follows_links_follows_none(linked: ResultStore, tmp_path: Path) -> None:
    left = tmp_path / "elsewhere/study/gpt2_pytorch_2026-02-18T14-30"
    left.mkdir()
    cleaning = linked.clean(older_than="0s", dry_run=False)
    assert not cleaning.removed
    assert left.exists()


def test_pickle_store_keeps_follow_links(linked: ResultStore) -> None:
    copy = pickle.loads(pickle.dumps(linked))  # noqa: S301 - our own bytes
    assert copy.follow_links
    assert not ResultStore(linked.root).follow_links


def test_scan_linked_root_follows_it(linked: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(linked.root)
    with pytest.warns(UserWarning, match="3 symbolic links"):
        assert scan_paths(tmp_path / "link") == ["a"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("ls", "--columns", "id", "DIR"), "c"),
        (("summary", "DIR", "--by", "id"), "c"),
        (("export", "DIR", "-o", "table.csv", "-c", "id"), "3 results exported"),
        (("verify", "DIR"), "3 complete"),
        (("compare", "DIR", "DIR"), "3"),
        (("plot", "DIR", "--json"), "study/b"),
    ],
)
def test_llem_follow_links_enters_linked_directories(
    linked: ResultStore, command: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(linked.root.parent)
    arguments = [str(linked.root) if part == "DIR" else part for part in command]
    done = run_llem(*arguments, "--follow-links")
    assert (done.status, "symbolic" in done.err) == (0, False), done.err
    assert expected in done.out + done.err
    done = run_llem(*arguments)
    assert done.status == 0
    (line,) = [line for line in done.err.splitlines() if "symbolic" in line]
    assert line.startswith(f"llem {command[0]}: warning: 3 symbolic links to directories were not followed")
