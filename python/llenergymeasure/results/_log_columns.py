"""The columns of a power log by their names: time, power, GPU, and what else a power trace has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from llenergymeasure.errors import NotImportableError
from llenergymeasure.results._log_cells import POWER_UNITS, unit_in

__all__ = ["Columns", "columns_of", "is_header"]

_TIMES = (
    "timestamp",
    "time",
    "datetime",
    "date_time",
    "timestamp_s",
    "timestamp_unix",
    "unix_time",
    "ts",
    "elapsed",
    "elapsed_s",
    "time_s",
    "date",
)
_POWERS = (
    "power.draw.instant",
    "power_draw_instant",
    "power.draw",
    "power.draw.average",
    "power_draw",
    "dcgm_fi_dev_power_usage_instant",
    "dcgm_fi_dev_power_usage",
    "socket_power",
    "current_socket_power",
    "average_socket_power",
    "power_usage",
    "current socket graphics package power",
    "average graphics package power",
    "gpu_power",
    "power",
    "pwr",
    "powr",
    "watts",
    "power_watts",
    "draw",
)
"""In the order of preference: an instant power does not lag behind the run."""
_OTHERS = {
    "temperature_c": "temperature.gpu temperature temp gpu_temp gtemp gput tmptr temperature_gpu "
    "dcgm_fi_dev_gpu_temp hotspot_temperature hotspot edge_temperature gpu_temperature",
    "sm_utilisation": "utilization.gpu utilization_gpu utilization gpu_util gpu_utilization sm gputl util "
    "dcgm_fi_dev_gpu_util gfx gfx_activity sm_utilisation",
    "memory_used_mb": "memory.used memory_used fb_used fbusd dcgm_fi_dev_fb_used vram_used mem_used",
    "memory_total_mb": "memory.total memory_total fbttl fb_total dcgm_fi_dev_fb_total vram_total mem_total",
}
_INDICES = (
    "index",
    "gpu",
    "gpu_index",
    "gpu_id",
    "gpuid",
    "gpu_idx",
    "idx",
    "device",
    "device_id",
    "entity",
    "device_index",
    "minor",
    "minor_number",
)
_NAMES = (
    "uuid",
    "gpu_uuid",
    "gpu_uid",
    "serial",
    "gpu_serial",
    "pci.bus_id",
    "pci_bus_id",
    "gpu_bus_id",
    "bus_id",
    "gpu_bdf",
    "bdf",
)
_INSTANCES = (
    "gpu_i_id",
    "gpu_instance_id",
    "gi_id",
    "mig",
    "mig_name",
    "mig_uuid",
    "mig_device",
    "xcp",
    "partition",
    "partition_id",
)
_MODELS = ("name", "gpu_name", "product_name")
"""Columns that only GPUs of different models differ in."""
_HOSTS = ("hostname", "host", "node", "instance")
_TIME_UNIT = re.compile(r"[_ ](ms|msec|us|usec|ns)$")
_UNIT = re.compile(r"[_ ](w|mw|watts?|milliwatts|c|pct|percent|mb|mib|celsius)$")
_WIDE = re.compile(r"(?:gpu|device|card)?[_ .-]?(\d{1,4})")
_WIDE_POWER = re.compile(
    r"(?:power|watts?|draw)[_ .-]?(?:gpu|device|card)?[_ .-]?(\d{1,4})"
    r"|(?:gpu|device|card)[_ .-]?(\d{1,4})[_ .-]?(?:power|watts?|draw)(?:[_ .-]?(?:draw|usage))?"
)
_PROMETHEUS = re.compile(r'(?:dcgm_fi_dev_power_usage(?:_instant)?)?\{.*?\bgpu="(\d+)".*\}', re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """The places of the columns, and the units that the header gives them.

    Attributes:
        time: The place of the time; None if the log has none.
        date: The place of the date, where it has a column of its own.
        powers: Each place with a power, and the GPU that it is of; None is the GPU of the row.
        others: The place of each other quantity of a power trace.
        identity: The places that tell GPUs apart: index, UUID, instance, host, or model.
        is_complete: False if two GPUs may have one identity, such as those of one model.
        index: The place of the index of the GPU, if there is one.
        units: The unit of a place.
        names: The names in the header.
    """

    time: int | None
    date: int | None
    powers: dict[int, str | None]
    others: dict[str, int] = field(default_factory=dict)
    identity: tuple[int, ...] = ()
    is_complete: bool = True
    index: int | None = None
    units: dict[int, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def is_header(cells: Sequence[object], power: str | None = None) -> bool:
    """Return True for the first line of a table with a power, or with a column of the name of it."""
    first = str(cells[0]).strip() if cells else ""
    wanted = None if power is None else power.strip()
    # A number names a column of a header, and is a value of a row.
    is_row = first[:1].isdigit()
    if not is_row and any(wanted in (str(cell).strip(), unit_in(str(cell))[0]) for cell in cells):
        return True
    names = [_plain(str(cell))[0] for cell in cells]
    return len(names) > 1 and (
        _first(names, _POWERS) is not None or (bool(_wide(names)) and names[0] in _TIMES)
    )


def columns_of(
    header: Sequence[str], *, time: str | None = None, power: str | None = None, gpu: str | None = None
) -> Columns:
    """Find the columns of a log by their names; those that the caller names take precedence.

    Raises:
        NotImportableError: A column is missing.
    """
    plain = [_plain(name) for name in header]
    names = [name for name, _ in plain]
    units = {place: unit for place, (_, unit) in enumerate(plain) if unit}
    at_time = _first(names, _TIMES) if time is None else _named(header, time, "time")
    if power is not None:
        powers: dict[int, str | None] = {_named(header, power, "power"): None}
    elif (place := _first(names, _POWERS)) is not None:
        powers = {place: None}
    else:
        powers = dict(_wide(names))
    for place in powers:
        if (unit := units.get(place, "")) not in POWER_UNITS:
            raise NotImportableError(
                f"expected a power in watts, got the column {header[place].strip()[:40]!r} in {unit!r}; "
                "name another one with --power-columns power=NAME"
            )
    if at_time is not None and at_time not in units and (end := _TIME_UNIT.search(names[at_time])):
        units[at_time] = end[1]
    if not powers:
        raise NotImportableError(
            f"expected a column of the power, got {_listed(header)}; name it with --power-columns power=NAME"
        )
    found = [_first(names, each) for each in (_INDICES, _NAMES, _INSTANCES, _HOSTS)]
    model = _first(names, _MODELS) if not any(place is not None for place in found[:3]) else None
    index = found[0] if gpu is None else _named(header, gpu, "GPU")
    identity = [index, *found[1:], model] if gpu is None else [index]
    used = {at_time, *powers, *identity}
    others = {name: _first(names, known.split()) for name, known in _OTHERS.items()}
    date = (
        names.index("date") if at_time is not None and names[at_time] == "time" and "date" in names else None
    )
    return Columns(
        time=at_time,
        date=date,
        powers=powers,
        others={name: place for name, place in others.items() if place is not None and place not in used},
        identity=tuple(place for place in identity if place is not None),
        is_complete=gpu is not None or any(place is not None for place in found[:3]),
        index=index,
        units=units,
        names=tuple(header),
    )


def _plain(header: str) -> tuple[str, str]:
    """Return the name of a column in lower case, and its unit."""
    name, unit = unit_in(header.strip().lstrip("\ufeff#").strip().strip('"'))
    name = name.lower().strip()
    match = _UNIT.search(name)
    if match is not None and not unit and not name.startswith(("timestamp", "time", "elapsed")):
        name, unit = (
            name[: match.start()],
            {"percent": "%", "pct": "%", "celsius": "c"}.get(match[1], match[1]),
        )
    elif not unit and name.startswith(("timestamp", "time", "elapsed", "unix", "ts")):
        end = _TIME_UNIT.search(name)
        if end is not None:
            name, unit = name[: end.start()], end[1]
    return name, unit.lower()


def _first(names: Sequence[str], known: Sequence[str]) -> int | None:
    """Return the place of the first of some known names that a header has."""
    return next((names.index(name) for name in known if name in names), None)


def _wide(names: Sequence[str]) -> list[tuple[int, str | None]]:
    """Return the places of a table with a column of the power for each GPU."""
    plain: list[tuple[int, str | None]] = []
    named: list[tuple[int, str | None]] = []
    for place, name in enumerate(names[1:], 1):
        if match := _WIDE_POWER.fullmatch(name):
            named.append((place, match[1] or match[2]))
        elif match := _WIDE.fullmatch(name) or _PROMETHEUS.fullmatch(name):
            plain.append((place, match[1]))
    return named or (plain if len(plain) == len(names) - 1 else [])


def _named(header: Sequence[str], name: str, what: str) -> int:
    wanted = name.strip()
    for place, each in enumerate(header):
        if wanted in (each.strip(), unit_in(each)[0]):
            return place
    raise NotImportableError(
        f"expected a column {name!r} for the {what}, got {_listed(header)}; correct the name"
    )


def _listed(header: Sequence[str], most: int = 12) -> str:
    names = [repr(name.strip()[:40]) for name in header[:most]]
    return f"the columns {', '.join(names)}" + (", ..." if len(header) > most else "")
