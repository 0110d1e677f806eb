"""The line index: each distinct line is scanned once, as what it was added."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deputize.privacy.detectors.base import Span
from deputize.privacy.scan.ensemble import DetectorEnsemble
from deputize.privacy.scan.line_index import LineIndex


def test_a_line_seen_first_as_syntax_is_read_again_as_prose() -> None:
    class Names:
        name = "names"

        def detect(self, texts: Sequence[str]) -> list[list[Span]]:
            return [
                [Span("PERSON", m.start(), m.end(), 0.9, "names") for m in re.finditer("Mia", t)]
                for t in texts
            ]

    scanner = LineIndex(DetectorEnsemble([], [Names()]))
    text = '[\n"Mia", 1]'
    (line,) = set(scanner.add(text)) & set(scanner.add('"Mia", 1]'))
    other = LineIndex(DetectorEnsemble([], [Names()]))
    other.add(text)
    other.scan()
    assert not list(other.findings(line))
    other.add('"Mia", 1]')
    for one in (scanner, other):
        one.scan()
        assert [f.value for f in one.findings(line)] == ["Mia"]
