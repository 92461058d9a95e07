"""The one function that makes text safe for a terminal; errors, warnings, reprs and tables call it."""

from __future__ import annotations


def escape(text: str, *, keep_bytes: bool = False) -> str:
    r"""Return text on one line that cannot steer a terminal: any character that is not printable as `\x1b`.

    These are control characters (C0 and C1), line separators, marks of the writing direction, lone
    surrogates, and unassigned characters, as `str.isprintable` classes them. Printable text is unchanged.

    Args:
        text: Any text, such as a file name or a value of a record.
        keep_bytes: Keep the bytes of a file name that is not UTF-8 (U+DC80 to U+DCFF), for a stream that
            writes them as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() or (keep_bytes and "\udc80" <= mark <= "\udcff") else _escaped(mark)
        for mark in text
    )


def _escaped(mark: str) -> str:
    return mark.encode("unicode_escape").decode("ascii")
