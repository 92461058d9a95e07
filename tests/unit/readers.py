"""A process that runs every reader on a tree with little memory, and reports each answer.

Run as a script: `readers.py ROOT MEBIBYTES [READER...]`. Each answer is a line of JSON: the reader, what it
returned or raised, and what it warned of; of a reader of one result, that for each directory in ROOT by its
name. Whatever ends the process ends the answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from llenergymeasure import ExperimentResult, ResultStore, load_result
from llenergymeasure.cli import main as llem
from llenergymeasure.results.scan import Scan
from llenergymeasure.results.timeseries import read_timeseries

RECORD, SIDECAR = "result.json", "timeseries.parquet"


def of_one(store: ResultStore, scratch: Path) -> dict[str, Callable[[Path], object]]:
    """Return the readers of one result, by name."""
    return {
        "load": lambda place: store.load(place, missing_sidecar="ignore").experiment_id,
        "load_result": lambda place: load_result(place / RECORD, missing_sidecar="ignore").experiment_id,
        "from_json": lambda place: ExperimentResult.from_json(place, missing_sidecar="ignore").experiment_id,
        "stored": lambda place: store[place].load(missing_sidecar="ignore").experiment_id,
        "read_timeseries": lambda place: len(read_timeseries(place)),
        "stored_timeseries": lambda place: len(store[place].timeseries()),
        "save": lambda place: str(load_result(scratch).save(scratch, place / SIDECAR)),
        "llem_show": lambda place: run("show", place),
    }


def of_all(store: ResultStore) -> dict[str, Callable[[], object]]:
    """Return the readers of a tree, by name."""
    return {
        "load_all": lambda: [result.experiment_id for result in store.load_all(missing_sidecar="ignore")],
        "load_all_skip": lambda: [
            result.experiment_id for result in store.load_all(on_error="skip", missing_sidecar="ignore")
        ],
        "scan": lambda: rows(store.scan(["path"])),
        "scan_all": lambda: rows(store.scan()),
        "scan_skip": lambda: rows(store.scan(["path"], on_error="skip")),
        "scan_collect": lambda: rows(store.scan(["path"], on_error="collect")),
        "scan_all_collect": lambda: rows(store.scan(on_error="collect")),
        "scan_key_collect": lambda: rows(store.scan(["path", "effective_config.x"], on_error="collect")),
        "scan_timeseries": lambda: rows(store.scan_timeseries()),
        "scan_timeseries_skip": lambda: rows(store.scan_timeseries(on_error="skip")),
        "scan_timeseries_collect": lambda: rows(store.scan_timeseries(on_error="collect")),
        "completed": lambda: sorted(store.completed()),
        "verify": lambda: verified(store, deep=False),
        "verify_deep": lambda: verified(store, deep=True),
        "clean": lambda: cleaned(store),
        "repr": lambda: repr(store),
        "llem_ls": lambda: run("ls", store.root, "--json", "-c", "path,effective_config.model"),
        "llem_export": lambda: exported(store),
        "llem_verify": lambda: run("verify", "--deep", store.root),
    }


def rows(scan: Scan) -> dict[str, Any]:
    output = scan.to_pydict()
    root = Path(str(scan.root))  # the errors have absolute paths
    errors = {str(path.relative_to(root)): str(error) for path, error in scan.errors.items()}
    return {"path": sorted(set(output["path"])), "rows": len(output["path"]), "errors": errors}


def verified(store: ResultStore, *, deep: bool) -> dict[str, Any]:
    found = store.verify(deep=deep)
    kinds = ("damaged", "missing_sidecars", "incomplete", "foreign", "links")
    output = {kind: {path.name: problem for path, problem in getattr(found, kind)} for kind in kinds}
    return {"complete": found.complete, **output}


def cleaned(store: ResultStore) -> dict[str, list[str]]:
    found = store.clean(older_than=timedelta(0), dry_run=False)
    return {
        "removed": [path.name for path, _ in found.removed],
        "kept": [path.name for path, _ in found.kept],
    }


def exported(store: ResultStore) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "rows.jsonl")
        return run("export", store.root, "-o", file, "-c", "path,start_time") | {"out": file.read_text()}


def run(*arguments: str | Path) -> dict[str, Any]:
    sys.argv = ["llem", *map(str, arguments)]
    out, err = io.BytesIO(), io.BytesIO()
    with (
        contextlib.redirect_stdout(io.TextIOWrapper(out, encoding="utf-8", write_through=True)),
        contextlib.redirect_stderr(io.TextIOWrapper(err, encoding="utf-8", write_through=True)),
    ):
        status = llem()
        return {"status": status, "out": out.getvalue().decode(), "err": err.getvalue().decode()}


def answer(reader: Callable[[], object]) -> dict[str, Any]:
    output: dict[str, Any] = {"raised": None, "message": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            output["returned"] = reader()
        except BaseException as error:  # noqa: BLE001 - whatever came out is what is tested
            output |= {
                "raised": type(error).__name__,
                "message": str(error),
                "errno": getattr(error, "errno", None),
            }
    return output | {"warned": [str(warning.message) for warning in caught]}


def report(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def main() -> None:
    root, mebibytes, *wanted = Path(sys.argv[1]), *sys.argv[2:]
    # A result to save with each sidecar.
    with tempfile.TemporaryDirectory() as scratch:
        given = root.with_name("given.json")
        if given.exists():
            Path(scratch, RECORD).write_bytes(given.read_bytes())
        limit = int(mebibytes) << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        store, places = ResultStore(root), sorted(root.iterdir())
        for name, one in of_one(store, Path(scratch)).items():
            if name in wanted:
                answers = {}
                for place in places:
                    report({"began": name, "place": place.name})
                    answers[place.name] = answer(lambda one=one, place=place: one(place))  # type: ignore[misc]
                report({"reader": name, "answer": answers})
        for name, reader in of_all(store).items():
            if name in wanted:
                report({"began": name})
                report({"reader": name, "answer": answer(reader)})
        # VmHWM counts this program alone; getrusage would include its parent.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        report({"reader": "peak", "answer": int(status.partition("VmHWM:")[2].split()[0]) << 10})


if __name__ == "__main__":
    main()
