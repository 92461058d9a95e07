"""Time zones by name."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo

from llenergymeasure.errors import NotImportableError

__all__ = ["zone_of"]

_OFFSET = re.compile(r"([-+])(\d{2}):?(\d{2})")


class _Local(tzinfo):
    """The time zone of this computer, whose offset may differ between two times, as in summer."""

    def utcoffset(self, time: datetime | None) -> timedelta | None:
        return None if time is None else time.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, time: datetime | None) -> timedelta | None:  # noqa: ARG002 - the offset has it
        return None

    def tzname(self, time: datetime | None) -> str | None:
        return "local" if time is None else time.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, time: datetime) -> datetime:
        return time.replace(tzinfo=timezone.utc).astimezone().replace(tzinfo=self)


def zone_of(name: str) -> tzinfo:
    """Return a time zone: `UTC`, `local`, an offset such as `+02:00`, or a name such as `Europe/Paris`.

    Raises:
        NotImportableError: There is no such zone.
    """
    if name.upper() in ("UTC", "Z"):
        return timezone.utc
    if name == "local":
        return _Local()
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match[2]) * 60 + int(match[3])
        return timezone(timedelta(minutes=minutes if match[1] == "+" else -minutes))
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - rarely needed

    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        pass
    except KeyError:
        pass
    raise NotImportableError(
        f"expected a time zone, UTC, local, +02:00 or a name as Europe/Paris, got {name!r}; correct "
        "--power-zone"
    )
