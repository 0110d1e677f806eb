"""Several upstreams as one: choice by model, retries with back-off, fallbacks, and a circuit breaker for each."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from deputize.core.errors import BadInput, UpstreamError, UpstreamTimeout
from deputize.http.headers import Headers, header
from deputize.http.peeked_response import PeekedResponse
from deputize.http.transport import UpstreamResponse
from deputize.upstreams.first_frame import unmasked
from deputize.upstreams.upstream import Upstream, read_bounded

RETRY_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


class RetryConfig(BaseModel):
    """`[gateway.retry]` of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(default=3, ge=1)
    """Per upstream, the first one included."""
    base_s: float = Field(default=0.25, ge=0)
    max_s: float = Field(default=8.0, ge=0)
    """Waits longer than this are left to the client (the answer goes back with its retry-after)."""
    break_after: int = Field(default=5, ge=1)
    """Failures in a row that open an upstream's circuit."""
    cooldown_s: float = Field(default=10.0, gt=0)


@dataclass(slots=True)
class Breaker:
    """A circuit breaker: keeps requests from an upstream after failures in a row; lets one try after the cool-down."""

    break_after: int
    cooldown_s: float
    n_failures: int = 0
    open_until: float = 0.0
    trying: bool = False

    def allows(self, now: float) -> bool:
        """True where a request may go to this upstream now."""
        if self.n_failures < self.break_after:
            return True
        if now < self.open_until or self.trying:
            return False
        self.trying = True
        return True

    def succeeded(self) -> None:
        self.n_failures, self.trying = 0, False

    def failed(self, now: float) -> None:
        self.n_failures += 1
        self.trying = False
        if self.n_failures >= self.break_after:
            self.open_until = now + self.cooldown_s

    def wait_s(self, now: float) -> float:
        """Seconds until the next try, 0 where one is allowed."""
        return max(0.0, self.open_until - now) if self.n_failures >= self.break_after else 0.0


@dataclass(slots=True)
class UpstreamAnswer:
    """An upstream and its answer."""

    incoming: UpstreamResponse
    upstream: Upstream


class _Attempts(NamedTuple):
    """A request to one upstream, and how often it may be made."""

    upstream: Upstream
    method: str
    request: tuple[str, Headers, bytes]
    model: str
    n_allowed: int
    began: float
    """By the pool's clock: all attempts, those at other upstreams included, share a deadline."""
    last: bool
    """There is no other upstream to go to."""
    may_repeat: bool
    stream: bool


Prepare = Callable[[Upstream], tuple[str, Headers, bytes]]
"""What to send to one upstream: (path, headers, body). Called once per upstream tried."""


@dataclass(slots=True)
class UpstreamPool:
    """The configured upstreams in their order of preference."""

    members: Sequence[Upstream]
    retry: RetryConfig = field(default_factory=lambda: RetryConfig())
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = monotonic
    rng: random.Random = field(default_factory=random.Random)
    on_event: Callable[[str, str], None] = lambda event, upstream: None
    """Called with ("retry" | "failure" | "fallback" | "open", upstream name), for the counters."""
    breakers: dict[str, Breaker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member in self.members:
            self.breakers[member.name] = Breaker(self.retry.break_after, self.retry.cooldown_s)

    def taking(self, model: str) -> list[Upstream]:
        """The upstreams that take a model, in order.

        Raises:
            BadInput: none does.
        """
        found = [m for m in self.members if m.config.model_for(model) is not None]
        if not found:
            raise BadInput(f"No configured upstream takes the model {model!r}.")
        return found

    def all_left_alone(self) -> bool:
        """True where the circuit of every upstream is open."""
        now = self.clock()
        return bool(self.breakers) and all(breaker.wait_s(now) for breaker in self.breakers.values())

    async def send(
        self,
        method: str,
        eligible: Sequence[Upstream],
        prepare: Prepare,
        *,
        model: str = "",
        may_repeat: bool = False,
        once: bool = False,
        stream: bool = False,
    ) -> UpstreamAnswer:
        """Sends to the first upstream that answers; failures and overload lead to a retry, then to the next one.

        The last upstream's refusal (429, 5xx) is an answer like any other. All attempts share one deadline. An upstream
        that was asked and stays silent may still be working, so it is not asked again.

        Args:
            method: of HTTP.
            eligible: in their order of preference.
            prepare: makes the request to one of them.
            model, may_repeat: as the client calls it; by the caller's word.
            once: no upstream is asked again, whatever it answers.
            stream: a stream is asked for; one that begins with an error counts as the refusal that it is.

        Raises:
            UpstreamError: none could be reached.
            BadInput: none of them can be asked this at all.
        """
        error: UpstreamError | None = None
        unfit: BadInput | None = None
        began = self.clock()
        for position, upstream in enumerate(eligible):
            last = not self._any_left(eligible[position + 1 :])
            breaker = self.breakers[upstream.name]
            blocked = not breaker.allows(self.clock())
            if blocked and len(eligible) > 1:
                self.on_event("open", upstream.name)
                error = error or _left_alone(upstream, breaker, self.clock())
                continue
            try:
                request = prepare(upstream)
            except BadInput as cannot:  # another one may take it
                breaker.trying = breaker.trying and blocked
                unfit = unfit or cannot
                continue
            # with nowhere else to go an open circuit saves the retries, not the request
            n_allowed = 1 if blocked or once else self.retry.attempts
            target = upstream.config.model_for(model) or model
            attempts = _Attempts(
                upstream, method, request, target, n_allowed, began, last, may_repeat, stream
            )
            result = await self._try(attempts)
            if result is None:  # no time is left
                break
            if isinstance(result, UpstreamAnswer):
                return result
            error = result
            if not last:
                self.on_event("fallback", upstream.name)
        raise error or unfit or UpstreamError("No upstream answered.")

    def _any_left(self, upstreams: Sequence[Upstream]) -> bool:
        """True where one of them may be asked now."""
        now = self.clock()
        return any(not self.breakers[upstream.name].wait_s(now) for upstream in upstreams)

    async def _try(self, attempts: _Attempts) -> UpstreamAnswer | UpstreamError | None:
        """Sends to one upstream up to as often as is allowed; its answer, or its last failure, None where there was no
        time for any."""
        upstream = attempts.upstream
        breaker = self.breakers[upstream.name]
        path, headers, body = attempts.request
        error: UpstreamError | None = None
        for attempt in range(1, attempts.n_allowed + 1):
            now = self.clock()
            spent_s = now - attempts.began
            if spent_s >= upstream.config.deadline_s:
                return error
            try:
                unread = await upstream.send(
                    attempts.method, path, headers, body, model=attempts.model, spent_s=spent_s
                )
                incoming: UpstreamResponse = await unmasked(unread) if attempts.stream else unread
            except UpstreamError as failure:
                breaker.failed(self.clock())
                self.on_event("failure", upstream.name)
                error, wait_s = failure, self._backoff(attempt)
                if isinstance(failure, UpstreamTimeout) and failure.asked and not attempts.may_repeat:
                    return error
            except asyncio.CancelledError:
                breaker.trying = False
                raise
            else:
                if incoming.status not in RETRY_STATUS:
                    breaker.succeeded()
                    return UpstreamAnswer(incoming, upstream)
                if incoming.status != 429:  # being busy is not being broken
                    breaker.failed(self.clock())
                else:
                    breaker.succeeded()
                self.on_event("failure", upstream.name)
                wait_s = max(self._backoff(attempt), asked_to_wait_s(incoming.headers) or 0.0)
                final = attempt == attempts.n_allowed or wait_s > self.retry.max_s
                # where this failure opens the circuit, its sentence is the last that the client can be given
                final = final or bool(breaker.wait_s(self.clock()))
                answer, advised_against = await read_advice(incoming, final=final)
                if final or advised_against:
                    if attempts.last:
                        return UpstreamAnswer(answer, upstream)
                    answer.close()
                    return UpstreamError(f"Upstream {upstream.name!r} answered {incoming.status}.")
                answer.close()
                error = UpstreamError(f"Upstream {upstream.name!r} answered {incoming.status}.")
            if attempt == attempts.n_allowed or breaker.wait_s(self.clock()):
                break
            self.on_event("retry", upstream.name)
            await self.sleep(wait_s)
        return error

    def _backoff(self, attempt: int) -> float:
        # full jitter: clients that failed together do not come back together
        ceiling_s: float = min(self.retry.max_s, self.retry.base_s * 2.0 ** (attempt - 1))
        return self.rng.uniform(0.5, 1.0) * ceiling_s


def _left_alone(upstream: Upstream, breaker: Breaker, now: float) -> UpstreamError:
    return UpstreamError(
        f"Upstream {upstream.name!r} failed {breaker.n_failures} times in a row and is left alone"
        f" for another {breaker.wait_s(now):.1f} s."
    )


_NO_QUOTA = re.compile(
    rb"insufficient_quota|exceeded your current quota|credit balance|billing_hard_limit|quota_exhausted",
    re.IGNORECASE,
)
_ADVICE_BYTES = 64 * 1024


async def read_advice(incoming: UpstreamResponse, *, final: bool) -> tuple[UpstreamResponse, bool]:
    """An upstream's refusal, and whether it says that asking again is of no use: by x-should-retry, or since a quota is
    used up, which time does not mend.

    Args:
        incoming: the refusal.
        final: it will not be asked again anyway, so the body need not be read.
    """
    if header(incoming.headers, "x-should-retry").lower() == "false":
        return incoming, True
    n_bytes = header(incoming.headers, "content-length")
    if final or incoming.status != 429 or (n_bytes.isdigit() and int(n_bytes) > _ADVICE_BYTES):
        return incoming, False
    try:
        body = await read_bounded(incoming, _ADVICE_BYTES)
    except UpstreamError:
        return incoming, False
    return PeekedResponse(incoming, body), bool(_NO_QUOTA.search(body))


def asked_to_wait_s(headers: Headers) -> float | None:
    """Seconds that an upstream asks to wait (retry-after-ms, retry-after); None where it does not."""
    milliseconds = header(headers, "retry-after-ms")
    if milliseconds:
        try:
            return max(0.0, float(milliseconds) / 1e3)
        except ValueError:
            pass
    return retry_after_s(header(headers, "retry-after"))


def retry_after_s(value: str) -> float | None:
    """Seconds of a Retry-After header (a number or a date), None where there is none or it makes no sense."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return float(max(0.0, parsedate_to_datetime(value).timestamp() - time()))
    except (ValueError, TypeError):
        return None
