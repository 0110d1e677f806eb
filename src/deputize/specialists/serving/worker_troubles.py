"""Why the worker ended, and the specialists that it ran out of memory with: a file in the home, for whoever starts it
again and for `deputize status`.

A worker that has run out of memory ends: an adapter may be half in the layers of a base model that others share, and
what was freed is seldom given back. The next one leaves that specialist out, else it would end as well, for all others
too. Written by the worker while it lives, and by its pool once it has ended, so never by both.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from deputize.core.errors import StoreError
from deputize.core.records import Record
from deputize.files import write_atomic
from deputize.specialists.specialist_card import CARD, digest_of

log = logging.getLogger("deputize.engine")

TROUBLES_FILE = "engine_troubles.json"
LEFT_OUT_S = 900.0
"""How long a specialist that memory did not suffice for is left out."""
OUT_OF_MEMORY_EXIT, BROKEN_EXIT = 86, 70
"""Exit codes of a worker that has run out of memory, and of one with a thread that cannot go on."""
_NO_MEMORY = re.compile(
    r"(can.?t|cannot|not able to) allocate memory|not enough memory|out of memory|bad_alloc|failed to map segment",
    re.I,
)
_ASKED = re.compile(r"tried to allocate (\d+) bytes")


class LeftOut(Record):
    """A specialist that there was not enough memory for."""

    card_sha256: str
    """Of its card; another version is tried at once."""
    at_s: float
    """Unix seconds."""
    why: str


class WorkerTroubles(Record):
    """Ends of the worker of a home since its gateway was started."""

    n_ends: int = 0
    """Times that it ended by itself."""
    ended_s: float = 0.0
    """Unix seconds of the last one; 0: none."""
    why: str = ""
    left_out: dict[str, LeftOut] = {}  # noqa: RUF012 - msgspec copies it
    """By folder of the specialist."""

    def sentences(self, now_s: float) -> list[str]:
        """For people; [] where nothing went wrong."""
        found = []
        if self.n_ends:
            times = "once" if self.n_ends == 1 else f"{self.n_ends:,} times"
            found.append(
                f"The worker of the specialists ended {times}, the last time {_minutes(now_s - self.ended_s)} ago: "
                f"{self.why}. The LLM answers until it is there again."
            )
        for name, one in self.left_out.items():
            if left_s := self._left_s(one, now_s):
                found.append(
                    f"{name} is left out for {_minutes(left_s)} more: {one.why}. The LLM answers for it."
                )
        return found

    def why_left_out(self, name: str, card_sha256: str, now_s: float) -> str:
        """Why a version of a specialist is not loaded; "" where it may be."""
        one = self.left_out.get(name)
        if one is None or one.card_sha256 != card_sha256 or not self._left_s(one, now_s):
            return ""
        return one.why

    def _left_s(self, one: LeftOut, now_s: float) -> float:
        return max(0.0, one.at_s + LEFT_OUT_S - now_s)


def read_troubles(home: Path) -> WorkerTroubles:
    """Of a home; none where the file is not there or cannot be read."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((home / TROUBLES_FILE).read_bytes(), type=WorkerTroubles)
    return WorkerTroubles()


def forget_troubles(home: Path) -> None:
    """Forgets what was before: somebody has started the gateway again, maybe with more memory."""
    with suppress(OSError):
        (home / TROUBLES_FILE).unlink(missing_ok=True)


def note_end(home: Path, return_code: int, began_s: float, now_s: float, why: str = "") -> WorkerTroubles:
    """Notes that a worker has ended by itself, unless it has said so.

    Args:
        home: of the worker.
        return_code: of its process; -n for a signal n.
        began_s: Unix seconds at which it was started.
        now_s: Unix seconds.
        why: this was done on purpose; "": it was not.
    """
    known = read_troubles(home)
    if known.ended_s >= began_s:
        return known
    return _noted(
        home,
        msgspec.structs.replace(known, n_ends=known.n_ends + 1, ended_s=now_s, why=why or _end(return_code)),
    )


def is_out_of_memory(error: BaseException) -> bool:
    """True where memory that could not be had is the cause of an error, or the cause of its cause."""
    return any(_says_no_memory(one) for one in _causes(error))


class MemoryWatch:
    """Ends the worker when it has run out of memory, and leaves out what there was none for."""

    def __init__(
        self, home: Path, *, clock: Callable[[], float] = time.time, end: Callable[[int], object] = os._exit
    ) -> None:
        """
        Args:
            home: of the worker.
            clock: Unix seconds.
            end: ends this process at once: there is no memory for an orderly end.
        """
        self._home, self._clock, self._end = home, clock, end
        self._before = read_troubles(home)

    def why_left_out(self, name: str) -> str:
        """Why a specialist is not to be loaded; "" where it may be."""
        if not self._before.left_out:
            return ""
        return self._before.why_left_out(name, digest_of(self._home / name / CARD), self._clock())

    def give_up(self, name: str, error: BaseException) -> None:
        """Leaves a specialist out and ends this process, where an error says that memory did not suffice."""
        if not is_out_of_memory(error):
            return
        why = f"there was not enough memory for {name}{_asked(error)}"
        now_s = self._clock()
        with suppress(Exception):  # whatever cannot be written: the process has to end
            log.error("%s; the worker ends and is started again without it", why)
            one = LeftOut(card_sha256=digest_of(self._home / name / CARD), at_s=now_s, why=why)
            known = read_troubles(self._home)
            _noted(
                self._home,
                WorkerTroubles(
                    n_ends=known.n_ends + 1, ended_s=now_s, why=why, left_out={**known.left_out, name: one}
                ),
            )
        self._end(OUT_OF_MEMORY_EXIT)

    def thread_failed(self, error: BaseException) -> None:
        """Ends this process: one whose threads are not all there would take requests and never answer them."""
        with suppress(Exception):
            log.error("a thread of the worker cannot go on", exc_info=error)
        self._end(OUT_OF_MEMORY_EXIT if is_out_of_memory(error) else BROKEN_EXIT)


def _noted(home: Path, troubles: WorkerTroubles) -> WorkerTroubles:
    with suppress(StoreError, OSError):  # a full disk must not keep the worker from being started again
        write_atomic(home / TROUBLES_FILE, msgspec.json.encode(troubles))
    return troubles


def _end(return_code: int) -> str:
    if return_code == OUT_OF_MEMORY_EXIT:
        return "it ran out of memory"
    if return_code == -signal.SIGKILL:
        return "it was killed (SIGKILL), as the kernel does where memory runs out"
    if return_code < 0:
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-return_code).name}"
    return f"it ended with exit code {return_code}; see engine.log in the home"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        yield found
        seen.add(id(found))
        found = found.__cause__ or found.__context__


def _says_no_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # torch and safetensors have no class for it
    is_theirs = (
        isinstance(error, (RuntimeError, OSError, ImportError)) or type(error).__name__ == "SafetensorError"
    )
    return is_theirs and _NO_MEMORY.search(str(error)) is not None


def _asked(error: BaseException) -> str:
    for one in _causes(error):
        if (found := _ASKED.search(str(one))) is not None:
            return f", which asked for {int(found[1]) / 1e6:,.1f} MB more"
    return ""


def _minutes(seconds: float) -> str:
    n = max(1, round(seconds / 60))
    return f"{n:,} minute{'' if n == 1 else 's'}"
