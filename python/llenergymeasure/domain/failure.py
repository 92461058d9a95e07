"""The model of a run that failed: `FailedRun`, which a store keeps in `failure.json`."""

from __future__ import annotations

import platform
import sys
import traceback
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from llenergymeasure.domain._base import DateTime, JSONObject, Text
from llenergymeasure.domain._configured import Configured
from llenergymeasure.domain.experiment import compute_measurement_config_hash

__all__ = ["FAILURE_SCHEMA_VERSION", "MAX_OUTPUT", "FailedRun"]

FAILURE_SCHEMA_VERSION = "1.0"
"""The schema line of `failure.json` that this version of the package writes and reads."""

MAX_OUTPUT = 1 << 16
"""The characters of an output or a traceback that are kept, from its end."""

_HASH = "measurement_config_hash"


def _this_line(version: str) -> str:
    if version != FAILURE_SCHEMA_VERSION:
        msg = (
            f"expected schema line {FAILURE_SCHEMA_VERSION!r} of a failure, got {version!r}; "
            "use the version that writes that line"
        )
        raise ValueError(msg)
    return version


class FailedRun(Configured):
    """A run that failed: its configuration, its error and its times.

    `measurement_config_hash` defaults to the hash of `effective_config`, and `backend` to
    `effective_config["backend"]`, as in `ExperimentResult`.
    """

    schema_version: Annotated[Text, AfterValidator(_this_line)] = FAILURE_SCHEMA_VERSION
    """Schema line of the record of a failure."""
    measurement_config_hash: Text
    """First 16 hex digits of the sha256 of the configuration, as the result would have it."""
    backend: Text = "pytorch"
    """Inference backend; by default that of `effective_config`."""
    error_type: Text
    """Class of the error with its module, such as `torch.OutOfMemoryError`."""
    message: Text
    """Text of the error."""
    traceback: Text | None = None
    """Traceback of the error and of its causes; of a long one, the end."""
    output: Text | None = None
    """End of the output of the run."""
    host: Text = ""
    """Name of the machine."""
    start_time: DateTime | None = None
    """Start of the run: ISO 8601, with or without a zone."""
    end_time: DateTime
    """Time of the error: ISO 8601, with or without a zone."""
    effective_config: JSONObject = Field(default_factory=dict)
    """Configuration of the run, of any JSON values; `"model"` names the model."""

    @classmethod
    def _missing(cls, config: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        missing = super()._missing(config, fields)
        if _HASH not in fields:
            missing[_HASH] = compute_measurement_config_hash(config)
        return missing

    @classmethod
    def of(
        cls,
        config: object,
        error: BaseException,
        *,
        started: datetime | None = None,
        output: str | bytes | None = None,
    ) -> FailedRun:
        """Describe the failure of a run on this machine, which ended now.

        Args:
            config: The configuration of the run, as for `compute_measurement_config_hash`.
            error: The exception that ended the run.
            started: The start of the run.
            output: The output of the run; the last `MAX_OUTPUT` characters are kept. None is that of a
                `subprocess.CalledProcessError` or `TimeoutExpired` that has one.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: JSON cannot represent something in the configuration.
        """
        if not isinstance(error, BaseException):
            raise TypeError(f"error expects an exception, got {type(error).__name__}")
        if not isinstance(started, (datetime, type(None))):
            raise TypeError(f"started expects a datetime, got {type(started).__name__}")
        digest = compute_measurement_config_hash(config)
        is_naive = started is not None and started.tzinfo is None
        # Such an error cannot exist before the import of its module, which is slow.
        subprocess: Any = sys.modules.get("subprocess")
        if (
            output is None
            and subprocess is not None
            and isinstance(error, (subprocess.CalledProcessError, subprocess.TimeoutExpired))
        ):
            output = error.stderr or error.output
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        fields: dict[str, Any] = {
            _HASH: digest,
            "error_type": _text(name),
            "message": _text(_message(error)),
            "traceback": _end(_text(_traceback(error))),
            "output": None if output is None else _end(_text(output)),
            "host": platform.node(),
            "start_time": started,
            "end_time": datetime.now(None if is_naive else timezone.utc),
            "effective_config": config,
        }
        return cls(**fields)

    @property
    def duration_sec(self) -> float | None:
        """The seconds from start to end; None without a start, or where only one time has a zone."""
        start, end = self.start_time, self.end_time
        if start is None or (start.utcoffset() is None) != (end.utcoffset() is None):
            return None
        return (end - start).total_seconds()


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as raised:  # noqa: BLE001 - a foreign type may raise anything
        return f"its text cannot be read: {type(raised).__name__}"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001 - as above
        return "".join(traceback.format_tb(error.__traceback__))


def _text(value: str | bytes) -> str:
    """Return text that UTF-8 has: bytes and lone surrogates that it lacks become escapes."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode(errors="backslashreplace")
    if not isinstance(value, str):
        raise TypeError(f"output expects a string or bytes, got {type(value).__name__}")
    return value.encode(errors="backslashreplace").decode()


def _end(text: str) -> str:
    return text[-MAX_OUTPUT:]
