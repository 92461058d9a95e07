"""A failed allocation in pydantic is a `MemoryError`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from llenergymeasure import ExperimentResult


class PanicException(BaseException):
    """As pydantic's core raises it where it cannot allocate an object."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_load_without_memory_raises_memory_error(
    make_result: Callable[..., ExperimentResult], tmp_path: Path, error: type[BaseException]
) -> None:
    path = make_result().save(tmp_path, durable=False)
    panic = PanicException("null")
    with (
        mock.patch.object(ExperimentResult, "model_validate_json", side_effect=panic),
        pytest.raises(MemoryError, match=rf"memory to load {path}"),
    ):
        ExperimentResult.from_json(path)
    with mock.patch.object(ExperimentResult, "model_validate_json", side_effect=error), pytest.raises(error):
        ExperimentResult.from_json(path)


def test_save_without_memory_raises_memory_error(
    make_result: Callable[..., ExperimentResult], tmp_path: Path
) -> None:
    result, serializer = make_result(), mock.Mock()
    serializer.to_json.side_effect = PanicException("null")
    with (
        mock.patch.object(ExperimentResult, "__pydantic_serializer__", serializer),
        pytest.raises(MemoryError, match="memory to serialise"),
    ):
        result.save(tmp_path, durable=False)
    assert list(tmp_path.iterdir()) == []
