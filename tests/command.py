"""The command `deputize` in a process of its own."""

from __future__ import annotations

import sys

DEPUTIZE = [sys.executable, "-c", "from deputize.cli.main import main; main()"]
"""As the installed script begins. Not with -m: there Python 3.11 ends by SIGINT whatever a program makes of Ctrl-C,
if that came while a string was run by exec, as dataclasses and named tuples do on import."""
