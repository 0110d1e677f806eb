"""Questions from code that is not asynchronous."""

from __future__ import annotations

import pytest

from deputize.core.contracts import tool_calls_of
from deputize.core.errors import UpstreamError
from deputize.core.records import Request
from deputize.testing import ScriptedUpstream, always, in_thread
from deputize.upstreams.sync_client import SyncClient
from deputize.upstreams.upstream_config import UpstreamConfig


def test_a_question_is_answered() -> None:
    with in_thread(ScriptedUpstream(always("Parcel."))) as llm:
        client = SyncClient(UpstreamConfig(base_url=llm.url), "big")
        assert client("Answer in one word.", "What is it?") == "Parcel."
        client.close()


def test_a_whole_request_is_put_and_the_whole_reply_comes_back() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "go", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "go", "parameters": {"type": "object"}}}
    request = Request(messages=[{"role": "user", "content": "Go."}], tools=[tool])
    with in_thread(ScriptedUpstream(lambda _: {"role": "assistant", "tool_calls": [call]})) as llm:
        client = SyncClient(UpstreamConfig(base_url=llm.url), "big")
        reply = client.complete(request)
        client.close()
    assert tool_calls_of(reply.message) == [{"name": "go", "arguments": {}}]
    assert reply.usage is not None and reply.usage.completion_tokens > 0
    (sent,) = llm.requests
    assert (sent["model"], sent["tools"], sent["messages"]) == ("big", request.tools, request.messages)
    assert "response_format" not in sent


def test_an_upstream_that_is_not_there_is_an_error_in_words() -> None:
    client = SyncClient(UpstreamConfig(base_url="http://127.0.0.1:9/v1"), "big")
    with pytest.raises(UpstreamError, match="cannot be reached"):
        client("i", "t")
    client.close()
