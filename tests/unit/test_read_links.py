"""Symlinks, pipes and devices in a tree: all readers treat them alike, and none blocks.

Every reader follows a link to a file, and none a link to a directory.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.results.timeseries import Timeseries

Answers = dict[str, Any]
LEFT = "gpt2_pytorch_2026-02-18T14-30"
LINKED = {"record-outside", "record-inside"}
BROKEN = {"record-dangling", "record-loop"}
SPECIAL = {"record-pipe", "record-socket", "record-device", "record-directory"}
LINKED_SPECIAL = {f"to-{name}" for name in SPECIAL}
INVALID = BROKEN | SPECIAL | LINKED_SPECIAL
SIDECARS = {"sidecar-outside", "sidecar-pipe", "sidecar-socket", "sidecar-device"}
TO_DIRECTORIES = {"result-outside", "study-outside", "loop", f"{LEFT}_1"}
OUTSIDE = {"result-outside", "study-outside", "loop", "dangling", "file-outside"}
SKIPPED = (
    f"{len(TO_DIRECTORIES)} symbolic links to directories were not followed "
    "(follow_links=True or --follow-links follows them) and 1 symbolic link cannot be followed"
)


class Tree:
    """A tree with a valid result next to links and special files, and the files outside it."""

    def __init__(self, here: Path, result: ExperimentResult) -> None:
        self.root, self.outside = here / "results", here / "outside"
        trace = Timeseries(timestamp_s=[0.0, 1.0], gpu_index=[0, 0], power_w=[1.0, 1.0])
        secret = result.model_copy(
            update={"experiment_id": "outside", "measurement_config_hash": "outside", "total_energy_j": 1e6}
        )
        secret.save(self.outside / "study", trace).parent.rename(self.outside / "study" / "result")
        self.secret = self.outside / "study" / "result"
        (self.outside / "left").mkdir()
        for name in (".result.json.tmp", "timeseries.parquet"):
            (self.outside / "left" / name).write_text("keep")
        result.save(self.root, trace).parent.rename(self.root / "good")
        (here / "given.json").write_text(result.model_dump_json())
        self._link()
        self._put_special(result.model_dump_json())
        self.before = self.state()

    def _link(self) -> None:
        root = self.root
        (root / "result-outside").symlink_to(self.secret)
        (root / "study-outside").symlink_to(self.outside / "study")
        (root / "file-outside").symlink_to(self.secret / "result.json")
        (root / "loop").symlink_to(root)
        (root / "dangling").symlink_to("nothing")
        # Links that resemble trash or leftovers.
        (root / ".trash-0123").symlink_to(self.outside / "left")
        (root / f"{LEFT}_1").symlink_to(self.outside / "left")
        (root / f"{LEFT}_2").mkdir()
        (root / f"{LEFT}_2" / "timeseries.parquet").symlink_to(self.outside / "left" / "timeseries.parquet")
        (root / f"{LEFT}_3").mkdir()
        (root / f"{LEFT}_3" / ".result.json.tmp").symlink_to(self.outside / "left" / ".result.json.tmp")
        (root / ".trash-4567").mkdir()
        (root / ".trash-4567" / LEFT).symlink_to(self.secret)
        for name, target in {
            "record-outside": self.secret / "result.json",
            "record-dangling": root / "nothing",
            "record-loop": root / "record-loop" / "result.json",
            "record-inside": root / "good" / "result.json",
        }.items():
            (root / name).mkdir()
            (root / name / "result.json").symlink_to(target)

    def _put_special(self, record: str) -> None:
        for name in SPECIAL | SIDECARS:
            place = self.root / name
            place.mkdir()
            file = place / ("result.json" if name in SPECIAL else "timeseries.parquet")
            if name in SIDECARS:
                (place / "result.json").write_text(record)
            match name.partition("-")[2]:
                case "outside":
                    file.symlink_to(self.secret / "timeseries.parquet")
                case "pipe":
                    os.mkfifo(file)
                case "directory":
                    file.mkdir()
                case "socket":
                    bind(file)
                case _:
                    try:
                        os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero never ends
                    except PermissionError:
                        file.mkdir()

        for name in SPECIAL:
            (self.root / f"to-{name}").mkdir()
            (self.root / f"to-{name}" / "result.json").symlink_to(self.root / name / "result.json")

    def state(self) -> dict[str, Any]:
        """Return the files outside the tree with their modification times."""
        found = {}
        for path in sorted(self.outside.rglob("*")):
            content = path.read_bytes() if path.is_file() else None
            found[str(path)] = (path.stat().st_mtime_ns, content)
        return found


def bind(path: Path) -> None:
    """Create a socket, also where its path exceeds the limit of addresses."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{directory}/{path.name}")
    except OSError:
        path.mkdir()
    finally:
        os.close(directory)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, make_result: Callable[..., ExperimentResult]) -> Tree:
    return Tree(tmp_path_factory.mktemp("links"), make_result())


@pytest.fixture(scope="module")
def answers(tree: Tree, read_by_all: Callable[..., Answers]) -> Answers:
    """Return the answer of each reader; one that blocks on a pipe never answers."""
    return read_by_all(tree.root)


def test_read_tree_with_links_changes_nothing_outside(tree: Tree, answers: Answers) -> None:
    assert answers["clean"]["raised"] is None
    assert tree.state() == tree.before


READERS = ["scan_collect", "scan_all_collect", "scan_skip", "scan_timeseries_collect", "load_all_skip"]


@pytest.mark.parametrize("reader", [*READERS, "completed", "verify", "verify_deep"])
def test_read_tree_with_links_warns_once_with_their_number(answers: Answers, reader: str) -> None:
    (warned,) = [text for text in answers[reader]["warned"] if "symbolic links to" in text]
    assert warned.startswith(SKIPPED)
    assert warned.endswith("the first: 'dangling'")


@pytest.mark.parametrize("command", ["llem_ls", "llem_verify"])
def test_llem_on_tree_with_links_prints_one_line_with_their_number(answers: Answers, command: str) -> None:
    lines = answers[command]["returned"]["err"].splitlines()
    (line,) = [line for line in lines if "symbolic links to" in line]
    assert f"warning: {SKIPPED}" in line
    assert answers[command]["warned"] == []


@pytest.mark.parametrize("reader", ["scan_collect", "scan_all_collect", "scan_skip"])
def test_scan_tree_with_links_reads_linked_records(answers: Answers, reader: str) -> None:
    output = answers[reader]["returned"]
    assert set(output["path"]) == {"good", *SIDECARS, *LINKED}
    assert {path.removesuffix("/result.json") for path in output["errors"]} == INVALID
    assert "a symbolic link that leads to nothing" in output["errors"]["record-dangling/result.json"]
    assert "Too many levels" in output["errors"]["record-loop/result.json"]
    assert answers["scan"]["raised"] == "PersistenceError"


def test_scan_timeseries_with_links_reads_linked_traces(answers: Answers) -> None:
    output = answers["scan_timeseries_collect"]["returned"]
    assert (output["path"], output["rows"]) == (["good", "sidecar-outside"], 4)
    assert {path for path in output["errors"] if "parquet" in path} == {
        f"{name}/timeseries.parquet" for name in SIDECARS - {"sidecar-outside"}
    }


def test_load_all_with_links_loads_linked_records(answers: Answers) -> None:
    expected = ["experiment-1"] * (2 + len(SIDECARS)) + ["outside"]
    assert sorted(answers["load_all_skip"]["returned"]) == expected
    assert answers["completed"]["returned"] == ["0123456789abcdef", "outside"]
    assert f"{len(INVALID)} files were skipped" in answers["completed"]["warned"][0]


@pytest.mark.parametrize("reader", ["verify", "verify_deep"])
def test_verify_with_links_names_them(answers: Answers, reader: str) -> None:
    found = answers[reader]["returned"]
    deep = SIDECARS - {"sidecar-outside"} if reader == "verify_deep" else set()
    assert found["damaged"].keys() >= INVALID
    assert found["damaged"].keys() - INVALID <= deep
    assert found["links"].keys() == TO_DIRECTORIES | {"dangling"}
    others = {name for kind, names in found.items() if kind not in ("complete", "links") for name in names}
    assert OUTSIDE.isdisjoint(others)


def test_clean_with_links_removes_no_link_and_no_target(tree: Tree, answers: Answers) -> None:
    gone = set(answers["clean"]["returned"]["removed"])
    links = OUTSIDE | {f"{LEFT}_1", ".trash-0123"}
    assert gone.isdisjoint(links)
    assert all((tree.root / name).is_symlink() for name in links)


@pytest.mark.parametrize("reader", ["load", "load_result", "from_json", "stored"])
def test_load_named_link_follows_it_without_blocking(answers: Answers, reader: str) -> None:
    output = answers[reader]
    read = {name for name, answer in output.items() if answer["raised"] is None}
    # A load follows a link to a record that the caller names.
    assert read - {"file-outside"} == {"good", "result-outside", *LINKED, *SIDECARS}
    assert output["result-outside"]["returned"] == "outside"
    for name in SPECIAL | LINKED_SPECIAL:
        assert output[name]["raised"] in ("PersistenceError", "IsADirectoryError"), output[name]


@pytest.mark.parametrize("reader", ["read_timeseries", "stored_timeseries"])
def test_read_timeseries_rejects_special_files_without_blocking(answers: Answers, reader: str) -> None:
    output = answers[reader]
    for name in SIDECARS - {"sidecar-outside"}:
        assert output[name]["raised"] == "PersistenceError", output[name]
    assert output["good"]["returned"] == output["sidecar-outside"]["returned"] == 2


def test_save_next_to_links_of_its_name_takes_the_next_suffix(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "2026-02-18T14-30")
    root, outside = tmp_path / "results", tmp_path / "outside"
    outside.mkdir()
    name = result.save(root).parent.name
    (root / name).rename(tmp_path / "moved")
    (root / name).symlink_to(outside)
    (root / f"{name}_1").symlink_to("nothing")
    saved = result.save(root)
    many = ResultStore(root).save_many([result, result])
    assert [path.parent.name for path in (saved, *many)] == [f"{name}_2", f"{name}_3", f"{name}_4"]
    assert all(not path.parent.is_symlink() and path.exists() for path in (saved, *many))
    assert list(outside.iterdir()) == []
