"""A program that ends with whoever started it: `python -m deputize.specialists.writing.guarded_process PROGRAM ...`.

Its standard input is a pipe of the process that wants it; when that closes, by intent or by a crash, the program and
its children get SIGTERM, and SIGKILL where they stay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_S = 10.0


def start_guarded(command: Sequence[str], environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Starts a program that does not outlive this process; closing the standard input of the result ends it."""
    guard = [sys.executable, "-m", "deputize.specialists.writing.guarded_process", *command]
    with log.open("ab") as out:
        return subprocess.Popen(
            guard, stdin=subprocess.PIPE, stdout=out, stderr=out, env=dict(environ), start_new_session=True
        )


def end_guarded(process: subprocess.Popen[bytes]) -> None:
    """Ends a program that was started guarded, and waits until it has ended."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def main(command: Sequence[str]) -> int:
    """Runs the program until it ends or standard input closes; its exit code."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return 127

    def end() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        for number, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(wait_s)
                return

    threading.Thread(target=end, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # the thread may be reading standard input, which an orderly end would wait for
    sys.stderr.flush()
    os._exit(code & 0xFF)
