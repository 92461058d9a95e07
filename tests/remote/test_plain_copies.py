"""Trees that a plain client of S3 copies, as `aws s3 sync` does, are the same store on both sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.invariants import SIDECAR, Ended, check_invariants, numbered_result, numbered_trace
from support.locations import LocalLocation, Location, S3Location

from .conftest import needs_remote

pytestmark = needs_remote
Savers = Callable[..., Ended]
PART = 5 << 20
"""The smallest part of an upload in parts, in bytes."""


def transfer(bucket: Location) -> Any:
    """Return the transfers of `aws s3 cp`: an object over 5 MB is sent in parts."""
    from boto3.s3.transfer import S3Transfer, TransferConfig

    assert isinstance(bucket, S3Location)
    return S3Transfer(bucket.client, TransferConfig(multipart_threshold=PART, multipart_chunksize=PART))


def upload(source: LocalLocation, bucket: Location) -> None:
    """Copy each file of a directory to the key of its name."""
    assert isinstance(bucket, S3Location)
    with transfer(bucket) as client:
        for name in source.files():
            client.upload_file(str(Path(source.root) / name), bucket.bucket, bucket.key(name))


def download(bucket: Location, target: LocalLocation) -> None:
    """Copy each object to the file of its name."""
    assert isinstance(bucket, S3Location)
    with transfer(bucket) as client:
        for name in bucket.files():
            path = Path(target.root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket.bucket, bucket.key(name), str(path))


def assert_same(one: Location, other: Location) -> None:
    """Check that two locations have equal bytes, tables and power traces, and are whole."""
    assert one.files() == other.files()
    stores = [one.store(), other.store()]
    tables = [store.scan().to_pydict() for store in stores]
    for table in tables:
        del table["saved_at"]  # a copy is younger
    assert tables[0] == tables[1]
    traces = [store.scan_timeseries().to_pydict() for store in stores]
    assert traces[0]["power_w"] == traces[1]["power_w"]
    for store in stores:
        found = store.verify(deep=True)
        assert (found.ok, found.incomplete, found.damaged) == (True, [], [])
        assert found.complete == len(one.records())


def moved(ended: Ended, source: Location, target: Location) -> Ended:
    """Return reports as if the savers had saved into the other location."""
    saved = {
        number: (path.replace(source.root, target.root, 1), is_with_trace)
        for number, (path, is_with_trace) in ended.saved.items()
    }
    return Ended(saved)


def test_directory_copied_to_a_bucket_and_back_is_the_same_store_and_takes_saves(
    server: Location, savers: Savers, tmp_path: Path
) -> None:
    # On a disk, records with and without sidecar share all suffixes; all have one base name here.
    disk, back = LocalLocation(tmp_path / "disk"), LocalLocation(tmp_path / "back")
    ended = savers(disk, processes=2, saves=6, traces=2)
    suffixes = {name.rpartition("_")[2].partition("/")[0] for name in disk.files() if SIDECAR in name}
    assert {int(suffix) % 2 for suffix in suffixes if suffix.isdecimal()} == {0, 1}
    upload(disk, server)
    assert_same(disk, server)

    in_bucket = savers(server, processes=4, saves=4, traces=2, first=100)
    in_bucket.add(moved(ended, disk, server))
    assert len(check_invariants(server, in_bucket)) == len(in_bucket.saved) == 28
    assert server.store().verify(deep=True).ok

    download(server, back)
    assert_same(server, back)
    on_disk = savers(back, processes=2, saves=4, traces=2, first=200)
    on_disk.add(moved(in_bucket, server, back))
    assert len(check_invariants(back, on_disk)) == len(on_disk.saved) == 36


def test_bucket_copied_to_a_directory_and_back_is_the_same_store(
    server: Location, savers: Savers, tmp_path: Path
) -> None:
    ended = savers(server, processes=2, saves=6, traces=2)
    disk, other = LocalLocation(tmp_path / "disk"), server.fresh()
    download(server, disk)
    assert_same(server, disk)
    upload(disk, other)
    assert_same(disk, other)
    more = savers(other, processes=2, saves=4, traces=2, first=100)
    more.add(moved(ended, server, other))
    assert len(check_invariants(other, more)) == 20


def test_sidecar_that_was_sent_in_parts_reads_and_copies(server: Location, tmp_path: Path) -> None:
    disk, back = LocalLocation(tmp_path / "disk"), LocalLocation(tmp_path / "back")
    path: Any = disk.store().save(numbered_result(1), numbered_trace(1))
    sidecar = path.with_name(SIDECAR)
    # Parquet readers look at the footer: bytes between the pages and it are allowed.
    sidecar.write_bytes(padded(sidecar.read_bytes(), PART + 1))
    upload(disk, server)
    assert_same(disk, server)
    copied = back.store().copy_from(server.store())
    assert (len(copied.copied), len(copied.failed)) == (1, 0)
    assert back.files() == disk.files()


def padded(parquet: bytes, size: int) -> bytes:
    """Return a Parquet file with unused bytes before its footer."""
    end = len(parquet) - 8 - int.from_bytes(parquet[-8:-4], "little")
    return parquet[:end] + bytes(size) + parquet[end:]


@pytest.mark.parametrize("traces", [0, 1])
def test_first_save_next_to_a_copied_tree_takes_a_free_name(
    server: Location, savers: Savers, tmp_path: Path, traces: int
) -> None:
    disk = LocalLocation(tmp_path / "disk")
    ended = savers(disk, saves=5, traces=1 - traces)
    upload(disk, server)
    more = savers(server, saves=5, traces=traces, first=100)
    more.add(moved(ended, disk, server))
    assert len(check_invariants(server, more)) == 10
