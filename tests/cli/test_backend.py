"""The backend of a result is the same wherever the program shows it."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ExperimentResult
from support.program import run_llem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("config", "given", "expected"),
    [
        ({}, {}, "pytorch"),
        ({"backend": "vllm"}, {}, "vllm"),
        ({"backend": "vllm"}, {"backend": "vllm"}, "vllm"),
        ({"backend": "vllm"}, {"backend": "tensorrt"}, "tensorrt"),
        ({"backend": None}, {"backend": "tensorrt"}, "tensorrt"),
    ],
)
def test_show_backend_agrees_with_directory_and_tables(
    make_result: Callable[..., ExperimentResult],
    tmp_path: Path,
    config: dict[str, Any],
    given: dict[str, str],
    expected: str,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = make_result(effective_config={"model": "m", **config}, **given)
    root = str(tmp_path / "results")
    path = result.save(root, durable=False)

    def answer(*args: str) -> Any:
        return json.loads(run_llem(*args, "--json").out)

    assert path.parent.name.startswith(f"m_{expected}_")
    shown = {
        "load": ExperimentResult.from_json(path).backend,
        "ls": answer("ls", root)[0]["backend"],
        "show": answer("show", str(path))["result"]["backend"],
        "summary": answer("summary", root)["groups"][0]["backend"],
    }
    assert set(shown.values()) == {expected}, shown
    assert run_llem("show", str(path)).out.startswith(f"m on {expected}\n")
    assert run_llem("ls", root, "--where", f"backend={expected}").out.count("\n") == 2
