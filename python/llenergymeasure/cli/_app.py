"""The program: its commands, and how each ends."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import llenergymeasure
from llenergymeasure import _store
from llenergymeasure.cli._console import ERR, OUT, UsageError, printable
from llenergymeasure.cli.bench import bench
from llenergymeasure.cli.demo import demo
from llenergymeasure.cli.save import save

__all__ = ["app", "run"]

app = typer.Typer(
    name="llem",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("save")(save)
app.command("demo")(demo)
app.command("bench")(bench)

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
    except OSError as error:  # the help, on a disk that is full
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
