from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

from llenergymeasure.errors import LLEMError
from llenergymeasure.types import TimeseriesSource

_Kind: TypeAlias = Literal["incomplete", "damaged", "missing_sidecars", "foreign"]
_Fate: TypeAlias = Literal["removed", "restored", "young", "kept"]

RECORD: Final = "result.json"
SIDECAR: Final = "timeseries.parquet"
MAX_RECORD_BYTES: Final[int]
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
def read_floor(records: Sequence[str], threads: int) -> int: ...
def read(path: str, max_bytes: int) -> tuple[str, bytes, bool]: ...
def diagnose(content: bytes) -> str | None: ...
def read_timeseries(path: str) -> Timeseries: ...
def write_timeseries(path: str, trace: Timeseries) -> None: ...

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
    ) -> bool: ...
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
class Schema:
    """The columns of a table; any Arrow library takes it."""

    @property
    def names(self) -> list[str]:
        """The names of the columns."""

    @property
    def types(self) -> list[str]:
        """The types of the columns, as Arrow names them: `"double"`, `"list<item: string>"`."""

    def __arrow_c_schema__(self) -> object: ...
    def __len__(self) -> int: ...

@final
class Batch:
    """Rows of a table; any Arrow library takes it."""

    @property
    def num_rows(self) -> int:
        """The number of rows."""

    @property
    def num_columns(self) -> int:
        """The number of columns."""

    @property
    def schema(self) -> Schema:
        """The columns."""

    @property
    def nbytes(self) -> int:
        """Bytes of the columns in memory."""

    def to_pydict(self) -> dict[str, list[Any]]:
        """Return the values as lists, by column: times as `datetime`, lists as lists."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...
    def __len__(self) -> int: ...

@final
class Table:
    """Batches that were read, together; any Arrow library takes it."""

    def __new__(cls, schema: Schema, batches: Sequence[Batch]) -> Table: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...
    def __len__(self) -> int: ...

@final
class Scan:
    """A question about a tree of results."""

    def __new__(
        cls,
        root: str,
        record: str,
        columns: Sequence[str],
        conditions: Sequence[tuple[str, str, object]],
        *,
        batch_size: int,
        strict: bool,
        max_bytes: int,
        infer: bool = True,
    ) -> Scan: ...
    @property
    def schema(self) -> Schema | None:
        """The columns; None where results must be read to know them, and none were yet."""

    def read(self, *, progress: Callable[[int], object] | None = None, interruptible: bool) -> Reader: ...

@final
class Traces:
    """A question about the power traces of a tree."""

    def __new__(
        cls,
        root: str,
        record: str,
        columns: Sequence[str],
        of_records: Sequence[tuple[str, str, object]],
        conditions: Sequence[tuple[str, str, object]],
        *,
        strict: bool,
        max_bytes: int,
    ) -> Traces: ...
    @property
    def schema(self) -> Schema | None:
        """The columns; None where traces must be read to know them, and none were yet."""

    def read(self, *, progress: Callable[[int], object] | None = None, interruptible: bool) -> Reader: ...

def completed(
    root: str, record: str, *, max_bytes: int, interruptible: bool
) -> tuple[set[str], list[tuple[Path, LLEMError]]]: ...

@final
class Reader:
    """A scan that is being read; it belongs to the process that began it."""

    @property
    def schema(self) -> Schema:
        """The columns."""

    def next(self) -> tuple[Batch, list[tuple[Path, LLEMError]]] | None: ...
    def export(self, path: str) -> tuple[int, list[tuple[Path, LLEMError]]]: ...
    def stream(self, tell: Callable[[list[tuple[Path, LLEMError]] | None], object]) -> object: ...

@final
class Documents:
    """The records of a tree, read ahead of whoever validates them."""

    def __new__(cls, root: str, *, max_bytes: int, interruptible: bool) -> Documents: ...
    def next(self) -> list[tuple[Path, bytes | None, bool, LLEMError | None]] | None: ...

@final
class Inspection:
    """A tree that is being looked over."""

    def __new__(
        cls, root: str, version: str, *, deep: bool, max_bytes: int, interruptible: bool
    ) -> Inspection: ...
    def next(self) -> tuple[int, list[tuple[_Kind, Path, str]], list[tuple[Path, bytes]]] | None: ...

def clean(
    root: str, seconds: float, *, dry_run: bool, interruptible: bool
) -> list[tuple[_Fate, Path, str, str | None]]: ...

@final
class Timeseries:
    """A power trace in memory, in the usual columns of `timeseries.parquet`: one row a second and GPU.

    It has `__arrow_c_stream__`, so it is a `timeseries_source`, and `pyarrow.table(trace)` or
    `polars.from_arrow(trace)` read it. Each column is an attribute too, as a list.

    Energy is the integral of `power_w` over `timestamp_s` by the trapezoid rule, in float64, for each GPU by
    itself, whatever the order of the rows. A row whose power or time is null or NaN is left out, and the
    trapezoid between its neighbours spans the gap. Since a row stands at the start of its second, a trace of
    n seconds at 1 Hz spans n - 1 of them.

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
    def timestamp_s(self) -> list[float]:
        """Seconds from the start."""

    @property
    def gpu_index(self) -> list[int]:
        """The GPU; -1 is the whole system."""

    @property
    def power_w(self) -> list[float | None]:
        """Watts."""

    @property
    def temperature_c(self) -> list[float | None]:
        """Degrees Celsius."""

    @property
    def memory_used_mb(self) -> list[float | None]:
        """Mebibytes in use."""

    @property
    def memory_total_mb(self) -> list[float | None]:
        """Mebibytes there are."""

    @property
    def sm_utilisation_pct(self) -> list[float | None]:
        """Per cent of the streaming multiprocessors busy."""

    @property
    def throttle_reasons(self) -> list[int | None]:
        """Bit masks."""

    @property
    def energy_j(self) -> float:
        """The energy in all, joules.

        It is that of the whole system (-1) where any row of it has a power, since that has the GPUs' in it;
        else the sum over the GPUs. 0.0 where fewer than two rows have a power.
        """

    @property
    def energy_per_gpu_j(self) -> dict[int, float]:
        """The energy of each `gpu_index`, joules; 0.0 where fewer than two of its rows have a power."""

    @property
    def mean_power_w(self) -> float | None:
        """The mean of the rows' power, watts: of the whole system, or summed over the GPUs, as `energy_j`.

        None where no row has a power.
        """

    @property
    def duration_s(self) -> float:
        """Seconds from the first row to the last."""

    @property
    def nbytes(self) -> int:
        """Bytes of the columns in memory."""

    def __len__(self) -> int: ...
