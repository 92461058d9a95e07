"""The column `record_sha256` of a scan."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from llenergymeasure import ResultStore

Put = Callable[..., Path]


def test_scan_record_sha256_is_that_of_the_file(put: Put, tmp_path: Path) -> None:
    record = put("a")
    put("b", total_tokens=2)
    digest = hashlib.sha256(record.read_bytes()).hexdigest()
    store = ResultStore(tmp_path)
    assert store.scan(["record_sha256"]).to_pydict()["record_sha256"][0] == digest
    assert store.scan(["path"], where=[("record_sha256", "==", digest)]).to_pydict() == {"path": ["a"]}
    assert "record_sha256" not in store.scan().schema.names
