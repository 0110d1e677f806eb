"""Calls that an instrumented agent reports as OpenTelemetry traces (OTLP/HTTP), so that no gateway is in its path.

References:
    OpenTelemetry, "OTLP Specification", section OTLP/HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from deputize.core.errors import BadInput, UnsupportedMediaType
from deputize.core.recording_policy import Recording, recorded_part
from deputize.core.records import Call
from deputize.gateway.context import RECORDING, record_wish
from deputize.gateway.protocols import CallRecorder
from deputize.http.handler import JSON_HEADERS, HttpReply
from deputize.stages.collect.containers.log_objects import LogObject
from deputize.stages.collect.containers.otlp_protobuf import (
    MAX_MESSAGES,
    has_too_many_messages,
    traces_of_protobuf,
)
from deputize.stages.collect.importers.otel import OtelImporter
from deputize.stages.collect.log_reader import LogReader
from deputize.wire.chat_request import decode_object

PROTOBUF = "application/x-protobuf"
_BIG_BODY_BYTES = 16 * 1024
_MOST_NAMED = 3


class TraceReceiver:
    """Records the LLM calls among the spans of one request each."""

    def __init__(
        self,
        recorder: CallRecorder,
        pseudonym: Callable[[str, str], str],
        recording: Recording = RECORDING,
    ) -> None:
        """
        Args:
            pseudonym: (raw origin, tenant) -> pseudonym.
            recording: what is kept of calls.
        """
        self._recorder, self._pseudonym, self._recording = recorder, pseudonym, recording

    async def receive(self, headers: Mapping[str, str], body: bytes, tenant: str) -> HttpReply:
        """Takes one export; a second one with the same spans adds nothing.

        Args:
            headers: lower-case names; x-deputize-agent names the agent of spans whose service has no name.
            body: without compression.
            tenant: whose calls they are.

        Raises:
            UnsupportedMediaType: neither JSON nor protobuf.
            BadInput: not an export of traces, or a way of recording that does not exist.
            MissingExtra: protobuf is not installed.
            StoreError: the calls could not be kept.
        """
        self._recorder.admit()
        asked = record_wish(headers)
        declared = headers.get("content-type", "").partition(";")[0].strip().lower()
        agent = headers.get("x-deputize-agent", "")
        read = partial(self._read, declared, body, agent, tenant)
        if len(body) > _BIG_BODY_BYTES:
            calls, rejected = await asyncio.get_running_loop().run_in_executor(None, read)
        else:
            calls, rejected = read()
        for call in calls:
            level = self._recording.level(tenant=call.tenant, agent=call.agent, site=call.site, asked=asked)
            kept = recorded_part(call, level)
            if kept is not None:
                await self._recorder.record(kept)
        return _reply(declared, rejected)

    def _read(self, declared: str, body: bytes, agent: str, tenant: str) -> tuple[list[Call], list[str]]:
        """The calls of an export, and reasons why LLM spans are none."""
        export = _decoded(declared, body)
        reader = LogReader((OtelImporter(),), agent, lambda raw, _: self._pseudonym(raw, tenant))
        found = LogObject("traces", 1, export)
        calls: list[Call] = []
        rejected: list[str] = []
        for item in (*reader.read(found), *reader.finish()):
            if isinstance(item.item, Call):
                calls.append(structs.replace(item.item, tenant=tenant, source="otlp"))
            elif not item.item.is_no_call:
                rejected.append(item.item.reason)
        return calls, rejected


def _decoded(declared: str, body: bytes) -> dict[str, Any]:
    if declared == PROTOBUF:
        if has_too_many_messages(body):
            raise BadInput(
                f"The export holds more than {MAX_MESSAGES} attributes and other parts; send fewer spans at a time."
            )
        return traces_of_protobuf(body)
    if declared not in ("application/json", ""):
        raise UnsupportedMediaType(f"Traces are taken as application/json or {PROTOBUF}.")
    export = decode_object(body)
    if not isinstance(export.get("resourceSpans", export.get("resource_spans")), list):
        raise BadInput("The export needs 'resourceSpans': a list.")
    return export


def _reply(declared: str, rejected: list[str]) -> HttpReply:
    """The answer that an exporter expects, in the form of its request."""
    if declared == PROTOBUF:
        return HttpReply(200, [("content-type", PROTOBUF)], b"")
    value: dict[str, Any] = {}
    if rejected:
        reasons = "; ".join(dict.fromkeys(rejected[:_MOST_NAMED]))
        value = {"partialSuccess": {"rejectedSpans": len(rejected), "errorMessage": reasons}}
    return HttpReply(200, list(JSON_HEADERS), msgspec.json.encode(value))
