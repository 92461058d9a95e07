"""The saver in the search of all interleavings with cleaners makes the calls of a real save."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult
from support.saver import Outcome, Saver

SAVE_CALLS = Path(__file__).parents[2] / "rust/store/src/inspect/states/save_calls.txt"
"""The calls of a save and, after an empty line, of its end after a failure; the search reads them, too."""
CHANGES = ("mkdir", "open", "creat", "rename", "link", "symlink", "unlink", "rmdir", "mknod")
"""The beginnings of the names of calls that change a tree, or open a directory in it."""
WATCH = "creat,symlink,symlinkat,unlink,unlinkat,rmdir,mknod,mknodat"


def changes(outcome: Outcome, root: Path) -> list[str]:
    """Return the calls below a root with their names, in order; the claimed directory is NAME."""
    found = []
    for call in outcome.calls:
        names = re.findall(r'"([^"]*)"', call.arguments)
        if call.name.startswith(CHANGES) and str(root) in call.arguments and names != [str(root)]:
            found.append([call.name, *names])
    claimed = found[0][-1]
    return [" ".join(call).replace(claimed, "NAME") for call in found]


@pytest.mark.parametrize("source", ["path", "arrow"])
def test_save_with_trace_makes_the_calls_of_the_modelled_saver(
    traced: Saver, result: ExperimentResult, parquet: Path, tmp_path: Path, source: str
) -> None:
    save, end = (part.splitlines() for part in SAVE_CALLS.read_text().split("\n\n"))
    for fault, expected in (((), save), (("renameat2:error=EIO:when=2",), save + end)):
        root = tmp_path / f"out{len(fault)}"
        root.mkdir()
        job = {
            "result": result.model_dump_json(),
            "root": str(root),
            "source": str(parquet if source == "path" else source),
        }
        outcome = traced.run(job, trace=True, inject=fault, watch=WATCH)
        assert outcome.kind == ("PersistenceError" if fault else "saved"), outcome.reply
        assert changes(outcome, root) == expected
