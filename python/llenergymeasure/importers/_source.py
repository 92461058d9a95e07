"""Conversion of the values of a source to fields, exactly, and the data that no field holds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Mapped

__all__ = ["KWH", "MJ", "Field", "Source", "compact_time", "exact", "latency_stats", "time_of"]

KWH = "3600000"
"""Joules in a kilowatt-hour."""
MJ = "1000000"
"""Joules in a megajoule."""

_FRACTION = re.compile(r"(?<=\d)\.\d+")
_COMPACT = re.compile(r"[0-9]{8}-[0-9]{6}")
_PARTS = ((0, 4), (4, 2), (6, 2), (9, 2), (11, 2), (13, 2))
"""The places of year, month, day, hour, minute and second in a compact time."""


def exact(value: float | str, factor: str = "1", plus: Iterable[float | str] = ()) -> float:
    """Return the sum of numbers, times a factor, rounded once.

    A float stands for the shortest decimal number that names it: the digits in the source.

    Raises:
        NotImportableError: A value is not a number.
    """
    try:
        total = sum((Decimal(str(each)) for each in plus), Decimal(str(value)))
        return float(total * Decimal(factor))
    except InvalidOperation:
        raise NotImportableError(f"expected a number, got {value!r}; correct it") from None


class Field(NamedTuple):
    """A key of a source whose number a field holds, in the same unit."""

    key: str
    field: str
    integer: bool = False


class Source:
    """A record of a source, whose keys move one by one into fields; the others are its rest.

    Attributes:
        fields: The fields so far; a dot in the name of a field makes a nested dictionary.
        mapping: The keys that were used.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        """Take a record."""
        self._record = record
        self._used: set[str] = set()
        self.fields: dict[str, Any] = {}
        self.mapping: list[Mapped] = []

    @property
    def rest(self) -> dict[str, Any]:
        """The data that no field holds."""
        return {key: value for key, value in self._record.items() if key not in self._used}

    def take(self, table: Iterable[Field]) -> None:
        """Move numbers to their fields; a key that is absent or null stays."""
        record = self._record
        for key, field, integer in table:
            value = record.get(key)
            if value is None:
                continue
            self._put(field, checked(key, value, integer=integer))
            self._used.add(key)
            self.mapping.append(Mapped(key, field))

    def use(self, key: str) -> None:
        """Note that a key is elsewhere, and does not stay in the rest."""
        self._used.add(key)

    def number(self, key: str, *, integer: bool = False) -> Any:  # noqa: ANN401 - an int or a float
        """Return a number without moving it; None if it is absent or null."""
        value = self._record.get(key)
        return None if value is None else checked(key, value, integer=integer)

    def take_text(self, key: str, field: str) -> None:
        """Move a text to its field; a key that is absent or null stays."""
        value = self._record.get(key)
        if value is None:
            return
        if not isinstance(value, str):
            raise NotImportableError(f"expected a text at {key}, got {str(value)[:40]!r}; correct the file")
        self.put(field, value, Mapped(key, field), moved=True)

    def put(self, field: str, value: object, *mapping: Mapped, moved: bool = False) -> None:
        """Set a field, and note the keys that it came from; `moved` keys do not stay in the rest."""
        self._put(field, value)
        self.mapping.extend(mapping)
        if moved:
            self._used.update(each.key for each in mapping)

    def settings(self, table: Mapping[str, str]) -> dict[str, Any]:
        """Move keys to names of the configuration; a key that is absent or null stays."""
        record = self._record
        config = {}
        for key, name in table.items():
            value = record.get(key)
            if value is not None:
                config[name] = value
                self._used.add(key)
                self.mapping.append(Mapped(key, f"effective_config.{name}"))
        return config

    def _put(self, field: str, value: object) -> None:
        at = self.fields
        *above, name = field.split(".")
        for each in above:
            at = at.setdefault(each, {})
        at[name] = value


def checked(key: str, value: object, *, integer: bool = False) -> Any:  # noqa: ANN401 - an int or a float
    """Return a number of a source.

    Raises:
        NotImportableError: It is not a number, or not an integer where one is expected.
    """
    kind = type(value)
    if kind is int or (kind is float and not integer):
        return value
    if kind is float and math.isfinite(value) and int(value) == value:  # type: ignore[arg-type, call-overload]
        return int(value)  # type: ignore[call-overload]
    wanted = "an integer" if integer else "a number"
    raise NotImportableError(f"expected {wanted} at {key}, got {str(value)[:40]!r}; correct the file")


def time_of(key: str, value: object) -> datetime:
    """Return a time of a source in ISO 8601; one without a zone has none in the result either.

    Raises:
        NotImportableError: The value is not such a time.
    """
    try:
        # Python 3.10 does not read Z, nor a fraction of other than three or six digits.
        text = _FRACTION.sub(lambda found: f"{found[0][:7]:0<7}", str(value).replace("Z", "+00:00"))
        return datetime.fromisoformat(text)
    except ValueError:
        raise _no_time(key, value) from None


def compact_time(key: str, value: object) -> datetime:
    """Return a time of a source in the form `20260504-100000`.

    Raises:
        NotImportableError: The value is not such a time.
    """
    text = value if isinstance(value, str) and _COMPACT.fullmatch(value) else None
    if text is None:
        raise _no_time(key, value)
    try:
        return datetime(*(int(text[at : at + width]) for at, width in _PARTS))  # type: ignore[arg-type]  # noqa: DTZ001 - the source has no zone
    except ValueError:
        raise _no_time(key, value) from None


def _no_time(key: str, value: object) -> NotImportableError:
    return NotImportableError(f"expected a time at {key}, got {str(value)[:40]!r}; correct the file")


def latency_stats(known: dict[str, Any], samples: int) -> dict[str, Any]:
    """Complete `LatencyStatistics` with NaN for the statistics of the first token that are unknown."""
    names = ("mean", "median", "p95", "p99", "min", "max")
    return {f"ttft_{name}_ms": math.nan for name in names} | {"ttft_samples": samples} | known
