"""Conversations behind response ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway.stubs import CannedTransport, DictConversations, context, exchange, upstream

from deputize.core.errors import BadInput
from deputize.gateway.auth import Caller
from deputize.gateway.conversations import (
    Conversation,
    SealedConversations,
    check_references,
    keep_conversation,
    resume_conversation,
)
from deputize.gateway.exchange import ExchangeResult, UpstreamExchange
from deputize.store.access.api_keys import ApiKey
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
    await sessions.put(context(tenant="acme", origin="o_1"), "resp_dpz-1", said, "")
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
    outcome = ExchangeResult(completion=ANSWER, response_id=first.answer_id)
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
    outcome = ExchangeResult(completion=ANSWER, response_id="x")
    await keep_conversation(conversations, exchange(dialect=CHAT), outcome)
    silent = exchange({"model": "m", "input": "q", "store": False}, RESPONSES)
    await keep_conversation(conversations, silent, outcome)
    passed = exchange({"model": "m", "input": "q"}, RESPONSES)
    passed.upstream_exchange = UpstreamExchange(
        upstream(CannedTransport()), RESPONSES, True, "", one_of_several=False
    )
    await keep_conversation(conversations, passed, outcome)
    assert not conversations.kept


@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "resp_of_another_tenant"},
        {"conversation": "conv_1"},
        {"conversation": {"id": "conv_1"}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"role": "user", "content": "q"}, {"id": "msg_1"}]},
        {"input": [{"id": "msg_1", "type": None}]},
    ],
)
async def test_what_another_tenant_was_given_is_not_there(more: dict[str, Any]) -> None:
    """Callers with keys of the gateway share the upstream's own key: to it they are one account."""
    conversations = DictConversations()
    conversations.kept["other", "resp_of_another_tenant"] = Conversation(upstream="u0")
    key = ApiKey(id="k", digest=b"", role="ingest")
    asked = exchange({"model": "m", "input": "q", **more}, RESPONSES, caller=Caller(key=key))
    await resume_conversation(conversations, asked)
    with pytest.raises(BadInput, match=r"not found|shared key"):
        check_references(asked)


async def test_what_a_tenant_was_given_is_its_own() -> None:
    conversations = DictConversations()
    key = ApiKey(id="k", digest=b"", role="ingest")
    first = exchange({"model": "m", "input": "q"}, RESPONSES, caller=Caller(key=key))
    first.upstream_exchange = UpstreamExchange(
        upstream(CannedTransport()), RESPONSES, True, "", one_of_several=False
    )
    await keep_conversation(conversations, first, ExchangeResult(completion=ANSWER, response_id="resp_up"))
    fields = {"model": "m", "input": "q", "previous_response_id": "resp_up"}
    second = exchange(fields, RESPONSES, caller=Caller(key=key))
    assert await resume_conversation(conversations, second) == "u0"
    check_references(second)


async def test_a_conversation_names_everybody_whose_words_are_in_it() -> None:
    conversations = DictConversations()
    first = exchange({"model": "m", "input": "my PIN is 4712"}, RESPONSES, context=context(origin="o_nora"))
    outcome = ExchangeResult(completion=ANSWER, response_id=first.answer_id)
    await keep_conversation(conversations, first, outcome)
    fields = {"model": "m", "input": "go on", "previous_response_id": first.answer_id}
    second = exchange(fields, RESPONSES, context=context(origin="o_otto", id="dpz-2"))
    await resume_conversation(conversations, second)
    kept = ExchangeResult(completion=ANSWER, response_id="resp_dpz-2")
    await keep_conversation(conversations, second, kept)
    found = await conversations.get("default", "resp_dpz-2")
    assert found is not None and found.origins == ["o_nora", "o_otto"]


async def test_an_answer_that_was_under_way_brings_nothing_of_an_erased_person_back(tmp_path: Path) -> None:
    file = ConversationStore(tmp_path, KeyRing.open(tmp_path), clock=lambda: 1000.0)
    conversations = SealedConversations(file)
    for id, origin in (("dpz-1", "o_nora"), ("dpz-2", "o_otto")):
        fields = {"model": "m", "input": f"I am {origin}"}
        asked = exchange(fields, RESPONSES, context=context(origin=origin, id=id, arrived_at=900.0))
        await keep_conversation(
            conversations, asked, ExchangeResult(completion=ANSWER, response_id=f"resp_{id}")
        )
    outcome = ExchangeResult(completion=ANSWER, response_id="resp_dpz-3")
    begun = []
    for id, earlier, arrived_at in (
        ("dpz-3", "resp_dpz-1", 990.0),
        ("dpz-4", "", 990.0),
        ("dpz-5", "", 1001.0),
    ):
        fields = {"model": "m", "input": "and my PIN is 4712", "previous_response_id": earlier}
        begun.append(
            exchange(fields, RESPONSES, context=context(origin="o_nora", id=id, arrived_at=arrived_at))
        )
    begun.append(
        exchange(
            {"model": "m", "input": "goes on with hers", "previous_response_id": "resp_dpz-1"},
            RESPONSES,
            context=context(origin="", id="dpz-6", arrived_at=1001.0),
        )
    )
    for one in begun:
        await resume_conversation(conversations, one)
    assert file.erase("default", "o_nora") == 1
    for one in begun:
        outcome = ExchangeResult(completion=ANSWER, response_id=one.answer_id)
        await keep_conversation(conversations, one, outcome)
    kept = {id: await conversations.get("default", id) is not None for id in [e.answer_id for e in begun]}
    assert list(kept.values()) == [False, False, True, False], "who asks after the erasure is somebody new"
    assert await conversations.get("default", "resp_dpz-2") is not None
    conversations.close()
