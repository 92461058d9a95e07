"""The object stores that let only one of several concurrent saves win: by their hosts, or by a check."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llenergymeasure import _store

if TYPE_CHECKING:
    from llenergymeasure.results.store_path import StorePath


def is_trusted(root: StorePath) -> bool:
    """Return True if concurrent saves to a bucket are known to be safe; no request is made."""
    return service(root) is None or _file(root).exists()


def note_passed(root: StorePath) -> None:
    """Remember that the bucket of a root has passed the check, in the directory of this user's state.

    Raises:
        OSError: The file cannot be written.
    """
    file = _file(root)
    file.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    note = {"bucket": root.parts[0], "endpoint": service(root), "passed": now}
    _store.replace(file, json.dumps(note).encode())


def forget(root: StorePath) -> None:
    """Forget that the bucket of a root has passed the check, since it has failed."""
    _file(root).unlink(missing_ok=True)


def service(root: StorePath) -> str | None:
    """Return the address of a service that is not known to be safe, without credentials; None if it is."""
    endpoint = root._storage().unknown_service()  # noqa: SLF001 - not for users
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


def _file(root: StorePath) -> Path:
    import platformdirs  # noqa: PLC0415 - not for local roots

    name = blake2b(f"{service(root)} {root.parts[0]}".encode(), digest_size=12).hexdigest()
    return Path(platformdirs.user_state_dir("llenergymeasure", appauthor=False), "checked", f"{name}.json")
