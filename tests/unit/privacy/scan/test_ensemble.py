"""Which detectors are shown a line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deputize.privacy.detectors.base import Span
from deputize.privacy.scan.ensemble import DetectorEnsemble, has_uncovered_name, has_uncovered_text


def at(line: str, value: str, score: float = 0.9) -> list[Span]:
    start = line.index(value)
    return [Span("PERSON", start, start + len(value), score, "x")]


@pytest.mark.parametrize(
    ("line", "value", "score", "rest"),
    [
        ("Customer: Mia Torres", "Mia Torres", 0.9, False),
        ("- **Name:** Mia Torres.", "Mia Torres", 0.9, False),
        ("Customer: Mia Torres, 12 June", "Mia Torres", 0.9, True),
        ("Customer: Mia Torres", "Mia Torres", 0.4, True),  # an unsure finding may be dropped later
        ("Customer: Mia Torres", "Mia", 0.9, True),
        ("Mia Torres", "Mia Torres", 0.9, False),
        ('{"name": "Mia"}', "Mia", 0.9, True),
        ("Judge Mia Torres: 12 June", "12 June", 0.9, True),  # the label may be a name
        ("Date: 12 June", "12 June", 0.9, False),
    ],
)
def test_what_is_left_of_a_line(line: str, value: str, score: float, rest: bool) -> None:
    assert has_uncovered_text(line, [at(line, value, score)]) is rest


def test_a_name_outside_of_what_was_found() -> None:
    line = "Customer: Mia Torres wrote"
    assert has_uncovered_name(line, [at(line, "Mia")])
    assert not has_uncovered_name(line, [at(line, "Mia Torres")])
    assert not has_uncovered_name("Customer: mia torres wrote", [])


class Told:
    """Claims one word; remembers what it was shown."""

    def __init__(self, name: str, word: str, **shown_only: bool) -> None:
        self.name, self.word = name, word
        self.shown: list[str] = []
        for key, value in shown_only.items():
            setattr(self, key, value)

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        self.shown += texts
        return [at(text, self.word) if self.word in text else [] for text in texts]


def test_slow_detectors_see_only_what_others_left() -> None:
    slow, quick = Told("slow", "12 June", skips_covered_lines=True), Told("quick", "Mia Torres")
    names = Told("names", "nobody", skips_lines_without_names=True)
    lines = ["Customer: Mia Torres", "born 12 June", "Customer: Mia Torres, 12 June", "{}"]
    reading = DetectorEnsemble([slow, quick], [names]).detect(lines, [True, True, True, False])
    assert quick.shown == lines
    assert slow.shown == lines[1:3]
    assert names.shown == []  # June is claimed by then
    values = [[f.value for f in found] for found in reading.found]
    assert values == [["Mia Torres"], ["12 June"], ["Mia Torres", "12 June"], []]


def test_the_second_look_is_kept_apart() -> None:
    reading = DetectorEnsemble([Told("a", "Mia")], (), [Told("b", "Torres")]).detect(["Mia Torres"], [True])
    assert [f.value for f in reading.found[0]] == ["Mia"]
    assert [f.value for f in reading.verification[0]] == ["Torres"]
