"""`StorePath`: its parts, its comparison, its pickle; the URLs that it takes and refuses."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llenergymeasure
from llenergymeasure import StorePath
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from support.processes import run_code
from support.results import make_result

NAMES = st.text("ab.-_ ~%#+@:&\\'\"é💡\u200b", min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and "://" not in name
)
PATHS = st.builds(
    lambda scheme, names: StorePath(f"{scheme}://bucket", *names),
    st.sampled_from(["s3", "gs", "az"]),
    st.lists(NAMES, max_size=4),
)


def test_store_path_has_the_parts_of_its_url() -> None:
    path = StorePath("s3://bucket/runs") / "gpt2_vllm" / "result.json"
    assert str(path) == f"{path}" == "s3://bucket/runs/gpt2_vllm/result.json"
    assert repr(path) == "StorePath('s3://bucket/runs/gpt2_vllm/result.json')"
    assert (path.name, path.stem, path.suffix) == ("result.json", "result", ".json")
    assert path.parts == ("s3://bucket", "runs", "gpt2_vllm", "result.json")
    assert path.parent == StorePath("s3://bucket/runs/gpt2_vllm")
    assert [str(parent) for parent in path.parents] == [
        "s3://bucket/runs/gpt2_vllm",
        "s3://bucket/runs",
        "s3://bucket",
    ]
    assert path.with_name("x y.parquet") == path.parent / "x y.parquet"
    assert path.relative_to("s3://bucket/runs/") == PurePosixPath("gpt2_vllm/result.json")
    assert path.relative_to(path) == PurePosixPath()
    assert path.is_relative_to(path.parent)
    assert not path.is_relative_to("s3://bucket/run")


def test_bucket_is_its_own_parent() -> None:
    bucket = StorePath("s3://bucket/")
    assert (bucket.parent, bucket.parents, bucket.name, bucket.stem, bucket.suffix) == (
        bucket,
        (),
        "",
        "",
        "",
    )
    with pytest.raises(ValueError, match="expected a path with a name, got the bucket s3://bucket"):
        bucket.with_name("x")


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("S3://bucket", "s3://bucket"),
        ("s3://bucket///a//b/./c/", "s3://bucket/a/b/c"),
        ("gs://b/a%2Fb c#d+e@f:g", "gs://b/a%2Fb c#d+e@f:g"),
        ("az://$web/Ünï/💡", "az://$web/Ünï/💡"),
    ],
)
def test_store_path_keeps_the_text_of_names(url: str, normal: str) -> None:
    assert str(StorePath(url)) == str(StorePath(normal)) == normal


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3:/bucket/x", "expects a URL as s3://bucket/prefix, got 's3:/bucket/x'; give it as a string"),
        ("s3:bucket", "expects a URL as s3://bucket/prefix"),
        ("s3:", "expects a URL as s3://bucket/prefix"),
        ("s3://", "expects the name of a bucket"),
        ("s3:///x", "expects the name of a bucket"),
        ("s3://host:9000/bucket", r"give the address of a service as options={'endpoint': \.\.\.}"),
        ("s3://id:key@bucket/x", r"without credentials, got 's3://\*\*\*@bucket/x'"),
        ("s3://bucket/x?versionId=1", r"without a query, got 's3://bucket/x\?\*\*\*'"),
        ("s3://bucket?region=x", "without a query"),
        ("s3://bucket/../x", "without '..'"),
        ("s3://bucket/a\0b", "expects printable characters"),
        ("s3://bucket/a\nb", "expects printable characters"),
        ("s3://bucket/\udc80", "expects printable characters"),
        ("http://host/x", "begins with s3://, gs:// or az://, got the URL"),
        ("file:///x", "begins with s3://, gs:// or az://, got the URL"),
        ("/x", "begins with s3://, gs:// or az://, got the path"),
        ("", "begins with s3://, gs:// or az://, got the path ''"),
    ],
)
def test_store_path_refuses_other_urls(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StorePath(url)


@pytest.mark.parametrize("name", ["/x", "s3://other/x", "../x", "a/..", "a\0"])
def test_store_path_refuses_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="name expects"):
        StorePath("s3://bucket/runs") / name


def test_store_path_joins_names_of_any_kind() -> None:
    path = StorePath("s3://bucket", "runs", PurePosixPath("a/b"))
    assert (
        path
        == StorePath("s3://bucket").joinpath("runs/a", "", ".", "b/")
        == StorePath("s3://bucket/runs/a/b")
    )
    assert path.joinpath() == path
    with pytest.raises(TypeError, match="unsupported operand"):
        path / 1  # type: ignore[operator]
    with pytest.raises(TypeError, match="url expects a string or a StorePath, got PosixPath"):
        StorePath(Path("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", ".", "a/b", "..", "/"])
def test_with_name_refuses_other_than_one_component(name: str) -> None:
    with pytest.raises(ValueError, match="name expects"):
        StorePath("s3://bucket/x").with_name(name)


def test_store_path_is_no_path_of_a_file_system(tmp_path: Path) -> None:
    path: Any = StorePath("s3://bucket/x")
    assert not isinstance(path, os.PathLike)
    for use in (open, Path, os.fspath, os.listdir, tmp_path.joinpath):
        with pytest.raises(TypeError, match="StorePath"):
            use(path)


def test_relative_to_another_bucket_raises() -> None:
    with pytest.raises(ValueError, match="expected a path below s3://other, got s3://bucket/x"):
        StorePath("s3://bucket/x").relative_to("s3://other")


def test_store_path_equals_by_its_url_alone() -> None:
    path = StorePath("s3://bucket/x")
    other = StorePath("s3://bucket/x", options={"region": "r"}, credential_provider=dict)
    assert path == other
    assert hash(path) == hash(other)
    assert path != "s3://bucket/x"
    assert path != PurePosixPath("s3://bucket/x")
    assert len({path, other, StorePath("gs://bucket/x")}) == 2
    with pytest.raises(TypeError, match="not supported"):
        path < "s3://bucket/y"  # noqa: B015 - it raises


def test_store_path_carries_what_its_user_passed() -> None:
    path = StorePath("s3://bucket/x", options={"region": "r", "allow_http": True}, credential_provider=dict)
    same = StorePath(path / "y", "z")
    changed = StorePath(path, options={})
    for derived in (path.parent, same, pickle.loads(pickle.dumps(same)), copy.deepcopy(same)):  # noqa: S301
        assert derived._access.options == {"region": "r", "allow_http": "true"}
        assert derived._access.credential_provider is dict
    assert (changed._access.options, changed._access.credential_provider) == ({}, dict)
    assert "region" not in repr(path) + repr(vars(type(path)))
    assert copy.copy(path) is path


def test_pickle_of_a_store_path_has_only_its_url() -> None:
    path = StorePath("s3://bucket/x")
    assert pickle.loads(pickle.dumps(path)) == path  # noqa: S301 - our own
    assert len(pickle.dumps(path)) < 150


def test_configuration_with_a_store_path_has_its_url() -> None:
    path = StorePath("s3://bucket/x")
    result = make_result(effective_config={"model": "m", "output": path, "all": [path], path: 1})
    url = str(path)
    assert result.effective_config == {"model": "m", "output": url, "all": [url], url: 1}
    assert compute_measurement_config_hash({"a": path}) == compute_measurement_config_hash({"a": url})


def test_import_package_loads_no_store_path() -> None:
    code = (
        "import sys, llenergymeasure as llem; llem.ResultStore('results').completed();"
        "print([name for name in sys.modules if name.endswith(('store_path', '_access', '_obstore'))])"
    )
    assert run_code(code, check=True).stdout.strip() == "[]"
    assert "StorePath" in dir(llenergymeasure)


@given(PATHS)
def test_url_of_a_store_path_gives_it_again(path: StorePath) -> None:
    again = StorePath(str(path))
    assert (again, hash(again), str(again)) == (path, hash(path), str(path))
    assert StorePath(*path.parts) == pickle.loads(pickle.dumps(path)) == path  # noqa: S301 - our own


@given(PATHS, st.lists(NAMES, min_size=1, max_size=4))
def test_store_path_goes_down_and_up_again(path: StorePath, names: list[str]) -> None:
    below = path.joinpath(*names)
    assert below == path / "/".join(names)
    assert below.name == names[-1]
    assert below.parents[len(names) - 1] == path
    assert below.relative_to(path) == PurePosixPath(*names)
    assert path / below.relative_to(path) == below
    assert (below.stem, below.suffix) == (PurePosixPath(names[-1]).stem, PurePosixPath(names[-1]).suffix)
    assert below > path
    assert below.with_name(names[0]).parent == below.parent


@given(st.lists(PATHS, max_size=6))
def test_store_paths_are_ordered_by_components(paths: list[StorePath]) -> None:
    assert [path.parts for path in sorted(paths)] == sorted(path.parts for path in paths)
    for one in paths:
        for other in paths:
            assert (one < other) + (one == other) + (one > other) == 1
            assert (one <= other) == (not one > other)
            assert (one >= other) == (not one < other)


@given(st.text())
def test_any_text_is_a_url_or_an_error(text: str) -> None:
    for url in (text, f"s3://{text}", f"s3://bucket/{text}"):
        try:
            path = StorePath(url)
        except ValueError:
            continue
        assert StorePath(str(path)) == path
