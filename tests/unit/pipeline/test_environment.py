"""The machine of a run, for the report."""

from __future__ import annotations

import platform

from deputize.pipeline.environment import environment


def test_the_machine_is_described() -> None:
    found = environment()
    assert found.keys() == {"python", "torch", "cpu", "gpu", "n_cores"}
    assert found["python"] == platform.python_version() and found["n_cores"] >= 1 and found["cpu"]
