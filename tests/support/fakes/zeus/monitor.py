"""Windows and power of two GPUs, behind the signatures of zeus 0.16.0."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_ENERGY_J = {0: 500.25, 1: 236.225}
_POWER_W = {0: 250.123, 1: 118.11}


@dataclass
class Measurement:
    """The energy of a window in joules, and its seconds."""

    time: float
    gpu_energy: dict[int, float]
    cpu_energy: dict[int, float] | None = None
    dram_energy: dict[int, float] | None = None

    @property
    def total_energy(self) -> float:
        """Return the energy of all GPUs."""
        return sum(self.gpu_energy.values())


class ZeusMonitor:
    """Windows of the same energy."""

    def __init__(
        self,
        gpu_indices: list[int] | None = None,
        cpu_indices: list[int] | None = None,
        approx_instant_energy: bool = False,  # noqa: FBT001, FBT002 - as Zeus
        log_file: str | Path | None = None,
        sync_execution_with: Literal["torch", "jax", "cupy"] = "torch",
    ) -> None:
        assert cpu_indices == []
        assert not approx_instant_energy
        assert log_file is None
        assert sync_execution_with == "torch"
        self._gpus = [0, 1] if gpu_indices is None else gpu_indices
        self._open: set[str] = set()

    def begin_window(
        self,
        key: str,
        sync_execution: bool = True,  # noqa: FBT001, FBT002
        restart: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        if key in self._open and not restart:
            raise ValueError(f"Measurement window '{key}' already exists")
        if sync_execution:
            raise RuntimeError("Failed to import Pytorch")
        self._open.add(key)

    def end_window(
        self,
        key: str,
        sync_execution: bool = True,  # noqa: FBT001, FBT002
        cancel: bool = False,  # noqa: FBT001, FBT002
    ) -> Measurement:
        if key not in self._open:
            raise ValueError(f"Measurement window '{key}' does not exist")
        if sync_execution:
            raise RuntimeError("Failed to import Pytorch")
        self._open.remove(key)
        return Measurement(0.0 if cancel else 2.0, {gpu: _ENERGY_J[gpu] for gpu in self._gpus})


class PowerMonitor:
    """One reading of each GPU at the start, since the power never changes."""

    def __init__(
        self,
        gpu_indices: list[int] | None = None,
        update_period: float | None = None,
        max_samples_per_gpu: int | None = None,
        power_domains: list[str] | None = None,
    ) -> None:
        assert update_period == 0.1
        assert max_samples_per_gpu is None
        assert power_domains == ["device_instant"]
        self._gpus = [0, 1] if gpu_indices is None else gpu_indices
        self._first = time.time()

    def get_power_timeline(
        self,
        power_domain: str,
        gpu_index: int | None = None,
        start_time: float | None = None,
        end_time: float | None = None,
    ) -> dict[int, list[tuple[float, float]]]:
        assert power_domain == "device_instant"
        gpus = self._gpus if gpu_index is None else [gpu_index]
        is_wanted = (start_time or 0.0) <= self._first <= (end_time or time.time())
        return {gpu: [(self._first, _POWER_W[gpu])] if is_wanted else [] for gpu in gpus}

    def stop(self) -> None:
        self._gpus = []
