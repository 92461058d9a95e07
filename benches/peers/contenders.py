"""The contenders: how each saves, what it flushes, and its settings for speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BASE", "CONTENDERS", "Contender"]

ALL = "file and its directories"
NOTHING = "nothing"


@dataclass(frozen=True)
class Contender:
    """One way to save, described without an import of its package."""

    name: str
    session: str
    """Its `Session`, as `module:class` in this package."""
    flushed: str
    """The files that are flushed when a save returns."""
    survives: bool
    """True if every result survives a power cut right after that, on an honest device."""
    setting: str
    """How it saves, and its settings for speed."""
    ours: bool = False
    target: float | None = None
    """The speed-up per result that `save_many` should reach."""
    share: float = 1.0
    """The share of the requested results that it saves; fewer suffice for slow contenders."""
    environment: Literal["peers", "published"] = "peers"


BASE = "save_many, durable"
"""The contender that the others are compared with."""

CONTENDERS = (
    Contender(
        "baseline, durable",
        "ours:DurableBaseline",
        ALL,
        survives=True,
        setting="the bare system calls of a save, in Rust's std; no serialisation",
        ours=True,
        share=0.2,
    ),
    Contender(
        "baseline, not durable",
        "ours:Baseline",
        NOTHING,
        survives=False,
        setting="the same without the flushes",
        ours=True,
        share=0.2,
    ),
    Contender(
        "save_result, durable",
        "ours:DurableSave",
        ALL,
        survives=True,
        setting="one call per result",
        ours=True,
        share=0.2,
    ),
    Contender(
        "save_result, not durable",
        "ours:Save",
        NOTHING,
        survives=False,
        setting="one call per result, durable=False",
        ours=True,
        share=0.2,
    ),
    Contender(
        BASE,
        "ours:SaveMany",
        ALL,
        survives=True,
        setting="one call for all results of a round",
        ours=True,
    ),
    Contender(
        "writer, durable",
        "ours:Write",
        ALL,
        survives=True,
        setting="one submitting thread; from opening the writer until it is closed",
        ours=True,
    ),
    Contender(
        "SQLite, WAL, FULL",
        "sqlite_rows:FullRows",
        "the log",
        survives=True,
        setting="one row per transaction, autocommit, JSON as TEXT; page size and checkpoints as by default, "
        "which measured fastest; into a log that has its full size",
        target=1.0,
    ),
    Contender(
        "SQLite, WAL, NORMAL",
        "sqlite_rows:NormalRows",
        "the log, at checkpoints only",
        survives=False,
        setting="as above",
    ),
    Contender(
        "atomicwrites",
        "atomic_files:AtomicFiles",
        "file, its directory",
        survives=True,
        setting="one directory for all; overwrite=True: a rename where the default is a link and an unlink",
        target=5.0,
        share=0.2,
    ),
    Contender(
        "signac, job document",
        "signac_jobs:Documents",
        NOTHING,
        survives=False,
        setting="open_job, then one assignment of the document; not buffered, which measured slower",
        target=4.0,
        share=0.2,
    ),
    Contender(
        "signac, file of a job",
        "signac_jobs:Files",
        NOTHING,
        survives=False,
        setting="open_job, init, then a plain write to job.fn(): not atomic",
        share=0.2,
    ),
    Contender(
        "Sacred, FileStorageObserver",
        "sacred_runs:Runs",
        NOTHING,
        survives=False,
        setting="one run per result, which it returns; no captured output, no sources, dependencies, git or "
        "details of the host; its heartbeat left on, which costs nothing that could be measured",
        target=50.0,
        share=0.02,
    ),
    Contender(
        "Sacred, as it comes",
        "sacred_runs:DefaultRuns",
        NOTHING,
        survives=False,
        setting="one run per result, which it returns; what it captures and gathers by default",
        share=0.02,
    ),
    Contender(
        "MLflow, file store",
        "mlflow_runs:Runs",
        NOTHING,
        survives=False,
        setting="one run per result: configuration and metrics in one log_batch, the record as an artifact; "
        "by MlflowClient, which looks for no git repository; no telemetry",
        target=100.0,
        share=0.02,
    ),
    Contender(
        "MLflow, as it comes",
        "mlflow_runs:FluentRuns",
        NOTHING,
        survives=False,
        setting="start_run, log_params, log_metrics, log_dict; no telemetry",
        share=0.02,
    ),
    Contender(
        "0.7.0, save_result",
        "published:Results",
        "file, not its directories",
        survives=False,
        setting="result.json alone, which holds neither environment nor configuration; a name for each, so "
        "that its search for a free one ends at once",
        share=0.2,
        environment="published",
    ),
    Contender(
        "0.7.0, bundle",
        "published:Bundles",
        "files, not their directories",
        survives=False,
        setting="result.json, system.json and config.json: the same data but for the packages, which it "
        "keeps once per study",
        target=10.0,
        share=0.2,
        environment="published",
    ),
)
