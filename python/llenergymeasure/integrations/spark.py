"""Results as a table of Apache Spark: `pip install "pyspark>=4.1" pyarrow`, and a Java runtime."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, Filter, InputPartition
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import StructType

from llenergymeasure.integrations._spark_filters import implied
from llenergymeasure.results._expressions import QUOTED, parsed
from llenergymeasure.results.scan import Scan
from llenergymeasure.results.store import ResultStore
from llenergymeasure.results.types import Condition, OnUnreadable, check_policy

__all__ = ["ResultsSource"]

_OPTIONS: Final = ("path", "columns", "where", "schema", "partitions", "on_error", "pushdown")
_STORE: Final = "store."
"""The beginning of an option of the object store."""
_UINT64: Final = pa.decimal128(20, 0)
"""The type for unsigned integers, of which Spark has none: it holds all of them."""
_NAMES: Final = re.compile(rf"(?:{QUOTED}|[^,])+")


class ResultsSource(DataSource):  # type: ignore[misc] # unknown to mypy, as all of pyspark
    """The source `spark.read.format("llenergymeasure")`: a row per result, with the columns of a scan.

    `spark.dataSource.register(ResultsSource)` makes it known to a session.

    The columns are found when the source is loaded, and the store is listed at the first query of the frame:
    load another frame to see new results. Each partition reads its own results in a worker, which must reach
    the root under the same path or URL, and gives Spark Arrow batches.

    Spark passes no projection to a source in Python: name the columns as `columns`. Its own filters follow
    its own rules: NaN equals NaN and is greater than all numbers, and a comparison with null selects nothing.
    Give conditions as `where`, so that the other results are not rows at all.

    Limits: `pushdown` lets Spark pass the source the filters that compare a column with values. The source
    skips results that cannot meet them, and Spark applies them to the rest. Spark 4.3 keeps the filters
    of the latest query for the whole frame, so that a second query of it, or a union of two, loses rows: load
    a frame for each query.

    Types: unsigned integers are `decimal(20,0)`, times without a zone `timestamp_ntz`, and instants
    `timestamp`. Names of columns have dots, so that a query writes them in backticks; set
    `spark.sql.caseSensitive` where keys differ only in case.

    Options:
        path: The root of the store: a path or a URL. `load(path)` sets it.
        columns: The columns, as for `ResultStore.scan`: names separated by commas, or a JSON list.
        where: Conditions that all hold: one as for `llem --where` (`backend=vllm`), or a JSON list of those
            and of triples (`[["total_tokens", ">", 10], "backend=vllm"]`).
        schema: The types of keys of the configuration, as for `ResultStore.scan`, as a JSON object. Without
            it, the records are read once for them, if the columns or conditions need them.
        partitions: The number of partitions; without it, as many as have 4096 results each.
        on_error: `raise` or `skip`, as for `ResultStore.iter_results`.
        pushdown: `true` lets Spark pass its filters; see the limits. It also needs
            `spark.sql.python.filterPushdown.enabled`. The default is `false`.
        store.KEY: An option of the object store, such as `store.endpoint`. Spark redacts the values of
            names such as `store.secret_access_key` in its pages. Others come from each worker's environment.

    A schema that a user gives to Spark (`.schema(...)`) selects columns by their names, and converts them.

    Raises:
        ValueError: An option is unknown or invalid, or `path` is missing.
    """

    def __init__(self, options: MutableMapping[str, str]) -> None:
        """Check the options; no request is made."""
        super().__init__(options)
        self._arguments, self._partitions = _arguments(options)
        self._kind = _FilteringReader if options.get("pushdown") == "true" else _Reader
        self._store = _store(options)
        self._scan: Scan | None = None

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "llenergymeasure"

    def schema(self) -> StructType:
        """Return the columns and their types; read the records where the types of keys need it."""
        self._scan = self._store.scan(**self._arguments).resolved()
        return from_arrow_schema(_spark_types(pa.schema(self._scan.schema)), prefer_timestamp_ntz=True)

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return the reader of the columns of a schema."""
        scan, names = self._scan, schema.fieldNames()
        if scan is None or scan.schema.names != names:
            scan = self._store.scan(**self._arguments | {"columns": names}).resolved()
        return self._kind(scan, schema, self._partitions)


class _Reader(DataSourceReader):  # type: ignore[misc] # as ResultsSource
    """A reader of a query; its pickle goes to each worker."""

    def __init__(self, scan: Scan, schema: StructType, partitions: int | None) -> None:
        self._scan = scan
        self._schema = schema
        self._partitions = partitions
        self._where: list[Condition] = []

    def partitions(self) -> Sequence[InputPartition]:
        """List the store, and return its parts."""
        derived = self._scan.derived(self._schema.fieldNames(), self._where)
        return [InputPartition(part) for part in derived.partitions(self._partitions)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Read a part in batches."""
        types = to_arrow_schema(self._schema, timezone="UTC")
        for batch in partition.value:
            # A required column cannot be null, whatever the schema of a user says.
            yield pa.Table.from_batches([pa.record_batch(batch)]).cast(types).to_batches()[0]


class _FilteringReader(_Reader):
    """A reader that takes filters: Spark refuses a query of one where its setting does not allow them."""

    def pushFilters(self, filters: list[Filter]) -> Iterable[Filter]:  # noqa: N802 - of Spark
        """Note conditions that the filters imply, and return all filters: Spark applies them, too."""
        self._where = implied(filters, self._scan.schema)
        return filters


def _arguments(options: Mapping[str, str]) -> tuple[dict[str, Any], int | None]:
    """Return the arguments of a scan, and the number of partitions.

    Raises:
        ValueError: An option is unknown or invalid.
    """
    for name in options:
        if name not in _OPTIONS and not name.startswith(_STORE):
            raise ValueError(f"expected an option of {', '.join(_OPTIONS)} or {_STORE}KEY, got {name}")
    if not options.get("path"):
        raise ValueError("path expects the root of a store, got nothing; call load(PATH)")
    columns, where, schema = (options.get(name) for name in ("columns", "where", "schema"))
    on_error = options.get("on_error", "raise")
    check_policy("on_error", on_error, OnUnreadable)
    if options.get("pushdown", "false") not in ("true", "false"):
        raise ValueError(f"pushdown expects true or false, got {options['pushdown']!r}")
    count = options.get("partitions")
    if count is not None and not (count.isdecimal() and int(count) > 0):
        raise ValueError(f"partitions expects an integer of at least 1, got {count!r}")
    return {
        "columns": None if columns is None else _names(columns),
        "where": None if where is None else _conditions(where),
        "schema": None if schema is None else _json("schema", schema, dict),
        "on_error": on_error,
    }, None if count is None else int(count)


def _store(options: Mapping[str, str]) -> ResultStore:
    settings = {name[len(_STORE) :]: text for name, text in options.items() if name.startswith(_STORE)}
    return ResultStore(options["path"], **({"options": settings} if settings else {}))  # type: ignore[arg-type]


def _names(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        return list(_json("columns", text, list))
    return [name.strip() for name in _NAMES.findall(text)]


def _conditions(text: str) -> list[Condition]:
    each = _json("where", text, list) if text.lstrip().startswith("[") else [text]
    return [_condition(one) if isinstance(one, str) else one for one in each]


def _condition(text: str) -> Condition:
    advice = 'write a JSON list, such as ["backend=vllm", "total_tokens>10"]'
    return parsed(text, "where", repeat=advice, run="load a frame for each, and call union")


def _json(name: str, text: str, kind: type) -> Any:  # noqa: ANN401 - any JSON value
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        form = "list" if kind is list else "object"
        raise ValueError(f"{name} expects a JSON {form}, got {text!r}")  # noqa: TRY004 - of a text
    return value


def _spark_types(schema: pa.Schema) -> pa.Schema:
    """Return a schema with types that Spark has."""
    fields = [field.with_type(_UINT64) if field.type == pa.uint64() else field for field in schema]
    return pa.schema(fields)
