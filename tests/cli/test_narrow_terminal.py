"""Terminals of a few columns: no line of a table or a card is wider."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from llenergymeasure.cli.app import run
from llenergymeasure.cli.terminal.table import cell_width, fold
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries
from support.program import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Terminal(io.TextIOWrapper):
    """A stream in memory that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def traced(tmp_path: Path, record: Callable[..., dict[str, object]], three: None) -> None:  # noqa: ARG001
    """Keep a fourth result, with long names, warnings and a power trace."""
    config = {"model": "m" * 30, "模型": "模" * 20, "a_key_of_many_letters": [1.5] * 9, "text": "word " * 12}
    times = [float(second) for second in range(0, 7200, 60)]
    powers = [1e4 + 10 * second for second in times]
    trace = Timeseries(timestamp_s=times, gpu_index=[0] * len(times), power_w=powers)
    warned = record(effective_config=config, measurement_warnings=["too short " * 9, "x" * 50])
    ExperimentResult.model_validate(warned).save(tmp_path / "results", trace)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("columns", [2, 5, 9, 12, 20, 21, 33, 50])
def test_llem_on_a_narrow_terminal_prints_no_wider_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(columns))
    long = next(str(path) for path in (tmp_path / "results").iterdir() if len(path.name) > 1)
    for command in (
        ("ls", "results"),
        ("ls", "results", "-c", "path,config.text,energy"),
        ("show", long),
        ("compare", long, "results/a", "results"),
        ("summary", "results"),
        ("summary", "results", "--by", "config"),
    ):
        out, err = Terminal(io.BytesIO(), encoding="utf-8"), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with mock.patch.multiple(sys, argv=["llem", *command], stdout=out, stderr=err):
            assert run() == 0
        out.seek(0)
        lines = STYLE.sub("", out.read()).splitlines()
        assert len(lines) > 3
        assert [line for line in lines if cell_width(line) > columns] == [], command


def test_fold_keeps_every_word() -> None:
    for width in range(2, 40):
        for text in ("one two  three " * 4, "模型 " * 9, "x" * 50, ""):
            lines = fold(text, width)
            assert all(cell_width(line) <= width for line in lines)
            assert "".join(lines).replace(" ", "") == text.replace(" ", "")
