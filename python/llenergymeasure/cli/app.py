"""The program: its commands, how each is loaded, and how each ends."""

from __future__ import annotations

import errno
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import llenergymeasure
from llenergymeasure import _store
from llenergymeasure.cli.errors import CommandError, UsageError
from llenergymeasure.cli.terminal.stream import ERR, OUT
from llenergymeasure.errors import LLEMError

_TRACEBACK = "LLEM_TRACEBACK"
"""An environment variable: any value shows the traceback of an internal error."""

_COMMANDS = {
    "save": "Save results durably, each in a directory of its own.",
    "import": "Import the results of other tools: vLLM, SGLang, AIPerf, optimum-benchmark, CodeCarbon.",
    "ls": "List the results of a directory, by path unless another order is given.",
    "show": "Show one result: its energy, throughput, latency, method and machine.",
    "compare": "Compare results, or groups of results, with the first one.",
    "summary": "Print mean and standard deviation over repeats.",
    "export": "Write results to one file: Parquet, CSV, Arrow IPC or JSON Lines, by its suffix.",
    "plot": "Draw energy per token against throughput, or the power trace of one result.",
    "missing": "Print the configurations that a sweep still has to run.",
    "watch": "Show how far a sweep is, until Ctrl-C.",
    "push": "Copy results with their power traces from a directory to an object store.",
    "pull": "Copy results with their power traces from an object store to a directory.",
    "verify": "Check every directory of results, and list damage.",
    "clean": "Remove the leftovers of interrupted saves; never remove a result.",
    "check": "State what an object store can promise, and what a role lacks.",
    "cache": "Show the cache of the records that were read of object stores.",
    "power": "Show a power log, and convert it to a power trace.",
    "schema": "Print the JSON Schema of result.json.",
    "demo": "Make a small synthetic sweep, save it, load it back, and show the files.",
    "bench": "Measure the cost of saving and loading results on a disk.",
}
"""Each command and the first line of its help.

A command is a function of its name in `commands.NAME`, or in `commands.NAME.command` of a package. There, the
names of keywords of Python end in an underscore.
"""


class _Commands(TyperGroup):
    """A group that imports only the command that runs, because some import slow packages."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - an object of click
        """Find the requested command, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name in _COMMANDS else command, rest


def _load(name: str) -> Any:  # noqa: ANN401
    identifier = f"{name}_" if iskeyword(name) else name
    module = import_module(f"llenergymeasure.cli.commands.{identifier}")
    if hasattr(module, "__path__"):
        module = import_module(f"{module.__name__}.command")
    single = _typer()
    single.command(name)(_reporting(f"llem {name}", getattr(module, identifier)))
    return typer.main.get_command(single)


def _reporting(program: str, command: Callable[..., int]) -> Callable[..., int]:
    """Wrap a command so that each of its errors becomes a message and an exit status."""

    @functools.wraps(command)
    def run_command(*args: Any, **options: Any) -> int:  # noqa: ANN401
        ERR.program = program
        try:
            with _warnings_as_lines():
                return command(*args, **options)
        except UsageError as error:
            return _refuse(program, str(error))
        except KeyboardInterrupt:
            ERR.report("interrupted")
            return 130
        except (CommandError, LLEMError, OSError) as error:
            ERR.report(_message(error))
            return 1
        except Exception as error:
            if os.environ.get(_TRACEBACK):
                raise
            fault = f"{type(error).__name__}: {error}"
            ERR.report(f"internal error, {fault}; set {_TRACEBACK}=1 for the traceback, and report it")
            return 1

    return run_command


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Report each warning of the package as one line; a command may read a store twice, and warns once."""
    reported: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in reported:
            reported.add(str(message))
            ERR.report(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _message(error: Exception) -> str:
    """Return the message of an error; one of the system names the file and the code as the package's do."""
    if isinstance(error, LLEMError) or not isinstance(error, OSError) or error.errno is None:
        return str(error)
    where = "" if error.filename is None else f"cannot use {error.filename!r}: "
    return f"{where}{error.strerror} [{errno.errorcode.get(error.errno, 'no code')}]"


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

# Depending on its version, typer raises exceptions of its bundled click or of the installed click.
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
    version: Annotated[  # noqa: ARG001, FBT002 - read by its callback
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Store the results of LLM energy measurements: save them atomically and durably, and read them back."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run() -> int:
    """Run the program, and return its exit status; no error of a user shows a traceback."""
    OUT.replace_closed()
    try:
        status = app(prog_name="llem", standalone_mode=False)
        OUT.flush()
    except SystemExit:  # click ends so where the reader of the help closed its pipe
        if ERR.program != "llem":
            raise
        status = 0
    except (typer.Abort, KeyboardInterrupt):
        ERR.report("interrupted")
        return 130
    except OSError as error:  # the help, on a full disk
        status = 1
        OUT.flush()
        if OUT.error is None:
            ERR.report(_message(error))
    except Exception as error:
        if not isinstance(error, _PARSER_ERROR):
            raise
        return _refuse(error.ctx.command_path if error.ctx else "llem", error.format_message())
    if OUT.error:
        ERR.write(f"llem: cannot write to standard output: {OUT.error}\n")
        return 1
    return int(status or 0)


def _refuse(program: str, message: str) -> int:
    ERR.program = program
    ERR.report(message)
    ERR.write(f"Try '{program} --help'.\n")
    return 2
