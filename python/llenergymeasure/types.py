"""Types in the signatures of `ExperimentResult.save` and `from_json`, for every layer of the package."""

from __future__ import annotations

import os
from typing import Literal, Protocol, TypeAlias

__all__ = ["ArrowStream", "MissingSidecar", "TimeseriesSource"]


class ArrowStream(Protocol):
    """A table or stream of an Arrow library: pyarrow, polars, DuckDB, arro3, pandas 3, ..."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the stream as a PyCapsule of the Arrow PyCapsule interface."""


TimeseriesSource: TypeAlias = "str | os.PathLike[str] | ArrowStream"
"""A power trace: the path of a Parquet file, or an object with `__arrow_c_stream__`."""

MissingSidecar: TypeAlias = Literal["warn", "ignore", "raise", "error"]
"""A policy for a sidecar that is missing; `results.types` explains the words. `"error"` means `"raise"`."""
