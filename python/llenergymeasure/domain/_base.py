"""The base of the schema's models: frozen, strict about fields, and equal to its JSON."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from llenergymeasure.domain._describe import describe, set_signature
from llenergymeasure.domain._json import MAX_DIGITS, to_json_object, to_json_value

SCHEMA_VERSION = "2.0"
"""The schema line of results that this version of the package writes and reads."""

_INT_LIMIT = 10**MAX_DIGITS
_MINUTE = timedelta(minutes=1)


def _within_json(value: int) -> int:
    if -_INT_LIMIT < value < _INT_LIMIT:
        return value
    msg = f"expected an integer of at most {MAX_DIGITS} digits, got a longer one, which JSON readers refuse"
    raise ValueError(msg)


def _fixed_offset(value: datetime) -> datetime:
    """Replace a time zone with its offset, since ISO 8601 stores no more.

    An offset of whole minutes stays as it is. A time with another offset becomes the same instant in UTC.
    """
    if type(value) is not datetime:  # a subclass may hold more than ISO 8601: pandas has nanoseconds
        value = datetime.combine(value.date(), value.timetz())
    offset = value.utcoffset()
    if offset is None:
        return value.replace(tzinfo=None, fold=0)
    if type(value.tzinfo) is timezone and not offset % _MINUTE:
        return value
    if offset % _MINUTE:
        try:
            return value.astimezone(timezone.utc)
        except OverflowError:
            raise ValueError(
                "expected an offset of whole minutes, got seconds, and in UTC the year is out of range"
            ) from None
    return value.replace(tzinfo=timezone(offset), fold=0)


# A length constraint makes pydantic decode the string, which rejects lone surrogates: UTF-8 has none.
Text = Annotated[str, Field(min_length=0)]
Int = Annotated[int, AfterValidator(_within_json)]
DateTime = Annotated[datetime, AfterValidator(_fixed_offset)]
JSONObject = Annotated[dict[str, Any], BeforeValidator(to_json_object)]
JSONValue = Annotated[Any, BeforeValidator(to_json_value)]


class Model(BaseModel):
    """Base class of the schema's models; JSON has non-finite floats as "NaN", "Infinity" and "-Infinity"."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="strings",
        protected_namespaces=(),
        # Building schemas takes half of the import time; the first result builds those that it needs.
        defer_build=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - those of pydantic
        """Describe the fields, and set the signature."""
        super().__pydantic_init_subclass__(**kwargs)
        describe(cls)
        set_signature(cls)

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        """Set the signature again, which pydantic replaces as it builds the schema."""
        super().__pydantic_on_complete__()
        set_signature(cls)
