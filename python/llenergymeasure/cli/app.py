"""The program: its commands, and how each ends."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import llenergymeasure
from llenergymeasure import _store
from llenergymeasure.cli.terminal.stream import ERR, OUT, UsageError, printable
from llenergymeasure.errors import LLEMError

__all__ = ["app", "run"]

_COMMANDS = {
    "save": "Save results durably, each in a directory of its own.",
    "ls": "List the results of a directory, by path if no other order is asked for.",
    "show": "Show one result: what was measured, on what, how well.",
    "compare": "Compare results, or groups of them, with the first.",
    "summary": "Tell mean and standard deviation over repeats.",
    "export": "Write results to one file: Parquet, CSV, Arrow IPC or JSON Lines, by the ending of its name.",
    "plot": "Draw results: energy per token against throughput, or the power trace of one.",
    "verify": "Look over every directory of results, and name what is not whole.",
    "clean": "Remove what saves that were cut short have left; results are never removed.",
    "schema": "Print the JSON Schema of result.json.",
    "demo": "Make a small synthetic sweep, save it, load it back, and show what is on disk.",
    "bench": "Measure what it costs to save and load results on a disk.",
}
"""Each command, a function of its name in a module of its name, and what its help begins with."""


class _Commands(TyperGroup):
    """Commands of which only the one that runs is imported: others need what is slow to load."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - click's, of either kind
        """Find the command that was asked for, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name in _COMMANDS else command, rest


def _load(name: str) -> Any:  # noqa: ANN401
    alone = _typer()
    module = import_module(f"llenergymeasure.cli.commands.{name}")
    if hasattr(module, "__path__"):
        module = import_module(f"{module.__name__}.command")
    alone.command(name)(getattr(module, name))
    return typer.main.get_command(alone)


def _typer(**options: Any) -> typer.Typer:  # noqa: ANN401
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


app = _typer(name="llem", cls=_Commands)
for _name, _help in _COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)

# Typer raises the exceptions of the click that it carries inside, or of click itself: by version.
_PARSER_ERROR: type[Any] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the signature of a typer callback
    if wanted:
        built = "optimised" if _store.OPTIMISED else "not optimised"
        extension = f"{_store.__name__} {_store.VERSION}"
        OUT.write(f"llenergymeasure {llenergymeasure.__version__} (extension {extension}, {built})\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _llem(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001, FBT002 - taken by the callback
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Keep the results of LLM energy measurements: saved atomically and durably, read back as they were."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run() -> int:
    """Run the program, and return its exit status; no error of a user shows a traceback."""
    try:
        status = app(prog_name="llem", standalone_mode=False)
        OUT.flush()
    except UsageError as error:
        return _refuse(f"llem {error.command}", str(error))
    except (typer.Abort, KeyboardInterrupt):
        ERR.write("llem: interrupted\n")
        return 130
    except (LLEMError, OSError) as error:  # a directory that cannot be read; the help, on a disk that is full
        OUT.flush()
        ERR.write(f"llem: {printable(str(error))}\n")
        return 1
    except Exception as error:
        if not isinstance(error, _PARSER_ERROR):
            raise
        return _refuse(error.ctx.command_path if error.ctx else "llem", error.format_message())
    if OUT.trouble:
        ERR.write(f"llem: cannot write to standard output: {OUT.trouble}\n")
        return 1
    return int(status or 0)


def _refuse(command: str, message: str) -> int:
    ERR.write(f"{command}: {printable(message)}\nTry '{command} --help'.\n")
    return 2
