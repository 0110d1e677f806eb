"""Our rules as detectors: all of them, with names and phone numbers, or those for secrets alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deputize.privacy.check_digits import digits_of
from deputize.privacy.date_shift import find_dates
from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.gazetteer import is_name, is_only_name
from deputize.privacy.detectors.rules.formatted_ids import FORMATTED_ID_RULES
from deputize.privacy.detectors.rules.health import HEALTH_RULES
from deputize.privacy.detectors.rules.keys_and_passwords import SECRET_RULES
from deputize.privacy.detectors.rules.people_and_places import PEOPLE_AND_PLACE_RULES
from deputize.privacy.detectors.rules.record_numbers import RECORD_NUMBER_RULES
from deputize.privacy.detectors.rules.rule import CAPITALISED_WORD, Rule
from deputize.privacy.entity_types import SECRET

RULES: tuple[Rule, ...] = (
    *FORMATTED_ID_RULES,
    *SECRET_RULES,
    *RECORD_NUMBER_RULES,
    *PEOPLE_AND_PLACE_RULES,
    *HEALTH_RULES,
)

_CAPITALISED_RUN = re.compile(rf"(?<![\w.@-]){CAPITALISED_WORD}(?:[ \t\u00a0]+{CAPITALISED_WORD})+(?![\w@])")

_ONE_WORD = re.compile(r"\S+")

_PHONE = re.compile(r"(?<![\w.+-])(?<!\d[/:])\+?\(?\d(?:[ \t().-]{0,3}\d){6,14}(?!(?!x\d)\w|[./:-]\d)")
"""An extension (x157) may follow; alone it points at nobody."""

_PHONE_WORD = re.compile(
    r"(?i)(?:phone|tel|call|mobile|cell|fax|contact|whatsapp|text|reach|dial|my (?:new |home |work )?number)[\w ]{0,20}[.:#=\"' ]*$"
)

_NANP = re.compile(r"\(?\d{3}\)?[-. ]?[ ]?\d{3}[-. ]\d{4}")

_DATE_LIKE = re.compile(r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}")

_TRIMMED_TYPES = frozenset({"API_KEY", "PASSWORD", "USERNAME", "STREET_ADDRESS"})

_CLOCK = re.compile(r"[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")


class _Rules:
    """Rules that are tried only where the text holds what they need."""

    name = ""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [
            (rule, rule.needs.startswith("#"), tuple(filter(None, rule.needs.lower().lstrip("#").split("|"))))
            for rule in rules
        ]

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self._one(text) if text and not text.isspace() else [] for text in texts]

    def _one(self, text: str) -> list[Span]:
        has_digit = any(c.isdigit() for c in text)
        folded = text.lower()
        spans: list[Span] = []
        for rule, needs_digit, words in self._rules:
            if (needs_digit and not has_digit) or (words and not any(w in folded for w in words)):
                continue
            for match in rule.pattern.finditer(text):
                group: str | int = "v" if "v" in rule.pattern.groupindex else 0
                start = match.start(group)
                value = (
                    match[group].rstrip(".,;:)!? \t\r\n")
                    if rule.type in _TRIMMED_TYPES
                    else match[group].rstrip()
                )
                if value and (rule.fits is None or rule.fits(value)):
                    spans.append(Span(rule.type, start, start + len(value), rule.score, self.name))
        return spans


class SecretDetector(_Rules):
    """Keys, tokens and passwords alone, by the rules for them."""

    name = "secrets"

    def __init__(self) -> None:
        super().__init__([rule for rule in RULES if rule.type in SECRET])


class RuleDetector(_Rules):
    """Our recognizers as one detector, secrets included."""

    name = "rules"

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        super().__init__(rules)

    def _one(self, text: str) -> list[Span]:
        spans = super()._one(text) + self._names(text)
        if any(c.isdigit() for c in text):
            spans += self._phones(text)
            spans += [
                Span("DATE_TIME", f.start, _clock_end(text, f.end), 0.6, self.name) for f in find_dates(text)
            ]
        return spans

    def _names(self, text: str) -> list[Span]:
        """Neighbouring capitalised words that are all in the gazetteer of names, one of them hardly anything else."""
        out: list[Span] = []
        for run in _CAPITALISED_RUN.finditer(text):
            together: list[re.Match[str]] = []
            for word in [*_ONE_WORD.finditer(text, *run.span()), None]:
                if word is not None and (
                    is_name(word.group()) or (together and len(word.group().rstrip(".")) == 1)
                ):
                    together.append(word)
                    if not (word.group().endswith(".") and len(word.group()) > 3):
                        continue  # a sentence ends where a dot follows more than an initial
                if len(together) > 1 and any(is_only_name(w.group()) for w in together):
                    end = together[-1].end() - (together[-1].group()[-1] in ".'’")
                    out.append(Span("PERSON", together[0].start(), end, 0.55, self.name))
                together = []
        return out

    def _phones(self, text: str) -> list[Span]:
        """Phone numbers by the phonenumbers library at leniency 0 (possible), asked only where the shape is right."""
        out: list[Span] = []
        for match in _PHONE.finditer(text):
            found = match.group()
            start = match.start()
            if found.startswith("(") and ")" not in found:
                found, start = found[1:], start + 1
            score = _phone_score(found, text[max(0, start - 40) : start])
            if score and _is_possible_phone(found):
                out.append(Span("PHONE_NUMBER", start, start + len(found), score, self.name))
        return out


def _clock_end(text: str, at: int) -> int:
    clock = _CLOCK.match(text, at)
    return clock.end() if clock else at


def _phone_score(found: str, before: str) -> float:
    """Score of a phone number by its form and the words before it; 0 where it is something else."""
    digits = digits_of(found)
    if len(set(digits)) < 3 or _DATE_LIKE.fullmatch(found):
        return 0.0
    if found.startswith("+"):
        return 0.9
    if _NANP.fullmatch(found) and len(digits) == 10:
        return 0.85
    if len(digits) >= 7 and _PHONE_WORD.search(before):
        return 0.75
    return 0.5 if found.startswith(("(", "0")) and len(digits) >= 9 and not found.isdigit() else 0.0


def _is_possible_phone(found: str) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse(found, None if found.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(number)) or not found.startswith("+")
