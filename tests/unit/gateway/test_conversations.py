"""Conversations behind response ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.gateway.stubs import CannedTransport, DictConversations, exchange, upstream

from deputize.core.errors import BadInput
from deputize.gateway.conversations import (
    Conversation,
    SealedConversations,
    keep_conversation,
    resume_conversation,
)
from deputize.gateway.exchange import ExchangeOutcome, Leg
from deputize.store.conversation_store import ConversationStore
from deputize.store.keys.keyring import KeyRing
from deputize.wire.events import Completion
from deputize.wire.registry import CHAT, RESPONSES

ANSWER = Completion(message={"role": "assistant", "content": "because"})


async def test_sessions_are_sealed_private_and_expire(tmp_path: Path) -> None:
    now = [1000.0]
    keyring = KeyRing.open(tmp_path)
    sessions = SealedConversations(ConversationStore(tmp_path, keyring, max_age_s=100, clock=lambda: now[0]))
    said = Conversation(messages=[{"role": "user", "content": "the secret word is ostrich"}])
    await sessions.put("acme", "o_1", "resp_dpz-1", said)
    assert await sessions.get("acme", "resp_dpz-1") == said
    assert (
        await sessions.get("other", "resp_dpz-1") is None and await sessions.get("acme", "resp_dpz-2") is None
    )
    for file in tmp_path.glob("conversations.db*"):
        assert b"ostrich" not in file.read_bytes()
    now[0] += 101
    assert await sessions.get("acme", "resp_dpz-1") is None
    sessions.close()


async def test_a_conversation_is_kept_and_written_out_again() -> None:
    conversations = DictConversations()
    first = exchange({"model": "m", "input": "why?"}, RESPONSES)
    assert await resume_conversation(conversations, first) == ""
    outcome = ExchangeOutcome(completion=ANSWER, response_id=first.answer_id)
    await keep_conversation(conversations, first, outcome)
    second = exchange(
        {
            "model": "m",
            "instructions": "i",
            "input": "really?",
            "previous_response_id": first.answer_id,
        },
        RESPONSES,
    )
    await resume_conversation(conversations, second)
    assert [m["content"] for m in second.chat["messages"]] == ["i", "why?", "because", "really?"]
    assert "previous_response_id" not in second.outgoing and b"because" in second.body


async def test_an_unknown_id_of_the_gateways_is_refused_and_anothers_is_not() -> None:
    conversations = DictConversations()
    fields = {"model": "m", "input": "q", "previous_response_id": "resp_dpz-gone"}
    with pytest.raises(BadInput, match="not found"):
        await resume_conversation(conversations, exchange(fields, RESPONSES))
    conversations.kept["default", "resp_up"] = Conversation(upstream="u7")
    fields = {**fields, "previous_response_id": "resp_up"}
    assert await resume_conversation(conversations, exchange(fields, RESPONSES)) == "u7"


async def test_nothing_is_kept_for_other_protocols_or_where_the_client_says_so() -> None:
    conversations = DictConversations()
    outcome = ExchangeOutcome(completion=ANSWER, response_id="x")
    await keep_conversation(conversations, exchange(dialect=CHAT), outcome)
    silent = exchange({"model": "m", "input": "q", "store": False}, RESPONSES)
    await keep_conversation(conversations, silent, outcome)
    passed = exchange({"model": "m", "input": "q"}, RESPONSES)
    passed.leg = Leg(upstream(CannedTransport()), RESPONSES, True, "", one_of_several=False)
    await keep_conversation(conversations, passed, outcome)
    assert not conversations.kept
