"""Names of result directories."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult
from llenergymeasure._store import directory_name
from llenergymeasure.results.persistence import _experiment_dir_name

if TYPE_CHECKING:
    from collections.abc import Callable


MINUTE = "2026-02-18T14-30"
FORBIDDEN = set('/\\<>:"|?*') | {chr(code) for code in range(32)} | {chr(127)}
DEVICES = {"CON", "PRN", "AUX", "NUL"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in range(10)
}


@given(model=st.text(), backend=st.text())
@example("../" * 99 + "etc/passwd", "\0")
@example("con.7b", "nul")
@example("é" * 500, "😀" * 500)
@example("e\u0301" * 500, ".")
@example("-.-", " ")
def test_name_directory_of_any_strings_gives_a_legal_component(model: str, backend: str) -> None:
    name = directory_name(model, backend, MINUTE)
    assert name.endswith(f"_{MINUTE}")
    assert not FORBIDDEN & set(name)
    assert name[0] not in ".-"
    assert name[-1] not in ". "
    assert name == unicodedata.normalize("NFC", name)
    assert name.split(".")[0].rstrip().upper() not in DEVICES
    assert len(name.encode()) + len("_") + 16 <= 255


@given(
    model=st.from_regex(r"[a-z0-9][a-z0-9./ _-]{0,80}", fullmatch=True),
    backend=st.from_regex(r"[A-Za-z0-9. _-]{1,40}", fullmatch=True),
)
def test_name_directory_of_legal_strings_follows_the_plain_rule(model: str, backend: str) -> None:
    slug = model.replace("/", "-").lower()
    if slug.split(".")[0].rstrip().upper() not in DEVICES:
        assert directory_name(model, backend, MINUTE) == f"{slug}_{backend}_{MINUTE}"


@given(model=st.text(min_size=181), backend=st.text(min_size=41))
@settings(max_examples=25)
def test_name_directory_of_different_long_strings_gives_different_names(model: str, backend: str) -> None:
    name = directory_name(f"a{model}" * 2, f"b{backend}", MINUTE)
    assert len(name.encode()) <= 180 + 1 + 40 + 1 + len(MINUTE)
    assert directory_name(f"a{model}" * 2 + "x", f"b{backend}", MINUTE) != name


@pytest.mark.parametrize(
    "model", ["", "..", "/", "a/b", "../../x", "con.x", "\0", "😀" * 300, "e\u0301", " x ", "-n"]
)
def test_save_any_model_stays_inside_the_output_directory(
    model: str, make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    result = make_result(effective_config={"model": model}, backend=model)
    path = result.save(tmp_path / "results", durable=False)
    assert path.parent.parent == tmp_path / "results"
    assert [entry.name for entry in tmp_path.iterdir()] == ["results"]
    assert ExperimentResult.from_json(path) == result
    assert path.parent.name.startswith(_experiment_dir_name(result).rsplit("_", 1)[0])
