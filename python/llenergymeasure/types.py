"""Types in the signatures of `ExperimentResult.save` and `from_json`, for every layer of the package."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from llenergymeasure.results.store_path import StorePath

    class ObstoreStore(Protocol):
        """A store of the package obstore: `S3Store`, `GCSStore`, `AzureStore`, `LocalStore`."""

        @property
        def prefix(self) -> Any:  # noqa: ANN401 - a string, a path or None
            """The prefix of its objects."""


__all__ = [
    "ArrowStream",
    "CredentialProvider",
    "MissingSidecar",
    "Options",
    "PathArgument",
    "ResultPath",
    "RootArgument",
    "TimeseriesSource",
]


class ArrowStream(Protocol):
    """A table or stream of an Arrow library: pyarrow, polars, DuckDB, arro3, pandas 3, ..."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the stream as a PyCapsule of the Arrow PyCapsule interface."""


PathArgument: TypeAlias = "str | os.PathLike[str] | StorePath"
"""A path on a file system, or in an object store: also a `file://`, `s3://`, `gs://` or `az://` URL."""

RootArgument: TypeAlias = "PathArgument | ObstoreStore"
"""The root of a store."""

ResultPath: TypeAlias = "Path | Any"
"""A `Path` on a file system, and a `StorePath` in an object store.

A type checker cannot see which of them the text of a root means. So that programs for file systems pass its
checks unchanged, the type is not `Path | StorePath`; `isinstance(path, StorePath)` narrows it.
"""

Options: TypeAlias = "Mapping[str, str | bool | int]"
"""Settings of an object store, by name."""

CredentialProvider: TypeAlias = "Callable[[], Mapping[str, Any]]"
"""A function that returns credentials, as those of obstore do; see docs/how-to/object-stores.md."""

TimeseriesSource: TypeAlias = "str | os.PathLike[str] | StorePath | ArrowStream"
"""A power trace: the path of a Parquet file, or an object with `__arrow_c_stream__`."""

MissingSidecar: TypeAlias = Literal["warn", "ignore", "raise", "error"]
"""A policy for a sidecar that is missing; `results.types` explains the words. `"error"` means `"raise"`."""
