"""Time zones by name."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo

from llenergymeasure.errors import NotImportableError

__all__ = ["zone_of"]

_OFFSET = re.compile(r"([-+])(\d{2}):?(\d{2})")


def zone_of(name: str) -> tzinfo:
    """Return a time zone: `UTC`, `local`, an offset such as `+02:00`, or a name such as `Europe/Paris`.

    Raises:
        NotImportableError: There is no such zone.
    """
    if name.upper() in ("UTC", "Z"):
        return timezone.utc
    if name == "local":
        return datetime.now().astimezone().tzinfo or timezone.utc
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
