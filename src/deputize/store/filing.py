"""How stores that seal calls file them: whether a call still may come in, and under which digests of agent and
episode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deputize.store.base import Entry, Store
from deputize.store.keys.data_keys import subject_of
from deputize.store.keys.keyring import KeyRing

_MAX_AGENTS = 1000
"""Names come from a request header, so there is no end to them."""


def was_erased(entry: Entry, erased_at: Mapping[tuple[str, bytes], float], keyring: KeyRing) -> bool:
    """True where a call was made before its origin was erased, as far as it can tell, and comes in only now; of a call
    that names nobody, before its episode was.

    Args:
        entry: the call.
        erased_at: Unix seconds of erasures, by tenant and subject (keys.data_keys.subject_of) or episode
            (`episode_tombstone`).
        keyring: of the store.
    """
    if not erased_at or not (entry.origin or entry.episode):
        return False
    if entry.origin:
        buried = subject_of(keyring, entry.tenant, entry.origin)
    else:
        buried = episode_tombstone(keyring, entry.tenant, entry.episode)
    at = erased_at.get((entry.tenant, buried))
    return at is not None and (entry.timestamp is None or entry.timestamp <= at)


def late_episodes(
    entries: Iterable[Entry], erased_at: Mapping[tuple[str, bytes], float], keyring: KeyRing
) -> dict[str, set[str]]:
    """Episodes, by tenant, that an erasure did not know of yet: of calls that come in after their origin was erased.

    Args:
        entries: calls that come in.
        erased_at: as of `was_erased`.
        keyring: of the store.
    """
    found: dict[str, set[str]] = {}
    for entry in entries if erased_at else ():
        if not (entry.origin and entry.episode and was_erased(entry, erased_at, keyring)):
            continue
        if (entry.tenant, episode_tombstone(keyring, entry.tenant, entry.episode)) not in erased_at:
            found.setdefault(entry.tenant, set()).add(entry.episode)
    return found


def n_ended(store: Store, entries: Iterable[Entry], episodes: Mapping[str, set[str]]) -> int:
    """Erases the calls of episodes that name nobody; how many of the entries that were.

    Args:
        store: which has taken the entries.
        entries: what came in.
        episodes: by tenant, as of `late_episodes`.
    """
    erased = [
        id
        for tenant, names in episodes.items()
        for id in store.erase_calls([], tenant=tenant, episodes=names)
    ]
    return len({entry.id for entry in entries}.intersection(erased))


def episode_digest(keyring: KeyRing, tenant: str, episode: str) -> bytes:
    """The keyed digest by which an episode is found; two tenants' episodes of one name have different ones. Empty for
    none."""
    return keyring.lookup("episode", tenant, episode) if episode else b""


def episode_tombstone(keyring: KeyRing, tenant: str, episode: str) -> bytes:
    """The keyed digest that stays of an erased episode; another one than its calls had."""
    return keyring.lookup("erased episode", tenant, episode)


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
