"""Paths that callers give: `~` and `file://` URLs are read, invalid URLs are refused, nothing is created."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore, StorePath, _store, load_result, save_result
from llenergymeasure.errors import SidecarError
from llenergymeasure.results._paths import absolute, local_path
from llenergymeasure.results.persistence import _atomic_write, _find_collision_free_dir, save_results
from llenergymeasure.results.stored import StoredResult
from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet
from support.program import run_llem
from support.results import make_result, make_trace

OBJECT_STORES = ["s3://bucket/runs", "gs://b/x", "az://c", "S3://b"]
INVALID = [
    "http://host/x",
    "https://user:pass@host/x?token=secret",
    "s3a://bucket",
    "hf://d",
    "file://host/x",
    "file:x",
    "s3:/bucket",
    "s3:bucket",
    "s3:",
    "S3:/",
    "s3://",
    "s3://user:pass@bucket",
]
SAMPLES = [{"timestamp": 0.0, "power_w": 1.0}]

IN_EITHER: dict[str, Callable[[Any], object]] = {
    "save": lambda path: make_result().save(path),
    "save_result": lambda path: save_result(make_result(), path),
    "save_results": lambda path: save_results([make_result()], path),
    "store": ResultStore,
    "load": lambda path: ResultStore("results").load(path),
    "getitem": lambda path: ResultStore("results")[path],
    "stored": StoredResult,
    "load_result": load_result,
    "from_json": ExperimentResult.from_json,
    "read_timeseries": read_timeseries,
    "copy_from": lambda path: ResultStore("results").copy_from(path),
}
"""Uses of a path or a URL."""
ON_DISK: dict[str, Callable[[Any], object]] = {
    "write_timeseries": lambda path: write_timeseries_parquet(SAMPLES, path),
    "export": lambda path: ResultStore("results").scan().export(path),
    "claim": _find_collision_free_dir,
    "replace": lambda path: _atomic_write("x", path),
}
"""Uses of a path on a file system."""
VERBS = IN_EITHER | ON_DISK

COMMANDS: dict[str, tuple[str, ...]] = {
    "save": ("save", "run.json", "-o", "PATH"),
    "save a file": ("save", "PATH", "-o", "out"),
    "save a trace": ("save", "run.json", "-o", "out", "--timeseries", "PATH"),
    "ls": ("ls", "PATH"),
    "show": ("show", "PATH"),
    "compare": ("compare", "results", "PATH"),
    "summary": ("summary", "PATH"),
    "export": ("export", "results", "-o", "PATH"),
    "export from": ("export", "PATH", "-o", "x.csv"),
    "plot": ("plot", "PATH", "--json"),
    "plot to": ("plot", "results", "-o", "PATH"),
    "verify": ("verify", "PATH"),
    "clean": ("clean", "PATH"),
    "demo": ("demo", "PATH"),
    "bench": ("bench", "--dir", "PATH"),
    "bench plot": ("bench", "--plot", "PATH"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, with another one as the home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("url", INVALID)
@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("verb", VERBS)
def test_every_path_argument_refuses_an_invalid_url(here: Path, verb: str, kind: Any, url: str) -> None:
    if kind is Path and url == "file://host/x":
        pytest.skip("the path 'file:/host/x' is a valid URL of a file")
    with pytest.raises(ValueError, match=r"expects (a|the) .*(URL|bucket)") as caught:
        VERBS[verb](kind(url))
    assert "user:pass@host" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("url", OBJECT_STORES)
@pytest.mark.parametrize("kind", [str, StorePath])
@pytest.mark.parametrize("verb", ON_DISK)
def test_path_argument_on_a_file_system_refuses_an_object_store(
    here: Path, verb: str, kind: Any, url: str
) -> None:
    with pytest.raises(ValueError, match="expects a path on a file system, got the URL"):
        ON_DISK[verb](kind(url))
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("url", OBJECT_STORES)
@pytest.mark.parametrize("kind", [str, StorePath])
@pytest.mark.parametrize("verb", IN_EITHER)
def test_build_without_object_stores_refuses_them(
    here: Path, verb: str, kind: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(_store, "ObjectStorage", raising=False)
    with pytest.raises(ValueError, match=r"got the URL .*this build has no object stores: install the publ"):
        IN_EITHER[verb](kind(url))
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", [str, Path])
def test_every_path_argument_takes_a_file_url(here: Path, kind: Any) -> None:
    root = kind(f"file://{here}/a%20b")
    path: Any = make_result().save(root, make_trace())
    assert path.parent.parent == ResultStore(root).root == here / "a b"
    url = kind(path.as_uri())
    assert load_result(url) == ExperimentResult.from_json(url) == ResultStore(here).load(url)
    assert ResultStore(root)[url].path == StoredResult(kind(path.parent.as_uri())).path == path
    assert len(read_timeseries(url)) == 2
    assert write_timeseries_parquet(SAMPLES, kind(f"file:{here}/x.parquet")) == here / "x.parquet"
    make_result().save(here / "c", kind(f"file://{here}/x.parquet"))
    assert ResultStore(root).scan(["path"]).export(kind(f"file://{here}/x.csv")) == 1
    assert len(ResultStore("d").copy_from(root).copied) == 1
    assert sorted(entry.name for entry in here.iterdir()) == ["a b", "c", "d", "x.csv", "x.parquet"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("url", ["s3://bucket/x.csv", "hf://bucket/x.csv"])
def test_llem_without_object_stores_refuses_a_url(
    here: Path, command: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(_store, "ObjectStorage", raising=False)
    (here / "run.json").write_text(make_result().model_dump_json())
    make_result().save("results", durable=False)
    before = sorted(here.rglob("*"))
    done = run_llem(*(url if part == "PATH" else part for part in COMMANDS[command]))
    assert done.status == 2
    assert f"got the URL {url!r}" in done.err
    assert "Traceback" not in done.err
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("kind", [str, Path])
def test_every_path_argument_expands_the_home(here: Path, kind: Any) -> None:
    home = here.parent / "home"
    path = make_result().save(kind("~/runs"), make_trace())
    directory = path.parent
    assert path.is_relative_to(home / "runs")
    below = kind(f"~/runs/{directory.name}")
    assert ResultStore(kind("~/runs")).root == home / "runs"
    assert ResultStore("results").load(below) == load_result(below) == ExperimentResult.from_json(below)
    assert ResultStore("results")[below].path == path
    assert len(read_timeseries(below)) == 2
    assert write_timeseries_parquet(SAMPLES, kind("~/x.parquet")) == home / "x.parquet"
    assert ResultStore("~/runs").scan(["path"]).export(kind("~/x.csv")) == 1
    with_source = make_result().save("~/runs", kind("~/x.parquet"))
    assert (with_source.parent / "timeseries.parquet").exists()
    assert sorted(entry.name for entry in home.iterdir()) == ["runs", "x.csv", "x.parquet"]
    assert list(here.iterdir()) == []


def test_llem_expands_the_home(here: Path) -> None:
    (here / "run.json").write_text(make_result().model_dump_json())
    assert run_llem("save", "run.json", "-o", "~/runs").status == 0
    assert "1 complete" in run_llem("verify", "~/runs").out
    assert run_llem("export", "~/runs", "-o", "~/x.csv").status == 0
    assert sorted(entry.name for entry in (here.parent / "home").iterdir()) == ["runs", "x.csv"]
    assert [entry.name for entry in here.iterdir()] == ["run.json"]


@pytest.mark.parametrize("url", INVALID)
@pytest.mark.parametrize("how", ["save", "save_many", "writer"])
def test_save_with_url_as_source_saves_the_result_and_raises(how: str, url: str) -> None:
    store = ResultStore("results")
    if how == "save":
        with pytest.raises(SidecarError, match=r"expects (a|the) .*(URL|bucket)") as caught:
            store.save(make_result(), url)
        error: BaseException | None = caught.value
    elif how == "save_many":
        with pytest.raises(Exception, match=r"expects (a|the) .*(URL|bucket)") as several:
            store.save_many([make_result()], timeseries_sources=[url])
        (error,) = several.value.failed.values()  # type: ignore[attr-defined]
    else:
        with store.writer(on_error="ignore") as writer:
            error = writer.submit(make_result(), url).exception()
    assert isinstance(error, SidecarError)
    assert "timeseries_source expects" in str(error)
    assert load_result(str(error.result_path)) == make_result()


def test_local_path_without_a_home_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    with pytest.raises(ValueError, match="the home directory of this user is unknown"):
        local_path("~/runs")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ValueError, match="the home directory of this user is unknown"):
        local_path("~")


def test_local_path_in_an_unknown_home_names_the_user() -> None:
    with pytest.raises(ValueError, match=r"of the user 'no such user' is unknown; write \./~no such user/x"):
        local_path("~no such user/x", "root")


@pytest.mark.parametrize(
    "path", ["x", "./s3:/x", "./~", "a:b", "a:b/c:/d", "C:/x", "/s3://x", "x/~", "", "1:/"]
)
def test_local_path_of_a_path_returns_it(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a/b%20c", "/a/b c"),
        ("file:/a", "/a"),
        ("file://localhost/a", "/a"),
        ("FILE:///a", "/a"),
        ("file:///a%3Fb%23c%25", "/a?b#c%"),
        ("file:///%FFx", "/\udcffx"),
        ("file:///~/x", "/~/x"),
    ],
)
def test_local_path_of_a_file_url_returns_the_path(url: str, path: str) -> None:
    assert local_path(url) == path


@pytest.mark.parametrize("path", [b"/x/\xff", "/x/é ü", "/x/a%20b?#"])
def test_local_path_of_a_path_as_url_returns_it(path: str | bytes) -> None:
    assert local_path(Path(os.fsdecode(path)).as_uri()) == os.fsdecode(path)


@given(st.text("ab %#?@:~é\udcff💡\\\n", max_size=10))
def test_local_path_of_any_path_as_url_returns_it(name: str) -> None:
    path = Path("/x", name)
    assert local_path(path.as_uri()) == str(path)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("s3a://bucket/x", "write s3://bucket/prefix"),
        ("gcs://bucket/x", "write gs://bucket/prefix"),
        ("abfss://c@account.dfs.core.windows.net/x", "write az://bucket/prefix"),
        ("https://bucket.s3.eu-west-1.amazonaws.com/x", "write s3://bucket/prefix"),
        (
            "http://127.0.0.1:9000/bucket",
            "write s3://bucket/prefix, and give the address of the service as options={'endpoint': ...}",
        ),
        ("hdfs://host/x", "mount the storage and give the path of its directory"),
        ("x-y:/z", "write ./x-y:/z for a directory of that name"),
        (
            "s3:/bucket",
            "give it as a string, since a pathlib.Path drops a slash, or write ./s3: for a directory",
        ),
        ("file://host/x", "write file:///path"),
        ("file:///x?y", "write %3F and %23"),
    ],
)
def test_local_path_of_an_invalid_url_gives_advice(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match="root expects a ") as caught:
        local_path(url, "root")
    assert str(caught.value).endswith(f"; {advice}")


def test_load_name_with_tilde_below_the_root_finds_it(here: Path) -> None:
    store = ResultStore("results")
    make_result().save("x", durable=False).parent.rename(here / "moved")
    (here / "results").mkdir()
    (here / "moved").rename(here / "results/~run")
    assert store.load("~run") == store["~run"].load() == make_result()


def test_absolute_keeps_symlinks_and_parents(here: Path) -> None:
    assert absolute("a/../b") == here / "a/../b"
    assert absolute(Path("~/x")) == here.parent / "home/x"
