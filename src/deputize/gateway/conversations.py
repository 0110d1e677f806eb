"""Conversations behind the response ids that we gave out ourselves, so that `previous_response_id` works on them.

A response that a specialist or a translated upstream answered is unknown to every server but this one. Kept sealed
in HOME/sessions.db (see store.sessions), shared by all workers, for 30 days or as long as the tenant's retention says.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from deputize.core.records import Message, Record
from deputize.store.sessions import ConversationStore

OURS = "resp_dpz-"
"""How response ids begin that we gave out."""


class Conversation(Record):
    """What stands behind a response id."""

    messages: list[Message] = msgspec.field(default_factory=list)
    """The conversation up to and including the answer, without instructions."""
    upstream: str = ""
    """The upstream that keeps this response itself."""


class Conversations(Protocol):
    """Keeps sessions by tenant and response id."""

    async def get(self, tenant: str, response_id: str) -> Conversation | None: ...

    async def put(self, tenant: str, origin: str, response_id: str, session: Conversation) -> None: ...


class SealedConversations:
    """Sessions in a file, off the event loop."""

    def __init__(self, file: ConversationStore) -> None:
        self._file = file

    async def get(self, tenant: str, response_id: str) -> Conversation | None:
        """The session behind an id, None where there is none (any more).

        Raises:
            StoreError: the file cannot be read.
        """
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(None, self._file.get, tenant, response_id)
        return None if data is None else msgspec.json.decode(data, type=Conversation)

    async def put(self, tenant: str, origin: str, response_id: str, session: Conversation) -> None:
        """Keeps a session of an origin (a pseudonym; "" where nobody says).

        Raises:
            StoreError: it cannot be kept.
        """
        data = msgspec.json.encode(session)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._file.put, tenant, origin, response_id, data)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
