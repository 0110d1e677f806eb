"""One host of specialists, as a gateway sees it: asked over HTTP, looked at, left out while it does not answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from deputize.core.errors import DeputizeError, UpstreamError
from deputize.http.headers import Headers
from deputize.http.transport import Transport, UpstreamResponse
from deputize.specialists.serving.host_messages import (
    HEAD,
    PATH,
    HostAnswer,
    HostQuestion,
    HostState,
    open_answer,
    seal_question,
)

log = logging.getLogger("deputize.engine")

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Waits before a host that does not answer is looked at again; the last one repeats."""
LOST_IN_ROW = 3
"""Questions for a specialist that one after the other found no answer in time; then it is not asked for it for a
while, since each of these calls has waited in vain as long as its route allows."""
REST_S = (1.0, 2.0, 5.0, 15.0, 30.0)
"""How long it is not, the first time and each further time that a question finds none; the last one repeats."""
CONNECT_S = 1.0
"""After that a host cannot be reached; another one has the rest of the time."""
MOST_ANSWER_BYTES = 8 << 20
"""Of an answer, or of what a host says that it serves: texts of some thousand tokens, and names."""
_HEADERS: Headers = [("content-type", "application/octet-stream")]

OnHostEvent = Callable[[str, str], None]
"""(left_out, taken_back, retried, refused, rested, hedged or hedge_won; address) of something that happened with a
host."""


class RemoteHost:
    """A host at one address."""

    def __init__(
        self,
        address: str,
        secret: bytes,
        transport: Transport,
        on_event: OnHostEvent = lambda what, where: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            address: where it listens, without a path.
            secret: derived from the keys of the home for `host_messages.PURPOSE`.
            transport: what it is asked through.
            on_event: is told when it is left out and taken back.
            clock_s: seconds that only go forward.
        """
        self.address = address
        self._secret, self._transport, self._on_event = secret, transport, on_event
        self._clock_s = clock_s
        self.state: HostState | None = None
        """As it last said; None: it has not been reached, or does not answer now."""
        self.n_under_way = 0
        """Questions of this process that it has not answered."""
        self.refused: set[str] = set()
        """Specialists whose answers by this process of the host were not those of the certified version or engine."""
        self.is_doubted = False
        """It let a question go unanswered, and has not been looked at since: others come first."""
        self._lost: dict[str, tuple[int, float]] = {}
        """Specialist -> questions in a row that found no answer in time, and when it may be asked again."""
        self._said = ""
        """The last look that was told of: it answers, is not ready, or is away."""
        self._is_down = False
        self._look_now = asyncio.Event()
        self.looked_at = asyncio.Event()
        """Set after the first look."""

    @property
    def is_well(self) -> bool:
        """True where it answered last time, and takes questions."""
        return self.state is not None and self.state.is_ready and not self._is_down

    def is_loading(self, specialist: str, card_sha256: str) -> bool:
        """True where it takes no questions yet because it loads specialists, this version among those of its routes."""
        state = self.state
        return (
            state is not None
            and state.is_loading
            and not self._is_down
            and state.specialists.get(specialist) == card_sha256
        )

    def doubt(self, *, is_down: bool) -> None:
        """A question was not answered as it should be: it is looked at at once.

        Args:
            is_down: nothing more is asked until then; else others are asked rather.
        """
        self.is_doubted = True
        self._is_down = self._is_down or is_down
        self._look_now.set()

    def serves(self, specialist: str, card_sha256: str) -> bool:
        """True where it has this version of a specialist, and is not resting from questions in vain."""
        return (
            self.state is not None
            and self.state.specialists.get(specialist) == card_sha256
            and specialist not in self.refused
            and self._lost.get(specialist, (0, 0.0))[1] <= self._clock_s()
        )

    def is_lost(self, specialist: str) -> bool:
        """True where its last question for a specialist found no answer in time: others are asked rather."""
        return specialist in self._lost

    def note_lost(self, specialist: str) -> None:
        """A question for a specialist found no answer in time, whatever it says of itself."""
        n_lost = self._lost.get(specialist, (0, 0.0))[0] + 1
        rest_s = 0.0
        if n_lost >= LOST_IN_ROW:
            rest_s = REST_S[min(n_lost - LOST_IN_ROW, len(REST_S) - 1)]
            log.warning(
                "the host %s is not asked for %s for %.0f s: %d questions found no answer in time",
                self.address,
                specialist,
                rest_s,
                n_lost,
            )
            self._on_event("rested", self.address)
        self._lost[specialist] = n_lost, self._clock_s() + rest_s

    def note_answered(self, specialist: str) -> None:
        """A question for a specialist was answered in time."""
        self._lost.pop(specialist, None)

    async def ask(self, question: HostQuestion, timeout_s: float) -> HostAnswer:
        """Its answer.

        Raises:
            UpstreamError, UpstreamTimeout: it cannot be reached, refuses, does not answer in time, or sends more than
                any answer has.
            Tampered: what answers has not the keys of this home.
            BadInput: the request has what no question can hold.
        """
        sealed = seal_question(self._secret, question)
        self.n_under_way += 1
        try:
            response = await self._transport.send(
                "POST",
                self.address + PATH,
                [*_HEADERS, (HEAD, sealed.head)],
                sealed.body,
                connect_timeout_s=min(CONNECT_S, timeout_s),
                first_byte_timeout_s=None,
                deadline_s=timeout_s,
            )
            try:
                said, status = await _read(response, self.address), response.status
            finally:
                response.close()
        finally:
            self.n_under_way -= 1
        if status != 200:
            raise UpstreamError(f"{self.address} refuses questions with status {status}: {_excerpt(said)}")
        return open_answer(sealed.sealer, said)

    async def keep_looked_at(self, every_s: float, timeout_s: float) -> None:
        """Looks at it for ever: every so often while it is well, at once where it is doubted, ever more rarely while it
        does not answer."""
        n_failed = 0
        while True:
            self._look_now.clear()
            is_well = await self._look(timeout_s)
            self.looked_at.set()
            n_failed = 0 if is_well else n_failed + 1
            if not is_well:
                await asyncio.sleep(RETRY_S[min(n_failed, len(RETRY_S)) - 1])
                continue
            try:
                async with asyncio.timeout(every_s):
                    await self._look_now.wait()
            except TimeoutError:
                continue

    async def _look(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                found = (await self.ask(HostQuestion(sent_at=time.time()), timeout_s)).state
            if found is None:
                raise UpstreamError(f"{self.address} does not say what it serves")
        except (TimeoutError, DeputizeError, OSError) as error:
            self.state = None
            why = "it does not answer in time" if isinstance(error, TimeoutError) else str(error)
            self._say("away", why)
            return False
        if self.state is None or found.process != self.state.process:
            self.refused.clear()
            self._lost.clear()
        self.state = found
        self.is_doubted = self._is_down = False
        if found.is_ready:
            self._say("answers", f"for {len(found.specialists)} specialists")
        else:
            self._say("not ready", "it loads its specialists, starts its worker again, or ends")
        return True

    def _say(self, what: str, why: str) -> None:
        """Tells of a look that found something else than the one before."""
        before, self._said = self._said, what
        if what == before:
            return
        if what == "answers":
            log.info("the host %s answers %s", self.address, why)
            self._on_event("taken_back", self.address)
            return
        log.warning("the host %s is left out: %s", self.address, why)
        if before in ("answers", ""):
            self._on_event("left_out", self.address)


async def _read(response: UpstreamResponse, address: str) -> bytes:
    """The body; whoever took the port of a host must not fill this machine's memory before his seal is looked at."""
    pieces, n_bytes = [], 0
    async for piece in response.chunks():
        n_bytes += len(piece)
        if n_bytes > MOST_ANSWER_BYTES:
            raise UpstreamError(
                f"{address} sends more than {MOST_ANSWER_BYTES >> 20} MiB, which no answer has"
            )
        pieces.append(piece)
    return b"".join(pieces)


def _excerpt(said: bytes) -> str:
    return said[:200].decode("utf-8", errors="replace")
