"""The base of the models with a configuration: a program's fields are completed from it, a file's are not."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from llenergymeasure._warnings import warn
from llenergymeasure.domain._base import Model
from llenergymeasure.domain._json import NormalObject, to_json_object

_CONFIG, _BACKEND = "effective_config", "backend"


class Configured(Model):
    """A model with a `backend` and an `effective_config`.

    Python values are completed from the configuration. JSON is validated as it is, since a file of the
    schema line has the meaning that it had when it was written.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Complete Python values before their validation, at no cost for JSON."""
        schema = handler(source)
        if schema["type"] == "json-or-python":  # the schema of a nested model, built before
            return schema
        reference = schema.pop("ref", None)  # type: ignore[attr-defined]
        return core_schema.json_or_python_schema(
            json_schema=schema,
            python_schema=core_schema.no_info_wrap_validator_function(cls._construct, schema),
            ref=reference,
        )

    @classmethod
    def _construct(cls, fields: Any, validate: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401
        """Validate the fields that a program gives, with those that follow from the configuration.

        Warns:
            UserWarning: The configuration names another backend, or has one that is not a string.
        """
        if not isinstance(fields, dict):
            return validate(fields)
        model = validate(cls._complete(fields))
        configured = model.effective_config.get(_BACKEND)
        if not isinstance(configured, (str, type(None))) and _BACKEND not in fields:
            warn(
                f'expected effective_config["backend"] to be a string, got {configured!r}; pass backend=, '
                f"or the result has {model.backend!r}"
            )
        elif configured and isinstance(configured, str) and configured != model.backend:
            warn(
                f'expected one backend, got backend={model.backend!r} and effective_config["backend"]='
                f"{configured!r}; the result has {model.backend!r}"
            )
        return model

    @classmethod
    def _complete(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Normalise the configuration, and add the fields that follow from it."""
        try:
            config = to_json_object(fields.get(_CONFIG, {}))
        except ValueError:  # pydantic reports it with the faults of the other fields
            config = None
        if not isinstance(config, dict):
            return cls._missing({}, fields) | fields
        completed = cls._missing(config, fields) | fields
        if _CONFIG in fields:
            completed[_CONFIG] = NormalObject(config)
        return completed

    @classmethod
    def _missing(cls, config: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that a program left out and that follow from the configuration."""
        backend = config.get(_BACKEND)
        follows = _BACKEND not in fields and backend and isinstance(backend, str)
        return {_BACKEND: backend} if follows else {}
