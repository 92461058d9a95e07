"""Loads of one result, and the errors for files that are not a valid result."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llenergymeasure import (
    ExperimentResult,
    PersistenceError,
    ResultCorruptError,
    ResultError,
    SchemaVersionError,
    load_result,
)


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (b"", ResultCorruptError, "empty"),
        (b"\0" * 4096, ResultCorruptError, "NUL"),
        (b'{"schema_version": "2.0"\0\0\0', ResultCorruptError, "last 3 bytes are NUL"),
        (b'{"schema_version": "2.0", "experi', ResultCorruptError, "truncated"),
        (b'{"a": "\xff"}', ResultCorruptError, "not UTF-8: byte 7"),
        (b"not json", ResultCorruptError, "not JSON"),
        (b"\xef\xbb\xbf{}", ResultCorruptError, "byte order mark"),
        (b"[" * 10_000 + b"]" * 10_000, ResultCorruptError, "recursion"),
        (b"[]", ResultError, "an array"),
        (b"null", ResultError, "null"),
        (b"3", ResultError, "a number"),
        (b'{"schema_version": "1.0"}', SchemaVersionError, '"1.0"'),
        (b'{"schema_version": "3.0", "new_field": 1}', SchemaVersionError, '"2.0", got "3.0"'),
        (b'{"schema_version": 2}', SchemaVersionError, "2"),
        (b"{}", ValidationError, "experiment_id"),
    ],
)
def test_load_invalid_file_names_path_and_size(
    content: bytes, error: type[Exception], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(error, match=reason) as caught:
        load_result(tmp_path)
    assert f"{path} ({len(content)} bytes)" in str(caught.value)


def test_load_record_truncated_anywhere_raises(result: ExperimentResult, tmp_path: Path) -> None:
    path = result.save(tmp_path)
    complete = path.read_bytes()
    for length in range(len(complete)):
        path.write_bytes(complete[:length])
        with pytest.raises(ResultCorruptError, match=r"empty|truncated"):
            load_result(path)


def test_load_with_invalid_fields_raises_validation_error_with_path(
    result: ExperimentResult, tmp_path: Path
) -> None:
    path = result.save(tmp_path)
    path.write_text(path.read_text().replace('"total_tokens": 1000', '"total_tokens": "many", "extra": 1'))
    with pytest.raises(ValidationError, match="total_tokens") as caught:
        load_result(path)
    assert str(path) in caught.value.title
    assert {error["loc"][0] for error in caught.value.errors()} == {"total_tokens", "extra"}


def test_load_without_file_raises_file_not_found(tmp_path: Path) -> None:
    for path, missing in ((tmp_path / "absent", tmp_path / "absent"), (tmp_path, tmp_path / "result.json")):
        with pytest.raises(FileNotFoundError) as caught:
            load_result(path)
        error = caught.value
        assert isinstance(error, PersistenceError)
        assert (error.filename, error.step, error.committed) == (str(missing), "read", False)
