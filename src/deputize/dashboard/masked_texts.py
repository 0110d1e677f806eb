"""Texts of live calls with placeholders in place of personal values, as live masking makes them; looked at in a
thread."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, NamedTuple

from deputize.core.errors import DeputizeError
from deputize.core.records import Call, Message
from deputize.home import Home
from deputize.privacy.masking.detector_worker import LineDetector
from deputize.privacy.masking.found_values import FoundValues
from deputize.privacy.masking.masker import mask_fields, texts_of
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.standard_detectors import standard_detectors
from deputize.privacy.tagger.versions import check_tagger

WAIT_S = 0.1
"""How long a page waits for texts; then it says that they come, and asks again."""
MAX_KEPT = 64
MAX_CHARS = 20_000
"""Of one message; the rest is left out."""


class MaskedPair(NamedTuple):
    """One call that both have answered; personal values are placeholders, the same in all three."""

    asked: str
    """The last message of the request."""
    specialist: str
    llm: str


class MaskedTexts:
    """Masks the texts of audited calls and keeps the last few. Used by one thread."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="masking")
        self._made: OrderedDict[str, Future[MaskedPair | str]] = OrderedDict()
        self._detector: LineDetector | None = None
        self._found = FoundValues()

    def pair(self, served: Call, audit: Call) -> MaskedPair | str | None:
        """The two answers to a call, or a sentence why they cannot be shown; None: they are being masked."""
        work = self._made.get(audit.id)
        if work is None:
            work = self._made[audit.id] = self._pool.submit(self._masked, served, audit)
            while len(self._made) > MAX_KEPT:
                self._made.popitem(last=False)
        wait_for([work], timeout=WAIT_S)
        return work.result() if work.done() else None

    def close(self) -> None:
        """Forgets all texts."""
        self._made.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _masked(self, served: Call, audit: Call) -> MaskedPair | str:
        asked = served.messages[-1] if served.messages else {}
        fields = {"messages": [_shortened(m) for m in (asked, served.response, audit.response)]}
        try:
            texts = texts_of(fields, passes_attachments=False)
            new = self._found.new_lines(texts)
            self._found.add(new, self._lines().detect(new))
            masked, _ = mask_fields(fields, texts, self._found.findings(texts), passes_attachments=False)
        except DeputizeError as error:
            return f"These texts cannot be shown: {error}"
        except RecursionError:
            return "These texts cannot be shown: they hold JSON that is nested too deeply."
        messages: Sequence[Message] = masked["messages"]
        return MaskedPair(*map(text_of_message, messages))

    def _lines(self) -> LineDetector:
        if self._detector is None:
            policy, privacy = policy_of("standard"), self._home.privacy()
            check_tagger(self._home)
            detectors = standard_detectors(policy, home=self._home.path, privacy=privacy)
            self._detector = LineDetector(detectors, policy)
        return self._detector


def _shortened(message: Message) -> Message:
    """A message without what nobody reads here, and with its text cut."""
    content = message.get("content")
    kept = {
        name: message[name] for name in ("role", "content", "tool_calls") if message.get(name) is not None
    }
    return {**kept, "content": content[:MAX_CHARS]} if isinstance(content, str) else kept


def text_of_message(message: Mapping[str, Any]) -> str:
    """A message as a person reads it: its text, then its tool calls with their arguments."""
    content, parts = message.get("content"), list[str]()
    if isinstance(content, str):
        parts.append(content)
    elif isinstance(content, list):
        parts += [
            str(part.get("text", f"[{part.get('type', 'part')}]"))
            for part in content
            if isinstance(part, dict)
        ]
    for call in message.get("tool_calls") or []:
        function = call.get("function", {})
        parts.append(f"{function.get('name', '')}({_readable(function.get('arguments', ''))})")
    return "\n".join(parts)


def _readable(arguments: Any) -> str:
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False, indent=1)
    except (TypeError, ValueError, RecursionError):
        return str(arguments)
