"""The teacher in a process of its own."""

from __future__ import annotations

import json
import urllib.request

from deputize.demo.processes import teacher_process


def test_the_teacher_runs_as_a_process_of_its_own() -> None:
    with (
        teacher_process(0, latency_scale=0.0) as url,
        urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer,
    ):
        assert json.load(answer)["status"] == "ok"
