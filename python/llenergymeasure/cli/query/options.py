"""Arguments and options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from llenergymeasure.cli.errors import UsageError
from llenergymeasure.cli.query.columns import COLUMN_HELP
from llenergymeasure.cli.query.where import WHERE_HELP
from llenergymeasure.results._paths import local_path, located


def local(value: Any) -> Any:  # noqa: ANN401 - one path or several, as the option has them
    """Return the paths of an argument with `~` expanded; refuse a URL. The callback of every path."""
    if value is None or value == "":
        return value
    try:
        return (
            [local_path(path) if path else path for path in value]
            if isinstance(value, (list, tuple))
            else local_path(value)
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def given(value: Any) -> Any:  # noqa: ANN401 - as `local`
    """Return the paths of an argument as `local`, and URLs of object stores. The callback of every store."""
    if value is None or value == "":
        return value
    try:
        return (
            [str(located(path)) if path else path for path in value]
            if isinstance(value, (list, tuple))
            else str(located(value))
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def is_url(path: str) -> bool:
    """Return True for the URL of an object store, as `given` returns it."""
    return "://" in path


def remote(value: str) -> str:
    """Return the URL of an argument that expects an object store. The callback of every such argument."""
    try:
        place = located(value, "URL")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if isinstance(place, str):
        raise typer.BadParameter(f"expects a URL that begins with s3://, gs:// or az://, got {value!r}")
    return str(place)


Directory = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        show_default=False,
        help="The directory of the results, at any depth; or the URL of a prefix, as s3://bucket/results.",
        callback=given,
    ),
]
Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        show_default=False,
        help="The root of a store in an object store: s3://bucket/prefix, gs://... or az://....",
        callback=remote,
    ),
]
Redact = Annotated[
    bool,
    typer.Option(
        "--redact",
        help='Write "***" for the value of each credential in a configuration, such as that of api_key; '
        "LLEM_SECRET_KEYS names more keys, separated by commas.",
    ),
]
Where = Annotated[
    list[str], typer.Option("--where", "-w", metavar="EXPR", show_default=False, help=WHERE_HELP)
]
Columns = Annotated[
    list[str],
    typer.Option(
        "--columns",
        "-c",
        metavar="COLUMN,...",
        show_default=False,
        help=f"The columns, in their order. {COLUMN_HELP}",
    ),
]

FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links",
        help="Follow symbolic links to directories, each directory once. Otherwise a line on standard error "
        "counts them. Links to result.json and timeseries.parquet are followed in any case.",
    ),
]


def check_path(path: str, name: str = "PATH") -> None:
    """Check that a path exists; `name` is that of its argument or option. The reader of a URL finds out.

    Raises:
        UsageError: The path is empty or does not exist.
    """
    if not path:
        raise UsageError(f"{name} is empty")
    if not is_url(path) and not os.path.lexists(path):
        raise UsageError(f"{_option(name)}{path} does not exist")


def check_directory(
    directory: str, name: str = "DIR", *, may_be_missing: bool = False, hint: str = ""
) -> None:
    """Check that a path is a directory, or that a directory can have it; see `check_path`.

    Raises:
        UsageError: The path is empty, does not exist, or is not a directory.
    """
    if directory and may_be_missing and not os.path.lexists(directory):
        return
    check_path(directory, name)
    if not is_url(directory) and not Path(directory).is_dir():
        raise UsageError(f"{_option(name)}{directory} is not a directory{hint}")


def _option(name: str) -> str:
    return f"{name} " if name.startswith("--") else ""
