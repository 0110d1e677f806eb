"""Worker processes on one listening socket: started, replaced when they die, drained on a signal to stop.

The parent holds the socket and does nothing else, so a worker that crashes costs its own connections and no others:
new ones wait in the socket's queue until the next worker takes them.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from deputize.core.errors import DeputizeError

log = logging.getLogger("deputize.gateway")

Worker = Callable[[Callable[[], None], int], int]
"""(ready, parent) -> exit code. Calls `ready` once it serves; stops when the file descriptor `parent` is at its end,
since then the parent is no more."""

_QUICK_S = 5.0
_MAX_DELAY_S = 10.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(slots=True)
class _Child:
    pid: int
    slot: int
    started: float
    ready: int
    """Pipe on which it says that it serves; -1 once it has, or is gone."""
    stopping: bool = False
    served: bool = False


class Supervisor:
    """Keeps `n_workers` alive until SIGTERM or SIGINT. SIGHUP replaces them one after the other, dropping nothing."""

    def __init__(
        self,
        worker: Callable[[], Worker],
        n_workers: int,
        *,
        drain_s: float,
        on_serving: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            worker: makes what a child runs; asked again at SIGHUP, so it may read the settings again.
            n_workers: processes.
            drain_s: how long a worker may take to end by itself; it is killed some seconds later.
            on_serving: called once, when the first worker serves.
        """
        self._on_serving, self._is_serving = on_serving, False
        self._make, self._n_workers, self._drain_s = worker, n_workers, drain_s
        self._worker = worker()
        self._children: dict[int, _Child] = {}
        self._due: dict[int, float] = {}
        """Slot -> when to start its next worker."""
        self._delay_s = [0.0] * n_workers
        self._stopping_until: float | None = None
        self._hung_up = False
        self._alive, self._alive_end = os.pipe()
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)

    def run(self) -> int:
        """Runs until a signal to stop; returns the exit code.

        A worker that ends before it has ever served ends everything, with its exit code; it has logged the reason.
        """
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        code = 0
        try:
            for slot in range(self._n_workers):
                self._start(slot)
            while self._children or (self._due and self._stopping_until is None):
                self._wait()
                code = self._reap() or code
                now = time.monotonic()
                if self._stopping_until is not None and now >= self._stopping_until:
                    for child in self._children.values():
                        _signal(child.pid, signal.SIGKILL)
                elif self._stopping_until is None:
                    self._replace()
                    for slot in [s for s, at in self._due.items() if at <= now]:
                        del self._due[slot]
                        self._start(slot)
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in (self._wake, self._woken):
                end.close()
            os.close(self._alive)
            os.close(self._alive_end)
        return code

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP:
            self._hung_up = True

    def _stop(self) -> None:
        if self._stopping_until is None:
            self._stopping_until = time.monotonic() + self._drain_s + 10.0
        for child in list(self._children.values()):
            child.stopping = True
            _signal(child.pid, signal.SIGTERM)

    def _start(self, slot: int) -> None:
        ready, says = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            os._exit(self._child(says))
        os.close(says)
        self._children[pid] = _Child(pid, slot, time.monotonic(), ready)

    def _child(self, says: int) -> int:
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        # only the parent holds the writing end, so its end is the parent's
        os.close(self._alive_end)
        for other in self._children.values():
            if other.ready >= 0:
                os.close(other.ready)
        code = 1
        try:
            code = self._worker(lambda: _say_ready(says), self._alive)
        except DeputizeError as error:
            sys.stderr.write(f"deputize: {error}\n")
            code = error.exit_code
        except KeyboardInterrupt:
            code = 0
        except BaseException as error:  # noqa: BLE001 - the edge of a process: nothing above it would say anything
            log.error("a worker failed: %s: %s", type(error).__name__, error)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return code

    def _wait(self) -> None:
        readable = [self._wake.fileno(), *(c.ready for c in self._children.values() if c.ready >= 0)]
        ends = [*self._due.values(), *([self._stopping_until] if self._stopping_until is not None else [])]
        timeout_s = max(0.0, min(ends) - time.monotonic()) if ends else 5.0
        found, _, _ = select.select(readable, [], [], min(timeout_s, 5.0))
        if self._wake.fileno() in found:
            self._wake.recv(4096)
        for child in self._children.values():
            if child.ready in found:
                child.served = os.read(child.ready, 1) == b"1"
                os.close(child.ready)
                child.ready = -1
                if child.served:
                    self._has_begun_to_serve()
                    self._retire_predecessors(child)

    def _has_begun_to_serve(self) -> None:
        if not self._is_serving:
            self._is_serving = True
            self._on_serving()

    def _reap(self) -> int:
        """Handles workers that ended; an exit code where that ends everything."""
        failed = 0
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = self._children.pop(pid, None)
            if child is None:
                continue
            if child.ready >= 0:
                child.served = child.served or os.read(child.ready, 1) == b"1"
                os.close(child.ready)
            if child.stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            if not child.served and not self._delay_s[child.slot] and not self._successor(child):
                failed = code if code > 0 else 1
                self._stop()
                continue
            self._plan(child, code)
        return failed

    def _plan(self, child: _Child, code: int) -> None:
        lived_s = time.monotonic() - child.started
        delay_s = self._delay_s[child.slot]
        # at once the first time, then ever more slowly while its successors die quickly too
        delay_s = 0.1 if lived_s >= _QUICK_S else min(_MAX_DELAY_S, max(0.1, 2 * delay_s))
        self._delay_s[child.slot] = delay_s
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if any(c.slot == child.slot and c.started > child.started for c in self._children.values()):
            log.error("worker %d ended (%s); its successor is there already", child.pid, how)
            return
        log.error("worker %d ended (%s); another one is started in %.1f s", child.pid, how, delay_s)
        self._due[child.slot] = time.monotonic() + delay_s

    # --- SIGHUP ---

    def _replace(self) -> None:
        if not self._hung_up:
            return
        self._hung_up = False
        try:
            self._worker = self._make()
        except DeputizeError as error:
            log.error("the settings stay as they were: %s", error)
            return
        for slot in range(self._n_workers):
            self._delay_s[slot] = 0.1  # a successor that fails is tried again, it does not end everything
            # one in place of a worker that has died, or it would be another successor
            self._due.pop(slot, None)
            self._start(slot)

    def _successor(self, child: _Child) -> bool:
        return any(c.slot == child.slot and c.pid != child.pid for c in self._children.values())

    def _retire_predecessors(self, child: _Child) -> None:
        # only those that began before: of two successors that serve at once the newer stays
        for other in self._children.values():
            if other.slot == child.slot and other.started < child.started and not other.stopping:
                other.stopping = True
                _signal(other.pid, signal.SIGTERM)


def _say_ready(says: int) -> None:
    os.write(says, b"1")
    os.close(says)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
