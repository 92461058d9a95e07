"""What a person types: `llem`."""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run `llem` with the arguments of the process, and return its exit status.

    0: all done. 1: some of it not. 2: wrong usage. 130: interrupted.
    """
    try:
        from llenergymeasure.cli.app import run  # noqa: PLC0415 - typer loads only where a person types

        return run()
    except KeyboardInterrupt:
        return 130
