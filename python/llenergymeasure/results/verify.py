"""Check of a store for damage and leftovers: `ResultStore.verify`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from llenergymeasure import _store
from llenergymeasure._escape import escape
from llenergymeasure.domain._check import credentials, implausibilities
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.failure import FailedRun
from llenergymeasure.results._columns import FAILURE_CHECK, RECORD_CHECK
from llenergymeasure.results._limit import max_bytes, max_trace_bytes
from llenergymeasure.results._links import warn_of_links
from llenergymeasure.results._paths import Place, handle, to_path

if TYPE_CHECKING:
    from llenergymeasure.results.types import Progress
    from llenergymeasure.types import ResultPath

__all__ = ["Finding", "Verification", "verify_tree"]


class Finding(NamedTuple):
    """A directory and its problem."""

    path: ResultPath
    problem: str

    def __str__(self) -> str:
        """Return `path: problem` on one line that cannot steer a terminal."""
        return escape(f"{self.path}: {self.problem}")


@dataclass(repr=False)
class Verification:
    """The state of the directories of a store, in the order of the paths.

    Attributes:
        root: The root of the store.
        deep: True if records were validated against the schema, and sidecars read to the last page.
        complete: The number of directories with a complete record, with or without their sidecar.
        damaged: Directories with an invalid record or sidecar, or that cannot be read.
        missing_sidecars: Results whose record names a sidecar that does not exist.
        incomplete: Leftovers of interrupted saves, which `ResultStore.clean` removes, and saves in progress.
            Both are harmless.
        foreign: Directories with other files and no result at any depth; the outermost of each.
        links: Symlinks to directories that were not followed, and symlinks that cannot be followed.
        failures: The number of runs that failed, in a `failure.json`. They are not damage; an invalid
            `failure.json` is among the damaged directories, and does not count.
        implausible: In a deep check, each implausible number of a complete result; see
            `ExperimentResult.check`. They are not damage, and `ok` does not depend on them.
        secrets: In a deep check, the place of each credential in a configuration of a complete result or a
            failure, without its value; see `domain.secrets`. `ok` does not depend on them.
    """

    root: ResultPath
    deep: bool
    complete: int = 0
    damaged: list[Finding] = field(default_factory=list)
    missing_sidecars: list[Finding] = field(default_factory=list)
    incomplete: list[Finding] = field(default_factory=list)
    foreign: list[Finding] = field(default_factory=list)
    links: list[Finding] = field(default_factory=list)
    implausible: list[Finding] = field(default_factory=list)
    secrets: list[Finding] = field(default_factory=list)
    failures: int = 0

    @property
    def ok(self) -> bool:
        """True if every result is complete and has its sidecar."""
        return not self.damaged and not self.missing_sidecars

    def __repr__(self) -> str:
        """Return the counts and the root."""
        return f"<Verification of {str(self.root)!r}: {self}>"

    def __str__(self) -> str:
        """Return the counts as in `10,000 complete, 2 damaged, 1 incomplete`."""
        counts = [
            (self.failures, "failed"),
            (len(self.damaged), "damaged"),
            (len(self.missing_sidecars), "without the sidecar that it names"),
            (len(self.incomplete), "incomplete"),
            (len({finding.path for finding in self.implausible}), "with implausible numbers"),
            (len({finding.path for finding in self.secrets}), "with credentials"),
            (len(self.foreign), "foreign"),
            (len(self.links), f"symbolic link{'s' * (len(self.links) != 1)} not followed"),
        ]
        return ", ".join(
            [f"{self.complete:,} complete", *(f"{count:,} {what}" for count, what in counts if count)]
        )


def verify_tree(  # noqa: PLR0913 - the parameters of the method
    root: Place,
    *,
    deep: bool,
    progress: Progress | None,
    limit: int | None = None,
    trace_limit: int | None = None,
    follow_links: bool = False,
) -> Verification:
    """Check the directories below a root; see `ResultStore.verify`."""
    found = Verification(to_path(root, str(root)), deep)
    inspection = _store.Inspection(
        handle(root),
        RECORD_CHECK(),
        deep=deep,
        max_bytes=max_bytes(limit),
        max_trace_bytes=max_trace_bytes(trace_limit),
        follow_links=follow_links,
    )
    while (batch := inspection.next()) is not None:
        complete, failures, findings, records = batch
        found.complete += complete
        found.failures += failures
        for kind, place, problem in findings:
            of_kind: list[Finding] = getattr(found, kind)
            of_kind.append(Finding(to_path(root, place), problem))
        for found_at, record, energies in records:
            path = to_path(root, found_at)
            result, fault = _validated(record)
            if result is not None:
                found.complete += 1
                found.implausible += [Finding(path, str(one)) for one in implausibilities(result, energies)]
                found.secrets += [Finding(path, str(one)) for one in credentials(result)]
            else:
                found.damaged.append(Finding(path, fault))
        if progress is not None:
            progress(found.complete + len(found.damaged), inspection.expected)
    if found.failures:
        _check_failures(found, root, limit, follow_links=follow_links)
    for unsorted in (
        found.implausible,
        found.secrets,
        found.damaged,
        found.incomplete,
        found.foreign,
        found.links,
    ):
        unsorted.sort()
    warn_of_links(root, inspection.links)
    return found


def _check_failures(found: Verification, root: Place, limit: int | None, *, follow_links: bool) -> None:
    """Count the valid failures, and add the invalid ones and, in a deep check, the credentials."""
    documents = _store.Documents(
        handle(root), FAILURE_CHECK(), max_bytes=max_bytes(limit), follow_links=follow_links, failures=True
    )
    found.failures = 0
    while (read := documents.next()) is not None:
        for path, content, _, fault, error in read:
            directory = to_path(root, path).parent
            if content is None or fault is not None:
                reason = f"cannot be read: {error}" if fault is None else fault[1]
                found.damaged.append(Finding(directory, f"{_store.FAILURE} {reason}"))
                continue
            found.failures += 1
            if found.deep:
                # A field beyond what the readers check does not make a failure invalid.
                with suppress(ValidationError):
                    run = FailedRun.model_validate_json(content)
                    found.secrets += [Finding(directory, str(one)) for one in credentials(run)]


def _validated(record: bytes) -> tuple[ExperimentResult | None, str]:
    """Return the result of a record, or why the record does not fit the schema."""
    try:
        return ExperimentResult.model_validate_json(record), ""
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"]))
        rest = f", and {len(more)} more" if more else ""
        return None, f"{_store.RECORD} is not a result: {where}{': ' * bool(where)}{first['msg']}{rest}"
