"""Credentials in configurations: the keys that hold them, and a copy of a result without their values.

A key counts if all of it is the name of a credential: `api_key` does, and `pad_token`, `max_tokens` and
`tokenizer` do not. Case, `-` and `_` do not count, so that `API-Key` and `apiKey` are `api_key`. A key with
dots stands for a path, and its last part counts. A value that is null, empty, a boolean or `"***"` is no
credential.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.domain.failure import FailedRun

__all__ = ["REDACTED", "SECRET_KEYS", "add_secret_keys", "is_secret_key"]

REDACTED: Final = "***"
"""The value that a redacted record has in place of a credential."""

VARIABLE: Final = "LLEM_SECRET_KEYS"
"""An environment variable with more keys, separated by commas."""

SECRET_KEYS: Final = frozenset(
    {
        *("access_key", "access_token", "account_key", "api_key", "api_secret", "api_token", "apikey"),
        *("auth_token", "authorization", "bearer_token", "client_secret", "credentials", "db_password"),
        *("id_token", "jwt", "passphrase", "passwd", "password", "private_key", "proxy_authorization"),
        *("proxy_password", "refresh_token", "sas_token", "secret", "secret_access_key", "secret_key"),
        *("session_token", "ssh_private_key", "use_auth_token", "x_api_key"),
        *("hf_api_key", "hf_api_token", "hf_hub_token", "hf_token", "hugging_face_hub_token"),
        *("huggingface_api_key", "huggingface_hub_token", "huggingface_token", "huggingfacehub_api_token"),
        *("aws_secret_access_key", "aws_session_token", "azure_client_secret", "azure_openai_api_key"),
        *("azure_storage_account_key", "azure_storage_connection_string", "azure_storage_key"),
        *("azure_storage_sas_token", "google_api_key", "gcp_private_key", "r2_secret_access_key"),
        *("anthropic_api_key", "cohere_api_key", "deepinfra_api_key", "fireworks_api_key", "gemini_api_key"),
        *("groq_api_key", "mistral_api_key", "ngc_api_key", "nvidia_api_key", "openai_api_key"),
        *("openrouter_api_key", "replicate_api_token", "together_api_key", "vllm_api_key"),
        *("comet_api_key", "mlflow_tracking_password", "mlflow_tracking_token", "neptune_api_token"),
        *("wandb_api_key", "gh_token", "github_token", "gitlab_token"),
    }
)
"""The keys that are credentials; `add_secret_keys` and the variable `LLEM_SECRET_KEYS` add more."""

_SHORTEST_SECRET: Final = 8
"""The characters of a credential that is also sought in texts; a shorter one occurs in them by chance."""

_added: set[str] = set()


def add_secret_keys(*names: str) -> None:
    """Add keys that are credentials in this process: `add_secret_keys("my_service_pin")`.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name has no letter or digit.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"names expects strings, got {type(name).__name__}")
        if not _plain(name):
            raise ValueError(f"names expects names of keys, got {name!r}")
    _added.update(map(_plain, names))
    _is_secret.cache_clear()


def is_secret_key(name: str) -> bool:
    """Return True if a key is the name of a credential."""
    return _is_secret(name, os.environ.get(VARIABLE, ""))


def secret_places(record: ExperimentResult | FailedRun) -> list[str]:
    """Return the places of the credentials in the configurations, as `effective_config.env.HF_TOKEN`."""
    more = os.environ.get(VARIABLE, "")
    return [
        place for where, config in _configurations(record) for place, _ in _credentials(config, where, more)
    ]


def redacted(result: ExperimentResult) -> ExperimentResult:
    """Return a result with `"***"` for each credential; the same result if it has none.

    Every other field is the same, `measurement_config_hash` included.
    """
    if not secret_places(result):
        return result
    more = os.environ.get(VARIABLE, "")
    processes = [
        process.model_copy(update={"effective_config": _without(process.effective_config, more)})
        for process in result.process_results
    ]
    config = _without(result.effective_config, more)
    return result.model_copy(update={"effective_config": config, "process_results": processes})


def redacted_failure(run: FailedRun) -> FailedRun:
    """Return a failure with `"***"` for each credential, also where its texts have one of 8 characters."""
    more = os.environ.get(VARIABLE, "")
    values = [value for _, value in _credentials(run.effective_config, "", more)]
    if not values:
        return run
    changes: dict[str, Any] = {"effective_config": _without(run.effective_config, more)}
    texts = sorted({text for value in values for text in _texts(value)}, key=len, reverse=True)
    for name in ("message", "traceback", "output"):
        text = getattr(run, name)
        if text is not None:
            for secret in texts:
                text = text.replace(secret, REDACTED)
            changes[name] = text
    return run.model_copy(update=changes)


def _configurations(record: ExperimentResult | FailedRun) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "effective_config", record.effective_config
    for index, process in enumerate(getattr(record, "process_results", ())):
        yield f"process_results[{index}].effective_config", process.effective_config


def _credentials(value: Any, where: str, more: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """Yield the place and the value of each credential in a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            if _is_secret(key, more) and _holds_something(item):
                yield f"{where}.{_shown(key)}", item
            elif isinstance(item, (dict, list, tuple)):
                yield from _credentials(item, f"{where}.{_shown(key)}", more)
    elif isinstance(value, (list, tuple)):  # a tuple only without validation
        for index, item in enumerate(value):
            if isinstance(item, (dict, list, tuple)):
                yield from _credentials(item, f"{where}[{index}]", more)


def _without(value: Any, more: str) -> Any:  # noqa: ANN401 - JSON
    """Return a copy of a JSON value with `"***"` for each credential."""
    if isinstance(value, dict):
        return {
            key: REDACTED if _is_secret(key, more) and _holds_something(item) else _without(item, more)
            for key, item in value.items()
        }
    return [_without(item, more) for item in value] if isinstance(value, (list, tuple)) else value


def _holds_something(value: object) -> bool:
    return not (value is None or isinstance(value, bool) or value in ("", [], {}, REDACTED))


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, str) and len(value) >= _SHORTEST_SECRET:
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


@lru_cache(maxsize=4096)
def _is_secret(key: str, more: str) -> bool:
    name = _plain(key)
    return name in _PLAIN or name in _added or name in {_plain(one) for one in more.split(",") if one.strip()}


def _plain(key: str) -> str:
    return key.rpartition(".")[2].strip().casefold().replace("-", "").replace("_", "")


_PLAIN: Final = frozenset(map(_plain, SECRET_KEYS))


def _shown(key: str) -> str:
    return json.dumps(key) if "." in key or not key.isprintable() else key
