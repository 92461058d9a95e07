"""`llem save --redact` and `llem verify --deep` on configurations with credentials."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from support.foreign import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    MakeRecord = Callable[..., dict[str, Any]]

SECRET = "sk-0123456789"  # noqa: S105 - of nobody


@pytest.fixture
def results(llem: Run, record: MakeRecord, tmp_path: Path) -> Path:
    """Save a result with a credential."""
    config = {"model": "gpt2", "pad_token": "<pad>", "client": {"OPENAI_API_KEY": SECRET}}
    (tmp_path / "x.json").write_text(json.dumps(record("x", effective_config=config)))
    assert llem("save", "x.json", "-o", "results").returncode == 0
    return tmp_path / "results"


def config_of(root: Path) -> dict[str, Any]:
    (path,) = root.glob("*/result.json")
    config: dict[str, Any] = json.loads(path.read_text())["effective_config"]
    return config


def test_verify_deep_names_the_key_of_a_credential_and_exits_0(llem: Run, results: Path) -> None:
    done = llem("verify", "results", "--deep")
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.startswith("credential ")
    assert ": effective_config.client.OPENAI_API_KEY holds a credential; save " in first
    assert last.endswith(": 1 complete, 1 with credentials")
    (listed,) = json.loads(llem("verify", "results", "--deep", "--json").stdout)["secrets"]
    assert listed["path"] == str(next(results.iterdir()))
    assert SECRET not in done.stdout


def test_save_redact_of_a_file_writes_no_credential(llem: Run, results: Path, tmp_path: Path) -> None:
    assert config_of(results)["client"] == {"OPENAI_API_KEY": SECRET}
    done = llem("save", "x.json", "--redact", "-o", "clean")
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"model": "gpt2", "pad_token": "<pad>", "client": {"OPENAI_API_KEY": "***"}}
    assert config_of(tmp_path / "clean") == expected
    assert llem("verify", "clean", "--deep").stdout.endswith(": 1 complete\n")


def test_save_redact_of_a_directory_skips_what_it_has_copied(
    llem: Run, results: Path, tmp_path: Path
) -> None:
    for counted in ("1 result saved", "1 skipped"):
        done = llem("save", str(results), "--redact", "-o", "clean")
        assert done.returncode == 0
        assert counted in done.stdout
    assert config_of(tmp_path / "clean")["client"] == {"OPENAI_API_KEY": "***"}


def test_import_redact_writes_no_credential(llem: Run, tmp_path: Path) -> None:
    content = json.loads((EXAMPLES / "vllm_bench_serve.json").read_text())
    (tmp_path / "bench.json").write_text(json.dumps(content | {"api_key": SECRET}))
    for root, options, value in (("plain", (), SECRET), ("clean", ("--redact",), "***")):
        assert llem("import", "bench.json", *options, "-o", root).returncode == 0
        (path,) = (tmp_path / root).glob("*/result.json")
        assert path.read_text().count(f'"api_key": "{value}"') == 1
        assert path.read_text().count(SECRET) == (value == SECRET)


def test_verify_deep_takes_more_keys_of_the_environment(
    llem: Run, environment: dict[str, str], results: Path
) -> None:
    assert results.is_dir()
    environment["LLEM_SECRET_KEYS"] = "model"  # noqa: S105 - the name of a key
    done = llem("verify", "results", "--deep", "--json")
    assert len(json.loads(done.stdout)["secrets"]) == 2
