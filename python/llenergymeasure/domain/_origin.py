"""The file that a result was loaded from: a mark outside its fields, its equality and its JSON.

The mark is an entry of the instance's `__dict__` that is not a field. As with `functools.cached_property`,
pydantic omits it when it compares, hashes, prints and serialises, and `model_copy` and pickle keep it. A
private attribute of pydantic would take part in `==`, and would cost each load 1 µs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llenergymeasure.results.store_path import StorePath

_MARK: Final = "_loaded_from"


def mark_loaded(result: BaseModel, record: str | StorePath) -> None:
    """Note the `result.json` that a result was loaded from, by its absolute path or its place in a bucket."""
    if isinstance(record, str) and not os.path.isabs(record):  # noqa: PTH117 - as below
        record = os.path.join(os.getcwd(), record)  # noqa: PTH109, PTH118 - `..` behind a symlink stays
    result.__dict__[_MARK] = record


def forget_origin(result: BaseModel) -> None:
    """Note that a result has nothing on disk beyond its record: the sidecar that it names is missing."""
    result.__dict__.pop(_MARK, None)


def record_of(result: BaseModel) -> str | StorePath | None:
    """Return the absolute path of the `result.json` of a loaded result; None if a program made it."""
    record: str | StorePath | None = result.__dict__.get(_MARK)
    return record
