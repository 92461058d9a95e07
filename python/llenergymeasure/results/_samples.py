"""The fields of a sample, whatever its type, and the names that they may have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

MEANS = ("power_w", "temperature_c", "memory_used_mb", "memory_total_mb", "sm_utilisation")
"""The quantities that are averaged; `sm_utilisation` is `sm_utilisation_pct` in the file."""
FIELDS = ("timestamp", "gpu_index", *MEANS, "throttle_reasons")
"""The names of the fields of a sample."""
_COLUMNS = ("timestamp_s", "sm_utilisation_pct")
"""The columns of the file that no field has the name of."""
_OTHER_NAMES = {
    "device": "gpu_index",
    "elapsed": "timestamp",
    "gpu": "gpu_index",
    "seconds": "timestamp",
    "time": "timestamp",
    "watts": "power_w",
}
_LEAST_ALIKE = 0.6

Get = Callable[[str], Any]


def check_samples(samples: object) -> None:
    """Reject a table, which iterates over its columns.

    Raises:
        TypeError: The samples are the columns of a table.
    """
    if isinstance(samples, Mapping):
        raise TypeError(
            f"expected an iterable of samples, got {type(samples).__name__}; give one for each sample"
        )
    if hasattr(samples, "__arrow_c_stream__"):
        raise TypeError(
            f"expected an iterable of samples, got a table, {type(samples).__name__}; give its rows, as "
            "to_dict('records') of pandas, to_dicts() of polars or to_pylist() of pyarrow returns them"
        )


class Fields:
    """Access to the fields of samples, which rejects names that look like a field and are not one."""

    def __init__(self, extra: Iterable[str]) -> None:
        """Accept the names of `extra` next to those of a sample."""
        if isinstance(extra, str):
            raise TypeError(f"extra expects a list of names, got str; write [{extra!r}]")
        self.extra = tuple(dict.fromkeys(extra))
        for name in self.extra:
            if not isinstance(name, str):
                raise TypeError(f"extra expects names, got {type(name).__name__}")
            if name in FIELDS or name in _COLUMNS or not name:
                raise ValueError(f"extra expects names of other columns than those of a trace, got {name!r}")
        self._accepted = {*FIELDS, *self.extra}
        self._checked: set[object] = set()

    def of(self, sample: object, index: int) -> Get:
        """Return a function that returns the value of a field, or None.

        Raises:
            ValueError: A key of a mapping is unknown, or an attribute of an object is a misspelt field.
        """
        mapping = _as_mapping(sample)
        if mapping is not None:
            names = tuple(mapping)
            if names not in self._checked:
                for name in names:
                    if name not in self._accepted:
                        raise self._unknown(name, index, "key")
                self._checked.add(names)
            return mapping.get
        names = (type(sample), *_public_names(sample))
        if names not in self._checked:
            if len(names) == 1 and not hasattr(sample, FIELDS[0]):
                raise ValueError(
                    f"sample {index} expects a timestamp among named fields, as of a dict or an object, "
                    f"got {type(sample).__name__}"
                )
            for name in names[1:]:
                field = name in self._accepted or name == "Index" or nearest(name)
                # An object may have attributes of its own, but not instead of a field.
                if isinstance(field, str) and not hasattr(sample, field):
                    raise self._unknown(name, index, "attribute")
            self._checked.add(names)
        return partial(_attribute, sample)

    def _unknown(self, name: object, index: int, what: str) -> ValueError:
        # pandas' `itertuples` adds the number of the row under this name.
        near = nearest(name) if isinstance(name, str) and name != "Index" else None
        advice = f"write {near}" if near else f"use one of {', '.join(FIELDS)}"
        return ValueError(
            f"{what} {name!r} of sample {index} is unknown; {advice}, "
            "or name it in extra= to keep it as a column"
        )


def nearest(name: str) -> str | None:
    """Return the field that a name most likely stands for."""
    from difflib import get_close_matches  # noqa: PLC0415 - slow to load, and only an error needs it

    lower = name.lower().replace(".", "_")
    if lower in _OTHER_NAMES:
        return _OTHER_NAMES[lower]
    begins = [field for field in FIELDS if lower and field.startswith(lower)]
    close = begins or get_close_matches(lower, FIELDS, 1, _LEAST_ALIKE)
    return close[0] if close else None


def _as_mapping(sample: object) -> Mapping[Any, Any] | None:
    """Return a sample with keys as a mapping, which a row of pandas, sqlite3 or numpy is not."""
    if type(sample) is dict or isinstance(sample, Mapping):
        return sample
    names = getattr(getattr(sample, "dtype", None), "names", None)
    if names:
        return {name: sample[name] for name in names}  # type: ignore[index]
    keys = getattr(sample, "keys", None)
    if callable(keys) and hasattr(sample, "__getitem__"):
        return {name: sample[name] for name in keys()}
    return None


def _public_names(sample: object) -> list[str]:
    """Return the names of the data of an object."""
    names: list[str] = [*getattr(sample, "__dict__", ())]
    for attribute in ("_fields", "__dataclass_fields__", "__slots__"):
        found = getattr(type(sample), attribute, ())
        names += [found] if isinstance(found, str) else [*found]
    return [name for name in names if not name.startswith("_")]


def _attribute(sample: object, name: str) -> Any:  # noqa: ANN401 - the value of a field
    return getattr(sample, name, None)
