from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

from llenergymeasure.results.store import TimeseriesSource

RECORD: Final = "result.json"
SIDECAR: Final = "timeseries.parquet"
VERSION: Final[str]
OPTIMISED: Final[bool]

def directory_name(model: str, backend: str, timestamp: str) -> str: ...
def save(
    root: str,
    name: str,
    record: bytes,
    *,
    source: TimeseriesSource | None = None,
    record_beside: bytes | None = None,
    durable: bool,
    interruptible: bool,
) -> tuple[str, bool]: ...
def claim(parent: Path, base: str) -> Path: ...
def replace(path: Path, content: bytes) -> None: ...
def floor(root: str, record: bytes, *, start: int, count: int, durable: bool) -> list[int]: ...
def read(path: str) -> tuple[str, bytes, bool]: ...
def diagnose(content: bytes) -> str | None: ...

@final
class Bulk:
    """Saves results in threads of its own; it belongs to the process that made it."""

    def __new__(
        cls,
        root: str,
        *,
        durable: bool,
        max_results: int,
        max_bytes: int,
        many: bool,
        engine: str | None = None,
    ) -> Bulk: ...
    def next_ticket(self) -> int: ...
    def submit(
        self,
        ticket: int,
        name: str,
        record: bytes,
        *,
        source: TimeseriesSource | None = None,
        record_beside: bytes | None = None,
        interruptible: bool,
        under_way: dict[int, Any] | None = None,
        entry: object = None,
        patient: bool = False,
    ) -> None: ...
    def refuse(
        self,
        ticket: int,
        error: Exception,
        *,
        interruptible: bool,
        under_way: dict[int, Any],
        entry: object,
        patient: bool,
    ) -> None: ...
    def collect(self, outcomes: dict[int, str | Exception], missing: list[int], seconds: float) -> bool: ...
    def settle(self, tickets: list[int]) -> None: ...
    def wait_settled(self, mark: int, interruptible: bool) -> None: ...
    def close(self) -> None: ...
    def join(self) -> None: ...
    def cancel(self) -> None: ...
    def in_place(self) -> list[tuple[int, str]]: ...

@final
class Timeseries:
    """A power trace in memory, in the usual columns of `timeseries.parquet`: one row a second and GPU.

    It has `__arrow_c_stream__`, so it is a `timeseries_source`, and `pyarrow.table(trace)` or
    `polars.from_arrow(trace)` read it.

    Args:
        timestamp_s: Seconds from the start.
        gpu_index: The GPU; -1 is the whole system.
        power_w: Watts; None where there was no sample.
        temperature_c: Degrees Celsius.
        memory_used_mb: Mebibytes in use.
        memory_total_mb: Mebibytes there are.
        sm_utilisation_pct: Per cent of the streaming multiprocessors busy.
        throttle_reasons: A bit mask.

    Raises:
        ValueError: The columns differ in length.
    """

    def __new__(
        cls,
        *,
        timestamp_s: Sequence[float],
        gpu_index: Sequence[int],
        power_w: Sequence[float | None],
        temperature_c: Sequence[float | None] | None = None,
        memory_used_mb: Sequence[float | None] | None = None,
        memory_total_mb: Sequence[float | None] | None = None,
        sm_utilisation_pct: Sequence[float | None] | None = None,
        throttle_reasons: Sequence[int | None] | None = None,
    ) -> Timeseries: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    @property
    def nbytes(self) -> int:
        """Bytes of the columns in memory."""

    def __len__(self) -> int: ...
