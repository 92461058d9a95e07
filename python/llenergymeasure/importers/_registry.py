"""The formats: those of this package, and those of entry points."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from llenergymeasure._warnings import warn
from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Imported, Importer, NotImported
from llenergymeasure.importers._sniff import Shape, shape_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "Format", "detect", "find", "formats"]

GROUP = "llenergymeasure.importers"
"""The entry-point group of importers; the name of an entry point is that of its format."""

_BUILT_IN = {
    "llenergymeasure": "bundle",
    "export": "export",
    "results": "own",
    "vllm": "vllm",
    "sglang": "sglang",
    "aiperf": "aiperf",
    "genai-perf": "genai_perf",
    "optimum-benchmark": "optimum_benchmark",
    "codecarbon": "codecarbon",
}
"""Each format, and its module in this package, in the order of detection."""


class Format(NamedTuple):
    """A format and its importer."""

    name: str
    importer: Importer

    @property
    def title(self) -> str:
        """The name for people."""
        return str(getattr(self.importer, "TITLE", self.name))


def formats() -> dict[str, Format]:
    """Return all formats by name: first those of other packages, then those of this package.

    An entry point may replace a format of this package.

    Warns:
        UserWarning: An entry point cannot be loaded.
    """
    found = {}
    for point in _points():
        try:
            found[point.name] = Format(point.name, _checked(point))
        except Exception as error:  # noqa: BLE001, PERF203 - foreign code may raise anything
            warn(f"cannot load the importer {point.name!r} ({point.value}): {type(error).__name__}: {error}")
    for name, module in _BUILT_IN.items():
        if name not in found:
            found[name] = Format(name, cast("Importer", import_module(f"{__package__}.{module}")))
    return found


@cache
def _points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes 10 ms, and few files need it

    return tuple(entry_points(group=GROUP))


def _checked(point: EntryPoint) -> Importer:
    importer: Any = point.load()
    for name in ("matches", "read"):
        if not callable(getattr(importer, name, None)):
            raise TypeError(f"expected a function {name}(path), got none")
    return cast("Importer", importer)


def find(name: str) -> Format:
    """Return the format of a name.

    Raises:
        ValueError: There is none of that name.
    """
    known = formats()
    if name not in known:
        raise ValueError(f"expected a format, one of {', '.join(sorted(known))}, got {name!r}")
    return known[name]


def detect(path: Path) -> Format:
    """Return the format of a file, by its content.

    Raises:
        NotImportableError: The file has no known format.
        OSError: The file cannot be read.
    """
    shape = shape_of(path)
    for each in formats().values():
        if _matches(each, path):
            return each
    raise NotImportableError(_unknown(shape, path))


def _matches(each: Format, path: Path) -> bool:
    try:
        return bool(each.importer.matches(path))
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        warn(f"the importer {each.name!r} failed to look at {path}: {type(error).__name__}: {error}")
        return False


def _unknown(shape: Shape, path: Path) -> str:
    if shape.kind == "empty":
        return "expected results of another tool, got an empty file; run the tool again"
    if any(map(_is_power, shape.columns)):
        return f"expected results, got a power log; use llem import RESULTS --power {path.name}"
    return f"expected a format of {_names()}, got {shape}; name the format with --from"


def _is_power(column: str) -> bool:
    return "power" in column.lower()


def _names() -> str:
    return ", ".join(sorted(formats()))


def items(each: Format, path: Path) -> Iterator[Any]:
    """Read the records of a file; any exception of an importer becomes a `NotImportableError`.

    Raises:
        NotImportableError: The file cannot be read as the format.
        OSError: The file cannot be read.
    """
    is_empty = True
    try:
        for item in each.importer.read(path):
            is_empty = False
            if not isinstance(item, (Imported, NotImported)):
                kind = type(item).__name__
                raise TypeError(f"read yields Imported or NotImported, got {kind}")  # noqa: TRY301
            yield item
    except (NotImportableError, OSError, GeneratorExit):
        raise
    except (RecursionError, MemoryError) as error:
        raise NotImportableError(
            f"expected a {each.title} file, got one that does not fit in memory ({type(error).__name__}); "
            "split it"
        ) from None
    except Exception as error:
        raise NotImportableError(
            f"expected a {each.title} file, got one at which its importer failed with "
            f"{type(error).__name__}: {error}; report it"
        ) from error
    if is_empty:
        raise NotImportableError(
            f"expected a {each.title} file with a record, got one without any; run the tool again"
        )
