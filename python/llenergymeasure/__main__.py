"""The command `llem`, as `python -m llenergymeasure`."""

from __future__ import annotations

import sys

from llenergymeasure.cli import main

if __name__ == "__main__":
    sys.exit(main())
