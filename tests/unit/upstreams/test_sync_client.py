"""Questions from code that is not asynchronous."""

from __future__ import annotations

import pytest

from deputize.core.errors import UpstreamError
from deputize.testing import ScriptedUpstream, always, in_thread
from deputize.upstreams.sync_client import SyncClient
from deputize.upstreams.upstream_config import UpstreamConfig


def test_a_question_is_answered() -> None:
    with in_thread(ScriptedUpstream(always("Parcel."))) as llm:
        client = SyncClient(UpstreamConfig(base_url=llm.url), "big")
        assert client("Answer in one word.", "What is it?") == "Parcel."
        client.close()


def test_an_upstream_that_is_not_there_is_an_error_in_words() -> None:
    client = SyncClient(UpstreamConfig(base_url="http://127.0.0.1:9/v1"), "big")
    with pytest.raises(UpstreamError, match="cannot be reached"):
        client("i", "t")
    client.close()
