"""The servers of the suite start, and honour or break conditions as the suite expects of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from support import servers
from support.servers import Server

from .conftest import SERVERS, START


@pytest.mark.parametrize("name", SERVERS or ["moto"])
def test_race_on_server_has_one_winner(programs: Callable[[str], Any], name: str) -> None:
    server = programs(name)
    assert count_winners(server) == 1


@pytest.mark.parametrize(("program", "start"), [("rclone", servers.rclone), ("s3s-fs", servers.s3s_fs)])
def test_race_on_bad_server_has_many_winners(
    tmp_path: Path, program: str, start: Callable[[Path], AbstractContextManager[Server]]
) -> None:
    if servers.find_program(program) is None:
        pytest.skip(f"no {program}")
    with start(tmp_path) as server:
        assert max(count_winners(server, 1_000_000) for _ in range(5)) > 1


def count_winners(server: Server, size: int = 10) -> int:
    """Let 16 threads create one object, and return how many were told that they did."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, client = server.new_bucket(), server.client(attempts=1)

    def put(number: int) -> bool:
        try:
            client.put_object(Bucket=bucket, Key="a", Body=bytes([number]) * size, IfNoneMatch="*")
        except (BotoCoreError, ClientError):
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(put, range(16)))


def test_start_names_every_server() -> None:
    assert set(SERVERS) <= set(START)
