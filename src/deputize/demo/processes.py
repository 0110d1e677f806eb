"""The simulated LLM as a process of its own, so that its work is not counted as the gateway's or the specialists'."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from deputize.core.errors import UpstreamError


@contextlib.contextmanager
def teacher_process(seed: int, *, latency_scale: float = 1.0, noise: float = 0.0) -> Iterator[str]:
    """Run the scripted teacher; yields its address (without /v1). It ends with the block, or with this process.

    Raises:
        UpstreamError: it did not start.
    """
    command = [sys.executable, "-m", "deputize.demo.teacher", "--seed", str(seed)]
    command += ["--latency-scale", str(latency_scale), "--noise", str(noise)]
    # a session of its own: Ctrl-C reaches only us, and we stop it in order
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise UpstreamError("the simulated LLM did not start")
        yield str(json.loads(line)["url"])
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
