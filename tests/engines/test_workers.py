"""The examples of saving from workers lose and double nothing, although workers are killed with kill -9."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llenergymeasure import _store
from support import servers, witness_notes
from support.locations import LocalLocation, Location, S3Location
from support.optional import needs
from support.processes import HANG, export_support
from support.servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples" / "workers"
CONFIGS = 24
SLURM_TASKS = 4
needs_remote = pytest.mark.skipif(
    not hasattr(_store, "ObjectStorage"), reason="a build without object stores"
)
PROGRAMS = [
    pytest.param("dask_tasks.py", marks=needs("dask", "distributed")),
    pytest.param("ray_tasks.py", marks=needs("ray")),
    pytest.param("ray_actors.py", marks=needs("ray")),
    pytest.param("spark_partitions.py", marks=needs("pyspark")),
    pytest.param("slurm_array.sh", marks=needs()),
]


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return an object store."""
    with servers.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(params=["local", pytest.param("moto", marks=needs_remote)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """Return an empty directory or bucket."""
    if request.param == "local":
        return LocalLocation(tmp_path / "shared")
    return S3Location(request.getfixturevalue("moto"))


def environment(location: Location, notes: Path) -> dict[str, str]:
    """Return the environment of an example: the credentials of the bucket, and where the witness notes."""
    export_support()
    options = location.options or {}
    names = {"endpoint": "AWS_ENDPOINT_URL"}
    access = {names.get(key, f"AWS_{key.upper()}"): value for key, value in options.items()}
    package = str(Path(_store.__file__ or "").parents[1])
    path = os.pathsep.join([os.environ["PYTHONPATH"], package])
    python = {"PYTHON": sys.executable, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": path}
    ray = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    return os.environ | access | python | ray | {"LLEM_WITNESS": str(notes), "SPARK_LOCAL_IP": "127.0.0.1"}


def run(name: str, place: Path, root: str, variables: dict[str, str]) -> list[int]:
    """Run an example to its end; return the status of the program, or of each task of the array."""
    tasks: list[dict[str, str]] = [{}]
    command = [sys.executable, "-W", "ignore", name, root]
    if name.endswith(".sh"):
        command = ["sh", name, root]
        count = {"SLURM_ARRAY_TASK_COUNT": str(SLURM_TASKS), "SLURM_SUBMIT_DIR": str(place)}
        tasks = [{"SLURM_ARRAY_TASK_ID": str(number)} | count for number in range(SLURM_TASKS)]
    log = (place / f"log-{uuid.uuid4().hex[:8]}").open("w+b")
    with log:
        started = [
            subprocess.Popen(command, cwd=place, env=variables | task, stdout=log, stderr=log)
            for task in tasks
        ]
        ended = [process.wait(2 * HANG) for process in started]
        log.seek(0)
        assert set(ended) <= {0, -9}, log.read()[-3000:].decode(errors="replace")
    return ended


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_example_with_killed_workers_saves_each_result_once(
    name: str, location: Location, tmp_path: Path
) -> None:
    if name.startswith("spark") and shutil.which("java") is None:
        pytest.skip("needs a Java runtime: apt-get install default-jre-headless")
    place, notes = tmp_path / "program", tmp_path / "notes"
    shutil.copytree(EXAMPLES, place)
    notes.mkdir()
    with (place / "measurement.py").open("a") as module:
        module.write("\nimport support.witness\n")
    variables = environment(location, notes)
    ended = run(name, place, location.root, variables)
    if name.endswith(".sh"):
        assert ended.count(-9) == witness_notes.KILLS
        # Slurm puts the tasks that ended so into the queue again.
        ended = run(name, place, location.root, variables)
    assert set(ended) == {0}
    assert sorted(path.name for path in notes.glob("killed-*")) == ["killed-0", "killed-1"]

    store = location.store()
    acknowledged = witness_notes.acknowledged(notes)
    records = [f"{location.root}/{record}" for record in location.records()]
    assert max(Counter(acknowledged).values()) == 1
    assert set(acknowledged) <= set(records)
    sizes = store.scan(["config.batch_size"]).to_pydict()["config.batch_size"]
    assert sorted(sizes) == list(range(1, CONFIGS + 1))
    store.clean(older_than="0s", dry_run=False)
    checked = store.verify(deep=True)
    assert checked.ok
    assert not checked.incomplete
