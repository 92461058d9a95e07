"""Parquet files that claim gigabytes exhaust no reader."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llenergymeasure import ExperimentResult
from support.traces import around_footer, footer_length, varint

Answers = dict[str, Any]
GIGABYTES = 3 << 30
FOOTER = 12 << 20
"""The size of a footer that readers still parse."""
SCHEMA = bytes([0x15, 2, 0x19, 0x1C, 0x48, 1, 0x78, 0])
"""The version, and a schema of one element, x."""
NO_ROWS = bytes([0x16, 0])
NO_GROUPS = bytes([0x19, 0x0C])


def listed(kind: int, count: int, elements: bytes = b"") -> bytes:
    return bytes([0xF0 | kind]) + varint(count) + elements


def table(rows: int = 100, **options: Any) -> bytes:
    """Return a power trace of another writer."""
    times = [float(second) for second in range(rows)]
    file = io.BytesIO()
    columns = {"timestamp_s": times, "power_w": times, "note": [f"{second:09}" for second in range(rows)]}
    kinds = {"timestamp_s": pa.float64(), "power_w": pa.float64(), "note": pa.string()}
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])
    pq.write_table(
        pa.table(columns, schema=schema), file, **({"compression": "zstd", "use_dictionary": False} | options)
    )
    return file.getvalue()


def claiming(old: bytes, new: bytes, **options: Any) -> bytes:
    """Return a trace with one number replaced in its footer and page headers."""
    content = table(**options)
    assert old in content
    start = len(content) - 8 - footer_length(content)
    body, footer = content[:start], content[start:-8]
    body, footer = body.replace(old, new), footer.replace(old, new)
    return body + footer + struct.pack("<I", len(footer)) + b"PAR1"


# Zigzag: 100 rows, as fields of 32 and 64 bits; 800 bytes of a column of 100 doubles, plain.
ROWS, ROWS_64 = b"\x15" + varint(200), b"\x16" + varint(200)
PAGE, HUGE_PAGE = (b"\x15\0\x15" + varint(2 * length) for length in (800, 2**31 - 1))
HUGE_32, HUGE_64 = b"\x15" + varint(2 * (2**31 - 1)), b"\x16" + varint(2 * (2**62))
LIES = {
    # A parser allocates dozens to hundreds of bytes for each byte of these.
    "columns-of-the-schema": around_footer(
        bytes([0x15, 2, 0x19]) + listed(12, FOOTER, bytes(FOOTER)) + NO_ROWS + NO_GROUPS + b"\0"
    ),
    "named-columns": around_footer(
        bytes([0x15, 2, 0x19])
        + listed(12, FOOTER // 4, bytes([0x48, 1, 0x78, 0]) * (FOOTER // 4))
        + (NO_ROWS + NO_GROUPS + b"\0")
    ),
    "keys": around_footer(SCHEMA + NO_ROWS + NO_GROUPS + b"\x19" + listed(12, FOOTER, bytes(FOOTER)) + b"\0"),
    "columns-of-a-group": around_footer(
        SCHEMA + NO_ROWS + bytes([0x19, 0x1C, 0x19]) + listed(12, FOOTER, bytes(FOOTER)) + b"\0\0"
    ),
    "orders": around_footer(
        SCHEMA + NO_ROWS + NO_GROUPS + b"\x39" + listed(12, FOOTER, bytes(FOOTER)) + b"\0"
    ),
    # Claims without content.
    "row-groups": around_footer(SCHEMA + NO_ROWS + b"\x19" + listed(12, GIGABYTES)),
    "list": around_footer(SCHEMA + NO_ROWS + NO_GROUPS + b"\x19" + listed(12, 2**62)),
    "name": around_footer(bytes([0x15, 2, 0x19, 0x1C, 0x48]) + varint(GIGABYTES) + b"x"),
    "map": around_footer(SCHEMA + b"\x1b" + varint(GIGABYTES) + b"\xcc"),
    "footer": b"PAR1" + struct.pack("<I", 2**31) + b"PAR1",
    "endless-varint": around_footer(SCHEMA + b"\x16" + b"\xff" * 100),
    # Claims of pages.
    "rows": claiming(ROWS_64, HUGE_64),
    "values-of-a-page": claiming(ROWS, HUGE_32),
    "bytes-of-a-page": claiming(PAGE, HUGE_PAGE),
    "bytes-of-a-plain-page": claiming(PAGE, HUGE_PAGE, compression="none"),
    "bytes-of-a-snappy-page": claiming(PAGE, HUGE_PAGE, compression="snappy"),
    "bytes-of-a-string": table(compression="none").replace(b"\x09\0\0\0", b"\xff\xff\xff\x7f"),
    "values-of-a-dictionary": claiming(ROWS, HUGE_32, use_dictionary=True),
}


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory,
    make_result: Callable[..., ExperimentResult],
    read_by_all: Callable[..., Answers],
) -> Answers:
    """Return the answers of a save and of each reader of traces, in a process with 1 GB."""
    here = tmp_path_factory.mktemp("traces")
    root, record = here / "results", make_result().model_dump_json(indent=2)
    (here / "given.json").write_text(record)
    for name, content in {"a": table(), **LIES, "sparse": b"", "z": table()}.items():
        (root / name).mkdir(parents=True)
        (root / name / "result.json").write_text(record)
        (root / name / "timeseries.parquet").write_bytes(content)
    # A sparse file holds the claimed bytes without disk space.
    with (root / "sparse" / "timeseries.parquet").open("r+b") as file:
        file.write(b"PAR1")
        file.seek(GIGABYTES)
        file.write(struct.pack("<I", GIGABYTES - 4) + b"PAR1")
    return read_by_all(
        *(root, "read_timeseries", "stored_timeseries", "save", "llem_show"),
        *("scan_timeseries", "scan_timeseries_skip", "scan_timeseries_collect", "verify_deep", "verify"),
    )


WHOLE = {"a", "z"}
EVERY = {*WHOLE, *LIES, "sparse"}
# A save checks the footer alone; readers of the usual columns never reach the string.
SAVED = {
    *WHOLE,
    "rows",
    "bytes-of-a-string",
    *(name for name in LIES if "-of-a-" in name and "group" not in name),
}
READ = {*WHOLE, "bytes-of-a-string"}


def test_save_hostile_trace_stores_it_or_keeps_the_result_alone(answers: Answers) -> None:
    output = answers["save"]
    assert {name for name, answer in output.items() if answer["raised"] is None} == SAVED
    for name in EVERY - SAVED:
        assert output[name]["raised"] == "SidecarError", output[name]
        assert "the result itself is safe, without a sidecar" in output[name]["message"]


@pytest.mark.parametrize("reader", ["read_timeseries", "stored_timeseries"])
def test_read_hostile_trace_succeeds_or_names_the_file(answers: Answers, reader: str) -> None:
    output = answers[reader]
    assert {output[name]["returned"] for name in READ} == {100}
    for name in EVERY - READ:
        assert output[name]["raised"] in ("ResultCorruptError", "ResultError"), output[name]
        assert f"/{name}/timeseries.parquet (" in output[name]["message"]


def test_scan_timeseries_next_to_hostile_traces_returns_the_others(answers: Answers) -> None:
    output = answers["scan_timeseries_collect"]["returned"]
    assert output["path"] == sorted(READ)
    assert output["rows"] == 100 * len(READ)
    assert {path.removesuffix("/timeseries.parquet") for path in output["errors"]} == EVERY - READ
    assert answers["scan_timeseries_skip"]["returned"]["rows"] == 100 * len(READ)
    assert answers["scan_timeseries"]["raised"] in ("ResultCorruptError", "ResultError")


def test_verify_deep_finds_every_hostile_trace(answers: Answers) -> None:
    found = answers["verify_deep"]["returned"]
    assert found["damaged"].keys() == EVERY - WHOLE
    assert answers["verify"]["returned"]["complete"] == len(EVERY)


def test_read_hostile_traces_needs_bounded_memory(answers: Answers) -> None:
    assert answers["peak"] < 512 << 20
