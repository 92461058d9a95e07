"""What a file system can promise of a flush, and one warning where it can promise nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llenergymeasure.results._disk import MEMORY, NETWORK, Mount, is_fuse, mount_of
from llenergymeasure.results._warnings import warn

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Durability", "durability_of", "warn_once"]

QUIET: Final = "LLEM_NO_DURABILITY_WARNING"
"""An environment variable; set to anything but nothing, it keeps the warning back."""

_MOST = 4096
_asked: set[str] = set()
"""Output directories that were looked at. Whoever saves looks here first, and most of the time no further."""
_warned: set[tuple[str, str]] = set()
"""File systems that were warned of, by type and mount point."""


class Durability(str):
    """What a durable save is worth on a file system: `"full"`, `"none"` or `"unknown"`.

    Attributes:
        reason: Why it is not `"full"`; else an empty string.
        file_system: The type of the file system, `"ext4"`; None where the system does not tell.
        mount_point: Where it is mounted, or None.
    """

    __slots__ = ("file_system", "mount_point", "reason")

    reason: str
    file_system: str | None
    mount_point: str | None

    def __new__(
        cls, promise: str, reason: str = "", file_system: str | None = None, mount_point: str | None = None
    ) -> Self:
        """Take what is promised, and why."""
        made = super().__new__(cls, promise)
        made.reason, made.file_system, made.mount_point = reason, file_system, mount_point
        return made

    def __repr__(self) -> str:
        """Tell the reason, too."""
        return f"<Durability {str(self)!r}{': ' * bool(self.reason)}{self.reason}>"

    def __reduce__(self) -> tuple[type[Durability], tuple[str, str, str | None, str | None]]:
        """Keep the reason on the way to another process."""
        return type(self), (str(self), self.reason, self.file_system, self.mount_point)


def durability_of(root: str) -> Durability:
    """Look at what a directory is on, or, where it does not exist yet, its nearest ancestor."""
    place = Path(root)
    try:
        while not place.is_dir() and place != place.parent:
            place = place.parent
    except OSError as error:  # the result of a save may be there already: a question must not fail it
        return Durability("unknown", f"the system does not tell what the directory is on: {error}")
    mount = mount_of(place)
    if mount is None:
        return Durability("unknown", "the system does not tell what the directory is on")
    promise, reason = _promise(mount)
    return Durability(promise, reason, mount.kind, mount.point)


def _promise(mount: Mount) -> tuple[str, str]:
    """Tell what is promised, and why it is not more."""
    kind, promise, reason = mount.kind, "full", ""
    if kind in MEMORY:
        promise, reason = "none", f"this is a {kind}, which is memory: a flush keeps nothing"
    elif mount.is_volatile:
        promise, reason = "none", "this overlay is mounted volatile: it leaves out every flush"
    elif mount.is_unbarred:
        promise = "none"
        reason = f"this {kind} is mounted without barriers: a flush ends in the device's volatile cache"
    elif kind in NETWORK:
        promise, reason = "unknown", f"a flush keeps what the server of this {kind} makes of it"
    elif is_fuse(kind):
        promise, reason = "unknown", f"a flush keeps what the program behind this {kind} makes of it"
    return promise, reason


def warn_once(root: str) -> None:
    """Warn of a file system that keeps nothing across a power cut, once in a process.

    Warns:
        UserWarning: It is the first durable save there.
    """
    if root in _asked:
        return
    # No lock, which a fork could inherit held: two threads that come here at once may warn twice.
    if len(_asked) >= _MOST:
        _asked.clear()
    _asked.add(root)
    if os.environ.get(QUIET):
        return
    durability = durability_of(root)
    key = (str(durability.file_system), str(durability.mount_point))
    if durability != "none" or key in _warned:
        return
    _warned.add(key)
    warn(f"durable saves to {root} do not survive a power cut: {durability.reason}")
