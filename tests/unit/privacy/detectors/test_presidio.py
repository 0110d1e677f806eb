"""Looking for personal data never opens a connection: an audited platform sees no call home, and works offline.

Nor does it load torch: each process that looks for them would take seconds longer to start.
"""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from deputize.privacy.detectors.presidio import PresidioDetector
from deputize.privacy.standard_detectors import standard_detectors

def no_network(event, args):
    if event in ("socket.getaddrinfo", "socket.connect"):
        print("NETWORK", event, args, flush=True)

sys.addaudithook(no_network)
spans = PresidioDetector().detect(["write to ann.lee@example.co.uk soon"])[0]
print([s.type for s in spans])
standard_detectors()
print(sorted({"torch", "transformers"} & set(sys.modules)))
"""


def test_presidio_asks_no_network_even_with_an_empty_cache_and_loads_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "TLDEXTRACT_CACHE": str(tmp_path)},
    )
    assert done.stdout.splitlines() == ["['EMAIL_ADDRESS']", "[]"]
    assert "Traceback" not in done.stderr
