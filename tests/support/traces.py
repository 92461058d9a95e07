"""Samples, power traces and Parquet files that claim more than they hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pyarrow as pa

TRACE_SCHEMA = pa.schema(
    [
        pa.field("timestamp_s", pa.float64(), nullable=False),
        pa.field("gpu_index", pa.int32(), nullable=False),
        pa.field("power_w", pa.float32()),
        pa.field("temperature_c", pa.float32()),
        pa.field("memory_used_mb", pa.float32()),
        pa.field("memory_total_mb", pa.float32()),
        pa.field("sm_utilisation_pct", pa.float32()),
        pa.field("throttle_reasons", pa.int64()),
    ]
)
"""The columns of a power trace that this package writes."""


@dataclass
class Sample:
    """One reading of a sensor."""

    timestamp: float
    power_w: float | None = None


def varint(number: int) -> bytes:
    """Encode a number as Thrift's compact protocol does."""
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def around_footer(footer: bytes) -> bytes:
    """Return a Parquet file that holds nothing but a footer."""
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def footer_length(content: bytes) -> int:
    """Return the length that a Parquet file gives for its footer."""
    length: int = struct.unpack("<I", content[-8:-4])[0]
    return length
