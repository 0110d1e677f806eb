"""Specialists on other machines as an engine: which host is asked, what becomes of a host that fails, and a second one
where it is slow.

A host is asked only for the version of a specialist that the routes are about, and an answer counts only where the host
says that this version made it, on the engine of the certificate. Where no host can answer, the LLM does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import urlsplit

from deputize.core.config import ServingSettings
from deputize.core.errors import DeputizeError, Tampered, UpstreamError, UpstreamTimeout
from deputize.core.records import Prediction, Request
from deputize.http.client import Http1Transport
from deputize.http.transport import Transport
from deputize.specialists.base import LOCAL
from deputize.specialists.serving.base import EngineFailure, OtherEngine, ServedVersion, StillLoading
from deputize.specialists.serving.host_messages import HostAnswer, HostQuestion
from deputize.specialists.serving.remote_host import OnHostEvent, RemoteHost

log = logging.getLogger("deputize.engine")

MOST_TRIES = 2
"""Hosts that are asked the same, one after the other or at once: a request that ends a worker must not end all of
them."""
MOST_TOKENS = 1 << 31
"""Of one call; more is no count."""
_MOST_OF = 0.9
"""Of the time that a question has: who is cut off later was too late, and not merely slower than another."""
LOOK_UP_S = 10.0
"""Between two look-ups of the hosts' names."""


class HostsEngine:
    """Asks the hosts of `[serving]`."""

    def __init__(
        self,
        settings: ServingSettings,
        secret: bytes,
        versions: Callable[[], Mapping[str, ServedVersion]],
        *,
        on_event: OnHostEvent = lambda what, where: None,
        transport: Transport | None = None,
    ) -> None:
        """
        Args:
            settings: with at least one host.
            secret: derived from the keys of the home for `host_messages.PURPOSE`.
            versions: of the specialists of the routes in force, by folder; others are not asked.
            on_event: is told what happens with hosts.
            transport: what they are asked through; None: a client of its own.
        """
        self._settings, self._secret, self._versions = settings, secret, versions
        self._on_event, self._given_transport = on_event, transport
        self._transport: Transport | None = None
        self._hosts: dict[str, RemoteHost] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._follower: asyncio.Task[None] | None = None

    @property
    def hosts(self) -> list[RemoteHost]:
        """Every host that is looked at now."""
        return list(self._hosts.values())

    async def start(self) -> None:
        """Looks at every host once. One that does not answer is no error: the LLM does until it is there."""
        if self._follower is not None:
            return
        self._transport = self._given_transport or Http1Transport()
        await self._look_up()
        self._follower = asyncio.create_task(self._follow_names(), name="names of hosts")
        first = [host.looked_at.wait() for host in self.hosts]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*first), self._settings.check_timeout_s + 1.0)

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        """A specialist's answer, by the host that has the least to do of those that serve its version.

        Raises:
            UpstreamTimeout: none came in time.
            UpstreamError: no host is there that serves it.
            StillLoading: specialists are being loaded where it could be asked.
            EngineFailure: the specialist could not be loaded or failed.
            OtherEngine: what answered is not what the routes are about.
        """
        version = self._versions().get(specialist_path)
        if self._follower is None:
            raise UpstreamError("the hosts of specialists are not asked yet, or not any more")
        if version is None or not version.card_sha256:
            raise EngineFailure(f"no route says which version of {specialist_path!r} a host must have")
        question = HostQuestion(
            sent_at=time.time(),
            specialist=specialist_path,
            card_sha256=version.card_sha256,
            request=request,
            within_s=timeout_s,
        )
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask_until_answered(question, version)
        except TimeoutError:
            raise UpstreamTimeout(f"no specialist's answer within {timeout_s:.1f} s") from None

    async def stop(self) -> None:
        """Ends the looks, and the connections."""
        tasks = [*self._keepers.values(), *([self._follower] if self._follower else [])]
        self._follower = None
        self._keepers.clear()
        self._hosts.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        transport, self._transport = self._transport, None
        if transport is not None and transport is not self._given_transport:
            await transport.close()

    # -- asking

    async def _ask_until_answered(self, question: HostQuestion, version: ServedVersion) -> Prediction:
        tried: set[str] = set()
        failure = self._why_nobody(question)
        while len(tried) < MOST_TRIES and (host := self._free_host(question, tried)) is not None:
            if tried:
                self._on_event("retried", host.address)
            tried.add(host.address)
            try:
                return await self._hedged(host, question, version, tried)
            except (UpstreamError, EngineFailure, OtherEngine, Tampered) as error:
                failure = error
        raise failure

    def _why_nobody(self, question: HostQuestion) -> DeputizeError:
        """The failure of a question that no host can be asked."""
        what = f"{question.specialist} in the version of its route"
        loading = [h for h in self.hosts if h.is_loading(question.specialist, question.card_sha256)]
        if loading:
            return StillLoading(f"{loading[0].address} loads {what}, and no other host serves it now")
        return UpstreamError(f"no host is well that serves {what}")

    def _free_host(self, question: HostQuestion, tried: set[str]) -> RemoteHost | None:
        """The host with the fewest questions under way; of several the one that is this specialist's own, so that each
        loads few."""
        able = (
            host
            for host in self._hosts.values()
            if host.address not in tried
            and host.is_well
            and host.serves(question.specialist, question.card_sha256)
        )
        return min(
            able,
            key=lambda host: (
                host.is_doubted or host.is_lost(question.specialist),
                host.n_under_way,
                _rank(question.specialist, host.address),
            ),
            default=None,
        )

    async def _hedged(
        self, host: RemoteHost, question: HostQuestion, version: ServedVersion, tried: set[str]
    ) -> Prediction:
        """The answer of a host, or of a second one that is asked where the first takes long."""
        if not self._settings.hedge_ms:
            return await self._checked(host, question, version)
        first = asyncio.create_task(self._checked(host, question, version))
        asked: set[asyncio.Task[Prediction]] = {first}
        try:
            await asyncio.wait(asked, timeout=self._settings.hedge_ms / 1e3)
            may_ask = not first.done() and len(tried) < MOST_TRIES
            other = self._free_host(question, tried) if may_ask else None
            if other is not None:
                self._on_event("hedged", other.address)
                tried.add(other.address)
                second = asyncio.create_task(self._checked(other, question, version))
                asked.add(second)
                await _first_success(asked)
                if second.done() and not second.exception() and not first.done():
                    self._on_event("hedge_won", other.address)
                    return second.result()
                if first.done() and first.exception():
                    return await second
            return await first
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _checked(self, host: RemoteHost, question: HostQuestion, version: ServedVersion) -> Prediction:
        """The answer of one host, where it is that of the version and engine that routes are about."""
        began = time.monotonic()
        try:
            answer = await host.ask(question, question.within_s)
        except (UpstreamError, Tampered) as error:
            log.warning("the host %s does not answer as it should: %s", host.address, error)
            is_late = isinstance(error, UpstreamTimeout) and error.asked
            host.doubt(is_down=not is_late)
            if is_late:
                host.note_lost(question.specialist)
            raise
        except asyncio.CancelledError:
            # the time is over, or another host was faster, or the caller has gone: it may hang, and may be well
            host.doubt(is_down=False)
            if time.monotonic() - began > _MOST_OF * question.within_s:
                host.note_lost(question.specialist)
            raise
        if answer.trouble == "timeout":
            host.note_lost(question.specialist)
        else:
            host.note_answered(question.specialist)
        return self._accepted(host, question.specialist, answer, version)

    def _accepted(
        self, host: RemoteHost, specialist: str, answer: HostAnswer, version: ServedVersion
    ) -> Prediction:
        if answer.trouble in ("away", "draining"):
            host.doubt(is_down=True)
            raise UpstreamError(f"{host.address}: {answer.error}")
        if answer.trouble == "timeout":
            raise UpstreamTimeout(f"{host.address}: {answer.error}")
        if answer.trouble == "version":
            host.doubt(is_down=False)
            raise OtherEngine(f"{host.address}: {answer.error}")
        if answer.trouble == "loading":
            raise StillLoading(f"{host.address}: {answer.error}")
        found = answer.prediction
        if answer.trouble or found is None:
            raise EngineFailure(answer.error or f"{host.address} gave no answer")
        if not is_plausible(found):
            raise EngineFailure(f"{host.address} gave an answer whose confidence or counts cannot be right")
        if answer.card_sha256 != version.card_sha256:
            raise self._refused(host, specialist, f"the card {answer.card_sha256[:12] or 'of no version'}")
        if version.engines and found.engine not in (*version.engines, LOCAL):
            raise self._refused(host, specialist, f"the engine {found.engine or 'that it does not name'}")
        return found

    def _refused(self, host: RemoteHost, specialist: str, what: str) -> OtherEngine:
        host.refused.add(specialist)
        log.error(
            "the host %s is not asked for %s any more: it answered with %s, which no certificate is about",
            host.address,
            specialist,
            what,
        )
        self._on_event("refused", host.address)
        return OtherEngine(f"{host.address} answers for {specialist} with {what}")

    # -- which hosts there are

    async def _follow_names(self) -> None:
        while True:
            await asyncio.sleep(LOOK_UP_S)
            await self._look_up()

    async def _look_up(self) -> None:
        assert self._transport is not None
        found: set[str] = set()
        for address in self._settings.hosts:
            try:
                found |= await addresses_of(address)
            except (OSError, UnicodeError) as error:
                log.warning("the name in %s leads nowhere now: %s", address, error)
                if urlsplit(address).scheme == "http":
                    # those that it led to are there still, for all that is known
                    found |= {known for known, host in self._hosts.items() if host.is_well}
        for address in found - set(self._hosts):
            host = self._hosts[address] = RemoteHost(address, self._secret, self._transport, self._on_event)
            looks = host.keep_looked_at(self._settings.check_s, self._settings.check_timeout_s)
            self._keepers[address] = asyncio.create_task(looks, name=f"looks at {address}")
        for address in set(self._hosts) - found:
            del self._hosts[address]
            self._keepers.pop(address).cancel()


def is_plausible(found: Prediction) -> bool:
    """True where the numbers of a prediction can be those of one: counts are charged for, and a confidence is compared
    with thresholds."""
    counts = (found.n_prompt_tokens, found.n_output_tokens)
    return 0.0 <= found.confidence <= 1.0 and all(0 <= n < MOST_TOKENS for n in counts)


async def addresses_of(address: str) -> set[str]:
    """The addresses that an address with a name leads to; https stays with the name, which its certificate is for.

    Raises:
        OSError, UnicodeError: the name leads nowhere, or is none.
    """
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname is None:
        return {address}
    port = parts.port or 80
    infos = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    hosts = {str(info[4][0]) for info in infos}
    return {f"http://{f'[{host}]' if ':' in host else host}:{port}{parts.path}" for host in hosts}


async def _first_success(tasks: set[asyncio.Task[Prediction]]) -> None:
    """Waits until one of the tasks has succeeded, or all have ended."""
    left = set(tasks)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        if any(not task.cancelled() and task.exception() is None for task in done):
            return


@lru_cache(maxsize=4096)
def _rank(specialist: str, address: str) -> bytes:
    return blake2b(f"{specialist}\n{address}".encode(), digest_size=8).digest()
