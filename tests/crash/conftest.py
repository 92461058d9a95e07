"""Saves in processes of their own, traced, with calls that fail; and file systems that fill up."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import pytest

from llenergymeasure import ExperimentResult
from llenergymeasure.results.timeseries import Timeseries

TRACED = (
    "open,openat,mkdir,mkdirat,write,pwrite64,lseek,fsync,fdatasync,sync,syncfs,sync_file_range,close,"
    "rename,renameat,renameat2,link,linkat,copy_file_range,sendfile,ioctl,utimensat,getppid,"
    "stat,lstat,fstat,newfstatat,statx,access,faccessat,faccessat2"
)
READS = "open,openat,read,pread64,lseek,fstat,newfstatat,statx,fcntl,close"
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (\S+)")
MARK = "getppid"


@dataclass(frozen=True)
class Call:
    """One system call of a save, and which one of its name it is, counted from 1."""

    name: str
    arguments: str
    answer: str
    nth: int


@dataclass
class Outcome:
    """What became of a save in a process of its own."""

    said: dict[str, Any]
    killed_by: int
    stderr: str
    trace: str
    calls: list[Call] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return str(self.said.get("kind", "killed"))


class Saver:
    """Forks a fresh process for each save."""

    def __init__(self, scratch: Path, script: str = "saver.py") -> None:
        self._scratch = scratch
        self._runs = 0
        command = [sys.executable, str(Path(__file__).parent / script)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

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
        """Save in a fresh process; under strace if there is something to trace or to inject.

        With `only`, no other call than those on these paths is traced or fails.
        """
        job = {
            "result": result.model_dump_json(),
            "root": str(root),
            "source": None if source is None else str(source),
            "durable": True,
            "stamp": None,
            "warm": 0,
            "umask": None,
            "alarm": False,
            "gone_cwd": False,
            "fsize": None,
            "descriptors": None,
            "uid": None,
            **options,
        }
        return self.run(job, trace=trace, inject=inject, only=only)

    def run(
        self,
        job: dict[str, object],
        *,
        trace: bool = False,
        inject: tuple[str, ...] = (),
        only: tuple[Path, ...] = (),
        watch: str = "",
    ) -> Outcome:
        """Do a job in a fresh process; see `save`. `watch` names further calls that are traced.

        With a tracer, a job that says `next` goes on when the tracer is gone, and says more.
        """
        stderr, log = self._scratch / f"{self._runs}.err", self._scratch / f"{self._runs}.log"
        self._runs += 1
        self._send(json.dumps({**job, "stderr": str(stderr)}).encode() + b"\n")
        child = int(self._receive())
        tracer = None
        if trace or inject:
            tracer = attach(child, log, inject, only, watch)
        self._send(b"!")
        said, status = {}, self._receive()
        if isinstance(status, dict):
            said = status
            if tracer is not None and job.get("next"):
                tracer.terminate()
                tracer.communicate(timeout=20)
                self._send(b"!")
                said |= self._receive()
            status = self._receive()
        if tracer is not None:
            tracer.communicate(timeout=20)
        text = log.read_text() if tracer is not None else ""
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Outcome(said, killed_by, stderr.read_text(), text, calls(text))

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line: IO[bytes] = self._process.stdout
        return json.loads(line.readline())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


def attach(
    pid: int, log: Path, inject: tuple[str, ...], only: tuple[Path, ...], watch: str = ""
) -> subprocess.Popen[str]:
    """Attach strace to a process, and return when it traces."""
    # What is to fail must be traced.
    traced = [TRACED, *([READS] if only else []), *([watch] if watch else [])]
    traced += [injection.partition(":")[0] for injection in inject]
    command = [
        "strace",
        "-f",
        "-y",
        "-s",
        "64",
        "-o",
        str(log),
        "-e",
        f"trace={','.join(traced)}",
        "-p",
        str(pid),
    ]
    for path in only:
        command += ["-P", str(path)]
    for injection in inject:
        command += ["-e", f"inject={injection}"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, said
    return tracer


def calls(trace: str) -> list[Call]:
    """The calls between the two marks: those of the save."""
    found: list[Call] = []
    count: dict[str, int] = {}
    marks = 0
    for line in trace.splitlines():
        if (match := CALL.match(line)) is None:
            continue
        name, arguments, answer = match.groups()
        count[name] = count.get(name, 0) + 1
        marks += name == MARK
        if marks == 1 and name != MARK:
            found.append(Call(name, arguments, answer, count[name]))
    return found


@pytest.fixture(scope="session")
def saver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saver]:
    """Saves in fresh processes."""
    saver = Saver(tmp_path_factory.mktemp("saver"))
    yield saver
    saver.close()


@pytest.fixture(scope="session")
def saver_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Saver]]:
    """Run a script that forks a fresh process for each job."""
    savers: list[Saver] = []

    def start(script: str) -> Saver:
        savers.append(Saver(tmp_path_factory.mktemp("saver"), script))
        return savers[-1]

    yield start
    for saver in savers:
        saver.close()


@pytest.fixture(scope="session")
def traced(saver: Saver, result: ExperimentResult, tmp_path_factory: pytest.TempPathFactory) -> Saver:
    """Saves in fresh processes, where strace can be attached and inject errors."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    root = tmp_path_factory.mktemp("probe")
    try:
        probe = saver.save(result, root, inject=("mkdirat:error=EIO:when=1",))
    except AssertionError as error:
        pytest.skip(f"strace cannot attach: {error}")
    if probe.kind != "PersistenceError":
        pytest.skip("strace does not inject errors here")
    return saver


@pytest.fixture(scope="session")
def bulk(traced: Saver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Outcome]]:
    """Save many results in a fresh process, traced; see `bulk_saver.py` for the options."""
    assert traced
    saver = Saver(tmp_path_factory.mktemp("bulk"), "bulk_saver.py")

    def bulk(
        root: Path, *, inject: tuple[str, ...] = (), only: tuple[Path, ...] = (), **job: object
    ) -> Outcome:
        return saver.run({"root": str(root), **job}, trace=True, inject=inject, only=only)

    yield bulk
    saver.close()


@dataclass(frozen=True)
class Span:
    """One system call of a process with threads, and the lines of the trace where it begins and ends."""

    task: str
    name: str
    arguments: str
    answer: str
    injected: bool
    begins: int
    ends: int


BEGUN = re.compile(r"^(\d+) +(\w+)\((.*?)(?:<unfinished \.\.\.>|\) += (\S+).*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (\S+)")
INJECTED = "(INJECTED)"


def spans_of(trace: str) -> list[Span]:
    found: list[Span] = []
    open_: dict[str, tuple[str, str, int]] = {}
    for n, line in enumerate(trace.splitlines()):
        if (resumed := RESUMED.match(line)) is not None:
            task, name, rest, answer = resumed.groups()
            begun_name, arguments, begins = open_.pop(task, (name, "", 0))
            arguments = (arguments + rest).rstrip()
            found.append(Span(task, begun_name, arguments, answer, INJECTED in line, begins, n))
        elif (begun := BEGUN.match(line)) is not None:
            task, name, arguments, answer = begun.groups()
            if answer is None:
                open_[task] = (name, arguments.rstrip(), n)
            else:
                found.append(Span(task, name, arguments, answer, INJECTED in line, n, n))
    return sorted(found, key=lambda span: span.begins)


@pytest.fixture(scope="session")
def spans() -> Callable[[str], list[Span]]:
    """The system calls of a trace of many threads, in the order in which they began."""
    return spans_of


@pytest.fixture(scope="session")
def result() -> ExperimentResult:
    """A result of a few kilobytes."""
    now = datetime(2026, 2, 18, 14, 30, tzinfo=timezone.utc)
    return ExperimentResult(
        experiment_id="crash",
        measurement_config_hash="0123456789abcdef",
        measurement_methodology="total",
        total_tokens=1000,
        total_energy_j=12.5,
        total_inference_time_sec=3.25,
        avg_tokens_per_second=307.7,
        avg_energy_per_token_j=0.0125,
        total_flops=0.0,
        start_time=now,
        end_time=now,
        effective_config={"model": "org/Model", "padding": "0123456789" * 400},
    )


@pytest.fixture(scope="session")
def big(result: ExperimentResult) -> ExperimentResult:
    """A result of a megabyte."""
    return result.model_copy(update={"effective_config": {"model": "big", "padding": "0123456789" * 100_000}})


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory, result: ExperimentResult) -> Path:
    """A small Parquet file, written by the package itself."""
    trace = Timeseries(timestamp_s=[0.0] * 1000, gpu_index=[0] * 1000, power_w=[250.0] * 1000)
    saved = result.save(tmp_path_factory.mktemp("parquet"), trace, durable=False)
    return saved.with_name("timeseries.parquet")


@pytest.fixture(scope="session")
def big_parquet(tmp_path_factory: pytest.TempPathFactory, result: ExperimentResult) -> Path:
    """A Parquet file of about a megabyte that does not compress."""
    rows = 200_000
    noise = [int.from_bytes(os.urandom(6), "little") / 7.0 for _ in range(rows)]
    trace = Timeseries(timestamp_s=noise, gpu_index=[0] * rows, power_w=[1.0] * rows)
    saved = result.save(tmp_path_factory.mktemp("parquet"), trace, durable=False)
    path = saved.with_name("timeseries.parquet")
    assert path.stat().st_size > 1 << 20
    return path


def tree(root: Path) -> list[str]:
    """Everything under a directory, relative to it."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*")) if root.exists() else ["absent"]


@pytest.fixture(scope="session")
def listing() -> Callable[[Path], list[str]]:
    """Everything under a directory, relative to it; `["absent"]` where there is none."""
    return tree


@pytest.fixture(scope="session")
def check() -> Callable[[ExperimentResult, Path, Outcome], str]:
    """Check that an outcome and the tree agree; say which of the consistent outcomes it is.

    `root` was empty, or absent, before the save.
    """

    def check(result: ExperimentResult, root: Path, outcome: Outcome) -> str:
        assert "panicked" not in outcome.stderr, outcome.stderr
        assert not outcome.stderr, outcome.stderr
        there = tree(root)
        if outcome.kind == "PersistenceError" and not outcome.said["committed"]:
            assert there in ([], ["absent"]), f"{outcome.said} left {there}"
            assert outcome.said["result_path"] is None
            return "nothing"
        assert outcome.kind in ("saved", "PersistenceError", "SidecarError"), outcome.said
        record = Path(outcome.said["result_path" if "step" in outcome.said else "path"])
        folder = record.parent.name
        sidecar = outcome.kind != "SidecarError" and (record.parent / "timeseries.parquet").exists()
        named = result.model_copy(update={"timeseries": "timeseries.parquet"}) if sidecar else result
        assert record.read_text() == named.model_dump_json(indent=2)
        files = [folder, f"{folder}/result.json", f"{folder}/timeseries.parquet"]
        assert there == (files if sidecar else files[:2])
        if sidecar:
            content = (record.parent / "timeseries.parquet").read_bytes()
            assert content[:4] == content[-4:] == b"PAR1"
        if outcome.kind == "PersistenceError":
            return "unconfirmed"
        return "no sidecar" if outcome.kind == "SidecarError" else "saved"

    return check


def run(*command: str | Path) -> None:
    """Run a tool of the system that needs root."""
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount file systems, and unmount them in the end."""
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    mounted: list[Path] = []

    def mount(kind: str, options: str, device: str | Path = "none") -> Path:
        where = tmp_path / f"mount{len(mounted)}"
        where.mkdir()
        mounted.append(where)  # first, for Ctrl-C may come in the middle
        try:
            run("mount", "-t", kind, "-o", options, device, where)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"cannot mount a {kind}: {error}")
        return where

    yield mount
    for where in reversed(mounted):
        if where.is_mount():
            run("umount", where)


@pytest.fixture
def ext4(tmp_path: Path, mount: Callable[..., Path]) -> Path:
    """A real ext4 of 24 MB and 64 inodes."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    image = tmp_path / "ext4.img"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    run("mkfs.ext4", "-q", "-F", "-N", "64", "-m", "0", image)
    root = mount("ext4", "loop", image)
    (root / "lost+found").rmdir()
    return root


@pytest.fixture
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An ext4 in memory, as quick as the processor, where root can mount one; else pytest's own directory."""
    if os.getuid() != 0 or shutil.which("mkfs.ext4") is None:
        return tmp_path
    try:
        mount: Callable[..., Path] = request.getfixturevalue("mount")
        image = mount("tmpfs", "size=4G") / "image"
        with image.open("wb") as file:
            file.truncate(3 << 30)
        run("mkfs.ext4", "-q", "-F", "-i", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        root = mount("ext4", "loop", image)
    except pytest.skip.Exception:
        return tmp_path
    (root / "lost+found").rmdir()
    return root


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own are closed to others."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


LONG = os.environ.get("LLEM_CRASH") == "long"
REPORT = Path(__file__).parents[2] / ".make" / "crash-report.md"


class Figures:
    """What was done and found, by layer, row and column, for the report."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, dict[str, int | str]]] = {}

    def note(self, layer: str, row: str, column: str, value: int | str) -> None:
        """Keep a figure."""
        self.layers.setdefault(layer, {}).setdefault(row, {})[column] = value

    def count(self, layer: str, row: str, column: str, number: int) -> None:
        """Add to a figure."""
        before = self.layers.get(layer, {}).get(row, {}).get(column, 0)
        self.note(layer, row, column, int(before) + number)


FIGURES = Figures()


@pytest.fixture(scope="session")
def long_form() -> bool:
    """Whether to take minutes and not seconds."""
    return LONG


@pytest.fixture(scope="session")
def figures() -> Figures:
    """What goes into the report."""
    return FIGURES


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int) -> None:
    """Write the report of the long form."""
    if not LONG:
        return
    stats: dict[str, list[Any]] = terminalreporter.stats
    reports = [report for kind in ("passed", "failed", "error", "skipped") for report in stats.get(kind, [])]
    seconds: dict[str, float] = {}
    for report in reports:
        name = report.nodeid.partition("::")[0]
        seconds[name] = seconds.get(name, 0) + report.duration
    skips = sorted({f"{report.nodeid}: {report.longrepr[2]}" for report in stats.get("skipped", [])})
    command = f"LLEM_CRASH=long python -m pytest {' '.join(terminalreporter.config.invocation_params.args)}"
    counts = {kind: len(stats[kind]) for kind in ("passed", "failed", "error", "skipped") if kind in stats}
    tests = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    system = f"{platform.system()} {platform.release()}"
    lines = [
        "# Crash tests, the long form",
        "",
        f"- `{command}`, exit status {int(exitstatus)}: {tests}",
        f"- {system}, {os.cpu_count()} cores, Python {platform.python_version()}",
        f"- {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "",
    ]
    for layer, rows in FIGURES.layers.items():
        lines += [f"## {layer}", "", *table(rows), ""]
    mutants = [verdict for row in FIGURES.layers.get("Mutants", {}).values() for verdict in row.values()]
    kinds = [str(verdict).partition(" ")[0] for verdict in mutants]
    if mutants:
        caught, harmless = kinds.count("caught:"), kinds.count("no")
        score = f"{caught} of {len(mutants) - harmless} caught; {harmless} more lose nothing where they are"
        lines += [f"Mutation score: {score}.", ""]
    rows = {name: {"seconds": f"{spent:.1f}"} for name, spent in sorted(seconds.items())}
    lines += ["## Durations", "", *table(rows), "", "## Skipped", ""]
    lines += [f"- {skip}" for skip in skips] or ["Nothing."]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join(lines) + "\n")
    terminalreporter.write_line(f"the figures are in {REPORT.relative_to(REPORT.parents[1])}")


def table(rows: Mapping[str, Mapping[str, int | str]]) -> list[str]:
    """Lay out figures as a table of Markdown."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    cells = ((name, (str(row.get(column, "")) for column in columns)) for name, row in rows.items())
    return lines + [f"| {name} | {' | '.join(values)} |" for name, values in cells]
