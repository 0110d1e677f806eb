"""Conversations behind the response ids that the gateway gives out, so that `previous_response_id` works on them.

A response that a specialist or a translated upstream answered is unknown to every server but this one. Conversations
are kept encrypted (see store.conversation_store), shared by all workers, for 30 days or as long as the tenant's
retention says.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Protocol

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message, Record
from deputize.gateway.context import Context
from deputize.gateway.exchange import Exchange, ExchangeResult
from deputize.http.headers import header_safe
from deputize.store.conversation_store import ConversationStore
from deputize.wire.responses_request import chat_to_items

OWN_PREFIX = "resp_dpz-"
"""Start of the response ids that the gateway gives out."""


class Conversation(Record):
    """The conversation that a response id refers to."""

    messages: list[Message] = msgspec.field(default_factory=list)
    """The conversation up to and including the answer, without instructions."""
    upstream: str = ""
    """The upstream that keeps this response itself."""
    origins: list[str] = msgspec.field(default_factory=list)
    """Pseudonyms of those whose words are in it: an erasure of one of them takes the conversation of all."""


class Conversations(Protocol):
    """Keeps conversations by tenant and response id."""

    async def get(self, tenant: str, response_id: str) -> Conversation | None: ...

    async def put(
        self, context: Context, response_id: str, conversation: Conversation, earlier: str
    ) -> None: ...


class SealedConversations:
    """Conversations in an encrypted file, read and written off the event loop."""

    def __init__(self, file: ConversationStore) -> None:
        self._file = file

    async def get(self, tenant: str, response_id: str) -> Conversation | None:
        """The conversation behind an id, None where there is none (any more).

        Raises:
            StoreError: the file cannot be read.
        """
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(None, self._file.get, tenant, response_id)
        return None if data is None else msgspec.json.decode(data, type=Conversation)

    async def put(self, context: Context, response_id: str, conversation: Conversation, earlier: str) -> None:
        """Keeps a conversation, unless it was under way when somebody in it, or what it goes on from, was erased.

        Args:
            context: of the call.
            response_id: by which it is asked for.
            conversation: what is kept.
            earlier: the response id that it goes on from; "": none.

        Raises:
            StoreError: it cannot be kept.
        """
        put = partial(
            self._file.put,
            context.tenant,
            context.origin,
            response_id,
            msgspec.json.encode(conversation),
            others=conversation.origins,
            earlier=earlier,
            begun_at=context.arrived_at,
        )
        await asyncio.get_running_loop().run_in_executor(None, put)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


async def resume_conversation(conversations: Conversations, exchange: Exchange) -> str:
    """Writes the conversation behind a `previous_response_id` of the gateway's own into the request.

    Returns:
        The upstream that keeps the earlier response itself; "" where none is known to.

    Raises:
        BadInput: an id of the gateway's own that is not known (any more).
    """
    if exchange.dialect.name != "responses":
        return ""
    n_instructions = 1 if exchange.fields.get("instructions") else 0
    exchange.history = list(exchange.chat["messages"][n_instructions:])
    earlier = exchange.fields.get("previous_response_id")
    if not isinstance(earlier, str) or not earlier:
        return ""
    conversation = await conversations.get(exchange.context.tenant, earlier)
    exchange.knows_earlier = conversation is not None
    if not earlier.startswith(OWN_PREFIX):
        return conversation.upstream if conversation is not None else ""
    if conversation is None:
        raise BadInput(f"Previous response with id {header_safe(earlier, 80)!r} not found.")
    exchange.history = [*conversation.messages, *exchange.history]
    exchange.earlier_origins = conversation.origins
    instructions = exchange.chat["messages"][:n_instructions]
    exchange.chat = {**exchange.chat, "messages": [*instructions, *exchange.history]}
    fields = {k: v for k, v in exchange.fields.items() if k != "previous_response_id"}
    exchange.outgoing = {**fields, "input": chat_to_items(exchange.history)}
    exchange.body = msgspec.json.encode(exchange.outgoing)
    return ""


def check_references(exchange: Exchange) -> None:
    """Checks that a request refers to nothing on an upstream that was given to another tenant. Callers who share the
    upstream's key are one account to it, so it cannot tell them apart.

    Raises:
        BadInput: a response that was not given to this tenant, or a conversation or item, which cannot be told.
    """
    fields = exchange.fields
    earlier = fields.get("previous_response_id")
    if isinstance(earlier, str) and earlier and not exchange.knows_earlier:
        raise BadInput(f"Previous response with id {header_safe(earlier, 80)!r} not found.")
    if fields.get("conversation"):
        raise BadInput("Conversations that an upstream keeps cannot be used with its shared key.")
    items = fields.get("input")
    if isinstance(items, list) and any(_is_reference(item) for item in items):
        raise BadInput("References to items that an upstream keeps cannot be used with its shared key.")


def _is_reference(item: Any) -> bool:
    # the type may be left out where there is an id and nothing else
    return isinstance(item, dict) and (
        item.get("type") == "item_reference" or ("id" in item and item.keys() <= {"id", "type"})
    )


async def keep_conversation(
    conversations: Conversations, exchange: Exchange, outcome: ExchangeResult
) -> None:
    """Keeps what a later `previous_response_id` will need: the messages of a response that the gateway wrote, the
    upstream of one that another server keeps.

    Raises:
        StoreError: it cannot be kept.
    """
    if exchange.dialect.name != "responses" or exchange.fields.get("store") is False:
        return
    if exchange.context.record == "off":
        return
    upstream_exchange, completion = exchange.upstream_exchange, outcome.completion
    if completion is None:
        return
    if upstream_exchange is None or not upstream_exchange.same_protocol:
        if exchange.context.record != "full":
            return  # its texts are not kept, so it cannot be gone on with
        origins = sorted({*exchange.earlier_origins, exchange.context.origin} - {""})
        conversation = Conversation(messages=[*exchange.history, completion.message], origins=origins)
    elif upstream_exchange.one_of_several or exchange.caller.key is not None:
        conversation = Conversation(upstream=upstream_exchange.upstream.name)
    else:
        return
    earlier = exchange.fields.get("previous_response_id")
    goes_on_from = earlier if isinstance(earlier, str) else ""
    await conversations.put(exchange.context, outcome.response_id, conversation, goes_on_from)
