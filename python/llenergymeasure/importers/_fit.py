"""Values of another schema line, as far as the models of this one hold them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

__all__ = ["Fitted", "fit", "model_in"]

Fitted = tuple[dict[str, Any], dict[str, Any]]
"""The values that the fields of a model hold, and the data that is left over."""


def fit(model: type[BaseModel], value: Mapping[str, Any]) -> Fitted:
    """Split an object into what a model holds and what it does not.

    A null that a field does not hold is no data. A value that a field does not hold is left over; a model
    that then lacks a required field is left over as a whole.
    """
    held: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, item in value.items():
        field = model.model_fields.get(name)
        if field is None:
            rest[name] = item
        elif item is None:
            if _holds(model, name, None):
                held[name] = None
        elif (inner := model_in(field.annotation)) is not None and isinstance(item, Mapping):
            inside, left = fit(inner, item)
            if _is_complete(inner, inside):
                held[name] = inside
                if left:
                    rest[name] = left
            else:
                rest[name] = item
        elif _holds(model, name, item):
            held[name] = item
        else:
            rest[name] = item
    return held, rest


def _is_complete(model: type[BaseModel], held: Mapping[str, Any]) -> bool:
    return all(name in held for name, field in model.model_fields.items() if field.is_required())


def model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation
    """Return the model of a field, also of one that may be null."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for part in parts:
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _holds(model: type[BaseModel], name: str, value: object) -> bool:
    try:
        _adapter(model, name).validate_python(value)
    except ValidationError:
        return False
    return True


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotation: Any = field.annotation
    for extra in field.metadata:
        from typing import Annotated  # noqa: PLC0415 - with a value only

        annotation = Annotated[annotation, extra]
    return TypeAdapter(annotation)
