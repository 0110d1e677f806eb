"""Findings of personal data in lines that were looked at before: agents repeat what they have sent, call by call.
Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from threading import Lock

from deputize.privacy.scan.ensemble import Finding
from deputize.privacy.scan.line_index import lines_of

MAX_REMEMBERED = 100_000
"""Lines and texts whose findings are remembered; the texts themselves are not."""
MAX_CHARS = 16_000_000
"""Characters that all remembered values may have together, each counted once a line or text that it stands in."""
_ENTRY_CHARS, _FINDING_CHARS = 60, 40
"""What an entry, and a finding in it, count for besides their values."""

Findings = tuple[Finding, ...]
Line = tuple[str, bool]
"""(line, whether it is prose and not the syntax of JSON)"""


class FoundValues:
    """The findings in lines and texts, by their digests; for several threads."""

    def __init__(self, max_remembered: int = MAX_REMEMBERED, max_chars: int = MAX_CHARS) -> None:
        self._known: OrderedDict[bytes, Findings] = OrderedDict()
        self._max, self._max_chars, self._lock = max_remembered, max_chars, Lock()
        self._n_chars = 0

    def new_lines(self, texts: Iterable[str]) -> list[Line]:
        """The lines of texts that have not been looked at, each once."""
        new: dict[Line, None] = {}
        for text in texts:
            if _digest(text, "text") not in self._known:
                new.update((line, None) for line in lines_of(text) if _digest_of(line) not in self._known)
        return list(new)

    def add(self, lines: Sequence[Line], findings: Sequence[Findings]) -> None:
        """Remembers what was found in lines."""
        for line, found in zip(lines, findings, strict=True):
            self._remember(_digest_of(line), found)

    def findings(self, texts: Iterable[str]) -> list[Finding]:
        """The findings in texts.

        Raises:
            KeyError: a line has not been looked at, or was forgotten.
        """
        out: dict[Finding, None] = {}
        for text in texts:
            key = _digest(text, "text")
            known = self._known.get(key)
            if known is None:
                by_line = [self._known[one] for one in dict.fromkeys(map(_digest_of, lines_of(text)))]
                known = tuple(dict.fromkeys(finding for findings in by_line for finding in findings))
            self._remember(key, known)
            out.update(dict.fromkeys(known))
        return list(out)

    def _remember(self, key: bytes, findings: Findings) -> None:
        with self._lock:
            before = self._known.get(key)
            self._n_chars += _chars(findings) - (0 if before is None else _chars(before))
            self._known[key] = findings
            self._known.move_to_end(key)
            # the newest stays, however large: whoever looked for it needs it now
            while len(self._known) > 1 and (len(self._known) > self._max or self._n_chars > self._max_chars):
                self._n_chars -= _chars(self._known.popitem(last=False)[1])


def _chars(findings: Findings) -> int:
    return _ENTRY_CHARS + sum(_FINDING_CHARS + len(finding.value) for finding in findings)


def _digest_of(line: Line) -> bytes:
    return _digest(line[0], "prose" if line[1] else "line")


def _digest(text: str, kind: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, person=kind.encode()).digest()
