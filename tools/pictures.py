"""Draw the pictures of the README from the sweep of `llem demo`.

    python tools/pictures.py [DIRECTORY]

It writes `terminal.svg`, the output of `llem ls` and `llem show` on a terminal, and `pareto.svg`, the output
of `llem plot`, to DIRECTORY, else to `docs/images`. The same version of the package draws the same pictures.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from html import escape, unescape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

COLUMNS, ROWS = 100, 60
STORE = "llem-demo"
SHOWN = "meta-llama-llama-3.1-8b_vllm_2026-02-18T14-30_1"
TERMINAL = (
    [
        "ls",
        STORE,
        "-c",
        "model,backend,config.batch_size,energy,J/token,tokens/s",
        "--sort=J/token",
        "-n",
        "6",
    ],
    ["show", f"{STORE}/{SHOWN}"],
)
MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d")
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fonts that a viewer would download; the picture names one that every system has."""
RUN = re.compile(
    r'<text class="(?P<style>terminal-r\d+)" x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)"'
    r' textLength="(?P<length>[\d.]+)" clip-path="[^"]*">(?P<text>[^<]+)</text>'
)
WORD = re.compile(r"[!-~]+|[^\s\0-~]")


def llem(directory: str, *arguments: str) -> None:
    """Run a command for its effect."""
    command = [sys.executable, "-m", "llenergymeasure", *arguments]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def on_terminal(directory: str, *arguments: str) -> str:
    """Run a command on a terminal and return everything that it prints, with its colours."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "llenergymeasure", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS"}}
    environment |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(  # noqa: S603
        command, cwd=directory, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        printed = b""
        while part := _read(controller):
            printed += part
    os.close(controller)
    if process.returncode:
        raise SystemExit(f"llem {' '.join(arguments)}: status {process.returncode}\n{printed.decode()}")
    return printed.decode().replace("\r\n", "\n")


def _read(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # Linux reports the end of a terminal's output as EIO
        return b""


def draw_terminal(directory: str) -> str:
    """Return a picture of the commands and their output."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for arguments in TERMINAL:
        console.print(Text(f"$ llem {' '.join(arguments)}", style="bold green"))
        console.print(Text.from_ansi(on_terminal(directory, *arguments).rstrip("\n")))
        console.print()
    picture = console.export_svg(title="llem", theme=DIMMED_MONOKAI, unique_id="terminal")
    picture = FONT_FACE.sub("", picture).replace("Fira Code, monospace", "monospace")
    return RUN.sub(_place_each_word, picture)


def _place_each_word(run: re.Match[str]) -> str:
    """Give each word, and each character beyond ASCII, its own column: viewers differ in fonts and spaces."""
    text = unescape(run["text"])
    start, step = float(run["x"]), float(run["length"]) / len(text)
    words = ""
    for word in WORD.finditer(text):
        column, length = start + word.start() * step, len(word[0]) * step
        words += f'<tspan x="{column:.1f}" textLength="{length:.1f}">{escape(word[0])}</tspan>'
    return f'<text class="{run["style"]}" y="{run["y"]}">{words}</text>'


def main() -> None:
    """Draw both pictures into the directory that the command line names, else into `docs/images`."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images").absolute()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        llem(directory, "demo", STORE)
        for result in sorted(Path(directory, STORE).iterdir()):
            name = result.with_name(MINUTE.sub("2026-02-18T14-30", result.name))
            result.rename(name if not name.exists() else f"{name}_1")  # a demo can span two minutes
        (target / "terminal.svg").write_text(draw_terminal(directory), encoding="utf-8")
        llem(directory, "plot", STORE, "-o", str(target / "pareto.svg"))


if __name__ == "__main__":
    main()
