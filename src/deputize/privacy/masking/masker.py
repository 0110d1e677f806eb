"""Masks one request: every personal value that the detectors find in it, wherever it stands, becomes a placeholder."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

from deputize.privacy.call_texts import ENCODED_PIECE, parse_json
from deputize.privacy.check_digits import digits_of
from deputize.privacy.detectors.base import UNSURE_SCORE
from deputize.privacy.detectors.gazetteer import is_only_name
from deputize.privacy.languages import all_function_words, function_words
from deputize.privacy.masking.placeholders import MIN_NUMBER_DIGITS, USED_NUMBER, Placeholders
from deputize.privacy.masking.request_fields import Changes, rewritten_data, rewritten_fields
from deputize.privacy.replace.number_forms import leads_of
from deputize.privacy.replace.replacer import (
    CASELESS,
    NUMBERS,
    SubstringSearch,
    occurrences_of_number,
    value_intervals,
)
from deputize.privacy.scan.ensemble import Finding

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_.$/-]{0,40}")
_FUNCTION_WORDS = function_words("en") | {"am"}
_LONGEST_WITH_NAME = 200
"""Characters of a value that is looked at together with the name of its field."""
_NOT_DIGITS = re.compile(r"\D+")
_MARKS = ".,;:!?()\"'*"
MAX_PIECE_CHARS, _AROUND = 4000, 300
"""A longer line is cut where no value of up to so many characters is."""
_MIN_SURE_NAME = 4
"""Shorter names are words of some language."""
_MIN_SURE_CHARS = 6
"""A value of so many characters is replaced inside of a word too."""
_JOINTS = ("_", "-", ".")
"""What stands between the words of a name in the name of an account, a file or a tool."""
_TITLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "dr",
        "prof",
        "herr",
        "frau",
        "madame",
        "monsieur",
        "mme",
        "señor",
        "señora",
        "senhor",
        "senhora",
        "pan",
        "pani",
        "bay",
        "bayan",
        "sir",
        "madam",
        "von",
        "van",
        "der",
        "den",
        "del",
        "dos",
        "the",
        "and",
        "und",
        "bin",
        "ibn",
    ]
)
"""Words of names that name nobody."""


def texts_of(fields: dict[str, Any], *, passes_attachments: bool) -> list[str]:
    """The texts of a request's body in which personal data are looked for, each once.

    Raises:
        BadInput: it has an attachment, and those are not passed on.
    """
    texts: dict[str, None] = {}

    def take(text: str, name: str, as_json: bool) -> str:
        if name and len(text) <= _LONGEST_WITH_NAME and "\n" not in text and text[0] not in "{[":
            text = f"{name}: {text}"  # the field often says what it is
        texts[text] = None
        return text

    def take_label(text: str) -> str:
        if not _IDENTIFIER.fullmatch(text) or USED_NUMBER.search(text):
            texts[text] = None
        return text

    def take_number(number: Any, name: str) -> Any:
        if abs(number) >= 100:
            texts[f"{name}: {json.dumps(number).removesuffix('.0')}"] = None
        return number

    # ids are new in each call: nothing is looked for in them, what was found elsewhere is replaced in them
    rewritten_fields(fields, Changes(take, take_label, take_number, str, passes_attachments))
    return list(texts)


def mask_fields(
    fields: dict[str, Any],
    texts: Sequence[str],
    findings: Iterable[Finding],
    *,
    passes_attachments: bool,
) -> tuple[dict[str, Any], Placeholders]:
    """A request's body with placeholders in place of personal values.

    Args:
        fields: the decoded body.
        texts: those of it, from `texts_of`.
        findings: what was found in them.
        passes_attachments: attachments are left as they are.
    """
    masker = _Masker(texts, findings)
    if masker.is_empty:
        return fields, masker.placeholders
    masked = rewritten_fields(fields, masker.changes(passes_attachments))
    return masked, masker.placeholders


class _ValuePlace(NamedTuple):
    """A place in a text that becomes a placeholder."""

    start: int
    end: int
    kind: str
    same_as: str
    """The value that it is a form or a part of."""


class _Masker:
    """The values of one request."""

    def __init__(self, texts: Sequence[str], findings: Iterable[Finding]) -> None:
        self.placeholders = Placeholders(texts)
        self._exact: dict[str, tuple[str, str]] = {}
        """Value -> (type, the value that it is a form or a part of)."""
        self._folded: dict[str, tuple[str, str]] = {}
        self._numbers: dict[str, tuple[str, set[str]]] = {}
        """Digits -> (type, digits that may be right before them)."""
        self._seen = texts
        self._n_words: Counter[str] | None = None
        self._cache: dict[tuple[str, bool], str] = {}
        self._of_line: dict[str, str] = {}
        for finding in sorted(set(findings), key=lambda f: (f.type != "PERSON", -len(f.value), f)):
            self._add(finding)
        self._find_exact, self._find_folded = SubstringSearch(self._exact), SubstringSearch(self._folded)
        self._find_number = SubstringSearch(self._numbers)
        self._long = [value for value in self._exact if "\n" in value or len(value) > _AROUND]
        """Values that go over several lines, or over a cut."""

    @property
    def is_empty(self) -> bool:
        return not (self._exact or self._numbers)

    def _add(self, finding: Finding) -> None:
        kind, value = finding.type, finding.value.strip()
        if kind in ("PERSON", "STREET_ADDRESS"):
            value = _without_function_words(value)
            if not value:
                return
        words = value.split()
        if kind == "PERSON":
            is_guess = finding.score <= UNSURE_SCORE
            if (is_guess and any(map(self._is_common, words))) or (len(value) < 2 and value.isascii()):
                return
            for word in words if len(words) > 1 else ():
                self._add_word(word.strip(_MARKS), kind, value)
            if len(words) > 1 and not is_guess:
                for joint in _JOINTS:
                    self._exact.setdefault(joint.join(words).casefold(), (kind, value))
        self._exact.setdefault(value, (kind, value))
        if kind in CASELESS or len(words) > 1:
            self._folded.setdefault(value.casefold(), (kind, value))
        digits = digits_of(value)
        if kind in NUMBERS and len(digits) >= MIN_NUMBER_DIGITS and not any(c.isalpha() for c in value):
            core = digits[-10:] if kind == "PHONE_NUMBER" else digits
            self._numbers.setdefault(core, (kind, set()))[1].update(leads_of(kind, digits[: -len(core)]))

    def _add_word(self, word: str, kind: str, value: str) -> None:
        """A word of a name as a value of its own; in any case where it is hardly anything but a name."""
        if len(word) <= 2 or not (word.istitle() or word.isupper()) or word.casefold() in _TITLES:
            return
        if len(word) >= _MIN_SURE_NAME and is_only_name(word) and word.casefold() not in all_function_words():
            self._exact.setdefault(word, (kind, value))
            self._folded.setdefault(word.casefold(), (kind, value))
        elif not self._is_common(word):
            self._exact.setdefault(word, (kind, value))

    def _is_common(self, word: str) -> bool:
        """True where the request has a word in lower case at least as often as with a capital."""
        if self._n_words is None:
            words = (raw.strip(_MARKS) for text in self._seen for raw in text.split())
            self._n_words = Counter(word for word in words if word.isalpha())
        n_lower = self._n_words[word.casefold()]
        return n_lower > 0 and n_lower >= self._n_words[word]

    def changes(self, passes_attachments: bool) -> Changes:
        """How a body, or an object in one, is rewritten."""
        return Changes(self.text, self.text, self.number, self.text, passes_attachments)

    # --- replacing -----------------------------------------------------------------------------------------------

    def text(self, text: str, name: str = "", as_json: bool = False) -> str:
        """A text with placeholders; JSON stays JSON."""
        known = self._cache.get((text, as_json))
        if known is None:
            known = self._cache[text, as_json] = self._changed(text, as_json)
        return known

    def _changed(self, text: str, as_json: bool) -> str:
        if as_json or text.lstrip()[:1] in ("{", "["):
            parsed = parse_json(text)
            if parsed is not None:
                made = rewritten_data(parsed, "", self.changes(False))
                return text if made == parsed else _dumped_like(made, text)
        return _filled(text, self._long_places(text), self._fill, self._lines)

    def _lines(self, text: str) -> str:
        """A text without the long values, line by line: each line has few of the values."""
        return "\n".join(self._line(line) for line in text.split("\n"))

    def _line(self, line: str) -> str:
        if len(line) <= MAX_PIECE_CHARS:
            return self._piece(line)
        # no percent-encoded part is cut, for half of one holds no value any more
        encoded = self._encoded_places(line) if "%" in line else []
        return _filled(line, encoded, self._fill, lambda part: "".join(map(self._piece, self._pieces(part))))

    def _piece(self, text: str) -> str:
        known = self._of_line.get(text)
        if known is None:
            places = self._places(text)
            if "%" in text:
                places = _apart([*self._encoded_places(text), *places])
            known = self._of_line[text] = _filled(text, places, self._fill)
        return known

    def _pieces(self, line: str) -> Iterator[str]:
        """A long line in pieces, cut where no value is: the time for a piece grows with its length times its values."""
        start = 0
        while len(line) - start > MAX_PIECE_CHARS:
            end = start + MAX_PIECE_CHARS
            cut = max(line.rfind(" ", start + MAX_PIECE_CHARS // 2, end), 0) or end
            first = cut - _AROUND
            for place in self._places(line[first : cut + _AROUND]):
                if first + place.start < cut < first + place.end and place.start > 0:
                    cut = first + place.start
                    break
            yield line[start:cut]
            start = cut
        yield line[start:]

    def _long_places(self, text: str) -> list[_ValuePlace]:
        return _apart(
            _ValuePlace(m.start(), m.end(), *self._exact[value])
            for value in self._long
            if value in text
            for m in re.finditer(re.escape(value), text)
        )

    def number(self, number: Any, name: str = "") -> Any:
        """A JSON number, or what stands in its place."""
        written = json.dumps(number)
        digits = written.lstrip("-").removesuffix(".0")
        if digits in self._exact or digits in self._numbers:
            if isinstance(number, int) and len(digits) >= MIN_NUMBER_DIGITS:
                made = self.placeholders.of_number(digits)
                return made if number > 0 else -made
            kind, _ = self._exact.get(digits) or (self._numbers[digits][0], "")
            return self.placeholders.of(kind, written)
        return number

    def _encoded_places(self, text: str) -> list[_ValuePlace]:
        """The percent-encoded parts of a text with a value in them."""
        found: list[_ValuePlace] = []
        for match in ENCODED_PIECE.finditer(text):
            piece = match.group()
            inner = self._places(unquote_plus(piece) if "+" in piece else unquote(piece))
            if inner:
                found.append(_ValuePlace(*match.span(), inner[0].kind, inner[0].same_as))
        return found

    def _places(self, text: str) -> list[_ValuePlace]:
        """The places of values in a text, in order."""
        exact, folded = self._find_exact(text), self._find_folded(text.casefold())
        found: list[_ValuePlace] = []
        if exact or folded:
            values = sorted({*exact, *folded}, key=lambda v: (-len(v), v))
            for start, end in value_intervals(text, values):
                written = text[start:end]
                entry = self._exact.get(written) or self._folded.get(written.casefold())
                if entry is not None:
                    found.append(_ValuePlace(start, end, *entry))
            for value in exact:
                if len(value) >= _MIN_SURE_CHARS:
                    kind, same_as = self._exact[value]
                    at = text.find(value)
                    while at >= 0:
                        found.append(_ValuePlace(at, at + len(value), kind, same_as))
                        at = text.find(value, at + 1)
        if self._numbers:
            for core in self._find_number(_NOT_DIGITS.sub("", text)):
                kind, leads = self._numbers[core]
                for lead in sorted(leads):
                    found += [
                        _ValuePlace(*place, kind, core) for place in occurrences_of_number(text, core, lead)
                    ]
        return _apart(found)

    def _fill(self, written: str, place: _ValuePlace) -> str:
        return self.placeholders.of(place.kind, written, same_as=place.same_as)


def _without_function_words(value: str) -> str:
    """A name or an address without function words at its ends, which detectors take along; "" where nothing else is
    left."""
    words = value.split()
    while words and words[0].casefold() in _FUNCTION_WORDS:
        del words[0]
    while words and words[-1].casefold() in _FUNCTION_WORDS:
        del words[-1]
    first = value.find(words[0]) if words else 0
    return value[first : value.rfind(words[-1]) + len(words[-1])] if words else ""


def _apart(places: Iterable[_ValuePlace]) -> list[_ValuePlace]:
    """The places in order; of those that overlap the one that begins first, of these the longest."""
    out: list[_ValuePlace] = []
    for place in sorted(places, key=lambda p: (p.start, -p.end)):
        if not out or place.start >= out[-1].end:
            out.append(place)
    return out


def _filled(
    text: str,
    places: Sequence[_ValuePlace],
    fill: Callable[[str, _ValuePlace], str],
    between: Callable[[str], str] = lambda text: text,
) -> str:
    """A text with its places filled, and what is between them changed."""
    parts: list[str] = []
    done = 0
    for place in places:
        parts += (between(text[done : place.start]), fill(text[place.start : place.end], place))
        done = place.end
    return "".join([*parts, between(text[done:])])


def _dumped_like(value: Any, text: str) -> str:
    """JSON written about as another one was."""
    escapes = text.isascii() or "\\u" in text
    if "\n" in text:
        return json.dumps(value, ensure_ascii=escapes, indent=2)
    compact = '": ' not in text and ", " not in text
    return json.dumps(value, ensure_ascii=escapes, separators=(",", ":") if compact else None)
