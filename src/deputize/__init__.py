"""Deputize: small specialists, certified, take the routine calls of an agent; the LLM keeps the rest.

The names below are the public interface (docs/reference/api.md). Each is imported when it is first used, so that
`import deputize` takes no time and needs nothing that is optional.
"""

from typing import TYPE_CHECKING

from deputize.core.version import VERSION as __version__

if TYPE_CHECKING:
    from deputize.core.errors import (
        AccessDenied,
        BadInput,
        DeputizeError,
        MissingExtra,
        OverLimit,
        StoreError,
        Tampered,
        UpstreamError,
        UsageError,
    )
    from deputize.core.records import Call, Certificate, Prediction, Request, Route
    from deputize.core.report_schema import Report
    from deputize.gateway.launch import running_gateway, serve
    from deputize.home import Home
    from deputize.library import convert, convert_all, import_logs, read_report, run_settings
    from deputize.listen.listener import Listener
    from deputize.specialists.predictor import SpecialistPredictor as Specialist
    from deputize.stages.collect.import_logs import read_calls
else:
    from deputize import public_names

    __getattr__, __dir__ = public_names.public_name, public_names.public_names

__all__ = [
    "AccessDenied",
    "BadInput",
    "Call",
    "Certificate",
    "DeputizeError",
    "Home",
    "Listener",
    "MissingExtra",
    "OverLimit",
    "Prediction",
    "Report",
    "Request",
    "Route",
    "Specialist",
    "StoreError",
    "Tampered",
    "UpstreamError",
    "UsageError",
    "__version__",
    "convert",
    "convert_all",
    "import_logs",
    "read_calls",
    "read_report",
    "run_settings",
    "running_gateway",
    "serve",
]
