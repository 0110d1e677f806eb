"""Authentication of callers by API keys, with their rights, models and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from deputize.core.errors import AccessDenied, NotAuthenticated
from deputize.core.records import Usage
from deputize.scoring.costs import Prices
from deputize.store.access.api_keys import ApiKey, ApiKeys
from deputize.store.access.meter import RateLimiter
from deputize.store.access.roles import EVERY_TENANT, Right, require

KEY_PREFIX = "dpk_"
"""Start of the gateway's own keys; a value that starts so is never sent to an upstream."""
KEY_HEADER = "x-deputize-key"


class Caller(msgspec.Struct, frozen=True):
    """The caller of a request."""

    tenant: str = "default"
    key: ApiKey | None = None


class Authenticator(Protocol):
    """Authenticates and charges callers."""

    def authenticate(self, headers: Mapping[str, str], right: Right, model: str | None = None) -> Caller:
        """The caller of a request.

        Args:
            headers: lower-case names.
            right: the right that the request needs.
            model: the model that a call asks for; None where no model is asked.

        Raises:
            NotAuthenticated, AccessDenied, OverLimit: the request is refused.
        """
        ...

    def charge(self, caller: Caller, model: str, usage: Usage) -> None:
        """Charges the caller for the tokens of a call to an LLM."""
        ...


class NoAuthentication:
    """No keys: everybody who can reach the port is let in."""

    def authenticate(self, headers: Mapping[str, str], right: Right, model: str | None = None) -> Caller:
        return Caller()

    def charge(self, caller: Caller, model: str, usage: Usage) -> None:
        return None


class ApiKeyAuthenticator:
    """Authentication by API keys. A key is required where `required()` is true; one that is shown is always checked."""

    def __init__(
        self, keys: ApiKeys, meter: RateLimiter, prices: Prices, *, required: Callable[[], bool]
    ) -> None:
        self._keys, self._meter, self._prices, self._required = keys, meter, prices, required

    def authenticate(self, headers: Mapping[str, str], right: Right, model: str | None = None) -> Caller:
        text = key_text(headers)
        if not text:
            if self._required():
                raise NotAuthenticated(
                    f"This gateway wants an API key: as a bearer token, as x-api-key, or in {KEY_HEADER}."
                )
            return Caller()
        key = self._keys.verify(text)
        require(key.actor, right)
        if model is not None:
            if model or not key.models:
                self._meter.admit(key, model)
            else:
                raise AccessDenied(f"The API key {key.id} is for certain models; the request names none.")
        return Caller(tenant="default" if key.tenant == EVERY_TENANT else key.tenant, key=key)

    def charge(self, caller: Caller, model: str, usage: Usage) -> None:
        if caller.key is None or caller.key.usd_per_month is None:
            return
        price = self._prices.of(model)
        self._meter.spend(
            caller.key,
            (usage.prompt_tokens * price.input_usd + usage.completion_tokens * price.output_usd) / 1e6,
        )


def key_text(headers: Mapping[str, str]) -> str:
    """The gateway's API key in a request, wherever a client library puts it; "" where there is none."""
    own = headers.get(KEY_HEADER)
    if own:
        return own.strip()
    for value in (headers.get("authorization", ""), headers.get("x-api-key", "")):
        value = value.strip()
        if value[:7].lower() == "bearer ":
            value = value[7:].strip()
        if value.startswith(KEY_PREFIX):
            return value
    return ""
