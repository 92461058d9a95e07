"""Two GPUs that draw constant power, behind functions of nvidia-ml-py 13.615.71."""

from __future__ import annotations

from typing import NamedTuple

NVML_TEMPERATURE_GPU = 0

_POWER_MW = [250_123, 118_110]
_RUN_MJ = [500_250, 236_225]
"""The energy between two readings of a counter, in millijoules."""
_counters_mj = [10**12 + 1, 7]


class NVMLError(Exception):
    """An error of NVML."""


class Device(NamedTuple):
    """A handle of a GPU."""

    number: int


_devices: list[Device] = []


def nvmlInit() -> None:  # noqa: N802 - as NVML
    _devices[:] = [Device(0), Device(1)]


def nvmlDeviceGetHandleByIndex(index: int) -> Device:  # noqa: N802
    if not _devices:
        raise NVMLError("Uninitialized")
    return _devices[index]


def nvmlDeviceGetPowerUsage(handle: Device) -> int:  # noqa: N802
    return _POWER_MW[handle.number]


def nvmlDeviceGetTotalEnergyConsumption(handle: Device) -> int:  # noqa: N802
    now = _counters_mj[handle.number]
    _counters_mj[handle.number] += _RUN_MJ[handle.number]
    return now


def nvmlDeviceGetTemperature(handle: Device, sensor: int) -> int:  # noqa: N802
    if sensor != NVML_TEMPERATURE_GPU:
        raise NVMLError("Invalid Argument")
    return [61, 48][handle.number]
