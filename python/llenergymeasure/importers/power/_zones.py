"""Time zones by name."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone, tzinfo

from llenergymeasure.errors import NotImportableError

__all__ = ["in_utc", "zone_of"]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of the clock of a log
_MICROSECOND = timedelta(microseconds=1)
_SET_BACK = 30 * 60 * 1_000_000
"""The clock of a log that steps back by as many microseconds was set back at the end of summer time."""

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


def in_utc(logs: Sequence[array[int]], zone: tzinfo) -> list[array[int]] | None:
    """Return the times of logs in UTC, if the offset of their zone changes between them; else None.

    Args:
        logs: The times of each log by its own clock, in microseconds and in the order of the log.
        zone: The zone of the clock.
    """
    ends = [end for times in logs for end in (min(times), max(times))]
    if len({_offset(time, zone, fold) for time in (min(ends), max(ends)) for fold in (0, 1)}) == 1:
        return None
    return [_times_in_utc(times, zone) for times in logs]


def _times_in_utc(times: array[int], zone: tzinfo) -> array[int]:
    found = array("q")
    fold, before = 0, times[0]
    for time in times:
        if before - time >= _SET_BACK:
            fold = 1
        before = time
        found.append(time - _offset(time, zone, fold))
    return found


def _offset(time: int, zone: tzinfo, fold: int) -> int:
    offset = (_EPOCH + timedelta(microseconds=time)).replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND


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
