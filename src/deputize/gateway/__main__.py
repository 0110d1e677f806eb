"""`python -m deputize.gateway HOME HOST PORT WORKERS UPSTREAM API_KEY_ENV`: the child of start_gateway_process."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from deputize.core.errors import DeputizeError
from deputize.gateway.serve import serve


def main(arguments: list[str]) -> int:
    """Serves; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    home, host, port, workers, upstream, api_key_env = arguments
    try:
        serve(Path(home), host, int(port), upstream or None, int(workers), api_key_env or None)
    except DeputizeError as error:
        sys.stderr.write(f"deputize: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
