"""Text of records and names of files in reprs, warnings and exceptions."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llenergymeasure import ResultStore
from llenergymeasure._escape import escape
from llenergymeasure.errors import (
    BulkSaveError,
    LLEMError,
    PersistenceError,
    ResultCorruptError,
    SidecarError,
)
from support.hostile import names, texts
from support.results import make_record, make_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NEEDS_BYTES = pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")


@given(texts() | st.text() | names())
def test_escape_any_text_is_printable_and_keeps_the_rest(text: str) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    assert escape(escaped) == escaped
    assert not text.isprintable() or escaped == text
    escaped.encode()


def test_escape_of_terminal_attacks_shows_them() -> None:
    assert escape("a\x1b[31mb\n\x9b\u202e\ud800") == "a\\x1b[31mb\\n\\x9b\\u202e\\ud800"
    assert escape("模型 é 'x'") == "模型 é 'x'"
    assert escape("r\udcff", keep_bytes=True) == "r\udcff"


@given(texts(), texts(), names())
def test_str_of_errors_is_one_printable_line(text: str, other: str, name: str) -> None:
    nested = [LLEMError(text), ResultCorruptError(text, other), ValueError(text), KeyError(text)]
    errors: list[BaseException] = [
        *nested[:2],
        PersistenceError(5, text, name, other, name),
        SidecarError(5, text, name, other, name),
        *(BulkSaveError({}, {0: error}) for error in nested),
    ]
    for error in errors:
        assert str(error).isprintable(), repr(str(error))
        str(error).encode()
        assert all(line.isprintable() for line in repr(error).splitlines())


def _calls(store: ResultStore, text: str) -> Iterator[Callable[[], Any]]:
    yield lambda: store.load("record")
    yield lambda: store.load_all(on_error="skip")
    yield store.load_all
    yield lambda: store.scan(on_error="skip").to_pydict()
    yield store.scan().to_pydict
    yield lambda: store.scan([text]).to_pydict()
    yield lambda: store.scan([f"effective_config.{text}"]).to_pydict()
    yield lambda: store.scan(where=[(text, "==", 1)]).to_pydict()
    yield lambda: store.scan(where=[("total_tokens", "==", text)]).to_pydict()
    yield lambda: store.scan(where=[("start_time", "==", text)]).to_pydict()
    yield lambda: store.scan(where=[(f"effective_config.{text}", cast("Any", text), 1)]).to_pydict()
    yield lambda: store.scan().export(store.root / text)
    yield lambda: store.scan_timeseries([text]).to_pydict()
    yield store.completed
    yield lambda: store.verify(deep=True).damaged
    yield lambda: store.clean(older_than=text)
    yield store[text].load
    yield lambda: make_result(effective_config={text: {text: object()}})
    yield lambda: repr(store)
    yield store._repr_html_
    yield lambda: repr(store.scan(on_error="collect").schema)


def _check(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), repr(text)
    text.encode()


@NEEDS_BYTES
@QUICK
@given(name=names(), text=texts(), broken=st.sampled_from(["{", '{"%s": 1}', "unknown", "field", "none"]))
def test_read_hostile_store_escapes_exceptions_warnings_and_reprs(
    tmp_path: Path, name: str, text: str, broken: str
) -> None:
    directory = tmp_path / name.replace("/", "-")
    record = make_record("x", effective_config={"model": text, text: text}, backend=text)
    if broken == "unknown":
        record[text + "!"] = text
    elif broken == "field":
        record["total_tokens"] = text
        record["timeseries"] = text
    content = json.dumps(record)
    if broken.startswith("{"):
        content = broken % json.dumps(text)[1:-1] if "%" in broken else broken
    (directory / "record").mkdir(parents=True)
    (directory / "record" / "result.json").write_text(content, encoding="utf-8")
    (directory / "record" / "timeseries.parquet").write_bytes(b"PAR1" + os.fsencode(name))
    try:
        for call in _calls(ResultStore(directory), text):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    answer = call()
                except (LLEMError, OSError, ValueError, TypeError) as error:
                    _check(str(error))
                else:
                    if isinstance(answer, str):
                        _check(answer)
                    elif isinstance(answer, list):
                        assert all(str(item).isprintable() for item in answer if isinstance(item, tuple))
            for warning in caught:
                assert str(warning.message).isprintable(), repr(str(warning.message))
    finally:
        shutil.rmtree(directory)
