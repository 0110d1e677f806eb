"""Looking for personal data never opens a connection: an audited platform sees no call home, and works offline."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from deputize.privacy.detectors.presidio import PresidioDetector

def no_network(event, args):
    if event in ("socket.getaddrinfo", "socket.connect"):
        print("NETWORK", event, args, flush=True)

sys.addaudithook(no_network)
spans = PresidioDetector().detect(["write to ann.lee@example.co.uk soon"])[0]
print([s.type for s in spans])
"""


def test_presidio_asks_no_network_even_with_an_empty_cache(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "TLDEXTRACT_CACHE": str(tmp_path)},
    )
    assert done.stdout.splitlines() == ["['EMAIL_ADDRESS']"]
    assert "Traceback" not in done.stderr
