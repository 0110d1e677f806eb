"""The packed tables of lines: what was put in comes out."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest

from deputize.privacy.scan.ensemble import Finding
from deputize.privacy.scan.line_table import LineFindings, LineNumbers


def test_a_line_has_the_number_of_its_turn() -> None:
    digests = [blake2b(str(n).encode(), digest_size=16).digest() for n in range(5000)]
    numbers = LineNumbers(16)
    assert [numbers.add(digest) for digest in digests[:4000]] == list(range(4000))
    assert [numbers[digest] for digest in digests[:4000]] == list(range(4000))
    assert {numbers.get(digest) for digest in digests[4000:]} == {None}
    assert len(numbers) == 4000
    with pytest.raises(KeyError):
        numbers[digests[-1]]


def test_a_digest_that_stands_across_two_items_is_not_there() -> None:
    numbers = LineNumbers(6)
    numbers.add(b"aa1234")
    numbers.add(b"aa5678")
    # the rest of the first digest, the four bytes of its number, and the rest of the second
    assert numbers.get(b"aa34\0\0") is None
    numbers.add(b"aa34\0\0")
    assert [numbers[d] for d in (b"aa1234", b"aa5678", b"aa34\0\0")] == [0, 1, 2]


def test_findings_are_kept_as_they_are() -> None:
    findings = LineFindings()
    first = (Finding("PERSON", "Mia\ud800 Lörrach", 0.85), Finding("EMAIL", "m@a.example", 1.0))
    findings.put(7, first)
    findings.put(2, [Finding("PERSON", "Noor", np.float64(0.5))])
    assert findings.get(7) == first
    assert findings.get(2) == (Finding("PERSON", "Noor", 0.5),)
    assert findings.get(0) == findings.get(9_999) == ()
    findings.put(7, first[:1])
    assert findings.get(7) == first[:1]
