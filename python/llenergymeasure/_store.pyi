"""The extension: the Rust store, as the modules of `results` call it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

from llenergymeasure.errors import LLEMError
from llenergymeasure.types import TimeseriesSource

_Place: TypeAlias = str | ObjectStorage
"""A path, or the location of a URL."""
_Found: TypeAlias = Path | str
"""A `Path`, or a URL below an `ObjectStorage`."""
_Source: TypeAlias = TimeseriesSource | ObjectStorage
"""The source of a sidecar; an `ObjectStorage` is that of a Parquet object."""
_NotARow: TypeAlias = tuple[_Found, LLEMError | UserWarning]
_State: TypeAlias = Literal["incomplete", "damaged", "missing_sidecars", "foreign", "links"]
_Links: TypeAlias = tuple[int, int, str | None]
"""Skipped symlinks: the number of those to directories, of those to nothing, and the first."""
_Outcome: TypeAlias = Literal["removed", "restored", "young", "kept"]
_ConfigForm: TypeAlias = Literal["columns", "json", "none"]
_Fault: TypeAlias = Literal["corrupt", "other_schema_line", "invalid"]

RECORD: Final = "result.json"
FAILURE: Final = "failure.json"
SIDECAR: Final = "timeseries.parquet"
MAX_RECORD_BYTES: Final[int]
MAX_TRACE_BYTES: Final[int]
VERSION: Final[str]
OPTIMISED: Final[bool]

@final
class ObjectStorage:
    """A location in an object store: a URL, and the client with its connections.

    The text of a URL after the bucket is literal: no `%` is encoded or decoded. A location may be used by all
    threads, and by a child after a fork. It cannot be pickled.

    Only builds with object stores have this class.

    Args:
        url: `s3://`, `gs://` or `az://`, the bucket, and components without a slash at their end.
        options: Settings by the names that object_store gives them. They take precedence over the
            environment.
        credential_provider: A function that returns a mapping of credentials.
        cache: The directory of the cache of records, and its most bytes; None is no cache.

    Raises:
        ValueError: An option is unknown; the message does not have its value.
    """

    def __new__(
        cls,
        url: str,
        options: Mapping[str, str] | None = None,
        credential_provider: object = None,
        cache: tuple[str, int] | None = None,
    ) -> ObjectStorage: ...
    def at(self, url: str) -> ObjectStorage:
        """Return another location in the same bucket, with the same client."""

    @property
    def url(self) -> str:
        """The URL."""

    def durability(self) -> tuple[str, str]:
        """Return `"full"` or `"unknown"`, and the reason, from the saves so far; no request is made."""

    def unknown_service(self) -> str | None:
        """Return the address of a service that is not known to honour conditions; None for one that is."""

    def check(self) -> dict[str, Any]:
        """Check the store by objects of its own; return the fields of `StoreCheck`, without the root."""

    def look(self, keys: Sequence[str]) -> list[tuple[int, str | None] | None]:
        """Return the size and the tag of objects by their keys below the URL; None for one that is absent."""

    def get(self, size: int) -> bytes | None:
        """Return the bytes of the object at the URL, which has a size; None if it is absent."""

    def resolve(self, result: str, save_id: str) -> str | None:
        """Return the URL of the `result.json` that a save left, or None if it left none.

        Args:
            result: The URL of the `result.json` that the save tried to write.
            save_id: The random id of the save.
        """

def directory_name(model: str, backend: str, timestamp: str) -> str:
    """Return the legal name of a result's directory, without a suffix."""

def failure_name(name: str) -> str:
    """Return the name of a failure's directory, from the name that its result would have."""

def given_base(name: str) -> str | None:
    """Return the name of a result's directory without its suffix, or None if a save did not give the name."""

def compact(content: bytes) -> bytes:
    """Return JSON without white space outside its strings."""

def save(
    root: _Place,
    name: str,
    record: bytes,
    *,
    source: _Source | None = None,
    record_with_sidecar: bytes | None = None,
    failure: bool = False,
    durable: bool,
) -> tuple[str, bool, list[str]]:
    """Save a record; return the name of its directory, False if the source does not exist, and warnings."""

def claim(parent: Path, base: str) -> Path:
    """Create `base` in `parent`, or the first free one of `base_1`, `base_2`, ..., and return its path."""

def replace(path: Path, content: bytes) -> None:
    """Write a file durably and atomically; replace a file of the same name."""

def baseline_save(root: str, record: bytes, *, start: int, count: int, durable: bool) -> list[int]: ...
def baseline_read(records: Sequence[str], threads: int) -> int: ...

@final
class RecordCheck:
    """The check whether bytes are a record of a schema, which is given as JSON."""

    def __new__(cls, record: str) -> RecordCheck: ...
    def diagnose(self, content: bytes) -> tuple[_Fault, str] | None:
        """Return the class and the text of the fault in bytes that are not a record, or None."""

def read(
    path: _Place, check: RecordCheck, max_bytes: int, *, failure: bool = False
) -> tuple[str, bytes, bool, tuple[_Fault, str] | None]:
    """Read a record; return its path, its bytes, True if a sidecar is next to it, and its fault."""

def missing_sidecar(record: _Place, name: str) -> str | None:
    """Return why the sidecar that a record names is not there, as a phrase, or None."""

def sidecar_path(path: _Place, max_bytes: int) -> str:
    """Return the path of a result's sidecar, by the name in its record."""

def read_timeseries(path: _Place, max_bytes: int) -> Timeseries:
    """Read the power trace of a Parquet file."""

def write_timeseries(
    path: str,
    trace: Timeseries,
    extra: Sequence[tuple[str, Sequence[bool | float | str | None]]] = ...,
    warnings: Sequence[str] = ...,
    energies: Mapping[int, float] = ...,
) -> None:
    """Write a power trace as Parquet, durably and atomically, with more columns, and with notes.

    `energies` has the energy, in joules, of each GPU whose samples lie within one row.
    """

def noted_timeseries(
    trace: Timeseries,
    warnings: Sequence[str],
    integrals: Mapping[int, tuple[int, float]],
    names: Mapping[int, str],
) -> Timeseries:
    """Return a power trace with notes on the log that it was made of; a file of the trace has them, too.

    Args:
        trace: The trace.
        warnings: The reasons to doubt the samples.
        integrals: The number of rows of a GPU that have a power, and the energy of its samples, in joules.
        names: The name of each GPU in the log.
    """

def read_table(
    path: str | Path, max_bytes: int
) -> tuple[list[Batch], list[tuple[str, str]], list[tuple[str, str]]]:
    """Read a Parquet file of any columns into memory.

    Returns:
        Batches of booleans, 64-bit numbers, texts, times and lists of these; the names and types of the
        columns of other types; and the pairs in the footer.

    Raises:
        ResultCorruptError: The file is not complete.
        ResultError: The file is encrypted, needs more memory, or has pages that cannot be decoded.
        PersistenceError: The file cannot be read.
    """

@final
class ZstdReader:
    """A reader of the text in a file of zstd."""

    def __new__(cls, path: str | Path) -> ZstdReader: ...
    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end.

        Raises:
            OSError: The file is not of zstd, or is truncated.
        """

def clock_warnings(timestamp_s: Sequence[float], gpu_index: Sequence[int]) -> list[str]:
    """Return sentences on clocks that step back among samples, in the order of the readings."""

@final
class Bulk:
    """A bulk save in threads of its own. It belongs to the process that created it."""

    def __new__(
        cls,
        root: _Place,
        *,
        durable: bool,
        max_results: int,
        max_bytes: int,
        is_batch: bool,
        flush_method: str | None = None,
    ) -> Bulk: ...
    def next_ticket(self) -> int: ...
    def submit(
        self,
        ticket: int,
        name: str,
        record: bytes,
        *,
        source: _Source | None = None,
        record_with_sidecar: bytes | None = None,
        suffix: int | None = None,
        in_flight: dict[int, Any] | None = None,
        entry: object = None,
        patient: bool = False,
    ) -> bool: ...
    def refuse(
        self,
        ticket: int,
        error: Exception,
        *,
        in_flight: dict[int, Any],
        entry: object,
        patient: bool,
    ) -> None: ...
    def collect(
        self,
        outcomes: dict[int, str | Exception],
        missing: list[int],
        notes: list[tuple[int, str]],
        seconds: float,
    ) -> bool: ...
    def settle(self, tickets: list[int]) -> None: ...
    def wait_settled(self, mark: int) -> None: ...
    def close(self) -> None: ...
    def join(self) -> None: ...
    def cancel(self) -> None: ...
    def in_place(self) -> list[tuple[int, str]]: ...

@final
class Schema:
    """The columns of a table. Arrow libraries accept it."""

    @property
    def names(self) -> list[str]:
        """The names of the columns."""

    @property
    def types(self) -> list[str]:
        """The Arrow types of the columns, such as `"double"` or `"list<item: string>"`."""

    @property
    def json_names(self) -> list[str]:
        """The names of the columns whose texts are JSON values: mixed kinds, objects, large integers."""

    def __arrow_c_schema__(self) -> object: ...
    def __len__(self) -> int: ...

@final
class Batch:
    """Rows of a table. Arrow libraries accept it."""

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
        """The bytes of the columns in memory."""

    def to_pydict(self) -> dict[str, list[Any]]:
        """Return a list of values per column: times are `datetime`, lists are lists."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...
    def __len__(self) -> int: ...

@final
class Table:
    """A table of batches. Arrow libraries accept it."""

    def __new__(cls, schema: Schema, batches: Sequence[Batch]) -> Table: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self) -> object: ...
    def renamed(self, names: Sequence[str]) -> Table:
        """Return the table with other names of its columns."""

    def __len__(self) -> int: ...

@final
class Part:
    """Results of one listing, which a scan reads without another listing. It can be pickled."""

    def __new__(cls, encoded: bytes) -> Part: ...
    def places(self) -> list[Path]:
        """Return the directories of the results, relative to the root."""

    def __len__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def count(root: _Place, newest: int, *, follow_links: bool = False) -> tuple[int, int, Part, _Links]:
    """Count results and failures by a listing; return the newest results, and the skipped links, too."""

@final
class Scan:
    """A scan of the results of a tree."""

    def __new__(
        cls,
        root: _Place,
        record: str,
        columns: Sequence[str],
        conditions: Sequence[tuple[str, str, object, bool]],
        *,
        config: _ConfigForm,
        optional: Sequence[str],
        batch_size: int,
        strict: bool,
        max_bytes: int,
        infer: bool = True,
        full_names: bool = False,
        follow_links: bool = False,
        types: Sequence[tuple[str, str]] = ...,
        head: int | None = None,
        part: Part | None = None,
        known: str | None = None,
        failures: bool = False,
    ) -> Scan: ...
    @property
    def schema(self) -> Schema | None:
        """The columns; None until the results are read, if the types depend on them."""

    def resolve(self, *, progress: Callable[[int, int | None], object] | None = None) -> str:
        """Return what scans of parts need to know of the whole tree; read as much of it as that takes."""

    def newest(self, count: int) -> tuple[Part, _Links]:
        """List the results, and return the newest ones, the newest first; return the skipped links, too."""

    def divide(self, parts: int | None, most: int, by: str) -> tuple[list[Part], _Links]:
        """List the results, and divide them into parts of equal weights; return the skipped links, too.

        Without a number of parts, each has so many results at most.
        """

    def read(self, *, progress: Callable[[int, int | None], object] | None = None) -> Reader: ...

@final
class Traces:
    """A scan of the power traces of a tree."""

    def __new__(
        cls,
        root: _Place,
        record: str,
        columns: Sequence[str],
        of_records: Sequence[tuple[str, str, object, bool]],
        conditions: Sequence[tuple[str, str, object, bool]],
        *,
        strict: bool,
        max_bytes: int,
        max_trace_bytes: int,
        follow_links: bool = False,
    ) -> Traces: ...
    @property
    def schema(self) -> Schema | None:
        """The columns; None until the traces are read, if the types depend on them."""

    def read(self, *, progress: Callable[[int, int | None], object] | None = None) -> Reader: ...

def columns(record: str) -> list[tuple[str, str, bool]]:
    """Return the columns of a schema: name, type, and True for a column in a list of objects."""

def quoted_key(key: str) -> str:
    """Return a key of the configuration as a part of the name of a column: in quotes if necessary."""

def find_columns(record: str, names: Sequence[str]) -> list[str]:
    """Return the full names of the columns that names stand for."""

def completed(
    root: _Place, record: str, *, max_bytes: int, follow_links: bool = False, failures: bool = False
) -> tuple[dict[str, int], int, list[tuple[_Found, LLEMError]], _Links]: ...

@final
class Reader:
    """A scan in progress. It belongs to the process that started it."""

    @property
    def schema(self) -> Schema:
        """The columns."""

    @property
    def links(self) -> _Links:
        """The symlinks that the scan skips; complete at its end."""

    def next(self) -> tuple[Batch, list[_NotARow]] | None: ...
    def export(self, path: str, *, excel: bool = False) -> tuple[int, bool, list[_NotARow]]:
        """Write the rest to a file; return the rows, False if an old file was kept, and the invalid files."""

    def stream(self, report: Callable[[list[_NotARow] | None], object]) -> object: ...

@final
class Documents:
    """The records of a tree, read ahead of their validation."""

    def __new__(
        cls,
        root: _Place,
        check: RecordCheck,
        *,
        max_bytes: int,
        follow_links: bool = False,
        failures: bool = False,
    ) -> Documents: ...
    @property
    def links(self) -> _Links:
        """The symlinks that the walk skips; complete at its end."""

    def next(
        self,
    ) -> list[tuple[_Found, bytes | None, bool, tuple[_Fault, str] | None, LLEMError | None]] | None: ...

@final
class Inspection:
    """A check of a tree in progress."""

    def __new__(
        cls,
        root: _Place,
        check: RecordCheck,
        *,
        deep: bool,
        max_bytes: int,
        max_trace_bytes: int,
        follow_links: bool = False,
    ) -> Inspection: ...
    @property
    def links(self) -> _Links:
        """The symlinks that the check skips; complete at its end."""

    @property
    def expected(self) -> int | None:
        """The number of results that the check expects; None where it is not known yet."""

    def next(
        self,
    ) -> (
        tuple[
            int,
            int,
            list[tuple[_State, _Found, str]],
            list[tuple[_Found, bytes, dict[int, float | None] | None]],
        ]
        | None
    ):
        """Return the findings in the next directories.

        Returns:
            The number of complete results, and of failures; the findings; and in a deep check the records to
            validate, each with the energy of each `gpu_index` of its trace, in J (None without a trace, or
            one beyond the memory). None at the end.
        """

def clean(
    root: _Place, seconds: float, *, dry_run: bool
) -> list[tuple[_Outcome, _Found, str, str | None]]: ...

@final
class Timeseries:
    """A power trace in memory, in the columns of `timeseries.parquet`: one row per second and GPU.

    A trace has `__arrow_c_stream__`: it is a valid `timeseries_source`, and `pyarrow.table(trace)` and
    `polars.from_arrow(trace)` read it. Each column is also an attribute, as a list.

    Energy is the integral of `power_w` over `timestamp_s` by the trapezoid rule, in float64, per GPU, in any
    order of the rows. A row whose power or time is null or NaN is omitted, and the trapezoid between its
    neighbours spans the gap. A row stands at the start of its second, so a trace of n seconds at 1 Hz spans
    n - 1 seconds.

    Args:
        timestamp_s: Seconds from the start.
        gpu_index: The index of the GPU; -1 is the whole system.
        power_w: Watts; None without a sample.
        temperature_c: Degrees Celsius.
        memory_used_mb: Mebibytes in use.
        memory_total_mb: Mebibytes in total.
        sm_utilisation_pct: Per cent of the streaming multiprocessors in use.
        throttle_reasons: A bit mask.

    Raises:
        ValueError: The columns differ in length, or a value is not a number or does not fit its column: a
            time of numpy or pandas, a boolean and a text are not numbers.
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
        """The seconds from the start."""

    @property
    def gpu_index(self) -> list[int]:
        """The index of the GPU; -1 is the whole system."""

    @property
    def power_w(self) -> list[float | None]:
        """The power in watts."""

    @property
    def temperature_c(self) -> list[float | None]:
        """The temperature in degrees Celsius."""

    @property
    def memory_used_mb(self) -> list[float | None]:
        """The memory in use, in mebibytes."""

    @property
    def memory_total_mb(self) -> list[float | None]:
        """The total memory, in mebibytes."""

    @property
    def sm_utilisation_pct(self) -> list[float | None]:
        """The streaming multiprocessors in use, in per cent."""

    @property
    def throttle_reasons(self) -> list[int | None]:
        """The bit masks of the throttle reasons."""

    @property
    def energy_j(self) -> float | None:
        """The total energy in joules; None if it is unknown.

        It is the energy of the whole system (-1), which contains that of the GPUs, if any of its rows has a
        power; otherwise it is the sum over the GPUs. It is unknown without a power, with powers of one time
        only, if the energy of a GPU of the sum is unknown, and for a file without `gpu_index` that has
        different powers at one time, which are of several devices. If all samples of a GPU lie within one
        second, `write_timeseries_parquet` notes their energy in the file. A trace that was made of the log
        of a power meter notes the integral of that log, which is its energy as long as no row is removed.
        """

    @property
    def energy_per_gpu_j(self) -> dict[int, float | None]:
        """The energy of each `gpu_index` in joules; None if its rows have powers at fewer than two times."""

    @property
    def mean_power_w(self) -> float | None:
        """The mean power in watts: of the whole system, or summed over the GPUs, as in `energy_j`.

        With a single sample, it is the power of that sample. It is None if a GPU of the sum has no power.
        """

    @property
    def warnings(self) -> list[str]:
        """The reasons to doubt the numbers, as sentences.

        They report a clock that stepped back or jumped, in the samples or in the rows; several rows of one
        time; rows without a time; and an energy that is unknown.
        """

    @property
    def gpu_names(self) -> dict[int, str]:
        """The name of each GPU in the log that the trace was made of: its UUID, MIG name or PCI address."""

    @property
    def duration_s(self) -> float:
        """The seconds from the first row to the last."""

    @property
    def nbytes(self) -> int:
        """The bytes of the columns in memory."""

    def __len__(self) -> int: ...
