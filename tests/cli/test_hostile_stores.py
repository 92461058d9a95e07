"""Every command on generated stores: no traceback, a known exit status, nothing that steers a terminal."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.hostile import names, texts
from support.program import run_llem, unsafe
from support.results import make_record

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
FUZZ = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))

KEYS = st.sampled_from(["model", "Model", "a", "a.b", "A", "", '"', "n", "backend", "path"]) | texts(3)
NUMBERS = st.floats() | st.integers() | st.sampled_from([2**63, -(2**63), 10**400, 1e308, 5e-324, -0.0])
SCALARS = st.none() | st.booleans() | NUMBERS | texts() | st.sampled_from(["NaN", "Infinity", "null", "8"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
CONFIGS = st.dictionaries(KEYS, VALUES, max_size=5)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "effective_config": CONFIGS,
        "total_energy_j": NUMBERS,
        "avg_energy_per_token_j": NUMBERS,
        "total_tokens": st.integers(-(2**63), 2**63),
        "total_inference_time_sec": NUMBERS,
        "measurement_warnings": st.lists(texts(), max_size=3),
        "backend": texts(),
        "experiment_id": texts(),
        "reproducibility_notes": texts(),
        "start_time": st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "x\x1b"]),
        "energy_per_device_j": st.lists(NUMBERS, max_size=3),
        "timeseries": texts(),
    },
)
STORES = st.lists(st.tuples(names(), FIELDS | st.sampled_from(["", "{", "[]", '{"\\u202e": 1}'])), max_size=4)


def _write(root: Path, store: list[tuple[str, Any]]) -> list[str]:
    """Write records, and return the names of their directories."""
    written = []
    for number, (name, fields) in enumerate(store):
        directory = root / f"{name.replace('/', '-')}{number}"
        directory.mkdir()
        content = fields if isinstance(fields, str) else json.dumps(make_record("run", **fields))
        (directory / "result.json").write_text(content, encoding="utf-8")
        if number % 2:
            (directory / "timeseries.parquet").write_bytes(b"PAR1" + os.fsencode(name))
        written.append(str(directory))
    return written


def _commands(root: str, results: list[str], column: str, output: str) -> list[tuple[str, ...]]:
    key = f"config.{column}"
    return [
        ("ls", root),
        ("ls", root, "--json"),
        ("ls", root, "-c", f"config,path,{column}", "--sort", "when"),
        ("ls", root, "-c", key, "--sort", key),
        ("ls", root, "-c", "config"),
        ("ls", root, "--sort", column, "-n", "1"),
        ("ls", root, "--where", f"{key}={column}", "-w", f"model~{column}"),
        ("summary", root),
        ("summary", root, "--json", "--by", f"config,{column}"),
        ("summary", root, "--by", "config"),
        ("summary", root, "--by", ""),
        ("summary", root, "--by", key),
        ("compare", root, *results),
        ("compare", root, *results, "--json"),
        ("export", root, "-o", f"{output}.csv", "--excel"),
        ("export", root, "-o", f"{output}.jsonl", "--config", "json"),
        ("export", root, "-o", f"{output}.parquet", "-c", "id,config"),
        ("verify", root, "--deep"),
        ("verify", root, "--json"),
        ("clean", root, "--older-than", "0s"),
        *(("show", path) for path in results),
        *(("show", f"{path}/result.json", "--json") for path in results[:1]),
    ]


@pytest.mark.slow
@FUZZ
@given(store=STORES, column=texts(3), terminal=st.booleans())
def test_run_every_command_on_any_store_ends_without_traceback(
    *, store: list[tuple[str, Any]], column: str, terminal: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "store")
        root.mkdir()
        results = _write(root, store)
        for command in _commands(str(root), results, column, f"{directory}/table"):
            done = run_llem(*command, terminal=terminal)
            shown = (command, done.err[-500:])
            assert done.status in (0, 1, 2), shown
            assert "internal error" not in done.err, shown
            assert "Traceback" not in done.err, shown
            assert not unsafe(done.out + done.err) - _raw_bytes(terminal=terminal), shown
            if "--json" in command and done.status < 2 and done.out:
                json.loads(done.out)


def _raw_bytes(*, terminal: bool) -> set[str]:
    """Return the bytes of names that are not UTF-8, which only a terminal must not get."""
    return set() if terminal else {chr(0xDC00 + byte) for byte in range(0x80, 0x100)}


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "store", "store"),
        ("ls", "store", "-c", "config"),
        ("ls", "store", "--sort", "config"),
        ("summary", "store", "--by", "config"),
        ("summary", "store", "--by", ""),
        ("summary", "store"),
        ("export", "store", "-o", "t.csv"),
        ("export", "store", "-o", "t.csv", "--config", "json"),
    ],
)
def test_run_command_on_more_keys_than_a_table_holds_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    configs = [{f"key-{part}-{number}": part for number in range(5500)} for part in range(2)]
    _write(tmp_path / "store", [(str(part), {"effective_config": configs[part]}) for part in range(2)])
    done = run_llem(*command)
    assert "internal error" not in done.err
    if done.status == 2:
        assert done.err.count("\n") == 2
        assert done.out == ""
        advice = "--config json" if command[0] == "export" else "name some with -c"
        assert "--sort" in command or ("more than 10000 different keys" in done.err and advice in done.err)
    else:
        assert done.status == 0
        assert command[0] in ("compare", "summary") or "--config" in command
