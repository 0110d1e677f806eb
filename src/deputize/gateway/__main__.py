"""`python -m deputize.gateway HOME HOST PORT WORKERS UPSTREAM API_KEY_ENV`: the child of start_gateway_process.

It ends when the process that started it does, however that ends: its standard input is a pipe from there.
"""

from __future__ import annotations

import logging
import os
import signal
import stat
import sys
import threading
from pathlib import Path

from deputize.core.errors import DeputizeError
from deputize.gateway.launch import serve


def main(arguments: list[str]) -> int:
    """Serves; returns the exit code."""
    os.umask(0o077)  # what a home holds is nobody else's on this machine
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    home, host, port, workers, upstream, api_key_env = arguments
    try:
        serve(Path(home), host, int(port), upstream or None, int(workers), api_key_env or None)
    except DeputizeError as error:
        sys.stderr.write(f"deputize: {error}\n")
        return error.exit_code
    return 0


def _end_with_parent() -> None:
    """Stops this process in order once nobody holds the other end of its standard input."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
