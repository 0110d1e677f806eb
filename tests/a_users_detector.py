"""A detector as a user would write one: badge numbers of a company, found by their form."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deputize.privacy.detectors.base import Span


class Badges:
    name = "badges"

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [
            [Span("BADGE", m.start(), m.end(), 0.9, self.name) for m in re.finditer(r"\bBX\d{4}\b", text)]
            for text in texts
        ]


class Boastful(Badges):
    """Finds more than there is."""

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [[Span("BADGE", 0, len(text) + 1, 0.9, self.name)] for text in texts]


class Forgetful(Badges):
    """Answers for the first text only."""

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return super().detect(texts)[:1]


def broken() -> Badges:
    raise RuntimeError("no badge list")


nothing = object()
