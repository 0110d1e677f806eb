"""Recorded HTTP traffic."""

from __future__ import annotations

import base64
import gzip
import json

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.http_recordings import HarImporter, VcrImporter

CONTEXT = ImportContext("f", 1)
BODY = json.dumps({"messages": [{"role": "user", "content": "x"}]})
REPLY = json.dumps({"choices": [{"message": {"role": "assistant", "content": "y"}}]}).encode()


def test_packed_bodies_are_unpacked_and_other_traffic_is_left_out() -> None:
    packed = gzip.compress(REPLY)
    har = {
        "startedDateTime": "2025-10-09T08:53:20Z",
        "request": {"url": "https://x/v1/chat/completions", "postData": {"text": BODY}},
        "response": {
            "status": 200,
            "content": {"text": base64.b64encode(packed).decode(), "encoding": "base64"},
        },
    }
    vcr = {
        "request": {"uri": "https://x/v1/chat/completions", "body": BODY},
        "response": {"body": {"string": packed}},
    }
    for call in (HarImporter().parse(har, CONTEXT), *VcrImporter().parse({"interactions": [vcr]}, CONTEXT)):  # type: ignore[misc]
        assert isinstance(call, Call) and call.response["content"] == "y"
    other = HarImporter().parse({**har, "request": {"url": "https://x/logo.png"}}, CONTEXT)
    assert isinstance(other, Skip) and other.is_no_call
