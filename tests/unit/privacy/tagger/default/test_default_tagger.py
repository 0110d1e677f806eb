"""The tagger that ships: what it finds, and that it needs no torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from deputize.core.errors import Tampered
from deputize.privacy.tagger.default import default_tagger
from deputize.privacy.tagger.default.corpus import SHIPPABLE
from deputize.privacy.tagger.default.default_tagger import (
    ACCENTED,
    ALL_TYPES,
    CARD,
    FOLDER,
    SMALL,
    TURKISH,
    DefaultTagger,
    load_default_tagger,
    runs,
)
from deputize.privacy.tagger.default.numpy_network import LineScores
from deputize.privacy.tagger.default.words import words_of
from deputize.testing import check_detector

LINES = {
    "Hi, my name is Oluwaseun Adebayo and I need help": "Oluwaseun Adebayo",
    "Sehr geehrte Frau Wróblewska, die Rechnung und der Vertrag liegen bei": "Wróblewska",
    "Başrollerini Zerrin Aydoğmuş paylaşmaktadır": "Zerrin Aydoğmuş",
    "客户：欧阳建国，电话：+86 10 5550100": "欧阳建国",
    "監督は渡辺健太郎が担当した。": "渡辺健太郎",
    "मेरा नाम संजय कुलकर्णी है": "संजय कुलकर्णी",
}


@pytest.mark.parametrize("line", LINES)
def test_people_in_many_scripts(line: str) -> None:
    (found,) = load_default_tagger().detect([line])
    people = [line[s.start : s.end] for s in found if s.type == "PERSON"]
    assert people == [LINES[line]]


@pytest.mark.parametrize(
    "line",
    [
        "Die Bestellung, die Rechnung und der Vertrag liegen bei.",
        "can you check the status of order W12345 please",
        '{"status": "shipped", "order_id": "W12345"}',
        "请检查您的订单状态。",
        "",
        "12345 --- ///",
    ],
)
def test_lines_without_people(line: str) -> None:
    assert load_default_tagger().detect([line]) == [[]]


class SureNetwork:
    """Takes every word for everything."""

    def scores(self, lines: Sequence[str], outputs: Sequence[int]) -> list[LineScores]:
        split = [words_of(line) for line in lines]
        return [(words, np.ones((len(words), 8), dtype=np.float32)) for words in split]


@pytest.mark.parametrize(
    ("line", "types"),
    [
        ("baa8a2d059fb00bd0b1bc5940eaf9d6dfa2806f5", {"PERSON"}),
        ("12 Ferncliffe Lane", {"PERSON", "STREET_ADDRESS"}),
        ("Hauptstraße12", {"PERSON", "STREET_ADDRESS"}),
        ("Granada", {"PERSON", "STREET_ADDRESS"}),
    ],
)
def test_a_part_of_a_digest_is_no_address(line: str, types: set[str]) -> None:
    tagger = DefaultTagger(SureNetwork(), load_default_tagger().card)  # type: ignore[arg-type]
    assert {s.type for s in tagger.detect([line])[0]} == types


@pytest.mark.parametrize(
    ("line", "people"),
    [
        ("Plaintiff Mia Torres", ["Mia Torres"]),
        ("PLAINTIFF, Defendant", []),
        ("Mia Patient", ["Mia Patient"]),
    ],
)
def test_a_role_before_a_name_is_no_part_of_it(line: str, people: list[str]) -> None:
    tagger = DefaultTagger(SureNetwork(), load_default_tagger().card, frozenset({"PERSON"}))  # type: ignore[arg-type]
    assert [line[s.start : s.end] for s in tagger.detect([line])[0]] == people


@pytest.mark.parametrize(("line", "found"), [("Bar No", False), ("Bar No 7", True), ("Ötz", True)])
def test_short_words_without_a_number_are_no_address(line: str, found: bool) -> None:
    card = load_default_tagger().card
    tagger = DefaultTagger(SureNetwork(), card, frozenset({"STREET_ADDRESS"}))  # type: ignore[arg-type]
    assert bool(tagger.detect([line])[0]) == found


def test_it_keeps_the_promises_of_a_detector() -> None:
    check_detector(load_default_tagger(ALL_TYPES), "my name is Oluwaseun Adebayo", "Oluwaseun Adebayo")


def test_lines_of_a_text_are_read_one_by_one_and_repeated_ones_once() -> None:
    tagger = load_default_tagger()
    text = "thanks for that\nCustomer Mia Torres called\n\nbye"
    for _ in range(2):  # the second time from memory
        (found,) = tagger.detect([text])
        assert [text[s.start : s.end] for s in found] == ["Mia Torres"]


def test_possible_places_hold_what_is_found() -> None:
    tagger = load_default_tagger()
    (found,), (possible,) = tagger.detect(["ask Mia Torres"]), tagger.possible(["ask Mia Torres"])
    assert all(any(p.start <= s.start and s.end <= p.end for p in possible) for s in found)


class UnevenNetwork:
    """Gives each word the probability of a table."""

    def scores(self, lines: Sequence[str], outputs: Sequence[int]) -> list[LineScores]:
        chances = {"Torres": 0.9, "Mia": 0.2}
        split = [words_of(line) for line in lines]
        return [
            (words, np.array([[chances.get(line[a:b], 0.0)] * 8 for a, b in words], dtype=np.float32))
            for line, words in zip(lines, split, strict=True)
        ]


def test_undecided_places_are_possible_and_not_found() -> None:
    card = load_default_tagger().card
    tagger = DefaultTagger(UnevenNetwork(), card, frozenset({"PERSON"}))  # type: ignore[arg-type]
    line = "Torres went with Mia"
    (found,), (undecided,) = tagger.detect([line]), tagger.undecided([line])
    assert [line[s.start : s.end] for s in found] == ["Torres"]
    assert [line[s.start : s.end] for s in undecided] == ["Mia"]


def test_a_word_joins_a_likely_neighbour_only() -> None:
    line = "J. Smith and x Y-Z"
    words = [(0, 1), (1, 2), (3, 8), (9, 12), (13, 14), (15, 16), (16, 17), (17, 18)]
    scores = np.array([0.2, 0.05, 0.9, 0.0, 0.2, 0.6, 0.0, 0.6], dtype=np.float32)
    assert [line[r.start : r.end] for r in runs(line, words, scores, 0.3)] == ["J. Smith", "x Y-Z"]
    assert [line[r.start : r.end] for r in runs(line, words, scores, 0.7)] == ["Smith"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Legrand (Mme), tailor", "Legrand (Mme)"),
        ("Moreau (H.) , clerk", "Moreau (H.)"),
        ("by (Ann Lee).", "Ann Lee"),
        ("(Ann Lee)) and", "Ann Lee"),
    ],
)
def test_a_closing_bracket_is_part_of_a_run_with_the_opening_one(line: str, found: str) -> None:
    words = words_of(line)
    scores = np.array(
        [line[slice(*w)] not in ("tailor", "clerk", "by", "and") for w in words], dtype=np.float32
    )
    assert [line[r.start : r.end] for r in runs(line, words, scores, 0.3)] == [found]


def test_weights_that_are_not_those_of_the_card_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    default_tagger._loaded.cache_clear()
    monkeypatch.setattr(default_tagger, "WEIGHTS", CARD)
    with pytest.raises(Tampered, match="do not match its card"):
        load_default_tagger()
    monkeypatch.undo()
    default_tagger._loaded.cache_clear()


def test_torch_and_faker_are_not_needed() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'faker', 'transformers', 'spacy'): sys.modules[name] = None\n"
        f"from {FOLDER}.default_tagger import load_default_tagger\n"
        "print(load_default_tagger().detect(['ask Mia Torres'])[0][0].type)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "PERSON"


def test_a_script_has_a_threshold_of_its_own() -> None:
    tagger = load_default_tagger()
    known = {name for _, name in default_tagger.SCRIPTS} | {SMALL, TURKISH, ACCENTED}
    common, own = tagger.card.thresholds["PERSON"], tagger.card.person_thresholds
    assert set(own) <= known
    for line, scripts in (
        ("A 王 م e", ["", "Han", "Arabic", SMALL]),
        ("A é 王", [ACCENTED, SMALL, "Han"]),
        ("A ×", ["", ""]),
        ("A 王 ア", ["", "Kana", "Kana"]),
        ("Ş A b م", [TURKISH, TURKISH, TURKISH, "Arabic"]),  # of two thresholds the higher one
    ):
        factors = tagger._raised(line, words_of(line)).tolist()
        assert factors == pytest.approx([common / own.get(script, common) for script in scripts], abs=1e-6)
    assert own["Kana"] > own["Han"] > common


def test_the_card_says_what_was_measured() -> None:
    card = load_default_tagger().card
    assert "other languages were not measured" in card.measured()
    assert all(name in card.measured() for name in card.languages)
    assert all(licence in SHIPPABLE for licence in card.sources.values())
