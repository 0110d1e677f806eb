"""How stores that seal calls file them: whether a call still may come in, and under which digests of agent and
episode."""

from __future__ import annotations

from collections.abc import Mapping

from deputize.store.base import Entry
from deputize.store.keys.data_keys import subject_of
from deputize.store.keys.keyring import KeyRing

_MAX_AGENTS = 1000
"""Names come from a request header, so there is no end to them."""


def was_erased(entry: Entry, erased_at: Mapping[tuple[str, bytes], float], keyring: KeyRing) -> bool:
    """True where a call was made before its origin was erased, as far as it can tell, and comes in only now.

    Args:
        entry: the call.
        erased_at: Unix seconds of erasures, by tenant and subject (keys.data_keys.subject_of).
        keyring: of the store.
    """
    if not erased_at or not entry.origin:
        return False
    at = erased_at.get((entry.tenant, subject_of(keyring, entry.tenant, entry.origin)))
    return at is not None and (entry.timestamp is None or entry.timestamp <= at)


def episode_digest(keyring: KeyRing, tenant: str, episode: str) -> bytes:
    """The keyed digest by which an episode is found; two tenants' episodes of one name have different ones. Empty for
    none."""
    return keyring.lookup("episode", tenant, episode) if episode else b""


class AgentDigests:
    """The keyed digests by which calls of an agent are found; the last ones are kept."""

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._known: dict[str, bytes] = {}

    def of(self, agent: str) -> bytes:
        """The digest of an agent's name."""
        found = self._known.get(agent)
        if found is None:
            if len(self._known) >= _MAX_AGENTS:
                self._known.clear()
            found = self._known[agent] = self._keyring.lookup("agent", agent)
        return found
