"""Placeholders for the personal values of one request, such as PERSON_1a, and replies in which they are put back.

A model copies a placeholder more reliably than it keeps a made-up name, and one that it changes shows. Each written
form of a value has a placeholder of its own, so that what is put back is what was written. No placeholder is the
beginning of another one. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from string import ascii_lowercase
from urllib.parse import quote

from deputize.privacy.masking.json_depth import JsonDepth

MIN_NUMBER_DIGITS = 7
"""A JSON number of fewer digits becomes a text: so short a number would be found again in places where it means
something else."""
USED_NUMBER = re.compile(r"_(\d{1,9})[a-z]", re.IGNORECASE | re.ASCII)
"""A number that a placeholder would have; a text that holds it is taken into account."""
_PARTS = re.compile(r"(.*(?:_|u005f))(\d+[a-z])(.*)", re.ASCII)
_NOT_A_NAME = re.compile(r"[^A-Z0-9_]+")
_DIGITS = "0123456789"
_ESCAPED_IN_JSON = re.compile(r'["\\\x00-\x1f]')
_EMAIL = "EMAIL_ADDRESS"
_JSON_START = re.compile(r"""\s*(?:\{\s*["}]|\[\s*["{\[\]\-0-9tfn])""")
_MAYBE_JSON = re.compile(r"\s*[{\[]?\s*")


def begins_like_json(text: str) -> bool | None:
    """True where a text begins like a JSON object or list; None where too little of it is there to tell."""
    return None if _MAYBE_JSON.fullmatch(text) else _JSON_START.match(text) is not None


def _as_models_write(placeholder: str, value: str) -> Iterator[tuple[str, str]]:
    """(form of a placeholder, value there): models escape an underscore in Markdown and in JSON (and once more in JSON
    in a string of JSON), and an at sign in an address."""
    escaped = (placeholder.replace("_", sign) for sign in ("\\_", "\\u005f", "\\\\u005f"))
    for form in dict.fromkeys((placeholder, *escaped)):
        yield form, value
        if "@" in form:
            yield form.replace("@", "%40"), quote(value, safe="")


class Placeholders:
    """The placeholders of one request."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """
        Args:
            taken: the texts of the request: nothing that stands in them becomes a placeholder.
        """
        self._texts = list(taken)
        self._used = {int(n) for text in self._texts for n in USED_NUMBER.findall(text)}
        self._last = 0
        self._of: dict[str, str] = {}
        self._variants: dict[str, list[int]] = {}
        """Key of a value -> its number and the count of its written forms."""
        self._values: dict[str, str] = {}
        self._matcher: _Matcher | None = None

    def __len__(self) -> int:
        return len(self._values)

    def of(self, kind: str, written: str, same_as: str = "") -> str:
        """The placeholder of a value as it is written.

        Args:
            kind: type of the value.
            written: the value.
            same_as: the value of which this is another written form, or a part: they get the same number.
        """
        found = self._of.get(written)
        if found is None:
            found = self._of[written] = self._new(kind, written, same_as or written)
            self._add(found, written)
        return found

    def of_number(self, digits: str) -> int:
        """The placeholder of a whole number that stands in JSON: another number of as many digits."""
        key = f"number {digits}"
        found = self._of.get(key)
        if found is None:
            n, attempt = len(digits), 0
            while True:
                seed = hashlib.sha256(f"{len(self._values)} {attempt}".encode()).hexdigest()
                found = "9" + str(int(seed, 16))[-(n - 1) :]
                if found not in self._values and not any(found in text for text in self._texts):
                    break
                attempt += 1
            self._of[key] = found
            self._add(found, digits)
        return int(found)

    def _add(self, placeholder: str, value: str) -> None:
        self._values[placeholder.lower()] = value
        self._matcher = None

    def _new(self, kind: str, written: str, key: str) -> str:
        variant = self._variants.get(key)
        if variant is None or variant[1] == len(ascii_lowercase):
            self._last += 1
            while self._last in self._used:
                self._last += 1
            variant = self._variants[key] = [self._last, 0]
        number, letter = variant[0], ascii_lowercase[variant[1]]
        variant[1] += 1
        if kind == _EMAIL and "@" in written:
            # still an address: schemas may ask for one
            return f"email_{number}{letter}@masked.invalid"
        name = _NOT_A_NAME.sub("_", kind.upper()).strip("_") or "VALUE"
        return f"{name}_{number}{letter}"

    # --- putting back --------------------------------------------------------------------------------------------

    def restore(self, text: str, *, in_json: bool = False) -> str:
        """A text with the values in place of their placeholders, in whatever case those are written.

        Args:
            text: of a reply.
            in_json: the text is JSON, so that values are escaped as in its strings, and once more in JSON in one of
                these.
        """
        return self._matcher_now().restore(text, JsonDepth() if in_json else None)

    def restore_number(self, number: int) -> int:
        """The number for which a number stands; itself where it stands for none."""
        value = self._values.get(str(abs(number)))
        if value is None:
            return number
        return int(value) if number > 0 else -int(value)

    def pieces(self, *, in_json: bool | None) -> PieceRestorer:
        """Restores a text that comes in pieces.

        Args:
            in_json: the text is JSON; None: it is where it begins like an object or a list.
        """
        return PieceRestorer(self._matcher_now(), in_json)

    def _matcher_now(self) -> _Matcher:
        if self._matcher is None:
            self._matcher = _Matcher(
                dict(form for one in self._values.items() for form in _as_models_write(*one))
            )
        return self._matcher


class _Matcher:
    """Finds placeholders in texts."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self._are_plain = not any(map(_ESCAPED_IN_JSON.search, values.values()))
        # ASCII: no other letter of Unicode is a form of one in a placeholder
        self._pattern = re.compile(_pattern_of(values), re.IGNORECASE | re.ASCII)
        self._starts = {p[:n] for p in values if not p.isdigit() for n in range(1, len(p))}
        self._most_digits = max((len(p) for p in values if p.isdigit()), default=0)
        self._longest = max(map(len, self._starts), default=0)

    def restore(self, text: str, depth: JsonDepth | None, start: int = 0) -> str:
        """A text, from a place on, with the values put back.

        Args:
            text: may be a part of a longer one.
            depth: follows that one, where it is JSON.
            start: what is before it was restored.
        """
        if self._are_plain:
            depth = None  # JSON writes them as they are, however deep
        parts: list[str] = []
        for match in self._pattern.finditer(text):
            between, value = text[start : match.start()], self._values[match.group().lower()]
            if depth is not None:
                depth.feed(between)
                for _ in range(max(1, depth.depth)):
                    value = json.dumps(value, ensure_ascii=False)[1:-1]
            parts += (between, value)
            start = match.end()
        if depth is not None:
            depth.feed(text[start:])
        return "".join([*parts, text[start:]])

    def settled(self, text: str, digit_before: bool) -> int:
        """The place up to which a text can be restored whatever comes after it.

        Args:
            digit_before: it goes on from a digit.
        """
        # a number is a placeholder only as a whole
        n_digits = len(text) - len(text.rstrip(_DIGITS))
        is_open = 0 < n_digits <= self._most_digits and not (digit_before and n_digits == len(text))
        end = len(text) - n_digits if is_open else len(text)
        intervals = [m.span() for m in self._pattern.finditer(text)]
        first = max(0, len(text) - self._longest)
        while True:
            held = next((i for i in range(first, end) if text[i:].lower() in self._starts), end)
            # what a placeholder before that place has taken begins no other one
            over = next((end for start, end in intervals if start < held < end), None)
            if over is None:
                return held
            first = over


def _pattern_of(placeholders: Iterable[str]) -> str:
    """A pattern of all placeholders. What they begin with is tried once at each place, not once for each of them."""
    ends: dict[tuple[str, str], list[str]] = {}
    for one in placeholders:
        parts = _PARTS.fullmatch(one)
        start, number, end = parts.groups() if parts is not None else ("", one, "")
        ends.setdefault((start, end), []).append(number)
    patterns = [
        f"{re.escape(start)}(?:{'|'.join(numbers)}){re.escape(end)}"
        if start
        else rf"(?<!\d)(?:{'|'.join(numbers)})(?!\d)"
        for (start, end), numbers in sorted(ends.items(), key=lambda item: (-len(item[0][0]), item[0]))
    ]
    return "|".join(patterns) or r"(?!)"


class PieceRestorer:
    """Restores a text that comes in pieces: what may be the beginning of a placeholder waits for the next piece."""

    def __init__(self, matcher: _Matcher, in_json: bool | None) -> None:
        self._matcher, self._in_json = matcher, in_json
        self._depth = JsonDepth()
        self._begin = ""
        """What came while it could not be told whether it is JSON."""
        self._held, self._digit_before = "", False

    @property
    def holds(self) -> bool:
        """True where something waits."""
        return bool(self._held)

    def feed(self, piece: str) -> str:
        """The text that is certain now."""
        text = self._held + piece
        settled = self._matcher.settled(text, self._digit_before)
        self._held = text[settled:]
        return self._restored(text[:settled])

    def finish(self) -> str:
        """The text that was waiting."""
        text, self._held = self._held, ""
        return self._restored(text)

    def _restored(self, text: str) -> str:
        if not text:
            return ""
        if self._in_json is None:
            self._begin += text
            self._in_json = begins_like_json(self._begin)
        before = "0" if self._digit_before else ""
        self._digit_before = text[-1] in _DIGITS
        if self._in_json:
            return self._matcher.restore(before + text, self._depth, len(before))
        if self._in_json is None:
            self._depth.feed(text)
        return self._matcher.restore(before + text, None, len(before))
