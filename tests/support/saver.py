"""Jobs in fresh processes that strace can be attached to, and a check of their outcomes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult

from .processes import HANG, TESTS
from .results import record_text
from .tracing import Call, attach_tracer, calls_of
from .trees import list_tree

SCRIPTS = TESTS / "crash"


@dataclass
class Outcome:
    """The end of a job in a process of its own."""

    reply: dict[str, Any]
    """The report of the process; empty if it was killed."""
    killed_by: int
    stderr: str
    trace: str
    calls: list[Call] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The class of the error, `saved` or `killed`."""
        return str(self.reply.get("kind", "killed"))


class LineProcess:
    """A worker script that reads jobs and writes answers, one line of JSON each."""

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.pid = self._process.pid

    def send(self, data: bytes) -> None:
        """Write to the standard input of the script."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def receive(self) -> Any:
        """Return the next answer of the script."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=HANG)
        self._process.stdout.close()


class Saver(LineProcess):
    """A process that forks a fresh child for each job, and traces it on request."""

    def __init__(self, scratch: Path, script: str = "save_worker.py") -> None:
        super().__init__(script)
        self._scratch = scratch
        self._runs = 0

    @property
    def next_log(self) -> Path:
        """The file for the trace of the next job."""
        return self._scratch / f"{self._runs}.log"

    def save(
        self,
        result: ExperimentResult,
        root: Path | str,
        *,
        source: Path | str | None = None,
        trace: bool = False,
        inject: tuple[str, ...] = (),
        only: tuple[Path, ...] = (),
        **options: object,
    ) -> Outcome:
        """Save in a fresh process; see `save_worker.py` for the options, and `run` for the rest."""
        job = {
            "result": result.model_dump_json(),
            "root": str(root),
            "source": None if source is None else str(source),
            **options,
        }
        return self.run(job, trace=trace, inject=inject, only=only)

    def run(
        self,
        job: Mapping[str, object],
        *,
        trace: bool = False,
        inject: tuple[str, ...] = (),
        only: tuple[Path, ...] = (),
        watch: str = "",
    ) -> Outcome:
        """Do a job in a fresh process, under strace with `trace` or `inject`; see `attach_tracer`.

        A traced job with `next` goes on once the tracer is detached, and sends a second report.
        """
        stderr, log = self._scratch / f"{self._runs}.err", self.next_log
        self._runs += 1
        self.send(json.dumps({**job, "stderr": str(stderr)}).encode() + b"\n")
        child = int(self.receive())
        tracer = None
        if trace or inject:
            tracer = attach_tracer(child, log, inject, only, watch)
        self.send(b"!")
        reply, status = {}, self.receive()
        if isinstance(status, dict):
            reply = status
            if tracer is not None and job.get("next"):
                tracer.terminate()
                tracer.communicate(timeout=HANG)
                self.send(b"!")
                reply |= self.receive()
            status = self.receive()
        if tracer is not None:
            tracer.communicate(timeout=HANG)
        text = log.read_text() if tracer is not None else ""
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome(reply, killed_by, stderr.read_text(), text, calls_of(text))


def check_outcome(result: ExperimentResult, root: Path, outcome: Outcome) -> str:
    """Check that an outcome and the tree agree, and return which consistent outcome it is.

    The root was empty, or absent, before the save. The outcomes are `nothing`, `saved`, `no sidecar`, and
    `unconfirmed`: a complete record whose durability is unknown.
    """
    assert not outcome.stderr, outcome.stderr
    there = list_tree(root)
    if outcome.kind == "PersistenceError" and not outcome.reply["committed"]:
        assert there in ([], ["absent"]), f"{outcome.reply} left {there}"
        assert outcome.reply["result_path"] is None
        return "nothing"
    assert outcome.kind in ("saved", "PersistenceError", "SidecarError"), outcome.reply
    record = Path(outcome.reply["result_path" if "step" in outcome.reply else "path"])
    folder = record.parent.name
    sidecar = outcome.kind != "SidecarError" and (record.parent / "timeseries.parquet").exists()
    named = result.model_copy(update={"timeseries": "timeseries.parquet"}) if sidecar else result
    assert record.read_text() == record_text(named)
    files = [folder, f"{folder}/result.json", f"{folder}/timeseries.parquet"]
    assert there == (files if sidecar else files[:2])
    if sidecar:
        assert_parquet((record.parent / "timeseries.parquet").read_bytes())
    if outcome.kind == "PersistenceError":
        return "unconfirmed"
    return "no sidecar" if outcome.kind == "SidecarError" else "saved"


def assert_parquet(content: bytes) -> None:
    """Check that bytes begin and end as a complete Parquet file does."""
    assert content[:4] == content[-4:] == b"PAR1"
