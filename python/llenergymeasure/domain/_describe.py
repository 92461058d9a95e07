"""The descriptions of fields in `help` and in JSON Schema, and the signature of a model."""

from __future__ import annotations

import sys
from functools import reduce
from inspect import Parameter, Signature, signature
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from llenergymeasure.domain._descriptions import DESCRIPTIONS

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_PACKAGE: Final = f"{__name__.partition('.')[0]}."
_INDENT: Final = "" if sys.version_info >= (3, 13) else "    "  # the compiler dedents docstrings from 3.13 on


def describe(model: type[BaseModel]) -> None:
    """Add the descriptions of its fields to a model of this package, and to its docstring."""
    texts = DESCRIPTIONS.get(model.__name__)
    if texts is None or not _is_of_package(model):
        return
    fields = model.__pydantic_fields__
    for name, text in texts.items():
        fields[name].description = text
    if model.__doc__ is not None:  # python -OO
        listed = "".join(f"\n{_INDENT}    {name}: {text}" for name, text in texts.items())
        model.__doc__ = f"{model.__doc__.rstrip()}\n\n{_INDENT}Attributes:{listed}"


def set_signature(model: Any) -> None:  # noqa: ANN401 - a model, which declares no signature
    """Give a model of this package a signature with plain types; others have that of pydantic."""
    if _is_of_package(model):
        model.__signature__ = _SIGNATURE


def _is_of_package(model: type[BaseModel]) -> bool:
    return model.__module__.startswith(_PACKAGE)


class _ModelSignature:
    """The signature of a model with plain types, which a model has before its schema is built."""

    def __get__(self, instance: BaseModel | None, model: type[BaseModel]) -> Signature:
        """Return the signature of a class; a result has none."""
        if instance is not None:
            raise AttributeError("__signature__")
        if model.__init__ is not BaseModel.__init__:  # a model of a user
            own = signature(model.__init__)
            return own.replace(parameters=list(own.parameters.values())[1:])
        fields = model.__pydantic_fields__
        parameters = [
            Parameter(
                name, Parameter.KEYWORD_ONLY, default=_default(name, info), annotation=_plain(info.annotation)
            )
            for name, info in fields.items()
        ]
        return Signature(sorted(parameters, key=lambda one: one.default is not Parameter.empty))


_SIGNATURE: Final = _ModelSignature()


class _Shown:
    """A default that a call computes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _default(name: str, info: FieldInfo) -> Any:  # noqa: ANN401 - any value
    if name == "measurement_config_hash":
        return _Shown("<that of effective_config>")
    if info.is_required():
        return Parameter.empty
    factory: Any = info.default_factory
    return info.default if factory is None else _Shown(f"{factory.__name__}()")


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    """Return a type without the metadata of `Annotated`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is None or origin is Literal:
        return annotation
    if origin is Annotated:
        return _plain(parts[0])
    plain = tuple(map(_plain, parts))
    return reduce(or_, plain) if origin in (Union, UnionType) else origin[plain]
