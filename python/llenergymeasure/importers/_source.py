"""Conversion of the values of a source to fields, exactly, and the data that no field holds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers._imported import Mapped

__all__ = ["KWH", "MJ", "Field", "Setting", "Source", "compact_time", "exact", "latency_stats", "time_of"]

KWH = "3600000"
"""Joules in a kilowatt-hour."""
MJ = "1000000"
"""Joules in a megajoule."""

_FRACTION = re.compile(r"(?<=\d)\.\d+")
_COMPACT = re.compile("([0-9]{4})([0-9]{2})([0-9]{2})-([0-9]{2})([0-9]{2})([0-9]{2})")


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


class Field:
    """A key of a source whose number a field holds, in the same unit."""

    __slots__ = ("key", "mapped", "name", "section")

    def __init__(self, key: str, field: str) -> None:
        """Take a key, and a field with at most one dot."""
        self.key = key
        self.mapped = Mapped(key, field)
        section, _, self.name = field.rpartition(".")
        self.section = section or None


class Setting:
    """A key of a source, and the key of the configuration that holds its value."""

    __slots__ = ("key", "mapped", "name")

    def __init__(self, key: str, name: str = "") -> None:
        """Take a key, and another name for it."""
        self.key = key
        self.name = name or key
        self.mapped = Mapped(key, f"effective_config.{self.name}")


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
        used = self._used
        return {key: value for key, value in self._record.items() if key not in used}

    def take(self, table: Iterable[Field]) -> None:
        """Move numbers to their fields; a key that is absent or null stays."""
        record, fields, used, mapping = self._record, self.fields, self._used, self.mapping
        for field in table:
            key = field.key
            value = record.get(key)
            if value is None:
                continue
            if type(value) is not float:
                value = checked(key, value)
            if field.section is None:
                fields[field.name] = value
            elif field.section in fields:
                fields[field.section][field.name] = value
            else:
                fields[field.section] = {field.name: value}
            used.add(key)
            mapping.append(field.mapped)

    def use(self, key: str) -> None:
        """Note that a key is elsewhere, and does not stay in the rest."""
        self._used.add(key)

    def number(self, key: str, *, integer: bool = False) -> Any:  # noqa: ANN401 - an int or a float
        """Return a number without moving it; None if it is absent or null."""
        value = self._record.get(key)
        return None if value is None else checked(key, value, integer=integer)

    def take_text(self, field: Field) -> None:
        """Move a text to its field; a key that is absent or null stays."""
        value = self._record.get(field.key)
        if value is None:
            return
        if not isinstance(value, str):
            raise NotImportableError(
                f"expected a text at {field.key}, got {str(value)[:40]!r}; correct the file"
            )
        self.put(field.name, value, field.mapped, moved=True)

    def put(self, field: str, value: object, *mapping: Mapped, moved: bool = False) -> None:
        """Set a field, and note the keys that it came from; `moved` keys do not stay in the rest."""
        section, _, name = field.rpartition(".")
        (self.fields.setdefault(section, {}) if section else self.fields)[name] = value
        self.mapping.extend(mapping)
        if moved:
            self._used.update([each.key for each in mapping])

    def settings(self, table: Iterable[Setting]) -> dict[str, Any]:
        """Move keys to those of the configuration; a key that is absent or null stays."""
        record, used, mapping = self._record, self._used, self.mapping
        config = {}
        for setting in table:
            value = record.get(setting.key)
            if value is not None:
                config[setting.name] = value
                used.add(setting.key)
                mapping.append(setting.mapped)
        return config


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
    found = _COMPACT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _no_time(key, value)
    try:
        return datetime(*map(int, found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001 - the source has no zone
    except ValueError:
        raise _no_time(key, value) from None


def _no_time(key: str, value: object) -> NotImportableError:
    return NotImportableError(f"expected a time at {key}, got {str(value)[:40]!r}; correct the file")


_UNKNOWN = {f"ttft_{name}_ms": math.nan for name in ("mean", "median", "p95", "p99", "min", "max")}


def latency_stats(known: dict[str, Any], samples: int) -> dict[str, Any]:
    """Complete `LatencyStatistics` with NaN for the statistics of the first token that are unknown."""
    return {**_UNKNOWN, "ttft_samples": samples, **known}
