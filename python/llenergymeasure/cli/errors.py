"""Errors that end a command; `app` reports them and chooses the exit status."""

from __future__ import annotations


class UsageError(Exception):
    """A wrong command line: the command did nothing (exit status 2)."""


class CommandError(Exception):
    """A correct command line that cannot be carried out (exit status 1)."""
