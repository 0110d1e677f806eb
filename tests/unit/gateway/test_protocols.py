"""The parts that production uses keep the protocols."""

from __future__ import annotations

from deputize.gateway.protocols import CallRecorder, RouteLookup
from deputize.router.table import RouteTable
from deputize.store.recording.recorder import Recorder


def test_production_parts_have_every_method() -> None:
    """mypy checks their signatures where the gateway is assembled."""
    for protocol, part in ((CallRecorder, Recorder), (RouteLookup, RouteTable)):
        wanted = {name for name in vars(protocol) if not name.startswith("_")}
        assert wanted and wanted <= set(dir(part)), part
