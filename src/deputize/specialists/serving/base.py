"""Protocol of an engine: what answers for specialists, asked from an event loop that never imports a model."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from deputize.core.errors import DeputizeError
from deputize.core.records import Prediction, Request


class EngineFailure(DeputizeError):
    """A specialist could not answer; the LLM does."""

    http_status, code = 502, "engine_failure"


class StillLoading(EngineFailure):
    """A specialist is being loaded, or another one whose thread it shares; the LLM answers until then."""

    code = "engine_loading"


class OtherEngine(DeputizeError):
    """Another engine answers than the certificate was measured on, or another version of the specialist."""


class ServedVersion(NamedTuple):
    """The version of a specialist that routes are about."""

    card_sha256: str
    """Of its card; "": the routes do not say."""
    engines: frozenset[str] = frozenset()
    """That the certificates of these routes were measured on; empty: they do not say."""


class Engine(Protocol):
    """Asks specialists that run elsewhere: in worker processes of this machine, or in a server."""

    async def start(self) -> None:
        """Connects, and starts what has to be started; harmless where it runs already.

        Raises:
            MissingExtra: a package that the engine needs is not installed.
            UpstreamError: it does not come up.
        """
        ...

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        """A specialist's answer.

        Args:
            specialist_path: its folder, relative to the home.
            request: to be answered.
            timeout_s: seconds after which nobody waits any more.

        Raises:
            UpstreamTimeout: none came in time.
            UpstreamError: the engine is not there.
            EngineFailure: the specialist could not be loaded or failed.
            OtherEngine: another version of it is there, or another engine, than routes are about.
        """
        ...

    async def stop(self) -> None:
        """Ends what was started, and every wait on it; harmless where nothing runs."""
        ...
