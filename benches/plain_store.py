"""A store as people write it: pure Python, one directory per result, a linear search for the suffix.

`bench.py` compares the package with it. It is as fast as code of this kind can be. It flushes nothing, two
processes can take one name, and the n-th save of a name probes n names.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llenergymeasure import ExperimentResult

__all__ = ["save"]


def save(result: ExperimentResult, output_dir: Path, timeseries_source: Path | None = None) -> Path:
    """Save one result to `{model}_{backend}_{timestamp}`, or the first free one of `..._1`, `..._2`, ..."""
    model = str(result.effective_config.get("model", "unknown")).replace("/", "-").lower()
    name = f"{model}_{result.backend}_{time.strftime('%Y-%m-%dT%H-%M')}"
    directory = output_dir / name
    suffix = 0
    while directory.exists():
        suffix += 1
        directory = output_dir / f"{name}_{suffix}"
    directory.mkdir(parents=True)
    record = directory / "result.json"
    temp = directory / "result.json.tmp"
    temp.write_text(result.model_dump_json(indent=2), encoding="utf-8")
    os.replace(temp, record)  # noqa: PTH105 - typical code
    if timeseries_source is not None:
        shutil.copy2(timeseries_source, directory / "timeseries.parquet")
    return record
