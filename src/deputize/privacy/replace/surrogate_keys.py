"""The keys that surrogates are derived from: one for each episode and site, or one for each tenant.

With a key for each episode nothing links two episodes. With one for each tenant a person has one pseudonym in the whole
corpus of the tenant: what was said to be of one person can be followed, by whoever has the dataset too. Neither leads
back to a value without the key, which is derived from the home's and stands in no artifact.
"""

from __future__ import annotations

from collections.abc import Callable

from deputize.privacy.replace.surrogates import Surrogates, SurrogateTables, episode_key


class SurrogateKeys:
    """Makes the surrogates of episodes and sites."""

    def __init__(
        self, key: bytes, tenant_of: Callable[[str], str] | None = None, tenants: frozenset[str] = frozenset()
    ) -> None:
        """
        Args:
            key: 32 secret bytes.
            tenant_of: episode -> its tenant, for one pseudonym per person over a tenant; None: one per episode.
            tenants: of the whole log. Values in a prompt template have the tenant's pseudonyms where there is one
                tenant.
        """
        self._key, self._tenant_of, self._tenants = key, tenant_of, tenants
        self._tables: dict[str, SurrogateTables] = {}

    def of_episode(self, episode: str, subject_key: bytes | None) -> Surrogates:
        """The surrogates of an episode.

        Args:
            subject_key: of the person whom the episode is about, where known.
        """
        own = episode_key(self._key, episode)
        if self._tenant_of is None:
            return Surrogates(own, subject_key)
        return self._of_tenant(self._tenant_of(episode), subject_key or own)

    def of_site(self, site: str) -> Surrogates:
        """The surrogates of what the prompt template of a site holds."""
        own = episode_key(self._key, f"site:{site}")
        if self._tenant_of is None or len(self._tenants) != 1:
            return Surrogates(own)
        return self._of_tenant(next(iter(self._tenants)), own)

    def subject_key(self, origin: str) -> bytes:
        """The key by which the dates of a person move."""
        return episode_key(self._key, f"origin:{origin}")

    def _of_tenant(self, tenant: str, subject_key: bytes) -> Surrogates:
        tables = self._tables.setdefault(tenant, SurrogateTables())
        return Surrogates(episode_key(self._key, f"tenant:{tenant}"), subject_key, tables)
