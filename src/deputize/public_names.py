"""Public names of the package and where each is defined; a name is imported when it is asked for.

`deputize` itself names them once more for type checkers; a test compares the two.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

PLACES: dict[str, str] = {
    "convert": "deputize.library:convert",
    "convert_all": "deputize.library:convert_all",
    "run_settings": "deputize.library:run_settings",
    "import_logs": "deputize.library:import_logs",
    "read_calls": "deputize.stages.collect.import_logs:read_calls",
    "read_report": "deputize.library:read_report",
    "serve": "deputize.gateway.launch:serve",
    "running_gateway": "deputize.gateway.launch:running_gateway",
    "Home": "deputize.home:Home",
    "Listener": "deputize.listen.listener:Listener",
    "Specialist": "deputize.specialists.predictor:SpecialistPredictor",
    "Report": "deputize.core.report_schema:Report",
    "Call": "deputize.core.records:Call",
    "Request": "deputize.core.records:Request",
    "Prediction": "deputize.core.records:Prediction",
    "Route": "deputize.core.records:Route",
    "Certificate": "deputize.core.records:Certificate",
    "DeputizeError": "deputize.core.errors:DeputizeError",
    "UsageError": "deputize.core.errors:UsageError",
    "BadInput": "deputize.core.errors:BadInput",
    "MissingExtra": "deputize.core.errors:MissingExtra",
    "AccessDenied": "deputize.core.errors:AccessDenied",
    "OverLimit": "deputize.core.errors:OverLimit",
    "UpstreamError": "deputize.core.errors:UpstreamError",
    "StoreError": "deputize.core.errors:StoreError",
    "Tampered": "deputize.core.errors:Tampered",
}
"""Name in `deputize` -> module and name there; in the order of the reference."""


def public_name(name: str) -> Any:
    """The object of a public name.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in PLACES:
        raise AttributeError(f"module 'deputize' has no attribute {name!r}")
    module, attribute = PLACES[name].split(":")
    return getattr(import_module(module), attribute)


def public_names() -> list[str]:
    """All public names, sorted, as `dir(deputize)` gives them."""
    return sorted([*PLACES, "__version__"])
