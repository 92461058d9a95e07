"""The logger `llenergymeasure`: what it reports, and what it costs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from llenergymeasure import ResultStore
from llenergymeasure.results import _disk, _durability
from support.processes import run_code
from support.results import make_results


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Save three results, and damage two."""
    paths = ResultStore(tmp_path).save_many(make_results(3), durable=False)
    paths[0].write_bytes(b"")
    paths[1].write_text("[")
    return tmp_path


READERS: dict[str, Any] = {
    "scan": lambda store: list(store.scan(["path"], on_error="skip")),
    "load_all": lambda store: store.load_all(on_error="skip"),
    "completed": lambda store: store.completed(),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.filterwarnings("ignore")
def test_log_names_each_skipped_file(read: Any, damaged: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(ResultStore(damaged))
    assert {(record.name, record.levelname) for record in caplog.records} == {("llenergymeasure", "WARNING")}
    assert len(caplog.messages) == 2
    for message in caplog.messages:
        assert message.startswith(f"skipped: {damaged}")


@pytest.mark.filterwarnings("ignore")
def test_log_names_links_that_were_not_followed(
    damaged: Path, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path_factory.mktemp("links")
    (root / "link").symlink_to(damaged)
    list(ResultStore(root).scan(["path"]))
    (message,) = caplog.messages
    assert "was not followed" in message


def test_log_reports_a_downgraded_durability_also_where_warnings_are_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = _disk.Mount("tmpfs", "tmpfs", str(tmp_path), "rw", "rw")
    monkeypatch.setattr(_durability, "mount_of", lambda _: mount)
    monkeypatch.setattr(_durability, "_warned", set())
    monkeypatch.delenv(_durability.QUIET, raising=False)
    with pytest.raises(UserWarning, match="do not survive a power cut"):
        _durability.warn_once(str(tmp_path))
    (message,) = caplog.messages
    assert (
        message
        == f"durable saves to {tmp_path} do not survive a power cut: tmpfs is memory: a flush stores nothing"
    )


def test_log_has_a_null_handler_and_prints_nothing(damaged: Path) -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore'); import llenergymeasure, sys\n"
        "{early}\n"
        f"llenergymeasure.ResultStore({str(damaged)!r}).load_all(on_error='skip')\n"
        "import logging; print(logging.getLogger('llenergymeasure').handlers)"
    )
    for early in ("", "import logging"):
        done = run_code(code.format(early=early), check=True)
        assert (done.stdout, done.stderr) == ("[<NullHandler (NOTSET)>]\n", "")


def test_log_handler_is_there_from_the_start_where_logging_is_used() -> None:
    code = "import logging, llenergymeasure; print(logging.getLogger('llenergymeasure').handlers)"
    assert run_code(code, check=True).stdout == "[<NullHandler (NOTSET)>]\n"


def test_import_loads_no_logging() -> None:
    code = (
        "import sys, llenergymeasure; llenergymeasure.ExperimentResult, llenergymeasure.ResultStore; "
        "print('logging' in sys.modules)"
    )
    assert run_code(code, check=True).stdout == "False\n"


@pytest.mark.filterwarnings("ignore")
def test_log_filter_that_raises_does_not_stop_a_reader(damaged: Path) -> None:
    def refuse(_: logging.LogRecord) -> bool:
        raise RuntimeError("no")

    logger = logging.getLogger("llenergymeasure")
    logger.addFilter(refuse)
    try:
        assert len(ResultStore(damaged).load_all(on_error="skip")) == 1
    finally:
        logger.removeFilter(refuse)
