"""Made-up labelled lines, and real ones with other names."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from deputize.privacy.tagger.default.generated_text import (
    SLOT,
    SLOT_TYPES,
    NamePool,
    PlainWords,
    TextGenerator,
    generators,
    read_frames,
    with_other_names,
)
from deputize.privacy.tagger.default.name_lists import NameLists
from deputize.privacy.tagger.labelled_text import Label, Sample


@pytest.fixture(scope="module")
def foreign() -> NamePool:
    return NamePool(["en_US"], 0, 200)


def test_frames_of_sixteen_languages_use_known_slots() -> None:
    frames = read_frames()
    assert len(frames) == 16 and {"tr", "ar", "zh", "ja", "hi", "ko", "ru"} <= set(frames)
    for language, one in frames.items():
        more = [
            frame
            for name in ("addresses", "more", "last", "listed", "streets")
            for frame in one.get(name, [])
        ]
        for frame in [*one["frames"], *one["orgs"], one["date"], *more]:
            rest = SLOT.sub("", frame)
            assert "{}" not in rest and ("{" not in rest or '"' in rest), (language, frame)
        assert any(slot in frame for frame in one["frames"] for slot in ("{P}", "{f}")), language


@pytest.mark.parametrize("language", ["tr", "ar", "zh", "ja", "hi", "en"])
def test_labels_lie_on_what_was_filled_in(language: str, foreign: NamePool) -> None:
    generator = TextGenerator(language, read_frames()[language], PlainWords(["no name here"]), foreign, 7)
    samples = list(generator.samples(150))
    kinds = Counter(s.type for one in samples for s in one.spans)
    assert kinds["PERSON"] > 40 and set(kinds) <= set(SLOT_TYPES.values())
    assert any(one.text == "no name here" and not one.spans for one in samples)
    for one in samples:
        assert all(one.text[s.start : s.end].strip() for s in one.spans) and "{P}" not in one.text
    again = TextGenerator(language, read_frames()[language], PlainWords(["no name here"]), foreign, 7)
    assert [s.text for s in again.samples(150)] == [s.text for s in samples]


@pytest.mark.parametrize("language", ["fr", "en", "de"])
def test_a_directory_lists_people_trades_and_streets(language: str, foreign: NamePool) -> None:
    frames = {**read_frames()[language], "frames": ["{D}, {h}, {s}"]}
    for sample in TextGenerator(language, frames, PlainWords(), foreign, 5).samples(60):
        assert [s.type for s in sample.spans] == ["PERSON", "PROFESSION", "ADDRESS"]
        assert sample.spans[1].end + 2 == sample.spans[2].start and sample.spans[2].end == len(sample.text)


def test_more_frames_come_where_they_are_asked_for() -> None:
    few, many, most = (generators({}, 0, more=more) for more in ((), ("more",), ("more", "last")))
    assert len(most["ja"]._frames["frames"]) > len(many["ja"]._frames["frames"])
    assert len(many["tr"]._frames["frames"]) > len(few["tr"]._frames["frames"])
    assert many["tr"]._foreign_share > few["tr"]._foreign_share
    assert many["ja"]._foreign_share == few["ja"]._foreign_share


def test_a_person_in_small_letters(foreign: NamePool) -> None:
    generator = TextGenerator(
        "en", {**read_frames()["en"], "frames": ["i love {p}"]}, PlainWords(), foreign, 3
    )
    for sample in generator.samples(40):
        (label,) = sample.spans
        assert (label.type, label.start, label.end) == (
            "PERSON",
            7,
            len(sample.text),
        ) and sample.text.islower()


def test_other_names_move_the_labels_along(foreign: NamePool) -> None:
    generator = TextGenerator("en", read_frames()["en"], PlainWords(), foreign, 1)
    text = "Mia Torres met MIA TORRES and Mia Torres in Rome."
    labels = [Label(type="PERSON", start=s, end=s + 10) for s in (0, 15, 30)]
    labels.append(Label(type="LOCATION", start=44, end=48))
    new = with_other_names(Sample(id="1", text=text, spans=labels), generator, random.Random(2))
    found = [new.text[s.start : s.end] for s in new.spans]
    assert found[0] == found[2] != "Mia Torres" and found[1].isupper() and found[3] == "Rome"


def test_names_and_places_of_lists_are_drawn_too(foreign: NamePool) -> None:
    more = NameLists(["琉璃花"], ["勅使河原"], ["コウベ"])
    generator = TextGenerator("ja", read_frames()["ja"], PlainWords(), foreign, 3, more)
    generator._names.first[:], generator._names.last[:] = more.first * 2, more.last * 2
    text = "\n".join(sample.text for sample in generator.samples(300))
    assert "勅使河原琉璃花" in text and "コウベ" in text
    pool = NamePool(["ja_JP"], 0, 200, more)
    assert "琉璃花" in pool.first and "勅使河原" in pool.last and "コウベ" in pool.cities


def test_words_are_drawn_from_lines_where_there_is_no_list() -> None:
    words, rng = PlainWords(["one two three"]), random.Random(0)
    assert all(words.draw("v", rng) in "one two three" for _ in range(20))
    assert PlainWords([], {"w": ["x1"]}).draw("k2", rng) == "x1"
