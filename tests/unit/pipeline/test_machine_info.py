"""The machine of a run, for the report."""

from __future__ import annotations

import platform

from deputize.pipeline.machine_info import machine_info


def test_the_machine_is_described() -> None:
    found = machine_info()
    assert found.keys() == {"python", "torch", "cpu", "gpu", "n_cores"}
    assert found["python"] == platform.python_version() and found["n_cores"] >= 1 and found["cpu"]
