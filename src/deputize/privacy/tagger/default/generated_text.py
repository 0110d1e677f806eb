"""Labelled lines that are made up: names, addresses and firms of many scripts in frames of fifteen languages.

The frames are in frames.json; `{P}` is a person, `{f}` and `{l}` a first or last name, `{c}` and `{co}` a place,
`{a}` an address, `{o}` an organisation, `{j}` a profession, `{d}` a date; `{w}`, `{v}` and `{k2}` are everyday words,
`{u}` a run of them, `{p}` a person in small letters, `{kl}`, `{ko}` and `{kn}` unknown words that are a place, a firm
and neither, `{hp}` a place; `{D}`, `{h}` and `{s}` are a person, a trade and a street as directories list them. Names
and addresses come from Faker.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from deputize.core.errors import MissingExtra
from deputize.privacy.tagger.default import transliteration
from deputize.privacy.tagger.default.name_lists import NameLists
from deputize.privacy.tagger.labelled_text import Label, Sample

SLOT_TYPES: dict[str, str] = {
    "P": "PERSON",
    "f": "PERSON",
    "l": "PERSON",
    "c": "LOCATION",
    "co": "LOCATION",
    "a": "ADDRESS",
    "o": "ORGANIZATION",
    "j": "PROFESSION",
    "d": "DATE",
    "y": "DATE",
    "g": "AGE",
    "kl": "LOCATION",
    "ko": "ORGANIZATION",
    "hp": "LOCATION",
    "D": "PERSON",
    "p": "PERSON",
    "h": "PROFESSION",
    "s": "ADDRESS",
}
"""Slot -> type of its label; other slots have none."""
POOL = 3000
FOREIGN_SHARE = {"latin": 0.25, "arabic": 0.4, "chinese": 0.3, "katakana": 0.35, "cyrillic": 0.2, "": 0.0}
MORE_FOREIGN_SHARE: dict[str, float] = {"tr": 0.5}
"""Of languages in which more names are foreign, where a generator is asked for more."""
CAPITALS_SHARE = 0.08
"""Share of the names in directories that are written in capitals."""
EMBEDDED_SHARE: dict[str, float] = {
    "ja": 0.5,
    "zh": 0.5,
    "ar": 0.5,
    "tr": 0.4,
    "ko": 0.3,
    "ru": 0.3,
    "hi": 0.3,
}
"""Share of the made-up lines in which a name stands in a plain line, not in a frame: of languages without real lines
the network would learn the frames by heart."""
NAME_SUFFIXES: dict[str, tuple[str, ...]] = {
    "ja": ("", "", "は", "が", "の", "を", "に", "と", "、", "や", "も", "（", "さん", "氏", "によって"),
    "zh": ("", "", "", "的", "是", "在", "和", "，", "、", "说", "与", "对", "（", "先生"),
}
SLOT = re.compile(r"\{(P|f|l|c|co|a|o|j|d|y|g|n|dd|n2|m|i|w|v|u|k2|kl|ko|kn|hp|h2|n0|ph|e|D|h|s|p)\}")
_FOREIGN_FROM = (
    "en_US",
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "pl_PL",
    "pt_BR",
    "nl_NL",
    "sv_SE",
    "id_ID",
    "cs_CZ",
    "en_GB",
)


def read_frames() -> dict[str, dict[str, Any]]:
    """Language -> its frames and lists."""
    text = (files("deputize.privacy.tagger.default") / "frames.json").read_text("utf-8")
    frames: dict[str, dict[str, Any]] = json.loads(text)
    return frames


class NamePool:
    """First and last names and places of one or more of Faker's locales, and of lists."""

    def __init__(
        self, locales: Sequence[str], seed: int, size: int = POOL, more: NameLists | None = None
    ) -> None:
        """
        Args:
            locales: of Faker.
            seed: of what is drawn.
            size: names to draw.
            more: lists from which as many are drawn.

        Raises:
            MissingExtra: Faker is not installed.
        """
        try:
            from faker import Faker
        except ImportError:
            raise MissingExtra.package("Faker", "privacy") from None
        self.first: list[str] = []
        self.last: list[str] = []
        self.cities: list[str] = []
        self.countries: list[str] = []
        self.addresses: list[str] = []
        each = max(size // len(locales), 200)
        for number, locale in enumerate(locales):
            fake = Faker(locale)
            fake.seed_instance(seed + number)
            self.first += [fake.first_name() for _ in range(each)]
            self.last += [fake.last_name() for _ in range(each)]
            self.cities += [fake.city() for _ in range(each // 6)]
            self.countries += [fake.country() for _ in range(each // 10)]
            self.addresses += [fake.address().replace("\n", ", ") for _ in range(each // 4)]
        rng = random.Random(seed)
        for own, added in zip((self.first, self.last, self.cities), more or (), strict=False):
            own += rng.sample(added, min(len(added), size))


class PlainWords:
    """Everyday words and lines of a language, without personal data."""

    def __init__(self, lines: Sequence[str] = (), words: Mapping[str, Sequence[str]] | None = None) -> None:
        """
        Args:
            lines: sentences without personal data.
            words: slot (`w`, `v`, `k2`) -> words; missing ones are taken from the lines.
        """
        self.lines = list(lines)
        self.words = {slot: list(given) for slot, given in (words or {}).items()}

    def draw(self, slot: str, rng: random.Random) -> str:
        """A word or a few words that follow each other in a line."""
        given = self.words.get(slot) or self.words.get("w")
        if given and slot != "u":
            return rng.choice(given)
        if not self.lines:
            return "x"
        words = rng.choice(self.lines).split()
        at = rng.randrange(len(words))
        longest = 10 if slot == "u" else 3
        return " ".join(words[at : at + rng.randint(1, longest)]).strip(".,:;!?()\"'«»“”、。")


class TextGenerator:
    """Makes labelled lines of one language."""

    def __init__(
        self,
        language: str,
        frames: Mapping[str, Any],
        plain: PlainWords,
        foreign: NamePool,
        seed: int,
        more: NameLists | None = None,
        embedded_share: float = 0.0,
    ) -> None:
        self.language = language
        self._frames = frames
        self._plain = plain
        self._foreign = foreign
        self._names = NamePool(frames["faker"], seed, more=more)
        self._embedded_share = embedded_share
        self._places = list(more.places) if more else []
        self._join = str(frames.get("join", " "))
        self._script = str(frames["foreign"])
        self._foreign_share = float(frames.get("foreign share", FOREIGN_SHARE[self._script]))
        self._rng = random.Random(seed)

    def samples(self, n: int) -> Iterator[Sample]:
        """`n` labelled lines; about a third are plain ones where there are any."""
        for number in range(n):
            id = f"generated-{self.language}-{number}"
            if self._plain.lines and self._rng.random() < 0.3:
                yield Sample(id=id, text=self._rng.choice(self._plain.lines), source="generated")
            elif self._plain.lines and self._rng.random() < self._embedded_share:
                yield self._embedded(id)
            else:
                yield self._filled(id)

    def _embedded(self, id: str) -> Sample:
        """A name somewhere in a plain line: here only its form tells it, not what stands around it."""
        rng = self._rng
        line, name = rng.choice(self._plain.lines), self.person()
        if self._join:
            words = line.split()
            at = rng.randint(0, len(words))
            before, after = " ".join([*words[:at], ""]), " ".join(["", *words[at:]])
        else:
            at = rng.randint(0, len(line))
            before, after = line[:at], rng.choice(NAME_SUFFIXES[self.language]) + line[at:]
        label = Label(type="PERSON", start=len(before), end=len(before) + len(name))
        return Sample(id=id, text=before + name + after, spans=[label], source="generated")

    def _filled(self, id: str) -> Sample:
        frame = self._rng.choice(self._frames["frames"])
        out, labels, at = "", [], 0
        for match in SLOT.finditer(frame):
            out += frame[at : match.start()]
            at = match.end()
            value = self.value(match[1])
            if match[1] in SLOT_TYPES and value:
                labels.append(Label(type=SLOT_TYPES[match[1]], start=len(out), end=len(out) + len(value)))
            out += value
        return Sample(id=id, text=out + frame[at:], spans=labels, source="generated")

    def value(self, slot: str) -> str:
        """A value for a slot."""
        rng = self._rng
        makers: dict[str, Callable[[], str]] = {
            "P": self.person,
            "f": lambda: self._one_name(first=True),
            "l": lambda: self._one_name(first=False),
            "c": self._city,
            "co": lambda: rng.choice(self._frames.get("countries") or self._names.countries),
            "a": self._address,
            "o": lambda: self._fill(rng.choice(self._frames["orgs"])),
            "j": lambda: rng.choice(self._frames["jobs"]),
            "d": lambda: self._fill(self._frames["date"]),
            "m": lambda: rng.choice(self._frames["months"]),
            "y": lambda: str(rng.randint(1850, 2026)),
            "g": lambda: str(rng.randint(18, 95)),
            "n": lambda: str(rng.randint(1, rng.choice((9, 28, 99, 999)))),
            "dd": lambda: str(rng.randint(1, 31)),
            "n2": lambda: self._plain.draw("w", rng),
            "i": self._number,
            "ph": lambda: f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000000, 9999999)}",
            "kl": self._unknown_word,
            "ko": self._unknown_word,
            "kn": self._unknown_word,
            "n0": self._unknown_word,
            "hp": lambda: self._fill(rng.choice(self._frames["places"])),
            "h2": self._two_characters,
            "D": self._listed_person,
            "p": lambda: self.person().lower(),
            "h": lambda: rng.choice(self._frames["trades"]),
            "s": lambda: self._fill(rng.choice(self._frames["streets"])),
            "e": lambda: (
                f"{transliteration.plain_latin(rng.choice(self._foreign.first)) or 'info'}@example.com"
            ),
        }
        maker = makers.get(slot)
        return maker() if maker else self._plain.draw(slot, rng)

    def _fill(self, frame: str) -> str:
        return SLOT.sub(lambda match: self.value(match[1]), frame)

    def _number(self) -> str:
        rng = self._rng
        return rng.choice(("#", "", "ORD-", "W", "REF")) + str(rng.randint(1000, 99999999))

    def _address(self) -> str:
        patterns = self._frames.get("addresses")
        if patterns and (self.language in ("tr", "ar") or self._rng.random() < 0.5):
            return self._fill(self._rng.choice(patterns))
        return self._rng.choice(self._names.addresses)

    def _city(self) -> str:
        rng, known = self._rng, self._frames.get("cities")
        if self._script not in ("latin", "") and rng.random() < 0.25:
            return self._written(rng.choice(self._foreign.cities).split()[0])
        if self._places and rng.random() < 0.5:
            return rng.choice(self._places)
        return str(rng.choice(known or self._names.cities))

    def _unknown_word(self) -> str:
        """A word that looks like a foreign name and is none."""
        rng, pool = self._rng, self._foreign
        word, other = (
            rng.choice(rng.choice((pool.last, pool.first, pool.cities))).split()[0] for _ in range(2)
        )
        if rng.random() < 0.5:
            word = word[: (len(word) + 1) // 2] + other[len(other) // 2 :].lower()
        if self._script == "katakana" and rng.random() < 0.3:
            return self._plain.draw("k2", rng)
        return self._written(word)

    def _two_characters(self) -> str:
        """Characters of names that are no name together."""
        rng = self._rng
        return rng.choice(rng.choice(self._names.last)) + rng.choice(rng.choice(self._names.first))

    def _listed_person(self) -> str:
        """A person as a directory lists them."""
        written = self._fill(self._rng.choice(self._frames["listed"]))
        return written.upper() if self._rng.random() < CAPITALS_SHARE else written

    def person(self) -> str:
        """A name of a person, in one of the forms in which names are written."""
        rng = self._rng
        if rng.random() < self._foreign_share:
            return self._foreign_person()
        first, last = self._one_name(first=True, native=True), self._one_name(first=False, native=True)
        if self.language in ("zh", "ja", "ko"):
            return self._eastern(first, last)
        if self.language == "ar":
            return self._arabic(first, last)
        kind = rng.random()
        if kind < 0.62:
            return f"{first} {last}"
        if kind < 0.70:
            return f"{first} {self._one_name(first=True, native=True)} {last}"
        if kind < 0.76:
            return f"{first[0]}. {last}"
        if kind < 0.80:
            return f"{first} {last}-{self._one_name(first=False, native=True)}"
        if kind < 0.84:
            return f"{first} {last}".upper()
        if kind < 0.88 and self.language in ("en", "es", "pt", "fr", "de"):
            return f"{first} {last}".lower()
        return first if kind < 0.94 else last

    def _eastern(self, first: str, last: str) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.7:
            return last + (" " if self.language == "ja" and rng.random() < 0.15 else "") + first
        if kind < 0.8 and self.language == "zh":
            return last + rng.choice(first)
        return last if kind < 0.88 and self.language != "zh" else last + first

    def _arabic(self, first: str, last: str) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.2:
            return f"{first} بن {self._one_name(first=True, native=True)}"
        if kind < 0.3:
            return f"{rng.choice(('أبو', 'ابن', 'أبي'))} {first}"
        if kind < 0.4:
            return f"ال{last.removeprefix('ال')}"
        return f"{first} {last}" if kind < 0.85 else first

    def _foreign_person(self) -> str:
        rng, pool = self._rng, self._foreign
        first, last = self._written(rng.choice(pool.first)), self._written(rng.choice(pool.last))
        joint = {"chinese": "·", "katakana": "・"}.get(self._script, " ")
        kind = rng.random()
        return f"{first}{joint}{last}" if kind < 0.6 else last if kind < 0.85 else first

    def _written(self, name: str) -> str:
        """A Latin name in the script of the language."""
        write = {
            "arabic": transliteration.arabic,
            "chinese": transliteration.chinese,
            "katakana": transliteration.katakana,
            "cyrillic": transliteration.cyrillic,
        }.get(self._script)
        written = write(name.split()[0], self._rng) if write else name
        return written if len(written) > 1 else name

    def _one_name(self, *, first: bool, native: bool = False) -> str:
        """A first or last name; now and then one that is put together from the halves of two."""
        rng = self._rng
        if not native and rng.random() < self._foreign_share / 2:
            return self._written(rng.choice(self._foreign.first if first else self._foreign.last))
        pool = self._names.first if first else self._names.last
        name = rng.choice(pool)
        if len(name) > 4 and rng.random() < 0.15 and self.language not in ("zh", "ja", "ko"):
            other = rng.choice(pool)
            if len(other) > 4 and " " not in other + name:
                return name[: len(name) // 2] + other[len(other) // 2 :].lower()
        return name


def generators(
    plain: Mapping[str, PlainWords],
    seed: int,
    names: Mapping[str, NameLists] | None = None,
    embedded: Mapping[str, float] = EMBEDDED_SHARE,
    *,
    more: Sequence[str] = (),
) -> dict[str, TextGenerator]:
    """A generator for each language of frames.json.

    Args:
        plain: everyday lines and words of each.
        seed: of what is drawn.
        names: lists of names of each.
        embedded: of each the share of the lines in which a name stands in a plain line.
        more: keys of the frames that come beside the first ones: those that were added after the network over words
            was trained.
    """
    foreign, known = NamePool(_FOREIGN_FROM, seed, 6000), names or {}
    all_frames = read_frames()
    if more:
        for language, frames in all_frames.items():
            frames["frames"] += [frame for key in more for frame in frames.get(key, [])]
            if language in MORE_FOREIGN_SHARE:
                frames["foreign share"] = MORE_FOREIGN_SHARE[language]
    return {
        language: TextGenerator(
            language,
            frames,
            plain.get(language, PlainWords()),
            foreign,
            seed + number,
            known.get(language),
            embedded.get(language, 0.0),
        )
        for number, (language, frames) in enumerate(all_frames.items())
    }


def with_other_names(sample: Sample, generator: TextGenerator, rng: random.Random) -> Sample:
    """A sample in which each person has another name of as many words; labels move along."""
    chosen: dict[str, str] = {}
    out, labels, at = "", [], 0
    for label in sorted(sample.spans, key=lambda one: one.start):
        if label.start < at:
            return sample
        out += sample.text[at : label.start]
        written = sample.text[label.start : label.end]
        if label.type == "PERSON":
            written = chosen.setdefault(written, _name_like(written, generator, rng))
        labels.append(Label(type=label.type, start=len(out), end=len(out) + len(written)))
        out += written
        at = label.end
    return Sample(id=sample.id, text=out + sample.text[at:], spans=labels, source=sample.source)


def _name_like(written: str, generator: TextGenerator, rng: random.Random) -> str:
    words = written.split()
    new = []
    for number, word in enumerate(words):
        if len(word) < 3 or (word.islower() and len(words) > 1):
            new.append(word)
        else:
            is_last = number > 0 or (len(words) == 1 and rng.random() < 0.5)
            new.append(generator.value("l" if is_last else "f"))
    name = " ".join(new)
    return name.upper() if written.isupper() else name.lower() if written.islower() else name
