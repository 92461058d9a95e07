"""The durability of a flush on a file system, and one warning where a flush has none."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llenergymeasure._log import log
from llenergymeasure._warnings import warn
from llenergymeasure.results._disk import MEMORY, NETWORK, Mount, is_fuse, mount_of
from llenergymeasure.results._paths import Place

if TYPE_CHECKING:
    from typing_extensions import Self

    from llenergymeasure.results.store_path import StorePath

QUIET: Final = "LLEM_NO_DURABILITY_WARNING"
"""An environment variable; any value but the empty string suppresses the warning."""

_MAX_CHECKED = 4096
_checked: set[str] = set()
"""Output directories that were checked, so that most saves check nothing."""
_warned: set[tuple[str, str]] = set()
"""The type and mount point of each file system with a warning."""


class Durability(str):
    """The durability of a save on a file system or in an object store: `"full"`, `"none"` or `"unknown"`.

    Attributes:
        reason: The reason for `"none"` or `"unknown"`; an empty string for `"full"`.
        file_system: The type of the file system, such as `"ext4"`; None if the system does not report it, and
            for an object store.
        mount_point: The mount point of the file system, or None.
    """

    __slots__ = ("file_system", "mount_point", "reason")

    reason: str
    file_system: str | None
    mount_point: str | None

    def __new__(
        cls, promise: str, reason: str = "", file_system: str | None = None, mount_point: str | None = None
    ) -> Self:
        """Create a string with the reason and the file system."""
        made = super().__new__(cls, promise)
        made.reason, made.file_system, made.mount_point = reason, file_system, mount_point
        return made

    def __repr__(self) -> str:
        """Return the value with the reason."""
        return f"<Durability {str(self)!r}{': ' * bool(self.reason)}{self.reason}>"

    def __reduce__(self) -> tuple[type[Durability], tuple[str, str, str | None, str | None]]:
        """Pickle the attributes with the value."""
        return type(self), (str(self), self.reason, self.file_system, self.mount_point)


def durability_of(root: Place) -> Durability:
    """Return the durability of a directory, or of its nearest existing ancestor; or of an object store."""
    if not isinstance(root, str):
        return _durability_of_bucket(root)
    place = Path(root)
    try:
        while not place.is_dir() and place != place.parent:
            place = place.parent
    except OSError as error:  # a committed save must not fail because of this check
        return Durability("unknown", f"the system does not report the file system: {error}")
    mount = mount_of(place)
    if mount is None:
        return Durability("unknown", "the system does not report the file system")
    promise, reason = _promise(mount)
    return Durability(promise, reason, mount.kind, mount.point)


def _durability_of_bucket(root: StorePath) -> Durability:
    from llenergymeasure.results import _trusted  # noqa: PLC0415 - not for local roots

    promise, reason = root._storage().durability()  # noqa: SLF001 - not for users
    if promise != "none" and not _trusted.is_trusted(root):
        reason = (
            f"{_trusted.service(root)} is not known to let only one of several concurrent saves win; "
            f"to check it, run: llem check {shlex.quote(str(root))}"
        )
        return Durability("unknown", reason)
    return Durability(promise, "" if promise == "full" else reason)


def _promise(mount: Mount) -> tuple[str, str]:
    """Return the durability on a mount, and the reason."""
    kind, promise, reason = mount.kind, "full", ""
    if kind in MEMORY:
        promise, reason = "none", f"{kind} is memory: a flush stores nothing"
    elif mount.is_volatile:
        promise, reason = "none", "this overlay is mounted volatile: it omits every flush"
    elif mount.is_unbarred:
        promise = "none"
        reason = f"this {kind} is mounted without barriers: a flush ends in the device's volatile cache"
    elif kind in NETWORK:
        promise, reason = "unknown", f"a flush depends on the server of this {kind}"
    elif is_fuse(kind):
        promise, reason = "unknown", f"a flush depends on the program behind this {kind}"
    return promise, reason


def warn_once(root: Place) -> None:
    """Warn once per process and file system where a power cut loses durable saves, or per unknown bucket.

    Warns:
        UserWarning: This is the first durable save on such a file system; or the object store is not known to
            keep its promises.
    """
    text = str(root)
    if text in _checked:
        return
    # Two threads may warn twice: a lock could be held at a fork and stay held in the child.
    if len(_checked) >= _MAX_CHECKED:
        _checked.clear()
    _checked.add(text)
    if os.environ.get(QUIET):
        return
    durability = durability_of(root)
    if not isinstance(root, str):
        if durability != "full" and (key := (root.parts[0], "")) not in _warned:
            _warned.add(key)
            _report(f"the durability of saves to {text} is {durability}: {durability.reason}")
        return
    key = (str(durability.file_system), str(durability.mount_point))
    if durability != "none" or key in _warned:
        return
    _warned.add(key)
    _report(f"durable saves to {root} do not survive a power cut: {durability.reason}")


def _report(message: str) -> None:
    log([message])
    warn(message)
