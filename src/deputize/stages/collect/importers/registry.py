"""Importers by name: our own, those of other packages, and those of users.

calls, openai, ...  ours, one module each; `format_rows` lists them
NAME                an entry point in the group "deputize.importers": an importer, or a class that makes one
module:attribute    likewise, from any module that can be imported
auto                all of ours and all entry points: each line is read by the first one that recognises it
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext, Importer, Parsed
from deputize.stages.collect.importers.bedrock import BedrockImporter
from deputize.stages.collect.importers.calls import CallsImporter
from deputize.stages.collect.importers.chat_datasets import ConversationsImporter
from deputize.stages.collect.importers.chat_exports import (
    AssistantsImporter,
    ChatgptImporter,
    ContinueImporter,
    GlaiveImporter,
    HermesImporter,
    InstructionsImporter,
    LlamaindexImporter,
)
from deputize.stages.collect.importers.coding_agents import (
    ClaudeCodeImporter,
    CodexImporter,
    GeminiCliImporter,
)
from deputize.stages.collect.importers.http_recordings import HarImporter, VcrImporter
from deputize.stages.collect.importers.langchain import LangsmithImporter
from deputize.stages.collect.importers.langfuse import LangfuseImporter
from deputize.stages.collect.importers.litellm import LitellmImporter
from deputize.stages.collect.importers.openai_batch import BatchImporter
from deputize.stages.collect.importers.openai_chat import ExchangeImporter
from deputize.stages.collect.importers.otel import OtelImporter
from deputize.stages.collect.importers.platforms import (
    ApimImporter,
    BraintrustImporter,
    DatadogImporter,
    DspyImporter,
    MlflowImporter,
    PortkeyImporter,
    TensorzeroImporter,
    WeaveImporter,
)
from deputize.stages.collect.importers.refused_records import RefusedImporter
from deputize.stages.collect.importers.trajectories import (
    AgentdojoImporter,
    AtifImporter,
    BfclImporter,
    InspectImporter,
    OpenhandsImporter,
    SweAgentImporter,
    TauBenchImporter,
)

GROUP = "deputize.importers"
AUTO = "auto"
BUILT_IN: tuple[Importer, ...] = (
    OtelImporter(),
    LangfuseImporter(),
    LitellmImporter(),
    LangsmithImporter(),
    BedrockImporter(),
    BraintrustImporter(),
    WeaveImporter(),
    MlflowImporter(),
    TensorzeroImporter(),
    DatadogImporter(),
    ApimImporter(),
    PortkeyImporter(),
    DspyImporter(),
    BatchImporter(),
    HarImporter(),
    VcrImporter(),
    TauBenchImporter(),
    SweAgentImporter(),
    AgentdojoImporter(),
    InspectImporter(),
    OpenhandsImporter(),
    AtifImporter(),
    BfclImporter(),
    ClaudeCodeImporter(),
    CodexImporter(),
    GeminiCliImporter(),
    ChatgptImporter(),
    AssistantsImporter(),
    LlamaindexImporter(),
    ContinueImporter(),
    HermesImporter(),
    GlaiveImporter(),
    InstructionsImporter(),
    RefusedImporter(),
    ExchangeImporter(),
    CallsImporter(),
    ConversationsImporter(),
)
"""In the order in which they are asked: those of one platform before those that read whatever looks like a call."""


class CheckedImporter:
    """An importer of somebody else's: its failures are named, its results checked."""

    def __init__(self, spec: str, inner: Importer) -> None:
        self.name, self.description = inner.name, inner.description
        self._spec, self._inner = spec, inner

    def sniff(self, row: dict[str, Any]) -> bool:
        """Raises BadInput where the importer fails."""
        try:
            return bool(self._inner.sniff(row))
        except Exception as error:  # noqa: BLE001 - somebody else's code; its message may hold a part of the log
            raise BadInput(
                f"The importer {self._spec} failed with {type(error).__name__} in sniff."
            ) from None

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        """Raises BadInput where the importer fails or returns something else than calls and Skips."""
        where = f"at {context.file}, line {context.line}"
        try:
            found = self._inner.parse(row, context)
        except Exception as error:  # noqa: BLE001 - somebody else's code; its message may hold a part of the log
            raise BadInput(f"The importer {self._spec} failed with {type(error).__name__} {where}.") from None
        if not isinstance(found, Call | Skip) and not (
            isinstance(found, list) and found and all(isinstance(item, Call | Skip) for item in found)
        ):
            raise BadInput(f"The importer {self._spec} returned a {type(found).__name__} {where}.")
        return found


def formats_help() -> str:
    """The help text of --format."""
    return (
        "Format of the logs; auto: recognised record by record. `deputize import --formats` lists them; an importer of your "
        "own is module:attribute."
    )


def format_names() -> list[str]:
    """The words for --format."""
    return [AUTO, *(name for name, _ in format_rows())]


def format_rows() -> list[tuple[str, str]]:
    """(name, description) of every format, ours in the order of their names, then those of other packages."""
    points = {
        point.name: f"importer of {point.value.partition(':')[0]}" for point in entry_points(group=GROUP)
    }
    ours = {importer.name: importer.description for importer in BUILT_IN}
    return [*sorted(ours.items()), *sorted((n, t) for n, t in points.items() if n not in ours)]


def importers_for(format: str) -> tuple[Importer, ...]:
    """The importers that may read a line of a log in a format, in the order in which they are asked.

    Raises:
        UsageError: there is no importer of that name.
        BadInput: there is one, but it cannot be used.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if format == AUTO:
        return (*(_checked(name, point.load) for name, point in sorted(points.items())), *BUILT_IN)
    ours = {importer.name: importer for importer in BUILT_IN}
    if format in ours:
        return (ours[format],)
    if format in points:
        return (_checked(format, points[format].load),)
    module, _, attribute = format.partition(":")
    if not attribute:
        names = ", ".join((AUTO, *sorted(ours), *sorted(points)))
        raise UsageError(
            f"{format!r} is not a log format; formats are {names}; or name an importer as module:attribute."
        )
    return (_checked(format, lambda: _attribute(module, attribute)),)


def _attribute(module: str, attribute: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def _checked(spec: str, load: Any) -> Importer:
    try:
        found = load()
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"The importer {spec} cannot be imported: {error}") from error
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # somebody else's code: whatever it raises, the user reads whose it is
            raise BadInput(f"The importer {spec} cannot be made: {type(error).__name__}: {error}") from error
    if not _is_importer(found):
        raise BadInput(f"The importer {spec} lacks a name, a description, sniff(row) or parse(row, context)")
    return CheckedImporter(spec, found)


def _is_importer(found: Any) -> bool:
    return all(isinstance(getattr(found, word, None), str) for word in ("name", "description")) and all(
        callable(getattr(found, word, None)) for word in ("sniff", "parse")
    )
