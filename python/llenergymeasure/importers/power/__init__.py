"""Power logs of nvidia-smi, amd-smi, DCGM, Zeus and others: energy over any time, and power traces at 1 Hz.

from llenergymeasure.importers.power import read_power

log = read_power("gpu.csv")
log.energy_j(start, end)
"""

from __future__ import annotations

from llenergymeasure.importers.power._log import PowerLog
from llenergymeasure.importers.power._read import read_power

__all__ = ["PowerLog", "read_power"]
