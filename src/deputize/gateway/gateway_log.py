"""The gateway's own log: text or JSON lines with time and level, and a line for each call that holds nothing of it.

Lines for calls are written by a thread: a slow terminal, or a full pipe, holds no call up.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Any

from deputize.core.records import Call
from deputize.core.terminal_text import plain_json, plain_line
from deputize.gateway.settings import GatewaySettings

ACCESS = "deputize.access"
_access = logging.getLogger(ACCESS)
_OWN = "deputize"
log = logging.getLogger("deputize.gateway")
_WAITING_LINES = 10_000
"""Lines for calls that may wait to be written; more are lost."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of an access line."""

    def format(self, record: logging.LogRecord) -> str:
        value: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "fields", None)
        value |= fields if fields is not None else {"message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            value["error"] = record.exc_info[0].__name__  # its message may hold a caller's text
        return plain_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


class TextLines(logging.Formatter):
    """Time, level, logger and message on one line; an access line's fields as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        if fields is not None:
            record.message = " ".join(f"{name}={value}" for name, value in fields.items())
        return plain_line(super().formatMessage(record))


class CallLines(TextLines):
    """For a terminal of 80 columns: of a call when, who answered, in which time, its status, why, and route or
    model."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        if fields is None:
            return super().format(record)
        who = "specialist" if fields["served_by"] == "slm" else "LLM"
        ms = f"{fields['ms']:,.0f} ms" if "ms" in fields else ""
        which = fields.get("route") if who == "specialist" else fields.get("model")
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{at} {who:<10} {ms:>10} {fields['status']}  {fields.get('reason', ''):<16} {which or ''}"
        return plain_line(line.rstrip())


_FORMATS = {"json": JsonLines, "text": TextLines, "short": CallLines}


def set_up_log(settings: GatewaySettings) -> None:
    """Sends the log of this process to standard error, in the form that the settings choose."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATS[settings.log_format]())
    logger = logging.getLogger(_OWN)
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(settings.log_level.upper())
    _access.setLevel(logging.INFO if settings.access_log else logging.CRITICAL)


class _NeverWaits(QueueHandler):
    """Hands lines to the thread that writes them. A line for which there is no room is lost: calls come first."""

    def __init__(self, waiting: queue.SimpleQueue[Any]) -> None:
        super().__init__(waiting)
        self._waiting = waiting

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # of this process, so nothing need be made ready for another one

    def enqueue(self, record: logging.LogRecord) -> None:
        # no limit of the queue's own, which would keep the last entry out as well
        if self._waiting.qsize() < _WAITING_LINES:
            self._waiting.put(record)


@contextmanager
def calls_written_by_a_thread() -> Iterator[None]:
    """Lines for calls are written by a thread of this process until the end; then what waits is written.

    After `set_up_log`, and after a fork: a thread does not go with the child.
    """
    if not _access.isEnabledFor(logging.INFO):
        yield
        return
    handlers = logging.getLogger(_OWN).handlers
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = QueueListener(waiting, *handlers)
    _access.handlers[:] = [_NeverWaits(waiting)]
    _access.propagate = False
    listener.start()
    try:
        yield
    finally:
        _access.handlers[:] = []
        _access.propagate = True
        listener.stop()


def log_call(call: Call, *, key: str = "") -> None:
    """Writes the access line of a call, where access lines are wanted.

    Args:
        call: as it is recorded.
        key: id of the caller's API key.
    """
    if _access.isEnabledFor(logging.INFO):
        _access.info("call", extra={"fields": access_fields(call, key)})


def access_fields(call: Call, key: str = "") -> dict[str, Any]:
    """The fields of an access line: who asked which model, who answered and why, how long it took. Nothing of the
    prompt or the answer, and no name that a caller gave but the model's."""
    decision, usage = call.decision, call.usage
    fields: dict[str, Any] = {
        "id": call.id,
        "protocol": call.protocol,
        "status": call.status,
        "model": call.model,
        "served_by": decision.served_by if decision is not None else "llm",
        "reason": decision.reason if decision is not None else "",
        "route": decision.route_id if decision is not None else "",
        "upstream": call.upstream,
        "ms": None if call.latency_ms is None else round(call.latency_ms, 1),
        "ttft_ms": None if call.ttft_ms is None else round(call.ttft_ms, 1),
        "tokens_in": usage.prompt_tokens if usage is not None else None,
        "tokens_out": usage.completion_tokens if usage is not None else None,
        "aborted": call.aborted or None,
        "tenant": call.tenant,
        "key": key,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def log_bug(error: Exception) -> None:
    """Logs where an error came from, without its message, which may hold a caller's text."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    line = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
    log.error("internal error: %s at %s", type(error).__name__, line)
