"""System calls of a worker process, as strace logs them and makes them fail."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

TRACED = (
    "open,openat,mkdir,mkdirat,write,pwrite64,lseek,fsync,fdatasync,sync,syncfs,sync_file_range,close,"
    "rename,renameat,renameat2,link,linkat,copy_file_range,sendfile,ioctl,utimensat,getppid,"
    "stat,lstat,fstat,newfstatat,statx,access,faccessat,faccessat2"
)
READS = "open,openat,read,pread64,lseek,fstat,newfstatat,statx,fcntl,close"
MARK = "getppid"
"""The call that a worker makes right before and right after its job."""
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (\S+)")
BEGUN = re.compile(r"^(\d+) +(\w+)\((.*?)(?:<unfinished \.\.\.>|\) += (\S+).*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (\S+)")
INJECTED = "(INJECTED)"


@dataclass(frozen=True)
class Call:
    """A system call of a save, and its number among the calls of its name, from 1."""

    name: str
    arguments: str
    answer: str
    nth: int


@dataclass(frozen=True)
class Span:
    """A system call of a process with threads, and the lines of the trace where it begins and ends."""

    task: str
    name: str
    arguments: str
    answer: str
    injected: bool
    begins: int
    ends: int


def attach_tracer(
    pid: int, log: Path, inject: tuple[str, ...] = (), only: tuple[Path, ...] = (), watch: str = ""
) -> subprocess.Popen[str]:
    """Attach strace to a process, and return once it traces.

    Args:
        pid: The process to trace, with its threads.
        log: The file for the trace.
        inject: Faults, in the syntax of strace's `--inject`.
        only: Paths; strace traces and injects only calls on these.
        watch: Further calls to trace.
    """
    # strace injects faults only into calls that it traces.
    traced = [TRACED, *([READS] if only else []), *([watch] if watch else [])]
    traced += [injection.partition(":")[0] for injection in inject]
    command = ["strace", "-f", "-y", "-s", "64", "-o", str(log), "-e", f"trace={','.join(traced)}"]
    command += ["-p", str(pid)]
    for path in only:
        command += ["-P", str(path)]
    for injection in inject:
        command += ["-e", f"inject={injection}"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    answer = tracer.stderr.readline()
    assert "attached" in answer, answer
    return tracer


def calls_of(trace: str) -> list[Call]:
    """Return the calls between the two marks: those of the save."""
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


def spans_of(trace: str) -> list[Span]:
    """Return the calls of all threads, in the order in which they begin."""
    found: list[Span] = []
    unfinished: dict[str, tuple[str, str, int]] = {}
    for n, line in enumerate(trace.splitlines()):
        if (resumed := RESUMED.match(line)) is not None:
            task, name, rest, answer = resumed.groups()
            begun_name, arguments, begins = unfinished.pop(task, (name, "", 0))
            arguments = (arguments + rest).rstrip()
            found.append(Span(task, begun_name, arguments, answer, INJECTED in line, begins, n))
        elif (begun := BEGUN.match(line)) is not None:
            task, name, arguments, answer = begun.groups()
            if answer is None:
                unfinished[task] = (name, arguments.rstrip(), n)
            else:
                found.append(Span(task, name, arguments, answer, INJECTED in line, n, n))
    return sorted(found, key=lambda span: span.begins)


def path_of(descriptor: str) -> str:
    """Return the path that `strace -y` shows for a descriptor."""
    return descriptor.partition("<")[2].rstrip(">")


def flushed_again(spans: list[Span], *, excuse_reopened: bool = False) -> list[str]:
    """Return files and directories that were flushed again after a failed flush.

    A file that was created anew is another file. With `excuse_reopened`, so is the descriptor of a directory
    that was opened anew, and `syncfs` counts too.
    """
    failed: set[str] = set()
    again = []
    for span in spans:
        if span.name in ("open", "openat") and span.answer[:1].isdigit():
            if "O_EXCL" in span.arguments:
                failed.discard(path_of(span.answer))
            if excuse_reopened:
                failed.discard(span.answer)
        if span.name in (("fsync", "fdatasync", "syncfs") if excuse_reopened else ("fsync",)):
            by_path = not excuse_reopened or span.arguments.endswith(".tmp>")
            name = path_of(span.arguments) if by_path else span.arguments
            if name in failed:
                again.append(name)
            if span.answer != "0":
                failed.add(name)
    return again
