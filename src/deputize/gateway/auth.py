"""Authentication of callers by API keys, with their rights, models and limits."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from deputize.core.errors import AccessDenied, NotAuthenticated, StoreError
from deputize.core.records import EVERY_TENANT, Usage
from deputize.scoring.costs import Prices
from deputize.store.access.api_keys import ApiKey, ApiKeys, KeysUnknown
from deputize.store.access.rate_limiter import KeyLimits
from deputize.store.access.roles import Right, require

log = logging.getLogger("deputize.gateway")

KEY_PREFIX = "dpk_"
"""Start of the gateway's own keys; a value that starts so is never sent to an upstream."""
KEY_HEADER = "x-deputize-key"
_KEY_PLACES = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Where the libraries of OpenAI, Anthropic, Azure and Google put a key."""
_KEY_ID = re.compile(r"dpk_([0-9a-f]{12})_")


class Caller(msgspec.Struct, frozen=True):
    """The caller of a request."""

    tenant: str = "default"
    key: ApiKey | None = None


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """An amount of a key's budget that is set aside for a call under way."""

    caller: Caller = Caller()
    usd: float = 0.0


NOTHING_RESERVED = Reservation()


class Authenticator(Protocol):
    """Authenticates and charges callers."""

    def authenticate(self, headers: Mapping[str, str], right: Right) -> Caller:
        """The caller of a request, from its head alone.

        Args:
            headers: lower-case names.
            right: the right that the request needs.

        Raises:
            NotAuthenticated, AccessDenied, OverLimit: the request is refused.
        """
        ...

    async def take_turn(self, caller: Caller) -> None:
        """Counts a request that is no call. Raises OverLimit where the caller has made as many as it may."""
        ...

    async def admit_call(self, caller: Caller, model: str, usage: Usage) -> Reservation:
        """Counts a call to a model and lets it in, and sets aside what it may cost until `release`.

        Args:
            caller: as `authenticate` gave it.
            model: "" where the request names none.
            usage: the most tokens it is expected to take.

        Raises:
            AccessDenied, OverLimit: the call is refused.
        """
        ...

    def charge(self, caller: Caller, model: str, usage: Usage) -> None:
        """Charges the caller for the tokens of a call to an LLM."""
        ...

    def release(self, reservation: Reservation) -> None:
        """Gives up what was set aside, after the call was charged."""
        ...


class NoAuthentication:
    """No keys: everybody who can reach the port is let in."""

    def authenticate(self, headers: Mapping[str, str], right: Right) -> Caller:
        return Caller()

    async def take_turn(self, caller: Caller) -> None:
        return None

    async def admit_call(self, caller: Caller, model: str, usage: Usage) -> Reservation:
        return NOTHING_RESERVED

    def charge(self, caller: Caller, model: str, usage: Usage) -> None:
        return None

    def release(self, reservation: Reservation) -> None:
        return None


class ApiKeyAuthenticator:
    """Authentication by API keys. A key is required where `required()` is true; one that is shown is always checked."""

    def __init__(
        self, keys: ApiKeys, meter: KeyLimits, prices: Prices, *, required: Callable[[], bool]
    ) -> None:
        self._keys, self._meter, self._prices, self._required = keys, meter, prices, required

    def authenticate(self, headers: Mapping[str, str], right: Right) -> Caller:
        text = key_text(headers)
        if not text:
            if self._required():
                raise NotAuthenticated(
                    f"This gateway wants an API key: as a bearer token, as x-api-key, or in {KEY_HEADER}."
                )
            return Caller()
        try:
            key = self._keys.verify(text)
        except KeysUnknown:
            raise
        except StoreError as error:  # the sentence names files, which is nothing for a caller
            log.error("no API key can be checked: %s", error)
            raise NotAuthenticated("The API key is not valid here.") from error
        require(key.actor, right)
        if right is not Right.SEE_STATUS:
            self._meter.check_turn(key)
            if right is Right.WRITE_CALLS:
                self._meter.check_budget(key)
        return Caller(tenant="default" if key.tenant == EVERY_TENANT else key.tenant, key=key)

    async def take_turn(self, caller: Caller) -> None:
        if caller.key is not None:
            await self._meter.obtain(caller.key, 0.0)
            self._meter.take_turn(caller.key)

    async def admit_call(self, caller: Caller, model: str, usage: Usage) -> Reservation:
        key = caller.key
        if key is None:
            return NOTHING_RESERVED
        if not model and key.models:
            raise AccessDenied(f"The API key {key.id} is for certain models; the request names none.")
        self._meter.check_model(key, model)
        usd = 0.0 if key.usd_per_month is None else self._usd(model, usage)
        await self._meter.obtain(key, usd)
        self._meter.take_turn(key)
        return (
            NOTHING_RESERVED
            if key.usd_per_month is None
            else Reservation(caller, self._meter.reserve(key, usd))
        )

    def charge(self, caller: Caller, model: str, usage: Usage) -> None:
        if caller.key is not None and caller.key.usd_per_month is not None:
            self._meter.spend(caller.key, self._usd(model, usage))

    def release(self, reservation: Reservation) -> None:
        if reservation.caller.key is not None:
            self._meter.release(reservation.caller.key, reservation.usd)

    def _usd(self, model: str, usage: Usage) -> float:
        return self._prices.of(model).usd(usage)


def key_text(headers: Mapping[str, str]) -> str:
    """The gateway's API key in a request, wherever a client library puts it; "" where there is none."""
    own = headers.get(KEY_HEADER)
    if own:
        return own.strip()
    for name in _KEY_PLACES:
        value = headers.get(name)
        if value is None:
            continue
        value = value.strip()
        if value[:7].lower() == "bearer ":
            value = value[7:].strip()
        if value.startswith(KEY_PREFIX):
            return value
    return ""


def key_id(text: str) -> str:
    """The id in the text of a key, whether or not there is such a key; "" for anything else."""
    found = _KEY_ID.match(text)
    return found.group(1) if found else ""
