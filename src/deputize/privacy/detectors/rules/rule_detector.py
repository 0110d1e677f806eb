"""Our rules as detectors: all of them, with names and phone numbers, or those for secrets alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deputize.privacy.date_shift import find_dates
from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.gazetteer import is_name, is_only_name
from deputize.privacy.detectors.rules.addresses_by_language import LANGUAGE_ADDRESS_RULES
from deputize.privacy.detectors.rules.encoded_text import encoded_intervals
from deputize.privacy.detectors.rules.formatted_ids import FORMATTED_ID_RULES
from deputize.privacy.detectors.rules.health import HEALTH_RULES
from deputize.privacy.detectors.rules.keys_and_passwords import SECRET_RULES
from deputize.privacy.detectors.rules.named_fields import FIELD_NAME_RULES
from deputize.privacy.detectors.rules.names_by_language import (
    LANGUAGE_NAME_RULES,
    names_in_identifiers,
    whole_handle,
)
from deputize.privacy.detectors.rules.people_and_places import PEOPLE_AND_PLACE_RULES
from deputize.privacy.detectors.rules.phones import find_phones
from deputize.privacy.detectors.rules.record_numbers import RECORD_NUMBER_RULES
from deputize.privacy.detectors.rules.rule import CAPITALISED_WORD, Rule, grams
from deputize.privacy.detectors.rules.world_numbers import WORLD_NUMBER_RULES
from deputize.privacy.entity_types import DIRECT, SECRET
from deputize.privacy.national_ids import id_forms

RULES: tuple[Rule, ...] = (
    *FORMATTED_ID_RULES,
    *SECRET_RULES,
    *RECORD_NUMBER_RULES,
    *PEOPLE_AND_PLACE_RULES,
    *HEALTH_RULES,
    *WORLD_NUMBER_RULES,
    *FIELD_NAME_RULES,
    *LANGUAGE_NAME_RULES,
    *LANGUAGE_ADDRESS_RULES,
)

_CAPITALISED_RUN = re.compile(rf"(?<![\w.@-]){CAPITALISED_WORD}(?:[ \t\u00a0]+{CAPITALISED_WORD})+(?![\w@])")

_ONE_WORD = re.compile(r"\S+")

_LONG_NUMBER = re.compile(
    r"(?<![\w.@/-])(?=(?:[^\n\d]{0,3}\d){6})[A-Z]{0,6}\d[\dA-Z]*(?:[-./ ()+][\dA-Z]+){0,6}\)?(?![\w@])"
)
"""What may be the number of a person or firm, with its separators."""

_TRIMMED_TYPES = frozenset({"API_KEY", "PASSWORD", "USERNAME", "STREET_ADDRESS"})

_CLOCK = re.compile(r"[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")


class _Rules:
    """Rules that are tried only where the text holds what they need."""

    name = ""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [
            (
                rule,
                rule.needs.startswith("#"),
                frozenset(filter(None, rule.needs.lower().lstrip("#~").split("|"))),
                "~" in rule.needs[:2],
            )
            for rule in rules
        ]
        self._words = sorted(
            {w for _, _, words, are_beginnings in self._rules if not are_beginnings for w in words}
        )

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self._one(text) if text and not text.isspace() else [] for text in texts]

    def _one(self, text: str) -> list[Span]:
        has_digit = any(c.isdigit() for c in text)
        folded = text.lower()
        spans: list[Span] = []
        begun, held = grams(folded), {word for word in self._words if word in folded}
        for rule, needs_digit, words, are_beginnings in self._rules:
            if needs_digit and not has_digit:
                continue
            if words and words.isdisjoint(begun if are_beginnings else held):
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
        for interval in names_in_identifiers(text):
            handle = whole_handle(text, interval[0])
            spans.append(
                Span("USERNAME", *handle, 0.6, self.name)
                if handle
                else Span("PERSON", *interval, 0.6, self.name)
            )
        spans += [
            Span("ENCODED_TEXT", *at, 0.9, self.name) for at in encoded_intervals(text, self._holds_personal)
        ]
        if any(c.isdigit() for c in text):
            spans += [Span("PHONE_NUMBER", *p, self.name) for p in find_phones(text)]
            spans += self._state_numbers(text)
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

    def _state_numbers(self, text: str) -> list[Span]:
        """Numbers that states give, by their form and check digits alone."""
        out: list[Span] = []
        for match in _LONG_NUMBER.finditer(text):
            written = match.group()
            if forms := id_forms(written, in_context=False):
                out.append(Span(forms[0].type, *match.span(), 0.65, self.name))
        return out

    def _holds_personal(self, text: str) -> bool:
        """True where a text that was decoded holds direct personal data."""
        return any(span.type in DIRECT for span in super()._one(text)) or bool(self._names(text))


def _clock_end(text: str, at: int) -> int:
    clock = _CLOCK.match(text, at)
    return clock.end() if clock else at
