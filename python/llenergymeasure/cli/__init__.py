"""The command line program `llem`."""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run `llem` with the arguments of the process, and return its exit status.

    0: everything succeeded. 1: some of it failed. 2: wrong usage. 130: interrupted.
    """
    try:
        from llenergymeasure.cli.app import run  # noqa: PLC0415 - `import llenergymeasure.cli` stays fast

        return run()
    except KeyboardInterrupt:
        return 130
